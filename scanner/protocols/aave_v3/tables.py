"""Frames MARKETS, RESERVES and SKIPPED of a market. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

import polars as pl

from scanner.frames import MARKETS, RESERVES, SKIPPED, conform
from scanner.protocols.aave_v3.detail import AaveDetail, AaveReserve
from scanner.protocols.aave_v3.interest import debt_index_at, income_at
from scanner.units import BPS

__all__ = ["Prices", "market_frame", "reserves_frame", "skipped_frame", "with_terms"]

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


def with_terms(reserves: pl.DataFrame, detail: AaveDetail, timestamp: int) -> pl.DataFrame:
    """Put the parameters of ``detail``, and indexes as they are at a time, into a frame RESERVES of its market."""
    by_key = {reserve.key: reserve for reserve in detail.reserves}
    own = [by_key[key] for key in reserves["reserve"]]
    return reserves.with_columns(
        pl.Series("liquidation_threshold", [_threshold(r) for r in own], reserves.schema["liquidation_threshold"]),
        pl.Series("liquidation_bonus", [_bonus(r) for r in own], reserves.schema["liquidation_bonus"]),
        pl.Series("flags", [_flags(r, detail, timestamp) for r in own], reserves.schema["flags"]),
        pl.Series(
            "liquidity_index", [income_at(r, detail, timestamp) for r in own], reserves.schema["liquidity_index"]
        ),
        pl.Series("debt_index", [debt_index_at(r, detail, timestamp) for r in own], reserves.schema["debt_index"]),
    )


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
        "liquidation_threshold": _threshold(reserve),
        "liquidation_bonus": _bonus(reserve),
        "flags": _flags(reserve, detail, detail.block_timestamp),
        "liquidity_index": reserve.income_now,
        "debt_index": reserve.debt_index_now,
    }


def _threshold(reserve: AaveReserve) -> float:
    return reserve.threshold_bps / BPS


def _bonus(reserve: AaveReserve) -> float:
    return max(reserve.bonus_bps - BPS, 0) / BPS


def _flags(reserve: AaveReserve, detail: AaveDetail, timestamp: int) -> list[str]:
    states = {
        "active": reserve.active,
        "frozen": reserve.frozen,
        "paused": reserve.paused,
        "collateral": reserve.threshold_bps > 0,
        "borrowable": reserve.borrowable,
        "grace": reserve.grace_until >= timestamp,
        "sentinel_down": detail.sentinel_down,
    }
    return [name for name, holds in states.items() if holds]
