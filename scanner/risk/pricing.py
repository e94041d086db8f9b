"""Oracle graphs: which feeds price which reserve, which feeds move together, and paths along which they move. Pure."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace

import polars as pl

from scanner.errors import ConfigError, suggest
from scanner.exact import mul_div_down
from scanner.risk.columns import as_column
from scanner.risk.expressions import (
    Cap,
    CapRatio,
    Constant,
    FeedAnswer,
    Least,
    PriceExpression,
    Product,
    Quotient,
    Scale,
    TimeDiscount,
)

__all__ = [
    "Cap",
    "CapRatio",
    "Constant",
    "FactorPath",
    "Feed",
    "FeedAnswer",
    "Least",
    "OracleGraph",
    "PriceExpression",
    "Product",
    "Quotient",
    "ReservePath",
    "Scale",
    "TimeDiscount",
]


@dataclass(frozen=True, slots=True)
class Feed:
    """A root of the wiring: the contract whose answer is taken as it comes."""

    address: str  # lower case; what an adapter or the oracle points to, hence the proxy of a proxied feed
    description: str
    decimals: int
    answer: int
    answer_at: int | None  # Unix seconds; None when the feed does not say
    factor: str


@dataclass(frozen=True)
class FactorPath:
    """The feeds of a factor move in one ratio: the reference to ``moving``, each other to floor(its answer * ratio)."""

    name: str
    timestamp: int
    feeds: tuple[Feed, ...]  # the reference feed first
    expressions: Mapping[str, PriceExpression]  # of the reserves that move
    answers: Mapping[str, int]  # of all feeds today

    @property
    def start(self) -> int:
        """Today's answer of the reference feed."""
        return self.feeds[0].answer

    @property
    def reserves(self) -> frozenset[str]:
        return frozenset(self.expressions)

    def answer(self, reserve: str, moving: pl.Series) -> pl.Series:
        """Give the oracle's answers (Int128; 0: no price) at each answer of the reference feed, exactly."""
        expression = self.expressions[reserve]
        moving = moving.cast(pl.Int128).clip(lower_bound=0)
        moved = {
            feed.address: moving if feed is self.feeds[0] else mul_div_down(moving, feed.answer, self.start)
            for feed in self.feeds
            if feed.address in expression.feeds()
        }
        return as_column(expression.column(moved, self.answers, self.timestamp), moving.len())

    def increasing(self, reserve: str) -> bool:
        slopes = self.expressions[reserve].slopes()
        return not any(-1 in slopes[feed.address] for feed in self.feeds if feed.address in slopes)

    def feed_answers(self, moving: int) -> dict[str, int]:
        """Give the answers of the factor's feeds at one answer of the reference feed."""
        return {feed.address: feed.answer * moving // self.start for feed in self.feeds}


@dataclass(frozen=True)
class ReservePath:
    """The oracle's answer for one asset moves, whatever its wiring; all others are held."""

    name: str
    start: int
    reserves: frozenset[str]  # the reserve, and an e-mode that is priced by the same asset

    def answer(self, reserve: str, moving: pl.Series) -> pl.Series:
        if reserve not in self.reserves:
            raise KeyError(reserve)
        return moving.cast(pl.Int128)

    def increasing(self, reserve: str) -> bool:
        return True


@dataclass(frozen=True)
class OracleGraph:
    """Feeds, and each reserve's price as an expression of their answers.

    Reserves without a price (a source that answers ≤ 0 or reverts) are absent from ``prices``. Feeds are in order:
    the first of a factor is its reference feed. Keys of ``prices`` are reserve ids and ``emode:<category>``.
    """

    feeds: Mapping[str, Feed]  # by address
    prices: Mapping[str, PriceExpression]
    warnings: tuple[str, ...] = ()
    timestamp: int = 0  # of the block that was read
    symbols: Mapping[str, str] = field(default_factory=dict)  # by key of ``prices``
    assets: Mapping[str, str] = field(default_factory=dict)
    groups: Mapping[str, tuple[str, ...]] = field(default_factory=dict)  # name to factors that can move together

    def factors(self) -> dict[str, tuple[Feed, ...]]:
        """Give the feeds of each factor, the reference feed first."""
        found: dict[str, tuple[Feed, ...]] = {}
        for feed in self.feeds.values():
            found[feed.factor] = (*found.get(feed.factor, ()), feed)
        return found

    def reserve_factors(self) -> dict[str, str]:
        """Give the factor of each reserve's base feed; reserves with a fixed price have none."""
        bases = {key: expression.base_feed() for key, expression in self.prices.items()}
        return {key: self.feeds[base].factor for key, base in bases.items() if base is not None}

    def answers(self) -> dict[str, int]:
        """Give today's answers of all feeds."""
        return {address: feed.answer for address, feed in self.feeds.items()}

    def answers_at(self, moves: Mapping[str, int], timestamp: int) -> dict[str, int]:
        """Give the oracle's answers with some feeds moved (address to answer); unpriced reserves are absent."""
        feeds = {**self.answers(), **moves}
        values = {key: expression.evaluate(feeds, timestamp) for key, expression in self.prices.items()}
        return {key: value for key, value in values.items() if value is not None}

    def members(self, name: str) -> tuple[Feed, ...]:
        """Give the feeds of a factor or group, the reference feed first; raises ConfigError for another name."""
        factors = self.factors()
        names = self.groups.get(name, (name,)) if name not in factors else (name,)
        if not all(factor in factors for factor in names):
            raise ConfigError(f"no price factor {name!r}; {suggest(name, [*factors, *self.groups])}")
        return tuple(feed for factor in names for feed in factors[factor])

    def factor_path(self, name: str, timestamp: int) -> FactorPath:
        """Let the feeds of a factor or group move; raises ConfigError for an unknown name."""
        feeds = self.members(name)
        addresses = {feed.address for feed in feeds}
        moved = {key: expression for key, expression in self.prices.items() if expression.feeds() & addresses}
        return FactorPath(name, timestamp, feeds, moved, self.answers())

    def reserve_path(self, reserve: str, timestamp: int | None = None) -> ReservePath:
        """Let one reserve's oracle answer move; raises KeyError when the reserve has no price."""
        start = self.prices[reserve].evaluate(self.answers(), self.timestamp if timestamp is None else timestamp)
        if start is None:
            raise KeyError(reserve)
        asset = self.assets.get(reserve)
        twins = {key for key in self.prices if asset is not None and self.assets.get(key) == asset}
        return ReservePath(reserve, start, frozenset({reserve, *twins}))

    def with_factors(self, factors: Mapping[str, Collection[str]]) -> OracleGraph:
        """Move feeds to other factors: factor name to symbols, reserve ids, assets or feed addresses.

        A reserve stands for its base feed, so everything else on that feed moves along. Raises ConfigError for an
        unknown name, a fixed price, and for a factor that would move both sides of one quotient.
        """
        chosen = {address: name for name, keys in factors.items() for key in keys for address in self._bases(key)}
        feeds = {a: replace(feed, factor=chosen.get(a, feed.factor)) for a, feed in self.feeds.items()}
        graph = replace(self, feeds=feeds)
        kept = graph.factors()
        groups = {name: tuple(f for f in names if f in kept) for name, names in self.groups.items()}
        graph = replace(graph, groups={name: names for name, names in groups.items() if names})
        for key, name in graph.two_way():
            raise ConfigError(f"factor {name!r} moves the price of {self.symbols.get(key, key)!r} both ways")
        return graph

    def two_way(self) -> list[tuple[str, str]]:
        """List reserves that a single factor moves both ways, with that factor."""
        found = []
        for key, expression in self.prices.items():
            seen: dict[str, set[int]] = {}
            for address, slopes in expression.slopes().items():
                if address in self.feeds:
                    seen.setdefault(self.feeds[address].factor, set()).update(slopes)
            found += [(key, factor) for factor, slopes in seen.items() if len(slopes) > 1]
        return found

    def _bases(self, key: str) -> list[str]:
        if key.lower() in self.feeds:
            return [key.lower()]
        named = [
            k for k in self.prices if key in (k, self.symbols.get(k)) or key.lower() == self.assets.get(k, "").lower()
        ]
        if not named:
            raise ConfigError(f"no priced reserve or feed {key!r}; {suggest(key, set(self.symbols.values()))}")
        bases = [base for k in named if (base := self.prices[k].base_feed()) is not None]
        if not bases:
            raise ConfigError(f"{key!r} has a fixed price, which no factor moves")
        return bases
