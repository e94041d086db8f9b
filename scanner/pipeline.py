"""Reader + protocol + risk → ScanResult."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace
from math import fsum
from typing import Any

import polars as pl

from scanner import __version__
from scanner.assess import assess
from scanner.combine import combine
from scanner.errors import RecordingError
from scanner.options import ScanOptions, parse_timestamp
from scanner.reading import Listener, MarketRead, Silence, read_market, remember_idle
from scanner.results import ContractAnswer, MarketSummary, ReserveProof, ScanResult, Snapshot
from scanner.risk.band_edges import parse_bands
from scanner.sources import Source, open_source
from scanner.targets import Target, resolve_targets
from scanner.verify import choose_rows

__all__ = ["ScanOptions", "scan", "scan_source"]


def _targets(source: Source, options: ScanOptions) -> list[Target]:
    """Resolve the markets asked for; a recording names its own when none is."""
    noted = source.notes.get("targets", [])
    if source.replayed and not noted:
        raise RecordingError("the recording does not say what was scanned; record it again with liqbands scan --record")
    markets = options.markets or [target["root"] for target in noted]
    targets = resolve_targets(source.reader, markets, options.protocol, options.from_block)
    if source.replayed:
        names = {target["root"]: target["name"] for target in noted}
        unknown = [target.root for target in targets if target.root not in names]
        if unknown:
            raise RecordingError(f"the recording does not hold market {unknown[0]}; it has {', '.join(names)}")
        return [replace(target, name=names[target.root]) for target in targets]
    source.notes["targets"] = [{"root": target.root, "name": target.name} for target in targets]
    return targets


def _summary(read: MarketRead, accounts: pl.DataFrame, verified: int, mismatches: Sequence[str]) -> MarketSummary:
    reserves = {row["reserve"]: row for row in read.market.reserves.iter_rows(named=True)}
    proofs = tuple(
        ReserveProof(
            reserve=total.reserve,
            symbol=total.symbol,
            proof=total.proof,
            scaled_total=total.scaled_total,
            scaled_read=total.scaled_read,
            missing=total.missing,
            complete=total.complete,
            debt_index=int(reserves[total.reserve]["debt_index"]),
            decimals=reserves[total.reserve]["decimals"],
        )
        for total in read.totals
    )
    priced = accounts.select("collateral_usd", "debt_usd").filter(accounts["status"] != "unpriced")
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
        completeness=proofs,
        verified_accounts=verified,
        mismatches=tuple(mismatches),
        unread=read.positions.skipped.filter(read.positions.skipped["what"] == "position").height,
    )


class _Clock:
    """Seconds by stage."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self._last = time.perf_counter()

    def lap(self, stage: str) -> None:
        now = time.perf_counter()
        self.seconds[stage] = self.seconds.get(stage, 0.0) + now - self._last
        self._last = now


def scan(options: ScanOptions | None = None, *, listener: Listener | None = None, **changes: Any) -> ScanResult:
    """Scan one block and give its frames.

    Takes ``ScanOptions``, or their fields as keywords: ``scan(rpc_urls=["http://..."], markets=["0x..."])``.
    Raises ScannerError: ConfigError for wrong options, ChainError when the node failed, DataError for damaged input.
    An incomplete scan is a result whose ``trustworthy`` is false, never an error.
    """
    chosen = replace(options or ScanOptions(), **changes)
    parse_bands(chosen.bands)  # a mistake of the user shall cost no request
    parse_timestamp(chosen.for_timestamp, 0)
    clock = _Clock()
    with open_source(
        chosen.rpc_urls, chain=chosen.chain, block=chosen.block, record=chosen.record, replay=chosen.replay
    ) as source:
        return scan_source(source, chosen, listener, clock)


def scan_source(
    source: Source, options: ScanOptions, listener: Listener | None = None, clock: _Clock | None = None
) -> ScanResult:
    """Scan the block that a source stands at."""
    hear, clock, chain = listener or Silence(), clock or _Clock(), source.reader
    targets = _targets(source, options)
    timestamp = parse_timestamp(options.for_timestamp, chain.block.timestamp)
    clock.lap("open")
    parts = []
    answers: dict[str, ContractAnswer] = {}
    for target in targets:
        read = read_market(source, target, options, hear)
        clock.lap("read")
        hear.stage("computing")
        assessment = assess(read, timestamp, options)
        clock.lap("compute")
        rows = choose_rows(assessment.health, options.verify, chain.block.hash)
        hear.stage("verifying against the contract", len(rows))
        mismatches = target.protocol.verify(chain, read.market, read.positions, assessment.health, rows)
        for owner in options.only:
            answer = target.protocol.contract_answer(chain, read.market, owner)
            if answer is not None:
                answers[owner] = answer
        remember_idle(source, read, options, assessment.health)
        clock.lap("verify")
        parts.append((assessment, _summary(read, assessment.frames["accounts"], len(rows), mismatches)))
    snapshot = Snapshot(
        chain_id=chain.chain_id,
        block_number=chain.block.number,
        block_hash=chain.block.hash,
        block_timestamp=chain.block.timestamp,
        complete=all(summary.complete for _, summary in parts),
        tool_version=__version__,
        rpc_hosts=tuple(chain.hosts),
        seconds=clock.seconds,
        source="recording" if source.replayed else "rpc",
        reading="calls" if chain.takes_overrides is False else "lens",
    )
    return replace(combine(snapshot, parts, options), contract_answers=answers)
