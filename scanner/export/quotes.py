"""The quotes document, and its form with a quote a line. `docs/json.md` describes every field."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import msgspec
import polars as pl

from scanner.export.documents import SCHEMA_VERSION, snapshot_document
from scanner.export.rows import addresses_outside, no_infinity, quote_rows
from scanner.results import ScanResult
from scanner.views import eip55

__all__ = ["quotes_json", "quotes_ndjson"]


def quotes_json(result: ScanResult, quotes: pl.DataFrame, timestamp: int) -> bytes:
    """Write the quotes document, a quote a line: a frame ``quotes.QUOTES`` and the time that it was computed for."""
    head = {
        **_head(result, "quotes"),
        "for_timestamp": timestamp,
        "skipped": no_infinity(addresses_outside(result.frames["skipped"])).to_dicts(),
        "warnings": [eip55(text) for text in result.warnings],
    }
    lines = _lines(quotes)
    body = ("\n" + ",\n".join(lines) if lines else "").encode()
    return msgspec.json.encode(head)[:-1] + b',"quotes":[' + body + b"\n]}\n"


def quotes_ndjson(result: ScanResult, quotes: pl.DataFrame) -> Iterator[bytes]:
    """Write a snapshot line, then a line per quote."""
    yield msgspec.json.encode(_head(result, "snapshot")) + b"\n"
    if lines := _lines(quotes):
        yield ("\n".join(lines) + "\n").encode()


def _head(result: ScanResult, kind: str) -> dict[str, Any]:
    return {"schema_version": SCHEMA_VERSION, "kind": kind, "snapshot": snapshot_document(result)}


def _lines(quotes: pl.DataFrame) -> list[str]:
    if quotes.is_empty():
        return []
    return quote_rows(quotes).select(pl.struct(pl.all()).struct.json_encode().alias("json"))["json"].to_list()
