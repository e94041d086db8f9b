"""Executable liquidations: what to call, what moves to the unit, what it is worth. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import polars as pl

from scanner.describe import quote_usd
from scanner.exact import ratio
from scanner.frames import RAW, TIME, FrameSchema
from scanner.protocols.interface import MarketRead
from scanner.risk.rules import Answers, Changes
from scanner.units import BPS

__all__ = ["QUOTES", "quotes"]

QUOTES: Final[FrameSchema] = {
    "chain_id": pl.Int64,
    "protocol": pl.String,
    "market_id": pl.String,
    "revision": pl.Int64,
    "position": pl.String,
    "account": pl.String,
    "health_factor_wad": pl.String,
    "health_factor": pl.Float64,
    "for_timestamp": pl.Int64,
    "debt_reserve": pl.String,
    "debt_asset": pl.String,
    "debt_symbol": pl.String,
    "collateral_reserve": pl.String,
    "collateral_asset": pl.String,
    "collateral_symbol": pl.String,
    "best": pl.Boolean,
    "blocked_by": pl.String,
    "blocked_until": TIME,
    "to": pl.String,
    "data": pl.String,
    "debt_to_cover": pl.String,
    "over_maximum": pl.String,
    "repay_raw": RAW,
    "most_repay_raw": RAW,
    "receive_raw": RAW,
    "seize_raw": RAW,
    "fee_raw": RAW,
    "treasury_scaled_raw": RAW,
    "treasury_raw": RAW,
    "debt_burned_raw": RAW,
    "repay": pl.Float64,  # whole tokens
    "receive": pl.Float64,
    "liquidation_bonus": pl.Float64,  # effective: 0.05 means that 105 % are seized
    "protocol_fee": pl.Float64,  # share of the bonus
    "branch": pl.String,  # half | all | collateral | dust: what limits the amount
    "dust_limited": pl.Boolean,
    "repay_value_base": RAW,
    "receive_value_base": RAW,
    "profit_base": RAW,  # before gas; negative for a loss
    "bad_debt_base": RAW,
    "repay_value_usd": pl.Float64,
    "receive_value_usd": pl.Float64,
    "profit_usd": pl.Float64,
    "bad_debt_usd": pl.Float64,
}
"""A row per debt × collateral pair of each liquidatable account."""

_NEVER: Final = ("zero_threshold", "unpriced", "dust")
_POSITION: Final = ("chain_id", "protocol", "market_id", "position")


def quotes(reads: Sequence[MarketRead], timestamp: int | None = None) -> pl.DataFrame:
    """Quote every debt × collateral pair of the accounts that are liquidatable at a timestamp.

    ``timestamp`` is that of the block in which the calls are executed; None: the one that the reads' rules are for.
    Every amount holds for one call on its own, at that time and at these answers, with the underlying paid out; whether
    the reserve has as much of it to pay out is not looked at. Values are at the oracle's answers.

    Gives QUOTES: the most profitable accounts first, those that nobody can liquidate now last; the best pair of each
    first, then by profit. ``best`` marks one pair of each account: open before blocked, then the largest profit
    before gas, then the lowest reserve ids (collateral, then debt). Raises ValueError for a time before the rules'.
    """
    frames = [_of_market(read, timestamp) for read in reads]
    frame = pl.concat([pl.DataFrame(schema=dict(QUOTES)), *frames])
    return _ordered(frame)


def _of_market(read: MarketRead, timestamp: int | None) -> pl.DataFrame:
    market, rules, answers = read.market, read.rules, Answers(read.market.answers)
    if timestamp is not None and timestamp != rules.timestamp:
        if timestamp < rules.timestamp:
            raise ValueError(f"no quotes for {timestamp}, before {rules.timestamp}")
        rules = rules.with_changes(Changes(timestamp=timestamp))
        answers = Answers(read.graph.answers_at({}, timestamp))
    health = rules.health(read.positions, answers)
    hurt = health.filter("liquidatable")
    positions = read.positions.pick(hurt["row"])
    pairs = rules.quotes(positions, answers)
    row = pairs["row"]
    about = market.reserves.select("reserve", "asset", "symbol", "decimals")
    for side in ("debt", "collateral"):
        named = about.rename({name: f"{side}_{name}" for name in about.columns})
        pairs = pairs.join(named, on=f"{side}_reserve", how="left", validate="m:1", maintain_order="left")
    usd = pl.lit(quote_usd(market), pl.Float64)
    values = {
        "repay_value": pl.col("repay_value_raw"),
        "receive_value": pl.col("receive_value_raw"),
        "profit": (pl.col("receive_value_raw").cast(pl.Int128) - pl.col("repay_value_raw").cast(pl.Int128)).cast(RAW),
        "bad_debt": pl.col("bad_debt_raw"),
    }
    pairs = pairs.with_columns(
        pl.lit(market.chain_id, pl.Int64).alias("chain_id"),
        pl.lit(market.protocol).alias("protocol"),
        pl.lit(market.market_id).alias("market_id"),
        pl.lit(market.revision, pl.Int64).alias("revision"),
        pl.lit(rules.timestamp, pl.Int64).alias("for_timestamp"),
        positions.accounts["position"].gather(row).alias("position"),
        positions.accounts["owner"].gather(row).alias("account"),
        *(hurt[name].gather(row).alias(name) for name in ("health_factor_wad", "health_factor")),
        *(value.alias(f"{name}_base") for name, value in values.items()),
        *((value.cast(pl.Float64) / market.base_unit * usd).alias(f"{name}_usd") for name, value in values.items()),
        (pl.col("repay_raw").cast(pl.Float64) / 10.0 ** pl.col("debt_decimals")).alias("repay"),
        (pl.col("receive_raw").cast(pl.Float64) / 10.0 ** pl.col("collateral_decimals")).alias("receive"),
        ratio(pairs["bonus_bps"], BPS).alias("liquidation_bonus"),
        ratio(pairs["protocol_fee_bps"], BPS).alias("protocol_fee"),
        (pl.col("branch") == "dust").alias("dust_limited"),
    )
    return _mark_best(pairs).select(pl.col(name).cast(dtype) for name, dtype in QUOTES.items())


def _mark_best(pairs: pl.DataFrame) -> pl.DataFrame:
    """Mark one pair per row; they lie in order of collateral, then debt reserve."""
    can = pl.when(pl.col("blocked_by").is_null()).then(2).when(pl.col("blocked_by").is_in(_NEVER)).then(0).otherwise(1)
    ranked = pairs.select("row", can.alias("can"), "profit_base").with_row_index("at")
    first = ranked.sort("can", "profit_base", descending=True, maintain_order=True).unique("row", keep="first")
    best = pl.repeat(False, pairs.height, eager=True).scatter(first["at"], True)
    return pairs.with_columns(best.alias("best"))


def _ordered(frame: pl.DataFrame) -> pl.DataFrame:
    """Put the most profitable accounts first, and in each the best pair first."""
    tops = frame.filter("best").select(
        *_POSITION,
        pl.col("blocked_by").is_not_null().alias("_blocked"),
        pl.col("profit_usd").alias("_usd"),
        pl.col("profit_base").alias("_base"),
    )
    joined = frame.join(tops, on=list(_POSITION), how="left", validate="m:1", maintain_order="left")
    by = {"_blocked": False, "_usd": True, "_base": True, **dict.fromkeys(_POSITION, False)}
    by |= {"best": True, "profit_base": True}
    ordered = joined.sort(list(by), descending=list(by.values()), nulls_last=True, maintain_order=True)
    return ordered.drop("_blocked", "_usd", "_base")
