"""What the reference expects of a seizures frame, and the frames that our code needs to make one."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace

import polars as pl

from scanner.protocols.aave_v3.amounts import leg_amounts
from scanner.protocols.aave_v3.seizures import seizures
from scanner.protocols.aave_v3.valuation import valued
from scanner.risk.rules import Answers
from tests.reference import aave_v3 as ref
from tests.reference.aave_v3_random import NOW
from tests.reference.convert import detail_of, positions_of

BLOCKER_OF = {
    "ReserveInactive": "inactive",
    "ReservePaused": "paused",
    "PriceOracleSentinelCheckFailed": "sentinel",
    "LiquidationGraceSentinelCheckFailed": "grace",
    "CollateralCannotBeLiquidated": "zero_threshold",
    "MustNotLeaveDust": "dust",
    "InvalidBurnAmount": "dust",
}


def health_of(
    accounts: Sequence[ref.Account], market: ref.Market, prices: Sequence[Mapping[str, int]], timestamp: int = NOW
) -> pl.DataFrame:
    data = [ref.account_data(a, market, p, timestamp) for a, p in zip(accounts, prices, strict=True)]
    return pl.DataFrame(
        {
            "row": range(len(accounts)),
            "collateral_raw": [d.collateral_base for d in data],
            "debt_raw": [d.debt_base for d in data],
            "health_factor_wad": [str(d.health_factor) for d in data],
            "liquidatable": [d.health_factor < ref.WAD for d in data],
        },
        schema={
            "row": pl.UInt32,
            "collateral_raw": pl.Int128,
            "debt_raw": pl.Int128,
            "health_factor_wad": pl.String,
            "liquidatable": pl.Boolean,
        },
    ).with_columns(pl.col("collateral_raw", "debt_raw").cast(pl.Decimal(38, 0)))


def ours(
    accounts: Sequence[ref.Account], market: ref.Market, prices: Mapping[str, int], timestamp: int = NOW
) -> pl.DataFrame:
    health = health_of(accounts, market, [prices] * len(accounts), timestamp)
    detail, answers = detail_of(market), Answers(dict(prices))
    legs = valued(leg_amounts(positions_of(accounts), detail, timestamp), detail, answers)
    return seizures(detail, timestamp, legs, answers, health)


def opened(market: ref.Market) -> ref.Market:
    """Give the market with every gate open, to value what a blocked call would move."""
    reserves = {i: replace(r, active=True, paused=False, grace_until=0) for i, r in market.reserves.items()}
    return replace(market, reserves=reserves, sentinel_down=False)


def expected_row(
    row: int, account: ref.Account, market: ref.Market, prices: Mapping[str, int], collateral_id: int, debt_id: int
) -> dict[str, object]:
    """Describe one pair by the reference, in the terms of our frame."""
    blocked, done = None, None
    try:
        done = ref.largest(account, market, prices, NOW, collateral_id, debt_id)
    except ref.Reverted as reverted:
        no_bonus = market.revision >= 10 and reverted.name in ("", "InvalidBurnAmount", "MustNotLeaveDust")
        dead = market.reserves[collateral_id].bonus == 0 and not ref.in_emode(market, account, collateral_id)
        blocked = "zero_threshold" if no_bonus and dead else BLOCKER_OF[reverted.name]
    if blocked in ("inactive", "paused", "sentinel", "grace"):
        try:
            done = ref.largest(account, opened(market), prices, NOW, collateral_id, debt_id)
        except ref.Reverted:
            done = None
    inactive = [i for i in ref.debt_ids(account) if i != debt_id and not market.reserves[i].active]
    bad_debt = done.bad_debt_base if done else 0
    if done and done.no_collateral_left and market.revision >= 7 and blocked:
        for i in inactive:  # `opened` made them active
            amount = sum(ref.reserve_debt(market, account, i, NOW))
            bad_debt -= ref.debt_value(market, amount, prices[str(i)], 10 ** market.reserves[i].decimals)
    return {
        "row": row,
        "debt_reserve": str(debt_id),
        "collateral_reserve": str(collateral_id),
        "repay_raw": done.repaid if done else 0,
        "seize_raw": done.seized if done else 0,
        "fee_raw": done.fee if done else 0,
        "bad_debt_raw": bad_debt,
        "repay_value_raw": done.repaid_base if done else 0,
        "seize_value_raw": done.seized_base if done else 0,
        "branch": done.branch if done else None,
        "blocked_by": blocked,
    }


def expected(accounts: Sequence[ref.Account], market: ref.Market, prices: Mapping[str, int]) -> list[dict[str, object]]:
    rows = []
    for row, account in enumerate(accounts):
        if not ref.liquidatable(account, market, prices, NOW):
            continue
        for collateral_id in sorted(account.collateral):
            if ref.atoken_balance(market, market.reserves[collateral_id], account.collateral[collateral_id], NOW) == 0:
                continue
            for debt_id in ref.debt_ids(account):
                if sum(ref.reserve_debt(market, account, debt_id, NOW)):
                    rows.append(expected_row(row, account, market, prices, collateral_id, debt_id))
    return rows


def assert_equal(frame: pl.DataFrame, rows: list[dict[str, object]]) -> Counter[str]:
    seen: Counter[str] = Counter()
    assert frame.height == len(rows)
    for got, want in zip(frame.iter_rows(named=True), rows, strict=True):
        for name, value in want.items():
            if name == "branch" and value is None:
                continue
            assert got[name] == value, (name, got, want)
        seen[str(got["blocked_by"] or got["branch"])] += 1
        seen["bad debt"] += got["bad_debt_raw"] > 0
    return seen
