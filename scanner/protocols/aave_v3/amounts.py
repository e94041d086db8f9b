"""Token amounts and effective parameters of every leg, by the revision's rounding. Pure."""

from __future__ import annotations

from typing import Final

import polars as pl

from scanner.exact import mul_div_either, mul_div_half_up
from scanner.protocols.aave_v3.detail import COLLATERAL, STABLE_DEBT, AaveDetail, AaveReserve, EMode, emode_price_key
from scanner.protocols.aave_v3.interest import debt_index_at, income_at, stable_balance
from scanner.risk.rules import Positions
from scanner.units import RAY

__all__ = ["STATE", "leg_amounts"]

STATE: Final = pl.Schema(
    {
        "row": pl.UInt32,
        "reserve": pl.String,
        "reserve_id": pl.Int64,
        "side": pl.UInt8,
        "scaled": pl.Int128,
        "rate": pl.Int128,
        "updated": pl.Int64,
    }
)
"""``Positions.state``: one row per set bit of an account's configuration and one per stable debt.

A zero balance is included, since the contract asks for its price too. ``scaled`` of stable debt is the principal;
only there ``rate`` and ``updated`` are not 0.
"""

_IDS: Final = 128


def leg_amounts(positions: Positions, detail: AaveDetail, timestamp: int) -> pl.DataFrame:
    """Give the state with what the health factor uses of it, in the same row order.

    Adds emode_category Int64, amount Int128 (token units at the timestamp), unit Int128 (10^decimals), threshold_bps
    and bonus_bps Int64 (effective, e-mode applied), counts Boolean (a collateral leg that the revision counts) and
    price_key String (key into ``Answers.market``). Collateral is rounded down and debt up from revision 9, half-up
    before.
    """
    state = positions.state
    category = positions.accounts["emode_category"].gather(state["row"])
    ids = state["reserve_id"]
    pair = category * _IDS + ids
    largest = category.max()
    tables = _Tables(detail, largest + 1 if isinstance(largest, int) else 1)
    return state.with_columns(
        category.alias("emode_category"),
        _amounts(state, detail, timestamp).alias("amount"),
        tables.unit.gather(ids).alias("unit"),
        tables.threshold.gather(pair).alias("threshold_bps"),
        tables.bonus.gather(pair).alias("bonus_bps"),
        ((state["side"] == COLLATERAL) & tables.counts.gather(ids)).alias("counts"),
        (tables.price_key.gather(pair) if tables.own_prices else state["reserve"]).alias("price_key"),
    )


class _Tables:
    """Parameters by reserve id, and by e-mode category × 128 + reserve id for the first categories."""

    def __init__(self, detail: AaveDetail, categories: int) -> None:
        base = {r.id: r for r in detail.reserves}
        self.own_prices = detail.legacy_emode and any(m.price_source for m in detail.emodes.values())
        threshold = [base[i].threshold_bps if i in base else 0 for i in range(_IDS)] * categories
        bonus = [base[i].bonus_bps if i in base else 0 for i in range(_IDS)] * categories
        keys = [str(i) for i in range(_IDS)] * categories
        for mode in (mode for mode in detail.emodes.values() if mode.id < categories):
            for reserve in detail.reserves:
                if _in_emode(detail, mode, reserve):
                    at = mode.id * _IDS + reserve.id
                    threshold[at], bonus[at] = mode.threshold_bps, mode.bonus_bps
                    if mode.price_source:
                        keys[at] = emode_price_key(mode.id)
        self.threshold = pl.Series(threshold, dtype=pl.Int64)
        self.bonus = pl.Series(bonus, dtype=pl.Int64)
        self.price_key = pl.Series(keys if self.own_prices else [], dtype=pl.String)
        self.unit = pl.Series([base[i].unit if i in base else 1 for i in range(_IDS)], dtype=pl.Int128)
        gated = detail.gates_base_threshold
        self.counts = pl.Series([not gated or (i in base and base[i].threshold_bps != 0) for i in range(_IDS)])


def _in_emode(detail: AaveDetail, mode: EMode, reserve: AaveReserve) -> bool:
    """Say whether collateral in this reserve takes the category's threshold and bonus."""
    if detail.legacy_emode:
        return reserve.emode_category == mode.id
    return bool(mode.collateral_bitmap >> reserve.id & 1)


def _amounts(state: pl.DataFrame, detail: AaveDetail, timestamp: int) -> pl.Series:
    indexes = [0] * (2 * _IDS)
    for reserve in detail.reserves:
        indexes[reserve.id] = income_at(reserve, detail, timestamp)
        indexes[_IDS + reserve.id] = debt_index_at(reserve, detail, timestamp)
    is_debt = state["side"] != COLLATERAL
    index = pl.Series(indexes, dtype=pl.Int128).gather(state["reserve_id"] + is_debt.cast(pl.Int64) * _IDS)
    scaled = state["scaled"]
    if not detail.exact_balances:
        return _with_stable(mul_div_half_up(scaled, index, RAY), state, detail, timestamp)
    return mul_div_either(scaled, index, RAY, up=is_debt)


def _with_stable(amounts: pl.Series, state: pl.DataFrame, detail: AaveDetail, timestamp: int) -> pl.Series:
    """Put the compounded principal in place of stable debt."""
    rows = (state["side"] == STABLE_DEBT).arg_true()
    if not rows.len():
        return amounts
    stable = state.select("scaled", "rate", "updated")[rows]
    values = [stable_balance(p, rate, at, timestamp, detail.revision) for p, rate, at in stable.iter_rows()]
    return amounts.scatter(rows, pl.Series(values, dtype=pl.Int128))
