"""Which bands and which columns a heatmap shows. Picks and folds; values come from the frames."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import count, groupby
from typing import Any, Final

import polars as pl

from scanner.render.words import clean
from scanner.results import ScanResult
from scanner.risk.impacts import LARGEST, SIZES
from scanner.views import factor_info

__all__ = ["BESIDE", "MAIN_SHARE", "OTHER", "Fold", "HeatRows", "Row", "heat_rows", "shown_keys"]

OTHER: Final = "other"
BESIDE: Final = "beside"  # of shorts: seizable outside the factor, where the frame does not split it
MAIN_SHARE: Final = 0.5  # of the dense band that is marked beside the rows
_NOISE: Final = 1e-9  # of float sums
_HIDDEN: Final = 0.5  # of a side's value: the most that its far fold may hold while rows can be merged instead
_CLASSES: Final = (LARGEST, *(name for name, _ in reversed(SIZES)))


@dataclass(frozen=True)
class Row:
    """One band, or neighbours merged: edges as in frame BANDS, seizable dollars by key, in all, and up to here.

    The collateral of a short is as a rule outside the factor, so above the spot price what is seizable beside the
    factor counts too; below it the frame's own rule stands: collateral inside the factor only.
    """

    band: Mapping[str, Any]
    parts: Mapping[str, float]
    total: float
    cumulative: float
    bands: int = 1

    @property
    def accounts(self) -> int:
        return int(self.band["account_count"])

    @property
    def empty(self) -> bool:
        return self.total <= 0 and not self.accounts


@dataclass(frozen=True)
class Fold:
    """Bands that share one line, of nothing or at the far end: the two outer edges, and what they hold."""

    lower_usd: float
    upper_usd: float
    lower_bps: int | None
    upper_bps: int | None
    bands: int
    total: float
    accounts: int


@dataclass(frozen=True)
class HeatRows:
    """What is drawn, from the highest price to the lowest, and column keys by size.

    ``above_step`` and ``below_step`` say how many bands a row of that side is.
    """

    spot_usd: float | None
    above: Sequence[Row | Fold]
    above_step: int
    below: Sequence[Row | Fold]
    below_step: int
    keys: Sequence[str]
    shorts_usd: float
    short_accounts: int
    first_short_usd: float | None

    @property
    def rows(self) -> list[Row]:
        return [item for item in (*self.above, *self.below) if isinstance(item, Row)]


def heat_rows(result: ScanResult, *, by: str, long_rows: int, short_rows: int) -> HeatRows:
    """Take the bands of the selected factor: shorts above, longs below, runs of nothing folded.

    What lies beyond the number of lines asked for is one fold. Where that would hide most of a side's value, as with
    very fine bands, neighbours are merged until the rows reach it.
    """
    mine = pl.col("factor") == result.selected_factor
    bands = result.frames["bands"].filter(mine).sort("direction", "band")
    by_key = _by_key(result.frames["bands_by"].filter(mine))
    longs = _rows(bands.filter(pl.col("direction") == "down"), by_key)
    shorts = _rows(bands.filter(pl.col("direction") == "up"), by_key)
    below, below_step = _lines(longs, long_rows)
    above, above_step = _lines(shorts, short_rows)
    points = result.frames["liquidation_points"].filter(mine & (pl.col("direction") == "up"))
    info = factor_info(result)
    return HeatRows(
        spot_usd=info.price_usd if info else None,
        above=above[::-1],
        above_step=above_step,
        below=below,
        below_step=below_step,
        keys=_keys([item for item in (*above, *below) if isinstance(item, Row)]),
        shorts_usd=sum(row.total for row in shorts),
        short_accounts=sum(row.accounts for row in shorts),
        first_short_usd=points["price_usd"].min() if points.height else None,  # type: ignore[arg-type]
    )


def shown_keys(keys: Sequence[str], by: str) -> list[str]:
    """Put the column keys that are shown in order: classes of size from the largest, others as they come."""
    if by != "size":
        return list(keys)
    return sorted(keys, key=lambda key: _CLASSES.index(key) if key in _CLASSES else len(_CLASSES))


def _by_key(parts: pl.DataFrame) -> dict[tuple[str, int], dict[str, float]]:
    found: dict[tuple[str, int], dict[str, float]] = {}
    for row in parts.iter_rows(named=True):
        found.setdefault((row["direction"], row["band"]), {})[row["key"]] = row["seizable_collateral_usd"]
    return found


def _rows(bands: pl.DataFrame, parts: Mapping[tuple[str, int], Mapping[str, float]]) -> list[Row]:
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
    return rows


def _lines(rows: Sequence[Row], limit: int) -> tuple[list[Row | Fold], int]:
    """Give at most ``limit`` lines and one far fold, nearest to spot first, and how many bands a row is."""
    held = sum(_weight(row) for row in rows)
    for step in _steps():
        runs = _runs(_merged(rows, step))
        if len(runs) > limit + 1:
            far = [row for run in runs[limit:] for row in run]
            if sum(_weight(row) for row in far) > held * _HIDDEN:
                continue
            runs = [*runs[:limit], far]
        return [_fold(run) if len(run) > 1 else run[0] for run in runs], step
    raise AssertionError("a side of two rows fits")


def _steps() -> Iterator[int]:
    """Give 1, 2, 5, 10, 20, 50 and so on."""
    for power in count():
        yield from (digit * 10**power for digit in (1, 2, 5))


def _weight(row: Row) -> float:
    """Weigh a row by what it holds; accounts that nobody can seize from weigh next to nothing."""
    return row.total + row.accounts * _NOISE


def _merged(rows: Sequence[Row], step: int) -> list[Row]:
    """Merge neighbours, ``step`` at a time; the outermost band is open, hence stays by itself."""
    inner = rows[:-1]
    return [_join(inner[place : place + step]) for place in range(0, len(inner), step)] + list(rows[-1:])


def _join(rows: Sequence[Row]) -> Row:
    if len(rows) == 1:
        return rows[0]
    low, high = _ends(rows)
    largest = max(rows, key=lambda row: row.band["largest_account_usd"] or 0.0).band
    band = {
        "direction": low["direction"],
        "lower_bps": low["lower_bps"],
        "upper_bps": high["upper_bps"],
        "lower_price_usd": low["lower_price_usd"],
        "upper_price_usd": high["upper_price_usd"],
        "account_count": sum(row.accounts for row in rows),
        "largest_account": largest["largest_account"],
        "largest_account_usd": largest["largest_account_usd"],
    }
    parts: dict[str, float] = {}
    for row in rows:
        for key, value in row.parts.items():
            parts[key] = parts.get(key, 0.0) + value
    return Row(band, parts, sum(row.total for row in rows), rows[-1].cumulative, len(rows))


def _runs(rows: Sequence[Row]) -> list[list[Row]]:
    """Put neighbours that hold nothing together; everything else is by itself."""
    runs: list[list[Row]] = []
    for empty, group in groupby(rows, key=lambda row: row.empty):
        members = list(group)
        runs += [members] if empty else [[row] for row in members]
    return runs


def _ends(rows: Sequence[Row]) -> tuple[Mapping[str, Any], Mapping[str, Any]]:
    """Give the lowest and the highest band of a row of neighbours."""
    first, last = rows[0].band, rows[-1].band
    return (last, first) if last["lower_price_usd"] <= first["lower_price_usd"] else (first, last)


def _fold(rows: Sequence[Row]) -> Fold:
    low, high = _ends(rows)
    return Fold(
        lower_usd=low["lower_price_usd"],
        upper_usd=high["upper_price_usd"],
        lower_bps=low["lower_bps"],
        upper_bps=high["upper_bps"],
        bands=sum(row.bands for row in rows),
        total=sum(row.total for row in rows),
        accounts=sum(row.accounts for row in rows),
    )


def _keys(rows: Sequence[Row]) -> list[str]:
    """Order column keys by what the rows hold of them, most first."""
    totals: dict[str, float] = {}
    for row in rows:
        for key, value in row.parts.items():
            totals[key] = totals.get(key, 0.0) + value
    return sorted((key for key in totals if totals[key] > 0), key=lambda key: (-totals[key], clean(key), key))
