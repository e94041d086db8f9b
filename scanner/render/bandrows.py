"""Which bands and which columns a heatmap shows. Picks and folds; values come from the frames."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import polars as pl

from scanner.render.words import clean
from scanner.results import ScanResult
from scanner.views import factor_info

__all__ = ["Fold", "HeatRows", "Row", "heat_rows"]

OTHER: Final = "other"
BESIDE: Final = "beside"  # of shorts: seizable outside the factor, where the frame does not split it
_NOISE: Final = 1e-9  # of float sums


@dataclass(frozen=True)
class Row:
    """One band: its columns of frame BANDS, seizable dollars by key, in all, and up to here.

    The collateral of a short is as a rule outside the factor, so above the spot price what is seizable beside the
    factor counts too; below it the frame's own rule stands: collateral inside the factor only.
    """

    band: Mapping[str, Any]
    parts: Mapping[str, float]
    total: float
    cumulative: float

    @property
    def accounts(self) -> int:
        return int(self.band["account_count"])


@dataclass(frozen=True)
class Fold:
    """Bands at the far end that share one line: the two outer edges, and what they hold."""

    lower_usd: float
    upper_usd: float
    lower_bps: int | None
    upper_bps: int | None
    bands: int
    total: float
    accounts: int


@dataclass(frozen=True)
class HeatRows:
    """Bands as drawn, from the highest price to the lowest, and column keys by size."""

    spot_usd: float | None
    above: Sequence[Row]
    above_fold: Fold | None
    below: Sequence[Row]
    below_fold: Fold | None
    keys: Sequence[str]
    shorts_usd: float
    short_accounts: int
    first_short_usd: float | None

    @property
    def rows(self) -> list[Row]:
        return [*self.above, *self.below]


def heat_rows(result: ScanResult, *, by: str, long_rows: int, short_rows: int) -> HeatRows:
    """Take the bands of the selected factor: shorts above, longs below, far ends folded.

    A far end is what lies beyond the last band that holds something, or beyond the number of rows asked for.
    """
    mine = pl.col("factor") == result.selected_factor
    bands = result.frames["bands"].filter(mine).sort("direction", "band")
    by_key = _by_key(result.frames["bands_by"].filter(mine))
    below, below_fold = _side(bands.filter(pl.col("direction") == "down"), by_key, long_rows)
    above, above_fold = _side(bands.filter(pl.col("direction") == "up"), by_key, short_rows)
    shorts: list[Row | Fold] = [*above, *([above_fold] if above_fold else [])]
    points = result.frames["liquidation_points"].filter(mine & (pl.col("direction") == "up"))
    info = factor_info(result)
    return HeatRows(
        spot_usd=info.price_usd if info else None,
        above=above[::-1],
        above_fold=above_fold,
        below=below,
        below_fold=below_fold,
        keys=_keys([*above, *below], result.frames["bands_by"].filter(mine), by),
        shorts_usd=sum(part.total for part in shorts),
        short_accounts=sum(part.accounts for part in shorts),
        first_short_usd=points["price_usd"].min() if points.height else None,  # type: ignore[arg-type]
    )


def _by_key(parts: pl.DataFrame) -> dict[tuple[str, int], dict[str, float]]:
    found: dict[tuple[str, int], dict[str, float]] = {}
    for row in parts.iter_rows(named=True):
        found.setdefault((row["direction"], row["band"]), {})[row["key"]] = row["seizable_collateral_usd"]
    return found


def _side(
    bands: pl.DataFrame, parts: Mapping[tuple[str, int], Mapping[str, float]], limit: int
) -> tuple[list[Row], Fold | None]:
    rows, so_far = [], 0.0
    for band in bands.iter_rows(named=True):
        beside = band["beside_collateral_usd"] if band["direction"] == "up" else 0.0
        total = band["seizable_collateral_usd"] + beside
        so_far += total
        split = dict(parts.get((band["direction"], band["band"]), {}))
        unsplit = total - sum(split.values())
        if beside and unsplit > total * _NOISE:
            split[BESIDE] = unsplit
        rows.append(Row(band, split, total, so_far))
    used = max((place + 1 for place, row in enumerate(rows) if row.total > 0 or row.accounts), default=0)
    shown = min(used, limit)
    if len(rows) == shown + 1 == used + 1:
        shown += 1  # a fold of one band would save nothing
    return rows[:shown], _fold(rows[shown:])


def _fold(rest: Sequence[Row]) -> Fold | None:
    if not rest:
        return None
    first, last = rest[0].band, rest[-1].band
    low, high = (last, first) if last["lower_price_usd"] <= first["lower_price_usd"] else (first, last)
    return Fold(
        lower_usd=low["lower_price_usd"],
        upper_usd=high["upper_price_usd"],
        lower_bps=low["lower_bps"],
        upper_bps=high["upper_bps"],
        bands=len(rest),
        total=sum(row.total for row in rest),
        accounts=sum(row.accounts for row in rest),
    )


def _keys(rows: Sequence[Row], parts: pl.DataFrame, by: str) -> list[str]:
    """Order column keys by size, size classes as the frame has them."""
    totals = dict.fromkeys(parts["key"].unique(maintain_order=True).to_list(), 0.0)
    for row in rows:
        for key, value in row.parts.items():
            totals[key] = totals.get(key, 0.0) + value
    held = [key for key, value in totals.items() if value > 0]
    return held if by == "size" else sorted(held, key=lambda key: (-totals[key], clean(key), key))
