"""Run a lens over many items: by the ways of the ladder, sized by what earlier chunks cost."""

from __future__ import annotations

from array import array
from collections.abc import AsyncGenerator, Sequence
from hashlib import sha256
from typing import Final

from scanner.chain.calls import Caller
from scanner.chain.failures import SHRINKABLE, Kind, RpcFailure
from scanner.chain.interface import Lens, LensChunk
from scanner.chain.ladder import Ladder, Program
from scanner.chain.learned import MOST_LENSES
from scanner.chain.options import Options
from scanner.chain.pinned import PinnedCalls
from scanner.chain.sizing import LensSize, Span, Spans
from scanner.chain.spent import measured
from scanner.chain.sweep import sweep
from scanner.errors import DecodeError, OverridesRefused, RpcError

__all__ = ["LENS", "check_records", "run_lens"]

LENS: Final = "0x" + b"liqbands.lens.......".hex()
"""Where a lens is put for the length of a call: text, so no key and no contract can own it."""

_WORD: Final = 32
_GAS_SHARE: Final = 0.9  # of what a call gets: no two chunks of items take the same


def check_records(records: bytes, count: int, name: str) -> None:
    """Check that records are whole words whose first four bytes name one of ``count`` items.

    Raises DecodeError.
    """
    if len(records) % _WORD:
        raise DecodeError(f"lens {name}: {len(records)} bytes are no whole number of records")
    if not records:
        return
    positions = array("I", memoryview(records).cast("I")[:: _WORD // 4].tobytes())
    if memoryview(b"\x01\x00\x00\x00").cast("I")[0] == 1:  # little-endian machine, big-endian words
        positions.byteswap()
    if (largest := max(positions)) >= count:
        raise DecodeError(f"lens {name}: a record names item {largest} of {count}")


class _LensWork:
    def __init__(
        self, pinned: PinnedCalls, ladder: Ladder, lens: Lens, items: Sequence[bytes], options: Options
    ) -> None:
        self._pinned = pinned
        self._ladder = ladder
        self._lens = lens
        self._items = items
        self._spans = Spans(len(items))
        self._program = Program(LENS, lens.code, lens.overrides)
        self._learned = pinned.endpoint.learned
        self._key = f"{lens.name} {sha256(lens.header).hexdigest()[:8]}"
        known = self._learned.request_bytes
        asked = pinned.gas
        injected = sum(map(len, lens.overrides.values())) + len(lens.code) + len(lens.header)
        injected += 0 if pinned.world is None else pinned.world.size
        self._size = LensSize(
            total=len(items),
            item_bytes=lens.item_bytes,
            gas=options.lens_gas if asked is None else min(options.lens_gas, int(_GAS_SHARE * asked)),
            gas_is_known=self._learned.gas_cap is not None,
            item_gas=self._learned.lens_gas.get(self._key),
            request_bytes=min(options.request_bytes, known or options.request_bytes) - 2 * injected,
            answer_bytes=options.answer_bytes,
            seconds=options.seconds,
            start=min(options.lens_start, lens.start or options.lens_start),
            concurrency=options.concurrency,
        )

    def take(self) -> Span | None:
        room = self._ladder.room(self._program)
        items = None if room is None else (room - len(self._lens.header)) // self._lens.item_bytes
        most = self._size.most(items, self._ladder.extra_gas(self._program))
        span = self._spans.take(self._size.size(self._spans.left, most))
        if span is not None and span.count > most:  # it came back, and what came back since says that it is too large
            first, *rest = span.split(most)
            self._spans.put_back(rest)
            return first
        return span

    async def ask(self, job: Span) -> LensChunk:
        items = b"".join(self._items[job.first : job.first + job.count])
        if len(items) != job.count * self._lens.item_bytes:
            raise ValueError(f"every item of lens {self._lens.name} has {self._lens.item_bytes} bytes")
        with measured() as spent:
            answer = await self._ladder.run(self._program, self._lens.header + items, shrinkable=job.count > 1)
        if not answer or len(answer) % _WORD:
            raise DecodeError(f"lens {self._lens.name}: {len(answer)} bytes are no whole number of words")
        records, gas = answer[:-_WORD], int.from_bytes(answer[-_WORD // 2 :], "big")
        check_records(records, job.count, self._lens.name)
        # what the way to the node takes says nothing of what the items take
        worked = spent.seconds - self._pinned.quickest
        self._size.learn(job.count, gas, len(answer), worked if worked > 0 else spent.seconds / 2)
        return LensChunk(job.first, job.count, records)

    def failed(self, job: Span, failure: RpcFailure) -> None:
        try:
            self._spans.put_back(self._size.shrink(job, failure))
        except RpcFailure as last:
            if job.count > 1 or last.kind not in SHRINKABLE:
                raise
            if last.kind is Kind.PAYLOAD_TOO_LARGE and self._ladder.room(self._program) is not None:
                raise OverridesRefused(f"{last}", code=last.code) from last
            item = self._items[job.first].hex()
            raise RpcError(f"lens {self._lens.name} cannot read item 0x{item}: {last}", code=last.code) from last

    def remember(self) -> None:
        """Keep what an item takes, so that the next run's first request has its full size."""
        gas = self._size.item_gas
        if gas is None:
            return
        known = self._learned.lens_gas
        known.pop(self._key, None)
        while len(known) >= MOST_LENSES:
            del known[next(iter(known))]
        known[self._key] = gas


async def run_lens(
    pinned: PinnedCalls, caller: Caller, lens: Lens, items: Sequence[bytes], options: Options
) -> AsyncGenerator[LensChunk, None]:
    """Give the chunks as they come. Raises RpcError, OverridesRefused, DecodeError."""
    covered = 0
    work = _LensWork(pinned, caller.ladder, lens, items, options)
    # as many as the endpoint takes: a call of full size is worth a round trip of its own
    async for _, chunk in sweep(work, 2 * options.concurrency):
        covered += chunk.count
        yield chunk
    if covered != len(items):
        raise AssertionError("items were left unread")
    work.remember()
