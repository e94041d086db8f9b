"""Give our market detail and positions to the reference."""

from __future__ import annotations

from scanner.protocols.aave_v3.detail import COLLATERAL, DEBT, AaveDetail
from scanner.risk.rules import Positions
from tests.reference import aave_v3 as ref

__all__ = ["accounts_of", "market_of"]


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
