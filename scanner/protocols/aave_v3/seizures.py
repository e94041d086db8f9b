"""Every debt × collateral pair of liquidatable positions: what the contract would move, and what blocks it. Pure."""

from __future__ import annotations

from typing import Final

import polars as pl

from scanner.exact import INT128_MAX, mul_div_down, sum_by, to_raw
from scanner.frames import RAW, TIME, FrameSchema
from scanner.protocols.aave_v3.detail import COLLATERAL, DEBT, AaveDetail, emode_price_key
from scanner.protocols.aave_v3.interest import debt_index_at, income_at
from scanner.protocols.aave_v3.liquidation import CLOSE_FACTOR_HEALTH, Liquidations, debt_value
from scanner.protocols.aave_v3.valuation import leg_prices
from scanner.risk.rules import Answers
from scanner.units import BPS, RAY

__all__ = ["BLOCKERS", "PAIR_SEIZURES", "liquidations", "seizure_frame", "seizures"]

PAIR_SEIZURES: Final[FrameSchema] = {
    "row": pl.UInt32,
    "debt_reserve": pl.String,
    "collateral_reserve": pl.String,
    "repay_raw": RAW,
    "seize_raw": RAW,
    "fee_raw": RAW,
    "bad_debt_raw": RAW,
    "repay_value_raw": RAW,
    "seize_value_raw": RAW,
    "branch": pl.String,
    "best": pl.Boolean,
    "blocked_by": pl.String,
    "blocked_until": TIME,
}

BLOCKERS: Final = ("inactive", "paused", "sentinel", "grace", "zero_threshold", "unpriced", "dust")
"""Values of ``blocked_by``, the first that applies in the contract's order.

The amounts of pairs blocked by the first four are those of the call once it is allowed; by the last three nothing can
be seized: collateral without a threshold, a price that the call needs and the health factor does not, no amount that
both burns a unit and leaves no dust.
"""

_IDS: Final = 128


def seizures(
    detail: AaveDetail, timestamp: int, legs: pl.DataFrame, answers: Answers, health: pl.DataFrame
) -> pl.DataFrame:
    """List every debt × collateral pair of the positions that ``health`` (of ``Rules.health``) calls liquidatable.

    ``legs`` as ``valuation.valued`` gives them at the same timestamp and answers.

    Gives PAIR_SEIZURES in order of row, collateral reserve id, debt reserve id. Amounts are those of the largest call
    that the contract accepts when it pays out the underlying; ``fee_raw`` is the fee by the formula (the
    treasury's credit may be a unit less). ``bad_debt_raw`` is the debt left when no collateral is. ``best`` marks
    the open pair with the largest seized value, else the blocked one; ties: first in order. The discount
    on GHO debt before v3.4 is not known here.
    """
    return seizure_frame(detail, timestamp, *liquidations(detail, timestamp, legs, answers, health))


def liquidations(
    detail: AaveDetail, timestamp: int, legs: pl.DataFrame, answers: Answers, health: pl.DataFrame
) -> tuple[pl.DataFrame, Liquidations]:
    """Give the pairs of liquidatable positions (columns of ``liquidation.PAIRS`` and more) and what becomes of them.

    Arguments and order as in ``seizures``.
    """
    hurt = health.filter("liquidatable").select(
        "row",
        pl.col("health_factor_wad").cast(pl.Int128).alias("health"),
        pl.col("debt_raw").cast(pl.Int128).alias("total_debt"),
        pl.col("collateral_raw").cast(pl.Int128).alias("total_collateral"),
    )
    legs = _priced_legs(detail, legs.filter(health["liquidatable"].fill_null(False).gather(legs["row"])), answers)
    reserves = _reserves(detail, timestamp)
    pairs = _pairs(detail, legs, reserves).join(hurt, on="row", how="left", validate="m:1", maintain_order="left")
    return pairs, Liquidations(detail.revision, pairs)


