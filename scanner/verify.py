"""Choose which accounts are compared with the contract's own answers."""

from __future__ import annotations

from hashlib import blake2b
from heapq import nsmallest
from typing import Final

import polars as pl

__all__ = ["choose_rows"]

_SAMPLE: Final = 200
_NEAREST: Final = 50


def choose_rows(health: pl.DataFrame, accounts: pl.DataFrame, how: str, drawn_by: str) -> list[int]:
    """List rows of a health frame to verify, in ascending order.

    ``all`` takes every account, ``sample`` 200 drawn by a text and the 50 whose health factor is nearest to 1, ``none``
    nothing. ``accounts`` names the ``position`` of each row. Who knows the text knows the draw.
    """
    if how == "none":
        return []
    if how == "all":
        return health["row"].to_list()
    seed = drawn_by.encode()

    def lot(row: tuple[int, str]) -> bytes:
        # A digest, not a random generator: the draw is the same on every machine and with every version of Python.
        return blake2b(seed + row[1].encode(), digest_size=16).digest()

    drawn = [row for row, _ in nsmallest(_SAMPLE, accounts.select("row", "position").iter_rows(), key=lot)]
    nearest = (
        health.filter(pl.col("health_factor").is_not_null())
        .with_columns((pl.col("health_factor") - 1).abs().alias("distance"))
        .sort("distance", "row")
        .head(_NEAREST)["row"]
    )
    return sorted({*drawn, *nearest})
