"""What is seized in each price band of a factor. Pure.

Integers are compared, so the running total at an edge is what the factor's feed makes liquidatable on its way to
exactly that edge.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final, Literal

import polars as pl

from scanner.errors import ConfigError
from scanner.exact import ratio
from scanner.frames import BANDS, BANDS_BY, conform
from scanner.risk.band_edges import DEPTH_BPS, BandEdges, BandSpec, Direction, Reference, band_edges, start_usd
from scanner.units import BPS

__all__ = ["BY", "bands", "bands_by", "in_bands"]

BY: Final = ("asset", "protocol", "debt", "size")
By = Literal["asset", "protocol", "debt", "size"]
_DIRECTIONS: Final[tuple[Direction, Direction]] = ("down", "up")
_MICRO: Final = 10**6  # values are summed in millionths of a dollar, so that sums do not depend on their order


def in_bands(
    impacts: pl.DataFrame, spec: BandSpec, references: Mapping[str, Reference], depth_bps: int = DEPTH_BPS
) -> pl.DataFrame:
    """Add ``band`` (1 is nearest to today's price) to ``impacts`` of one factor.

    ``references`` maps each market id to the reference feed of the factor there: every market is cut at the same moves
    of its own feed, or at the same prices where edges are in dollars. Triggers beyond the last edge are in one more
    band.
    """
    parts = []
    for (market, name), part in impacts.partition_by(["market_id", "direction"], as_dict=True).items():
        direction = _direction(name)
        start = start_usd(references.values(), direction)
        edges = band_edges(spec, references[str(market)], direction, depth_bps, start)
        parts.append(part.with_columns(_band_of(part["answer"], edges).alias("band")))
    empty = impacts.clear().with_columns(pl.lit(0, pl.Int64).alias("band"))
    return pl.concat([empty, *parts]) if parts else empty


def bands(
    factor: str,
    impacts: pl.DataFrame,
    spec: BandSpec,
    references: Mapping[str, Reference],
    depth_bps: int = DEPTH_BPS,
) -> pl.DataFrame:
    """Sum up ``impacts`` of one factor per band, empty bands included. Gives frame BANDS.

    The last band of falls goes down to zero; that of rises, present where something is in it, up to the highest
    trigger. Bands in basis points
    show the prices of the first market's reference feed. Raises ConfigError without a reference.
    """
    if not references:
        raise ConfigError(f"factor {factor!r} has no reference feed")
    reference = next(iter(references.values()))
    placed = in_bands(impacts, spec, references, depth_bps)
    starts = {direction: start_usd(references.values(), direction) for direction in _DIRECTIONS}
    rows = pl.concat(
        [_rows(placed, band_edges(spec, reference, d, depth_bps, starts[d]), references) for d in _DIRECTIONS]
    )
    sums = (
        placed.sort("position", maintain_order=True)
        .group_by("direction", "band")
        .agg(
            _micro("at_risk_usd").sum().alias("at_risk_collateral_usd"),
            _micro("seizable_usd").sum().alias("seizable_collateral_usd"),
            _micro("beside_usd").sum().alias("beside_collateral_usd"),
            _micro("blocked_usd").sum().alias("blocked_collateral_usd"),
            _micro("debt_usd").sum().alias("debt_to_repay_usd"),
            pl.len().cast(pl.Int64).alias("account_count"),
            pl.col("position").get(pl.col("seizable_usd").arg_max()).alias("largest_account"),
            pl.col("seizable_usd").max().alias("largest_account_usd"),
        )
    )
    summed = [c for c in sums.columns if c.endswith("_usd") and not c.startswith("largest")]
    joined = rows.join(sums, on=["direction", "band"], how="left", validate="1:1", maintain_order="left")
    joined = joined.with_columns(pl.col(*summed, "account_count").fill_null(0))
    running = pl.col("seizable_collateral_usd").cum_sum().over("direction").alias("cumulative_seizable_usd")
    joined = _dollars(joined.with_columns(running), [*summed, "cumulative_seizable_usd"])
    some = pl.col("largest_account_usd") > 0
    return conform(
        joined.with_columns(
            pl.lit(factor).alias("factor"),
            pl.when(some).then("largest_account").alias("largest_account"),
            pl.when(some).then("largest_account_usd").alias("largest_account_usd"),
            pl.col("account_count").cum_sum().over("direction").alias("cumulative_account_count"),
        ).select(list(BANDS)),
        "bands",
    )


def bands_by(
    factor: str,
    impacts: pl.DataFrame,
    spec: BandSpec,
    references: Mapping[str, Reference],
    by: By,
    depth_bps: int = DEPTH_BPS,
) -> pl.DataFrame:
    """Split what is seizable per band by asset, protocol, debt or size of the account. Gives frame BANDS_BY.

    Only what counts as seizable is split, so the parts of a band add up to it.
    """
    if by not in BY:
        raise ConfigError(f"--by {by}: one of {', '.join(BY)}")
    counted = in_bands(impacts, spec, references, depth_bps).filter(pl.col("seizable_usd") > 0)
    split = counted.group_by("direction", "band", pl.col(by).alias("key")).agg(
        _micro("seizable_usd").sum().alias("seizable_collateral_usd"), pl.len().cast(pl.Int64).alias("account_count")
    )
    split = _dollars(split, ["seizable_collateral_usd"]).with_columns(pl.lit(factor).alias("factor"))
    return conform(split.select(list(BANDS_BY)).sort("direction", "band", "key"), "bands_by")


def _micro(column: str) -> pl.Expr:
    return (pl.col(column) * _MICRO).round().cast(pl.Int128)


def _dollars(frame: pl.DataFrame, columns: Sequence[str]) -> pl.DataFrame:
    return frame.with_columns(ratio(frame[column], _MICRO) for column in columns)


def _direction(value: object) -> Direction:
    return "down" if value == "down" else "up"


def _band_of(answers: pl.Series, edges: BandEdges) -> pl.Series:
    """Count the edges that a trigger lies at or beyond; today's answer is the first."""
    limits = pl.Series(edges.limits(), dtype=pl.Int128)
    if edges.direction == "down":
        ascending = limits.sort()
        return (limits.len() - ascending.search_sorted(answers, side="right")).cast(pl.Int64)
    return limits.search_sorted(answers, side="left").cast(pl.Int64)


def _rows(placed: pl.DataFrame, edges: BandEdges, references: Mapping[str, Reference]) -> pl.DataFrame:
    """Give direction, band and edges of every band of one direction."""
    falls = edges.direction == "down"
    reference = next(iter(references.values()))
    prices = [float(edge * reference.usd_per_unit) for edge in edges.answers]
    moves: list[int | None] = [*(edges.bps or [None] * len(prices))]
    if falls:
        prices.append(0.0)
        moves.append(-BPS if edges.bps else None)
    else:
        last = placed.filter((pl.col("direction") == "up") & (pl.col("band") == len(prices)))
        if last.height:
            prices.append(max(_price(row, references) for row in last.select("market_id", "answer").iter_rows()))
            moves.append(None)
    return pl.DataFrame(
        [
            (edges.direction, k + 1, *((m1, m0, p1, p0) if falls else (m0, m1, p0, p1)))
            for k, (m0, m1, p0, p1) in enumerate(zip(moves, moves[1:], prices, prices[1:], strict=False))
        ],
        schema={name: BANDS[name] for name in _ROW},
        orient="row",
    )


_ROW: Final = ("direction", "band", "lower_bps", "upper_bps", "lower_price_usd", "upper_price_usd")


def _price(row: tuple[str, int], references: Mapping[str, Reference]) -> float:
    market, answer = row
    return float(answer * references[market].usd_per_unit)
