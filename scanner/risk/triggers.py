"""Exact trigger prices: the first value, from today's towards danger, with a health factor below one. Pure.

Branch and bound over all positions on all paths at once. A cell lies between two sampled values; it is dropped once
proven healthy, or when a crossing nearer to today's answer is known, else it is split at the guesses of the probe or in
the middle, down to single integers.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import polars as pl

from scanner.risk.rules import Answers, HealthProbe, Positions, PricePath, Rules

__all__ = ["FARTHEST_RISE", "NEAR", "SEARCHES", "SOLVED", "first_crossings", "solve_triggers", "upper_limit"]

FARTHEST_RISE: Final = 10**6
"""Rises are followed up to this multiple of today's answer; what breaks only beyond it never does."""

NEAR: Final = 10
"""The way that the closed form does not name is sought within this multiple of today's answer: there rounding, or a cap
on one of several feeds, may break a position too."""

SEARCHES: Final = pl.Schema({"item": pl.UInt32, "path": pl.UInt32, "down": pl.Boolean, "limit": pl.Int128})
"""Items of a probe, their path, which way to go from today's answer and to which value, included."""

SOLVED: Final = pl.Schema(
    {
        "point": pl.UInt32,  # an index into the points asked for
        "path": pl.UInt32,
        "row": pl.UInt32,
        "direction": pl.String,
        "answer": pl.Int128,  # null: none
        "solved": pl.Boolean,
        "too_large": pl.Boolean,
    }
)

_MOST_ITEMS: Final = 100_000  # searched together; more is no faster and costs 2 kB each
_MOST_CELLS: Final = 1 << 18  # per search, at one time
_MOST_ROUNDS: Final = 1000
_GUESSED_ROUNDS: Final = 6  # afterwards what is left is noise, which no line describes
_FEW_CELLS: Final = 4000  # so few cost as much as one
_PARTS: Final = 16


def upper_limit(path: PricePath) -> int:
    """Give the largest value that rises are followed to: less than FARTHEST_RISE times where prices leave 127 bits."""
    limit = path.start * FARTHEST_RISE
    while limit > path.start:
        try:
            ends = pl.Series([limit], dtype=pl.Int128)
            for key in path.reserves:
                path.answer(key, ends)
        except OverflowError:
            limit //= 10
        else:
            return limit
    return path.start


def solve_triggers(
    rules: Rules, positions: Positions, paths: Sequence[PricePath], answers: Answers, points: pl.DataFrame
) -> pl.DataFrame:
    """Find the triggers on some paths of ``points`` (path, an index into ``paths``; row; direction).

    Gives SOLVED: a row for each point, in order, and a second one for the few that break both ways. The direction is
    that of ``points``, but for what by the closed form never breaks and by rounding does, or what a cap keeps from
    breaking. Where solved is false the numbers are too large, or the search was given up; where only the less likely
    way was, its row says never.
    """
    if points.is_empty():
        return pl.DataFrame(schema=SOLVED)
    points = points.select(pl.col("path").cast(pl.UInt32), "row", "direction").with_row_index("point")
    slices = [points] if points.height <= _MOST_ITEMS else points.iter_slices(_MOST_ITEMS)
    return pl.concat([_solved(rules, positions, paths, answers, part) for part in slices])


def _solved(
    rules: Rules, positions: Positions, paths: Sequence[PricePath], answers: Answers, points: pl.DataFrame
) -> pl.DataFrame:
    searched = pl.col("direction").is_in(["down", "up", "never"])
    items = points.filter(searched).with_row_index("item")
    probe = rules.probe(positions, paths, items.select("path", "row"), answers)
    crossed = first_crossings(probe, paths, _searches(paths, items)).select("item", "down", "answer", "solved")
    likely, other = crossed.gather_every(2), crossed.gather_every(2, 1)
    said = [part["answer"].is_not_null() | ~part["solved"] for part in (likely, other)]
    kept = [likely.filter(said[0] | ~said[1]), other.filter(said[1] & (likely["solved"] | other["solved"]))]
    crossed = pl.concat([part.with_columns(pl.lit(n).alias("way")) for n, part in enumerate(kept)])
    crossed = items.join(crossed, on="item", how="inner", validate="1:m")
    way = pl.when("down").then(pl.lit("down")).otherwise(pl.lit("up"))
    never = pl.col("solved") | (pl.col("way") == 1)
    direction = pl.when(pl.col("answer").is_not_null()).then(way).when(never).then(pl.lit("never"))
    crossed = crossed.with_columns(
        direction.otherwise("direction").alias("direction"), probe.unsolved.gather(crossed["item"]).alias("too_large")
    )
    rest = points.filter(~searched).with_columns(
        pl.lit(0).alias("way"),
        pl.lit(None, pl.Int128).alias("answer"),
        pl.lit(value=True).alias("solved"),
        pl.lit(value=False).alias("too_large"),
    )
    columns = [*SOLVED, "way"]
    return pl.concat([crossed.select(columns), rest.select(columns)]).sort("point", "way").select(list(SOLVED))


