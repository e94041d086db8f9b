"""Two markets in one scan: one factor for both, bands over both, none twice."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import polars as pl
import pytest

import scanner
from scanner.devchain import Anvil, DevMarket, deploy_market, populate
from scanner.devchain.toolchain import Toolchain
from scanner.results import ScanResult
from tests.chain.loops import make_account

pytestmark = pytest.mark.chain


@pytest.fixture(scope="module")
def markets(toolchain: Toolchain) -> Iterator[tuple[DevMarket, DevMarket]]:
    """Give a market that hangs on ether and one that hangs on bitcoin, with one account on ether too."""
    with Anvil(toolchain.anvil) as anvil:
        ether, bitcoin = (deploy_market(anvil, kind, toolchain=toolchain) for kind in ("3.6", "3.0"))
        for market in (ether, bitcoin):
            populate(market, 40)
        make_account(bitcoin, "bitcoin", {"WBTC": 10**11}, {"USDC": 900_000})
        yield ether, bitcoin


def options(markets: tuple[DevMarket, DevMarket], roots: list[str]) -> scanner.ScanOptions:
    return scanner.ScanOptions(rpc_urls=[markets[0].anvil.url], markets=roots, from_block=1, verify="all")


@pytest.fixture(autouse=True)
def own_data(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("LIQBANDS_DATA_DIR", str(tmp_path))


@pytest.mark.parametrize("first", [0, 1])
def test_a_scan_of_one_factor_has_the_accounts_of_both(markets: tuple[DevMarket, DevMarket], first: int) -> None:
    asked = options(markets, [markets[first].root, markets[1 - first].root])
    whole = scanner.scan(asked, extent="factors")
    assert whole.trustworthy
    assert whole.selected_factor == "BTC"  # it backs most debt, whichever market comes first
    for factor in (None, "ETH"):
        check(scanner.scan(asked, factor=factor, extent="factor"), whole, factor or "BTC")


def check(short: ScanResult, whole: ScanResult, chosen: str) -> None:
    assert short.selected_factor == chosen
    for name in ("bands", "liquidation_points", "dense_bands"):
        wanted = whole.frames[name].filter(factor=chosen)
        assert short.frames[name].filter(factor=chosen).equals(wanted), name
    points = short.frames["liquidation_points"].filter(pl.col("trigger_answer").is_not_null())
    assert points["market_id"].n_unique() == 2
    assert short.frames["bands"]["account_count"].sum() == points.height
    assert whole.frames["bands"].filter(factor=chosen)["account_count"].sum() == points.height


def test_a_market_named_twice_counts_once(markets: tuple[DevMarket, DevMarket]) -> None:
    root = markets[0].root
    once = scanner.scan(options(markets, [root]), extent="factor")
    twice = scanner.scan(options(markets, [root, "0x" + root[2:].upper()]), extent="factor")
    assert len(twice.markets) == 1
    assert twice.frames["accounts"].equals(once.frames["accounts"])
