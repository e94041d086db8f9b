"""Exact trigger prices: the first value, from today's towards danger, with a health factor below one. Pure.

Branch and bound over all positions at once. A cell lies between two sampled values; it is dropped once proven
healthy, or when a crossing nearer to today's answer is known, else it is split at the guesses of the probe or in the
middle, down to single integers.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Final

import polars as pl

from scanner.risk.rules import Answers, HealthProbe, Positions, PricePath, Rules

__all__ = ["CROSSINGS", "FARTHEST_RISE", "NEAR", "first_crossings", "solve_triggers", "upper_limit"]

FARTHEST_RISE: Final = 10**6
"""Rises are followed up to this multiple of today's answer; what breaks only beyond it never does."""

NEAR: Final = 10
"""A position that moves on both sides, and by the closed form never breaks, is sought within this multiple of today's
answer: there rounding alone may break it."""

CROSSINGS: Final = pl.Schema({"row": pl.UInt32, "answer": pl.Int128, "solved": pl.Boolean})

_MOST_CELLS: Final = 1 << 18  # per position, at one time
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


def first_crossings(probe: HealthProbe, path: PricePath, row: pl.Series, *, down: bool, limit: int) -> pl.DataFrame:
    """Find the first value from today's down to (or up to) ``limit`` at which each position is liquidatable.

    Gives CROSSINGS in order of the rows: answer is null where there is none, or where the position is liquidatable
    today; solved is false where the search was given up (numbers too large, or too many sign changes).
    """
    search = _Search(probe, path.start, row, down=down, limit=limit)
    search.run()
    moved = search.best.set(search.best == 0, None)
    start = pl.Series([path.start], dtype=pl.Int128)
    answer = start - moved if down else start + moved
    solved = ~(probe.unsolved.gather(row) | search.given_up)
    return pl.DataFrame({"row": row, "answer": answer.set(~solved, None), "solved": solved}, schema=CROSSINGS)


def solve_triggers(
    rules: Rules, positions: Positions, path: PricePath, answers: Answers, points: pl.DataFrame
) -> pl.DataFrame:
    """Find the triggers of one path for its rows of ``points`` (one factor; row, direction).

    Gives row, direction, answer (Int128, null: none), solved, in the order of ``points``. The direction is that of
    ``points``, but for what by the closed form never breaks and by rounding does, or what a cap keeps from breaking.
    """
    limit = upper_limit(path)
    probe = rules.probe(positions, path, answers)
    nearest, farthest = max(path.start // NEAR, 1), min(path.start * NEAR, limit)
    searches = (("down", "down", 1), ("up", "up", limit), ("never", "down", nearest), ("never", "up", farthest))
    found, done = [], pl.Series([], dtype=pl.UInt32)
    for given, direction, end in searches:
        row = points.filter((pl.col("direction") == given) & ~pl.col("row").is_in(done.implode()))["row"]
        crossed = first_crossings(probe, path, row, down=direction == "down", limit=end)
        crossed = crossed.with_columns(pl.lit(direction).alias("sought"))
        if given == "never":
            crossed = crossed.filter(pl.col("answer").is_not_null() | ~pl.col("solved"))
            done = crossed["row"]
        found.append(crossed)
    return (
        points.select("row", "direction")
        .join(pl.concat(found), on="row", how="left", validate="1:1", maintain_order="left")
        .select(
            "row",
            pl.when(pl.col("answer").is_not_null())
            .then("sought")
            .when(pl.col("solved") & pl.col("direction").is_in(["down", "up"]))
            .then(pl.lit("never"))
            .otherwise("direction")
            .alias("direction"),
            "answer",
            pl.col("solved").fill_null(True),
        )
    )


class _Search:
    """Open cells of all positions. Distances count from today's value towards danger."""

    def __init__(self, probe: HealthProbe, start: int, row: pl.Series, *, down: bool, limit: int) -> None:
        self._probe, self._row, self._down = probe, row.cast(pl.UInt32), down
        self._start = pl.Series([start], dtype=pl.Int128)
        self._farthest = start - limit if down else limit - start
        bends = [start - b if down else b - start for value in probe.breaks for b in (value - 1, value)]
        self._bends = sorted({0, self._farthest, *(d for d in bends if 0 < d < self._farthest)})
        self.best = pl.repeat(None, row.len(), dtype=pl.Int128, eager=True)
        self.given_up = pl.repeat(False, row.len(), dtype=pl.Boolean, eager=True)

    def run(self) -> None:
        if self._row.len() == 0 or self._farthest <= 0:
            return
        cells = self._first_cells()
        for number in range(_MOST_ROUNDS):
            cells = self._open(cells)
            if not cells.height:
                return
            cells = self._split(cells, number=number)
        self.given_up = self.given_up.scatter(cells["slot"].unique(), True)

    def _first_cells(self) -> pl.DataFrame:
        slot = pl.int_range(self._row.len(), dtype=pl.UInt32, eager=True)
        points = [self._point(slot, pl.repeat(d, slot.len(), dtype=pl.Int128, eager=True)) for d in self._bends]
        return pl.concat([_cells(near, far) for near, far in pairwise(points)])

    def _point(self, slot: pl.Series, distance: pl.Series) -> pl.DataFrame:
        """Sample at distances and note the crossings."""
        moving = self._start - distance if self._down else self._start + distance
        sample = self._probe.sample(self._row.gather(slot), moving)
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
        near, far = _end(cells, "near"), _end(cells, "far")
        low, high = (far, near) if self._down else (near, far)
        cells = cells.filter(self._probe.may_break(self._row.gather(cells["slot"]), low, high))
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
        row, size = self._row.gather(cells["slot"]), width.cast(pl.Float64)
        guesses = self._probe.guesses(row, _end(cells, "near"), _end(cells, "far"), size)
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
