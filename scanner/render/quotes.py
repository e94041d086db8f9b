"""A table of executable liquidations."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import polars as pl
from rich.cells import cell_len

from scanner.render.header import Header, warning_lines
from scanner.render.ink import Ink
from scanner.render.lines import Column, Drawing, Grid, Line, flow, style_of
from scanner.render.words import accounts, clean, count, money, percent, short_address, span, tokens
from scanner.results import ScanResult
from scanner.views import eip55

__all__ = ["QuotesTable"]

Cell = tuple[str, str]
_FULL_ADDRESS = 80  # columns from which addresses are written in full, to be copied
_RARE = ("bad debt", "blocked")  # columns that are there only where something is in them
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
            yield from self._table(columns, ink, width)
        else:
            yield Line((" no account can be liquidated", ink.dim))
        if self.hidden:
            yield Line((f" and {count(self.hidden)} more quotes, less profitable", ink.dim))
        yield from warning_lines(self.result.warnings, ink, width)

    def _table(self, columns: Sequence[Column], ink: Ink, width: int) -> Iterable[Line]:
        """Write addresses in full: in the table where that fits, else on lines of their own."""
        full = width >= _FULL_ADDRESS
        rows = [self._row(row, full=full) for row in self.rows]
        told = [at for at, column in enumerate(columns) if column.name not in _RARE or any(row[at][0] for row in rows)]
        columns, rows = [columns[at] for at in told], [[row[at] for at in told] for row in rows]
        needed = sum(
            max(len(column.name), *(cell_len(row[at][0]) for row in rows)) + 2
            for at, column in enumerate(columns)
            if column.rank == 0
        )
        if not full or needed - 1 <= width:
            yield from Grid(columns, rows).lines(ink, width)
            return
        head, *lines = Grid(columns[1:], [row[1:] for row in rows], indent=3).lines(ink, width)
        yield head
        last = ""
        for row, line in zip(rows, lines, strict=True):
            address, role = row[0]
            if address != last:
                yield Line((f" {address}", style_of(ink, role)))
            last = address
            yield line

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
