"""eth_call at a block that may vanish, on an endpoint that may not be as it was."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final, TypeVar

from scanner.chain.endpoint import Endpoint
from scanner.chain.failures import Kind, RpcFailure
from scanner.chain.interface import Block, Overrides
from scanner.chain.lag import await_block
from scanner.chain.options import Options
from scanner.chain.pinned import PinnedCalls
from scanner.chain.pinning import probe_pin
from scanner.chain.world import Assumed
from scanner.errors import BlockUndone

__all__ = ["WatchedCalls"]

T = TypeVar("T")

_DOUBTFUL: Final = frozenset({Kind.INVALID_PARAMS, Kind.NO_METHOD, Kind.OTHER, Kind.BLOCK_UNKNOWN})


class WatchedCalls(PinnedCalls):
    """Calls that, when the block is said to be unknown, find out why before they are given up.

    Another block under its number: BlockUndone at once. None: the endpoint lags, and is waited for. The same: asked
    again, for nodes behind one URL differ in height. Where the pin was remembered and not ``seen`` to be taken, a
    first refusal has the endpoint probed again.
    """

    def __init__(
        self,
        endpoint: Endpoint,
        pin: object,
        block: Block,
        options: Options,
        *,
        seen: bool,
        world: Assumed | None = None,
    ) -> None:
        super().__init__(endpoint, pin, block, options.gas, world)
        self._limits = options
        self._seen = seen
        self._asking = asyncio.Lock()
        self._settled = 0  # times that a doubt was settled: who asked before that need only ask again
        endpoint.doubt = self._confirm  # logs and proofs too are of blocks up to this one

    async def _ask(self, message: dict[str, str], overrides: Overrides | None, shrinkable: bool | None) -> bytes:
        ask = super()._ask
        return await self._watch(lambda: ask(message, overrides, shrinkable))

    async def code(self, address: str) -> str:
        """Do as ``PinnedCalls`` does. Raises BlockUndone besides."""
        ask = super().code
        return await self._watch(lambda: ask(address))

    async def check_time(self, seen: int) -> None:
        """Do as ``PinnedCalls`` does. Raises BlockUndone where that is why: a node may answer for what came instead."""
        if seen != self.time:
            await self._confirm()
        await super().check_time(seen)

    async def _watch(self, ask: Callable[[], Awaitable[T]]) -> T:
        deadline = None
        while True:
            before = self._settled
            try:
                result = await ask()
            except RpcFailure as failure:
                now = asyncio.get_running_loop().time()
                deadline = deadline or now + 2 * self._limits.lag_patience
                if now >= deadline and failure.kind is Kind.BLOCK_UNKNOWN:
                    raise self._fickle(failure) from failure
                if not await self._settle(failure, before):
                    raise
            else:
                self._seen = True
                return result

    async def _settle(self, failure: RpcFailure, before: int) -> bool:
        """Find out what a failure means, and say whether asking again may help. Raises BlockUndone."""
        if failure.kind not in _DOUBTFUL:
            return False
        async with self._asking:
            if self._settled != before:
                return True
            if self._seen and failure.kind is not Kind.BLOCK_UNKNOWN:
                return False
            if failure.kind is Kind.BLOCK_UNKNOWN:
                await self._confirm()
            if self._seen:
                await asyncio.sleep(self._limits.lag_pause)
            else:
                self._seen = True
                self.pin = await probe_pin(self.endpoint, self.block, self._limits)
            self._settled += 1
            return True

    async def _confirm(self) -> bool:
        await await_block(self.endpoint, self.block, self._limits, reading=True)
        return True

    def _fickle(self, failure: RpcFailure) -> BlockUndone:
        return BlockUndone(
            f"block {self.block.number} ({self.block.hash}) is known and then again not: {failure}; the nodes behind "
            "the endpoint differ, so use --block finalized or another endpoint"
        )
