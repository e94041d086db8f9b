"""A Reader on a live endpoint: one block, pinned by hash."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Final, TypeVar

from scanner.chain.blocks import block_by_number, head_number
from scanner.chain.calls import Caller
from scanner.chain.deadline import Deadline
from scanner.chain.endpoint import Endpoint
from scanner.chain.failures import Kind, RpcFailure
from scanner.chain.interface import Block, Call, Lens, LensChunk, Log, LogQuery, Overrides, Reverted, Way
from scanner.chain.lag import await_block
from scanner.chain.learned import Learned
from scanner.chain.leaving import Leaving
from scanner.chain.lenses import run_lens
from scanner.chain.logs import read_logs
from scanner.chain.opening import Opening, read_opening
from scanner.chain.options import Options
from scanner.chain.pinned import PinnedCalls
from scanner.chain.pinning import find_pin, pin_by_hash
from scanner.chain.proof_requests import ask_header, ask_proofs
from scanner.chain.provable import Answered, SlotsAnswered, Wanted
from scanner.chain.spec import EndpointSpec
from scanner.chain.translog import TransportLog
from scanner.chain.transport import LoopThread, loop_thread
from scanner.chain.watched import WatchedCalls
from scanner.chain.world import Assumed
from scanner.errors import BlockUnavailable, BlockUndone, ChainError

__all__ = ["RpcReader", "open_reader"]

T = TypeVar("T")

_FINALITY: Final = 64  # blocks behind the head that are taken for final where the endpoint names none


class RpcReader(Leaving):
    """The chain at one block, read over JSON-RPC. Made by ``open_reader``; use it in a ``with`` statement.

    Synchronous; requests run in the loop thread of ``chain``. Leaving the ``with`` block without an error calls
    ``finish``.
    """

    def __init__(
        self,
        thread: LoopThread,
        pinned: PinnedCalls,
        opening: Opening,
        options: Options,
    ) -> None:
        self._thread = thread
        self._endpoint = pinned.endpoint
        self._pinned = pinned
        self._caller = Caller(pinned, options)
        self._options = options
        self._finalized = None if opening.final is None else min(opening.final, opening.block.number)
        self._hashes = opening.hashes
        self.head = opening.head
        self.chain_id = opening.chain_id
        self.genesis_hash = opening.genesis_hash
        self.block = opening.block
        self.hosts: tuple[str, ...] = (pinned.endpoint.host,)

    @property
    def way(self) -> Way | None:
        """How many reads were put into one call: the last of the ways that had to be taken; None before the first."""
        return self._caller.way

    @property
    def by_hash(self) -> bool:
        """Whether calls name the block by its hash, so that no other one can answer."""
        return not isinstance(self._pinned.pin, str)

    @property
    def learned(self) -> Learned:
        """What was learned of the endpoint."""
        return self._endpoint.learned

    def finalized_number(self) -> int:
        """Give the newest block that cannot be undone: the finalized tag, else 64 behind the head."""
        if self._finalized is None:
            self._finalized = min(self._run(_finalized(self._endpoint)), self.block.number)
        return self._finalized

    def block_hash(self, number: int) -> str | None:
        """Give the hash of the canonical block of a number; None when the node has none."""
        if number not in self._hashes:
            block = self._run(block_by_number(self._endpoint, number))
            return None if block is None else block.hash
        return self._hashes[number]

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
            yield from self._thread.iterate(read_logs(self._endpoint, query, self._options, self.block))

    def header(self) -> Answered:
        """Give the pinned block as the endpoint describes it, unproven."""
        return self._run(ask_header(self._endpoint, self.block))

    def proofs(self, wanted: Wanted) -> Iterator[SlotsAnswered]:
        """Ask for proofs of storage slots. Raises ChainError when the endpoint offers none at this block."""
        with self._told():
            yield from self._thread.iterate(
                ask_proofs(self._endpoint, self._pinned.pin, self.block, wanted, self._options)
            )

    def finish(self) -> None:
        """Check that the block is still on the chain. Raises BlockUndone when it was reorganised away."""
        self._run(await_block(self._endpoint, self.block, self._options, reading=True))

    def close(self) -> None:
        """Close the connections."""
        self._thread.run(self._endpoint.close())

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
    block: int | str | Block = "latest",
    *,
    expected_chain_id: int | None = None,
    expected_genesis: str | None = None,
    options: Options | None = None,
    learned: Learned | None = None,
    also: Sequence[int] = (),
    deadline: Deadline | None = None,
    log: TransportLog | None = None,
    told: Callable[[str], None] | None = None,
    world: Assumed | None = None,
) -> RpcReader:
    """Pin a reader to a block of the chain that an endpoint serves.

    block: a number, a negative offset from the head, a tag, a hash, or a block that another reader stands at, for
    which a lagging endpoint is given some time. learned: what is known of the endpoint, which is not probed again
    then, and where more is written. also: numbers of blocks whose hashes will be asked for. deadline, log, told: shared
    with other readers of a scan; the last hears what is waited for. world: what every call and lens assumes beside
    the block's state. Raises ConfigError for a URL or block that cannot be read, WrongChainError, BlockUnavailable for
    an unknown block or pruned state, OverridesRefused where a world is not taken, RpcError.
    """
    chosen = options or Options()
    thread = loop_thread()
    spec = EndpointSpec(endpoint) if isinstance(endpoint, str) else endpoint
    opened = Endpoint(spec, chosen, learned, deadline, log, told)
    try:
        return thread.run(_open(thread, opened, block, expected_chain_id, also, chosen, expected_genesis, world))
    except BaseException:
        thread.run(opened.close())
        raise


async def _open(
    thread: LoopThread,
    endpoint: Endpoint,
    wanted: int | str | Block,
    expected_chain_id: int | None,
    also: Sequence[int],
    options: Options,
    expected_genesis: str | None,
    world: Assumed | None,
) -> RpcReader:
    opening = await read_opening(endpoint, wanted, expected_chain_id, also, options, expected_genesis)
    if "calls" not in endpoint.spec.roles:  # it may have no state, and is not asked for any
        pinned = WatchedCalls(endpoint, pin_by_hash(opening.block), opening.block, options, seen=False)
        return RpcReader(thread, pinned, opening, options)
    try:
        pin, seen = await find_pin(endpoint, opening.block, options, by_number=opening.by_number)
    except RpcFailure as failure:
        raise _unavailable(failure, opening.block) from failure
    pinned = WatchedCalls(endpoint, pin, opening.block, options, seen=seen, world=world)
    if world is not None:
        await world.check(pinned)
    return RpcReader(thread, pinned, opening, options)


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
