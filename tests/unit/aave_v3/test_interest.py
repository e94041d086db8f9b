"""Indexes at a timestamp, against recorded answers of the contract and of the official SDK."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal, localcontext

import pytest

from scanner.protocols.aave_v3.amounts import leg_amounts
from scanner.protocols.aave_v3.detail import KNOWN_REVISIONS
from scanner.protocols.aave_v3.interest import compounded_interest, debt_index_at, income_at, stable_balance
from scanner.protocols.aave_v3.valuation import health_of
from scanner.risk.rules import Answers
from scanner.units import RAY, mul_div_down, mul_div_half_up
from tests.reference import aave_v3 as ref
from tests.reference.convert import detail_of, positions_of
from tests.unit.aave_v3.shared import recorded


@pytest.mark.parametrize("revision", sorted(KNOWN_REVISIONS))
def test_indexes_equal_the_reference_at_any_time(revision: int) -> None:
    stored = ref.Reserve(
        0,
        liquidity_index=1_179_485_241_007_335_181_253_595_927,
        liquidity_rate=108_902_314_058_688_813_236_646_641,
        debt_index=1_250_000_000_000_000_000_000_000_001,
        debt_rate=3 * RAY,
        updated_at=1_000_000,
    )
    market = ref.Market(revision, {0: stored})
    detail = replace(detail_of(market), block_timestamp=-1)

    for seconds in (0, 1, 2, 3, 12, 86_400, 31_536_000, 20 * 31_536_000):
        now = 1_000_000 + seconds
        assert income_at(detail.reserves[0], detail, now) == ref.income(stored, now)
        assert debt_index_at(detail.reserves[0], detail, now) == ref.debt_index(market, stored, now)
        assert stable_balance(10**24 + 1, RAY // 7, 1_000_000, now, revision) == ref.stable_debt(
            market, (10**24 + 1, RAY // 7, 1_000_000), now
        )


def test_the_contracts_own_index_counts_at_its_block() -> None:
    detail = detail_of(ref.Market(10, {0: ref.Reserve(0)}))
    odd = replace(detail.reserves[0], income_now=7 * RAY, debt_index_now=9 * RAY)

    assert income_at(odd, detail, detail.block_timestamp) == 7 * RAY
    assert debt_index_at(odd, detail, detail.block_timestamp) == 9 * RAY


def test_time_does_not_run_backwards() -> None:
    detail = detail_of(ref.Market(10, {0: ref.Reserve(0, updated_at=100)}))

    with pytest.raises(ValueError, match="before the last update"):
        income_at(detail.reserves[0], detail, 99)


def test_compounding_changed_with_v34() -> None:
    rate, seconds = RAY // 2, 31_536_000

    binomial, exponential = (compounded_interest(rate, seconds, revision) for revision in (7, 8))

    assert exponential == RAY + RAY // 2 + RAY // 8 + RAY // 48 + 1  # the last product is rounded half-up
    assert 0 < exponential - binomial < RAY // 10**5


def test_recorded_reserves_of_2026_accrue_as_the_pool_answered() -> None:
    case = recorded("fork-cache-2026/aave_reserves.json")
    now = case["block_timestamp"]
    for reserve in case["reserves"]:
        stored = ref.Reserve(
            reserve["id_guess"],
            liquidity_index=int(reserve["liquidityIndex"]),
            liquidity_rate=int(reserve["currentLiquidityRate"]),
            updated_at=reserve["lastUpdateTimestamp"],
        )
        detail = replace(detail_of(ref.Market(9, {stored.id: stored})), block_timestamp=-1)

        income = income_at(detail.reserves[0], detail, now)

        assert income == int(reserve["evm_getReserveNormalizedIncome"])
        for holder in reserve["holders"]:  # live, the half-up of earlier revisions would give one more
            scaled = int(holder["scaled128"])
            assert mul_div_down(scaled, income, RAY) == int(holder["evm_balanceOf"])
            assert mul_div_half_up(scaled, income, RAY) == int(holder["py_half"])


def test_a_recorded_user_of_2021_is_as_healthy_as_the_official_sdk_says() -> None:
    case = recorded("aave-sdk-2021-user/case.json")
    now, wei = case["currentTimestamp"], 10**18
    reserves, prices, collateral, debt = {}, {}, {}, {}
    for i, entry in enumerate(case["rawUserReserves"]):
        data = entry["reserve"]
        reserves[i] = ref.Reserve(
            i,
            decimals=data["decimals"],
            threshold=int(data["reserveLiquidationThreshold"]),
            bonus=int(data["reserveLiquidationBonus"]),
            liquidity_index=int(data["liquidityIndex"]),
            liquidity_rate=int(data["liquidityRate"]),
            debt_index=int(data["variableBorrowIndex"]),
            debt_rate=int(data["variableBorrowRate"]),
            updated_at=data["lastUpdateTimestamp"],
        )
        prices[str(i)] = int(data["priceInMarketReferenceCurrency"])
        collateral[i], debt[i] = int(entry["scaledATokenBalance"]), int(entry["scaledVariableDebt"])
    account = ref.Account(collateral, {i: scaled for i, scaled in debt.items() if scaled})
    detail = replace(detail_of(ref.Market(9, reserves)), base_unit=wei, block_timestamp=-1)
    positions = positions_of([account])

    (row,) = health_of(leg_amounts(positions, detail, now), positions, detail, Answers(prices)).rows(named=True)

    expected = case["expected"]
    with localcontext() as context:
        context.prec = 40
        for ours, theirs in (
            (Decimal(row["collateral_raw"]) / wei, expected["totalCollateralMarketReferenceCurrency"]),
            (Decimal(row["debt_raw"]) / wei, expected["totalBorrowsMarketReferenceCurrency"]),
            (Decimal(row["health_factor_wad"]) / wei, expected["healthFactor"]),
        ):
            assert abs(ours / Decimal(theirs) - 1) < Decimal("1e-9")  # the SDK keeps fractions of a token unit


@pytest.mark.parametrize("name", ["aave-v3-ethereum-17645934", "spark-ethereum-17772457"])
def test_recorded_positions_have_the_recorded_ratio(name: str) -> None:
    cases = {case["name"]: case for case in recorded("defyes-pinned-positions/cases.json")["cases"]}
    case = cases[name]
    ((held, owed),) = zip(case["collaterals"], case["debts"], strict=True)
    threshold = round(10_000 / Decimal(case["liquidation_ratio_pct"]) * 100)
    decimals = [18, 8 if owed["symbol"] == "WBTC" else 18]
    reserves = {i: ref.Reserve(i, decimals=d, threshold=threshold, updated_at=5) for i, d in enumerate(decimals)}
    prices = {str(i): int(Decimal(leg["price_usd"]) * 10**8) for i, leg in enumerate((held, owed))}
    amounts = [int(Decimal(leg["amount"]) * 10**d) for leg, d in zip((held, owed), decimals, strict=True)]
    detail = detail_of(ref.Market(1, reserves))
    positions = positions_of([ref.Account({0: amounts[0]}, {1: amounts[1]})])

    (row,) = health_of(leg_amounts(positions, detail, 5), positions, detail, Answers(prices)).rows(named=True)

    assert float(row["collateral_raw"] / row["debt_raw"]) == pytest.approx(
        float(case["collateral_ratio_pct"]) / 100, rel=1e-13
    )
    assert row["health_factor"] == pytest.approx(float(case["derived"]["health_factor_from_ratio"]), rel=1e-9)