def _searches(paths: Sequence[PricePath], items: pl.DataFrame) -> pl.DataFrame:
    """Say how far to look for each item, the likelier way first. Gives SEARCHES."""
    rows: list[tuple[int, str, bool, int]] = []
    for index in items["path"].unique().sort():
        path, limit = paths[index], upper_limit(paths[index])
        nearest, farthest = max(path.start // NEAR, 1), min(path.start * NEAR, limit)
        rows += [(index, "down", True, 1), (index, "down", False, farthest)]
        rows += [(index, "up", False, limit), (index, "up", True, nearest)]
        rows += [(index, "never", True, nearest), (index, "never", False, farthest)]
    schema = {"path": pl.UInt32, "direction": pl.String, "down": pl.Boolean, "limit": pl.Int128}
    ways = pl.DataFrame(rows, schema=schema, orient="row")
    searches = items.join(ways, on=["path", "direction"], how="inner", maintain_order="left_right")
    return searches.select(list(SEARCHES))


def first_crossings(probe: HealthProbe, paths: Sequence[PricePath], searches: pl.DataFrame) -> pl.DataFrame:
    """Find the first value from today's to the limit of each of SEARCHES at which its position is liquidatable.

    Adds answer (Int128) and solved: answer is null where there is none, or where the position is liquidatable today;
    solved is false where the search was given up (numbers too large, or too many sign changes).
    """
    search = _Search(probe, paths, searches)
    search.run()
    solved = ~(probe.unsolved.gather(searches["item"]) | search.given_up)
    answer = search.moving(search.best.set(search.best == 0, None))
    return searches.with_columns(answer.set(~solved, None).alias("answer"), solved.alias("solved"))


class _Search:
    """Open cells of all searches. Distances count from today's value towards danger."""

    def __init__(self, probe: HealthProbe, paths: Sequence[PricePath], searches: pl.DataFrame) -> None:
        self._probe, self._paths, self._searches = probe, paths, searches
        self._item = searches["item"]
        starts = pl.Series([path.start for path in paths], dtype=pl.Int128)
        self._start = starts.gather(searches["path"])
        self._sign = _whole(-1).zip_with(searches["down"], _whole(1))
        self.best = pl.repeat(None, searches.height, dtype=pl.Int128, eager=True)
        self.given_up = pl.repeat(False, searches.height, dtype=pl.Boolean, eager=True)

    def moving(self, distance: pl.Series) -> pl.Series:
        """Give the values at one distance per search."""
        return self._start + self._sign * distance

    def run(self) -> None:
        cells = self._first_cells()
        for number in range(_MOST_ROUNDS):
            cells = self._open(cells)
            if not cells.height:
                return
            cells = self._split(cells, number=number)
        self.given_up = self.given_up.scatter(cells["slot"].unique(), True)

    def _first_cells(self) -> pl.DataFrame:
        """Cut the ways at the bends of their paths."""
        kinds = self._searches.select("path", "down", "limit").unique(maintain_order=True)
        bends = [self._bends(*kind) for kind in kinds.iter_rows()]
        kinds = kinds.with_columns(pl.Series("d", bends, dtype=pl.List(pl.Int128)))
        each = self._searches.with_row_index("slot").join(
            kinds, on=["path", "down", "limit"], how="left", validate="m:1", maintain_order="left"
        )
        each = each.select("slot", "d").explode("d")
        points = self._point(each["slot"], each["d"])
        first = points["slot"].is_first_distinct()
        return _cells(points.filter(~first.shift(-1, fill_value=True)), points.filter(~first))

    def _bends(self, path: int, down: bool, limit: int) -> list[int]:
        """Give ascending distances that must be sampled, from today's value to the limit."""
        start = self._paths[path].start
        farthest = start - limit if down else limit - start
        bends = [start - b if down else b - start for value in self._probe.breaks[path] for b in (value - 1, value)]
        return sorted({0, *(d for d in [farthest, *bends] if 0 < d <= farthest)})

    def _point(self, slot: pl.Series, distance: pl.Series) -> pl.DataFrame:
        """Sample at distances and note the crossings."""
        moving = self._start.gather(slot) + self._sign.gather(slot) * distance
        sample = self._probe.sample(self._item.gather(slot), moving)
        hits = self._probe.liquidatable(sample).arg_true()
        if hits.len():
            found = pl.DataFrame({"slot": slot.gather(hits), "d": distance.gather(hits)})
            found = found.group_by("slot").agg(pl.col("d").min())
            known = self.best.gather(found["slot"])
            nearer = (known.is_null() | (found["d"] < known)).arg_true()
            self.best = self.best.scatter(found["slot"].gather(nearer), found["d"].gather(nearer))
        return sample.insert_column(0, slot.alias("slot")).insert_column(1, distance.alias("d"))

    def _open(self, cells: pl.DataFrame) -> pl.DataFrame:
        """Keep the cells that may hold a crossing nearer than the best known."""
        best = self.best.gather(cells["slot"])
        keep = (cells["far d"] - cells["near d"] > 1) & (best.is_null() | (cells["near d"] < best))
        cells = cells.filter(keep)
        item = self._item.gather(cells["slot"])
        cells = cells.filter(self._probe.may_break(item, _end(cells, "near"), _end(cells, "far")))
        if cells.height > _MOST_CELLS:
            counts = cells.group_by("slot").len().filter(pl.col("len") > _MOST_CELLS)["slot"]
            self.given_up = self.given_up.scatter(counts, True)
            cells = cells.filter(~pl.col("slot").is_in(counts.implode()))
        return cells

    def _split(self, cells: pl.DataFrame, *, number: int) -> pl.DataFrame:
        """Cut cells at the probe's guesses, or evenly: now and then, without a guess, and once few are left."""
        width = cells["far d"] - cells["near d"]
        if number >= _GUESSED_ROUNDS and cells.height <= _FEW_CELLS:
            return self._cut(cells, [width * _whole(k) // _whole(_PARTS) for k in range(1, _PARTS)])
        middle = width // _whole(2)
        if number % 4 == 3:
            return self._cut(cells, [middle])
        item, size = self._item.gather(cells["slot"]), width.cast(pl.Float64)
        guesses = self._probe.guesses(item, _end(cells, "near"), _end(cells, "far"), size)
        # A first cut near today's answer, or a second one far from it, would hardly make the cell smaller.
        first = _inside(guesses[0], guesses[0] >= size / 64.0, size)
        second = _inside(guesses[1], guesses[1] <= size * (63.0 / 64.0), size)
        first = _coalesce(_coalesce(first, second), middle)
        second = _coalesce(second, first)
        return self._cut(cells, [first, second.zip_with(second > first, first)])

    def _cut(self, cells: pl.DataFrame, cuts: Sequence[pl.Series]) -> pl.DataFrame:
        """Cut each cell at ascending distances from its near end; equal ones leave cells of no width."""
        slots = pl.concat([cells["slot"]] * len(cuts))
        points = self._point(slots, pl.concat([cells["near d"] + cut for cut in cuts]))
        return _cells(pl.concat([_end(cells, "near"), points]), pl.concat([points, _end(cells, "far")]))


def _cells(near: pl.DataFrame, far: pl.DataFrame) -> pl.DataFrame:
    near = near.rename({name: f"near {name}" for name in near.columns if name != "slot"})
    return near.hstack(far.drop("slot").rename(lambda name: f"far {name}"))


def _end(cells: pl.DataFrame, end: str) -> pl.DataFrame:
    names = {name: name.removeprefix(f"{end} ") for name in cells.columns if name.startswith(f"{end} ")}
    return cells.select("slot", *names).rename(names)


def _coalesce(a: pl.Series, b: pl.Series) -> pl.Series:
    return a.zip_with(a.is_not_null(), b)


def _inside(guess: pl.Series, useful: pl.Series, width: pl.Series) -> pl.Series:
    """Round guesses to distances strictly inside the cell; null where they are not, or not useful."""
    inside = useful & (guess >= 1.0) & (guess <= width - 1.0)
    return guess.set(~inside.fill_null(False), None).cast(pl.Int128)


def _whole(value: int) -> pl.Series:
    return pl.Series([value], dtype=pl.Int128)
