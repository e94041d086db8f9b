"""How much of each position moves with a price factor: the only input of closed-form liquidation points. Pure."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping

import polars as pl

from scanner.risk.pricing import OracleGraph

__all__ = ["exposures", "members"]


def members(graph: OracleGraph, timestamp: int, names: Iterable[str] | None = None) -> dict[str, frozenset[str]]:
    """Give the reserves that each factor moves, of all factors or of those (and groups) named.

    A reserve may move with several: wrapped staked ether with ether, and with its own ratio to it.
    """
    return {name: graph.factor_path(name, timestamp).reserves for name in (graph.factors() if names is None else names)}


def exposures(legs: pl.DataFrame, moved: Mapping[str, Collection[str]], base_unit: int) -> pl.DataFrame:
    """Split each position's legs at a factor, in quote: HF(x) = (A + x B) / (C + x D) when it moves by x.

    ``legs`` as ``Rules.legs`` gives them; ``moved`` maps a factor to the reserves it moves (a single reserve is a
    factor of one). Gives row, factor, outside_collateral A, inside_collateral B (both threshold-weighted),
    outside_debt C, inside_debt D for every position that a factor moves, in order of row and factor. Positions with a
    leg without a price have none. Where ``legs`` has price_key, that decides what moves instead of reserve.
    """
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
    pairs = pl.DataFrame(
        [(factor, reserve) for factor, reserves in moved.items() for reserve in sorted(reserves)],
        schema={"factor": pl.String, "reserve": pl.String},
        orient="row",
    )
    totals = legs.lazy().group_by("row").agg(pl.col("collateral", "debt").sum())
    inside = (
        legs.lazy()
        .join(pairs.lazy(), on="reserve", how="inner")
        .group_by("row", "factor")
        .agg(pl.col("collateral").sum().alias("inside_collateral"), pl.col("debt").sum().alias("inside_debt"))
        .filter((pl.col("inside_collateral") > 0) | (pl.col("inside_debt") > 0))
    )
    split = inside.join(totals, on="row", how="left").select(
        "row",
        "factor",
        _rest("collateral").alias("outside_collateral"),
        "inside_collateral",
        _rest("debt").alias("outside_debt"),
        "inside_debt",
    )
    return split.sort("row", "factor").collect()


def _rest(side: str) -> pl.Expr:
    """Give the total less the inside; what is left by rounding alone is nothing."""
    rest = pl.col(side) - pl.col(f"inside_{side}")
    return pl.when(rest > pl.col(side) * 1e-12).then(rest).otherwise(0.0)
