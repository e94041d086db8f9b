"""Hold what was read of a market against storage that is proven under the block's state root.

Proven: that the root names this pool and oracle, the revision, the list of reserves, their configuration, indexes,
rates and tokens, e-modes, total debt, and of accounts configuration, e-mode and scaled balances. Not proven: prices,
a sentinel's answer, symbols, and who the accounts are: that follows from their debts adding up to the proven total.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from secrets import SystemRandom
from typing import Final, Literal

import polars as pl

from scanner.chain.proofs import Comparison, ProvenState, mapping_slot
from scanner.chain.provable import Provable
from scanner.protocols.aave_v3.account_proofs import compare_accounts, compare_skipped
from scanner.protocols.aave_v3.decode import configuration
from scanner.protocols.aave_v3.detail import AaveDetail, AaveReserve, EMode
from scanner.protocols.aave_v3.interest import compounded_interest, linear_interest, stable_balance
from scanner.protocols.aave_v3.storage import (
    LISTED,
    PoolStorage,
    TokenStorage,
    as_address,
    find_tokens,
    listed_key,
    root_base,
)
from scanner.protocols.interface import Market
from scanner.results import ProofReport, ReserveProof
from scanner.risk.rules import Positions
from scanner.units import RAY, mul_div_half_up

__all__ = ["SAMPLE", "prove_state"]

SAMPLE: Final = 50
"""Accounts that are proven where not all are."""

_COMPARED: Final = (
    ("ltv_bps", "loan to value"),
    ("threshold_bps", "liquidation threshold"),
    ("bonus_bps", "liquidation bonus"),
    ("protocol_fee_bps", "protocol fee"),
    ("decimals", "decimals"),
    ("active", "active flag"),
    ("frozen", "frozen flag"),
    ("paused", "paused flag"),
    ("borrowable", "borrowing flag"),
    ("emode_category", "e-mode category"),
    ("atoken", "aToken"),
    ("vtoken", "variable debt token"),
    ("stoken", "stable debt token"),
    ("liquidity_index", "liquidity index"),
    ("liquidity_rate", "liquidity rate"),
    ("debt_index", "variable borrow index"),
    ("debt_rate", "variable borrow rate"),
    ("updated_at", "time of the last update"),
    ("income_now", "liquidity index at the block's time"),
    ("debt_index_now", "variable borrow index at the block's time"),
    ("grace_until", "end of the grace period"),
)
_CATEGORIES: Final = range(1, 256)


def prove_state(
    chain: Provable,
    market: Market,
    detail: AaveDetail,
    positions: Positions,
    totals: Sequence[ReserveProof],
    how: Literal["sample", "all"],
) -> ProofReport:
    """Prove the market and ``all`` accounts, or a ``sample`` drawn by a seed that nobody can know beforehand.

    Raises ProofMismatch where what was read differs or a proof is none, ChainError where nothing can be proven.
    """
    state = ProvenState(chain)
    compared = Comparison(chain.hosts, state.block.number)
    _root(state, compared, market, detail)
    pool = PoolStorage(state, detail.pool)
    _market(state, compared, market, detail, pool)
    tokens = _tokens(state, detail)
    _totals(state, compared, detail, tokens, totals)
    compare_skipped(state, compared, market, detail, pool, tokens, positions.skipped["position"].to_list())
    count = positions.accounts.height
    if how == "sample" and count > SAMPLE:
        rows = sorted(SystemRandom().sample(range(count), SAMPLE))
        positions = positions.take(pl.Series(rows, dtype=pl.UInt32))
    compare_accounts(state, compared, detail, pool, tokens, positions)
    return ProofReport(how=how, accounts=positions.accounts.height, of=count, values=compared.values)


def _root(state: ProvenState, compared: Comparison, market: Market, detail: AaveDetail) -> None:
    base = root_base(state, market.market_id)
    slots = [mapping_slot(listed_key(name), base) for name in LISTED]
    words = state.words({market.market_id: slots, detail.pool: [0]})
    for what, slot, read in zip(("pool", "price oracle"), slots, (detail.pool, detail.oracle), strict=True):
        compared.same(what, market.market_id, read, as_address(words[market.market_id][slot]))
    compared.settle()
    compared.same("revision", f"pool {detail.pool}", market.revision, words[detail.pool][0])
    compared.settle()


def _market(state: ProvenState, compared: Comparison, market: Market, detail: AaveDetail, pool: PoolStorage) -> None:
    """Compare the list of reserves, each reserve and each e-mode category."""
    compared.same("assets", market.name, {r.id: r.asset for r in detail.reserves}, dict(pool.assets))
    compared.settle()
    slots = {reserve.id: pool.reserve(reserve.asset) for reserve in detail.reserves}
    modes = {category: pool.emode(category) for category in _CATEGORIES}
    wanted = [slot for own in slots.values() for slot in own]
    wanted += [first + offset for first in modes.values() for offset in (0, 2)]
    words = state.words({detail.pool: wanted})[detail.pool]
    for reserve in detail.reserves:
        proven = _proven(reserve, [words[slot] for slot in slots[reserve.id]], detail, state.block.timestamp)
        compared.same("id", reserve.symbol, reserve.id, proven.id)
        for field, what in _COMPARED:
            compared.same(what, reserve.symbol, getattr(reserve, field), getattr(proven, field))
    for category, first in modes.items():
        read = detail.emodes.get(category) or EMode(category, 0, 0, 0, None, 0, 0, 0, "")
        proven_mode = _proven_mode(read, words[first], words[first + 2], detail)
        for field in ("ltv_bps", "threshold_bps", "bonus_bps", "price_source"):
            compared.same(field, f"e-mode {category}", getattr(read, field), getattr(proven_mode, field))
        if category in detail.emodes:
            for field in ("collateral_bitmap", "borrowable_bitmap", "ltvzero_bitmap"):
                compared.same(field, f"e-mode {category}", getattr(read, field), getattr(proven_mode, field))
    compared.settle()


def _proven(read: AaveReserve, words: Sequence[int], detail: AaveDetail, now: int) -> AaveReserve:
    """Give the reserve as its proven words say (DataTypes.ReserveData); indexes now follow from those stored."""
    config, half = configuration(words[0]), 2**128
    liquidity_index, liquidity_rate = words[1] % half, words[1] // half
    debt_index, debt_rate = words[2] % half, words[2] // half
    updated_at = words[3] >> 128 & 2**40 - 1
    elapsed = max(now - updated_at, 0)
    legacy = detail.legacy_emode
    return replace(
        read,
        id=words[3] >> 168 & 0xFFFF,
        ltv_bps=config.ltv_bps,
        threshold_bps=config.threshold_bps,
        bonus_bps=config.bonus_bps,
        protocol_fee_bps=config.protocol_fee_bps,
        decimals=config.decimals,
        active=config.active,
        frozen=config.frozen,
        paused=config.paused,
        borrowable=config.borrowable,
        emode_category=config.emode_category if legacy else 0,
        atoken=as_address(words[4]),
        stoken=as_address(words[5]) if legacy and words[5] else None,
        vtoken=as_address(words[6]),
        liquidity_index=liquidity_index,
        liquidity_rate=liquidity_rate,
        debt_index=debt_index,
        debt_rate=debt_rate,
        updated_at=updated_at,
        income_now=mul_div_half_up(linear_interest(liquidity_rate, elapsed), liquidity_index, RAY),
        debt_index_now=mul_div_half_up(compounded_interest(debt_rate, elapsed, detail.revision), debt_index, RAY),
        grace_until=words[3] >> 184 & 2**40 - 1 if detail.revision >= 4 else 0,
    )


def _proven_mode(read: EMode, terms: int, bitmaps: int, detail: AaveDetail) -> EMode:
    proven = replace(
        read,
        ltv_bps=terms & 0xFFFF,
        threshold_bps=terms >> 16 & 0xFFFF,
        bonus_bps=terms >> 32 & 0xFFFF,
    )
    if detail.legacy_emode:
        # an own price of 0 counts for none, and prices are not proven
        return replace(proven, price_source=as_address(terms >> 48) if read.price_source else None)
    return replace(
        proven,
        collateral_bitmap=terms >> 48 & 2**128 - 1,
        borrowable_bitmap=bitmaps % 2**128,
        ltvzero_bitmap=bitmaps >> 128 if detail.revision >= 10 else 0,
    )


def _tokens(state: ProvenState, detail: AaveDetail) -> dict[str, TokenStorage]:
    decimals: dict[str, int] = {}
    for reserve in detail.reserves:
        decimals |= {token: reserve.decimals for token in (reserve.atoken, reserve.vtoken, reserve.stoken) if token}
    return find_tokens(state, decimals)


def _totals(
    state: ProvenState,
    compared: Comparison,
    detail: AaveDetail,
    tokens: Mapping[str, TokenStorage],
    totals: Sequence[ReserveProof],
) -> None:
    """Compare the debt that each token counts; without totals (some accounts only) there is nothing to compare."""
    reserves = {reserve.key: reserve for reserve in detail.reserves}
    now = state.block.timestamp
    for total in totals:
        reserve = reserves[total.reserve]
        if total.proof == "exact":
            supply = tokens[reserve.vtoken].supply
        else:
            token = tokens[reserve.stoken or ""]
            supply = stable_balance(token.supply, *token.stable_terms, now, detail.revision) if token.supply else 0
        compared.same("total debt", f"{reserve.symbol} ({total.proof})", total.scaled_total, supply)
    compared.settle()
