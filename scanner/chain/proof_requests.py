"""Ask for Merkle proofs of storage: eth_getProof at one block, in parts that the endpoint takes. Nothing is trusted."""

from __future__ import annotations

from collections import deque
from collections.abc import AsyncGenerator
from typing import Any, Final

from scanner.chain.endpoint import Endpoint
from scanner.chain.failures import SHRINKABLE, Kind, RpcFailure
from scanner.chain.interface import Block
from scanner.chain.options import Options
from scanner.chain.provable import Answered, SlotsAnswered, Wanted
from scanner.chain.sizing import BatchSize
from scanner.chain.spent import measured
from scanner.chain.sweep import sweep
from scanner.errors import NoProofs

__all__ = ["ask_header", "ask_proofs"]

_MOST_SLOTS: Final = 500
"""In one request: nodes refuse more than 1,000 or so, and no proof gets cheaper by company beyond this."""
_TOO_MANY: Final = SHRINKABLE | {Kind.INVALID_PARAMS, Kind.OTHER}
"""Limits on the number of slots are worded in too many ways to know them all: fewer are tried before giving up."""
_DISTANT: Final = "an archive node that offers eth_getProof, or a newer block"


async def ask_header(endpoint: Endpoint, block: Block) -> Answered:
    """Ask for a block by its hash. Raises RpcFailure."""
    result = await endpoint.request("eth_getBlockByHash", [block.hash, False])
    return Answered(endpoint.host, bytes(result))


async def ask_proofs(
    endpoint: Endpoint, pin: object, block: Block, wanted: Wanted, options: Options
) -> AsyncGenerator[SlotsAnswered, None]:
    """Ask for all slots, a few requests at a time. Raises ChainError."""
    work = _ProofWork(endpoint, pin, block, wanted, options)
    async for _, answered in sweep(work, options.concurrency):
        yield answered


class _ProofWork:
    def __init__(self, endpoint: Endpoint, pin: object, block: Block, wanted: Wanted, options: Options) -> None:
        self._endpoint = endpoint
        self._pin: Any = pin
        self._taken = False
        self._block = block
        self._size = BatchSize(
            start=min(options.batch_start, _MOST_SLOTS),
            most=min(options.batch_most, _MOST_SLOTS),
            seconds=options.seconds,
        )
        self._jobs = deque((address, tuple(slots)) for address, slots in wanted.items() if slots)

    def take(self) -> tuple[str, tuple[int, ...]] | None:
        if not self._jobs:
            return None
        address, slots = self._jobs.popleft()
        size = self._size.size
        if len(slots) > size:
            self._jobs.appendleft((address, slots[size:]))
        return address, slots[:size]

    async def ask(self, job: tuple[str, tuple[int, ...]]) -> SlotsAnswered:
        address, slots = job
        names = [f"0x{slot:064x}" for slot in slots]  # some nodes refuse a slot of less than 32 bytes
        pin = self._pin
        try:
            with measured() as spent:
                result = await self._endpoint.request("eth_getProof", [address, names, pin], shrinkable=len(slots) > 1)
        except RpcFailure as failure:
            number = hex(self._block.number)
            refused = failure.kind in (Kind.INVALID_PARAMS, Kind.OTHER) and pin != number
            # what was sent before another request found that out is refused after it was
            if not refused or (self._taken and self._pin != number):
                raise
            # not every node takes a block hash here; what it gives is held against the state root anyhow
            self._pin = number
            return await self.ask(job)
        self._taken = True
        self._size.learn(len(slots), len(slots), spent.seconds)
        return SlotsAnswered(self._endpoint.host, bytes(result), address, slots)

    def failed(self, job: tuple[str, tuple[int, ...]], failure: RpcFailure) -> None:
        address, slots = job
        if failure.kind is Kind.NO_METHOD:
            remedy = "--prove needs an endpoint that offers eth_getProof: use another one, or scan without it"
            raise NoProofs(failure.plain, remedy) from failure
        if failure.kind is Kind.STATE_MISSING:
            reason = f"no proofs at block {self._block.number}: {failure.plain}"
            raise NoProofs(reason, f"--prove needs {_DISTANT}") from failure
        if failure.kind not in _TOO_MANY or len(slots) == 1:
            raise failure
        part = self._smaller(len(slots), failure)
        self._jobs.extendleft((address, slots[at : at + part]) for at in reversed(range(0, len(slots), part)))

    def _smaller(self, count: int, failure: RpcFailure) -> int:
        if failure.kind in SHRINKABLE:
            return self._size.shrink(count, failure)
        part = -(-count // 2)
        self._size.learn(count, part, 0.0)
        return part
