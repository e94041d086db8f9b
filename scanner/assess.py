"""Turn what was read of one market into frames: health, liquidation points, triggers, seizures. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Final

import polars as pl

from scanner.frames import ACCOUNTS, EXPOSURES, LEGS, LIQUIDATION_POINTS, SEIZURES, SKIPPED, TRIGGERS, conform
from scanner.options import ScanOptions
from scanner.protocols.interface import Market
from scanner.reading import MarketRead
from scanner.risk.band_edges import Reference
from scanner.risk.exposures import exposures, members
from scanner.risk.points import located, points
from scanner.risk.pricing import Feed, OracleGraph
from scanner.risk.rules import Answers, Changes, Positions, PricePath, Rules
from scanner.risk.seizures_at import seizures_at
from scanner.risk.status import statuses
from scanner.risk.triggers import solve_triggers
from scanner.units import BPS

__all__ = ["Assessment", "assess"]

NOW: Final = "now"


@dataclass(frozen=True)
class Assessment:
    """A market's frames, the health of its positions in row order, and the feeds that factors are stated in."""

    market: Market
    frames: Mapping[str, pl.DataFrame]
    health: pl.DataFrame
    factors: Mapping[str, tuple[Feed, ...]]
    members: Mapping[str, frozenset[str]]
    references: Mapping[str, Reference]
    main_factor: str | None
    warnings: tuple[str, ...]


@dataclass(frozen=True)
class _Solved:
    """Exact triggers (``triggers.solve_triggers``) of the points of factors, and of those of single reserves."""

    paths: Sequence[PricePath]
    factors: pl.DataFrame
    reserves: pl.DataFrame
    factor_count: int

    def named(self, frame: pl.DataFrame, column: str) -> pl.DataFrame:
        """Name the path, a factor or a reserve, in place of its index."""
        names = pl.Series(column, [path.name for path in self.paths], dtype=pl.String)
        return frame.with_columns(names.gather(frame["path"])).drop("path")

    def skipped(self) -> pl.DataFrame:
        """List positions without an exact answer, and those with a second one: row, reserve, what, reason."""
        open_rows = self.named(pl.concat([self.factors, self.reserves]).filter(~pl.col("solved")), "name")
        listed = open_rows.group_by("row", "too_large", maintain_order=True).agg(pl.col("name").str.join(", "))
        why = pl.when("too_large").then(pl.lit("too large: ")).otherwise(pl.lit("gave up: "))
        twice = (
            self.both_ways()
            .group_by("row", maintain_order=True)
            .agg(pl.concat_str("name", pl.lit(" at "), pl.col("also").cast(pl.String)).str.join(", "))
        )
        reasons = [
            listed.select("row", (why + pl.lit("no exact trigger on ") + pl.col("name")).alias("reason")),
            twice.select("row", (pl.lit("breaks both ways: also on ") + pl.col("name")).alias("reason")),
        ]
        return pl.concat(reasons).select(
            "row", pl.lit(None, pl.String).alias("reserve"), pl.lit("trigger").alias("what"), "reason"
        )

    def both_ways(self) -> pl.DataFrame:
        """Give the triggers the other way of positions that break both ways: name, row, also."""
        both = pl.concat([self.factors, self.reserves]).filter(pl.col("also").is_not_null())
        return self.named(both.select("path", "row", "also"), "name")

    def warnings(self) -> list[str]:
        """Count the positions without an exact trigger, and those with two, per factor."""
        said = "{} accounts have no exact trigger on {}; skipped says why"
        twice = "{} accounts break both ways on {}: bands hold the likelier way, skipped the other"
        missing = self.named(self.factors.filter(~pl.col("solved")), "name")
        both = self.both_ways().filter(pl.col("name").is_in([path.name for path in self.paths[: self.factor_count]]))
        return [
            text.format(count, name)
            for text, frame in ((said, missing), (twice, both))
            for name, count in frame.group_by("name", maintain_order=True).len().rows()
        ]


@dataclass(frozen=True)
class _Then:
    """Positions at the time that triggers are computed for."""

    rules: Rules
    positions: Positions
    answers: Answers
    health: pl.DataFrame
    legs: pl.DataFrame


