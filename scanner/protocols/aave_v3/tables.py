"""Frames MARKETS, RESERVES and SKIPPED of a market. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

import polars as pl

from scanner.frames import MARKETS, RESERVES, SKIPPED, conform
from scanner.protocols.aave_v3.detail import AaveDetail, AaveReserve

__all__ = ["Prices", "market_frame", "reserves_frame", "skipped_frame"]

_QUOTE_SOURCE = "AaveOracle.BASE_CURRENCY is the zero address, which stands for US dollars"


@dataclass(frozen=True, slots=True)
class Prices:
    """What the market's oracle said, by reserve; those without an answer are absent."""

    sources: Mapping[str, str]
    answers: Mapping[str, int]
    updated_at: Mapping[str, int]  # Unix time of the feed's round, where the source has rounds
    quote_usd: float | None  # dollars per unit of account


def market_frame(
    key: Mapping[str, object], name: str, revision: int, base_unit: int, quote_usd: float | None
) -> pl.DataFrame:
    """Give the one row of MARKETS."""
    row = {
        **key,
        "name": name,
        "revision": revision,
        "base_unit": base_unit,
        "quote_usd": quote_usd,
        "quote_usd_source": _QUOTE_SOURCE if quote_usd is not None else None,
    }
    return conform(pl.DataFrame([row], schema=dict(MARKETS)), "markets")


def reserves_frame(key: Mapping[str, object], detail: AaveDetail, prices: Prices) -> pl.DataFrame:
    """Give the frame RESERVES by reserve id; factors are left null."""
    rows = [{**key, **_reserve_row(reserve, detail, prices)} for reserve in detail.reserves]
    return conform(pl.DataFrame(rows, schema=dict(RESERVES)), "reserves")


def skipped_frame(key: Mapping[str, object], reasons: Mapping[str, str]) -> pl.DataFrame:
    """List reserves that have no price, with the reason."""
    rows = [
        {**key, "position": None, "reserve": reserve, "what": "reserve", "reason": reason}
        for reserve, reason in reasons.items()
    ]
    return conform(pl.DataFrame(rows, schema=dict(SKIPPED)), "skipped")


def _reserve_row(reserve: AaveReserve, detail: AaveDetail, prices: Prices) -> dict[str, object]:
    answer = prices.answers.get(reserve.key)
    updated_at = prices.updated_at.get(reserve.key)
    quote = None if answer is None else answer / detail.base_unit
    return {
        "reserve": reserve.key,
        "asset": reserve.asset,
        "symbol": reserve.symbol,
        "decimals": reserve.decimals,
        "price_source": prices.sources.get(reserve.key),
        "answer": None if answer is None else str(answer),
        "answer_at": None if updated_at is None else datetime.fromtimestamp(updated_at, UTC),
        "next_answer": None,
        "next_at": None,
        "price_quote": quote,
        "price_usd": None if quote is None or prices.quote_usd is None else quote * prices.quote_usd,
        "factor": None,
        "liquidation_threshold": reserve.threshold_bps / 10_000,
        "liquidation_bonus": max(reserve.bonus_bps - 10_000, 0) / 10_000,
        "flags": _flags(reserve, detail),
        "liquidity_index": reserve.income_now,
        "debt_index": reserve.debt_index_now,
    }


def _flags(reserve: AaveReserve, detail: AaveDetail) -> list[str]:
    states = {
        "active": reserve.active,
        "frozen": reserve.frozen,
        "paused": reserve.paused,
        "collateral": reserve.threshold_bps > 0,
        "borrowable": reserve.borrowable,
        "grace": reserve.grace_until >= detail.block_timestamp,
        "sentinel_down": detail.sentinel_down,
    }
    return [name for name, holds in states.items() if holds]
