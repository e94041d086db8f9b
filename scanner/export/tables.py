"""Flat and nested tables: CSV for spreadsheets, Parquet for analysis."""

from __future__ import annotations

import io
from typing import Final

import msgspec
import polars as pl

from scanner.export.documents import SCHEMA_VERSION, snapshot_document
from scanner.export.rows import account_rows, addresses_outside, no_infinity, quote_rows
from scanner.frames import POSITION_KEY
from scanner.results import ScanResult
from scanner.views import nearest_points

__all__ = ["accounts_csv", "accounts_parquet", "bands_csv", "bands_parquet", "quotes_csv"]

# A spreadsheet takes a cell that begins so for a formula; symbols and names come from contracts that anybody deploys.
_FORMULA: Final = r"^[=+\-@|%\t\r\n]"
_CONTROL: Final = r"[\x00-\x1f\x7f-\x9f\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff]"


def accounts_csv(result: ScanResult) -> bytes:
    """Write a row per account: totals, health factor, the nearer liquidation price on the selected factor, symbols."""
    rows = account_rows(result)
    names = [
        pl.col(side)
        .list.eval(pl.element().struct.field("symbol"))
        .list.unique(maintain_order=True)
        .list.join("+")
        .alias(f"{side}_symbols")
        for side in ("collateral", "debt")
    ]
    columns = {
        "factor": "factor",
        "direction": "direction",
        "lower_ratio": "ratio",
        "price_usd": "price_usd",
        "trigger_answer": "trigger_answer",
    }
    points = addresses_outside(nearest_points(result)).select(
        *POSITION_KEY, *(pl.col(old).alias(new) for old, new in columns.items())
    )
    flat = rows.select(pl.exclude("collateral", "debt", "liquidation_points", "triggers", "seizures"), *names)
    flat = flat.join(points, on=POSITION_KEY, how="left", validate="1:1", maintain_order="left")
    return _csv(_stamped(flat, result))


def bands_csv(result: ScanResult) -> bytes:
    """Write a row per band of every factor."""
    return _csv(_stamped(addresses_outside(result.frames["bands"]), result))


def quotes_csv(result: ScanResult, quotes: pl.DataFrame) -> bytes:
    """Write a row per quote (frame ``quotes.QUOTES``)."""
    return _csv(_stamped(quote_rows(quotes), result))


def accounts_parquet(result: ScanResult) -> bytes:
    """Write a row per account, legs and prices nested; raw integers are Decimal(38, 0)."""
    return _parquet(account_rows(result), result, "accounts")


def bands_parquet(result: ScanResult) -> bytes:
    """Write a row per band of every factor."""
    return _parquet(addresses_outside(result.frames["bands"]), result, "bands")


def _stamped(frame: pl.DataFrame, result: ScanResult) -> pl.DataFrame:
    """Put the block on every row, since a CSV file has no place of its own for it."""
    one = result.snapshot
    return frame.with_columns(
        pl.lit(one.block_number, pl.Int64).alias("block_number"),
        pl.lit(one.block_hash).alias("block_hash"),
        pl.lit(one.complete, pl.Boolean).alias("complete"),
    )


def _csv(frame: pl.DataFrame) -> bytes:
    texts = [column for column, dtype in frame.schema.items() if dtype == pl.String]
    safe = [pl.col(column).str.replace_all(_CONTROL, "").str.replace(_FORMULA, "'$0").alias(column) for column in texts]
    return no_infinity(frame.with_columns(safe)).write_csv().encode()


def _parquet(frame: pl.DataFrame, result: ScanResult, kind: str) -> bytes:
    file = io.BytesIO()
    head = {"schema_version": SCHEMA_VERSION, "kind": kind, "snapshot": snapshot_document(result)}
    no_infinity(frame).write_parquet(
        file, compression="zstd", metadata={"liqbands": msgspec.json.encode(head).decode()}
    )
    return file.getvalue()
