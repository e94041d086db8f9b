"""A Reader on a live endpoint: one block, pinned by hash."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Iterator, Sequence
from contextlib import contextmanager
from types import TracebackType
from typing import Any, Final, Self, TypeVar

from scanner.chain.blocks import block_by_number, head_number, resolve_block
from scanner.chain.calls import Caller
from scanner.chain.endpoint import Endpoint
from scanner.chain.failures import Kind, RpcFailure
from scanner.chain.interface import Block, Call, Lens, LensChunk, Log, LogQuery, Overrides, Reverted
from scanner.chain.lenses import run_lens
from scanner.chain.logs import read_logs
from scanner.chain.options import Options
from scanner.chain.pinned import PinnedCalls
from scanner.chain.spec import EndpointSpec
from scanner.chain.transport import LoopThread, loop_thread
from scanner.errors import BlockUnavailable, BlockUndone, ChainError, WrongChainError

__all__ = ["RpcReader", "open_reader"]

T = TypeVar("T")

_FINALITY: Final = 64  # blocks behind the head that are taken for final where the endpoint names none
_PIN_FINAL_ANSWERS: Final = frozenset({Kind.STATE_MISSING, Kind.UNAUTHORIZED, Kind.RATE_LIMITED, Kind.UNREACHABLE})


class RpcReader:
    """The chain at one block, read over JSON-RPC. Made by ``open_reader``; use it in a ``with`` statement.

    Synchronous; requests run in the loop thread of ``chain``. Leaving the ``with`` block without an error calls
    ``finish``.
    """

    def __init__(
        self, thread: LoopThread, pinned: PinnedCalls, chain_id: int, genesis_hash: str, block: Block, options: Options
    ) -> None:
        self._thread = thread
        self._endpoint = pinned.endpoint
        self._pinned = pinned
        self._caller = Caller(pinned, options)
        self._options = options
        self._finalized: int | None = None
        self.chain_id = chain_id
        self.genesis_hash = genesis_hash
        self.block = block
        self.hosts: tuple[str, ...] = (pinned.endpoint.host,)

    @property
    def takes_overrides(self) -> bool | None:
        """Whether the endpoint takes state overrides; None before the first try."""
        return self._caller.takes_overrides

    def finalized_number(self) -> int:
        """Give the newest block that cannot be undone: the finalized tag, else 64 behind the head."""
        if self._finalized is None:
            self._finalized = min(self._run(_finalized(self._endpoint)), self.block.number)
        return self._finalized

    def block_hash(self, number: int) -> str | None:
        """Give the hash of the canonical block of a number; None when the node has none."""
        block = self._run(block_by_number(self._endpoint, number))
        return None if block is None else block.hash

    def call(self, calls: Sequence[Call], *, overrides: Overrides | None = None) -> list[bytes | Reverted]:
        """Answer calls in order.

        Raises RpcError, BlockUnavailable when the state is gone, OverridesRefused when ``overrides`` are not taken.
        """
        return self._run(self._caller.answer(calls, overrides)) if calls else []

    def lens(self, lens: Lens, items: Sequence[bytes]) -> Iterator[LensChunk]:
        """Run a lens; chunks come as they are answered.

        Raises RpcError naming an item that cannot be read, OverridesRefused, DecodeError.
        """
        with self._told():
            yield from self._thread.iterate(run_lens(self._pinned, self._caller, lens, items, self._options))

    def logs(self, query: LogQuery) -> Iterator[tuple[int, list[Log]]]:
        """Give logs in block order. Raises RpcError naming a block that cannot be read."""
        if query.last_block > self.block.number:
            raise BlockUnavailable(f"logs up to block {query.last_block}: the reader stands at {self.block.number}")
        if not query.addresses:
            raise ValueError("a log query names at least one address")
        with self._told():
            yield from self._thread.iterate(read_logs(self._endpoint, query, self._options))

    def finish(self) -> None:
        """Check that the block is still on the chain. Raises BlockUndone when it was reorganised away."""
        now = self._run(block_by_number(self._endpoint, self.block.number))
        if now is None or now.hash != self.block.hash:
            raise BlockUndone(
                f"block {self.block.number} ({self.block.hash}) was reorganised away during the scan; run it again, "
                "or use --block finalized"
            )

    def close(self) -> None:
        """Close the connections."""
        self._thread.run(self._endpoint.close())

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if kind is None:
                self.finish()
        finally:
            self.close()

    def _run(self, work: Coroutine[Any, Any, T]) -> T:
        with self._told():
            return self._thread.run(work)

    @contextmanager
    def _told(self) -> Iterator[None]:
        """Say what a missing block or state means for this reader."""
        try:
            yield
        except RpcFailure as failure:
            raise _unavailable(failure, self.block) from failure


def open_reader(
    endpoint: EndpointSpec | str,
    block: int | str = "latest",
    *,
    expected_chain_id: int | None = None,
    options: Options | None = None,
) -> RpcReader:
    """Pin a reader to a block of the chain that an endpoint serves.

    block: a number, a negative offset from the head, a tag, or a hash. Raises ConfigError for a URL or block that
    cannot be read, WrongChainError, BlockUnavailable for an unknown block or pruned state, RpcError.
    """
    chosen = options or Options()
    thread = loop_thread()
    opened = Endpoint(EndpointSpec(endpoint) if isinstance(endpoint, str) else endpoint, chosen)
    try:
        return thread.run(_open(thread, opened, block, expected_chain_id, chosen))
    except BaseException:
        thread.run(opened.close())
        raise


async def _open(
    thread: LoopThread, endpoint: Endpoint, wanted: int | str, expected_chain_id: int | None, options: Options
) -> RpcReader:
    chain_id = int(await endpoint.text("eth_chainId", []), 16)
    if expected_chain_id is not None and chain_id != expected_chain_id:
        raise WrongChainError(
            f"{endpoint.host} serves chain {chain_id}, not {expected_chain_id}; "
            "use an RPC URL of that chain, or name the chain that this one serves"
        )
    genesis, block = await asyncio.gather(block_by_number(endpoint, 0), resolve_block(endpoint, wanted))
    if genesis is None:
        raise BlockUnavailable(f"{endpoint.host}: the node does not know block 0, so its chain cannot be told")
    try:
        pin = await _pin(endpoint, block)
    except RpcFailure as failure:
        raise _unavailable(failure, block) from failure
    return RpcReader(thread, PinnedCalls(endpoint, pin, options.gas), chain_id, genesis.hash, block, options)


async def _pin(endpoint: Endpoint, block: Block) -> object:
    """Find a block parameter that the endpoint takes, and see that it has the state: by hash, else by number."""
    by_hash = {"blockHash": block.hash, "requireCanonical": True}
    try:
        await endpoint.text("eth_getBalance", ["0x" + 40 * "0", by_hash])
    except RpcFailure as failure:
        if failure.kind in _PIN_FINAL_ANSWERS:
            raise
    else:
        return by_hash
    now = await block_by_number(endpoint, block.number)
    if now is None or now.hash != block.hash:
        raise BlockUnavailable(
            f"{endpoint.host}: block {block.hash} is not the canonical block {block.number}; "
            "it was reorganised away, so name another one"
        )
    try:
        await endpoint.text("eth_getBalance", ["0x" + 40 * "0", hex(block.number)])
    except RpcFailure as failure:
        if failure.kind is not Kind.BLOCK_UNKNOWN:
            raise
        raise BlockUnavailable(
            f"{failure}; the node has block {block.number} but not its state: use an archive node or a newer block"
        ) from failure
    return hex(block.number)


async def _finalized(endpoint: Endpoint) -> int:
    try:
        tagged = await block_by_number(endpoint, "finalized")
    except RpcFailure as failure:
        if failure.kind not in (Kind.INVALID_PARAMS, Kind.BLOCK_UNKNOWN, Kind.OTHER, Kind.NO_METHOD):
            raise
        tagged = None
    if tagged is not None and tagged.number > 0:
        return tagged.number
    return max(await head_number(endpoint) - _FINALITY, 0)


def _unavailable(failure: RpcFailure, block: Block) -> ChainError:
    if failure.kind is Kind.STATE_MISSING:
        return BlockUnavailable(f"the state of block {block.number} is not there: {failure}")
    if failure.kind is Kind.BLOCK_UNKNOWN:
        return BlockUndone(
            f"block {block.number} ({block.hash}) is not known any more, perhaps reorganised away: {failure}"
        )
    return failure
