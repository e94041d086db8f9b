"""How much to ask for in one request: grown on success, shrunk on failure. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from heapq import heappop, heappush
from math import inf
from typing import Final

from scanner.chain.failures import SHRINKABLE, Kind, RpcFailure

__all__ = ["BatchSize", "LensSize", "RangeSize", "Span", "Spans"]

_GROWTH: Final = 8  # at most this many times the largest size that has worked
_DEAR_GAS: Final = 40_000  # more than most items take
_MUCH: Final = 4_000  # items above which several requests at once are worth more than few requests
_MARGIN: Final = 1.02  # what the next run's dearest request may take beyond this one's
_WORTH_KEEPING: Final = 64  # items that say what others will take
_STALLS: Final = 4  # timeouts, each of less than the one before, with no answer between, before giving up


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
        """Take the next span, none of a size of zero; those that came back keep their size."""
        if self._again:
            return Span(*heappop(self._again))
        if not self.left or not size:
            return None
        span = Span(self._next, min(size, self.left))
        self._next += span.count
        return span

    def put_back(self, spans: list[Span]) -> None:
        """Return spans, to be taken before anything else."""
        for span in spans:
            heappush(self._again, (span.first, span.count))


class _Stalls:
    """Counts timeouts of ever less, without an answer between them, so that a dead node is not asked for long.

    Those of requests that were under way together are one.
    """

    def __init__(self) -> None:
        self.answered()

    def answered(self) -> None:
        self._count = 0
        self._least: float = inf

    def failed(self, asked: int, failure: RpcFailure) -> None:
        if failure.kind is not Kind.TIMEOUT or asked >= self._least:
            return
        self._least = asked
        self._count += 1
        if self._count >= _STALLS:
            raise failure


@dataclass(slots=True)
class _Cost:
    """What an item takes."""

    gas: float
    answer: float = 1.0
    seconds: float = 1e-9

    def blend(self, newest: _Cost, weight: float) -> _Cost:
        """Move towards the newest, all the way with a weight of one."""
        pairs = ((self.gas, newest.gas), (self.answer, newest.answer), (self.seconds, newest.seconds))
        return _Cost(*((1 - weight) * old + weight * new for old, new in pairs))


class LensSize:
    """Items per lens call, so that the fewest calls are made: from the gas, bytes and seconds that earlier ones took.

    Budgets are per request. Where nothing is known of an item, one request of ``start`` items goes first and the
    others wait for it. Then a request is as large as the budgets let it be, at most ``_GROWTH`` times the largest
    success where it is not known what gas a call really gets. Requests are of one size, and at least ``concurrency``
    where there is much to read: a node answers several at once.
    """

    def __init__(
        self,
        *,
        total: int,
        item_bytes: int,
        gas: int,
        request_bytes: int,
        answer_bytes: int,
        seconds: float,
        start: int,
        concurrency: int,
        gas_is_known: bool = False,
        item_gas: float | None = None,
    ) -> None:
        self._request_items = max(request_bytes // (2 * max(item_bytes, 1)), 1)  # hex doubles the bytes
        self._gas = float(gas)
        self._answer_bytes = float(answer_bytes)
        self._seconds = seconds
        self._start = min(start, max(gas // _DEAR_GAS, 1))
        self._at_once = total <= start * concurrency  # too little for one request to find out what it takes
        self._share = -(-total // concurrency) if total > _MUCH else total
        self._least_kept = min(total, _WORTH_KEEPING)
        self._grows_at_once = gas_is_known or item_gas is not None
        self._cost = None if item_gas is None else _Cost(item_gas)
        self._started = False
        self._largest = 0
        self._seen: list[tuple[int, float]] = []
        self._stalls = _Stalls()

    def most(self, room: int | None = None, extra_gas: int = 0) -> int:
        """Say how many items a request may have, as far as is known.

        room: items for which it has space, where there is such a limit. extra_gas: what it takes beside its items.
        """
        limit = self._request_items if room is None else max(min(self._request_items, room), 1)
        return limit if self._cost is None else min(limit, self._fitting(self._cost, extra_gas))

    def size(self, left: int, most: int) -> int:
        """Say how many of ``left`` items to ask for, at most ``most``; 0: none, or wait for what is under way."""
        if not left:
            return 0
        if self._cost is None:
            wait = self._started and not self._at_once
            self._started = True
            return 0 if wait else min(self._start, most)
        return -(-left // -(-left // min(most, self._share)))

    def learn(self, count: int, gas: int, answer: int, seconds: float) -> None:
        """Take the cost of ``count`` items into account; a large request says more than a small one."""
        self._stalls.answered()
        newest = _Cost(max(gas / count, 1.0), answer / count + 1.0, max(seconds / count, 1e-9))
        if self._cost is None:
            self._cost = newest
        else:
            weight = 1.0 if not self._largest and self._cost.gas < newest.gas else count / (count + self._largest)
            self._cost = self._cost.blend(newest, weight)
        self._largest = max(self._largest, count)
        self._seen.append((count, newest.gas))

    @property
    def item_gas(self) -> float | None:
        """What to take an item to cost next time: the dearest of the large requests, and more where gas did not bind.

        None where too little was read to tell.
        """
        if self._cost is None or sum(count for count, _ in self._seen) < max(self._least_kept, _WORTH_KEEPING):
            return None
        dearest = max(gas for count, gas in self._seen if 2 * count >= self._largest)
        other = min(self._answer_bytes / self._cost.answer, self._seconds / self._cost.seconds, self._request_items)
        return max(_MARGIN * dearest, self._gas / max(other, 1.0))

    def shrink(self, span: Span, failure: RpcFailure) -> list[Span]:
        """Cut a span that failed. Raises the failure where less cannot help."""
        if failure.kind not in SHRINKABLE or span.count == 1:
            raise failure
        self._stalls.failed(span.count, failure)
        if failure.kind is Kind.OUT_OF_GAS and self._cost is not None:
            # the node's cap is below what this span would have used: stay under it from now on
            self._gas = max(min(self._gas, 0.9 * self._cost.gas * span.count), 1_000_000.0)
        elif failure.kind is Kind.TIMEOUT:
            self._seconds = max(self._seconds / 2, 0.1)
        elif failure.kind is Kind.PAYLOAD_TOO_LARGE:
            self._request_items = min(self._request_items, max(span.count // 2, 1))
        self._start = max(min(self._start, span.count // 2), 1)
        return span.split(-(-span.count // (4 if failure.kind is Kind.TIMEOUT else 2)))

    def _fitting(self, cost: _Cost, extra_gas: int) -> int:
        fits = min(
            (self._gas - extra_gas) / cost.gas, self._answer_bytes / cost.answer, self._seconds / cost.seconds, 1e9
        )
        if not self._grows_at_once:
            fits = min(fits, self._largest * _GROWTH)
        return max(int(fits), 1)


class BatchSize:
    """Calls per aggregated eth_call: doubled while answers are quick, shrunk on failure, then grown by little."""

    def __init__(self, *, start: int, most: int, seconds: float) -> None:
        self._size = start
        self._most = most
        self._doubled_to = most
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
            step = self._size if self._size < self._doubled_to else 1 + self._size // 8
            self._size = min(self._size + step, self._most)

    def shrink(self, count: int, failure: RpcFailure) -> int:
        """Give the size of the parts into which ``count`` calls are cut. Raises the failure where less cannot help."""
        if failure.kind not in SHRINKABLE or count == 1:
            raise failure
        self._stalls.failed(count, failure)
        part = -(-count // (4 if failure.kind is Kind.TIMEOUT else 2))
        self._size = self._doubled_to = min(self._size, part)
        if failure.kind is Kind.PAYLOAD_TOO_LARGE:  # what is too large once will be so again
            self._most = min(self._most, part)
        return part


class RangeSize:
    """Blocks per eth_getLogs: doubled while few logs come, cut to what the endpoint allows."""

    def __init__(self, *, start: int, logs: int, seconds: float, ceiling: int | None = None) -> None:
        self.ceiling = ceiling  # the widest range that is taken; None where no refusal told it
        self._size = start if ceiling is None else min(start, ceiling)
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
            self._size = 2 * self._size if self.ceiling is None else min(2 * self._size, self.ceiling)

    def shrink(self, span: Span, failure: RpcFailure, suggested: int | None) -> list[Span]:
        """Cut a span of blocks that failed. Raises the failure where less cannot help."""
        helps = failure.kind in SHRINKABLE or failure.kind is Kind.RANGE_TOO_WIDE
        if not helps or failure.kind is Kind.REVERTED or span.count == 1:
            raise failure
        self._stalls.failed(span.count, failure)
        part = -(-span.count // (4 if failure.kind is Kind.TIMEOUT else 2))
        if failure.kind is Kind.RANGE_TOO_WIDE:
            if suggested is not None and suggested < span.count:
                part = suggested
            # a limit on the range holds for every range, so it is never tried again
            self.ceiling = part if self.ceiling is None else min(self.ceiling, max(part, 1))
        self._size = min(self._size, part)
        return span.split(part)
