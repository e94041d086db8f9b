"""Real markets on real nodes, once per test process, and a way to act on them and go back."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from scanner.config import cache_dir
from scanner.devchain import Anvil, DevMarket, act, deploy_market, install, populate
from scanner.devchain.market import Kind
from scanner.devchain.toolchain import Toolchain

Rollback = Callable[[DevMarket], DevMarket]

BORROWERS = 2000


@pytest.fixture(scope="session")
def toolchain() -> Toolchain:
    """Give the installed programs; a failure to install is an error, not a skip."""
    return install(cache_dir())


def _market(toolchain: Toolchain, kind: Kind, borrowers: int, **options: int) -> Iterator[DevMarket]:
    with Anvil(toolchain.anvil) as anvil:
        market = deploy_market(anvil, kind, toolchain=toolchain, **options)
        populate(market, borrowers)
        yield market


@pytest.fixture(scope="session")
def market36(toolchain: Toolchain) -> Iterator[DevMarket]:
    """Give a 3.6 market with its borrowers, fates met, feeds broken. Do not change it without ``rollback``."""
    yield from _market(toolchain, "3.6", BORROWERS)


@pytest.fixture(scope="session")
def market30(toolchain: Toolchain) -> Iterator[DevMarket]:
    """Give a 3.0.x market with its borrowers, likewise."""
    yield from _market(toolchain, "3.0", BORROWERS)


@pytest.fixture(scope="session")
def market128(toolchain: Toolchain) -> Iterator[DevMarket]:
    """Give a 3.6 market with as many reserves as the pool takes."""
    yield from _market(toolchain, "3.6", 1000, reserves=128)


@pytest.fixture(scope="session")
def small(toolchain: Toolchain) -> Iterator[DevMarket]:
    """Give a market that is read in no time; some borrowers have repaid, all in final blocks. Change: likewise."""
    with Anvil(toolchain.anvil) as anvil:
        market = deploy_market(anvil, "3.6", toolchain=toolchain)
        populate(market, 250)
        act(market, seed=3)
        anvil.rpc("anvil_mine", hex(70))
        yield market


@pytest.fixture
def rollback() -> Iterator[Rollback]:
    """Give a function that takes a market, may be followed by anything, and is undone after the test."""
    taken: list[tuple[DevMarket, str]] = []

    def take(market: DevMarket) -> DevMarket:
        taken.append((market, market.snapshot()))
        return market

    yield take
    for market, snapshot in reversed(taken):
        market.hold_clock(held=False)
        market.revert(snapshot)


@pytest.fixture(params=["3.6", "3.0"])
def market(request: pytest.FixtureRequest) -> DevMarket:
    """Give each kind of market in turn."""
    chosen: DevMarket = request.getfixturevalue("market36" if request.param == "3.6" else "market30")
    return chosen
