"""How much of each position moves with a price factor: the only input of closed-form liquidation points. Pure."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from typing import Final

import polars as pl

from scanner.risk.pricing import OracleGraph

__all__ = ["exposures", "members"]

_SIDES: Final = ("collateral", "debt")
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

    ``legs`` as ``Rules.legs`` gives them; ``moved`` maps a factor to the reserves it moves (a single reserve is a
    factor of one). Gives row, factor, outside_collateral A, inside_collateral B (both threshold-weighted),
    outside_debt C, inside_debt D for every position that a factor moves, factor after factor, each in order of row.
    Positions with a leg without a price have none. Where ``legs`` has price_key, that decides what moves
    instead of reserve.
    """
    if not moved:
        return pl.DataFrame(schema=_EXPOSURES)
    value = pl.col("value_raw").cast(pl.Float64) / base_unit
    is_collateral = pl.col("side") == "collateral"
    legs = legs.select(
        "row",
        pl.col("price_key" if "price_key" in legs.columns else "reserve").alias("reserve"),
        pl.when(is_collateral).then(value * pl.col("liquidation_threshold")).otherwise(0.0).alias("collateral"),
        pl.when(is_collateral).then(0.0).otherwise(value).alias("debt"),
        pl.col("value_raw").is_null().alias("unpriced"),
    )
    if legs["unpriced"].any():
        legs = legs.filter(~pl.col("unpriced").any().over("row"))
    if not legs["row"].is_sorted():
        legs = legs.sort("row", maintain_order=True)
    totals = _per_row(legs)
    parts = []
    for factor, reserves in moved.items():
        inside = _per_row(legs.filter(pl.col("reserve").is_in(list(reserves))))
        inside = inside.filter((pl.col("collateral") > 0) | (pl.col("debt") > 0))
        parts.append(inside.rename({side: f"inside_{side}" for side in _SIDES}).with_columns(factor=pl.lit(factor)))
    split = pl.concat(parts).join(totals, on="row", how="left", validate="m:1", maintain_order="left")
    return split.select(
        "row",
        "factor",
        _rest("collateral").alias("outside_collateral"),
        "inside_collateral",
        _rest("debt").alias("outside_debt"),
        "inside_debt",
    )


def _per_row(legs: pl.DataFrame) -> pl.DataFrame:
    """Sum up ascending rows; polars groups what it knows to be sorted several times faster."""
    return legs.with_columns(pl.col("row").set_sorted()).group_by("row", maintain_order=True).agg(pl.col(_SIDES).sum())


def _rest(side: str) -> pl.Expr:
    """Give the total less the inside; what is left by rounding alone is nothing."""
    rest = pl.col(side) - pl.col(f"inside_{side}")
    return pl.when(rest > pl.col(side) * 1e-12).then(rest).otherwise(0.0)
