"""`liqbands quote`: executable liquidations."""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

import polars as pl

from scanner.cli.addresses import parse_address
from scanner.cli.commands import check_output, draw, exit_code, scan_what
from scanner.cli.files import save
from scanner.cli.gather import scan_options, what_if
from scanner.cli.options import Output, Reading, Risk, Talk, WhatIfs
from scanner.errors import ConfigError
from scanner.options import ScanOptions, parse_timestamp
from scanner.pipeline import Scanned
from scanner.quotes import quotes
from scanner.render.words import clean
from scanner.results import ScanResult
from scanner.views import eip55, pick_account

__all__ = ["Choice", "quotes_of", "run_quote"]

_LIMIT = 40


@dataclass(frozen=True, slots=True)
class Choice:
    """Which quotes are shown."""

    pairs: Literal["best", "all"] = "best"
    min_profit: float | None = None  # dollars
    limit: int | None = None  # of the table

    def of(self, frame: pl.DataFrame) -> pl.DataFrame:
        """Keep the quotes that were asked for; those whose dollars are unknown earn no known profit."""
        if self.pairs == "best":
            frame = frame.filter("best")
        return frame if self.min_profit is None else frame.filter(pl.col("profit_usd") >= self.min_profit)


def quotes_of(scanned: Scanned, options: ScanOptions) -> tuple[pl.DataFrame, int]:
    """Quote what was scanned, for the time asked for; give that time too."""
    timestamp = parse_timestamp(options.for_timestamp, scanned.reads[0].market.timestamp)
    return quotes(scanned.reads, timestamp), timestamp


def run_quote(
    addresses: Sequence[str],
    at: Sequence[str],
    reading: Reading,
    risk: Risk,
    whatifs: WhatIfs,
    output: Output,
    talk: Talk,
    form: str,
    choice: Choice,
) -> int:
    """Scan, quote, and draw or write the quotes."""
    what = what_if(replace(whatifs, shock=(*whatifs.shock, *at)))
    wanted = tuple(parse_address(address) for address in addresses)
    check_output(form, output)
    if choice.limit is not None and form != "table":
        raise ConfigError(f"--limit is for the table: --format {form} gives all quotes")
    options = replace(scan_options(reading, risk), extent="points")
    if wanted:
        options = replace(options, only=wanted, verify="all")
    scanned = scan_what(options, talk, warn=form != "table", what=what)
    result = scanned.result
    frame, timestamp = quotes_of(scanned, options)
    chosen = choice.of(frame)
    if form == "table":
        from scanner.render.quotes import QuotesTable

        limit = _LIMIT if choice.limit is None else choice.limit
        draw(QuotesTable(result, chosen, timestamp=timestamp, now=int(time.time()), limit=limit), output)
    elif form == "csv":
        from scanner.export.tables import quotes_csv

        save(output.output, quotes_csv(result, chosen))
    else:
        from scanner.export.quotes import quotes_json, quotes_ndjson

        save(
            output.output,
            quotes_json(result, chosen, timestamp) if form == "json" else quotes_ndjson(result, chosen),
        )
    if not talk.quiet:
        _tell(result, wanted, frame, chosen)
    return exit_code(result, options, risk)


def _tell(result: ScanResult, wanted: Sequence[str], frame: pl.DataFrame, chosen: pl.DataFrame) -> None:
    """Say why accounts that were asked for have no quote, and what was left out."""
    quoted = set(frame["account"])
    for address in wanted:
        if address in quoted:
            continue
        for row in pick_account(result, address).iter_rows(named=True):
            health = "" if row["health_factor"] is None else f", health factor {row['health_factor']:.5f}"
            _say(f"{eip55(address)}: {row['status'].replace('_', ' ')}{health}: nothing to liquidate")
        if pick_account(result, address).is_empty():
            _say(f"{eip55(address)}: holds nothing in this market at this block")
    unpriced = int((result.frames["accounts"]["status"] == "unpriced").sum())
    if unpriced:
        _say(f"{unpriced:,} account{'s have' if unpriced > 1 else ' has'} no price and hence no quote")
    left = frame["position"].n_unique() - chosen["position"].n_unique()
    if left:
        _say(f"{left:,} account{'s' if left > 1 else ''} left out: no quote earns as much as --min-profit")


def _say(line: str) -> None:
    print(clean(line, 500), file=sys.stderr)
