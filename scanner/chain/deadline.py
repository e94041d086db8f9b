"""The time that a scan may take, shared by everything that spends it."""

from __future__ import annotations

import math
import time

__all__ = ["Deadline"]


class Deadline:
    """A moment in the time of the event loop, which is ``time.monotonic``. Without a limit it never comes.

    limit: seconds from now.
    """

    def __init__(self, limit: float | None = None) -> None:
        self.limit = limit
        self.at = math.inf if limit is None else time.monotonic() + limit

    def left(self) -> float:
        """Give the seconds until then, 0 when it is over."""
        return math.inf if self.limit is None else max(self.at - time.monotonic(), 0.0)

    @property
    def over(self) -> bool:
        """True once the time is up."""
        return self.limit is not None and time.monotonic() >= self.at
