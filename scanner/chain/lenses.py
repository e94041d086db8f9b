"""Run a lens over many items: injected by a state override, sized by what earlier chunks cost."""

from __future__ import annotations

import time
from array import array
from collections.abc import AsyncGenerator, Sequence
from typing import Final

from scanner.chain.calls import Caller, refuses_overrides
from scanner.chain.failures import SHRINKABLE, RpcFailure
from scanner.chain.interface import Lens, LensChunk
from scanner.chain.options import Options
from scanner.chain.pinned import PinnedCalls
from scanner.chain.sizing import LensSize, Span, Spans
from scanner.chain.sweep import sweep
from scanner.errors import DecodeError, OverridesRefused, RpcError

__all__ = ["LENS", "check_records", "run_lens"]

LENS: Final = "0x" + b"liqbands.lens.......".hex()
"""Where a lens is put for the length of a call: text, so no key and no contract can own it."""

_WORD: Final = 32


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
        self, pinned: PinnedCalls, caller: Caller, lens: Lens, items: Sequence[bytes], options: Options
    ) -> None:
        self._pinned = pinned
        self._caller = caller
        self._lens = lens
        self._items = items
        self._spans = Spans(len(items))
        self._overrides = {**lens.overrides, LENS: lens.code}
        injected = sum(map(len, self._overrides.values())) + len(lens.header)
        self._size = LensSize(
            item_bytes=lens.item_bytes,
            gas=options.lens_gas,
            request_bytes=options.request_bytes - 2 * injected,
            answer_bytes=options.answer_bytes,
            seconds=options.seconds,
            start=min(options.lens_start, lens.start or options.lens_start),
            concurrency=options.concurrency,
        )

    def take(self) -> Span | None:
        return self._spans.take(self._size.size(self._spans.left))

    async def ask(self, job: Span) -> LensChunk:
        started = time.perf_counter()
        items = b"".join(self._items[job.first : job.first + job.count])
        if len(items) != job.count * self._lens.item_bytes:
            raise ValueError(f"every item of lens {self._lens.name} has {self._lens.item_bytes} bytes")
        try:
            answer = await self._pinned.call(LENS, self._lens.header + items, self._overrides, shrinkable=job.count > 1)
        except RpcFailure as failure:
            if not self._caller.takes_overrides and refuses_overrides(failure):
                raise OverridesRefused(f"{failure}", code=failure.code) from failure
            raise
        if not answer:
            raise OverridesRefused(f"{self._pinned.endpoint.host}: the endpoint ignores state overrides in eth_call")
        if len(answer) % _WORD:
            raise DecodeError(f"lens {self._lens.name}: {len(answer)} bytes are no whole number of words")
        self._caller.prove_overrides(True)
        records, gas = answer[:-_WORD], int.from_bytes(answer[-_WORD:], "big")
        check_records(records, job.count, self._lens.name)
        self._size.learn(job.count, gas, len(answer), time.perf_counter() - started)
        return LensChunk(job.first, job.count, records)

    def failed(self, job: Span, failure: RpcFailure) -> None:
        try:
            self._spans.put_back(self._size.shrink(job, failure))
        except RpcFailure as last:
            if job.count > 1 or last.kind not in SHRINKABLE:
                raise
            item = self._items[job.first].hex()
            raise RpcError(f"lens {self._lens.name} cannot read item 0x{item}: {last}", code=last.code) from last


async def run_lens(
    pinned: PinnedCalls, caller: Caller, lens: Lens, items: Sequence[bytes], options: Options
) -> AsyncGenerator[LensChunk, None]:
    """Give the chunks as they come. Raises RpcError, OverridesRefused, DecodeError."""
    covered = 0
    async for _, chunk in sweep(_LensWork(pinned, caller, lens, items, options), options.concurrency):
        covered += chunk.count
        yield chunk
    if covered != len(items):
        raise AssertionError("items were left unread")