def seizure_frame(detail: AaveDetail, timestamp: int, pairs: pl.DataFrame, done: Liquidations) -> pl.DataFrame:
    """Give PAIR_SEIZURES of what ``liquidations`` gives."""
    debt_left = debt_value(detail.revision, pairs["owed"] - done.repay, pairs["debt_price"], pairs["debt_unit"])
    zero = pl.zeros(pairs.height, dtype=pl.Int128, eager=True)
    bad_debt = (pairs["total_debt"] - pairs["owed_value"] - pairs["unwritten"] + debt_left).zip_with(
        done.none_left, zero
    )
    blocked_by = _blocked_by(detail, timestamp, pairs.with_columns(done.accepted.alias("accepted")))
    amounts = {
        "repay_raw": done.repay,
        "seize_raw": done.seize,
        "fee_raw": done.fee,
        "bad_debt_raw": bad_debt,
        "repay_value_raw": debt_value(detail.revision, done.repay, pairs["debt_price"], pairs["debt_unit"]),
        "seize_value_raw": mul_div_down(done.seize, pairs["collateral_price"], pairs["collateral_unit"]),
    }
    never = ~pairs["usable"] | pairs["collateral_unpriced"] | pairs["debt_unpriced"]
    frame = pairs.select("row", "debt_reserve", "collateral_reserve", "grace_until").with_columns(
        *(to_raw(zero.zip_with(never, amount)).alias(name) for name, amount in amounts.items()),
        done.branch,
        blocked_by.alias("blocked_by"),
    )
    return _mark_best(frame).select(
        pl.when(pl.col("blocked_by") == "grace")
        .then(pl.from_epoch("grace_until", time_unit="s").dt.replace_time_zone("UTC").cast(TIME))
        .alias("blocked_until")
        if name == "blocked_until"
        else name
        for name in PAIR_SEIZURES
    )


def _mark_best(frame: pl.DataFrame) -> pl.DataFrame:
    """Mark one pair per row: open before blocked, then the largest seized value, then the first in order."""
    value = pl.col("seize_value_raw").cast(pl.Int128)
    key = pl.when(pl.col("blocked_by").is_null()).then(value).otherwise(value - pl.lit(INT128_MAX, pl.Int128))
    tops = frame.select("row", key.alias("key")).group_by("row", maintain_order=True)  # rows lie together
    first = tops.agg(pl.len(), pl.col("key").arg_max().cast(pl.UInt32).alias("top"))
    marked = first.select(pl.col("len").cum_sum() - pl.col("len") + pl.col("top")).to_series()
    best = pl.repeat(False, frame.height, eager=True).scatter(marked, True)
    return frame.with_columns(best.alias("best"))


def _priced_legs(detail: AaveDetail, legs: pl.DataFrame, answers: Answers) -> pl.DataFrame:
    """Give the non-empty legs in order, with ``health_price`` and, as ``price``, what the liquidation uses."""
    legs = legs.filter(pl.col("amount") > 0).with_columns(pl.col("price").alias("health_price"))
    order = legs.select(pl.col("row").cast(pl.Int64) * _IDS + pl.col("reserve_id")).to_series()
    if not order.is_sorted():
        legs = legs[order.arg_sort()]
    own_price = [c for c, mode in detail.emodes.items() if mode.price_source] if detail.legacy_emode else []
    if not own_price:
        return legs
    # An account's own category prices its debt in a liquidation, whatever the debt's category.
    keys = {c: emode_price_key(c) for c in own_price}
    priced = pl.col("emode_category").replace_strict(keys, default=None, return_dtype=pl.String)
    called = pl.when(pl.col("side") != COLLATERAL).then(priced).fill_null(pl.col("price_key"))
    return legs.with_columns(leg_prices(legs["row"], legs.select(called).to_series(), answers).alias("price"))


