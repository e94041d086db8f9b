"""The narrowest price ranges that hold a given share of what is seizable. Pure."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import accumulate
from typing import Final

import polars as pl

from scanner.frames import DENSE_BANDS, conform
from scanner.risk.band_edges import Reference
from scanner.units import BPS

__all__ = ["DEPTH_BPS", "SHARES", "dense_bands"]

SHARES: Final = (Fraction(1, 4), Fraction(1, 2), Fraction(3, 4))
DEPTH_BPS: Final = 2000
_MICRO: Final = 10**6  # values are summed in millionths of a dollar, so that sums do not depend on their order


@dataclass(frozen=True)
class _Fall:
    """A position whose trigger lies between two cents (equal when it is a whole number of them)."""

    floor: int
    ceiling: int
    value: int
    position: str


def dense_bands(
    factor: str,
    impacts: pl.DataFrame,
    references: Mapping[str, Reference],
    shares: Sequence[Fraction] = SHARES,
    depth_bps: int = DEPTH_BPS,
) -> pl.DataFrame:
    """Find, per share of what is seizable down to the depth, the narrowest range with cent edges that holds it.

    Both edges belong to the range; among equally narrow ones the highest counts. Gives frame DENSE_BANDS, empty
    where nothing is seizable.
    """
    falls = _falls(impacts, references, depth_bps)
    total = sum(fall.value for fall in falls)
    if not total:
        return conform(pl.DataFrame(schema=dict(DENSE_BANDS)), "dense_bands")
    rows = []
    for share in shares:
        lower, upper = _narrowest(falls, -(-total * share.numerator // share.denominator))
        held = [fall for fall in falls if lower <= fall.floor and fall.ceiling <= upper]
        largest = min(held, key=lambda fall: (-fall.value, fall.position))
        value = sum(fall.value for fall in held) / _MICRO
        rows.append(
            (factor, float(share), lower / 100, upper / 100, value, len(held), largest.position, largest.value / _MICRO)
        )
    return conform(pl.DataFrame(rows, schema=dict(DENSE_BANDS), orient="row"), "dense_bands")


def _falls(impacts: pl.DataFrame, references: Mapping[str, Reference], depth_bps: int) -> list[_Fall]:
    chosen = impacts.filter((pl.col("direction") == "down") & (pl.col("seizable_usd") > 0))
    falls = []
    for market, position, answer, value in chosen.select("market_id", "position", "answer", "seizable_usd").iter_rows():
        reference = references[market]
        if answer * BPS < reference.answer * (BPS - depth_bps):
            continue
        cents = 100 * reference.usd_per_unit
        floor, rest = divmod(answer * cents.numerator, cents.denominator)
        falls.append(_Fall(floor, floor + (rest > 0), round(value * _MICRO), position))
    return falls


def _narrowest(falls: Sequence[_Fall], wanted: int) -> tuple[int, int]:
    """Give the narrowest range of cents that holds a value.

    A range holds all whose ceiling is at or below its upper edge, less those whose floor is below its lower edge.
    """
    floors = sorted((fall.floor, fall.value) for fall in falls)
    ceilings = sorted((fall.ceiling, fall.value) for fall in falls)
    below = [0, *accumulate(value for _, value in floors)]
    up_to = list(accumulate(value for _, value in ceilings))
    found: list[tuple[int, int, int]] = []
    for index, (lower, _) in enumerate(floors):
        if index and floors[index - 1][0] == lower:
            continue
        at = bisect_left(up_to, wanted + below[index])
        if at < len(ceilings):
            found.append((ceilings[at][0] - lower, -lower, ceilings[at][0]))
    _, lower, upper = min(found)
    return -lower, upper
