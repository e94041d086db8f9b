"""The lens's 32-byte records as columns. Pure; ``lens.sol`` has the layout."""

from __future__ import annotations

from typing import Final

import polars as pl

__all__ = ["NO_FLAGS", "OVERSIZE", "RECORD_BYTES", "STABLE_RATE", "encode_record", "parse_records"]

RECORD_BYTES: Final = 32
STABLE_RATE: Final = 3
"""Side of the record with a stable debt's rate, which follows that with its principal."""
NO_FLAGS: Final = 4
"""Side of the record of an account that has an e-mode and nothing else."""
OVERSIZE: Final = 0x80
"""Bit of the side that says that the value needs more than 128 bits."""

_VALUE_BITS: Final = 128


def parse_records(records: bytes, first: int) -> pl.DataFrame:
    """Give row UInt32 (``first`` added), emode, reserve_id, side, extra Int64 and value UInt128, in record order."""
    count = len(records) // RECORD_BYTES
    if not count:
        return pl.DataFrame(schema=_SCHEMA)
    whole = pl.Series([records], dtype=pl.Binary)
    words = _split(whole, pl.UInt32, count * 8)
    head = words.gather_every(8, 1).cast(pl.Int64)
    extra = (words.gather_every(8, 2).cast(pl.Int64) % 2**8) * 2**32 + words.gather_every(8, 3).cast(pl.Int64)
    return pl.DataFrame(
        {
            "row": words.gather_every(8) + pl.Series([first], dtype=pl.UInt32),
            "emode": head // 2**24,
            "reserve_id": head // 2**16 % 2**8,
            "side": head // 2**8 % 2**8,
            "extra": extra,
            "value": _split(whole, pl.UInt128, count * 2).gather_every(2, 1),
        },
        schema=_SCHEMA,
    )


def encode_record(index: int, emode: int, reserve_id: int, side: int, extra: int, value: int) -> bytes:
    """Write a record as the lens does."""
    if value >> _VALUE_BITS:
        side, value = side | OVERSIZE, 0
    head = index << 224 | emode << 216 | reserve_id << 208 | side << 200
    return (head | extra << _VALUE_BITS | value).to_bytes(RECORD_BYTES, "big")


_SCHEMA: Final = pl.Schema(
    {
        "row": pl.UInt32,
        "emode": pl.Int64,
        "reserve_id": pl.Int64,
        "side": pl.Int64,
        "extra": pl.Int64,
        "value": pl.UInt128,
    }
)


def _split(whole: pl.Series, dtype: type[pl.DataType], count: int) -> pl.Series:
    """Cut one binary value into ``count`` big-endian integers."""
    return whole.bin.reinterpret(dtype=pl.Array(dtype, count), endianness="big").explode()
