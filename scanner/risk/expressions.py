"""How an oracle's answer follows from the feeds behind it, in the adapters' own integer arithmetic. Pure.

Each node values itself twice: at Python integers, and at columns of a moving feed (Int128). Feeds that do not move
stay Python integers. All divisions are floors in the order of the contract; a value of 0 is what the adapters answer
when they have no price.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import polars as pl

from scanner.exact import mul_div_down
from scanner.risk.columns import Values, as_column, least, times
from scanner.units import SECONDS_PER_YEAR, WAD

__all__ = [
    "Cap",
    "CapRatio",
    "Constant",
    "FeedAnswer",
    "Least",
    "PriceExpression",
    "Product",
    "Quotient",
    "Scale",
    "TimeDiscount",
]

UP: Final = frozenset({1})


class PriceExpression(ABC):
    """An oracle answer as a function of feed answers and time."""

    @abstractmethod
    def evaluate(self, answers: Mapping[str, int], timestamp: int) -> int | None:
        """Give the answer at feed answers and a Unix time; None where the contract gives no positive answer."""

    @abstractmethod
    def column(self, moved: Mapping[str, pl.Series], answers: Mapping[str, int], timestamp: int) -> Values:
        """Give the answer per row of the moved feeds (Int128, ≥ 0), an int where no moved feed counts; 0: no price."""

    @abstractmethod
    def slopes(self) -> Mapping[str, frozenset[int]]:
        """Say for each feed whether the answer follows it (1), opposes it (-1) or, on several ways, both."""

    @abstractmethod
    def base_feed(self) -> str | None:
        """Name the feed that carries the price, rather than a ratio to it or a cap; None for a constant."""

    def feeds(self) -> frozenset[str]:
        """Name the feeds that the answer depends on."""
        return frozenset(self.slopes())

    def increasing(self, feed: str) -> bool:
        """Say whether the answer never falls when the feed rises (else it never rises)."""
        return -1 not in self.slopes().get(feed, UP)


@dataclass(frozen=True, slots=True)
class FeedAnswer(PriceExpression):
    """The answer of a root feed."""

    feed: str

    def evaluate(self, answers: Mapping[str, int], timestamp: int) -> int | None:
        return _positive(answers.get(self.feed))

    def column(self, moved: Mapping[str, pl.Series], answers: Mapping[str, int], timestamp: int) -> Values:
        if self.feed in moved:
            return moved[self.feed].cast(pl.Int128).clip(lower_bound=0)
        return max(answers.get(self.feed, 0), 0)

    def slopes(self) -> Mapping[str, frozenset[int]]:
        return {self.feed: UP}

    def base_feed(self) -> str | None:
        return self.feed


@dataclass(frozen=True, slots=True)
class Constant(PriceExpression):
    """A fixed answer."""

    value: int

    def evaluate(self, answers: Mapping[str, int], timestamp: int) -> int | None:
        return _positive(self.value)

    def column(self, moved: Mapping[str, pl.Series], answers: Mapping[str, int], timestamp: int) -> Values:
        return max(self.value, 0)

    def slopes(self) -> Mapping[str, frozenset[int]]:
        return {}

    def base_feed(self) -> str | None:
        return None


@dataclass(frozen=True, slots=True)
class _Wrapper(PriceExpression):
    """One inner price, changed but never turned round."""

    inner: PriceExpression

    def slopes(self) -> Mapping[str, frozenset[int]]:
        return self.inner.slopes()

    def base_feed(self) -> str | None:
        return self.inner.base_feed()


@dataclass(frozen=True, slots=True)
class Scale(_Wrapper):
    """floor(inner * mul / div)."""

    mul: int
    div: int

    def evaluate(self, answers: Mapping[str, int], timestamp: int) -> int | None:
        value = self.inner.evaluate(answers, timestamp)
        return None if value is None else _positive(value * self.mul // self.div)

    def column(self, moved: Mapping[str, pl.Series], answers: Mapping[str, int], timestamp: int) -> Values:
        return times(self.inner.column(moved, answers, timestamp), 1, self.mul, self.div)


@dataclass(frozen=True, slots=True)
class Product(PriceExpression):
    """floor(left * right * mul / div): a ratio (left) times the price that it refers to (right)."""

    left: PriceExpression
    right: PriceExpression
    mul: int
    div: int

    def evaluate(self, answers: Mapping[str, int], timestamp: int) -> int | None:
        left, right = self.left.evaluate(answers, timestamp), self.right.evaluate(answers, timestamp)
        return None if left is None or right is None else _positive(left * right * self.mul // self.div)

    def column(self, moved: Mapping[str, pl.Series], answers: Mapping[str, int], timestamp: int) -> Values:
        left, right = (side.column(moved, answers, timestamp) for side in (self.left, self.right))
        return times(left, right, self.mul, self.div)

    def slopes(self) -> Mapping[str, frozenset[int]]:
        return _joined(self.left.slopes(), self.right.slopes())

    def base_feed(self) -> str | None:
        return self.right.base_feed() or self.left.base_feed()


@dataclass(frozen=True, slots=True)
class Quotient(PriceExpression):
    """floor(top * mul / bottom)."""

    top: PriceExpression
    bottom: PriceExpression
    mul: int

    def evaluate(self, answers: Mapping[str, int], timestamp: int) -> int | None:
        top, bottom = self.top.evaluate(answers, timestamp), self.bottom.evaluate(answers, timestamp)
        return None if top is None or bottom is None else _positive(top * self.mul // bottom)

    def column(self, moved: Mapping[str, pl.Series], answers: Mapping[str, int], timestamp: int) -> Values:
        top, bottom = (side.column(moved, answers, timestamp) for side in (self.top, self.bottom))
        if isinstance(bottom, int):
            return times(top, 1, self.mul, bottom) if bottom else 0
        quotient = mul_div_down(as_column(top, bottom.len()), self.mul, bottom.clip(lower_bound=1))
        return quotient.set(bottom == 0, 0)

    def slopes(self) -> Mapping[str, frozenset[int]]:
        inverse = {feed: frozenset(-slope for slope in slopes) for feed, slopes in self.bottom.slopes().items()}
        return _joined(self.top.slopes(), inverse)

    def base_feed(self) -> str | None:
        return self.top.base_feed() or self.bottom.base_feed()


@dataclass(frozen=True, slots=True)
class Cap(_Wrapper):
    """min(inner, cap)."""

    cap: int

    def evaluate(self, answers: Mapping[str, int], timestamp: int) -> int | None:
        value = self.inner.evaluate(answers, timestamp)
        return None if value is None else _positive(min(value, self.cap))

    def column(self, moved: Mapping[str, pl.Series], answers: Mapping[str, int], timestamp: int) -> Values:
        return least(self.inner.column(moved, answers, timestamp), max(self.cap, 0))


@dataclass(frozen=True, slots=True)
class Least(PriceExpression):
    """min(inner, cap), where the cap follows a feed of its own."""

    inner: PriceExpression
    cap: PriceExpression

    def evaluate(self, answers: Mapping[str, int], timestamp: int) -> int | None:
        inner, cap = self.inner.evaluate(answers, timestamp), self.cap.evaluate(answers, timestamp)
        return None if inner is None or cap is None else min(inner, cap)

    def column(self, moved: Mapping[str, pl.Series], answers: Mapping[str, int], timestamp: int) -> Values:
        return least(self.inner.column(moved, answers, timestamp), self.cap.column(moved, answers, timestamp))

    def slopes(self) -> Mapping[str, frozenset[int]]:
        return _joined(self.inner.slopes(), self.cap.slopes())

    def base_feed(self) -> str | None:
        return self.inner.base_feed() or self.cap.base_feed()


@dataclass(frozen=True, slots=True)
class CapRatio(PriceExpression):
    """floor(base * min(ratio, snapshot + floor(growth * (t - snapshot_at) / growth_scale)) / 10^decimals).

    ``growth`` is the cap's growth per second times ``growth_scale``. The source is the public price-cap adapter of
    liquid-staking tokens; before ``snapshot_at`` it reverts.
    """

    base: PriceExpression
    ratio: PriceExpression
    decimals: int
    snapshot: int
    snapshot_at: int
    growth: int
    growth_scale: int

    def cap(self, timestamp: int) -> int:
        """Give the largest ratio that counts at a time; 0 before the snapshot."""
        age = timestamp - self.snapshot_at
        return self.snapshot + self.growth * age // self.growth_scale if age >= 0 else 0

    def evaluate(self, answers: Mapping[str, int], timestamp: int) -> int | None:
        base, ratio = self.base.evaluate(answers, timestamp), self.ratio.evaluate(answers, timestamp)
        if base is None or ratio is None:
            return None
        return _positive(base * min(ratio, self.cap(timestamp)) // int(10**self.decimals))

    def column(self, moved: Mapping[str, pl.Series], answers: Mapping[str, int], timestamp: int) -> Values:
        ratio = least(self.ratio.column(moved, answers, timestamp), self.cap(timestamp))
        return times(self.base.column(moved, answers, timestamp), ratio, 1, int(10**self.decimals))

    def slopes(self) -> Mapping[str, frozenset[int]]:
        return _joined(self.base.slopes(), self.ratio.slopes())

    def base_feed(self) -> str | None:
        return self.base.base_feed() or self.ratio.base_feed()


@dataclass(frozen=True, slots=True)
class TimeDiscount(_Wrapper):
    """floor(inner * (1e18 - floor(max(maturity - t, 0) * rate_per_year / year)) / 1e18): a principal token."""

    rate_per_year: int
    maturity: int

    def kept(self, timestamp: int) -> int:
        """Give the share of the inner price that is left at a time, as a wad; 0 where the contract reverts."""
        return max(WAD - max(self.maturity - timestamp, 0) * self.rate_per_year // SECONDS_PER_YEAR, 0)

    def evaluate(self, answers: Mapping[str, int], timestamp: int) -> int | None:
        value = self.inner.evaluate(answers, timestamp)
        return None if value is None else _positive(value * self.kept(timestamp) // WAD)

    def column(self, moved: Mapping[str, pl.Series], answers: Mapping[str, int], timestamp: int) -> Values:
        return times(self.inner.column(moved, answers, timestamp), 1, self.kept(timestamp), WAD)


def _positive(value: int | None) -> int | None:
    return value if value is not None and value > 0 else None


def _joined(left: Mapping[str, frozenset[int]], right: Mapping[str, frozenset[int]]) -> Mapping[str, frozenset[int]]:
    return {feed: left.get(feed, frozenset()) | right.get(feed, frozenset()) for feed in {**left, **right}}
