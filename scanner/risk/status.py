"""What can be done to each account now. Pure."""

from __future__ import annotations

import polars as pl

__all__ = ["NO_PAIR", "statuses"]

NO_PAIR = "no_collateral"
"""``blocked_by`` of an account below one that has nothing to seize."""


def statuses(health: pl.DataFrame, seizures: pl.DataFrame) -> pl.DataFrame:
    """Judge each account by its health and its seizures at today's answers (both as ``Rules`` gives them).

    Gives row, status (no_debt, healthy, liquidatable, blocked, unpriced), blocked_by, blocked_until, in row order. An
    account below one is blocked when every pair is; it then carries the reason of its best pair.
    """
    best = pl.col("best").fill_null(False)
    pairs = seizures.group_by("row").agg(
        pl.col("blocked_by").is_null().any().alias("open"),
        pl.col("blocked_by").sort_by(best, descending=True, maintain_order=True).first(),
        pl.col("blocked_until").sort_by(best, descending=True, maintain_order=True).first(),
    )
    status = (
        pl.when("unpriced")
        .then(pl.lit("unpriced"))
        .when(~pl.col("has_debt"))
        .then(pl.lit("no_debt"))
        .when(~pl.col("liquidatable"))
        .then(pl.lit("healthy"))
        .when(pl.col("open").fill_null(False))
        .then(pl.lit("liquidatable"))
        .otherwise(pl.lit("blocked"))
    )
    judged = health.join(pairs, on="row", how="left", validate="1:1", maintain_order="left")
    judged = judged.with_columns(status.alias("status"))
    blocked = pl.col("status") == "blocked"
    return judged.select(
        "row",
        "status",
        pl.when(blocked).then(pl.col("blocked_by").fill_null(pl.lit(NO_PAIR))).alias("blocked_by"),
        pl.when(blocked).then("blocked_until").alias("blocked_until"),
    )
