"""What a change does to accounts: who becomes liquidatable, what is seized of them. Pure.

The table that risk teams publish (asset, current and new threshold, value and accounts liquidated) is made of one
what-if per row, each computed exactly.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

import polars as pl

from scanner.errors import ConfigError
from scanner.facts import HURT, total_usd
from scanner.frames import POSITION_KEY
from scanner.options import ScanOptions
from scanner.rescan import Scanned, assessed, rescanned
from scanner.results import ScanResult
from scanner.views import best_now
from scanner.whatif import WhatIf
from scanner.whatif_parts import Part, parts_of

__all__ = ["CHANGED", "Impact", "ImpactRow", "changed_accounts", "impact_of", "impact_table"]

CHANGED: Final = pl.Schema(
    {
        "chain_id": pl.Int64,
        "protocol": pl.String,
        "market_id": pl.String,
        "position": pl.String,
        "owner": pl.String,
        "change": pl.String,  # newly | still | no_longer: liquidatable; unpriced: now; unknown: unpriced before
        "status_before": pl.String,
        "status": pl.String,
        "blocked_by": pl.String,
        "health_factor_wad_before": pl.String,
        "health_factor_wad": pl.String,
        "health_factor_before": pl.Float64,
        "health_factor": pl.Float64,
        "debt_usd": pl.Float64,  # after
        "collateral_usd": pl.Float64,
        "debt_reserve": pl.String,  # of the best call after; this and the rest null without one
        "collateral_reserve": pl.String,
        "repay_usd": pl.Float64,
        "seize_usd": pl.Float64,
        "bad_debt_usd": pl.Float64,
    }
)


@dataclass(frozen=True, slots=True)
class Impact:
    """Totals over accounts that become liquidatable. Dollars are None where they are unknown for one of them.

    ``seized_usd`` is the value of the best call of each, paid by ``repaid_usd``; ``blocked`` accounts are among them,
    with the call as it is once it is allowed. ``unpriced`` accounts could be valued before; they are not among them.
    """

    accounts: int
    blocked: int
    no_longer: int
    unpriced: int
    debt_usd: float | None
    seized_usd: float | None
    repaid_usd: float | None
    bad_debt_usd: float | None


@dataclass(frozen=True, slots=True)
class ImpactRow:
    """One change alone, or all together (``part`` None). ``impact`` is None where ``refused`` says why."""

    name: str
    part: Part | None
    impact: Impact | None
    refused: str = ""


def changed_accounts(before: ScanResult, after: ScanResult) -> pl.DataFrame:
    """List accounts that are liquidatable before or after, and those that cannot be valued any more.

    Gives CHANGED, newly liquidatable first, then the largest debt. Accounts are liquidatable when their health factor
    is below one, blocked or not. Of an account that could not be valued before, nobody knows whether that is new.
    """
    then = before.frames["accounts"].select(
        *POSITION_KEY,
        pl.col("status").alias("status_before"),
        pl.col("health_factor_wad").alias("health_factor_wad_before"),
        pl.col("health_factor").alias("health_factor_before"),
    )
    both = after.frames["accounts"].join(then, on=POSITION_KEY, how="left", validate="1:1")
    was, hurt = (pl.col(name).is_in(HURT).fill_null(value=False) for name in ("status_before", "status"))
    lost = (pl.col("status") == "unpriced") & (pl.col("status_before") != "unpriced").fill_null(value=True)
    change = (
        pl.when(lost)
        .then(pl.lit("unpriced"))
        .when(hurt & was)
        .then(pl.lit("still"))
        .when(hurt & (pl.col("status_before") == "unpriced").fill_null(value=False))
        .then(pl.lit("unknown"))
        .when(hurt)
        .then(pl.lit("newly"))
        .when(was & (pl.col("status") != "unpriced"))
        .then(pl.lit("no_longer"))
    )
    rows = both.with_columns(change.alias("change")).filter(pl.col("change").is_not_null())
    rows = rows.join(_best_calls(after), on=POSITION_KEY, how="left", validate="1:1")
    order = pl.col("change").replace_strict({name: i for i, name in enumerate(_ORDER)}, return_dtype=pl.Int8)
    largest = [False, True, False, False, False, False]
    return rows.sort(order, "debt_usd", *POSITION_KEY, descending=largest, nulls_last=True).select(list(CHANGED))


_ORDER: Final = ("newly", "still", "unknown", "no_longer", "unpriced")


def impact_of(before: ScanResult, after: ScanResult) -> Impact:
    """Total what a change does."""
    rows = changed_accounts(before, after)
    newly = rows.filter(change="newly")
    called = newly.filter(pl.col("debt_reserve").is_not_null())
    counts = {name: rows.filter(change=name).height for name in ("no_longer", "unpriced")}
    return Impact(
        accounts=newly.height,
        blocked=newly.filter(status="blocked").height,
        no_longer=counts["no_longer"],
        unpriced=counts["unpriced"],
        debt_usd=total_usd(newly["debt_usd"].to_list()),
        seized_usd=total_usd(called["seize_usd"].to_list()),
        repaid_usd=total_usd(called["repay_usd"].to_list()),
        bad_debt_usd=total_usd(called["bad_debt_usd"].to_list()),
    )


def impact_table(scanned: Scanned, what: WhatIf, options: ScanOptions) -> tuple[ImpactRow, ...]:
    """Compute each change of a what-if alone and, where there are several, all together as the last row.

    A threshold and a bonus of one asset are one change, as they are one call of the configurator. Shocks and time are
    rows too. A change that cannot be without the others says why. Raises ConfigError when all together cannot be.
    """
    plain = replace(options, extent="points")
    unchanged = assessed(scanned.reads, scanned.result.snapshot, plain).result
    rows: list[ImpactRow] = []
    parts = parts_of(scanned.reads, what)
    for part in parts:
        try:
            after = rescanned(scanned, part.what, plain).result
        except ConfigError as error:
            if len(parts) == 1:
                raise
            rows.append(ImpactRow(part.name, part, None, str(error)))
        else:
            rows.append(ImpactRow(part.name, part, impact_of(unchanged, after)))
    if len(parts) < 2:
        return tuple(rows)
    after = rescanned(scanned, what, plain).result
    return (*rows, ImpactRow("all together", None, impact_of(unchanged, after)))


def _best_calls(result: ScanResult) -> pl.DataFrame:
    def usd(raw: str, name: str) -> pl.Expr:
        return (pl.col(raw).cast(pl.Float64) / pl.col("base_unit").cast(pl.Float64) * pl.col("quote_usd")).alias(name)

    return best_now(result).select(
        *POSITION_KEY,
        "debt_reserve",
        "collateral_reserve",
        usd("repay_value_raw", "repay_usd"),
        "seize_usd",
        usd("bad_debt_raw", "bad_debt_usd"),
    )