def assess(read: MarketRead, timestamp: int, options: ScanOptions) -> Assessment:
    """Compute a market's frames from its positions.

    Health, status and seizures now are those of the block; points, triggers and seizures at triggers are those of
    ``timestamp``. ``options.extent`` says how many triggers are solved.
    """
    market, graph, positions = read.market, read.graph, read.positions
    rules = read.target.protocol.rules(market)
    answers = Answers(market.answers)
    health, legs = rules.health(positions, answers), rules.legs(positions, answers)
    seizures = _seizures_now(rules, positions, answers, health)
    reserves = _reserves(market, graph)
    then = _Then(rules, positions, answers, health, legs)
    if timestamp != rules.timestamp:
        then = _at(rules.with_changes(Changes(timestamp=timestamp)), positions, graph)
    groups = [options.factor] if options.factor is not None and options.factor in graph.groups else []
    moved = members(graph, timestamp, [*graph.factors(), *groups])
    main = _main_factor(then, moved)
    chosen = [options.factor or main] if options.extent in ("points", "factor") else list(moved)
    exposed = exposures(then.legs, {name: moved[name] for name in chosen if name in moved}, market.base_unit)
    closed = points(exposed, then.health)
    feeds, usd = {name: graph.members(name)[0] for name in moved}, _quote_usd(market)
    references = {name: Reference(feed.answer, _per_unit(feed, usd)) for name, feed in feeds.items()}
    solved = _solve(market, graph, then, closed, options.extent)
    if options.extent == "points":
        placed = _unsolved(closed, references)
    else:
        placed = located(closed, solved.factors, references, timestamp)
    seized = [seizures.with_columns(pl.lit(NOW).alias("factor"))]
    crossed = solved.factors.filter(pl.col("answer").is_not_null())
    if crossed.height:
        at_triggers = seizures_at(then.rules, then.positions, then.answers, solved.paths, crossed)
        seized.append(solved.named(at_triggers, "factor"))
    broken = solved.named(solved.reserves.filter(pl.col("answer").is_not_null()), "reserve")
    label = _Labels(market, positions)
    frames = {
        "markets": market.frame,
        "reserves": reserves,
        "legs": _legs(market, reserves, legs, label),
        "accounts": _accounts(market, positions, health, statuses(health, seizures)),
        "exposures": label.frame(exposed, "exposures", EXPOSURES),
        "liquidation_points": label.frame(placed, "liquidation_points", LIQUIDATION_POINTS),
        "triggers": label.frame(_triggers(market, reserves, broken, timestamp), "triggers", TRIGGERS),
        "seizures": label.frame(pl.concat(seized), "seizures", SEIZURES),
        "skipped": pl.concat([market.skipped, positions.skipped, label.frame(solved.skipped(), "skipped", SKIPPED)]),
    }
    return Assessment(
        market=market,
        frames=frames,
        health=health,
        factors={name: graph.members(name) for name in moved},
        members=moved,
        references=references,
        main_factor=main,
        warnings=(*market.warnings, *graph.warnings, *solved.warnings()),
    )


def _at(rules: Rules, positions: Positions, graph: OracleGraph) -> _Then:
    answers = Answers(graph.answers_at({}, rules.timestamp))
    return _Then(rules, positions, answers, rules.health(positions, answers), rules.legs(positions, answers))


def _quote_usd(market: Market) -> float | None:
    value: float | None = market.frame["quote_usd"][0]
    return value


def _per_unit(feed: Feed, quote_usd: float | None) -> Fraction:
    """Give the price of one unit of a feed's answer; a ratio feed's price is the ratio itself."""
    return Fraction(quote_usd if quote_usd is not None else 1.0) / Fraction(10**feed.decimals)


def _seizures_now(rules: Rules, positions: Positions, answers: Answers, health: pl.DataFrame) -> pl.DataFrame:
    """Give the seizures of the few positions that can be liquidated, without valuing all others again."""
    hurt = health.filter("liquidatable")["row"]
    seizures = rules.seizures(positions.pick(hurt), answers)
    return seizures.with_columns(hurt.gather(seizures["row"]).alias("row"))


def _main_factor(then: _Then, moved: Mapping[str, frozenset[str]]) -> str | None:
    """Name the factor that backs most debt: the largest threshold-weighted collateral of accounts with debt."""
    indebted = (then.health["has_debt"] & ~then.health["unpriced"]).gather(then.legs["row"])
    threshold = (pl.col("liquidation_threshold") * BPS).round().cast(pl.Int128)
    weighted = pl.col("value_raw").cast(pl.Int128) * threshold
    legs = then.legs.select("price_key", weighted.alias("weighted")).filter(indebted)
    backing = dict(legs.group_by("price_key").agg(pl.col("weighted").sum()).iter_rows())
    order = {name: -sum(backing.get(key, 0) for key in keys) for name, keys in sorted(moved.items())}
    return min(order, key=order.__getitem__, default=None)


def _solve(market: Market, graph: OracleGraph, then: _Then, closed: pl.DataFrame, extent: str) -> _Solved:
    """Solve the closed-form points of factors and, for the extent ``accounts``, of each reserve's own oracle answer."""
    timestamp = then.rules.timestamp
    names = [] if extent == "points" else closed["factor"].unique(maintain_order=True).to_list()
    priced = {*graph.prices} & {*then.answers.market} if extent == "accounts" else set()
    keys = [key for key in market.reserves["reserve"] if key in priced]
    single = [graph.reserve_path(key, timestamp) for key in keys]
    paths: list[PricePath] = [*(graph.factor_path(name, timestamp) for name in names), *single]
    moved = {path.name: path.reserves for path in single}
    of_reserves = points(exposures(then.legs, moved, market.base_unit), then.health) if moved else closed.clear()
    asked = [_on_paths(closed, names, 0), _on_paths(of_reserves, keys, len(names))]
    crossings = solve_triggers(then.rules, then.positions, paths, then.answers, pl.concat(asked))
    return _Solved(paths, crossings.head(asked[0].height), crossings.slice(asked[0].height), len(names))


