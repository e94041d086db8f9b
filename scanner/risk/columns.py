"""Non-negative integers that are either one number or a column of Int128, and what prices need of them. Pure."""

from __future__ import annotations

from math import gcd

import polars as pl

from scanner.exact import INT128_MAX, mul_div_down

__all__ = ["Values", "as_column", "least", "times"]

Values = pl.Series | int


def as_column(values: Values, height: int) -> pl.Series:
    """Repeat an int to a column of Int128; a column stays as it is."""
    return pl.repeat(values, height, dtype=pl.Int128, eager=True) if isinstance(values, int) else values


def least(values: Values, cap: Values) -> Values:
    """Give the smaller of two, per row."""
    if isinstance(values, int):
        return min(values, cap) if isinstance(cap, int) else least(cap, values)
    if isinstance(cap, int):
        return values.clip(upper_bound=cap) if cap <= INT128_MAX else values
    return values.zip_with(values <= cap, cap)


def times(left: Values, right: Values, mul: int, div: int) -> Values:
    """Give floor(left * right * mul / div); raises OverflowError where that or a factor leaves 127 bits."""
    if isinstance(left, int):
        if isinstance(right, int):
            return left * right * mul // div
        left, right = right, left
    common = gcd(mul, div)
    mul, div = mul // common, div // common
    if isinstance(right, int):
        common = gcd(right * mul, div) or 1
        return mul_div_down(left, right * mul // common, div // common)
    largest = right.max()
    if isinstance(largest, int) and largest * mul > INT128_MAX:
        raise OverflowError("a price needs more than 127 bits")
    return mul_div_down(left, right * pl.Series([mul], dtype=pl.Int128), div)
