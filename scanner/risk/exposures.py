"""How much of each position moves with a price factor: the only input of closed-form liquidation points. Pure."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from typing import Final

import polars as pl

from scanner.exact import ratio, run_sums
from scanner.risk.pricing import OracleGraph
from scanner.units import BPS

__all__ = ["exposures", "members"]

_SUMMED: Final = ("collateral", "debt")
_EXPOSURES: Final = pl.Schema(
    {
        "row": pl.UInt32,
        "factor": pl.String,
        "outside_collateral": pl.Float64,
        "inside_collateral": pl.Float64,
        "outside_debt": pl.Float64,
        "inside_debt": pl.Float64,
    }
)


def members(graph: OracleGraph, timestamp: int, names: Iterable[str] | None = None) -> dict[str, frozenset[str]]:
    """Give the reserves that each factor moves, of all factors or of those (and groups) named.

    A reserve may move with several: wrapped staked ether with ether, and with its own ratio to it.
    """
    return {name: graph.factor_path(name, timestamp).reserves for name in (graph.factors() if names is None else names)}


def exposures(legs: pl.DataFrame, moved: Mapping[str, Collection[str]], base_unit: int) -> pl.DataFrame:
    """Split each position's legs at a factor, in quote: HF(x) = (A + x B) / (C + x D) when it moves by x.

    ``legs`` as ``Rules.legs`` gives them; ``moved`` maps a factor to the price keys it moves (a single reserve is a
    factor of one). Gives row, factor, outside_collateral A, inside_collateral B (both threshold-weighted),
    outside_debt C, inside_debt D for every position that a factor moves, factor after factor, each in order of row.
    Positions with a leg without a price have none. Integers are summed, so no sum depends on its order.
    """
    threshold = (pl.col("liquidation_threshold") * BPS).round().cast(pl.Int64).cast(pl.Int128)
    value, is_collateral = pl.col("value_raw").cast(pl.Int128), pl.col("side") == "collateral"
    nothing = pl.lit(0, pl.Int128)
    split = legs.select(
        "row",
        pl.when(is_collateral).then(value * threshold).otherwise(nothing).fill_null(nothing).alias("collateral"),
        pl.when(is_collateral).then(nothing).otherwise(value).fill_null(nothing).alias("debt"),
    )
    unpriced = legs["row"].filter(legs["value_raw"].is_null()).unique()
    totals = _per_row(split)
    every = pl.int_range(totals.height, dtype=pl.UInt32, eager=True)
    last = totals["row"].last()
    place = pl.zeros(last + 1 if isinstance(last, int) else 0, dtype=pl.UInt32, eager=True).scatter(
        totals["row"], every
    )
    scales = {"collateral": base_unit * BPS, "debt": base_unit}
    parts = [pl.DataFrame(schema=_EXPOSURES)]
    for factor, keys in moved.items():
        is_inside = pl.any_horizontal(pl.lit(value=False), *(pl.col("price_key") == key for key in keys))
        inside = _per_row(split.filter(legs.select(is_inside).to_series()))
        touched = (inside["collateral"] > 0) | (inside["debt"] > 0)
        if unpriced.len():
            touched &= ~inside["row"].is_in(unpriced.implode())
        inside = inside.filter(touched)
        outside = totals[place[inside["row"]]]
        columns = {f"inside_{side}": ratio(inside[side], scales[side]) for side in scales}
        columns |= {f"outside_{side}": ratio(outside[side] - inside[side], scales[side]) for side in scales}
        parts.append(inside.select("row", pl.lit(factor).alias("factor")).with_columns(**columns).select(*_EXPOSURES))
    return pl.concat(parts)


def _per_row(legs: pl.DataFrame) -> pl.DataFrame:
    """Sum up ascending rows."""
    runs = legs["row"].rle().struct
    sums = run_sums(runs.field("len").cum_sum(), *(legs[name] for name in _SUMMED))
    return pl.DataFrame({"row": runs.field("value"), **dict(zip(_SUMMED, sums, strict=True))})
