"""Fixed-point constants, exact integer helpers with the rounding in each name, and the shape of an address.

All helpers take and give non-negative Python integers of any size.
"""

from __future__ import annotations

import re
from typing import Final

__all__ = [
    "ADDRESS",
    "BPS",
    "RAY",
    "SECONDS_PER_YEAR",
    "WAD",
    "mul_div_down",
    "mul_div_half_up",
    "mul_div_up",
]

RAY: Final = 10**27
WAD: Final = 10**18
BPS: Final = 10_000
SECONDS_PER_YEAR: Final = 365 * 24 * 3600
ADDRESS: Final = re.compile(r"(?<![0-9a-zA-Z])0x[0-9a-fA-F]{40}(?![0-9a-zA-Z])")  # not the beginning of a hash


def mul_div_down(a: int, b: int, denominator: int) -> int:
    """Multiply, divide, round towards zero."""
    return a * b // denominator


def mul_div_up(a: int, b: int, denominator: int) -> int:
    """Multiply, divide, round towards positive infinity."""
    return -(-a * b // denominator)


def mul_div_half_up(a: int, b: int, denominator: int) -> int:
    """Multiply, divide, round to nearest, halves upwards."""
    return (a * b + denominator // 2) // denominator
