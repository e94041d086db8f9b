"""Who becomes liquidatable at each of many shocks of one price path: exactly, and in closed form. Pure."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Final

import polars as pl

from scanner.risk.exposures import exposures
from scanner.risk.points import points
from scanner.risk.rules import Answers, HealthProbe, Positions, PricePath, Rules

__all__ = ["NewlyLiquidatable", "answers_on", "closed_form", "newly_liquidatable", "runs_of"]

_RUNS: Final = pl.Schema({"row": pl.UInt32, "first": pl.UInt32, "last": pl.UInt32})
_CELLS: Final = 1 << 18  # valued together; more is no faster and takes memory


@dataclass(frozen=True)
class NewlyLiquidatable:
    """Positions that are liquidatable at shocks and are not where the path starts.

    ``runs``: row UInt32, first and last UInt32, indices of ``shocks`` (ascending values of the moving integer), both
    included; a position that heals and breaks again has several.
    """

    shocks: tuple[int, ...]
    runs: pl.DataFrame

    def rows(self, shock: int) -> pl.Series:
        """Give the positions of one shock, ascending; raises ValueError for another value."""
        index = self.shocks.index(shock)
        return self.runs.filter((pl.col("first") <= index) & (pl.col("last") >= index))["row"].sort()

    def counts(self) -> pl.Series:
        """Count the positions of each shock."""
        return self._added(pl.lit(1, pl.Int64))

    def totals(self, amounts: pl.Series) -> pl.Series:
        """Sum up a number of each position (Float64, by row) over the positions of each shock."""
        return self._added(pl.Series("amount", amounts).gather(self.runs["row"]))

    def _added(self, amount: pl.Expr | pl.Series) -> pl.Series:
        own = self.runs.select("first", "last", amount.alias("amount"))
        starts = own.select(pl.col("first").alias("shock"), "amount")
        ends = own.select((pl.col("last") + 1).alias("shock"), -pl.col("amount"))
        steps = pl.concat([starts, ends]).group_by("shock").agg(pl.col("amount").sum())
        every = pl.DataFrame({"shock": pl.int_range(len(self.shocks), dtype=pl.UInt32, eager=True)})
        return every.join(steps, on="shock", how="left", maintain_order="left")["amount"].fill_null(0).cum_sum()


def newly_liquidatable(
    rules: Rules,
    positions: Positions,
    answers: Answers,
    path: PricePath,
    shocks: Sequence[int],
    health: pl.DataFrame | None = None,
) -> NewlyLiquidatable:
    """Say exactly which positions the contract would call liquidatable at each value of the path's moving integer.

    ``health`` is that of ``Rules.health`` at ``answers``. Few values need exact arithmetic: what is healthy, or
    liquidatable, at two shocks is proven to be so at all between them, or the shocks between are valued in halves.
    """
    now = rules.health(positions, answers) if health is None else health
    sound = (now["has_debt"] & ~now["unpriced"] & ~now["liquidatable"].fill_null(value=True)).arg_true()
    ascending = tuple(sorted(set(shocks)))
    items = pl.DataFrame({"path": pl.zeros(sound.len(), dtype=pl.UInt32, eager=True), "row": now["row"].gather(sound)})
    if not ascending or not items.height:
        return NewlyLiquidatable(ascending, pl.DataFrame(schema=_RUNS))
    probe = rules.probe(positions, [path], items, answers)
    runs = runs_of(probe, ascending, items.height)
    found = runs.with_columns(items["row"].gather(runs["item"]).alias("row")).select(list(_RUNS))
    large = _one_by_one(rules, positions, answers, path, ascending, items["row"].filter(probe.unsolved))
    return NewlyLiquidatable(ascending, _joined(pl.concat([found, large])))


def runs_of(probe: HealthProbe, shocks: Sequence[int], items: int) -> pl.DataFrame:
    """Say between which shocks (ascending) each of a probe's items is liquidatable; unsolved ones are left out.

    Gives item, first and last (indices of ``shocks``), which may follow each other. Neighbours are valued one by one
    only where nothing is proven of what lies between two that are farther apart.
    """
    solved = (~probe.unsolved).arg_true().cast(pl.UInt32)
    parts = [solved[start : start + _CELLS] for start in range(0, items, _CELLS)]
    nothing = pl.DataFrame(schema={"item": pl.UInt32, "first": pl.UInt32, "last": pl.UInt32})
    return pl.concat([nothing, *(_Shocks(probe, shocks).run(part) for part in parts if part.len())])


def answers_on(path: PricePath, answers: Answers, moving: int) -> Answers:
    """Give the oracle's answers at one value of a path's moving integer; what has no price then is absent."""
    at = pl.Series([moving], dtype=pl.Int128)
    moved = {key: int(path.answer(key, at)[0]) for key in path.reserves if key in answers.market}
    market = {**answers.market, **moved}
    return Answers({key: answer for key, answer in market.items() if answer > 0})


class _Shocks:
    """Cells of items between two shocks (indices), with the samples at both; each answers for all but its first."""

    def __init__(self, probe: HealthProbe, shocks: Sequence[int]) -> None:
        self._probe = probe
        self._shocks = pl.Series(shocks, dtype=pl.Int128)
        breaks = [bisect_left(shocks, value) for value in probe.breaks[0]]
        self._bounds = sorted({0, *breaks, len(shocks)})  # prices bend between the shocks before and behind a bound
        self._runs: list[pl.DataFrame] = []

    def run(self, item: pl.Series) -> pl.DataFrame:
        """Give item, first, last."""
        for begin, end in pairwise(self._bounds):
            low, high = (pl.repeat(index, item.len(), dtype=pl.UInt32, eager=True) for index in (begin, end - 1))
            near = self._sample(item, low)
            self._emit(item, low, low, self._probe.liquidatable(near))
            if end - begin > 1:
                self._divide(item, low, high, near, self._sample(item, high))
        return pl.concat(self._runs)

    def _divide(self, item: pl.Series, low: pl.Series, high: pl.Series, near: pl.DataFrame, far: pl.DataFrame) -> None:
        while item.len():
            some, every = self._probe.may_break(item, near, far), ~self._probe.may_hold(item, near, far)
            self._emit(item, low + 1, high, every)
            last = high - low == 1
            self._emit(item, high, high, last & ~every & self._probe.liquidatable(far))
            open_ = (some & ~every & ~last).arg_true()
            item, low, high = (column.gather(open_) for column in (item, low, high))
            near, far, middle = near[open_], far[open_], (low + high) // 2
            between = self._sample(item, middle)
            item, low, high = pl.concat([item, item]), pl.concat([low, middle]), pl.concat([middle, high])
            near, far = pl.concat([near, between]), pl.concat([between, far])

    def _sample(self, item: pl.Series, index: pl.Series) -> pl.DataFrame:
        return self._probe.sample(item, self._shocks.gather(index))

    def _emit(self, item: pl.Series, first: pl.Series, last: pl.Series, where: pl.Series) -> None:
        self._runs.append(pl.DataFrame({"item": item, "first": first, "last": last}).filter(where))


def _one_by_one(
    rules: Rules, positions: Positions, answers: Answers, path: PricePath, shocks: Sequence[int], rows: pl.Series
) -> pl.DataFrame:
    """Value positions that are too large for a probe at every shock."""
    found = [pl.DataFrame(schema=_RUNS)]
    if rows.len():
        picked = positions.pick(rows)
        for index, moving in enumerate(shocks):
            hurt = rules.health(picked, answers_on(path, answers, moving))["liquidatable"].fill_null(value=False)
            at = pl.lit(index, pl.UInt32)
            found.append(pl.DataFrame({"row": rows.filter(hurt)}).select("row", at.alias("first"), at.alias("last")))
    return pl.concat(found)


def _joined(runs: pl.DataFrame) -> pl.DataFrame:
    """Join runs that follow each other."""
    runs = runs.sort("row", "first")
    begins = (pl.col("row") != pl.col("row").shift(1)) | (pl.col("first") != pl.col("last").shift(1) + 1)
    numbered = runs.with_columns(begins.fill_null(value=True).cum_sum().alias("run"))
    joined = numbered.group_by("run", maintain_order=True).agg(pl.col("row", "first").first(), pl.col("last").last())
    return joined.select(list(_RUNS))


def closed_form(
    legs: pl.DataFrame, health: pl.DataFrame, moved: Collection[str], base_unit: int, ratios: Sequence[float]
) -> pl.DataFrame:
    """Estimate per shock what becomes liquidatable when the prices of ``moved`` keys all move by one ratio.

    ``legs`` and ``health`` as Rules give them. From HF(x) = (A + x B) / (C + x D) < 1 (``points``), without rounding,
    caps, or seizures. Gives ratio, account_count, debt_quote and collateral_quote (all that these accounts hold, at the
    shock), in the order of ``ratios``.
    """
    exposed = exposures(legs, {"shock": moved}, base_unit)
    placed = points(exposed, health).select("row", "direction", "lower_ratio")
    is_inside = pl.col("price_key").is_in(list(moved))
    value = pl.col("value_raw").cast(pl.Float64) / base_unit
    held = (
        legs.filter(pl.col("side") == "collateral")
        .select("row", inside_held=value * is_inside, outside_held=value * ~is_inside)
        .group_by("row")
        .agg(pl.col("inside_held", "outside_held").sum())
    )
    own = exposed.select("row", "inside_debt", "outside_debt")
    rows = placed.filter(pl.col("direction").is_in(["down", "up"]))
    for part in (own, held):
        rows = rows.join(part, on="row", how="left", validate="1:1")
    sums = [name for name in rows.columns if name.endswith(("_debt", "_held"))]
    parts = []
    for direction, down in (("down", True), ("up", False)):
        one = rows.filter(pl.col("direction") == direction).sort("lower_ratio", descending=down)
        totals = one.select(pl.col(sums).fill_null(0.0).cum_sum(), account_count=pl.int_range(1, pl.len() + 1))
        totals = pl.concat([pl.DataFrame([dict.fromkeys(totals.columns, 0)], schema=totals.schema), totals])
        reached = [-value if down else value for value in one["lower_ratio"].to_list()]
        asked = [x for x in ratios if (x < 1) == down]
        at = [bisect_left(reached, -x if down else x) for x in asked]
        parts.append(totals[at].with_columns(pl.Series("ratio", asked, dtype=pl.Float64)))
    x = pl.col("ratio")
    found = pl.concat(parts).select(
        "ratio",
        "account_count",
        (pl.col("outside_debt") + x * pl.col("inside_debt")).alias("debt_quote"),
        (pl.col("outside_held") + x * pl.col("inside_held")).alias("collateral_quote"),
    )
    wanted = pl.DataFrame({"ratio": pl.Series(list(ratios), dtype=pl.Float64)})
    return wanted.join(found.unique("ratio"), on="ratio", how="left", maintain_order="left")
