"""Say on stderr what is wrong with the data of a scan, and what to do about it."""

from __future__ import annotations

import sys
from pathlib import Path

from scanner.config import data_dir
from scanner.options import ScanOptions
from scanner.render.words import clean
from scanner.results import MarketSummary, ReserveProof, ScanResult
from scanner.store.files import find_indexes, imported_to
from scanner.views import eip55

__all__ = ["tell_faults"]


def tell_faults(result: ScanResult, options: ScanOptions) -> None:
    """Print a line per reserve, unread accounts and mismatches of each market, and at the end what would help."""
    for market in result.markets:
        for proof in market.completeness:
            if not proof.complete:
                _say(f"incomplete: {market.name}: {_gap(proof)}")
        if market.unread:
            _say(f"incomplete: {market.name}: {market.unread:,} accounts could not be read")
        if market.mismatches:
            some = ", ".join(market.mismatches[:10]) + (", ..." if len(market.mismatches) > 10 else "")
            _say(
                f"mismatch: {market.name}: {len(market.mismatches)} of {market.verified_accounts} verified accounts "
                f"differ from the contract: {some}"
            )
    short = [m for m in result.markets if any(not p.complete and p.missing > 0 for p in m.completeness)]
    if short:
        _say(f"incomplete: what to do: {_remedy(result, short, options)}")


def _say(line: str) -> None:
    print(clean(eip55(line), 2000), file=sys.stderr)


def _gap(proof: ReserveProof) -> str:
    """Say how much debt was not read, or was read beyond what there is."""
    amount = abs(proof.missing_tokens)
    shown = f"{amount:,.2f}" if amount >= 0.005 else "less than 0.01"
    share = abs(proof.missing) / proof.scaled_total if proof.scaled_total else 1.0
    what = "missing" if proof.missing > 0 else "too much"
    return f"{shown} {proof.symbol} of debt {what} ({share:.4%}, {proof.missing} scaled units)"


def _remedy(result: ScanResult, short: list[MarketSummary], options: ScanOptions) -> str:
    """Name what finds the borrowers that were not found, the likeliest cause first."""
    if options.replay is not None:
        return "the recording lacks these borrowers: record the block again"
    found = []
    if not options.discover:
        found.append("run again without --no-discover, so that logs are read")
    blocks = [block for market in short if (block := _imported(result, market, options)) is not None]
    if blocks:
        found.append(
            f"the index takes an imported list as complete up to block {max(blocks)}: `liqbands index --rebuild` with "
            "the same market and index file reads the logs instead"
        )
    if options.from_block is not None and options.from_block > 1:
        found.append(f"borrowers before block {options.from_block} were not looked for: give a lower --from-block")
    return "; ".join(found) or "`liqbands index --rebuild` with the same market reads all logs again"


def _imported(result: ScanResult, market: MarketSummary, options: ScanOptions) -> int | None:
    """Give the block up to which an index of the market rests on an imported list."""
    named = [Path(options.index_file)] if options.index_file is not None else []
    paths = named or find_indexes(data_dir(), result.snapshot.chain_id, market.protocol, market.market_id)
    return max((block for path in paths if (block := imported_to(path)) is not None), default=None)