def _reserves(detail: AaveDetail, timestamp: int) -> pl.DataFrame:
    """Tabulate by reserve id what pairs need of a reserve; the least amounts come from the burns' rounding."""
    rows = []
    for reserve in detail.reserves:
        income, index = income_at(reserve, detail, timestamp), debt_index_at(reserve, detail, timestamp)
        if detail.exact_balances:
            least_burn, least_received = -(-index // RAY), 1
        else:
            least_burn, least_received = (-(-(i - i // 2) // RAY) for i in (index, income))
        grace = reserve.grace_until if detail.revision >= 4 and reserve.grace_until >= timestamp else 0
        fee = reserve.protocol_fee_bps
        rows.append((reserve.id, reserve.active, reserve.paused, grace, fee, income, least_received, least_burn))
    schema = {
        "reserve_id": pl.Int64,
        "active": pl.Boolean,
        "paused": pl.Boolean,
        "grace_until": pl.Int64,
        "fee_bps": pl.Int128,
        "income": pl.Int128,
        "least_received": pl.Int128,
        "least_burn": pl.Int128,
    }
    return pl.DataFrame(rows, schema=schema, orient="row")


def _pairs(detail: AaveDetail, legs: pl.DataFrame, reserves: pl.DataFrame) -> pl.DataFrame:
    """Join the collateral and debt legs of each row, in order of row, collateral reserve id, debt reserve id."""
    collateral = legs.filter(pl.col("side") == COLLATERAL).join(
        reserves.drop("least_burn"), on="reserve_id", how="left", validate="m:1", maintain_order="left"
    )
    debt = _debts(detail, legs.filter(pl.col("side") != COLLATERAL), reserves)
    usable = pl.col("counts") & (pl.col("bonus_bps") > 0)
    collateral = collateral.select(
        "row",
        pl.col("reserve_id").alias("collateral_id"),
        pl.col("reserve").alias("collateral_reserve"),
        pl.col("amount").alias("balance"),
        pl.col("scaled").alias("scaled_balance"),
        pl.col("unit").alias("collateral_unit"),
        usable.alias("usable"),
        pl.when(usable).then("bonus_bps").otherwise(BPS).cast(pl.Int128).alias("bonus_bps"),
        pl.col("price").fill_null(1).alias("collateral_price"),
        pl.col("price").is_null().alias("collateral_unpriced"),
        "fee_bps",
        "income",
        "least_received",
        pl.col("active").alias("collateral_active"),
        pl.col("paused").alias("collateral_paused"),
        pl.col("grace_until").alias("collateral_grace"),
    )
    return collateral.join(debt, on="row", how="inner", validate="m:m", maintain_order="left_right").with_columns(
        pl.max_horizontal("collateral_grace", "debt_grace").alias("grace_until")
    )


def _debts(detail: AaveDetail, legs: pl.DataFrame, reserves: pl.DataFrame) -> pl.DataFrame:
    """Give one line per row and debt reserve, stable and variable debt together."""
    legs = legs.with_columns(pl.col("amount").alias("variable"))
    if (legs["side"] != DEBT).any():
        variable = pl.when(pl.col("side") == DEBT).then("amount").otherwise(pl.lit(0, pl.Int128))
        sums = sum_by(legs.with_columns(variable.alias("variable")), ["row", "reserve_id"], ["amount", "variable"])
        legs = legs.unique(["row", "reserve_id"], keep="first", maintain_order=True)
        legs = legs.with_columns(sums["amount"], sums["variable"])
    debt = legs.join(reserves, on="reserve_id", how="left", validate="m:1", maintain_order="left")
    value = debt_value(detail.revision, debt["amount"], debt["health_price"], debt["unit"]).alias("value")
    return _with_unwritten(detail, debt.with_columns(value)).select(
        "row",
        pl.col("reserve_id").alias("debt_id"),
        pl.col("reserve").alias("debt_reserve"),
        pl.col("amount").alias("owed"),
        pl.col("variable").alias("owed_variable"),
        pl.col("value").alias("owed_value"),
        "unwritten",
        "least_burn",
        pl.col("unit").alias("debt_unit"),
        pl.col("price").fill_null(1).alias("debt_price"),
        pl.col("price").is_null().alias("debt_unpriced"),
        pl.col("active").alias("debt_active"),
        pl.col("paused").alias("debt_paused"),
        pl.col("grace_until").alias("debt_grace"),
    )


def _with_unwritten(detail: AaveDetail, debt: pl.DataFrame) -> pl.DataFrame:
    """Add the value of the row's debt in other reserves that is not written off with bad debt: inactive ones."""
    idle = debt.filter(~pl.col("active"))
    if detail.revision <= 6 or not idle.height:
        return debt.with_columns(pl.lit(0, pl.Int128).alias("unwritten"))
    totals = sum_by(idle, "row", ["value"]).rename({"value": "idle"})
    own = pl.when("active").then(pl.lit(0, pl.Int128)).otherwise(pl.col("value"))
    debt = debt.join(totals, on="row", how="left", validate="m:1", maintain_order="left")
    return debt.with_columns((pl.col("idle").fill_null(0) - own).alias("unwritten"))


def _blocked_by(detail: AaveDetail, timestamp: int, pairs: pl.DataFrame) -> pl.Series:
    """Name the first gate of ``validateLiquidationCall`` that is shut, null when the pair is open."""
    sentinel = pl.lit(detail.sentinel_down and detail.revision <= 10) & (pl.col("health") >= CLOSE_FACTOR_HEALTH)
    return pairs.select(
        pl.when(~(pl.col("collateral_active") & pl.col("debt_active")))
        .then(pl.lit("inactive"))
        .when(pl.col("collateral_paused") | pl.col("debt_paused"))
        .then(pl.lit("paused"))
        .when(sentinel)
        .then(pl.lit("sentinel"))
        .when(pl.col("grace_until") >= timestamp)
        .then(pl.lit("grace"))
        .when(~pl.col("usable"))
        .then(pl.lit("zero_threshold"))
        .when(pl.col("collateral_unpriced") | pl.col("debt_unpriced"))
        .then(pl.lit("unpriced"))
        .when(~pl.col("accepted"))
        .then(pl.lit("dust"))
        .otherwise(None)
    ).to_series()