def _on_paths(closed: pl.DataFrame, names: Sequence[str], first: int) -> pl.DataFrame:
    """Put the index of its path, counted from ``first``, in place of each point's factor; others are left out."""
    numbered = pl.DataFrame({"factor": names}, schema={"factor": pl.String}).with_row_index("path", first)
    joined = closed.join(numbered, on="factor", how="inner", validate="m:1", maintain_order="left")
    return joined.select("path", "row", "direction")


def _unsolved(closed: pl.DataFrame, references: Mapping[str, Reference]) -> pl.DataFrame:
    """Price points in closed form; they have no trigger."""
    prices = {name: reference.price_usd for name, reference in references.items()}
    return closed.with_columns(
        (pl.col("lower_ratio") * pl.col("factor").replace_strict(prices, return_dtype=pl.Float64)).alias("price_usd"),
        pl.lit(None, pl.String).alias("trigger_answer"),
        pl.lit(None, pl.Int64).alias("for_timestamp"),
    )


def _triggers(market: Market, reserves: pl.DataFrame, solved: pl.DataFrame, timestamp: int) -> pl.DataFrame:
    """Price the triggers on each reserve's own oracle answer. Gives the columns of frame TRIGGERS, and row."""
    usd_per_unit = pl.lit(_quote_usd(market), pl.Float64) / market.base_unit
    about = reserves.select("reserve", "asset", "symbol")
    frame = solved.join(about, on="reserve", how="left", validate="m:1", maintain_order="left")
    return frame.with_columns(
        pl.col("answer").cast(pl.String).alias("trigger_price"),
        (pl.col("answer").cast(pl.Float64) * usd_per_unit).alias("price_usd"),
        pl.lit(timestamp, pl.Int64).alias("for_timestamp"),
    )


class _Labels:
    """Puts the keys of a market's positions in place of row numbers."""

    def __init__(self, market: Market, positions: Positions) -> None:
        self._key = _key(market)
        self._names = positions.accounts["position"]

    def frame(self, frame: pl.DataFrame, name: str, schema: Mapping[str, object]) -> pl.DataFrame:
        labelled = frame.with_columns(*self._key, self._names.gather(frame["row"]).alias("position"))
        return conform(labelled.select(list(schema)), name)


def _key(market: Market) -> list[pl.Expr]:
    return [
        pl.lit(market.chain_id, pl.Int64).alias("chain_id"),
        pl.lit(market.protocol).alias("protocol"),
        pl.lit(market.market_id).alias("market_id"),
    ]


def _reserves(market: Market, graph: OracleGraph) -> pl.DataFrame:
    """Fill in each reserve's factor. Gives frame RESERVES."""
    factors = graph.reserve_factors()
    column = pl.Series("factor", [factors.get(reserve) for reserve in market.reserves["reserve"]], pl.String)
    return conform(market.reserves.with_columns(column), "reserves")


def _legs(market: Market, reserves: pl.DataFrame, legs: pl.DataFrame, label: _Labels) -> pl.DataFrame:
    """Describe and value every leg. Gives frame LEGS."""
    about = reserves.select("reserve", "asset", "symbol", "decimals", "price_quote", "factor")
    frame = legs.join(about, on="reserve", how="left", validate="m:1", maintain_order="left").with_columns(
        (pl.col("amount_raw").cast(pl.Float64) / 10.0 ** pl.col("decimals")).alias("amount_tokens"),
        (pl.col("value_raw").cast(pl.Float64) / market.base_unit).alias("value_quote"),
    )
    usd = pl.lit(_quote_usd(market), pl.Float64)
    frame = frame.with_columns((pl.col("value_quote") * usd).alias("value_usd"))
    return label.frame(frame, "legs", LEGS)


def _accounts(market: Market, positions: Positions, health: pl.DataFrame, status: pl.DataFrame) -> pl.DataFrame:
    """Put exact totals, health factor and status of each account side by side. Gives frame ACCOUNTS."""
    usd = pl.lit(_quote_usd(market), pl.Float64)
    frame = (
        positions.accounts.join(health, on="row", how="left", validate="1:1", maintain_order="left")
        .join(status, on="row", how="left", validate="1:1", maintain_order="left")
        .with_columns(
            *_key(market),
            (pl.col("collateral_raw").cast(pl.Float64) / market.base_unit).alias("collateral_quote"),
            (pl.col("debt_raw").cast(pl.Float64) / market.base_unit).alias("debt_quote"),
        )
    )
    collateral, equity = pl.col("collateral_quote"), pl.col("collateral_quote") - pl.col("debt_quote")
    frame = frame.with_columns(
        (collateral * usd).alias("collateral_usd"),
        (pl.col("debt_quote") * usd).alias("debt_usd"),
        pl.when(equity > 0).then(collateral / equity).alias("leverage"),
    )
    return conform(frame.select(list(ACCOUNTS)), "accounts")
