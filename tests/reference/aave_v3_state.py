"""Balances and account data of Aave v3, revisions 1 to 11, in plain Python integers. See ``aave_v3``."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

RAY = 10**27
WAD = 10**18
YEAR = 365 * 24 * 3600
MAX_UINT = 2**256 - 1
CLOSE_FACTOR_HF_THRESHOLD = 95 * 10**16
MIN_BASE_MAX_CLOSE_FACTOR_THRESHOLD = 2000 * 10**8
MIN_LEFTOVER_BASE = 1000 * 10**8

Prices = Mapping[str, int]


class Reverted(Exception):
    """The contract would revert with this error name."""

    def __init__(self, name: str) -> None:
        self.name = name
        super().__init__(name)


@dataclass(frozen=True)
class Reserve:
    """A reserve as stored; rates and indexes in ray. ``emode_category`` only up to revision 4."""

    id: int
    decimals: int = 18
    threshold: int = 8000
    bonus: int = 10500
    fee: int = 1000
    liquidity_index: int = RAY
    liquidity_rate: int = 0
    debt_index: int = RAY
    debt_rate: int = 0
    updated_at: int = 0
    active: bool = True
    paused: bool = False
    grace_until: int = 0
    emode_category: int = 0


@dataclass(frozen=True)
class EMode:
    id: int
    threshold: int
    bonus: int
    collateral_bitmap: int = 0
    price_source: bool = False  # legacy: the category has its own price source


@dataclass(frozen=True)
class Market:
    revision: int
    reserves: Mapping[int, Reserve]
    emodes: Mapping[int, EMode] = field(default_factory=dict)
    sentinel_down: bool = False


@dataclass(frozen=True)
class Account:
    """Scaled balances by reserve id. ``collateral``: flag on; ``unflagged``: aTokens whose flag is off."""

    collateral: Mapping[int, int] = field(default_factory=dict)
    debt: Mapping[int, int] = field(default_factory=dict)
    stable: Mapping[int, tuple[int, int, int]] = field(default_factory=dict)  # principal, rate, updated_at
    emode: int = 0
    unflagged: Mapping[int, int] = field(default_factory=dict)


@dataclass(frozen=True)
class AccountData:
    """``getUserAccountData`` without the LTV part; ``health_factor`` is MAX_UINT without debt."""

    collateral_base: int
    debt_base: int
    avg_threshold: int
    health_factor: int
    weighted: int


# ---------------------------------------------------------------- WadRayMath, PercentageMath, MathUtils


def half_up(a: int, b: int, d: int) -> int:
    return (a * b + d // 2) // d


def floor(a: int, b: int, d: int) -> int:
    return a * b // d


def ceil(a: int, b: int, d: int) -> int:
    return -(-(a * b) // d)


def ray_mul(a: int, b: int) -> int:
    return half_up(a, b, RAY)


def linear_interest(rate: int, since: int, now: int) -> int:
    return RAY + rate * (now - since) // YEAR


def compounded_interest(revision: int, rate: int, since: int, now: int) -> int:
    exp = now - since
    if exp == 0:
        return RAY
    if revision >= 8:
        x = rate * exp // YEAR
        return RAY + x + ray_mul(x, x // 2 + ray_mul(x, x // 6))
    minus_one = exp - 1
    minus_two = exp - 2 if exp > 2 else 0
    power_two = ray_mul(rate, rate) // (YEAR * YEAR)
    power_three = ray_mul(power_two, rate) // YEAR
    second = exp * minus_one * power_two // 2
    third = exp * minus_one * minus_two * power_three // 6
    return RAY + rate * exp // YEAR + second + third


def income(reserve: Reserve, now: int) -> int:
    """``getReserveNormalizedIncome``."""
    if reserve.updated_at == now:
        return reserve.liquidity_index
    return ray_mul(linear_interest(reserve.liquidity_rate, reserve.updated_at, now), reserve.liquidity_index)


def debt_index(market: Market, reserve: Reserve, now: int) -> int:
    """``getReserveNormalizedVariableDebt``."""
    if reserve.updated_at == now:
        return reserve.debt_index
    grown = compounded_interest(market.revision, reserve.debt_rate, reserve.updated_at, now)
    return ray_mul(grown, reserve.debt_index)


# ---------------------------------------------------------------- balances and account data


def atoken_balance(market: Market, reserve: Reserve, scaled: int, now: int) -> int:
    if market.revision >= 9:
        return floor(scaled, income(reserve, now), RAY)
    return ray_mul(scaled, income(reserve, now))


def variable_debt(market: Market, reserve: Reserve, scaled: int, now: int) -> int:
    if market.revision >= 9:
        return ceil(scaled, debt_index(market, reserve, now), RAY)
    return ray_mul(scaled, debt_index(market, reserve, now))


def stable_debt(market: Market, position: tuple[int, int, int], now: int) -> int:
    principal, rate, updated_at = position
    if principal == 0:
        return 0
    return ray_mul(principal, compounded_interest(market.revision, rate, updated_at, now))


def reserve_debt(market: Market, account: Account, reserve_id: int, now: int) -> tuple[int, int]:
    """Give (variable, stable) debt of one reserve."""
    reserve = market.reserves[reserve_id]
    variable = variable_debt(market, reserve, account.debt.get(reserve_id, 0), now)
    stable = 0
    if market.revision <= 4 and reserve_id in account.stable:
        stable = stable_debt(market, account.stable[reserve_id], now)
    return variable, stable


def in_emode(market: Market, account: Account, reserve_id: int) -> bool:
    if account.emode == 0:
        return False
    if market.revision <= 4:
        return market.reserves[reserve_id].emode_category == account.emode
    return bool(market.emodes[account.emode].collateral_bitmap >> reserve_id & 1)


def price(prices: Prices, key: str) -> int:
    value = prices.get(key, 0)
    if value <= 0:
        raise Reverted("Unpriced")
    return value


def emode_price(market: Market, account: Account, prices: Prices) -> int:
    """Give the price of the account's category, 0 when it has none of its own."""
    if market.revision > 4 or account.emode == 0 or not market.emodes[account.emode].price_source:
        return 0
    return price(prices, f"emode:{account.emode}")


