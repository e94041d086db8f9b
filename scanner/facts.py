"""What can be compared of a scan, whether it was just made or is a document of an earlier one. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from math import fsum
from typing import Final, Literal

import polars as pl

from scanner.frames import POSITION_KEY
from scanner.results import MarketSummary, ScanResult, Snapshot
from scanner.views import StatusTotal, best_now, status_totals

__all__ = ["ACCOUNTS", "BANDS", "HURT", "Facts", "Fault", "facts_of", "shortfall_usd", "total_usd"]

HURT: Final = ("liquidatable", "blocked")
"""Statuses of accounts whose health factor is below one."""

ACCOUNTS: Final = pl.Schema(
    {
        "chain_id": pl.Int64,
        "protocol": pl.String,
        "market_id": pl.String,  # this and the next two: lower case
        "position": pl.String,
        "account": pl.String,
        "status": pl.String,
        "health_factor_wad": pl.String,
        "health_factor": pl.Float64,
        "collateral_usd": pl.Float64,
        "debt_usd": pl.Float64,
        "seizable_usd": pl.Float64,  # by the best call now; null where there is none, or without a price in dollars
    }
)
BANDS: Final = pl.Schema(
    {
        "factor": pl.String,
        "direction": pl.String,
        "band": pl.Int64,
        "lower_bps": pl.Int64,
        "upper_bps": pl.Int64,
        "lower_price_usd": pl.Float64,
        "upper_price_usd": pl.Float64,
        "seizable_collateral_usd": pl.Float64,
        "account_count": pl.Int64,
    }
)


@dataclass(frozen=True, slots=True)
class Fault:
    """Why numbers cannot be trusted: debt or accounts are missing, or differ from the contract."""

    kind: Literal["incomplete", "mismatch"]
    text: str


@dataclass(frozen=True)
class Facts:
    """A scan by its numbers. None is unknown: a scan document names no accounts, an accounts document has no bands."""

    name: str  # what a reader knows it by: "block 17", "scan.json"
    snapshot: Snapshot
    markets: tuple[str, ...]  # "aave-v3 0x..."
    account_count: int
    collateral_usd: float | None
    debt_usd: float | None
    totals: Mapping[str, StatusTotal]
    faults: tuple[Fault, ...] = ()  # why the numbers cannot be trusted
    verified: int | None = None  # accounts compared with the contract
    unpriced_debt_usd: float | None = None  # debt of accounts that cannot be valued; None where its price is missing
    prices: Mapping[str, float | None] = field(default_factory=dict)  # dollars by factor
    selected_factor: str = ""
    accounts: pl.DataFrame | None = None
    bands: pl.DataFrame | None = None


def facts_of(result: ScanResult, name: str = "") -> Facts:
    """Gather the facts of a scan."""
    seizable = best_now(result).select(*POSITION_KEY, pl.col("seize_usd").alias("seizable_usd"))
    rows = result.frames["accounts"].join(seizable, on=POSITION_KEY, how="left", validate="1:1")
    return Facts(
        name=name or f"block {result.snapshot.block_number}",
        snapshot=result.snapshot,
        markets=tuple(f"{market.protocol} {market.market_id.lower()}" for market in result.markets),
        account_count=sum(market.account_count for market in result.markets),
        collateral_usd=total_usd([market.collateral_usd for market in result.markets]),
        debt_usd=total_usd([market.debt_usd for market in result.markets]),
        totals=status_totals(result),
        faults=tuple(fault for market in result.markets for fault in _faults(market)),
        verified=sum(market.verified_accounts for market in result.markets),
        unpriced_debt_usd=_unpriced_debt(result),
        prices={info.factor: info.price_usd for info in result.factors},
        selected_factor=result.selected_factor,
        accounts=rows.with_columns(pl.col("owner").alias("account")).select(ACCOUNTS.names()).cast(ACCOUNTS),
        bands=result.frames["bands"].select(BANDS.names()),
    )


def shortfall_usd(accounts: pl.DataFrame) -> pl.Series:
    """Give what each account's debt exceeds its collateral by, in dollars; 0 where it does not, null when unpriced."""
    return accounts.select((pl.col("debt_usd") - pl.col("collateral_usd")).clip(lower_bound=0.0)).to_series()


def _faults(market: MarketSummary) -> list[Fault]:
    found = []
    if market.whole and not all(proof.complete for proof in market.completeness):
        short = ", ".join(proof.symbol for proof in market.completeness if not proof.complete)
        found.append(Fault("incomplete", f"{market.name}: the debt that was read is not all of {short}"))
    if market.unread:
        found.append(Fault("incomplete", f"{market.name}: {market.unread:,} accounts could not be read"))
    if market.mismatches:
        found.append(Fault("mismatch", f"{market.name}: {len(market.mismatches):,} accounts differ from the contract"))
    return found


def total_usd(values: Sequence[float | None]) -> float | None:
    """Add up; one unknown makes the sum unknown."""
    known = [value for value in values if value is not None]
    return fsum(known) if len(known) == len(values) else None


def _unpriced_debt(result: ScanResult) -> float | None:
    """Add up the debt of accounts that cannot be valued; None where one of those debts has no price itself."""
    unpriced = result.frames["accounts"].filter(pl.col("status") == "unpriced").select(POSITION_KEY)
    legs = result.frames["legs"].filter(pl.col("side") != "collateral")
    owed = legs.join(unpriced, on=POSITION_KEY, how="semi")["value_usd"]
    return total_usd(owed.to_list())
