"""The lens's 32-byte records as columns. Pure; ``lens.sol`` has the layout."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Final

import polars as pl

from scanner.errors import DecodeError
from scanner.protocols.aave_v3.detail import COLLATERAL, DEBT, STABLE_DEBT

__all__ = [
    "NO_FLAGS",
    "OVERSIZE",
    "RECORDS",
    "RECORD_BYTES",
    "STABLE_RATE",
    "check_records",
    "encode_record",
    "parse_records",
]

RECORD_BYTES: Final = 32
STABLE_RATE: Final = 3
"""Side of the record with a stable debt's rate, which follows that with its principal."""
NO_FLAGS: Final = 4
"""Side of the record of an account that has an e-mode and nothing else."""
OVERSIZE: Final = 0x80
"""Bit of the side that says that the value needs more than 128 bits."""

RECORDS: Final = pl.Schema(
    {
        "row": pl.UInt32,
        "emode": pl.Int64,
        "reserve_id": pl.Int64,
        "side": pl.Int64,
        "extra": pl.Int64,
        "value": pl.UInt128,
    }
)
"""Records as columns."""

_VALUE_BITS: Final = 128
_SIDES: Final = (COLLATERAL, DEBT, STABLE_DEBT, STABLE_RATE, NO_FLAGS)
_OVERSIZE_SIDES: Final = tuple(OVERSIZE | side for side in (COLLATERAL, DEBT, STABLE_DEBT))


def parse_records(parts: Sequence[tuple[int, bytes]]) -> pl.DataFrame:
    """Give row UInt32, emode, reserve_id, side, extra Int64 and value UInt128 of records, in their order.

    ``parts`` are runs of records with the row that their item indexes count from. All are read in one go: each step on
    a column costs as much as thousands of records.
    """
    counts = [len(records) // RECORD_BYTES for _, records in parts]
    if not any(counts):
        return pl.DataFrame(schema=RECORDS)
    whole = pl.Series([b"".join(records for _, records in parts)], dtype=pl.Binary)
    halves = whole.bin.reinterpret(dtype=pl.Array(pl.UInt128, 2 * sum(counts)), endianness="big").explode()
    first = pl.DataFrame(
        {"first": [first for first, _ in parts], "count": counts}, schema_overrides={"first": pl.UInt32}
    )
    head, half = pl.col("head"), pl.col("half")
    frame = halves.to_frame("half").select(half.gather_every(2).alias("head"), half.gather_every(2, 1).alias("value"))
    upper, lower = (head // 2**64).cast(pl.UInt64), head.cast(pl.UInt64, wrap_numerical=True)
    fields = frame.select(upper.alias("upper"), (lower % 2**40).cast(pl.Int64).alias("extra"), "value").hstack(
        first.select(pl.col("first").repeat_by("count").explode())
    )
    index, field = pl.col("upper") // 2**32, (pl.col("upper") % 2**32).cast(pl.Int64)
    return fields.select(
        (index.cast(pl.UInt32) + pl.col("first")).alias("row"),
        (field // 2**24).alias("emode"),
        (field // 2**16 % 2**8).alias("reserve_id"),
        (field // 2**8 % 2**8).alias("side"),
        "extra",
        "value",
    ).match_to_schema(RECORDS)


def check_records(records: pl.DataFrame, reserves: Collection[int], stable: Collection[int]) -> None:
    """Refuse records, sorted by row, that no account can have: they would be counted beside those that it has.

    reserves: ids in use. stable: those of them with stable debt. Raises DecodeError.
    """
    side, number, row = pl.col("side"), pl.col("reserve_id"), pl.col("row")
    principal, rate = side % OVERSIZE == STABLE_DEBT, side == STABLE_RATE
    same = (row == row.shift(1)) & (number == number.shift(1))
    parted = (rate != principal.shift(1, fill_value=False)) | (rate & ~same) | (principal.sum() != rate.sum())
    wrong = {
        "of a side that there is not": ~side.is_in([*_SIDES, *_OVERSIZE_SIDES]),
        "of a reserve that there is not": (side != NO_FLAGS) & ~number.is_in(list(reserves)),
        "of stable debt in a reserve without any": (principal | rate) & ~number.is_in(list(stable)),
        "of a stable debt without its rate, or of a rate without its debt": parted,
    }
    seen = records.select(
        *(test.any().alias(name) for name, test in wrong.items()),
        ((row.cast(pl.Int64) * 2**16 + number * 2**8 + side % OVERSIZE).n_unique() != pl.len()).alias("told twice"),
    )
    for name, is_wrong in seen.row(0, named=True).items():
        if is_wrong:
            raise DecodeError(f"the lens gave a record {name}")


def encode_record(index: int, emode: int, reserve_id: int, side: int, extra: int, value: int) -> bytes:
    """Write a record as the lens does."""
    if value >> _VALUE_BITS:
        side, value = side | OVERSIZE, 0
    head = index << 224 | emode << 216 | reserve_id << 208 | side << 200
    return (head | extra << _VALUE_BITS | value).to_bytes(RECORD_BYTES, "big")
