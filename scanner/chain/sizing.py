"""How much to ask for in one request: grown on success, shrunk on failure. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from heapq import heappop, heappush
from typing import Final

from scanner.chain.failures import SHRINKABLE, Kind, RpcFailure

__all__ = ["BatchSize", "LensSize", "RangeSize", "Span", "Spans"]

_GROWTH: Final = 8  # at most this many times the largest size that has worked
_CALLDATA_GAS: Final = 16  # a non-zero byte; eth_call charges it like a transaction
_INTRINSIC_GAS: Final = 21_000
_STALLS: Final = 4  # timeouts one after the other, with no answer between, before giving up


@dataclass(frozen=True, slots=True)
class Span:
    """Items ``first`` to ``first + count - 1``."""

    first: int
    count: int

    def split(self, size: int) -> list[Span]:
        """Cut into parts of at most ``size`` items."""
        end = self.first + self.count
        return [Span(start, min(size, end - start)) for start in range(self.first, end, size)]


class Spans:
    """What is left of a sequence: spans that came back first, in order, then the untouched rest."""

    def __init__(self, count: int) -> None:
        self._again: list[tuple[int, int]] = []
        self._next = 0
        self._count = count

    @property
    def left(self) -> int:
        """Items that nobody has taken yet."""
        return self._count - self._next

    @property
    def returned(self) -> bool:
        """Whether spans came back and wait."""
        return bool(self._again)

    def take(self, size: int) -> Span | None:
        """Take the next span; those that came back keep their size."""
        if self._again:
            return Span(*heappop(self._again))
        if not self.left:
            return None
        span = Span(self._next, min(size, self.left))
        self._next += span.count
        return span

    def put_back(self, spans: list[Span]) -> None:
        """Return spans, to be taken before anything else."""
        for span in spans:
            heappush(self._again, (span.first, span.count))


class _Stalls:
    """Counts timeouts without an answer between them, so that a dead node is not asked for ever less."""

    def __init__(self) -> None:
        self._count = 0

    def answered(self) -> None:
        self._count = 0

    def failed(self, failure: RpcFailure) -> None:
        self._count += failure.kind is Kind.TIMEOUT
        if self._count >= _STALLS:
            raise failure


class LensSize:
    """Items per lens call, from the gas, bytes and seconds that earlier ones took.

    Budgets are per request. ``start`` items go first, then at most ``_GROWTH`` times the largest success.
    """

    def __init__(
        self,
        *,
        item_bytes: int,
        gas: int,
        request_bytes: int,
        answer_bytes: int,
        seconds: float,
        start: int,
        concurrency: int,
    ) -> None:
        self._item_bytes = max(item_bytes, 1)
        self._gas = float(gas)
        self._request_items = max(request_bytes // (2 * self._item_bytes), 1)  # hex doubles the bytes
        self._answer_bytes = float(answer_bytes)
        self._seconds = seconds
        self._start = start
        self._concurrency = concurrency
        self._largest = 0
        self._per_item: tuple[float, float, float] | None = None
        self._stalls = _Stalls()

    def size(self, left: int) -> int:
        """Say how many of ``left`` items to ask for, so that the last requests end together."""
        if self._per_item is None:
            return min(self._start, self._request_items)
        gas, answer, seconds = self._per_item
        fits = min(
            (self._gas - _INTRINSIC_GAS) / gas,
            self._answer_bytes / answer,
            self._seconds / seconds,
            self._request_items,
            self._largest * _GROWTH,
        )
        size = max(int(fits), 1)
        share = -(-left // self._concurrency)
        return min(size, max(share, size // 4, 1))

    def learn(self, count: int, gas: int, answer: int, seconds: float) -> None:
        """Take the cost of ``count`` items into account: the dearer of the newest and the running mean."""
        self._stalls.answered()
        self._largest = max(self._largest, count)
        newest = (gas / count + self._item_bytes * _CALLDATA_GAS, answer / count + 1.0, seconds / count)
        if self._per_item is None:
            self._per_item = newest
            return
        gas_mean, answer_mean, seconds_mean = (0.7 * a + 0.3 * b for a, b in zip(self._per_item, newest, strict=True))
        self._per_item = (gas_mean, answer_mean, seconds_mean)

    def shrink(self, span: Span, failure: RpcFailure) -> list[Span]:
        """Cut a span that failed. Raises the failure where less cannot help."""
        if failure.kind not in SHRINKABLE or span.count == 1:
            raise failure
        self._stalls.failed(failure)
        if failure.kind is Kind.OUT_OF_GAS and self._per_item is not None:
            # the node's cap is below what this span would have used: stay under it from now on
            self._gas = max(min(self._gas, 0.9 * self._per_item[0] * span.count), 1_000_000.0)
        elif failure.kind is Kind.TIMEOUT:
            self._seconds = max(self._seconds / 2, 0.1)
        elif failure.kind is Kind.PAYLOAD_TOO_LARGE:
            self._request_items = min(self._request_items, max(span.count // 2, 1))
        self._start = max(min(self._start, span.count // 2), 1)
        return span.split(-(-span.count // (4 if failure.kind is Kind.TIMEOUT else 2)))


class BatchSize:
    """Calls per aggregated eth_call: doubled while answers are quick, shrunk on failure."""

    def __init__(self, *, start: int, most: int, seconds: float) -> None:
        self._size = start
        self._most = most
        self._seconds = seconds
        self._stalls = _Stalls()

    @property
    def size(self) -> int:
        """Calls to ask for next."""
        return self._size

    def learn(self, asked: int, answered: int, seconds: float) -> None:
        """Take a success into account; fewer answers than asked means that the gas ran short."""
        self._stalls.answered()
        if answered < asked:
            self._size = max(min(self._size, answered), 1)
        elif seconds > self._seconds:
            self._size = max(int(asked * self._seconds / seconds), 1)
        elif asked >= self._size:
            self._size = min(2 * self._size, self._most)

    def shrink(self, count: int, failure: RpcFailure) -> int:
        """Give the size of the parts into which ``count`` calls are cut. Raises the failure where less cannot help."""
        if failure.kind not in SHRINKABLE or count == 1:
            raise failure
        self._stalls.failed(failure)
        part = -(-count // (4 if failure.kind is Kind.TIMEOUT else 2))
        self._size = min(self._size, part)
        return part


class RangeSize:
    """Blocks per eth_getLogs: doubled while few logs come, cut to what the endpoint allows."""

    def __init__(self, *, start: int, logs: int, seconds: float) -> None:
        self._size = start
        self._ceiling: int | None = None
        self._logs = logs
        self._seconds = seconds
        self._stalls = _Stalls()

    @property
    def size(self) -> int:
        """Blocks to ask for next."""
        return self._size

    def learn(self, blocks: int, logs: int, seconds: float) -> None:
        """Take a success into account."""
        self._stalls.answered()
        if logs > self._logs or seconds > self._seconds:
            share = min(self._logs / max(logs, 1), self._seconds / max(seconds, 1e-9))
            self._size = max(min(self._size, int(blocks * share)), 1)
        elif blocks >= self._size and logs * 2 <= self._logs:
            self._size = 2 * self._size if self._ceiling is None else min(2 * self._size, self._ceiling)

    def shrink(self, span: Span, failure: RpcFailure, suggested: int | None) -> list[Span]:
        """Cut a span of blocks that failed. Raises the failure where less cannot help."""
        helps = failure.kind in SHRINKABLE or failure.kind is Kind.RANGE_TOO_WIDE
        if not helps or failure.kind is Kind.REVERTED or span.count == 1:
            raise failure
        self._stalls.failed(failure)
        part = -(-span.count // (4 if failure.kind is Kind.TIMEOUT else 2))
        if failure.kind is Kind.RANGE_TOO_WIDE:
            if suggested is not None and suggested < span.count:
                part = suggested
            # a limit on the range holds for every range, so it is never tried again
            self._ceiling = part if self._ceiling is None else min(self._ceiling, max(part, 1))
        self._size = min(self._size, part)
        return span.split(part)
