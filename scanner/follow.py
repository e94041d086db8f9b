"""Scan block after block: which blocks, in which order, and what a reorganisation made void."""

from __future__ import annotations

import re
import time
from collections import deque
from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass, replace
from typing import Final, Literal, TypeVar

from scanner.chain.blocks import TAGS, block_parameter
from scanner.chain.deadline import Deadline
from scanner.chain.heads import Heads
from scanner.chain.interface import Block
from scanner.chain.spec import specs_of
from scanner.config import data_dir
from scanner.errors import (
    BlockUnavailable,
    BlockUndone,
    ChainError,
    ConfigError,
    DecodeError,
    DevchainError,
    ProofMismatch,
)
from scanner.options import ScanOptions, parse_duration
from scanner.pipeline import Scanned, scan_read
from scanner.reading import Listener
from scanner.sources import Session, begin

__all__ = ["Pace", "Step", "Undone", "follow", "parse_pace"]

T = TypeVar("T")

_REMEMBERED: Final = 1024  # blocks that were given, among which the last one that still holds is looked for
_BEHIND: Final = 15  # polls after which a node that has fallen behind is believed: its chain has become shorter
_ODD: Final = 3  # scans in a row that no decoder can read
_TOLD_AFTER: Final = 3  # polls in a row that fail before anything is said of it
_LONGEST_PAUSE: Final = 10.0  # seconds between two tries of an endpoint that is away


@dataclass(frozen=True, slots=True)
class Pace:
    """How often a block is scanned: every so many blocks, at most every so many seconds.

    poll: seconds between two questions for the newest block.
    """

    blocks: int = 1
    seconds: float = 0.0
    poll: float = 1.0


@dataclass(frozen=True, slots=True)
class Undone:
    """Blocks that a reorganisation took from the chain: all from ``first_block`` on, of those that were given.

    first_block: None where all that was given may be void. number, block_hash: the last one that was given; the number
    is None where nobody knows that block any more.
    """

    first_block: int | None
    number: int | None
    block_hash: str


@dataclass(frozen=True)
class Step:
    """The next block. ``start``: the first of all; ``base``: what is known already, of which changes are wanted.

    ``undone``: what was given before is not on the chain any more.
    """

    kind: Literal["start", "base", "block"]
    scanned: Scanned
    undone: Undone | None = None


def parse_pace(every: str | None, poll: str | None) -> Pace:
    """Read a pace as the command line takes it: 5 blocks, or 30s. Raises ConfigError."""
    pace = Pace()
    if every is not None:
        if re.fullmatch(r"[1-9]\d{0,8}", every.strip()):
            pace = replace(pace, blocks=int(every))
        else:
            pace = replace(pace, seconds=_seconds("--every", every, "a number of blocks, or seconds such as 30s"))
    if poll is not None:
        pace = replace(pace, poll=_seconds("--poll", poll, "seconds such as 2s or 0.5s"))
    return pace


def follow(
    options: ScanOptions,
    *,
    pace: Pace = Pace(),
    since: str | int | None = None,
    blocks: int | None = None,
    listener: Listener | None = None,
    told: Callable[[str], None] = lambda line: None,
    idle: Callable[[], None] = lambda: None,
) -> Generator[Step, None, None]:
    """Scan the newest block, then the next ones as they come, without an end.

    While the caller works on a step nothing is scanned: the next step is the newest block then, and those between are
    left out. since: a block, by number or hash, with whose scan to begin (``base``); where it was undone, the newest
    one is the start again. blocks: end after so many steps, the base not counted. listener: hears the first scan.
    told: hears what is waited for. idle: called now and then while nothing happens; what it raises ends the stream.

    The first scan raises what ``scan`` raises. Later on a node that fails is waited for, unless ``time_limit`` ends
    that wait; it bounds each scan too. An answer that cannot be decoded is an error when it comes three times in a row.
    Raises ConfigError for options that cannot follow, BlockUnavailable where the state of ``since`` is gone.
    """
    tag = block_parameter(options.block)
    if options.replay is not None or options.record is not None:
        raise ConfigError("a stream follows a node: it neither replays nor records")
    if not isinstance(tag, str) or tag not in TAGS or tag == "earliest":
        raise ConfigError(f"a stream goes on from latest, safe or finalized: leave out --block {options.block}")
    if options.for_timestamp is not None and not options.for_timestamp.startswith("+"):
        raise ConfigError(f"--for-timestamp {options.for_timestamp}: blocks come to pass it; give one such as +12s")
    base = None if since is None else _fixed(since)
    with (
        begin(None, options.transport_log, data_dir()) as session,
        Heads(specs_of(options.rpc_urls), tag, session.learned_of, session.log) as heads,
    ):
        given = 0
        for step in _Follower(options, pace, session, heads, told, idle).steps(base, listener):
            yield step
            given += step.kind != "base"
            if given == blocks:
                return


