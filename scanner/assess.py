"""Turn what was read of one market into frames: health, liquidation points, triggers, seizures. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Final

import polars as pl

from scanner.beside import beside
from scanner.describe import Describer, quote_usd
from scanner.exact import sum_by
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
    members: Mapping[str, frozenset[str]]  # price keys that each factor moves
    symbols: Mapping[str, str]  # of price keys
    references: Mapping[str, Reference]
    main_factor: str | None
    warnings: tuple[str, ...]


@dataclass(frozen=True)
class _Solved:
    """Exact triggers (``triggers.solve_triggers``) of the points of factors, and of those of single reserves."""

    paths: Sequence[PricePath]
    factors: pl.DataFrame
    reserves: pl.DataFrame

    def named(self, frame: pl.DataFrame, column: str) -> pl.DataFrame:
        """Name the path, a factor or a reserve, in place of its index."""
        names = pl.Series(column, [path.name for path in self.paths], dtype=pl.String)
        return frame.with_columns(names.gather(frame["path"])).drop("path")

    def skipped(self) -> pl.DataFrame:
        """List positions without an exact answer: row, reserve, what, reason."""
        open_rows = self.named(pl.concat([self.factors, self.reserves]).filter(~pl.col("solved")), "name")
        listed = open_rows.group_by("row", "too_large", maintain_order=True).agg(pl.col("name").str.join(", "))
        why = pl.when("too_large").then(pl.lit("too large: ")).otherwise(pl.lit("gave up: "))
        return listed.select(
            "row",
            pl.lit(None, pl.String).alias("reserve"),
            pl.lit("trigger").alias("what"),
            (why + pl.lit("no exact trigger on ") + pl.col("name")).alias("reason"),
        )

    def warnings(self) -> list[str]:
        """Count the positions without an exact trigger, per factor."""
        missing = self.named(self.factors.filter(~pl.col("solved")), "name")
        return [
            f"{count} accounts have no exact trigger on {name}; skipped says why"
            for name, count in missing.group_by("name", maintain_order=True).len().rows()
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
    describe = Describer(market, graph, positions)
    # polars lets other threads run: one describes what the other goes on computing with
    described = beside(lambda: (describe.legs(legs), describe.accounts(health, statuses(health, seizures))))
    then = _Then(rules, positions, answers, health, legs)
    if timestamp != rules.timestamp:
        then = _at(rules.with_changes(Changes(timestamp=timestamp)), positions, graph)
    groups = [options.factor] if options.factor is not None and options.factor in graph.groups else []
    moved = members(graph, timestamp, [*graph.factors(), *groups])
    main = _main_factor(then, moved)
    chosen = [options.factor or main] if options.extent in ("points", "factor") else list(moved)
    exposed = exposures(then.legs, {name: moved[name] for name in chosen if name in moved}, market.base_unit)
    closed = points(exposed, then.health)
    feeds, usd = {name: graph.members(name)[0] for name in moved}, quote_usd(market)
    references = {name: Reference(feed.answer, _per_unit(feed, usd)) for name, feed in feeds.items()}
    solved = _solve(market, graph, then, closed, options.extent)
    if options.extent == "points":
        placed = _unsolved(closed, references)
    else:
        placed = located(closed, solved.factors, references, timestamp)
    seized = [seizures.with_columns(pl.lit(NOW).alias("factor"), pl.lit(NOW).alias("direction"))]
    crossed = solved.factors.filter(pl.col("answer").is_not_null())
    if crossed.height:
        at_triggers = seizures_at(then.rules, then.positions, then.answers, solved.paths, crossed)
        seized.append(solved.named(at_triggers, "factor").select(seized[0].columns))
    broken = solved.named(solved.reserves.filter(pl.col("answer").is_not_null()), "reserve")
    described_legs, described_accounts = described.result()
    frames = {
        "markets": market.frame,
        "reserves": describe.reserves(),
        "legs": described_legs,
        "accounts": described_accounts,
        "exposures": describe.frame(exposed, "exposures"),
        "liquidation_points": describe.frame(placed, "liquidation_points"),
        "triggers": describe.triggers(broken, timestamp),
        "seizures": describe.frame(pl.concat(seized), "seizures"),
        "skipped": pl.concat([market.skipped, positions.skipped, describe.frame(solved.skipped(), "skipped")]),
    }
    return Assessment(
        market=market,
        frames=frames,
        health=health,
        factors={name: graph.members(name) for name in moved},
        members=moved,
        symbols=graph.symbols,
        references=references,
        main_factor=main,
        warnings=(*market.warnings, *graph.warnings, *solved.warnings()),
    )


def _at(rules: Rules, positions: Positions, graph: OracleGraph) -> _Then:
    answers = Answers(graph.answers_at({}, rules.timestamp))
    return _Then(rules, positions, answers, rules.health(positions, answers), rules.legs(positions, answers))


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
    legs = then.legs.select("price_key", "liquidation_threshold", "value_raw")
    legs = legs.filter(indebted & legs["liquidation_threshold"].is_not_null())
    sums = sum_by(legs, ["price_key", "liquidation_threshold"], ["value_raw"])
    backing: dict[str, int] = {}
    for key, threshold, value in sums.iter_rows():
        backing[key] = backing.get(key, 0) + value * round(threshold * BPS)
    order = {name: -sum(backing.get(key, 0) for key in keys) for name, keys in sorted(moved.items())}
    return min(order, key=order.__getitem__, default=None)


def _solve(market: Market, graph: OracleGraph, then: _Then, closed: pl.DataFrame, extent: str) -> _Solved:
    """Solve the closed-form points of factors and, for the extent ``accounts``, of each reserve's own oracle answer.

    The extent ``points`` solves none.
    """
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
    of_factor = pl.col("point") < asked[0].height
    return _Solved(paths, crossings.filter(of_factor), crossings.filter(~of_factor))


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
