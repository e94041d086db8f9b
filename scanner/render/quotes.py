"""A table of executable liquidations."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Any

import polars as pl

from scanner.render.header import Header, warning_lines
from scanner.render.ink import Ink
from scanner.render.lines import Column, Drawing, Grid, Line, flow
from scanner.render.words import accounts, clean, count, money, percent, short_address, span, tokens
from scanner.results import ScanResult
from scanner.views import eip55

__all__ = ["QuotesTable"]

Cell = tuple[str, str]
_FULL_ADDRESS = 150  # columns from which addresses are written in full
_LAST = 253_402_300_800  # the first second whose year has five digits
_LIMITS = {"half": "half", "all": "all debt", "collateral": "all collateral", "dust": "dust rule"}


class QuotesTable(Drawing):
    """Quotes in their own order (frame ``quotes.QUOTES``), and the time at which they hold."""

    def __init__(
        self, result: ScanResult, quotes: pl.DataFrame, *, timestamp: int, now: int, limit: int | None = 40
    ) -> None:
        self.header = Header(result, now=now)
        self.result = result
        self.ahead = timestamp - result.snapshot.block_timestamp
        self.timestamp = timestamp
        self.total = quotes["position"].n_unique()
        self.rows = (quotes if limit is None else quotes.head(limit)).to_dicts()
        self.hidden = quotes.height - len(self.rows)

    def lines(self, ink: Ink, width: int) -> Iterable[Line]:
        yield from self.header.lines(ink, width)
        yield from flow([(text, ink.dim) for text in self._when()], width, indent=1)
        yield Line()
        columns = [
            Column("account", "left"),
            Column("health", rank=2),
            Column("pay"),
            Column("receive"),
            Column("bonus", rank=3),
            Column("takes", "left", rank=4),
            Column("profit"),
            Column("bad debt", rank=1),
            Column("blocked", "left"),
        ]
        if self.rows:
            yield from Grid(columns, [self._row(row, full=width >= _FULL_ADDRESS) for row in self.rows]).lines(
                ink, width
            )
        else:
            yield Line((" no account can be liquidated", ink.dim))
        if self.hidden:
            yield Line((f" and {count(self.hidden)} more quotes, less profitable", ink.dim))
        yield from warning_lines(self.result.warnings, ink, width)

    def _when(self) -> list[str]:
        said = [accounts(self.total), "dollars at the oracle's prices", "profit before gas"]
        if self.ahead <= 0:
            return [*said, "exact at the block's own time:", "a transaction lands later, see --for-timestamp"]
        when = f" ({datetime.fromtimestamp(self.timestamp, UTC):%Y-%m-%d %H:%M:%S} UTC)"
        return [*said, f"exact at +{span(self.ahead)}" + (when if self.timestamp < _LAST else "")]

    def _row(self, row: Mapping[str, Any], *, full: bool) -> list[Cell]:
        owner = eip55(clean(row["account"], 66))
        nothing = row["debt_to_cover"] is None
        loss = row["profit_base"] is not None and row["profit_base"] < 0
        until = row["blocked_until"]
        blocked = clean(row["blocked_by"] or "", 20).replace("_", " ")
        return [
            (owner if full else short_address(owner), "" if row["best"] else "dim"),
            (f"{row['health_factor']:.5f}" if row["health_factor"] < 0.999995 else "0.99999", ""),
            (f"- {clean(row['debt_symbol'], 10)}" if nothing else _amount(row["repay"], row["debt_symbol"]), ""),
            (
                f"- {clean(row['collateral_symbol'], 10)}"
                if nothing
                else _amount(row["receive"], row["collateral_symbol"]),
                "",
            ),
            (percent(row["liquidation_bonus"]), "dim"),
            ("" if nothing else _LIMITS[row["branch"]], "dim"),
            (_dollars(row["profit_usd"]), "bad" if loss else "good" if row["blocked_by"] is None else "dim"),
            (_dollars(row["bad_debt_usd"]) if row["bad_debt_base"] else "", "warn"),
            (blocked + (f" until {until:%Y-%m-%d %H:%M:%S}" if until else ""), "warn"),
        ]


def _amount(amount: float, symbol: str) -> str:
    return f"{tokens(amount)} {clean(symbol, 10)}"


def _dollars(value: float | None) -> str:
    """Write dollars to the dollar: what is earned is compared with gas."""
    return money(value) if value is None or abs(value) < 1 or abs(value) >= 1e9 else f"{value:,.0f}"
