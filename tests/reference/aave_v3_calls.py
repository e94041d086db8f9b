"""``liquidationCall`` of Aave v3, revisions 1 to 11, in plain Python integers. See ``aave_v3``."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace

from tests.reference.aave_v3_state import (
    CLOSE_FACTOR_HF_THRESHOLD,
    MAX_UINT,
    MIN_BASE_MAX_CLOSE_FACTOR_THRESHOLD,
    MIN_LEFTOVER_BASE,
    RAY,
    WAD,
    Account,
    AccountData,
    Market,
    Prices,
    Reverted,
    account_data,
    asset_price,
    atoken_balance,
    ceil,
    debt_ids,
    debt_index,
    debt_value,
    emode_price,
    floor,
    half_up,
    in_emode,
    income,
    price,
    ray_mul,
    reserve_debt,
)


@dataclass(frozen=True)
class Liquidation:
    """What one accepted call moves. Amounts in token units, ``*_scaled`` in scaled units."""

    collateral_id: int
    debt_id: int
    repaid: int  # what the liquidator pays
    received: int  # what the liquidator gets
    fee: int  # by the formula; the treasury's credit is treasury_scaled
    seized: int  # received + fee
    max_debt: int  # what the close factor allows
    branch: str  # half | all | collateral
    debt_burnt_scaled: int  # variable debt of the reserve
    stable_burnt: int
    received_scaled: int  # aTokens burnt or sent to the liquidator
    treasury_scaled: int
    no_collateral_left: bool
    deficits: Mapping[int, int]  # token units left unpaid by reserve, when no collateral is left
    bad_debt_base: int
    seized_base: int
    repaid_base: int


# ---------------------------------------------------------------- liquidationCall


def validate(
    market: Market, account: Account, data: AccountData, collateral_id: int, debt_id: int, owed: int, now: int
) -> None:
    """``ValidationLogic.validateLiquidationCall`` but for self-liquidation."""
    collateral, debt = market.reserves[collateral_id], market.reserves[debt_id]
    if not (collateral.active and debt.active):
        raise Reverted("ReserveInactive")
    if collateral.paused or debt.paused:
        raise Reverted("ReservePaused")
    if market.revision <= 10 and market.sentinel_down and data.health_factor >= CLOSE_FACTOR_HF_THRESHOLD:
        raise Reverted("PriceOracleSentinelCheckFailed")
    if market.revision >= 4 and not (collateral.grace_until < now and debt.grace_until < now):
        raise Reverted("LiquidationGraceSentinelCheckFailed")
    if data.health_factor >= WAD:
        raise Reverted("HealthFactorNotBelowThreshold")
    enabled = collateral_id in account.collateral and (market.revision >= 10 or collateral.threshold != 0)
    if not enabled:
        raise Reverted("CollateralCannotBeLiquidated")
    if owed == 0:
        raise Reverted("SpecifiedCurrencyNotBorrowedByUser")


def percent_div(market: Market, value: int, percentage: int, *, how: Callable[[int, int, int], int]) -> int:
    if percentage == 0:
        raise Reverted("")
    return how(value, 10_000, percentage)


def liquidation(
    account: Account,
    market: Market,
    prices: Prices,
    timestamp: int,
    collateral_id: int,
    debt_id: int,
    debt_to_cover: int = MAX_UINT,
    *,
    receive_atoken: bool = False,
) -> Liquidation:
    """Run ``LiquidationLogic.executeLiquidationCall``; raises Reverted."""
    rev = market.revision
    data = account_data(account, market, prices, timestamp)
    collateral, debt = market.reserves[collateral_id], market.reserves[debt_id]
    variable, stable = reserve_debt(market, account, debt_id, timestamp)
    owed = variable + stable
    validate(market, account, data, collateral_id, debt_id, owed, timestamp)
    scaled_collateral = account.collateral[collateral_id]
    balance = atoken_balance(market, collateral, scaled_collateral, timestamp)

    bonus = collateral.bonus
    if in_emode(market, account, collateral_id):
        bonus = market.emodes[account.emode].bonus
    pc = asset_price(market, account, collateral_id, prices)
    own = emode_price(market, account, prices)
    pd = own if own else price(prices, str(debt_id))  # in e-mode the debt is taken to be in the category
    uc, ud = 10**collateral.decimals, 10**debt.decimals

    # close factor
    if rev <= 6:
        half = data.health_factor > CLOSE_FACTOR_HF_THRESHOLD
        max_debt = half_up(owed, 5_000 if half else 10_000, 10_000)
    else:
        half = False
        max_debt = owed
        owed_base = debt_value(market, owed, pd, ud)
        if (
            balance * pc // uc >= MIN_BASE_MAX_CLOSE_FACTOR_THRESHOLD
            and owed_base >= MIN_BASE_MAX_CLOSE_FACTOR_THRESHOLD
            and data.health_factor > CLOSE_FACTOR_HF_THRESHOLD
        ):
            total_half = half_up(data.debt_base, 5_000, 10_000)
            if owed_base > total_half:
                half = True
                max_debt = total_half * ud // pd
    to_liquidate = max_debt if debt_to_cover > max_debt else debt_to_cover

    # _calculateAvailableCollateralToLiquidate
    base_collateral = (pd * to_liquidate * uc) // (pc * ud)
    max_collateral = base_collateral * bonus // 10_000 if rev >= 11 else half_up(base_collateral, bonus, 10_000)
    branch = "half" if half else "all"
    if max_collateral > balance:
        branch = "collateral"
        seized = balance
        worth = (pc * seized * ud) // (pd * uc)
        needed = percent_div(market, worth, bonus, how=ceil if rev >= 9 else half_up)
    else:
        seized = max_collateral
        needed = to_liquidate
    fee = 0
    if collateral.fee != 0:
        if rev >= 11:
            fee = ceil(seized - percent_div(market, seized, bonus, how=floor), collateral.fee, 10_000)
        else:
            fee = half_up(seized - percent_div(market, seized, bonus, how=half_up), collateral.fee, 10_000)
    received = seized - fee

    if rev >= 7 and needed < owed and received + fee < balance:
        debt_left = debt_value(market, owed - needed, pd, ud)
        collateral_left = (balance - received - fee) * pc // uc
        if not (debt_left >= MIN_LEFTOVER_BASE and collateral_left >= MIN_LEFTOVER_BASE):
            raise Reverted("MustNotLeaveDust")

    # has the account any collateral left?
    income_now = income(collateral, timestamp)
    divide = ceil if rev >= 9 else half_up
    received_scaled = divide(received, RAY, income_now)
    fee_scaled = divide(fee, RAY, income_now)
    seized_base = seized * pc // uc
    if rev >= 11:
        consumed = min(received_scaled + fee_scaled, scaled_collateral)
        none_left = floor(consumed, income_now, RAY) * pc // uc == data.collateral_base
    else:
        none_left = seized_base == data.collateral_base

    # _burnDebtTokens
    index_now = debt_index(market, debt, timestamp)
    stable_burnt = 0
    burn = owed if rev >= 7 and none_left else needed
    if rev <= 4 and variable < needed:
        burn = variable
        stable_burnt = needed - variable
    debt_burnt_scaled = floor(burn, RAY, index_now) if rev >= 9 else half_up(burn, RAY, index_now)
    if debt_burnt_scaled == 0 and not (stable_burnt and burn == 0):
        raise Reverted("InvalidBurnAmount")
    if received_scaled == 0 and not receive_atoken:
        raise Reverted("InvalidBurnAmount")
    if received_scaled > scaled_collateral or debt_burnt_scaled > account.debt.get(debt_id, 0):
        raise Reverted("Panic")
    treasury_scaled = min(fee_scaled, scaled_collateral - received_scaled)
    if rev <= 8 and fee_scaled > treasury_scaled:
        treasury_scaled = half_up(ray_mul(treasury_scaled, income_now), RAY, income_now)

    # _burnBadDebt
    deficits: dict[int, int] = {}
    bad_debt_base = 0
    if none_left:
        if owed - needed:
            deficits[debt_id] = owed - needed
            bad_debt_base += debt_value(market, owed - needed, pd, ud)
        for other in debt_ids(account):
            if other == debt_id or (rev >= 7 and not market.reserves[other].active):
                continue
            left = sum(reserve_debt(market, account, other, timestamp))
            if left:
                deficits[other] = left
                unit_price = asset_price(market, account, other, prices)
                bad_debt_base += debt_value(market, left, unit_price, 10 ** market.reserves[other].decimals)
    return Liquidation(
        collateral_id=collateral_id,
        debt_id=debt_id,
        repaid=needed,
        received=received,
        fee=fee,
        seized=seized,
        max_debt=max_debt,
        branch=branch,
        debt_burnt_scaled=debt_burnt_scaled,
        stable_burnt=stable_burnt,
        received_scaled=received_scaled,
        treasury_scaled=treasury_scaled,
        no_collateral_left=none_left,
        deficits=deficits,
        bad_debt_base=bad_debt_base,
        seized_base=seized_base,
        repaid_base=debt_value(market, needed, pd, ud),
    )


def largest(
    account: Account, market: Market, prices: Prices, timestamp: int, collateral_id: int, debt_id: int
) -> Liquidation:
    """Give the largest accepted call of a pair, by bisection where the most would leave dust; raises Reverted."""

    def leaves_dust(amount: int) -> bool:
        try:
            liquidation(account, market, prices, timestamp, collateral_id, debt_id, amount)
        except Reverted as reverted:
            return reverted.name == "MustNotLeaveDust"
        return False

    if not leaves_dust(MAX_UINT):
        return liquidation(account, market, prices, timestamp, collateral_id, debt_id)
    high = sum(reserve_debt(market, account, debt_id, timestamp))
    if leaves_dust(0):
        raise Reverted("MustNotLeaveDust")
    low = 0  # leaves none
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if leaves_dust(middle) else (middle, high)
    done = liquidation(account, market, prices, timestamp, collateral_id, debt_id, low)
    return replace(done, branch="dust")


def pairs(
    account: Account, market: Market, prices: Prices, timestamp: int
) -> Iterator[tuple[int, int, Liquidation | Reverted]]:
    """Try every (collateral, debt) pair with the most that is accepted, in order of collateral, then debt."""
    for collateral_id in sorted(account.collateral):
        for debt_id in debt_ids(account):
            try:
                yield collateral_id, debt_id, largest(account, market, prices, timestamp, collateral_id, debt_id)
            except Reverted as reverted:
                yield collateral_id, debt_id, reverted


def best(account: Account, market: Market, prices: Prices, timestamp: int) -> Liquidation | None:
    """Give the accepted call with the largest seized value; ties: lowest collateral id, then lowest debt id."""
    done = [o for _, _, o in pairs(account, market, prices, timestamp) if isinstance(o, Liquidation)]
    return max(done, key=lambda o: (o.seized_base, -o.collateral_id, -o.debt_id)) if done else None
