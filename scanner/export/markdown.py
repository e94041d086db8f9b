"""What a check and a diff say, in Markdown: step summaries, comments on a pull request."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

import polars as pl

from scanner.diff import Difference, Total, as_limits, compare_facts
from scanner.facts import Facts
from scanner.findings import allowed_text, details, headline, one_line, place, summary_line, value_text
from scanner.verdict import Finding, Verdict
from scanner.views import eip55

__all__ = ["SUMMARY_BYTES", "bounded", "check_markdown", "diff_markdown", "escape"]

SUMMARY_BYTES: Final = 1 << 20
"""What GitHub takes as the summary of a step; a larger one is refused as a whole."""
_SPECIAL: Final = re.compile(
    r"[\\`*{}\[\]<>#|~@!&]"
    r"|(?<![A-Za-z0-9])_|_(?![A-Za-z0-9])"  # inside a word _ is itself
    r"|:(?=//)|(?<=[Ww]{3})\."  # else GitHub makes a link of an address
)
_SHOWN: Final = 20
_BANDS: Final = 20
_OUTCOMES: Final = {"broken": "**broken**", "unjudged": "not judged", "holds": "kept"}


def escape(text: str) -> str:
    """Take the meaning from every character that Markdown or HTML gives one; cut to one line."""
    return _SPECIAL.sub(lambda found: f"&#{ord(found[0])};", one_line(text))


def bounded(text: str, limit: int = SUMMARY_BYTES) -> str:
    """Cut text to a number of UTF-8 bytes at a line's end, and say so."""
    data = text.encode()
    if len(data) <= limit:
        return text
    note = "\n\n(cut: more than the summary takes; the JSON document has all)\n"
    kept = data[: limit - len(note.encode())].decode(errors="ignore")
    return kept[: kept.rfind("\n")] + note


def check_markdown(verdict: Verdict, table: Sequence[Mapping[str, Any]] | None = None) -> str:
    """Write the verdict: limits, what a change does, who is hurt, the bands before and after."""
    after = verdict.after
    title = {0: "passed", 1: "a limit is broken", 4: "data is incomplete"}[verdict.exit_code]
    lines = [f"## liqbands check: {title}", "", escape(summary_line(verdict)), "", f"At {place(after.snapshot)}."]
    if after.snapshot.what_if:
        lines += ["", "What if: " + "; ".join(escape(text) for text in after.snapshot.what_if) + "."]
    if verdict.faults or verdict.forgiven:
        lines += ["", "### Data", ""]
        lines += [f"- {escape(fault.text)}" for fault in verdict.faults]
        lines += [f"- {escape(fault.text)} (allowed)" for fault in verdict.forgiven]
    lines += ["", *_limits(verdict.findings)]
    if table:
        lines += ["", "### What the change does", "", *_mappings(table)]
    for finding in verdict.findings:
        if finding.outcome != "holds":
            lines += ["", *_told(finding, verdict)]
    if verdict.before is not None:
        lines += ["", "### What changed", "", *_changed(verdict.before, after)]
    lines += ["", *_bands(verdict.before, after)]
    return "\n".join(lines).rstrip() + "\n"


def diff_markdown(difference: Difference) -> str:
    """Write what changed between two scans."""
    before, after = difference.before, difference.after
    lines = [
        f"## liqbands diff: {escape(before.name)} and {escape(after.name)}",
        "",
        f"From {place(before.snapshot)} to {place(after.snapshot)}."
        + ("" if difference.different else " No difference."),
        "",
        *_moves(difference.totals),
    ]
    if difference.prices:
        lines += ["", "### Prices", "", *_moves(difference.prices)]
    for name, rows in difference.parts.items():
        if rows is not None and rows.height:
            lines += ["", f"### {name.replace('_', ' ').capitalize()}: {rows.height:,} accounts", "", *_people(rows)]
    if difference.bands is not None and difference.bands.height:
        shown = difference.bands.head(_BANDS)
        more = difference.bands.height - shown.height
        lines += ["", f"### Bands: {difference.bands.height:,} differ", "", *_band_moves(shown)]
        lines += ["", f"and {more:,} more"] if more else []
    return "\n".join(lines) + "\n"


def _grid(head: Sequence[str], rows: Iterable[Sequence[str]], left: int = 1) -> list[str]:
    marks = [":--" if column < left else "--:" for column in range(len(head))]
    return [f"| {' | '.join(cells)} |" for cells in (head, marks, *rows)]


def _limits(findings: Sequence[Finding]) -> list[str]:
    if not findings:
        return ["No limits were given."]
    rows = [
        [escape(finding.name), _OUTCOMES[finding.outcome], escape(value_text(finding)), escape(allowed_text(finding))]
        for finding in findings
    ]
    return _grid(["limit", "", "value", "allowed"], rows, 2)


