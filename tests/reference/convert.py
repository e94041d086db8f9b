"""Our market detail and positions as the reference has them, and back."""

from __future__ import annotations

from collections.abc import Sequence

import polars as pl

from scanner.frames import SKIPPED
from scanner.protocols.aave_v3.amounts import STATE
from scanner.protocols.aave_v3.detail import COLLATERAL, DEBT, STABLE_DEBT, AaveDetail, AaveReserve, EMode
from scanner.risk.rules import Positions
from tests.reference import aave_v3 as ref
from tests.reference.aave_v3_random import NOW

__all__ = ["accounts_of", "detail_of", "market_of", "positions_of"]


def market_of(detail: AaveDetail) -> ref.Market:
    """Give the market as the reference wants it; prices are ``Market.answers`` as they are."""
    reserves = {
        r.id: ref.Reserve(
            r.id,
            r.decimals,
            threshold=r.threshold_bps,
            bonus=r.bonus_bps,
            fee=r.protocol_fee_bps,
            liquidity_index=r.liquidity_index,
            liquidity_rate=r.liquidity_rate,
            debt_index=r.debt_index,
            debt_rate=r.debt_rate,
            updated_at=r.updated_at,
            active=r.active,
            paused=r.paused,
            grace_until=r.grace_until,
            emode_category=r.emode_category,
        )
        for r in detail.reserves
    }
    emodes = {
        m.id: ref.EMode(m.id, m.threshold_bps, m.bonus_bps, m.collateral_bitmap, m.price_source is not None)
        for m in detail.emodes.values()
    }
    return ref.Market(detail.revision, reserves, emodes, detail.sentinel_down)


def accounts_of(positions: Positions) -> list[ref.Account]:
    """Give the accounts in row order."""
    sides: list[tuple[dict[int, int], dict[int, int], dict[int, tuple[int, int, int]]]]
    sides = [({}, {}, {}) for _ in range(positions.accounts.height)]
    for leg in positions.state.iter_rows(named=True):
        collateral, debt, stable = sides[leg["row"]]
        if leg["side"] == COLLATERAL:
            collateral[leg["reserve_id"]] = leg["scaled"]
        elif leg["side"] == DEBT:
            debt[leg["reserve_id"]] = leg["scaled"]
        else:
            stable[leg["reserve_id"]] = (leg["scaled"], leg["rate"], leg["updated"])
    return [
        ref.Account(*parts, emode) for parts, emode in zip(sides, positions.accounts["emode_category"], strict=True)
    ]


def detail_of(market: ref.Market) -> AaveDetail:
    """Give the reference's market as ours."""
    reserves = tuple(
        AaveReserve(
            id=r.id,
            asset=f"0xa{r.id:039x}",
            symbol=f"R{r.id}",
            decimals=r.decimals,
            atoken="",
            vtoken="",
            stoken=None,
            ltv_bps=0,
            threshold_bps=r.threshold,
            bonus_bps=r.bonus,
            protocol_fee_bps=r.fee,
            active=r.active,
            frozen=False,
            paused=r.paused,
            borrowable=True,
            emode_category=r.emode_category,
            liquidity_index=r.liquidity_index,
            liquidity_rate=r.liquidity_rate,
            debt_index=r.debt_index,
            debt_rate=r.debt_rate,
            updated_at=r.updated_at,
            income_now=ref.income(r, NOW),
            debt_index_now=ref.debt_index(market, r, NOW),
            grace_until=r.grace_until,
        )
        for r in market.reserves.values()
    )
    emodes = {
        c: EMode(c, 0, m.threshold, m.bonus, "0xsource" if m.price_source else None, m.collateral_bitmap, 0, 0, "")
        for c, m in market.emodes.items()
    }
    return AaveDetail("", "", market.revision, 10**8, reserves, emodes, market.sentinel_down, NOW)


def positions_of(accounts: Sequence[ref.Account]) -> Positions:
    """Give the reference's accounts as ours, in this order."""
    rows: list[tuple[int, str, int, int, int, int, int]] = []
    for row, account in enumerate(accounts):
        rows += [(row, str(i), i, COLLATERAL, scaled, 0, 0) for i, scaled in account.collateral.items()]
        rows += [(row, str(i), i, DEBT, scaled, 0, 0) for i, scaled in account.debt.items()]
        rows += [(row, str(i), i, STABLE_DEBT, *stable) for i, stable in account.stable.items()]
    names = [f"0x{row:040x}" for row in range(len(accounts))]
    frame = pl.DataFrame(
        {"row": range(len(accounts)), "position": names, "owner": names, "emode_category": [a.emode for a in accounts]},
        schema={"row": pl.UInt32, "position": pl.String, "owner": pl.String, "emode_category": pl.Int64},
    )
    return Positions(frame, pl.DataFrame(rows, schema=STATE, orient="row"), pl.DataFrame(schema=dict(SKIPPED)))
