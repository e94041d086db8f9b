"""What each position brings into the bands of a factor: its trigger, and what is then seized. Pure."""

from __future__ import annotations

from collections.abc import Collection
from typing import Final

import polars as pl

from scanner.frames import MARKET_KEY, POSITION_KEY, FrameSchema

__all__ = ["IMPACTS", "SIZES", "impacts"]

IMPACTS: Final[FrameSchema] = {
    "chain_id": pl.Int64,
    "protocol": pl.String,
    "market_id": pl.String,
    "position": pl.String,
    "direction": pl.String,  # down | up
    "answer": pl.Int128,  # trigger, of the factor's reference feed
    "at_risk_usd": pl.Float64,  # collateral inside the factor, today
    "seizable_usd": pl.Float64,  # inside the factor, at the trigger
    "beside_usd": pl.Float64,  # outside the factor, at the trigger
    "blocked_usd": pl.Float64,  # what a blocked liquidation would seize, at the trigger
    "debt_usd": pl.Float64,  # to repay for what is seizable, inside and beside
    "asset": pl.String,  # symbol of the collateral that is seized; null without a call
    "debt": pl.String,
    "size": pl.String,
}

SIZES: Final = (("<$1k", 1e3), ("$1k-$10k", 1e4), ("$10k-$100k", 1e5), ("$100k-$1M", 1e6), ("$1M-$10M", 1e7))
LARGEST: Final = ">$10M"


def impacts(
    factor: str,
    inside: Collection[str],
    points: pl.DataFrame,
    seizures: pl.DataFrame,
    legs: pl.DataFrame,
    markets: pl.DataFrame,
) -> pl.DataFrame:
    """Gather the positions of one market that a factor makes liquidatable.

    Takes the frames LIQUIDATION_POINTS, SEIZURES (the best call of each position on the path ``factor``), LEGS and
    MARKETS; ``inside`` are the market's price keys that the factor moves. Gives IMPACTS: every exact trigger, so two
    rows for a position that breaks both ways, also where nothing can be seized. In a market without a dollar price of
    its quote positions count, their values are nothing (the scan warns of it).
    """
    shown = points.filter(
        (pl.col("factor") == factor)
        & pl.col("direction").is_in(["down", "up"])
        & pl.col("trigger_answer").is_not_null()
    ).select(*POSITION_KEY, "direction", pl.col("trigger_answer").cast(pl.Int128).alias("answer"))
    is_inside = pl.col("price_key").is_in(list(inside))
    value = pl.col("value_raw").cast(pl.Int128)  # integers: sums do not depend on their order
    backing = legs.filter(pl.col("side") == "collateral")
    held = backing.group_by(POSITION_KEY).agg(value.filter(is_inside).sum().alias("at_risk"), value.sum().alias("held"))
    symbols = _symbols(legs)
    per_unit = markets.select(
        *MARKET_KEY, (pl.col("quote_usd").fill_null(0.0) / pl.col("base_unit").cast(pl.Float64)).alias("per_unit")
    )
    best = seizures.filter((pl.col("factor") == factor) & pl.col("best"))
    for side in ("collateral", "debt"):
        named = symbols.rename({"reserve": f"{side}_reserve", "symbol": f"{side}_symbol"})
        best = best.join(named, on=[*MARKET_KEY, f"{side}_reserve"], how="left", validate="m:1")
    moved = backing.select(*POSITION_KEY, pl.col("reserve").alias("collateral_reserve"), is_inside.alias("moves"))
    best = best.join(moved, on=[*POSITION_KEY, "collateral_reserve"], how="left", validate="m:1")
    joined = (
        shown.join(per_unit, on=MARKET_KEY, how="left", validate="m:1", maintain_order="left")
        .join(held, on=POSITION_KEY, how="left", validate="m:1", maintain_order="left")
        .join(best, on=[*POSITION_KEY, "direction"], how="left", validate="1:1", maintain_order="left")
    )
    seized = pl.col("seize_value_raw").cast(pl.Float64) * pl.col("per_unit")
    repaid = pl.col("repay_value_raw").cast(pl.Float64) * pl.col("per_unit")
    is_open, moves = pl.col("blocked_by").is_null(), pl.col("moves")
    return joined.select(
        *POSITION_KEY,
        "direction",
        "answer",
        (pl.col("at_risk").cast(pl.Float64) * pl.col("per_unit")).fill_null(0.0).alias("at_risk_usd"),
        _where(is_open & moves, seized).alias("seizable_usd"),
        _where(is_open & ~moves, seized).alias("beside_usd"),
        _where(~is_open, seized).alias("blocked_usd"),
        _where(is_open, repaid).alias("debt_usd"),
        pl.col("collateral_symbol").alias("asset"),
        pl.col("debt_symbol").alias("debt"),
        _size((pl.col("held").cast(pl.Float64) * pl.col("per_unit")).fill_null(0.0)).alias("size"),
    )


def _symbols(legs: pl.DataFrame) -> pl.DataFrame:
    """Name the reserves; of those that share a symbol, each with the beginning of its asset's address."""
    known = legs.select(*MARKET_KEY, "reserve", "symbol", "asset").unique([*MARKET_KEY, "reserve"], keep="first")
    shared = pl.col("reserve").n_unique().over(*MARKET_KEY, "symbol") > 1
    long = pl.concat_str("symbol", pl.lit(" "), pl.col("asset").str.slice(0, 6))
    return known.select(*MARKET_KEY, "reserve", pl.when(shared).then(long).otherwise("symbol").alias("symbol"))


def _where(condition: pl.Expr, value: pl.Expr) -> pl.Expr:
    """Give a value, or zero where the condition fails or the position has no call."""
    return pl.when(condition & value.is_not_null()).then(value).otherwise(0.0)


def _size(value: pl.Expr) -> pl.Expr:
    label = pl.lit(LARGEST)
    for name, limit in reversed(SIZES):
        label = pl.when(value < limit).then(pl.lit(name)).otherwise(label)
    return label