class _Follower:
    def __init__(
        self,
        options: ScanOptions,
        pace: Pace,
        session: Session,
        heads: Heads,
        told: Callable[[str], None],
        idle: Callable[[], None],
    ) -> None:
        self._options = options
        self._pace = pace
        self._session = session
        self._heads = heads
        self._told = told
        self._idle = idle
        self._limit = parse_duration(options.time_limit)
        self._given: deque[tuple[int, str]] = deque(maxlen=_REMEMBERED)
        self._began = 0.0  # the last scan
        self._behind = 0

    def steps(self, base: int | str | None, listener: Listener | None) -> Iterator[Step]:
        """Give the steps; never ends."""
        undone = None if base is None else self._undone_before(base)
        if base is None or undone is not None:
            yield self._step("start", self._scan(self._options, listener), undone)
        else:
            yield self._step("base", self._scan_base(base, listener))
        self._session.keep()  # the process may be killed
        while True:
            self._await_news()
            scanned = self._patiently(self._scan_newest, 1)
            if scanned is not None and (step := self._next(scanned)) is not None:
                yield step

    def _scan(self, options: ScanOptions, listener: Listener | None = None) -> Scanned:
        """Scan a block. An incremental scan goes in here."""
        self._began = time.monotonic()
        session = replace(self._session, deadline=Deadline(self._limit), quarantined={})
        return scan_read(options, listener=listener, session=session)

    def _scan_newest(self) -> Scanned | None:
        try:
            return self._scan(self._options)
        except BlockUndone:  # the next one is on its way
            return None

    def _scan_base(self, base: int | str, listener: Listener | None) -> Scanned:
        try:
            return self._scan(replace(self._options, block=base), listener)
        except BlockUnavailable as error:
            raise BlockUnavailable(
                f"--since {base}: {error}. Without that block's state there is nothing to compare with: leave out "
                "--since and take the stream's snapshot in place of what is known, or use an archive node"
            ) from error

    def _step(self, kind: Literal["start", "base", "block"], scanned: Scanned, undone: Undone | None = None) -> Step:
        snapshot = scanned.result.snapshot
        self._given.append((snapshot.block_number, snapshot.block_hash))
        self._behind = 0
        return Step(kind, scanned, undone)

    def _next(self, scanned: Scanned) -> Step | None:
        """Put a scan behind what was given; None where it is of a block that was given, by a node that lags."""
        last, last_hash = self._given[-1]
        number, block_hash = scanned.result.snapshot.block_number, scanned.result.snapshot.block_hash
        if block_hash == last_hash or (self._behind < _BEHIND and (number, block_hash) in self._given):
            return None
        if number > last and self._still(last) == last_hash:
            return self._step("block", scanned)
        while len(self._given) and not (self._given[-1][0] <= number and self._holds(*self._given[-1])):
            self._given.pop()
        first = self._given[-1][0] + 1 if self._given else None
        return self._step("block", scanned, Undone(first, last, last_hash))

    # -- what is on the chain

    def _await_news(self) -> None:
        """Wait until the newest block is another one, and far enough from the last."""
        while not self._news(self._patiently(self._heads.newest, _TOLD_AFTER)):
            self._pause(self._pace.poll)

    def _news(self, head: Block) -> bool:
        last, last_hash = self._given[-1]
        if head.hash == last_hash:
            self._behind = 0
            return False
        if head.number > last:
            self._behind = 0
            waited = time.monotonic() - self._began
            return head.number >= last + self._pace.blocks and waited >= self._pace.seconds
        if head.number == last or head.hash != dict(self._given).get(head.number, head.hash):
            return True
        self._behind += 1  # a node behind the others, or a chain that became shorter
        return self._behind >= _BEHIND

    def _still(self, number: int) -> str | None:
        """Give the hash of a block's number, for which a node that lags is given some time."""
        for _ in range(_BEHIND):
            if (seen := self._patiently(lambda: self._heads.hash_at(number), _TOLD_AFTER)) is not None:
                return seen
            self._pause(self._pace.poll)
        return None

    def _holds(self, number: int, block_hash: str) -> bool:
        return self._patiently(lambda: self._heads.hash_at(number), _TOLD_AFTER) == block_hash

    def _undone_before(self, base: int | str) -> Undone | None:
        """Say that a block that was named by its hash is not on the chain any more."""
        if isinstance(base, int):
            return None
        found = self._heads.block(base)
        if found is None:
            self._told(f"block {base} is unknown to the node: undone, or of another chain; starting with a snapshot")
            return Undone(None, None, base)
        return None if self._heads.hash_at(found.number) == base else Undone(None, found.number, base)

    def _pause(self, seconds: float) -> None:
        self._idle()
        time.sleep(seconds)

    # -- nodes that are away

    def _patiently(self, ask: Callable[[], T], told_after: int) -> T:
        """Ask until there is an answer, with growing pauses; say so after some failures in a row."""
        failures, began = 0, time.monotonic()
        while True:
            try:
                answer = ask()
            except (ProofMismatch, DevchainError):
                raise
            except (ChainError, DecodeError) as error:
                failures += 1
                # a node in the middle of a new block may answer of two blocks at once; that it goes on doing so is odd
                if isinstance(error, DecodeError) and failures >= _ODD:
                    raise
                if self._limit is not None and time.monotonic() - began >= self._limit:
                    raise
                if failures == told_after:
                    self._told(f"waiting for the node: {error}")
                self._pause(min(self._pace.poll * 2.0 ** min(failures - 1, 10), _LONGEST_PAUSE))
            else:
                if failures >= told_after:
                    self._told(f"the node answers again after {time.monotonic() - began:.0f} s")
                return answer


def _fixed(since: int | str) -> int | str:
    """Read the block of ``since``: a number or a hash."""
    wanted = block_parameter(since)
    if wanted in TAGS or (isinstance(wanted, int) and wanted < 0):
        raise ConfigError(f"--since {since}: give the number or, better, the hash of the last block that was read")
    return wanted


def _seconds(option: str, text: str, meant: str) -> float:
    written = re.fullmatch(r"(\d{1,6}(?:\.\d{1,6})?)(s|m)", text.strip())
    seconds = float(written[1]) * {"s": 1, "m": 60}[written[2]] if written else 0.0
    if not seconds:
        raise ConfigError(f"{option} {text}: give {meant}")
    return seconds
