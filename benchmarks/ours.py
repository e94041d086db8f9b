"""Our own scan, as it is measured."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import polars as pl

import scanner
from benchmarks.bands import closed_bands
from benchmarks.local_market import LocalMarket
from benchmarks.peers import Account
from scanner.options import ScanOptions
from scanner.protocols.aave_v3.detail import AaveDetail, AaveReserve
from scanner.protocols.interface import MarketRead
from scanner.reading import read_market
from scanner.results import ScanResult
from scanner.sources import open_source
from scanner.targets import resolve_targets

__all__ = ["accounts", "read", "reserves", "scan", "scan_to_bands"]


def scan(market: LocalMarket, index: Path, extent: Literal["points", "factor"]) -> ScanResult:
    """Scan with ``--verify none``; raises RuntimeError when the scan is not complete."""
    result = scanner.scan(_options(market, index, extent))
    if not result.snapshot.complete:
        raise RuntimeError("the scan is incomplete")
    return result


def scan_to_bands(market: LocalMarket, index: Path) -> tuple[ScanResult, pl.DataFrame]:
    """Scan up to liquidation points in closed form, and lay them into bands."""
    result = scan(market, index, "points")
    factor = next(factor for factor in result.factors if factor.factor == result.selected_factor)
    reserves = result.frames["reserves"]
    inside = reserves.filter(pl.col("symbol").is_in(list(factor.members)))["reserve"].to_list()
    frames = result.frames
    return result, closed_bands(frames["liquidation_points"], frames["legs"], inside, "position", "value_usd")


def read(market: LocalMarket, index: Path) -> MarketRead:
    """Read the market once more, for what is computed without a node."""
    options = _options(market, index, "points")
    with open_source(options.rpc_urls, chain=None, block=options.block, record=None, replay=None) as source:
        (target,) = resolve_targets(source.reader, options.markets, None, options.from_block)
        return read_market(source, target, options)


def reserves(market: LocalMarket, index: Path) -> tuple[AaveReserve, ...]:
    """Give the market's reserves, with the tokens that peers ask."""
    detail = read(market, index).market.detail
    assert isinstance(detail, AaveDetail)
    return tuple(detail.reserves)


def accounts(result: ScanResult) -> dict[str, Account]:
    """Give collateral, debt and health factor of each account of a scan."""
    rows = result.frames["accounts"].select("position", "collateral_raw", "debt_raw", "health_factor_wad").rows()
    return {
        position: (int(collateral), int(debt), None if health is None else int(health))
        for position, collateral, debt, health in rows
    }


def _options(market: LocalMarket, index: Path, extent: Literal["points", "factor"]) -> ScanOptions:
    return ScanOptions(
        rpc_urls=[market.url],
        markets=[market.root],
        from_block=market.first_block,
        verify="none",
        extent=extent,
        index_file=index,
    )
