"""Findings of a check in words, the same in every output. Pure."""

from __future__ import annotations

from typing import Final

import polars as pl

from scanner.results import Snapshot
from scanner.verdict import Finding, Verdict
from scanner.views import eip55

__all__ = ["allowed_text", "details", "headline", "one_line", "place", "summary_line", "tame", "value_text"]

_SHOWN: Final = 10


def one_line(text: str) -> str:
    """Put text on one line without characters that steer a terminal; names on a chain are anybody's."""
    return " ".join("".join(char if char.isprintable() else " " for char in text).split())


def tame(text: str) -> str:
    """Put text on one line that neither a terminal nor a CI system takes for a command."""
    return one_line(text).replace("::", ": :").replace("##[", "## [")


def value_text(finding: Finding) -> str:
    """Write what was measured; ``?`` when unknown."""
    return _number(finding, finding.value)


def allowed_text(finding: Finding) -> str:
    """Write what is allowed, a share with the dollars that it comes to."""
    number = _number(finding, finding.allowed)
    if finding.limit.startswith("require_"):
        return f"at least {number}"
    if finding.written.endswith("%"):
        return f"{finding.written} ({number})"
    return number


def _number(finding: Finding, value: float | None) -> str:
    if value is None:
        return "?"
    return f"${value:,.0f}" if finding.unit == "usd" else f"{value:,.0f}"


def headline(finding: Finding) -> str:
    """Say in one line what became of a limit."""
    if finding.outcome == "unjudged":
        return one_line(f"{finding.name} cannot be judged: {finding.reason}")
    return one_line(f"{finding.name}: {finding.reason}, {allowed_text(finding)} allowed")


def details(finding: Finding, verdict: Verdict, shown: int = _SHOWN) -> list[str]:
    """Say which accounts, which band, which block, and how to see it again; one line each."""
    lines = []
    if finding.accounts is not None and finding.accounts.height:
        some = ", ".join(_account_words(finding.accounts.head(shown)))
        more = finding.accounts.height - shown
        lines.append(f"accounts, largest first: {some}" + (f" and {more:,} more" if more > 0 else ""))
    if finding.span is not None:
        span = finding.span
        lines.append(f"price band: {span.factor} ${span.lower_price_usd:,.2f} to ${span.upper_price_usd:,.2f}")
    lines.append(place(verdict.after.snapshot))
    if finding.reproduce:
        lines.append(f"reproduce: {finding.reproduce}")
    return [one_line(line) for line in lines]


def _account_words(rows: pl.DataFrame) -> list[str]:
    """Name accounts, each with its dollars where they are known."""
    return [
        eip55(account if position == account else f"{account} ({position})") + ("" if usd is None else f" ${usd:,.0f}")
        for position, account, usd in rows.select("position", "account", "amount_usd").iter_rows()
    ]


def place(snapshot: Snapshot) -> str:
    """Name the block."""
    return f"block {snapshot.block_number} {snapshot.block_hash} of chain {snapshot.chain_id}"


def summary_line(verdict: Verdict) -> str:
    """Say in one line how a check went."""
    parts = [
        f"{len(found)} {word}"
        for outcome, word in (("broken", "broken"), ("unjudged", "not judged"), ("holds", "kept"))
        if (found := verdict.of(outcome))  # type: ignore[arg-type]
    ]
    text = "limits: " + (", ".join(parts) or "none")
    return text + (f"; data cannot be trusted: {'; '.join(f.text for f in verdict.faults)}" if verdict.faults else "")
