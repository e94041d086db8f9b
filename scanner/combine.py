"""Put the markets of a scan together: bands over all of them, one result. Pure."""

from __future__ import annotations

from collections.abc import Sequence

import polars as pl

from scanner.assess import Assessment
from scanner.frames import FRAMES, empty
from scanner.options import ScanOptions
from scanner.results import FactorInfo, MarketSummary, ScanResult, Snapshot
from scanner.risk.band_edges import BandSpec, Reference, parse_bands
from scanner.risk.bands import bands, bands_by
from scanner.risk.dense import dense_bands
from scanner.risk.impacts import impacts

__all__ = ["combine"]


def combine(
    snapshot: Snapshot, parts: Sequence[tuple[Assessment, MarketSummary]], selected: str, options: ScanOptions
) -> ScanResult:
    """Gather the frames of all markets and lay the bands of each factor over them.

    Bands are made of exact triggers: there are none where ``options.extent`` solves none.
    """
    assessed = [assessment for assessment, _ in parts]
    names = list(dict.fromkeys(name for assessment in assessed for name in assessment.factors))
    frames = {
        name: pl.concat([assessment.frames[name] for assessment in assessed])
        for name in FRAMES
        if name in assessed[0].frames
    }
    spec = parse_bands(options.bands)
    shown = {"points": [], "factor": [selected]}.get(options.extent, names)
    drawn = [_bands(name, assessed, spec if name == selected else _steps(spec), options) for name in shown if name]
    for index, name in enumerate(("bands", "bands_by", "dense_bands")):
        frames[name] = pl.concat([empty(name), *(frame[index] for frame in drawn)])
    return ScanResult(
        snapshot=snapshot,
        markets=tuple(summary for _, summary in parts),
        factors=tuple(_info(name, assessed) for name in names),
        frames=frames,
        warnings=tuple(dict.fromkeys(w for assessment in assessed for w in assessment.warnings)),
        selected_factor=selected,
    )


def _steps(spec: BandSpec) -> BandSpec:
    """Give steps that fit any price: explicit edges and dollar steps are meant for the selected factor only."""
    return spec if spec.step_bps is not None else parse_bands("1%")


def _bands(
    factor: str, assessed: Sequence[Assessment], spec: BandSpec, options: ScanOptions
) -> tuple[pl.DataFrame, pl.DataFrame, pl.DataFrame]:
    holders = [assessment for assessment in assessed if factor in assessment.members]
    references: dict[str, Reference] = {a.market.market_id: a.references[factor] for a in holders}
    brought = pl.concat(
        [
            impacts(
                factor,
                a.members[factor],
                a.frames["liquidation_points"],
                a.frames["seizures"],
                a.frames["legs"],
                a.frames["markets"],
            )
            for a in holders
        ]
    )
    return (
        bands(factor, brought, spec, references),
        bands_by(factor, brought, spec, references, options.by),
        dense_bands(factor, brought, references),
    )


def _info(name: str, assessed: Sequence[Assessment]) -> FactorInfo:
    first = next(a for a in assessed if name in a.factors)
    feed = first.factors[name][0]
    symbols = {
        symbol: None
        for a in assessed
        if name in a.members
        for key, symbol in a.symbols.items()
        if key in a.members[name]
    }
    return FactorInfo(
        factor=name,
        feed_address=feed.address,
        description=feed.description,
        decimals=feed.decimals,
        answer=feed.answer,
        answer_at=feed.answer_at,
        price_usd=first.references[name].price_usd,
        members=tuple(symbols),
    )
