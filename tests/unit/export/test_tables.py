"""Tables keep every row, and no cell of theirs is a formula."""

from __future__ import annotations

import csv
import io
import json

import polars as pl
import pytest

from scanner.export import tables
from tests.unit.render import sample

SCAN = sample.scan()


def rows_of(data: bytes) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(data.decode(), newline="")))


def test_accounts_csv_has_a_row_per_account_with_its_liquidation_price() -> None:
    rows = rows_of(tables.accounts_csv(SCAN))
    points = {row["position"]: row for row in SCAN.frames["liquidation_points"].iter_rows(named=True)}

    assert len(rows) == 600
    for row in rows:
        point = points.get(row["position"].lower())
        assert row["trigger_answer"] == ((point or {}).get("trigger_answer") or "")
        assert row["block_number"] == "24720899"


def test_bands_csv_has_every_band() -> None:
    rows = rows_of(tables.bands_csv(SCAN))

    assert [int(row["band"]) for row in rows] == SCAN.frames["bands"]["band"].to_list()
    assert sum(float(row["seizable_collateral_usd"]) for row in rows) == pytest.approx(
        SCAN.frames["bands"]["seizable_collateral_usd"].sum()
    )


@pytest.mark.parametrize("symbol", ["=1+1", "+cmd", "-2+3", "@SUM(A1)", "\t=1", "\u202e=x", "|calc", "%0A"])
def test_symbols_cannot_become_formulas(symbol: str) -> None:
    for row in rows_of(tables.accounts_csv(sample.hostile(SCAN, symbol))):
        assert not row["collateral_symbols"].startswith(("=", "+", "-", "@", "\t", "\r", "|", "%"))


def test_negative_numbers_stay_numbers() -> None:
    assert any(row["lower_bps"].startswith("-") for row in rows_of(tables.bands_csv(SCAN)))


def test_parquet_has_exact_integers_that_other_readers_know() -> None:
    data = tables.accounts_parquet(SCAN)
    frame = pl.read_parquet(io.BytesIO(data))
    inside = SCAN.frames["accounts"].select("position", "debt_raw")

    def has_wide(dtype: pl.DataType) -> bool:
        return "Int128" in str(dtype)

    assert not [name for name, dtype in frame.schema.items() if has_wide(dtype)]
    assert frame.schema["debt_base"] == pl.Decimal(38, 0)
    joined = frame.with_columns(pl.col("position").str.to_lowercase()).join(inside, on="position", validate="1:1")
    assert joined["debt_base"].equals(joined["debt_raw"], null_equal=True)
    assert frame["collateral"].list.len().sum() == 600


@pytest.mark.parametrize("write", [tables.accounts_parquet, tables.bands_parquet])
def test_parquet_names_its_block(write) -> None:  # type: ignore[no-untyped-def]
    head = json.loads(pl.read_parquet_metadata(io.BytesIO(write(SCAN)))["liqbands"])

    assert head["snapshot"]["block_hash"] == SCAN.snapshot.block_hash
    assert head["schema_version"] == "1.0"
