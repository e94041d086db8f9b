"""First prices at which Aave v3 allows a liquidation, by brute force. See ``aave_v3``."""

from __future__ import annotations

from collections.abc import Callable

from tests.reference.aave_v3_state import WAD, Account, Market, Prices, account_data, half_up


def liquidatable(account: Account, market: Market, prices: Prices, timestamp: int) -> bool:
    """Say whether HF < 1e18; raises Reverted("Unpriced")."""
    return account_data(account, market, prices, timestamp).health_factor < WAD


def scan_trigger(
    account: Account,
    market: Market,
    prices_at: Callable[[int], Prices],
    start: int,
    stop: int,
    timestamp: int,
) -> int | None:
    """Walk one by one from ``start`` to ``stop`` (both included) and give the first value with HF < 1e18."""
    step = 1 if stop >= start else -1
    for value in range(start, stop + step, step):
        if liquidatable(account, market, prices_at(value), timestamp):
            return value
    return None


def first_trigger(
    account: Account,
    market: Market,
    prices_at: Callable[[int], Prices],
    start: int,
    stop: int,
    timestamp: int,
) -> int | None:
    """Give what ``scan_trigger`` gives, skipping only intervals that are proven to be safe.

    ``prices_at`` must be monotone in each price (either direction).
    """
    stack = [(start, stop)]  # nearest to start on top
    while stack:
        near, far = stack.pop()
        if _proven_safe(account, market, prices_at(near), prices_at(far), timestamp):
            continue
        if near == far:
            return near
        middle = (near + far) // 2 if far > near else -((-near - far) // 2)
        beyond = middle + 1 if far > near else middle - 1
        stack.append((beyond, far))
        stack.append((near, middle))
    return None


def _proven_safe(account: Account, market: Market, at_near: Prices, at_far: Prices, timestamp: int) -> bool:
    """Bound HF from below on an interval by its ends; exact when the ends are equal."""
    if at_near == at_far:
        return not liquidatable(account, market, at_near, timestamp)
    low = {key: min(value, at_far[key]) for key, value in at_near.items()}
    high = {key: max(value, at_far[key]) for key, value in at_near.items()}
    worst, finest = account_data(account, market, low, timestamp), account_data(account, market, high, timestamp)
    if finest.debt_base == 0:
        return True
    if market.revision >= 9:
        return half_up(worst.weighted, WAD, finest.debt_base) // 10_000 >= WAD
    if finest.collateral_base == 0:
        return False
    average = worst.weighted // finest.collateral_base
    return half_up(half_up(worst.collateral_base, average, 10_000), WAD, finest.debt_base) >= WAD
