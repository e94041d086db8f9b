"""Turn what was read of one market into frames: health, liquidation points, triggers, seizures. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction

import polars as pl

from scanner.beside import beside
from scanner.describe import Describer, quote_usd
from scanner.errors import ConfigError, suggest
from scanner.exact import sum_by
from scanner.options import Extent, ScanOptions
from scanner.protocols.interface import Market, MarketRead
from scanner.risk.band_edges import Reference
from scanner.risk.exposures import exposures, members
from scanner.risk.points import located, points
from scanner.risk.pricing import Feed, OracleGraph
from scanner.risk.rules import Answers, Changes, Positions, PricePath, Rules
from scanner.risk.seizures_at import seizures_at
from scanner.risk.status import statuses
from scanner.risk.triggers import solve_triggers
from scanner.units import BPS
from scanner.views import NOW

__all__ = ["Assessment", "Prepared", "assess", "prepare", "select_factor"]


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
            f"{count} account{'s have' if count > 1 else ' has'} no exact trigger on {name}; skipped says why"
            for name, count in missing.group_by("name", maintain_order=True).len().rows()
        ]


@dataclass(frozen=True)
class _Valued:
    """Positions at a time: that of the block, or the one that triggers are computed for."""

    rules: Rules
    positions: Positions
    answers: Answers
    health: pl.DataFrame
    legs: pl.DataFrame


@dataclass(frozen=True)
class Prepared:
    """A market whose positions have been valued: at the block, and at the time that triggers are computed for."""

    read: MarketRead
    now: _Valued
    then: _Valued
    moved: Mapping[str, frozenset[str]]  # price keys that each factor moves

    @property
    def health(self) -> pl.DataFrame:
        """Health of the positions at the block, in row order."""
        return self.now.health

    def backing(self) -> dict[str, float]:
        """Say how much of the debt's backing, threshold-weighted collateral in dollars, moves with each factor."""
        legs, health = self.then.legs, self.then.health
        indebted = (health["has_debt"] & ~health["unpriced"]).gather(legs["row"])
        legs = legs.filter(indebted & legs["liquidation_threshold"].is_not_null())
        sums = sum_by(legs, ["price_key", "liquidation_threshold"], ["value_raw"])
        weighted: dict[str, int] = {}
        for key, threshold, value in sums.iter_rows():
            weighted[key] = weighted.get(key, 0) + value * round(threshold * BPS)
        usd = (quote_usd(self.read.market) or 1.0) / (self.read.market.base_unit * BPS)
        return {name: usd * sum(weighted.get(key, 0) for key in keys) for name, keys in self.moved.items()}


def prepare(read: MarketRead, timestamp: int, options: ScanOptions) -> Prepared:
    """Value a market's positions at the block and at ``timestamp``."""
    market, rules, graph, positions = read.market, read.rules, read.graph, read.positions
    now = then = _valued(rules, positions, Answers(market.answers))
    if timestamp != rules.timestamp:
        later = rules.with_changes(Changes(timestamp=timestamp))
        then = _valued(later, positions, Answers(graph.answers_at({}, timestamp)))
    groups = [options.factor] if options.factor is not None and options.factor in graph.groups else []
    return Prepared(read, now, then, members(graph, timestamp, [*graph.factors(), *groups]))


def select_factor(asked: str | None, markets: Sequence[Prepared]) -> str:
    """Name the factor that a scan is about: the one asked for, else the one that backs most debt over all markets.

    Raises ConfigError when the factor asked for is none of the scan's.
    """
    names = list(dict.fromkeys(name for market in markets for name in market.moved))
    if asked is not None:
        if asked not in names:
            raise ConfigError(f"no price factor {asked!r} in this scan; {suggest(asked, names or ['none'])}")
        return asked
    backing = dict.fromkeys(sorted(names), 0.0)
    for market in markets:
        for name, usd in market.backing().items():
            backing[name] += usd
    return max(backing, key=backing.__getitem__, default="")


def assess(prepared: Prepared, selected: str, extent: Extent) -> Assessment:
    """Compute a market's frames.

    Amounts and health are those of the block. Status and everything to do with liquidation (points, triggers, seizures)
    are those of the time that was prepared: what interest alone breaks until then is liquidatable. ``extent`` says how
    many triggers are solved; ``selected`` is the factor of a scan that solves only one.
    """
    read, then, moved = prepared.read, prepared.then, prepared.moved
    market, graph, timestamp = read.market, read.graph, prepared.then.rules.timestamp
    seizures = _seizures_now(then)
    describe = Describer(market, graph, read.positions)
    # polars lets other threads run: one describes what the other goes on computing with
    described = beside(
        lambda: (
            describe.legs(prepared.now.legs),
            describe.accounts(prepared.health, statuses(then.health, seizures)),
        )
    )
    chosen = [selected] if extent in ("points", "factor") else list(moved)
    exposed = exposures(then.legs, {name: moved[name] for name in chosen if name in moved}, market.base_unit)
    closed = points(exposed, then.health)
    feeds, usd = {name: graph.members(name)[0] for name in moved}, quote_usd(market)
    references = {name: Reference(feed.answer, _per_unit(feed, usd)) for name, feed in feeds.items()}
    solved = _solve(market, graph, then, closed, extent)
    if extent == "points":
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
        "skipped": pl.concat([market.skipped, read.positions.skipped, describe.frame(solved.skipped(), "skipped")]),
    }
    return Assessment(
        market=market,
        frames=frames,
        health=prepared.health,
        factors={name: graph.members(name) for name in moved},
        members=moved,
        symbols=graph.symbols,
        references=references,
        warnings=(*market.warnings, *_without_dollars(market), *graph.warnings, *solved.warnings()),
    )


def _valued(rules: Rules, positions: Positions, answers: Answers) -> _Valued:
    return _Valued(rules, positions, answers, rules.health(positions, answers), rules.legs(positions, answers))


def _without_dollars(market: Market) -> list[str]:
    """Warn of a market whose values nobody can state in dollars."""
    if quote_usd(market) is not None:
        return []
    return [
        f"{market.name}: its unit of account has no known price in dollars: bands count its accounts, not their values"
    ]


def _per_unit(feed: Feed, quote_usd: float | None) -> Fraction:
    """Give the price of one unit of a feed's answer; a ratio feed's price is the ratio itself."""
    return Fraction(quote_usd if quote_usd is not None else 1.0) / Fraction(10**feed.decimals)


def _seizures_now(then: _Valued) -> pl.DataFrame:
    """Give the seizures of the few positions that can be liquidated, without valuing all others again."""
    hurt = then.health.filter("liquidatable")["row"]
    seizures = then.rules.seizures(then.positions.pick(hurt), then.answers)
    return seizures.with_columns(hurt.gather(seizures["row"]).alias("row"))


def _solve(market: Market, graph: OracleGraph, then: _Valued, closed: pl.DataFrame, extent: str) -> _Solved:
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
