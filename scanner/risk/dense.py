"""The narrowest price ranges that hold a given share of what is seizable. Pure."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Mapping, Sequence
from fractions import Fraction
from itertools import accumulate
from typing import Final

import polars as pl

from scanner.exact import mul_div_down, mul_div_up
from scanner.frames import DENSE_BANDS, conform
from scanner.risk.band_edges import Reference
from scanner.units import BPS

__all__ = ["DEPTH_BPS", "SHARES", "dense_bands"]

SHARES: Final = (Fraction(1, 4), Fraction(1, 2), Fraction(3, 4))
DEPTH_BPS: Final = 2000
_MICRO: Final = 10**6  # values are summed in millionths of a dollar, so that sums do not depend on their order
_FALLS: Final = pl.Schema({"position": pl.String, "value": pl.Int128, "floor": pl.Int128, "ceiling": pl.Int128})


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
    total = int(falls["value"].sum())
    if not total:
        return conform(pl.DataFrame(schema=dict(DENSE_BANDS)), "dense_bands")
    rows = []
    for share in shares:
        lower, upper = _narrowest(falls, -(-total * share.numerator // share.denominator))
        held = falls.filter((pl.col("floor") >= lower) & (pl.col("ceiling") <= upper))
        largest = held.sort("value", "position", descending=[True, False]).row(0, named=True)
        value, most = int(held["value"].sum()) / _MICRO, largest["value"] / _MICRO
        rows.append((factor, float(share), lower / 100, upper / 100, value, held.height, largest["position"], most))
    return conform(pl.DataFrame(rows, schema=dict(DENSE_BANDS), orient="row"), "dense_bands")


def _falls(impacts: pl.DataFrame, references: Mapping[str, Reference], depth_bps: int) -> pl.DataFrame:
    """Give position, value (millionths of a dollar), and the cents around each trigger (equal on a whole cent)."""
    chosen = impacts.filter((pl.col("direction") == "down") & (pl.col("seizable_usd") > 0))
    parts = []
    for (market,), part in chosen.partition_by(["market_id"], as_dict=True).items():
        reference = references[str(market)]
        lowest = -(-reference.answer * (BPS - depth_bps) // BPS)
        part = part.filter(pl.col("answer") >= pl.lit(lowest, pl.Int128))
        cents = 100 * reference.usd_per_unit
        answer = part["answer"]
        parts.append(
            part.select(
                "position",
                (pl.col("seizable_usd") * _MICRO).round().cast(pl.Int128).alias("value"),
                mul_div_down(answer, cents.numerator, cents.denominator).alias("floor"),
                mul_div_up(answer, cents.numerator, cents.denominator).alias("ceiling"),
            )
        )
    return pl.concat(parts) if parts else pl.DataFrame(schema=_FALLS)


def _narrowest(falls: pl.DataFrame, wanted: int) -> tuple[int, int]:
    """Give the narrowest range of cents that holds a value.

    A range holds all whose ceiling is at or below its upper edge, less those whose floor is below its lower edge.
    """
    floors, ceilings = (falls.group_by(edge).agg(pl.col("value").sum()).sort(edge) for edge in ("floor", "ceiling"))
    below = [0, *accumulate(floors["value"].to_list())]
    up_to = list(accumulate(ceilings["value"].to_list()))
    uppers = ceilings["ceiling"].to_list()
    found: list[tuple[int, int, int]] = []
    for index, lower in enumerate(floors["floor"].to_list()):
        at = bisect_left(up_to, wanted + below[index])
        if at < len(uppers):
            found.append((uppers[at] - lower, -lower, uppers[at]))
    _, lower, upper = min(found)
    return -lower, upper
