"""Turn what was read of one market into frames: health, liquidation points, triggers, seizures. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from typing import Final

import polars as pl

from scanner.frames import ACCOUNTS, EXPOSURES, LEGS, LIQUIDATION_POINTS, SEIZURES, TRIGGERS, conform, empty
from scanner.options import ScanOptions
from scanner.protocols.interface import Market
from scanner.reading import MarketRead
from scanner.risk.band_edges import Reference
from scanner.risk.exposures import exposures, members
from scanner.risk.points import located, points
from scanner.risk.pricing import Feed, OracleGraph
from scanner.risk.rules import Answers, Changes, Positions, PricePath, Rules
from scanner.risk.status import statuses
from scanner.risk.triggers import solve_triggers

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
    seizures = rules.seizures(positions, answers)
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
    usd = _quote_usd(market)
    references = {
        name: Reference(graph.members(name)[0].answer, _per_unit(graph.members(name)[0], usd)) for name in moved
    }
    wanted = [name for name in chosen if name in moved and options.extent != "points"]
    solved = [_solve(market, graph, then, name, closed, timestamp) for name in wanted]
    placed = [s[0] for s in solved] if options.extent != "points" else [_unsolved(closed, references)]
    triggers = _reserve_triggers(market, graph, then, reserves) if options.extent == "accounts" else empty("triggers")
    label = _Labels(market, positions)
    frames = {
        "markets": market.frame,
        "reserves": reserves,
        "legs": _legs(market, reserves, legs, label),
        "accounts": _accounts(market, positions, health, statuses(health, seizures)),
        "exposures": label.frame(exposed, "exposures", EXPOSURES),
        "liquidation_points": label.stack(placed, "liquidation_points", LIQUIDATION_POINTS),
        "triggers": triggers,
        "seizures": label.stack(
            [seizures.with_columns(pl.lit(NOW).alias("factor")), *(s[1] for s in solved)], "seizures", SEIZURES
        ),
        "skipped": conform(pl.concat([market.skipped, positions.skipped]), "skipped"),
    }
    return Assessment(
        market=market,
        frames=frames,
        health=health,
        factors={name: graph.members(name) for name in moved},
        members=moved,
        references=references,
        main_factor=main,
        warnings=(*market.warnings, *graph.warnings, *(warning for s in solved for warning in s[2])),
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


def _main_factor(then: _Then, moved: Mapping[str, frozenset[str]]) -> str | None:
    """Name the factor that backs most debt: the largest threshold-weighted collateral of accounts with debt."""
    indebted = (then.health["has_debt"] & ~then.health["unpriced"]).gather(then.legs["row"])
    weighted = pl.col("value_raw").cast(pl.Float64) * pl.col("liquidation_threshold")
    sums = then.legs.filter(indebted).group_by("price_key").agg(weighted.sum())
    backing = dict(sums.iter_rows())
    order = {name: -sum(backing.get(key, 0.0) for key in sorted(keys)) for name, keys in sorted(moved.items())}
    return min(order, key=order.__getitem__, default=None)


def _solve(
    market: Market, graph: OracleGraph, then: _Then, factor: str, closed: pl.DataFrame, timestamp: int
) -> tuple[pl.DataFrame, pl.DataFrame, tuple[str, ...]]:
    """Give a factor's liquidation points, the seizures at its triggers, and warnings."""
    path = graph.factor_path(factor, timestamp)
    mine = closed.filter(pl.col("factor") == factor)
    crossings = solve_triggers(then.rules, then.positions, path, then.answers, mine)
    per_answer = float(_per_unit(graph.members(factor)[0], _quote_usd(market)))
    at = located(mine, crossings, path.start, per_answer, timestamp)
    seized = _seizures_at(then, path, crossings.filter(pl.col("answer").is_not_null()))
    unsolved = crossings.filter(~pl.col("solved")).height
    warnings = (f"{unsolved} accounts have no exact trigger on {factor}: their numbers are too large",)
    return at, seized.with_columns(pl.lit(factor).alias("factor")), warnings if unsolved else ()


