"""What a check or a diff found, for a terminal."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

import polars as pl

from scanner.diff import Difference, Total, as_limits, compare_facts
from scanner.findings import allowed_text, details, headline, place, summary_line, tame, value_text
from scanner.render.accounts import status_role
from scanner.render.header import what_if_lines
from scanner.render.impacts import ImpactTable
from scanner.render.ink import Ink
from scanner.render.lines import Column, Drawing, Grid, Line, wrap
from scanner.render.words import clean, count, money, short_address
from scanner.verdict import Finding, Verdict
from scanner.views import eip55

__all__ = ["CheckReport", "DiffReport"]

Cell = tuple[str, str]
_BADGES: Final = {0: (" passed ", "brand"), 1: (" broken ", "bad"), 4: (" incomplete ", "warn")}
_WORDS: Final = {"broken": ("broken", "bad"), "unjudged": ("not judged", "warn"), "holds": ("kept", "good")}
_AMOUNTS: Final = {"max_seizable": "seizable", "max_largest_account": "seizable", "max_bad_debt": "bad debt"}
_LIMIT: Final = 400
_SHOWN: Final = 20
_FULL_ADDRESS: Final = 80  # columns from which addresses are written in full, to be looked up


class CheckReport(Drawing):
    """The verdict, every limit, the table of a change, and who breaks what."""

    def __init__(self, verdict: Verdict, table: Sequence[Mapping[str, Any]] | None = None) -> None:
        self.verdict = verdict
        self.table = table

    def lines(self, ink: Ink, width: int) -> Iterable[Line]:
        verdict = self.verdict
        words, badge = _BADGES[verdict.exit_code]
        yield from wrap(_tame(summary_line(verdict)), ink.bold, width, head=(words, ink.badge(badge)))
        yield from wrap(place(verdict.after.snapshot), ink.dim, width, head=("", ink.dim))
        yield from what_if_lines(verdict.after.snapshot.what_if, ink, width)
        for fault in (*verdict.faults, *verdict.forgiven):
            yield from wrap(_tame(fault.text), ink.role("bad"), width, head=(f" {fault.kind} ", ink.badge("bad")))
        if verdict.findings:
            yield Line()
            columns = [Column("limit", "left"), Column("", "left"), Column("value"), Column("allowed", rank=1)]
            yield from Grid(columns, [_limit(finding) for finding in verdict.findings]).lines(ink, width)
        if self.table:
            yield Line()
            yield from ImpactTable(self.table).lines(ink, width)
        if verdict.before is not None:
            totals = [total for total in as_limits(compare_facts(verdict.before, verdict.after)) if total.change != 0]
            if totals:
                yield Line()
                yield from _moves(totals).lines(ink, width)
        for finding in verdict.findings:
            if finding.outcome == "holds":
                continue
            yield Line()
            word, role = _WORDS[finding.outcome]
            yield from wrap(_tame(headline(finding)), ink.bold, width, head=(f" {word}", ink.role(role)))
            if finding.accounts is not None and finding.accounts.height:
                yield from _people(finding.accounts, ink, width, _AMOUNTS.get(finding.limit, ""))
            for line in details(finding, verdict, 0):
                if not line.startswith("accounts,"):
                    label, _, text = line.partition(": ")
                    said = (text, f"   {label}:") if text else (line, "  ")
                    yield from wrap(_tame(said[0], 2_000), ink.dim, max(width, 60), head=(said[1], ink.plain))


class DiffReport(Drawing):
    """Two scans: totals, prices, accounts, bands."""

    def __init__(self, difference: Difference) -> None:
        self.difference = difference

    def lines(self, ink: Ink, width: int) -> Iterable[Line]:
        one = self.difference
        yield from wrap(
            f"{_tame(one.before.name)} → {_tame(one.after.name)}", ink.bold, width, head=(" diff ", ink.badge("brand"))
        )
        yield Line((f" from {place(one.before.snapshot)}", ink.dim))
        yield Line((f" to   {place(one.after.snapshot)}", ink.dim))
        if not one.different:
            yield Line((" nothing differs", ink.role("good")))
            return
        yield Line()
        yield from _moves(one.totals).lines(ink, width)
        moved = [price for price in one.prices if price.change]
        if moved:
            yield Line()
            yield from _moves(moved, "price").lines(ink, width)
        for name, rows in one.parts.items():
            if rows is not None and rows.height:
                yield Line()
                yield Line((f" {name.replace('_', ' ')}: {count(rows.height)} accounts", ink.bold))
                yield from _people(rows, ink, width)
        if one.bands is not None and one.bands.height:
            yield Line()
            yield from _bands(one.bands, ink, width)
        if one.before.accounts is None or one.after.accounts is None:
            yield Line((" accounts are not compared: one of the two is a scan document", ink.dim))


def _tame(text: str, limit: int = _LIMIT) -> str:
    """Drop what steers a terminal, and what a CI system would take for a command of ours."""
    return clean(tame(text), limit)


def _limit(finding: Finding) -> list[Cell]:
    return [
        (_tame(finding.name, 48), "bold"),
        _WORDS[finding.outcome],
        (value_text(finding), ""),
        (_tame(allowed_text(finding), 40), "dim"),
    ]


def _number(name: str, value: float | None) -> str:
    if value is None:
        return "?"
    if name.endswith("accounts"):
        return f"{value:,.0f}"
    return f"${money(value)}" if name.endswith("_usd") else f"${value:,.2f}"


def _moves(totals: Sequence[Total], title: str = "") -> Drawing:
    columns = [Column(title, "left"), Column("before"), Column("after"), Column("change")]
    rows = []
    for total in totals:
        change = total.change
        shown = (
            "?"
            if change is None
            else ""
            if change == 0
            else ("+" if change > 0 else "−") + _number(total.name, abs(change))
        )
        name = _tame(total.name.removesuffix("_usd").replace("_", " "), 40)
        rows.append(
            [
                (name, "bold"),
                (_number(total.name, total.before), ""),
                (_number(total.name, total.after), ""),
                (shown, "dim" if not change else ""),
            ]
        )
    return Grid(columns, rows)


def _people(rows: pl.DataFrame, ink: Ink, width: int, amount: str = "") -> Iterable[Line]:
    full, both = width >= _FULL_ADDRESS, "status_before" in rows.columns
    columns = [
        Column("account", "left"),
        Column("status", "left", rank=3),
        Column("health factor"),
        Column("collateral", rank=2),
        Column("debt", rank=1),
        *([Column(amount)] if amount else []),
    ]
    cells = []
    for row in rows.head(_SHOWN).iter_rows(named=True):
        owner = str(row["account"])
        status = row["status"]
        words = [_change(row, name, both=both) for name in ("status", "health_factor", "collateral_usd", "debt_usd")]
        address = clean(eip55(owner), 66) if full else short_address(owner)
        last = [(money(row["amount_usd"]), "bold")] if amount else []
        styles = (status_role(status or ""), "bold", "", "")
        cells.append([(address, ""), *zip(words, styles, strict=True), *last])
    yield from Grid(columns, cells, indent=3).lines(ink, width)
    if rows.height > _SHOWN:
        yield Line((f"   and {count(rows.height - _SHOWN)} more", ink.dim))


def _change(row: Mapping[str, Any], name: str, *, both: bool) -> str:
    now = _shown(name, row[name])
    if not both:
        return now
    was = _shown(name, row[f"{name}_before"])
    return now if was == now else f"{was} → {now}"


def _shown(name: str, value: Any) -> str:
    if value is None:
        return "–"
    if name == "status":
        return str(value)
    if name != "health_factor":
        return money(value)
    return "0.99999" if 0.999995 <= value < 1 else f"{value:.5f}" if value < 1000 else f"{value:.1e}"


def _bands(bands: pl.DataFrame, ink: Ink, width: int) -> Iterable[Line]:
    columns = [Column("band", "left"), Column("move"), Column("seizable before"), Column("after"), Column("accounts")]
    rows = []
    for row in bands.head(_SHOWN).iter_rows(named=True):
        far = max((row[name] for name in ("lower_bps", "upper_bps") if row[name] is not None), key=abs)
        seizable = [money(row[name]) for name in ("seizable_collateral_usd_before", "seizable_collateral_usd")]
        moved = f"{row['account_count_before']:,} → {row['account_count']:,}"
        rows.append(
            [
                (_tame(row["factor"], 16), "bold"),
                (f"{far / 100:+g} %", ""),
                *((text, "") for text in seizable),
                (moved, "dim"),
            ]
        )
    yield from Grid(columns, rows).lines(ink, width)
    if bands.height > _SHOWN:
        yield Line((f" and {count(bands.height - _SHOWN)} more bands", ink.dim))
