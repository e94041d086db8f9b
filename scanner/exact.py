"""Exact integer arithmetic on polars Int128 columns, whose own + - * wrap silently.

Products of two columns need up to 254 bits. With ``q~`` the float64 estimate of ``a * b / d``, the residue
``a * b + h - q~ * d`` is right in wrapping arithmetic whenever its true size is below 2^127, and then
``q~ + residue // d`` is the exact quotient. Rows for which that bound is not proven go through Python integers.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, Literal

import polars as pl

__all__ = [
    "INT128_MAX",
    "from_raw",
    "mul_div_down",
    "mul_div_either",
    "mul_div_half_up",
    "mul_div_up",
    "ratio",
    "run_ends",
    "run_sums",
    "sum_by",
    "to_float",
    "to_int128",
    "to_raw",
]

INT128_MAX: Final = 2**127 - 1

_LIMIT: Final = 2.0**126
# Three casts and two operations, each off by at most 2^-53 of the value, stay below 2^-50; one bit is spare.
_ESTIMATE_ERROR: Final = 2.0**-49

Number = pl.Series | int
Rounding = Literal["down", "up", "half_up"]

_ONE: Final = pl.Series([1], dtype=pl.Int128)
_TWO: Final = pl.Series([2], dtype=pl.Int128)


def mul_div_down(a: pl.Series, b: Number, d: Number) -> pl.Series:
    """Give floor(a * b / d) per row, exactly.

    All operands are Int128 (or int) with a, b ≥ 0 and d ≥ 1; null where an operand is null.
    Raises OverflowError when a result is 2^127 or more, ValueError for a negative operand or d < 1.
    """
    return _mul_div(a, b, d, "down")


def mul_div_up(a: pl.Series, b: Number, d: Number) -> pl.Series:
    """Give ceil(a * b / d) per row; else as ``mul_div_down``."""
    return _mul_div(a, b, d, "up")


def mul_div_half_up(a: pl.Series, b: Number, d: Number) -> pl.Series:
    """Give (a * b + d // 2) // d per row, Aave's rounding to nearest; else as ``mul_div_down``."""
    return _mul_div(a, b, d, "half_up")


def mul_div_either(a: pl.Series, b: Number, d: Number, up: pl.Series) -> pl.Series:
    """Give ceil(a * b / d) in the rows where ``up`` is, floor(a * b / d) in the others; else as ``mul_div_down``."""
    return _mul_div(a, b, d, up)


def to_int128(value: Number) -> pl.Series:
    """Give a column of Int128 (one row for an int); Decimal(38, 0) and integer columns come without loss."""
    return pl.Series([value], dtype=pl.Int128) if isinstance(value, int) else value.cast(pl.Int128)


def to_raw(series: pl.Series) -> pl.Series:
    """Give Int128 as Decimal(38, 0); raises OverflowError at 10^38 and above."""
    try:
        return series.cast(pl.Decimal(38, 0))
    except pl.exceptions.InvalidOperationError as error:
        raise OverflowError(f"column {series.name!r} holds an amount of 10^38 or more") from error


def from_raw(series: pl.Series) -> pl.Series:
    """Give Decimal(38, 0) as Int128."""
    return series.cast(pl.Int128)


def to_float(series: pl.Series) -> pl.Series:
    """Give the nearest float64 of each integer."""
    return series.cast(pl.Float64)


def ratio(numerator: pl.Series, denominator: float) -> pl.Series:
    """Divide to the nearest Float64; by a scalar polars multiplies with the reciprocal: 83 / 100 is not 0.83 there."""
    return to_float(numerator) / pl.Series([denominator], dtype=pl.Float64).new_from_index(0, numerator.len())


def sum_by(frame: pl.DataFrame, by: str | Sequence[str], columns: Sequence[str]) -> pl.DataFrame:
    """Sum integer columns per group, exactly; groups in order of appearance.

    Takes Int128, Decimal(38, 0) or smaller integers, gives Int128. A group with a null sums to null: unknown is not
    zero. Raises OverflowError when a sum leaves (-2^127, 2^127).
    """
    keys = [by] if isinstance(by, str) else list(by)
    frame = frame.select(*keys, *(pl.col(c).cast(pl.Int128) for c in columns))
    sizes = [pl.col(c).cast(pl.Float64).abs().sum().alias(f"{c}|size") for c in columns]
    unsafe = any(size >= _LIMIT for size in frame.select(sizes).row(0)) if columns else False
    nulls = [c for c in columns if frame[c].null_count()]
    sums = [
        pl.when(pl.col(c).null_count() == 0).then(pl.col(c).sum()).alias(c) if c in nulls else pl.col(c).sum()
        for c in columns
    ]
    grouped = frame.group_by(keys, maintain_order=True).agg(*sums, *(sizes if unsafe else ()))
    if unsafe:
        _check_sums(frame, grouped, keys, columns)
    return grouped.select(*keys, *columns)


def run_ends(row: pl.Series, height: int) -> pl.Series:
    """Give where the run of each of 0..height-1 ends in ascending ``row`` (UInt32), as ``run_sums`` takes it."""
    runs = row.rle().struct
    ends = pl.Series([0], dtype=pl.UInt32).new_from_index(0, height)
    return ends.scatter(runs.field("value"), runs.field("len").cum_sum()).cum_max()


def run_sums(ends: pl.Series, *columns: pl.Series) -> list[pl.Series]:
    """Sum consecutive runs of Int128 columns; a run ends before the row that ``ends`` gives, ascending.

    Exact where each run's sum fits: running totals may wrap, their differences do not.
    """
    zero = pl.Series([0], dtype=pl.Int128)
    totals = [pl.concat([zero, column.cum_sum()]).gather(ends) for column in columns]
    return [total - total.shift(1, fill_value=0) for total in totals]


def _check_sums(frame: pl.DataFrame, grouped: pl.DataFrame, keys: list[str], columns: Sequence[str]) -> None:
    """Sum the groups that might overflow again with Python integers; a total that fits did not wrap."""
    for column in columns:
        large = grouped.filter(pl.col(f"{column}|size") >= _LIMIT).select(keys)
        rows = frame.join(large, on=keys, how="semi", nulls_equal=True).drop_nulls(column)
        for values in rows.group_by(keys).agg(pl.col(column))[column]:
            if abs(sum(values.to_list())) > INT128_MAX:
                raise OverflowError(f"a sum of column {column!r} needs more than 127 bits")


def _mul_div(a: pl.Series, b: Number, d: Number, rounding: Rounding | pl.Series) -> pl.Series:
    x, y, z = _aligned(to_int128(a), to_int128(b), to_int128(d))
    if x.len() == 0:
        return x
    for operand, least in ((x, 0), (y, 0), (z, 1)):
        lowest = operand.min()
        if isinstance(lowest, int) and lowest < least:
            raise ValueError(f"an operand of an exact quotient is below {least}")
    divisor = z.cast(pl.Float64)
    estimate = x.cast(pl.Float64) * y.cast(pl.Float64) / divisor
    open_rows = _open_rows(estimate, divisor)
    near = estimate.cast(pl.Int128, strict=False)
    residue = x * y - near * z
    if isinstance(rounding, pl.Series):
        residue = (residue + (z - _ONE)).zip_with(rounding, residue)
    elif rounding != "down":
        residue = residue + (z - _ONE if rounding == "up" else z // _TWO)
    result = near + residue // z
    if open_rows is not None:
        result = result.scatter(open_rows, _by_python(x, y, z, open_rows, rounding))
    return result.alias(a.name)


def _open_rows(estimate: pl.Series, divisor: pl.Series) -> pl.Series | None:
    """List the rows for which the residue is not proven to fit; None where there are none, mostly by the extremes."""
    largest, widest = estimate.max(), divisor.max()
    if isinstance(largest, float) and isinstance(widest, float):
        if widest * (largest * _ESTIMATE_ERROR + 3.0) < _LIMIT and largest < _LIMIT:
            return None
    elif estimate.null_count() == estimate.len():
        return None
    rows = (~((divisor * (estimate * _ESTIMATE_ERROR + 3.0) < _LIMIT) & (estimate < _LIMIT))).arg_true()
    return rows if rows.len() else None


def _aligned(*operands: pl.Series) -> tuple[pl.Series, ...]:
    """Check that operands have the first one's length or are scalars, which polars repeats by itself."""
    height = operands[0].len()
    for operand in operands[1:]:
        if operand.len() not in (1, height):
            raise ValueError(f"operands of {height} and {operand.len()} rows")
    return operands


def _by_python(a: pl.Series, b: pl.Series, d: pl.Series, rows: pl.Series, rounding: Rounding | pl.Series) -> pl.Series:
    x, y, z = (s.gather(rows).to_list() if s.len() > 1 else s.to_list() * rows.len() for s in (a, b, d))
    if isinstance(rounding, pl.Series):
        ups = rounding.gather(rows)
        values = [-(-p * q // r) if up else p * q // r for p, q, r, up in zip(x, y, z, ups, strict=True)]
    elif rounding == "down":
        values = [p * q // r for p, q, r in zip(x, y, z, strict=True)]
    elif rounding == "up":
        values = [-(-p * q // r) for p, q, r in zip(x, y, z, strict=True)]
    else:
        values = [(p * q + r // 2) // r for p, q, r in zip(x, y, z, strict=True)]
    if max(values) > INT128_MAX:
        raise OverflowError("an exact quotient needs more than 127 bits")
    return pl.Series(values, dtype=pl.Int128)