def _unsolved(closed: pl.DataFrame, references: Mapping[str, Reference]) -> pl.DataFrame:
    """Price points in closed form; they have no trigger."""
    prices = {name: reference.price_usd for name, reference in references.items()}
    return closed.with_columns(
        (pl.col("lower_ratio") * pl.col("factor").replace_strict(prices, return_dtype=pl.Float64)).alias("price_usd"),
        pl.lit(None, pl.String).alias("trigger_answer"),
        pl.lit(None, pl.Int64).alias("for_timestamp"),
    )


def _seizures_at(then: _Then, path: PricePath, crossings: pl.DataFrame) -> pl.DataFrame:
    """Compute what is seized of each position at its own trigger."""
    rows = crossings.select("row", "answer").sort("row")
    moved = [
        rows.select("row", pl.lit(key).alias("reserve"), path.answer(key, rows["answer"]).alias("answer"))
        for key in sorted(path.reserves)
    ]
    subset = then.positions.take(rows["row"])
    renumbered = {old: new for new, old in enumerate(rows["row"])}
    frame = pl.concat(moved) if moved else None
    if frame is not None:
        frame = frame.with_columns(pl.col("row").replace_strict(renumbered, return_dtype=pl.UInt32))
    seized = then.rules.seizures(subset, Answers(then.answers.market, frame))
    return seized.with_columns(rows["row"].gather(seized["row"]).alias("row"))


def _reserve_triggers(market: Market, graph: OracleGraph, then: _Then, reserves: pl.DataFrame) -> pl.DataFrame:
    """Solve the trigger of every position on each reserve's own oracle answer. Gives frame TRIGGERS."""
    label, found = _Labels(market, then.positions), []
    for reserve in reserves.filter(pl.col("answer").is_not_null())["reserve"]:
        if reserve not in graph.prices:
            continue
        path = graph.reserve_path(reserve, then.rules.timestamp)
        closed = points(exposures(then.legs, {reserve: path.reserves}, market.base_unit), then.health)
        crossings = solve_triggers(then.rules, then.positions, path, then.answers, closed)
        found.append(
            crossings.filter(pl.col("answer").is_not_null()).select(
                "row", pl.lit(reserve).alias("reserve"), "direction", "answer"
            )
        )
    if not found:
        return empty("triggers")
    usd_per_unit = pl.lit(_quote_usd(market), pl.Float64) / market.base_unit
    about = reserves.select("reserve", "asset", "symbol")
    frame = pl.concat(found).join(about, on="reserve", how="left", validate="m:1", maintain_order="left")
    frame = frame.with_columns(
        pl.col("answer").cast(pl.String).alias("trigger_price"),
        (pl.col("answer").cast(pl.Float64) * usd_per_unit).alias("price_usd"),
        pl.lit(then.rules.timestamp, pl.Int64).alias("for_timestamp"),
    )
    return label.frame(frame, "triggers", TRIGGERS)


class _Labels:
    """Puts the keys of a market's positions in place of row numbers."""

    def __init__(self, market: Market, positions: Positions) -> None:
        self._key = _key(market)
        self._names = positions.accounts["position"]

    def frame(self, frame: pl.DataFrame, name: str, schema: Mapping[str, object]) -> pl.DataFrame:
        labelled = frame.with_columns(*self._key, self._names.gather(frame["row"]).alias("position"))
        return conform(labelled.select(list(schema)), name)

    def stack(self, parts: list[pl.DataFrame], name: str, schema: Mapping[str, object]) -> pl.DataFrame:
        if not parts:
            return empty(name)
        columns = [column for column in schema if column in parts[0].columns]
        return self.frame(pl.concat([part.select("row", *columns) for part in parts]), name, schema)


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
    equity = pl.col("collateral_quote") - pl.col("debt_quote")
    frame = frame.with_columns(
        (pl.col("collateral_quote") * usd).alias("collateral_usd"),
        (pl.col("debt_quote") * usd).alias("debt_usd"),
        pl.when(equity > 0).then(pl.col("collateral_quote") / equity).alias("leverage"),
    )
    return conform(frame.select(list(ACCOUNTS)), "accounts")
