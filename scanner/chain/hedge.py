"""When a slow request is worth a second copy."""

from __future__ import annotations

from collections import deque
from typing import Final

__all__ = ["Hedges"]

_SAMPLES: Final = 10
_KEPT: Final = 100
_SHARE: Final = 0.05
_REFRESH: Final = 10  # samples after which the percentile is computed again


class _Latencies:
    """The last latencies of one method, and the 95th percentile of them."""

    def __init__(self) -> None:
        self._seconds: deque[float] = deque(maxlen=_KEPT)
        self._new = 0
        self.slow: float | None = None

    def add(self, seconds: float) -> None:
        self._seconds.append(seconds)
        self._new += 1
        if len(self._seconds) >= _SAMPLES and (self.slow is None or self._new >= _REFRESH):
            self._new = 0
            self.slow = sorted(self._seconds)[-(-len(self._seconds) * 95 // 100) - 1]


class Hedges:
    """Counts requests and copies, and says after how long a copy may follow.

    At most one copy in twenty requests, and one more. earliest: seconds; None: never.
    """

    def __init__(self, earliest: float | None) -> None:
        self._earliest = earliest
        self._seen: dict[str, _Latencies] = {}
        self._requests = 0
        self.sent = 0

    def after(self, method: str) -> float | None:
        """Count a request; give the seconds after which it is slow, None where that is not known yet."""
        self._requests += 1
        if self._earliest is None or (seen := self._seen.get(method)) is None or seen.slow is None:
            return None
        return max(self._earliest, seen.slow)

    @property
    def allowed(self) -> bool:
        """Whether the share of copies leaves room for one more."""
        return self.sent <= _SHARE * self._requests

    def answered(self, method: str, seconds: float) -> None:
        """Learn from an answer."""
        self._seen.setdefault(method, _Latencies()).add(seconds)
