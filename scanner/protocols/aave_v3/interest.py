"""Indexes and stable debt at a timestamp: Aave's MathUtils and ReserveLogic in Python integers. Pure."""

from __future__ import annotations

from scanner.protocols.aave_v3.detail import AaveDetail, AaveReserve
from scanner.units import RAY, SECONDS_PER_YEAR, mul_div_half_up

__all__ = ["compounded_interest", "debt_index_at", "income_at", "linear_interest", "stable_balance"]


def linear_interest(rate: int, seconds: int) -> int:
    """Give 1 + rate · t as a ray, floored (MathUtils.calculateLinearInterest)."""
    return RAY + rate * seconds // SECONDS_PER_YEAR


def compounded_interest(rate: int, seconds: int, revision: int) -> int:
    """Give the three-term expansion of (1 + rate/year)^t as a ray (MathUtils.calculateCompoundedInterest).

    Up to revision 7 the binomial terms, from revision 8 (v3.4) those of the exponential.
    """
    if seconds == 0:
        return RAY
    if revision >= 8:
        x = rate * seconds // SECONDS_PER_YEAR
        inner = x // 2 + mul_div_half_up(x, x // 6, RAY)
        return RAY + x + mul_div_half_up(x, inner, RAY)
    before, earlier = seconds - 1, max(seconds - 2, 0)
    square = mul_div_half_up(rate, rate, RAY) // (SECONDS_PER_YEAR * SECONDS_PER_YEAR)
    cube = mul_div_half_up(square, rate, RAY) // SECONDS_PER_YEAR
    second = seconds * before * square // 2
    third = seconds * before * earlier * cube // 6
    return RAY + rate * seconds // SECONDS_PER_YEAR + second + third


def income_at(reserve: AaveReserve, detail: AaveDetail, timestamp: int) -> int:
    """Give ``getReserveNormalizedIncome`` as it will be at a timestamp, if nobody touches the reserve before."""
    if timestamp == detail.block_timestamp:
        return reserve.income_now
    if timestamp == reserve.updated_at:
        return reserve.liquidity_index
    growth = linear_interest(reserve.liquidity_rate, _elapsed(timestamp, reserve.updated_at))
    return mul_div_half_up(growth, reserve.liquidity_index, RAY)


def debt_index_at(reserve: AaveReserve, detail: AaveDetail, timestamp: int) -> int:
    """Give ``getReserveNormalizedVariableDebt`` as it will be at a timestamp, likewise."""
    if timestamp == detail.block_timestamp:
        return reserve.debt_index_now
    if timestamp == reserve.updated_at:
        return reserve.debt_index
    growth = compounded_interest(reserve.debt_rate, _elapsed(timestamp, reserve.updated_at), detail.revision)
    return mul_div_half_up(growth, reserve.debt_index, RAY)


def stable_balance(principal: int, rate: int, updated_at: int, timestamp: int, revision: int) -> int:
    """Give ``StableDebtToken.balanceOf`` at a timestamp."""
    return mul_div_half_up(principal, compounded_interest(rate, _elapsed(timestamp, updated_at), revision), RAY)


def _elapsed(timestamp: int, updated_at: int) -> int:
    if timestamp < updated_at:
        raise ValueError(f"timestamp {timestamp} lies before the last update at {updated_at}")
    return timestamp - updated_at
