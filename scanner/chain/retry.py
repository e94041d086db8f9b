"""Whether and when a request that failed is worth asking again."""

from __future__ import annotations

import asyncio
import random
from typing import Final

from scanner.chain.deadline import Deadline
from scanner.chain.failures import TRANSIENT, Kind, RpcFailure
from scanner.chain.options import Options

__all__ = ["Lag", "Retry"]

_LONGEST_PAUSE: Final = 8.0  # seconds between two attempts where the endpoint names none
_FIRST_LAG_PAUSE: Final = 0.1
_LONGEST_LAG_PAUSE: Final = 1.0
_AT_ONCE: Final = 1.0  # seconds within which a gateway's "timed out" is no word about how much was asked for
_ODD_ANSWERS: Final = 2  # repetitions of what got no JSON-RPC from who never gave any: probably the URL is wrong


class Lag:
    """How long an endpoint has been behind. Shared by its requests: what one waited for, the next need not again.

    ``answered``: whether any of them was ever answered, so that the URL is right.
    """

    def __init__(self, patience: float) -> None:
        self.answered = False
        self._patience = patience
        self._began: float | None = None
        self._seen = 0.0

    def left(self, now: float) -> float:
        """Note that a block is unknown; give the seconds that are left to wait for it."""
        if self._began is None or now - self._seen > 2 * self._patience:
            self._began = now
        self._seen = now
        return self._began + self._patience - now

    def over(self) -> None:
        """Note that a block that was unknown is there now."""
        self._began = None


class Retry:
    """The patience for one request. ``shrinkable``: the caller can ask for less, so what took too long is final."""

    def __init__(self, options: Options, deadline: Deadline, lag: Lag, *, shrinkable: bool = False) -> None:
        self._options = options
        self._deadline = deadline
        self._shared_lag = lag
        self._shrinkable = shrinkable
        self._began: float | None = None
        self._asked = asyncio.get_running_loop().time()
        self._odd = 0
        self._lag = 0
        self.failures = 0

    def pause(self, failure: RpcFailure) -> float | RpcFailure:
        """Give the seconds to wait before the request is sent again, or the failure to end with."""
        loop = asyncio.get_running_loop()
        now = loop.time()
        if self._began is None:
            self._began = now
        self.failures += 1
        if (pause := self._wanted(failure, now - self._asked)) is None:
            return failure
        options = self._options
        if failure.retry_after is not None:
            pause = failure.retry_after
        room = self._began + options.patience - now
        if failure.kind is Kind.BLOCK_UNKNOWN:
            room = min(room, self._shared_lag.left(now))
        left = self._deadline.left()
        if pause <= min(room, left):
            self._asked = now + pause
            return pause
        if failure.retry_after is not None:
            what = (
                f"the {room:.3g} s that are left to wait"
                if room <= left
                else f"the {left:.3g} s left of the time limit"
            )
            return failure.noted(f"it asks to wait {pause:g} s, longer than {what}")
        if left < min(pause, room):
            return failure.noted(f"the time limit of {self._deadline.limit:g} s leaves no second try", Kind.OUT_OF_TIME)
        return failure

    def answered(self) -> None:
        """Note that the request went through in the end."""
        self._shared_lag.answered = True
        if self._lag:
            self._shared_lag.over()

    def _wanted(self, failure: RpcFailure, took: float) -> float | None:
        kind = failure.kind
        if kind is Kind.BLOCK_UNKNOWN:  # short pauses: blocks come within seconds
            self._lag += 1
            return self._jitter(min(_LONGEST_LAG_PAUSE, _FIRST_LAG_PAUSE * 2.0 ** (self._lag - 1)))
        if kind is Kind.NOT_RPC:
            self._odd += 1
            again = failure.status == 200 and (self._shared_lag.answered or self._odd <= _ODD_ANSWERS)
        else:
            too_much = self._shrinkable and kind is Kind.TIMEOUT and (failure.status == 200 or took > _AT_ONCE)
            again = kind in TRANSIENT and not too_much
        if not again or self.failures - self._lag >= self._options.attempts:
            return None
        exponent = self.failures - self._lag - 1
        return self._jitter(min(_LONGEST_PAUSE, self._options.first_pause * 2.0**exponent))

    @staticmethod
    def _jitter(seconds: float) -> float:
        return seconds * random.uniform(0.5, 1.0)  # noqa: S311
