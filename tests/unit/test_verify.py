"""Which accounts are verified: a draw that every machine makes alike from one text."""

from __future__ import annotations

import polars as pl

from scanner.verify import choose_rows

HASH = "0x" + "5e" * 32


def frames(count: int) -> tuple[pl.DataFrame, pl.DataFrame]:
    rows = pl.Series("row", range(count), dtype=pl.UInt32)
    names = [f"0x{row:040x}" for row in range(count)]
    health = pl.DataFrame({"row": rows, "health_factor": [2.0 + row for row in range(count)]})
    return health, pl.DataFrame({"row": rows, "position": names})


def test_the_draw_is_the_same_with_every_version() -> None:
    health, accounts = frames(1_000)

    rows = choose_rows(health, accounts, "sample", HASH)

    assert rows == sorted(set(rows))
    assert set(range(50)) <= set(rows)  # nearest to a health factor of one
    assert 200 <= len(rows) <= 250
    assert [row for row in rows if row >= 50][:8] == FIRST
    assert rows != choose_rows(health, accounts, "sample", "0x" + "5f" * 32)


def test_an_accounts_lot_does_not_depend_on_its_row() -> None:
    health, accounts = frames(1_000)
    turned = accounts.with_columns(pl.col("position").reverse())

    drawn = set(
        accounts["position"].gather([row for row in choose_rows(health, accounts, "sample", HASH) if row >= 50])
    )
    again = set(turned["position"].gather([row for row in choose_rows(health, turned, "sample", HASH) if row >= 50]))

    nearest = {*accounts["position"][:50], *turned["position"][:50]}
    assert drawn - nearest == again - nearest


def test_all_and_none() -> None:
    health, accounts = frames(3)

    assert choose_rows(health, accounts, "all", HASH) == [0, 1, 2]
    assert choose_rows(health, accounts, "sample", HASH) == [0, 1, 2]
    assert choose_rows(health, accounts, "none", HASH) == []


FIRST = [54, 55, 63, 67, 69, 70, 79, 87]
