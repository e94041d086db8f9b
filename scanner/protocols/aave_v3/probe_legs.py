"""Legs of positions along price paths: sums of those that stay, a list of those that move. Pure.

An item is one position on one path.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import polars as pl

from scanner.exact import mul_div_down, mul_div_either, run_sums, to_float
from scanner.protocols.aave_v3.detail import COLLATERAL
from scanner.protocols.aave_v3.valuation import leg_prices
from scanner.risk.rules import Answers, PricePath
from scanner.units import BPS

__all__ = ["Move", "MovingLegs", "value_of"]

_TOO_LARGE: Final = 2.0**105  # base units; below it no sum of weighted values comes near 2^127
_ROUNDING: Final = 10  # units of noise beside that of the legs: the quotient of D, and float arithmetic
_ZERO: Final = pl.Series([0], dtype=pl.Int128)


@dataclass(frozen=True)
class Move:
    """One price along one path."""

    path: int  # index of the path
    key: str
    along: PricePath
    is_moving: bool  # it is the moving integer itself
    rising: bool  # it never falls when the moving integer rises
    largest: int
    error: float | None  # how far it is from a line, as in ``risk.affine``; None: unknown


def value_of(amount: pl.Series, price: pl.Series, unit: pl.Series, up: pl.Series | None) -> pl.Series:
    """Give amount · price / unit, rounded down, and up where ``up`` is."""
    return mul_div_down(amount, price, unit) if up is None else mul_div_either(amount, price, unit, up)


class MovingLegs:
    """What a probe samples.

    Per item: ``value``, ``weighted``, ``debt``, sums over the legs that stay (Int128); ``noise``, what floors can
    take from a sum of weighted values (Int128, null: unknown); ``one_way``, whether the average threshold goes one
    way along the path; ``too_large``. Per moving leg: ``move`` (index into moves), ``amount``, ``unit``, ``threshold``
    (Int128, basis points; 0 on debt and on collateral that does not count), ``is_debt``.
    """

    def __init__(
        self,
        legs: pl.DataFrame,
        items: pl.DataFrame,
        moves: Sequence[Move],
        answers: Answers,
        *,
        debt_rounds_up: bool,
        void: pl.Series,
    ) -> None:
        """Split the answer of ``leg_amounts`` (rows ascending) for ``items`` (path, row).

        Items that are void, have a leg that stays and no price, or are too large have no moving legs and zeros: the
        contract reverts, or nothing can be said.
        """
        names = {key: n for n, key in enumerate(dict.fromkeys([*legs["price_key"].unique(), *(m.key for m in moves)]))}
        legs = _prepared(legs, answers, names, debt_rounds_up)
        spread = _spread(legs, items, moves, names)
        every = pl.int_range(items.height, dtype=pl.UInt32, eager=True)
        ends = _edges(spread["item"], every)[1]
        stays, leg = spread["move"].is_null(), spread["leg"]
        fixed = [legs[name].gather(leg).zip_with(stays, _ZERO) for name in ("held", "weighted", "owed")]
        unpriced = (legs["price"].is_null().gather(leg) & stays).cast(pl.Int128)
        sums = run_sums(ends, *fixed, unpriced, spread["size"])
        refused = void | (sums[3] > 0) | (sums[4] >= _TOO_LARGE)
        self.value, self.weighted, self.debt = (total.set(refused, 0) for total in sums[:3])
        self.too_large = (sums[4] >= _TOO_LARGE) & (sums[3] == 0) & ~void
        moving = spread.filter(~stays & ~refused.gather(spread["item"]))
        self._first, self._last = _edges(moving["item"], every)
        self.move, leg = moving["move"], moving["leg"]
        self.amount, self.unit, self.threshold, self.is_debt = (
            legs[name].gather(leg) for name in ("amount", "unit", "threshold", "is_debt")
        )
        self.noise = self._noise(moves)
        self.one_way = self._one_way(moving["item"], items.height, moves)

    def of(self, item: pl.Series) -> tuple[pl.Series, pl.Series, pl.Series]:
        """List the moving legs of some items: the index into ``item`` of each, the leg, and where each item's end."""
        first, last = self._first.gather(item), self._last.gather(item)
        frame = pl.DataFrame(
            {"at": pl.int_range(item.len(), dtype=pl.UInt32, eager=True), "first": first, "last": last}
        )
        listed = frame.select("at", pl.int_ranges("first", "last", dtype=pl.UInt32).alias("leg")).explode("leg")
        return listed["at"], listed["leg"], (last - first).cum_sum()

    def _noise(self, moves: Sequence[Move]) -> pl.Series:
        error = pl.Series([move.error for move in moves], dtype=pl.Float64).gather(self.move)
        limit = _TOO_LARGE * BPS
        noise = ((error * to_float(self.amount) / to_float(self.unit) + 1.0) * (BPS * 1.01)).clip(upper_bound=limit)
        total, unknown = run_sums(
            self._last, noise.fill_null(limit).ceil().cast(pl.Int128), error.is_null().cast(pl.Int128)
        )
        total = total + pl.Series([_ROUNDING], dtype=pl.Int128)
        return total.set((unknown > 0) | (total >= limit), None)

    def _one_way(self, item: pl.Series, height: int, moves: Sequence[Move]) -> pl.Series:
        """Say where all moving collateral has one threshold and its prices rise or fall together."""
        rising = pl.Series([move.rising for move in moves], dtype=pl.Int128).gather(self.move)
        ways = pl.DataFrame({"item": item, "way": self.threshold * pl.Series([2], dtype=pl.Int128) + rising})
        counted = ways.filter((self.threshold > 0) & (self.amount > 0))
        both = counted.group_by("item").agg(pl.col("way").min() != pl.col("way").max()).filter("way")["item"]
        return pl.repeat(True, height, dtype=pl.Boolean, eager=True).scatter(both, False)


