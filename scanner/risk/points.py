"""Closed-form liquidation points: the move of a factor at which the health factor is one. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import polars as pl

from scanner.risk.band_edges import Reference

__all__ = ["located", "points"]

_JUDGED: Final = ("liquidatable", "has_debt", "unpriced")


def points(exposures: pl.DataFrame, health: pl.DataFrame) -> pl.DataFrame:
    """Solve HF(x) = (A + x B) / (C + x D) = 1, x* = (C - A) / (B - D), for positions with debt and a price.

    ``health`` as ``Rules.health`` gives it: whether a position is liquidatable now is taken from there, never from
    the ratio. Gives row, factor, direction, lower_ratio and upper_ratio (x*, equal; null unless down or up) and
    recovery_ratio, in the order of ``exposures``:

    down    B > D and A < C: liquidatable from a fall to x*, in (0, 1]
    up      B < D: liquidatable from a rise to x*, at least 1
    never   else
    now     liquidatable already; recovery_ratio is x* where the factor can heal it
    """
    a, b, c, d = (pl.col(name) for name in ("outside_collateral", "inside_collateral", "outside_debt", "inside_debt"))
    ratio = (c - a) / (b - d)
    exposed = exposures.hstack([health[name].gather(exposures["row"]) for name in _JUDGED])
    exposed = exposed.filter(pl.col("has_debt") & ~pl.col("unpriced"))
    direction = (
        pl.when("liquidatable")
        .then(pl.lit("now"))
        .when((b > d) & (a < c))
        .then(pl.lit("down"))
        .when(b < d)
        .then(pl.lit("up"))
        .otherwise(pl.lit("never"))
    )
    solved = exposed.with_columns(direction.alias("direction"), ratio.alias("ratio"))
    point = (
        pl.when(pl.col("direction") == "down")
        .then(pl.col("ratio").clip(upper_bound=1.0))
        .when(pl.col("direction") == "up")
        .then(pl.col("ratio").clip(lower_bound=1.0))
    )
    heals = (pl.col("direction") == "now") & (b != d) & (pl.col("ratio") > 0)
    return solved.select(
        "row",
        "factor",
        "direction",
        point.alias("lower_ratio"),
        point.alias("upper_ratio"),
        pl.when(heals).then("ratio").alias("recovery_ratio"),
    )


def located(
    points: pl.DataFrame, crossings: pl.DataFrame, references: Mapping[str, Reference], timestamp: int
) -> pl.DataFrame:
    """Put the exact triggers of ``points`` (``triggers.SOLVED``) beside them, priced.

    ``references`` maps each factor to its reference feed. Gives the columns of frame LIQUIDATION_POINTS but for the
    keys, and row: ratios are null unless the exact direction is down or up. What breaks both ways has two rows.
    """
    feeds = pl.DataFrame(
        [(name, reference.answer, float(reference.usd_per_unit)) for name, reference in references.items()],
        schema={"factor": pl.String, "start": pl.Int128, "per_unit": pl.Float64},
        orient="row",
    )
    # Beside a trigger one way, that the other way was given up is no point.
    crossings = crossings.filter((pl.col("direction") != "never") | ~pl.col("point").is_duplicated())
    exact = crossings.select(pl.col("direction").alias("exact_direction"), "answer")
    joined = (
        points[crossings["point"]]
        .hstack(exact)
        .join(feeds, on="factor", how="left", validate="m:1", maintain_order="left")
    )
    answer, start = (pl.col(name).cast(pl.Float64) for name in ("answer", "start"))
    ratio = pl.when(pl.col("direction") == pl.col("exact_direction")).then("lower_ratio").otherwise(answer / start)
    breaks = pl.col("exact_direction").is_in(["down", "up"])
    price = pl.coalesce(answer, ratio * start) * pl.col("per_unit")
    return joined.select(
        "row",
        "factor",
        pl.col("exact_direction").alias("direction"),
        pl.when(breaks).then(ratio).alias("lower_ratio"),
        pl.when(breaks).then(ratio).alias("upper_ratio"),
        pl.when(breaks).then(price).alias("price_usd"),
        pl.col("answer").cast(pl.String).alias("trigger_answer"),
        pl.when(pl.col("answer").is_not_null()).then(pl.lit(timestamp, pl.Int64)).alias("for_timestamp"),
        "recovery_ratio",
    )
