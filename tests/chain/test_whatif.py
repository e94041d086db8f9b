"""What-ifs against the chain on which the same was really done: the configurator called, feeds set, time let pass."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

import polars as pl
import pytest

from scanner.devchain import DevMarket
from scanner.frames import FRAMES
from scanner.pipeline import Scanned, rescanned, scan_read
from scanner.whatif import WhatIf, parse_whatif
from tests.chain.conftest import Rollback
from tests.chain.peers import Peer, options_of

pytestmark = pytest.mark.chain

DAY = 86_400
FACTORS = {"ETH": ["osETH"]}  # whose adapter follows ETH and does not say so


@dataclass(frozen=True)
class Case:
    """A what-if, and how it is done on chain. ``modes`` are e-modes: threshold, bonus."""

    what: WhatIf
    reserves: Mapping[str, tuple[int, int]] = field(default_factory=dict)  # key to threshold and bonus
    modes: Mapping[int, tuple[int, int]] = field(default_factory=dict)
    feeds: Mapping[str, tuple[int, int]] = field(default_factory=dict)  # name to a share of today's answer
    ratios: Mapping[str, tuple[int, int]] = field(default_factory=dict)
    seconds: int = 0


PARAMETERS = {
    "set_lt": ["USDC=70%,WBTC=79.5%", "LINK=-2.5%", "WETH=-1.25%,AAVE=+0.5%"],
    "set_bonus": ["USDC=7%", "WETH=+1%"],
}
RESERVES = {
    "USDC": (7000, 10700),  # its LTV is 75 %
    "WBTC": (7950, 10500),
    "LINK": (6850, 10700),
    "WETH": (8175, 10600),
    "AAVE": (7350, 10750),
}
CASES: dict[str, Case] = {
    "parameters": Case(parse_whatif(**PARAMETERS), RESERVES),
    "e-modes": Case(
        parse_whatif(set_emode=["1:lt=93.5%", "2:lt=-2%,2:bonus=3.5%"]), modes={1: (9350, 10100), 2: (9100, 10350)}
    ),
    "one factor": Case(parse_whatif(["ETH=-12.34%"]), feeds={"ETH": (8766, 10_000)}),
    "up, down and ratios": Case(
        parse_whatif(["ETH=+7.5%,BTC=-9%,USDC=-1.5%", "wstETH/ETH=-2.85%", "weETH/ETH=-4%,cbETH/ETH=-3%"]),
        feeds={"ETH": (1075, 1000), "BTC": (91, 100), "USDC": (985, 1000), "cbETH / ETH": (97, 100)},
        ratios={"wstETH": (9715, 10_000), "weETH": (96, 100)},
    ),
    "a group": Case(parse_whatif(["stables=-2.5%"]), feeds=dict.fromkeys(("USDC", "USDT", "DAI", "USDe"), (975, 1000))),
    "time": Case(parse_whatif(time="+30d"), seconds=30 * DAY),
    "everything": Case(
        parse_whatif(
            ["ETH=-5%,LINK=+3%", "wstETH/ETH=-1%"],
            PARAMETERS["set_lt"],
            PARAMETERS["set_bonus"],
            ["1:lt=94%"],
            "+20d",
        ),
        RESERVES,
        {1: (9400, 10100)},
        {"ETH": (95, 100), "LINK": (103, 100)},
        {"wstETH": (99, 100)},
        20 * DAY,
    ),
}


def do(market: DevMarket, case: Case) -> None:
    """Do on chain what a case says, all of it in blocks of one timestamp."""
    if case.seconds:
        market.advance(case.seconds)
    market.hold_clock(held=True)
    send, configurator = market.chain.send, market.core.configurator
    for key, (threshold, bonus) in case.reserves.items():
        info = market.reserves[key]
        terms = (info.asset, min(info.spec.ltv, threshold), threshold, bonus)
        send(configurator, "configureReserveAsCollateral(address,uint256,uint256,uint256)", *terms)
    for category, (threshold, bonus) in case.modes.items():
        legacy = market.kind == "3.0"
        kept = market.chain.call(
            market.pool, "getEModeCategoryData(uint8)", "(uint16,uint16,uint16,address,string)", category
        )[0]
        source = (kept[3],) if legacy else ()
        types = f"(uint8,uint16,uint16,uint16,{'address,' if legacy else ''}string)"
        send(configurator, f"setEModeCategory{types}", category, kept[0], threshold, bonus, *source, kept[4])
    for feed, (top, bottom) in case.feeds.items():
        market.set_price(feed, market.answer(feed) * top // bottom)
    for key, (top, bottom) in case.ratios.items():
        provider = market.chain.call(market.reserves[key].source, "RATIO_PROVIDER()", "address")[0]
        ratio = market.chain.call(provider, "ratio()", "uint256")[0]
        send(provider, "set(uint256)", ratio * top // bottom)
    market.chain.flush()


def of_kind(case: Case, market: DevMarket) -> Case:
    """Move the price that a category of a 3.0 market has of its own, wherever stablecoins move."""
    if market.kind == "3.6" or "USDT" not in case.feeds:
        return case
    what = replace(case.what, shocks=(*case.what.shocks, *parse_whatif(["EMODE=-3%"]).shocks))
    return replace(case, what=what, feeds={**case.feeds, "EMODE-USD": (97, 100)})


@pytest.fixture(scope="module")
def read(tmp_path_factory: pytest.TempPathFactory) -> Callable[[DevMarket], Scanned]:
    """Give a function that scans a market as it is, once."""
    found: dict[str, Scanned] = {}

    def scanned(market: DevMarket) -> Scanned:
        if market.kind not in found:
            folder = tmp_path_factory.mktemp("whatif")
            found[market.kind] = scan_read(
                options_of(market, folder / "index.sqlite", extent="points", verify="none", factors=FACTORS)
            )
        return found[market.kind]

    return scanned


@pytest.mark.parametrize("name", CASES)
def test_a_what_if_is_what_the_chain_then_says(
    name: str, market: DevMarket, rollback: Rollback, read: Callable[[DevMarket], Scanned], tmp_path: Path
) -> None:
    before, case = read(market), of_kind(CASES[name], market)
    options = options_of(
        market, tmp_path / "index.sqlite", extent="factor", factor="LINK", verify="none", factors=FACTORS
    )
    ours = rescanned(before, case.what, options).result
    rollback(market)
    do(market, case)
    block = market.chain.block_number()
    assert market.timestamp == before.result.snapshot.block_timestamp + case.seconds

    rows = ours.frames["accounts"]
    truth = Peer(market, block).account_data(rows["position"].to_list())
    health = dict(rows.select("position", "health_factor_wad").iter_rows())
    unpriced = set(rows.filter(status="unpriced")["position"])
    wrong = [
        account
        for account, data in truth.items()
        if (data is None) != (account in unpriced)
        or (data is not None and health[account] != (None if data.health_factor is None else str(data.health_factor)))
    ]
    assert wrong == []
    below = {account for account, data in truth.items() if data and data.health_factor and data.health_factor < 10**18}
    assert below == set(rows.filter(pl.col("status").is_in(["liquidatable", "blocked"]))["position"])
    changed = (
        before.result.frames["accounts"]
        .join(rows, on="position")
        .filter(pl.col("health_factor_wad") != pl.col("health_factor_wad_right"))
    )
    assert changed.height > 50

    # a scan of the changed chain finds the same, frame by frame: nothing still shows what was before
    theirs = scan_read(options).result
    for frame in FRAMES:
        if frame in ours.frames:
            found, wanted = (result.frames[frame].drop("answer_at", strict=False) for result in (ours, theirs))
            assert found.columns == wanted.columns
            assert found.sort(found.columns[:8]).equals(wanted.sort(found.columns[:8])), frame
    assert [(f.factor, f.answer, f.price_usd) for f in ours.factors] == [
        (f.factor, f.answer, f.price_usd) for f in theirs.factors
    ]
    assert ours.snapshot.what_if
    assert not theirs.snapshot.what_if