def asset_price(market: Market, account: Account, reserve_id: int, prices: Prices) -> int:
    own = emode_price(market, account, prices)
    if own != 0 and market.reserves[reserve_id].emode_category == account.emode:
        return own
    return price(prices, str(reserve_id))


def debt_value(market: Market, amount: int, unit_price: int, unit: int) -> int:
    return ceil(amount, unit_price, unit) if market.revision >= 9 else floor(amount, unit_price, unit)


def debt_ids(account: Account) -> list[int]:
    return sorted(set(account.debt) | set(account.stable))


def account_data(account: Account, market: Market, prices: Prices, timestamp: int) -> AccountData:
    """Compute ``GenericLogic.calculateUserAccountData``; raises Reverted("Unpriced")."""
    total_collateral = total_debt = weighted = 0
    emode_price(market, account, prices)
    for reserve_id in sorted(set(account.collateral) | set(debt_ids(account))):
        reserve = market.reserves[reserve_id]
        unit = 10**reserve.decimals
        unit_price = asset_price(market, account, reserve_id, prices)
        if reserve_id in account.collateral and (market.revision >= 10 or reserve.threshold != 0):
            balance = atoken_balance(market, reserve, account.collateral[reserve_id], timestamp)
            value = balance * unit_price // unit
            threshold = reserve.threshold
            if in_emode(market, account, reserve_id):
                threshold = market.emodes[account.emode].threshold
            total_collateral += value
            weighted += value * threshold
        if reserve_id in account.debt or reserve_id in account.stable:
            owed = sum(reserve_debt(market, account, reserve_id, timestamp))
            total_debt += debt_value(market, owed, unit_price, unit)
    average = weighted // total_collateral if total_collateral else 0
    if total_debt == 0:
        health = MAX_UINT
    elif market.revision >= 9:
        health = half_up(weighted, WAD, total_debt) // 10_000
    else:
        health = half_up(half_up(total_collateral, average, 10_000), WAD, total_debt)
    return AccountData(total_collateral, total_debt, average, health, weighted)
