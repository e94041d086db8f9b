"""Readers that write and read recordings. A replay needs no node, no network and no event loop."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from scanner.chain.interface import Block, Call, Lens, LensChunk, Log, LogQuery, Overrides, Reader, Reverted, Way
from scanner.chain.recording import LogsFound, Recording, call_key, lens_key, load, log_key
from scanner.errors import BlockUnavailable, OverridesRefused, RecordingError

__all__ = ["RecordingReader", "ReplayReader"]

_WORD: Final = 32
_POSITION: Final = 4
_COMMAND: Final = "liqbands scan --verify all --record FILE"


class RecordingReader:
    """A reader that passes everything on and keeps what was answered.

    Finishing and closing stay with the reader inside, whose ``with`` block holds this one.
    """

    def __init__(self, inner: Reader, *, command: str = _COMMAND) -> None:
        """Record ``inner``. ``command`` is shown to whoever misses a call in the recording; it must name no URL."""
        self._inner = inner
        self.chain_id = inner.chain_id
        self.genesis_hash = inner.genesis_hash
        self.block = inner.block
        self.hosts = inner.hosts
        self.recording = Recording(
            chain_id=inner.chain_id,
            genesis_hash=inner.genesis_hash,
            block=inner.block,
            finalized=inner.finalized_number(),
            hosts=inner.hosts,
            command=command,
        )

    @property
    def way(self) -> Way | None:
        """Give what the reader inside says."""
        return self._inner.way

    def finalized_number(self) -> int:
        """Give what the reader inside says."""
        return self.recording.finalized

    def block_hash(self, number: int) -> str | None:
        """Give what the reader inside says; a replay has its own list of accounts and never asks."""
        return self._inner.block_hash(number)

    def call(self, calls: Sequence[Call], *, overrides: Overrides | None = None) -> list[bytes | Reverted]:
        """Answer calls and keep the answers."""
        with self._refusal_noted():
            answers = self._inner.call(calls, overrides=overrides)
        for call, answer in zip(calls, answers, strict=True):
            self.recording.calls[call_key(call, overrides)] = answer
        return answers

    def lens(self, lens: Lens, items: Sequence[bytes]) -> Iterator[LensChunk]:
        """Run a lens and keep the records of each item."""
        kept = self.recording.lenses.setdefault(lens_key(lens), {})
        with self._refusal_noted():
            for chunk in self._inner.lens(lens, items):
                kept.update(_by_item(chunk, items))
                yield chunk

    def logs(self, query: LogQuery) -> Iterator[tuple[int, list[Log]]]:
        """Give logs and keep them with the range they cover."""
        found = self.recording.logs.setdefault(log_key(query), LogsFound())
        first = query.first_block
        for last, logs in self._inner.logs(query):
            found.add(first, last, logs)
            first = last + 1
            yield last, logs

    def save(self, path: Path) -> None:
        """Write what was recorded until now."""
        self.recording.way = self.way
        self.recording.save(path)

    @contextmanager
    def _refusal_noted(self) -> Iterator[None]:
        try:
            yield
        except OverridesRefused:
            self.recording.takes_overrides = False
            raise


class ReplayReader:
    """The chain as a recording has it.

    Raises RecordingError for anything that was not recorded, naming the command that records it again.
    """

    def __init__(self, source: Path | Recording) -> None:
        """Open a file or take a loaded recording. Raises RecordingError for a damaged file."""
        self.recording = source if isinstance(source, Recording) else load(source)
        self._name = "the recording" if isinstance(source, Recording) else str(source)
        self.chain_id: int = self.recording.chain_id
        self.genesis_hash: str = self.recording.genesis_hash
        self.block: Block = self.recording.block
        self.hosts: tuple[str, ...] = self.recording.hosts

    @property
    def way(self) -> Way | None:
        """Give what the recorded endpoint took."""
        return self.recording.way

    def finalized_number(self) -> int:
        """Give what the recorded endpoint said."""
        return self.recording.finalized

    def block_hash(self, number: int) -> str | None:
        """Give the hash of the recorded block, the only one that is known here."""
        return self.block.hash if number == self.block.number else None

    def call(self, calls: Sequence[Call], *, overrides: Overrides | None = None) -> list[bytes | Reverted]:
        """Give the recorded answers, in order."""
        return [self._answer(call, overrides) for call in calls]

    def lens(self, lens: Lens, items: Sequence[bytes]) -> Iterator[LensChunk]:
        """Give the recorded records in chunks, as far as they were read, and then refuse where the endpoint did."""
        if not items:
            return
        kept, refuses = self.recording.lenses.get(lens_key(lens)), not self.recording.takes_overrides
        if kept is None and not refuses:
            raise self._missing(f"lens {lens.name} with this code and header")
        kept = kept or {}
        first, missing = 0, [position for position, item in enumerate(items) if item not in kept]
        if missing and not refuses:
            raise self._missing(f"item 0x{items[missing[0]].hex()} of lens {lens.name}")
        for end in [*missing, len(items)]:
            if end > first:
                yield LensChunk(first, end - first, b"".join(_in_place(kept, items[first:end])))
            first = end + 1
        if missing:
            raise OverridesRefused(f"{self._name} is of an endpoint that runs no programs in a call")

    def logs(self, query: LogQuery) -> Iterator[tuple[int, list[Log]]]:
        """Give the recorded logs of the range in one step."""
        if query.last_block > self.block.number:
            raise BlockUnavailable(f"logs up to block {query.last_block}: the reader stands at {self.block.number}")
        if query.first_block > query.last_block:
            return
        found = self.recording.logs.get(log_key(query))
        logs = None if found is None else found.between(query.first_block, query.last_block)
        if logs is None:
            raise self._missing(f"the logs of blocks {query.first_block} to {query.last_block} for this filter")
        yield query.last_block, logs

    def finish(self) -> None:
        """Do nothing: a recorded block stays."""

    def close(self) -> None:
        """Do nothing: nothing is open."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        pass

    def _answer(self, call: Call, overrides: Overrides | None) -> bytes | Reverted:
        try:
            return self.recording.calls[call_key(call, overrides)]
        except KeyError:
            if overrides and not self.recording.takes_overrides:
                raise OverridesRefused(f"{self._name} is of an endpoint that takes no state overrides") from None
            changed = " with code overrides" if overrides else ""
            raise self._missing(f"a call of 0x{call.data[:4].hex()} to {call.to}{changed}") from None

    def _missing(self, what: str) -> RecordingError:
        return RecordingError(f"{self._name} lacks {what}; record it again with: {self.recording.command}")


def _in_place(kept: Mapping[bytes, bytes], items: Sequence[bytes]) -> Iterator[bytes]:
    """Give the records of items with their positions among them."""
    for position, item in enumerate(items):
        prefix, records = position.to_bytes(_POSITION, "big"), kept[item]
        yield from (prefix + records[at + _POSITION : at + _WORD] for at in range(0, len(records), _WORD))


def _by_item(chunk: LensChunk, items: Sequence[bytes]) -> dict[bytes, bytes]:
    """Sort the records of a chunk by item, with positions of zero; an item without records gets no bytes."""
    parts: list[list[bytes]] = [[] for _ in range(chunk.count)]
    blank = bytes(_POSITION)
    for at in range(0, len(chunk.records), _WORD):
        position = int.from_bytes(chunk.records[at : at + _POSITION], "big")
        parts[position].append(blank + chunk.records[at + _POSITION : at + _WORD])
    return {items[chunk.first + i]: b"".join(records) for i, records in enumerate(parts)}
