"""Value legs and accounts at oracle answers, by the revision's rounding. Pure.

GenericLogic.calculateUserAccountData, with V the collateral, W the same weighted with thresholds in basis points and
D the debt, in base units (``LT`` effective, e-mode applied):

    revision 9 and later    HF = wadDiv(W, D) // 10^4
    up to revision 8        HF = wadDiv(percentMul(V, W // V), D)      (the average threshold is floored)

wadDiv and percentMul round half-up. Collateral is worth floor(amount · price / unit), debt the ceiling of it from
revision 9, the floor before.
"""

from __future__ import annotations

from typing import Final

import polars as pl

from scanner.exact import (
    mul_div_down,
    mul_div_either,
    mul_div_half_up,
    ratio,
    run_ends,
    run_sums,
    sum_by,
    to_float,
    to_raw,
)
from scanner.frames import RAW, FrameSchema
from scanner.protocols.aave_v3.detail import COLLATERAL, STABLE_DEBT, AaveDetail, emode_price_key
from scanner.risk.rules import Answers, Positions
from scanner.units import BPS, WAD
from scanner.units import mul_div_half_up as half_up

__all__ = ["HEALTH", "health_of", "leg_prices", "one_debt_per_reserve", "valued"]

HEALTH: Final[FrameSchema] = {
    "row": pl.UInt32,
    "collateral_raw": RAW,
    "debt_raw": RAW,
    "weighted_quote": pl.Float64,
    "health_factor_wad": pl.String,
    "health_factor": pl.Float64,
    "liquidatable": pl.Boolean,
    "has_debt": pl.Boolean,
    "unpriced": pl.Boolean,
}

