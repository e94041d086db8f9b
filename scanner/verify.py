"""Choose which accounts are compared with the contract's own answers."""

from __future__ import annotations

import random
from typing import Final

import polars as pl

__all__ = ["choose_rows"]

_SAMPLE: Final = 200
_NEAREST: Final = 50


def choose_rows(health: pl.DataFrame, how: str, block_hash: str) -> list[int]:
    """List rows of a health frame to verify, in ascending order.

    ``all`` takes every account, ``sample`` 200 drawn by the block hash (the same on every machine) and the 50 whose
    health factor is nearest to 1, ``none`` nothing.
    """
    if how == "none":
        return []
    if how == "all":
        return health["row"].to_list()
    count = health.height
    # Not a secret: the draw has to be the same for everybody who reads this block.
    drawn = random.Random(int(block_hash, 16)).sample(range(count), min(_SAMPLE, count))  # noqa: S311
    nearest = (
        health.filter(pl.col("health_factor").is_not_null())
        .with_columns((pl.col("health_factor") - 1).abs().alias("distance"))
        .sort("distance", "row")
        .head(_NEAREST)["row"]
    )
    return sorted({*drawn, *nearest})
