"""What every output shows alike: totals per status and the order of accounts. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from math import fsum
from typing import Final

import polars as pl
from cchecksum import to_checksum_address_many

from scanner.frames import POSITION_KEY
from scanner.results import FactorInfo, ScanResult
from scanner.units import ADDRESS

__all__ = [
    "NOW",
    "STATUSES",
    "StatusTotal",
    "best_now",
    "eip55",
    "factor_info",
    "nearest_first",
    "nearest_points",
    "pick_account",
    "spell_addresses",
    "status_totals",
]

NOW: Final = "now"  # the path name of seizures at today's answers
STATUSES: Final = ("liquidatable", "blocked", "unpriced")
_WORD_DIGITS: Final = 78  # of 2^256


@dataclass(frozen=True, slots=True)
class StatusTotal:
    """Accounts of one status. Dollars are null when they are unknown for any of them."""

    account_count: int
    collateral_usd: float | None
    debt_usd: float | None
    seizable_collateral_usd: float | None


def factor_info(result: ScanResult, factor: str | None = None) -> FactorInfo | None:
    """Give a factor's reference feed; None when the factor has none."""
    name = result.selected_factor if factor is None else factor
    return next((info for info in result.factors if info.factor == name), None)


def nearest_first(accounts: pl.DataFrame) -> pl.DataFrame:
    """Order accounts by exact health factor, lowest first; without one (unpriced, then no debt) last."""
    wad = pl.col("health_factor_wad").str.zfill(_WORD_DIGITS)
    return accounts.sort(wad, pl.col("status") == "no_debt", *POSITION_KEY, nulls_last=True)


def nearest_points(result: ScanResult) -> pl.DataFrame:
    """Give one liquidation point on the selected factor per account: the nearer, of those that break both ways."""
    points = result.frames["liquidation_points"].filter(pl.col("factor") == result.selected_factor)
    move = pl.col("lower_ratio").log().abs()
    return points.sort(move, nulls_last=True, maintain_order=True).unique(
        POSITION_KEY, keep="first", maintain_order=True
    )


def best_now(result: ScanResult) -> pl.DataFrame:
    """Give the best liquidation call of each account at today's answers, with ``seize_usd`` (null when unknown)."""
    best = result.frames["seizures"].filter((pl.col("factor") == NOW) & pl.col("best"))
    units = result.frames["markets"].select("chain_id", "protocol", "market_id", "base_unit", "quote_usd")
    return best.join(units, on=["chain_id", "protocol", "market_id"], how="left", validate="m:1").with_columns(
        (pl.col("seize_value_raw").cast(pl.Float64) / pl.col("base_unit").cast(pl.Float64) * pl.col("quote_usd")).alias(
            "seize_usd"
        )
    )


def status_totals(result: ScanResult) -> dict[str, StatusTotal]:
    """Total the accounts that are liquidatable, blocked and unpriced now.

    Seizable is the best call of each account at today's answers; an account without a call that the contract
    would take adds nothing. Nothing is known of what unpriced accounts hold.
    """
    seizable = best_now(result).select(*POSITION_KEY, "seize_usd")
    accounts = result.frames["accounts"].filter(pl.col("status").is_in(STATUSES))
    joined = accounts.join(
        seizable.with_columns(pl.lit(value=True).alias("has_call")), on=POSITION_KEY, how="left", validate="1:1"
    )
    return {status: _total(joined.filter(pl.col("status") == status)) for status in STATUSES}


def _total(accounts: pl.DataFrame) -> StatusTotal:
    called = accounts.filter(pl.col("has_call") | (pl.col("status") == "unpriced"))
    return StatusTotal(
        account_count=accounts.height,
        collateral_usd=_sum(accounts["collateral_usd"]),
        debt_usd=_sum(accounts["debt_usd"]),
        seizable_collateral_usd=_sum(called["seize_usd"]),
    )


def _sum(values: pl.Series) -> float | None:
    """Add up; one unknown makes the sum unknown."""
    return None if values.null_count() else fsum(values)


def pick_account(result: ScanResult, account: str) -> pl.DataFrame:
    """Give the rows of frame ACCOUNTS whose owner or position is an address, in any spelling."""
    wanted = account.strip().lower()
    same = (pl.col("owner").str.to_lowercase() == wanted) | (pl.col("position").str.to_lowercase() == wanted)
    return result.frames["accounts"].filter(same).sort(POSITION_KEY)


def spell_addresses(texts: Iterable[str]) -> dict[str, str]:
    """Map each address to its EIP-55 spelling; texts that are no addresses are left out."""
    addresses = [text for text in texts if ADDRESS.fullmatch(text)]
    return dict(zip(addresses, to_checksum_address_many(addresses), strict=True)) if addresses else {}


def eip55(text: str) -> str:
    """Spell every address in a text as people exchange it; anything else stays as it is."""
    spelled = spell_addresses(ADDRESS.findall(text))
    return ADDRESS.sub(lambda found: spelled[found[0]], text)
