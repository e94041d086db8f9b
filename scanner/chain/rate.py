"""The budget of one endpoint: requests or compute units a second, and requests in flight."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Iterable, Mapping
from typing import Final

from scanner.chain.deadline import Deadline
from scanner.chain.spec import EndpointSpec

__all__ = ["NamedWait", "Rate", "units_of"]

_UNITS: Final[Mapping[str, int]] = {"eth_call": 26, "eth_getLogs": 75, "eth_getProof": 20}
_OTHER_UNITS: Final = 20
_BURST: Final = 0.25  # seconds of the budget that may be spent at once
_CUT: Final = 0.7
_GROWTH: Final = 1.05  # a second without a refusal
_SLOWEST: Final = 1.0  # requests a second
_FIRST_CUT: Final = 10.0  # requests a second; one refusal of an endpoint without a known limit costs no more
_GUESSED_GROWTH: Final = 1.25  # where the limit is not known, a refusal may be anything, and a slow scan looks dead
_GUESSED_SLOWEST: Final = 5.0
_GUESSED_PAUSE: Final = 0.5  # seconds in which refusals are one
_FORGOTTEN: Final = 10.0  # times the speed of the first refusal, where a limit that was only guessed ends
_WARY: Final = 30.0  # seconds after a refusal in which nothing is sent twice


def units_of(method: str) -> int:
    """Give what a method costs in compute units, as providers count them."""
    return _UNITS.get(method, _OTHER_UNITS)


class NamedWait(Exception):
    """The endpoint asked to be left alone for longer than a request may take."""

    def __init__(self, seconds: float) -> None:
        super().__init__(seconds)
        self.seconds = seconds


class _Bucket:
    """A speed limit that is spent in seconds: what costs more keeps the next one waiting longer."""

    def __init__(self, limit: float, slowest: float, *, guessed: bool = False) -> None:
        self.limit = limit
        self.guessed = guessed
        self.speed = limit
        self._growth = _GUESSED_GROWTH if guessed else _GROWTH
        self._slowest = min(slowest, limit)
        self._changed = 0.0
        self._next = float("-inf")

    def free_at(self, now: float) -> float:
        """Give the moment at which something may be sent."""
        return max(self._next, now - _BURST)

    def spend(self, now: float, cost: float) -> float:
        """Take a turn; give the seconds to wait for it."""
        if self.speed < self.limit and now > self._changed:
            self.speed = min(self.limit, self.speed * self._growth ** (now - self._changed))
            self._changed = now
        begin = self.free_at(now)
        self._next = begin + cost / self.speed
        return max(begin - now, 0.0)

    def cut(self, now: float) -> None:
        self.speed = max(self._slowest, self.speed * _CUT)
        self._changed = now


class Rate:
    """Who may send now. Shared by every request of an endpoint; belongs to the event loop.

    Starts from what the plan allows (``EndpointSpec``), or without a limit. A refusal cuts the speed and halves the
    requests in flight; both come back slowly. ``concurrency`` is for endpoints whose spec names none.
    """

    def __init__(self, spec: EndpointSpec, concurrency: int) -> None:
        self._most = max(spec.concurrency or concurrency, 1)
        self._room = float(self._most)
        self._busy = 0
        self._waiting: deque[asyncio.Future[None]] = deque()
        self._requests = _Bucket(spec.requests_per_second, _SLOWEST) if spec.requests_per_second else None
        per_second = spec.compute_units_per_second
        self._units = _Bucket(per_second, _SLOWEST * _UNITS["eth_call"]) if per_second else None
        self._resume_at = 0.0
        self._cut_at = float("-inf")
        self._grown_at = 0.0
        self._second, self._sent, self._sent_before = 0.0, 0, 0

    async def enter(self, methods: Iterable[str], patience: float, deadline: Deadline) -> None:
        """Wait for a turn of one HTTP request that asks ``methods``; ``leave`` ends it.

        Raises NamedWait at once when the endpoint asked to wait longer than ``patience`` or the deadline, and
        TimeoutError when the deadline comes first.
        """
        if deadline.limit is None:
            await self._enter(tuple(methods), patience)
        else:
            async with asyncio.timeout_at(deadline.at):
                await self._enter(tuple(methods), min(patience, deadline.left()))

    def try_enter(self, methods: Iterable[str]) -> bool:
        """Take a turn if one is free this moment, and the endpoint has not refused anything lately."""
        now = asyncio.get_running_loop().time()
        if self._waiting or self._busy >= int(self._room) or now < self._resume_at or now < self._cut_at + _WARY:
            return False
        if any(bucket.free_at(now) > now for bucket in (self._requests, self._units) if bucket is not None):
            return False
        self._busy += 1
        self._spend(tuple(methods), now)
        return True

    def leave(self) -> None:
        """End a turn."""
        self._busy -= 1
        if self._room < self._most and (now := asyncio.get_running_loop().time()) >= self._grown_at + 1.0:
            self._room, self._grown_at = min(self._room + 1, float(self._most)), now
        while self._waiting and self._busy < int(self._room):
            turn = self._waiting.popleft()
            if not turn.done():
                self._busy += 1
                turn.set_result(None)

    def refused(self, sent_at: float) -> None:
        """Slow down after a refusal. Refusals of what was sent before the last cut say nothing new."""
        now = asyncio.get_running_loop().time()
        guessed = self._units is None and (self._requests is None or self._requests.guessed)
        if sent_at < self._cut_at or (guessed and now < self._cut_at + _GUESSED_PAUSE):
            return
        self._cut_at = self._grown_at = now
        self._room = max(1.0, self._room // 2)
        if self._requests is None and self._units is None:
            seen = float(max(self._sent, self._sent_before))
            self._requests = _Bucket(_FORGOTTEN * max(seen, _FIRST_CUT), _GUESSED_SLOWEST, guessed=True)
            self._requests.speed = max(seen, _FIRST_CUT / _CUT)
        for bucket in (self._requests, self._units):
            if bucket is not None:
                bucket.cut(now)

    def hold(self, seconds: float) -> None:
        """Send nothing for a while: whatever else is sent would only be refused as well."""
        self._resume_at = max(self._resume_at, asyncio.get_running_loop().time() + seconds)

    async def _enter(self, methods: tuple[str, ...], patience: float) -> None:
        loop = asyncio.get_running_loop()
        if self._waiting or self._busy >= int(self._room):
            await self._queue(loop)
        else:
            self._busy += 1
        try:
            now = loop.time()
            if (wait := self._spend(methods, now)) > 0:
                await asyncio.sleep(wait)
                now = loop.time()
            while (wait := self._resume_at - now) > 0:
                if wait > patience:
                    raise NamedWait(wait)
                await asyncio.sleep(wait)
                now = loop.time()
        except BaseException:
            self.leave()
            raise

    async def _queue(self, loop: asyncio.AbstractEventLoop) -> None:
        turn = loop.create_future()
        self._waiting.append(turn)
        try:
            await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled():
                self.leave()  # the turn came together with the cancellation
            raise

    def _spend(self, methods: tuple[str, ...], now: float) -> float:
        if now - self._second >= 1.0:
            self._sent_before = self._sent if now - self._second < 2.0 else 0
            self._second, self._sent = now, 0
        self._sent += len(methods)
        wait = 0.0
        if self._requests is not None:
            wait = self._requests.spend(now, len(methods))
            if self._requests.guessed and self._requests.speed >= self._requests.limit:
                self._requests = None
        if self._units is not None:
            wait = max(wait, self._units.spend(now, sum(map(units_of, methods))))
        return wait
