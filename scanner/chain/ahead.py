"""A reader that asks at once what the last scan asked one after the other."""

from __future__ import annotations

import re
import threading
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import replace
from typing import Final

import msgspec

from scanner.beside import beside
from scanner.chain.interface import Block, Call, Lens, LensChunk, Log, LogQuery, Overrides, Reader, Reverted, Way
from scanner.errors import ChainError, DataError

__all__ = ["AheadReader", "Hints", "LogHint"]

_MOST_CALLS: Final = 5_000
_MOST_BYTES: Final = 400_000
_MOST_BLOCKS: Final = 1_000
_MOST_FILTERS: Final = 100
_MOST_LOGS: Final = 2_000  # blocks
_ADDRESS: Final = re.compile("0x[0-9a-f]{40}")
_TOPIC: Final = re.compile("0x[0-9a-f]{64}")

Answer = bytes | Reverted


class LogHint(msgspec.Struct):
    """Which logs the next scan will ask for, up to its block. Raises ValueError for what no scan asks."""

    addresses: tuple[str, ...]
    topics: tuple[str, ...]
    first_block: int

    def __post_init__(self) -> None:
        if len(self.addresses) > _MOST_FILTERS or len(self.topics) > _MOST_FILTERS:
            raise ValueError("too many addresses or topics")
        if not self.addresses or not all(map(_ADDRESS.fullmatch, self.addresses)):
            raise ValueError("logs of what is no address")
        if not all(map(_TOPIC.fullmatch, self.topics)) or not 0 <= self.first_block < 2**63:
            raise ValueError("a topic of another length, or a number that no block has")


class Hints(msgspec.Struct):
    """What a scan asked beside its accounts: ``(to, calldata)`` of calls, numbers of blocks, the newest logs.

    A market is read in rounds, since each answer says what to ask next. The answers change from block to block, the
    questions hardly ever: asked all at once, the rounds cost one. Raises ValueError for what no scan asks,
    or too much of it, so that a file that was damaged is read as none.
    """

    calls: list[tuple[str, bytes]] = []
    blocks: list[int] = []
    logs: LogHint | None = None

    def __post_init__(self) -> None:
        if len(self.calls) > _MOST_CALLS or sum(20 + len(data) for _, data in self.calls) > _MOST_BYTES:
            raise ValueError("too many calls")
        if len(self.blocks) > _MOST_BLOCKS or not all(0 <= number < 2**63 for number in self.blocks):
            raise ValueError("too many blocks, or numbers that no block has")
        if not all(_ADDRESS.fullmatch(to) for to, _ in self.calls):
            raise ValueError("a call of what is no address")


class AheadReader:
    """Pass everything on to a reader; the first call also asks what ``hints`` holds.

    Every answer is of the same block, so that nothing is lost where the hints are wrong but the time of asking.
    ``noted`` is what was asked but ``aside``: the hints for the next scan.
    """

    def __init__(self, inner: Reader, hints: Hints | None = None) -> None:
        self._inner = inner
        self._hints = hints or Hints()
        self._answers: dict[Call, Answer] = {}
        self._asked: dict[Call, None] = {}
        self._blocks: dict[int, None] = {}
        self._final = -1
        self._log_hint: LogHint | None = None
        self._logs: tuple[LogQuery, Future[list[Log]]] | None = None
        self._ended = False
        self._guard = threading.Lock()
        self._noting = True
        self.chain_id: int = inner.chain_id
        self.genesis_hash: str = inner.genesis_hash
        self.block: Block = inner.block

    @property
    def hosts(self) -> tuple[str, ...]:
        """Give the hosts of the reader inside."""
        return self._inner.hosts

    @property
    def way(self) -> Way | None:
        """Give what the reader inside says."""
        return self._inner.way

    @property
    def noted(self) -> Hints | None:
        """Give the hints for the next scan; None when there are too many to be worth it."""
        try:
            return Hints([(call.to, call.data) for call in self._asked], list(self._blocks), self._log_hint)
        except ValueError:
            return None

    @contextmanager
    def aside(self) -> Iterator[None]:
        """Note nothing within the block: what it asks differs from scan to scan."""
        self._noting = False
        try:
            yield
        finally:
            self._noting = True

    def end(self) -> None:
        """Refuse to read from now on: the last check that the block is still there is under way."""
        self._ended = True

    def finalized_number(self) -> int:
        """Give what the reader inside says."""
        self._final = self._inner.finalized_number()
        return self._final

    def block_hash(self, number: int) -> str | None:
        """Give what the reader inside says."""
        if self._noting:
            self._blocks[number] = None
        return self._inner.block_hash(number)

    def call(self, calls: Sequence[Call], *, overrides: Overrides | None = None) -> list[Answer]:
        """Answer calls, those that were asked before from memory. Raises what the reader inside raises."""
        if not calls:
            return []
        self._check()
        if overrides:
            return self._inner.call(calls, overrides=overrides)
        with self._guard:  # the others wait: what they want is on its way
            if self._noting:
                self._asked.update(dict.fromkeys(calls))
            known, self._hints = self._hints, Hints()
            if known.logs is not None:
                self._read_ahead(known.logs)
            if known.calls:
                self._ask_ahead([*calls, *(Call(to, data) for to, data in known.calls)])
            missing = self._missing(calls)
        if missing:
            answers = self._inner.call(missing)
            with self._guard:
                self._answers.update(zip(missing, answers, strict=True))
        return [self._answers[call] for call in calls]

    def lens(self, lens: Lens, items: Sequence[bytes]) -> Iterator[LensChunk]:
        """Run a lens on the reader inside."""
        self._check()
        return self._inner.lens(lens, items)

    def logs(self, query: LogQuery) -> Iterator[tuple[int, list[Log]]]:
        """Give logs of the reader inside, in one step where they were read ahead."""
        self._check()
        if self._noting and query.last_block == self.block.number:
            # final blocks are not read again, once they are in an index
            first = self._final + 1 if self._final >= query.first_block else query.first_block
            self._log_hint = LogHint(query.addresses, query.topics, first)
        ahead, self._logs = self._logs, None
        if ahead is not None and replace(ahead[0], first_block=query.first_block) == query:
            asked, logs = ahead
            if asked.first_block <= query.first_block <= query.last_block:
                try:
                    found = logs.result()
                except (ChainError, DataError):
                    pass  # what is wrong is found out again, and told
                else:
                    yield query.last_block, [log for log in found if log.block_number >= query.first_block]
                    return
        yield from self._inner.logs(query)

    def _read_ahead(self, hint: LogHint) -> None:
        """Begin to read logs. What was read once by the last scan is read once more, which a long gap forbids."""
        last = self.block.number
        if 0 <= last - hint.first_block < _MOST_LOGS:
            query = LogQuery(hint.addresses, hint.topics, hint.first_block, last)
            self._logs = query, beside(lambda: [log for _, logs in self._inner.logs(query) for log in logs])

    def _check(self) -> None:
        if self._ended:
            raise AssertionError("something is read after the end of the reading")

    def _ask_ahead(self, calls: Sequence[Call]) -> None:
        wanted = self._missing(calls)
        try:
            self._answers.update(zip(wanted, self._inner.call(wanted), strict=True))
        except (ChainError, DataError):
            return  # the scan asks for what it needs, and fails on that if it must

    def _missing(self, calls: Iterable[Call]) -> list[Call]:
        return [call for call in dict.fromkeys(calls) if call not in self._answers]