_IDS: Final = 128
_SAFE: Final = 2.0**126
_LARGEST: Final = _SAFE / (2 * _IDS * 2**16)
"""Value up to which an account's legs, weighted with 16-bit thresholds, sum to less than 2^126."""
_ZERO: Final = pl.Series([0], dtype=pl.Int128)
_BPS: Final = pl.Series([BPS], dtype=pl.Int128)
_HALF_BPS: Final = pl.Series([BPS // 2], dtype=pl.Int128)


def valued(legs: pl.DataFrame, detail: AaveDetail, answers: Answers) -> pl.DataFrame:
    """Give the legs of ``leg_amounts`` with price and value (base units), Int128, null without a price.

    Raises OverflowError for a value so large that sums over an account could leave Int128.
    """
    price = leg_prices(legs["row"], legs["price_key"], answers)
    if price.null_count():
        value = _values(legs, price.fill_null(0), detail).set(price.is_null(), None)
    else:
        value = _values(legs, price, detail)
    return legs.with_columns(price.alias("price"), value.alias("value"))


def leg_prices(row: pl.Series, key: pl.Series, answers: Answers) -> pl.Series:
    """Give the oracle's answer (Int128) for each leg's row and price key, null where there is none."""
    known = {**answers.market}
    if answers.moved is not None:
        known |= {name: known.get(name) for name in answers.moved["reserve"].unique()}
    codes = key.cast(pl.Enum(list(known)), strict=False).to_physical()
    price = pl.Series(list(known.values()), dtype=pl.Int128).gather(codes)
    if answers.moved is None:
        return price
    last = pl.concat([row, answers.moved["row"]]).max()
    height = last + 1 if isinstance(last, int) else 0
    for (name,), part in answers.moved.partition_by("reserve", as_dict=True).items():
        legs = (codes == list(known).index(name)).arg_true()
        own = pl.Series([None], dtype=pl.Int128).new_from_index(0, height).scatter(part["row"], part["answer"])
        answer = own.gather(row.gather(legs))
        price = price.scatter(legs, answer.zip_with(answer.is_not_null(), price.gather(legs)))
    return price


def health_of(legs: pl.DataFrame, positions: Positions, detail: AaveDetail, answers: Answers) -> pl.DataFrame:
    """Give HEALTH, a row per account in row order, of ``leg_amounts``, ``valued`` or not."""
    joined = one_debt_per_reserve(legs)
    if joined is not legs or "value" not in legs.columns:
        joined = valued(joined, detail, answers)
    legs, value = joined, joined["value"]
    is_debt = legs["side"] != COLLATERAL
    row, height = legs["row"], positions.accounts.height
    unpriced = _marked(row.filter(value.is_null()), height) | _mode_unpriced(row, positions, detail, answers)
    owes = _marked(row.filter(is_debt & (legs["scaled"] > 0)), height)
    value = value.fill_null(0) if value.null_count() else value
    held = value.zip_with(legs["counts"], _ZERO)
    counted = held * legs["threshold_bps"].cast(pl.Int128)
    collateral, weighted, owed = run_sums(run_ends(row, height), held, counted, value.zip_with(is_debt, _ZERO))
    has_debt = owes.zip_with(unpriced, owed > 0)
    text, number, below_one = _health_factors(collateral, weighted, owed, detail)
    frame = pl.DataFrame(
        {
            "row": positions.accounts["row"],
            "collateral_raw": to_raw(collateral),
            "debt_raw": to_raw(owed),
            "weighted_quote": ratio(weighted, float(BPS * detail.base_unit)),
            "health_factor_wad": text,
            "health_factor": number,
            "liquidatable": has_debt & below_one,
            "has_debt": has_debt,
            "unpriced": unpriced,
        },
        schema=dict(HEALTH),
    )
    known = ["collateral_raw", "debt_raw", "weighted_quote", "liquidatable"]
    return frame.with_columns(
        pl.when(~pl.col("unpriced")).then(pl.col(known)),
        pl.when(pl.col("has_debt") & ~pl.col("unpriced")).then(pl.col("health_factor_wad", "health_factor")),
    )


def one_debt_per_reserve(legs: pl.DataFrame) -> pl.DataFrame:
    """Add stable debt to the variable debt of the same reserve: the contract values their sum, rounding once."""
    stable = legs.filter(pl.col("side") == STABLE_DEBT)
    if not stable.height:
        return legs
    debts = legs.filter(pl.col("side") != COLLATERAL)
    key = ["row", "reserve_id"]
    sums = sum_by(debts, key, ["scaled", "amount"])
    merged = debts.unique(key, keep="first", maintain_order=True).drop("scaled", "amount")
    merged = merged.join(sums, on=key, how="left", validate="1:1", maintain_order="left").select(legs.columns)
    return pl.concat([legs.filter(pl.col("side") == COLLATERAL), merged]).sort("row", maintain_order=True)


def _values(legs: pl.DataFrame, price: pl.Series, detail: AaveDetail) -> pl.Series:
    amount, unit = legs["amount"], legs["unit"]
    if detail.exact_balances:
        value = mul_div_either(amount, price, unit, up=legs["side"] != COLLATERAL)
    else:
        value = mul_div_down(amount, price, unit)
    largest = value.max()
    if isinstance(largest, int) and largest >= _LARGEST:
        raise OverflowError(f"a leg is worth {largest} base units: too large to sum")
    return value


def _marked(rows: pl.Series, height: int) -> pl.Series:
    return pl.repeat(False, height, dtype=pl.Boolean, eager=True).scatter(rows.unique(), True)


def _mode_unpriced(row: pl.Series, positions: Positions, detail: AaveDetail, answers: Answers) -> pl.Series:
    """Mark accounts whose e-mode has an own price that reverts: the contract asks for it before it looks at legs."""
    height = positions.accounts.height
    modes = [c for c, mode in detail.emodes.items() if mode.price_source and emode_price_key(c) not in answers.market]
    if not modes or not detail.legacy_emode:
        return _marked(row.clear(), height)
    return positions.accounts["emode_category"].is_in(modes) & _marked(row, height)


def _health_factors(
    collateral: pl.Series, weighted: pl.Series, debt: pl.Series, detail: AaveDetail
) -> tuple[pl.Series, pl.Series, pl.Series]:
    """Give health factors as exact text in wad, as Float64, and whether they are below one; void without debt."""
    divisor = 1
    if detail.exact_balances:
        numerator, divisor = weighted, BPS
    else:
        average = weighted // collateral.clip(lower_bound=1)
        numerator = (collateral * average + _HALF_BPS) // _BPS
    owed = debt.clip(lower_bound=1)
    large = to_float(numerator) * float(WAD) / to_float(owed) >= _SAFE
    factor = mul_div_half_up(numerator.set(large, 0), WAD, owed)
    if divisor != 1:
        factor = factor // _BPS
    text, number = factor.cast(pl.String), ratio(factor, float(WAD))
    if large.any():
        rows = large.arg_true()
        pairs = zip(numerator.gather(rows), owed.gather(rows), strict=True)
        exact = [half_up(top, WAD, bottom) // divisor for top, bottom in pairs]
        text = text.scatter(rows, pl.Series([str(value) for value in exact], dtype=pl.String))
        number = number.scatter(rows, pl.Series([value / WAD for value in exact], dtype=pl.Float64))
    return text, number, (factor < WAD) & ~large