def _told(finding: Finding, verdict: Verdict) -> list[str]:
    lines = [f"### {escape(headline(finding))}", ""]
    if finding.accounts is not None and finding.accounts.height:
        lines += [*_people(finding.accounts), ""]
    for line in details(finding, verdict, 0):
        if line.startswith("reproduce: "):
            lines += ["", "```sh", line.removeprefix("reproduce: ").replace("```", ""), "```"]
        elif not line.startswith("accounts,"):
            lines.append(f"- {escape(line)}")
    return lines


def _people(rows: pl.DataFrame) -> list[str]:
    both = "health_factor_before" in rows.columns
    names = ["account", "status", "health factor", "collateral", "debt"]
    columns = ["account", "status", "health_factor", "collateral_usd", "debt_usd"]
    lines = []
    for row in rows.head(_SHOWN).iter_rows(named=True):
        cells = [eip55(str(row["account"]))]
        for column in columns[1:]:
            cell = _cell(column, row[column])
            cells.append(
                f"{_cell(column, row[f'{column}_before'])} → {cell}" if both and column != "collateral_usd" else cell
            )
        lines.append([escape(cell) for cell in cells])
    more = rows.height - _SHOWN
    return _grid(names, lines, 2) + (["", f"and {more:,} more"] if more > 0 else [])


def _cell(column: str, value: Any) -> str:
    if value is None:
        return "–"
    if isinstance(value, float):
        return f"{value:.5f}" if column == "health_factor" else f"${value:,.0f}"
    return str(value)


def _number(name: str, value: float | None) -> str:
    if value is None:
        return "?"
    return f"{value:,.0f}" if name.endswith("accounts") else f"${value:,.2f}" if abs(value) < 1e6 else f"${value:,.0f}"


def _moves(totals: Sequence[Total]) -> list[str]:
    rows = []
    for total in totals:
        change = (
            "?"
            if total.change is None
            else f"{total.change:+,.0f}"
            if abs(total.change) >= 1
            else f"{total.change:+,.4g}"
        )
        shown = [_number(total.name, value) for value in (total.before, total.after)]
        rows.append([escape(total.name.removesuffix("_usd").replace("_", " ")), *map(escape, shown), change])
    return _grid(["", "before", "after", "change"], rows)


def _changed(before: Facts, after: Facts) -> list[str]:
    return _moves(list(as_limits(compare_facts(before, after))))


def _mappings(table: Sequence[Mapping[str, Any]]) -> list[str]:
    names = list(table[0])
    return _grid(names, [[escape(str(row[name])) for name in names] for row in table])


def _bands(before: Facts | None, after: Facts) -> list[str]:
    """Show the bands of the selected factor that hold something, those before the change beside them."""
    if after.bands is None:
        return []
    mine = (pl.col("factor") == after.selected_factor) & (pl.col("direction") == "down")
    bands = after.bands.filter(mine)
    old = (
        {}
        if before is None or before.bands is None
        else {row["band"]: row["seizable_collateral_usd"] for row in before.bands.filter(mine).iter_rows(named=True)}
    )
    rows = []
    for row in bands.iter_rows(named=True):
        was = old.get(row["band"], 0.0)
        if row["account_count"] or was:
            cells = [f"${row['lower_price_usd']:,.2f} – ${row['upper_price_usd']:,.2f}"]
            cells += [f"${was:,.0f}"] if before is not None else []
            rows.append(
                [
                    *(escape(cell) for cell in (*cells, f"${row['seizable_collateral_usd']:,.0f}")),
                    f"{row['account_count']:,}",
                ]
            )
    head = ["price band", *(["seizable before"] if before is not None else []), "seizable", "accounts"]
    if not rows:
        return []
    title = f"### Bands of {escape(after.selected_factor)}"
    more = ["", f"and {len(rows) - _BANDS} bands more"] if len(rows) > _BANDS else []
    return [title, "", *_grid(head, rows[:_BANDS]), *more]


def _band_moves(bands: pl.DataFrame) -> list[str]:
    rows = []
    for row in bands.iter_rows(named=True):
        edges = "/".join("" if row[name] is None else f"{row[name] / 100:+g} %" for name in ("lower_bps", "upper_bps"))
        money = [f"${row[name]:,.0f}" for name in ("seizable_collateral_usd_before", "seizable_collateral_usd")]
        rows.append(
            [
                escape(f"{row['factor']} {edges}"),
                *map(escape, money),
                f"{row['account_count_before']} → {row['account_count']}",
            ]
        )
    return _grid(["band", "seizable before", "after", "accounts"], rows)
