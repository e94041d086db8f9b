"""Wall times of repeated runs."""

from __future__ import annotations

import gc
import time
from collections.abc import Callable
from dataclasses import dataclass
from statistics import median
from typing import TypeVar

__all__ = ["Times", "timed"]

T = TypeVar("T")


@dataclass(frozen=True)
class Times:
    """Seconds of each run."""

    seconds: tuple[float, ...]

    @property
    def median(self) -> float:
        return median(self.seconds)

    def rate(self, items: int) -> float:
        """Give items per second, by the median."""
        return items / self.median

    def __str__(self) -> str:
        low, high = min(self.seconds), max(self.seconds)
        return f"{self.median:.3f} s ({low:.3f}\N{EN DASH}{high:.3f}, {len(self.seconds)} runs)"


def timed(work: Callable[[], T], runs: int, warm: int = 0) -> tuple[Times, T]:
    """Run ``warm`` times unseen, then ``runs`` times by the clock; give the last result too."""
    for _ in range(warm):
        work()
    seconds = []
    for _ in range(runs):
        gc.collect()
        start = time.perf_counter()
        result = work()
        seconds.append(time.perf_counter() - start)
    return Times(tuple(seconds)), result