def _prepared(legs: pl.DataFrame, answers: Answers, names: Mapping[str, int], debt_rounds_up: bool) -> pl.DataFrame:
    """Give row, key, amount, unit, threshold, is_debt, price, per_unit, held, weighted, owed; values are today's."""
    is_debt = legs["side"] != COLLATERAL
    counts = legs["counts"] & ~is_debt
    key = legs["price_key"].cast(pl.Enum(list(names))).to_physical().cast(pl.UInt32)
    price = leg_prices(legs["row"], legs["price_key"], answers)
    amount = legs["amount"].zip_with(is_debt | counts, _ZERO)
    threshold = legs["threshold_bps"].cast(pl.Int128).zip_with(counts, _ZERO)
    per_unit = to_float(amount) / to_float(legs["unit"])
    fits = (per_unit * to_float(price) < _TOO_LARGE).fill_null(False)
    value = value_of(
        amount.zip_with(fits, _ZERO), price.fill_null(0), legs["unit"], is_debt if debt_rounds_up else None
    )
    return pl.DataFrame(
        {
            "row": legs["row"],
            "key": key,
            "amount": amount,
            "unit": legs["unit"],
            "threshold": threshold,
            "is_debt": is_debt,
            "price": price,
            "per_unit": per_unit,
            "held": _ZERO.zip_with(is_debt, value),
            "weighted": value * threshold,
            "owed": value.zip_with(is_debt, _ZERO),
        }
    )


def _spread(legs: pl.DataFrame, items: pl.DataFrame, moves: Sequence[Move], names: Mapping[str, int]) -> pl.DataFrame:
    """List the legs of every item: item, leg, move (null: it stays), size (largest value, at most 2^110)."""
    first, last = _edges(legs["row"], items["row"])
    frame = pl.DataFrame({"first": first, "last": last}).with_row_index("item")
    spread = frame.select("item", pl.int_ranges("first", "last", dtype=pl.UInt32).alias("leg")).explode("leg")
    item, leg = spread["item"], spread["leg"]
    table: list[int | None] = [None] * (len(names) * (1 + max((move.path for move in moves), default=0)))
    for index, move in enumerate(moves):
        table[move.path * len(names) + names[move.key]] = index
    at = pl.Series(table, dtype=pl.UInt32).gather(items["path"].gather(item) * len(names) + legs["key"].gather(leg))
    largest = pl.Series([float(move.largest) for move in moves], dtype=pl.Float64).gather(at)
    price = largest.zip_with(at.is_not_null(), to_float(legs["price"].gather(leg)))
    size = (legs["per_unit"].gather(leg) * price).fill_null(0.0).clip(upper_bound=2.0**110).ceil()
    return spread.with_columns(at.alias("move"), size.cast(pl.Int128).alias("size"))


def _edges(ascending: pl.Series, values: pl.Series) -> tuple[pl.Series, pl.Series]:
    """Give where the run of each value begins and ends."""
    return ascending.search_sorted(values, side="left"), ascending.search_sorted(values, side="right")
