"""Compute a result of what was read, without a node: as it was read, or after a change. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import fsum

import polars as pl

from scanner.assess import Prepared, assess, prepare, select_factor
from scanner.combine import combine
from scanner.errors import ConfigError
from scanner.options import ScanOptions, parse_timestamp
from scanner.protocols.interface import MarketRead
from scanner.results import MarketSummary, ProofReport, ScanResult, Snapshot
from scanner.whatif import WhatIf, changed_all
from scanner.whatif_parts import said

__all__ = ["Checked", "Scanned", "assessed", "rescanned", "result_of"]


@dataclass(frozen=True)
class Scanned:
    """A scan's result and what it was computed from, market by market, so that it can be computed again."""

    result: ScanResult
    reads: tuple[MarketRead, ...]
    warnings: tuple[str, ...] = ()  # of the source, not of what was computed


@dataclass(frozen=True, slots=True)
class Checked:
    """How one market was held against the chain: accounts compared with the contract, those that differ, the proof."""

    accounts: int = 0
    mismatches: tuple[str, ...] = ()
    proven: ProofReport | None = None


def result_of(
    snapshot: Snapshot, markets: Sequence[Prepared], checks: Sequence[Checked], options: ScanOptions
) -> ScanResult:
    """Compute a result of markets that were prepared; whether it is complete goes into the snapshot."""
    selected = select_factor(options.factor, markets)
    parts = []
    for prepared, checked in zip(markets, checks, strict=True):
        assessment = assess(prepared, selected, options.extent)
        parts.append((assessment, _summary(prepared.read, assessment.frames["accounts"], checked, options)))
    complete = None if options.only else all(summary.complete for _, summary in parts)
    return combine(replace(snapshot, complete=complete), parts, selected, options)


def assessed(
    reads: Sequence[MarketRead],
    snapshot: Snapshot,
    options: ScanOptions,
    checks: Sequence[Checked] | None = None,
    warnings: Sequence[str] = (),
) -> Scanned:
    """Compute everything that a scan computes of markets that were read, each at the time of its own.

    ``checks`` are those of the markets, without them nothing was checked; ``warnings`` are those of the source.
    Raises ConfigError for a time before that of a market, and for a factor that there is not.
    """
    prepared = [prepare(read, _timestamp(options, read), options) for read in reads]
    result = result_of(snapshot, prepared, checks or [Checked() for _ in reads], options)
    return Scanned(replace(result, warnings=(*warnings, *result.warnings)), tuple(reads), tuple(warnings))


def rescanned(scanned: Scanned, what: WhatIf, options: ScanOptions) -> Scanned:
    """Compute a scan as it would be after a change, of what was read at the same block, without a node.

    The snapshot says what was changed. Nothing is verified, since no contract answers for it; accounts that differed
    from the contract before the change differ after it. A time of ``options`` given as ``+12s`` counts from the time of
    the change. Raises ConfigError for a change that cannot be.
    """
    lines = said(scanned.reads, what)
    reads = changed_all(scanned.reads, what)
    checks = [Checked(len(market.mismatches), market.mismatches) for market in scanned.result.markets]
    snapshot = replace(scanned.result.snapshot, what_if=(*scanned.result.snapshot.what_if, *lines))
    return assessed(reads, snapshot, options, checks, scanned.warnings)


def _timestamp(options: ScanOptions, read: MarketRead) -> int:
    """Give the time that triggers are computed for; a time that is not told is the market's own."""
    try:
        return parse_timestamp(options.for_timestamp, read.market.timestamp)
    except ConfigError as error:
        if "before" not in str(error):
            raise
        raise ConfigError(
            f"--for-timestamp {options.for_timestamp} is before the time that is computed at, {read.market.timestamp}"
            " (with --time, that of the what-if)"
        ) from error


def _summary(read: MarketRead, accounts: pl.DataFrame, checked: Checked, options: ScanOptions) -> MarketSummary:
    priced = accounts.select("collateral_usd", "debt_usd").filter(~accounts["status"].is_in(["unpriced", "no_debt"]))
    known = read.market.frame["quote_usd"][0] is not None
    return MarketSummary(
        protocol=read.market.protocol,
        market_id=read.market.market_id,
        name=read.market.name,
        revision=read.market.revision,
        account_count=int((accounts["status"] != "no_debt").sum()),
        collateral_usd=fsum(priced["collateral_usd"].to_list()) if known else None,
        debt_usd=fsum(priced["debt_usd"].to_list()) if known else None,
        base_unit=read.market.base_unit,
        completeness=tuple(read.totals),
        verified_accounts=checked.accounts,
        mismatches=checked.mismatches,
        unread=read.positions.skipped.filter(read.positions.skipped["what"] == "position").height,
        whole=not options.only,
        proven=checked.proven,
    )
