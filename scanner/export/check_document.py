"""The documents of `liqbands check` and `liqbands diff`. `docs/json.md` describes every field."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

import msgspec
import polars as pl

from scanner.diff import Difference, Total
from scanner.export.documents import SCHEMA_VERSION, snapshot_fields
from scanner.export.rows import addresses_outside, no_infinity
from scanner.facts import Facts, Fault
from scanner.findings import headline
from scanner.verdict import Finding, Verdict
from scanner.views import eip55

__all__ = ["check_document", "check_json", "diff_document", "diff_json"]

_ACCOUNTS: Final = 10_000
_ACCOUNT: Final = (
    "chain_id",
    "protocol",
    "market_id",
    "position",
    "account",
    "status",
    "health_factor_wad",
    "collateral_usd",
    "debt_usd",
    "seizable_usd",
)
_MOVED: Final = ("status", "health_factor_wad", "collateral_usd", "debt_usd")
Document = dict[str, Any]


def check_document(verdict: Verdict, table: Sequence[Mapping[str, Any]] | None = None) -> Document:
    """Build the check document; ``table`` are the rows of what a change of parameters does, None without one."""
    return {
        **_head("check", verdict.after),
        "exit_code": verdict.exit_code,
        "passed": verdict.exit_code == 0,
        "faults": [_fault(fault, counts=True) for fault in verdict.faults]
        + [_fault(fault, counts=False) for fault in verdict.forgiven],
        "limits": [_finding(finding) for finding in verdict.findings],
        "newly_liquidatable": None
        if verdict.newly is None
        else {**_listed(verdict.newly, (*_ACCOUNT, "health_before")), "newly_unpriced": verdict.newly_unpriced},
        "before": None if verdict.before is None else _totals(verdict.before),
        "after": _totals(verdict.after),
        "baseline": None if verdict.baseline is None else _side(verdict.baseline),
        "table": None if table is None else [_spelled(row) for row in table],
    }


def check_json(verdict: Verdict, table: Sequence[Mapping[str, Any]] | None = None) -> bytes:
    """Write the check document."""
    return _pretty(check_document(verdict, table))


def diff_document(difference: Difference) -> Document:
    """Build the diff document; its snapshot is that of the later scan."""
    one = difference
    return {
        **_head("diff", one.after),
        "before": _side(one.before),
        "after": _side(one.after),
        "different": one.different,
        "totals": [_total(total) for total in one.totals],
        "prices": [_total(price) for price in one.prices],
        "accounts": {
            name: None if rows is None else _listed(rows, (*_ACCOUNT, *(f"{column}_before" for column in _MOVED)))
            for name, rows in one.parts.items()
        },
        "bands": None if one.bands is None else _rows(one.bands),
    }


def diff_json(difference: Difference) -> bytes:
    """Write the diff document."""
    return _pretty(diff_document(difference))


def _head(kind: str, facts: Facts) -> Document:
    return {"schema_version": SCHEMA_VERSION, "kind": kind, "snapshot": snapshot_fields(facts.snapshot)}


def _pretty(document: Document) -> bytes:
    return msgspec.json.format(msgspec.json.encode(document), indent=2) + b"\n"


def _spelled(row: Mapping[str, Any]) -> Document:
    return {name: eip55(value) if isinstance(value, str) else value for name, value in row.items()}


def _fault(fault: Fault, *, counts: bool) -> Document:
    return {"kind": fault.kind, "text": eip55(fault.text), "counts": counts}


def _finding(finding: Finding) -> Document:
    rows = finding.accounts
    span = finding.span
    return {
        "limit": finding.limit,
        "at": None if finding.at is None else str(finding.at),
        "outcome": finding.outcome,
        "unit": finding.unit,
        "value": finding.value,
        "allowed": finding.allowed,
        "written": finding.written,
        "text": eip55(headline(finding)),
        "band": None
        if span is None
        else {
            "factor": span.factor,
            "lower_price_usd": span.lower_price_usd,
            "upper_price_usd": span.upper_price_usd,
        },
        "accounts": None if rows is None or finding.outcome == "holds" else _listed(rows, (*_ACCOUNT, "amount_usd")),
        "reproduce": eip55(finding.reproduce) or None,
    }


def _listed(rows: pl.DataFrame, columns: Sequence[str]) -> Document:
    return {"account_count": rows.height, "accounts": _rows(rows.head(_ACCOUNTS).select(columns))}


def _rows(rows: pl.DataFrame) -> list[Document]:
    return no_infinity(addresses_outside(rows)).to_dicts()


def _totals(facts: Facts) -> Document:
    totals: Document = {
        "account_count": facts.account_count,
        "collateral_usd": facts.collateral_usd,
        "debt_usd": facts.debt_usd,
    }
    for status, total in facts.totals.items():
        totals[status] = {
            "account_count": total.account_count,
            "collateral_usd": total.collateral_usd,
            "debt_usd": total.debt_usd,
            "seizable_collateral_usd": total.seizable_collateral_usd,
        }
    return totals


def _side(facts: Facts) -> Document:
    one = facts.snapshot
    return {
        "name": facts.name,
        "chain_id": one.chain_id,
        "block_number": one.block_number,
        "block_hash": one.block_hash,
        "block_timestamp": one.block_timestamp,
        "complete": one.complete,
        "what_if": [eip55(text) for text in one.what_if],
        **_totals(facts),
    }


def _total(total: Total) -> Document:
    return {"name": total.name, "before": total.before, "after": total.after, "change": total.change}
