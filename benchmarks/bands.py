"""Bands of one percent from points in closed form, for the measurements: what is at risk, without seizures."""

from __future__ import annotations

from collections.abc import Collection

import polars as pl

__all__ = ["closed_bands"]


def closed_bands(
    points: pl.DataFrame, legs: pl.DataFrame, inside: Collection[str], key: str, value: str
) -> pl.DataFrame:
    """Sum up, per direction and percent of move, the accounts and their collateral (``value``) inside the factor.

    ``key`` names the account in both frames: row or position.
    """
    move = (1.0 - pl.col("lower_ratio")).abs() * 100.0
    placed = points.filter(pl.col("direction").is_in(["down", "up"])).select(
        key, "direction", move.floor().cast(pl.Int64).alias("band")
    )
    is_inside = (pl.col("side") == "collateral") & pl.col("reserve").is_in(list(inside))
    at_risk = legs.filter(is_inside).select(key, pl.col(value).cast(pl.Float64).alias("at_risk"))
    band = ["direction", "band"]
    sums = at_risk.join(placed, on=key, how="inner", validate="m:1").group_by(band).agg(pl.col("at_risk").sum())
    counts = placed.group_by(band).agg(pl.len().alias("accounts"))
    return counts.join(sums, on=band, how="left", validate="1:1").sort(band)
