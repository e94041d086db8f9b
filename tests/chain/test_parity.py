"""Every account, every debt: the frames against web3.py's own contract calls, on real markets."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import polars as pl
import pytest
from polars.testing import assert_frame_equal

import scanner
from scanner.devchain import Anvil, DevMarket, act
from scanner.devchain.toolchain import Toolchain
from scanner.results import ScanResult
from tests.chain.conftest import BORROWERS, Rollback
from tests.chain.peers import MULTICALL3, Data, Peer, multicall3_code, options_of, small_market
from tests.chain.proxy import Request, Rule, Say, proxy, refuse

pytestmark = pytest.mark.chain

EDGES = {"0", "63", "64", "65", "127"}
FACTOR = "LINK"  # few accounts to solve: triggers are no matter here


def scan(market: DevMarket, folder: Path, url: str | None = None, record: Path | None = None) -> ScanResult:
    options = options_of(market, folder / "index.sqlite", url, extent="factor", factor=FACTOR, record=record)
    return scanner.scan(options)


def differences(result: ScanResult, truth: dict[str, Data | None]) -> list[str]:
    """Describe the accounts whose row differs from the contract's answer; unpriced ones have to revert."""
    columns = ("position", "status", "collateral_raw", "debt_raw", "health_factor_wad")
    found = []
    for name, status, collateral, debt, health in result.frames["accounts"].select(columns).iter_rows():
        own = None
        if status != "unpriced":
            own = Data(int(collateral), int(debt), None if health is None else int(health))
        if own != truth[name]:
            found.append(f"{name} ({status}): {own} is {truth[name]} on chain")
    return found


def debt_read(result: ScanResult) -> dict[str, int]:
    """Sum the scaled variable debt of the legs by reserve, in Python integers."""
    totals = dict.fromkeys(result.frames["reserves"]["reserve"].to_list(), 0)
    legs = result.frames["legs"].filter(pl.col("side") == "debt")
    for reserve, scaled in legs.select("reserve", "scaled_raw").iter_rows():
        totals[reserve] += int(scaled)
    return totals


def check(result: ScanResult, market: DevMarket, known: list[str]) -> None:
    """Find no difference between a scan and the contracts, and nobody missing of ``known``."""
    peer = Peer(market, result.snapshot.block_number)
    read = result.frames["accounts"]["position"].to_list()
    truth = peer.account_data(list(dict.fromkeys([*read, *known])))
    assert differences(result, truth) == []

    indebted = {name for name in known if (data := truth[name]) is None or data.debt}
    assert not indebted - set(read)

    supply = peer.scaled_debt()
    assert debt_read(result) == supply
    exact = [proof for proof in result.markets[0].completeness if proof.proof == "exact"]
    assert {proof.reserve: (proof.scaled_total, proof.scaled_read) for proof in exact} == {
        reserve: (total, total) for reserve, total in supply.items()
    }
    assert sum(total > 0 for total in supply.values()) >= 15
    assert result.snapshot.complete
    for name in (read[0], read[len(read) // 2], read[-1]):
        assert truth[name] in (None, peer.account_data_alone(name))


def test_every_account_and_all_debt_equal_the_contracts(market: DevMarket, rollback: Rollback, tmp_path: Path) -> None:
    rollback(market)
    known = [member.address for member in market.members]
    before = scan(market, tmp_path)
    check(before, market, known)

    summary = act(market)
    after = scan(market, tmp_path)
    known += [member.address for member in summary.newcomers]
    check(after, market, known)

    assert before.frames["accounts"].height + 60 > BORROWERS - len(market.of_kind("no_debt", "collateral_off"))
    statuses = set(after.frames["accounts"]["status"])
    assert {"healthy", "liquidatable", "blocked", "unpriced", "no_debt"} <= statuses
    assert summary.newcomers
    moved = before.frames["accounts"].join(after.frames["accounts"], on="position")
    assert moved.filter(pl.col("collateral_raw") != pl.col("collateral_raw_right")).height > 1_000


def test_reserve_ids_at_the_edges_of_the_bitmap(market128: DevMarket, tmp_path: Path) -> None:
    result = scan(market128, tmp_path)
    check(result, market128, [member.address for member in market128.members])

    held = result.frames["legs"].select("reserve", "side", "position").unique()
    for side in ("collateral", "debt"):
        found = held.filter(pl.col("side") == side)
        assert set(found["reserve"]) >= EDGES
        assert found.filter(pl.col("reserve").is_in(list(EDGES)))["position"].n_unique() > 20
    assert set(result.frames["reserves"]["reserve"]) == {str(id_) for id_ in range(128)}


# -- endpoints that take no state overrides ---------------------------------------------------------------------------


def no_overrides(request: Request) -> Say | None:
    refused = request["method"] == "eth_call" and len(request["params"]) > 2
    return refuse("too many arguments, want at most 2", -32602) if refused else None


def ignore_overrides(request: Request) -> Say | None:
    del request["params"][2:]
    return None


class Counting:
    """A rule that counts requests by method."""

    def __init__(self, rule: Rule) -> None:
        self.rule = rule
        self.calls = 0

    def __call__(self, request: Request) -> Say | None:
        self.calls += request["method"] == "eth_call"
        return self.rule(request)


def assert_same_accounts(one: ScanResult, other: ScanResult) -> None:
    for name in ("accounts", "legs", "reserves", "skipped"):
        assert_frame_equal(one.frames[name], other.frames[name], check_exact=True)
    assert one.markets[0].completeness == other.markets[0].completeness


def test_multicall3_gives_what_the_lens_gives(market: DevMarket, rollback: Rollback, tmp_path: Path) -> None:
    rollback(market)
    market.anvil.rpc("anvil_setCode", MULTICALL3, multicall3_code(market.toolchain))
    market.anvil.rpc("anvil_mine", "0x1")
    by_lens = scan(market, tmp_path)
    count = Counting(no_overrides)
    with proxy(market.anvil.url, count) as url:
        plain = scan(market, tmp_path, url)

    assert_same_accounts(by_lens, plain)
    assert by_lens.frames["accounts"].height > 1_500
    assert count.calls < by_lens.frames["accounts"].height / 2
    assert (by_lens.snapshot.reading, plain.snapshot.reading) == ("lens", "calls")


@pytest.fixture(scope="module", params=["3.6", "3.0"])
def small(request: pytest.FixtureRequest, toolchain: Toolchain) -> Iterator[DevMarket]:
    with Anvil(toolchain.anvil) as anvil:
        yield small_market(anvil, toolchain, request.param, 60)


def test_calls_one_by_one_give_what_the_lens_gives(small: DevMarket, tmp_path: Path) -> None:
    assert small.anvil.rpc("eth_getCode", MULTICALL3, "latest") == "0x"
    file = tmp_path / "plain.rec"
    by_lens = scan(small, tmp_path)
    with proxy(small.anvil.url, no_overrides) as url:
        plain = scan(small, tmp_path, url, record=file)
    replayed = scanner.scan(replay=file, verify="none", extent="factor", factor=FACTOR)

    assert_same_accounts(by_lens, plain)
    assert_same_accounts(plain, replayed)
    assert by_lens.frames["accounts"].height > 40
    assert plain.snapshot.complete
    assert (plain.snapshot.reading, replayed.snapshot.reading) == ("calls", "calls")


@pytest.mark.parametrize("small", ["3.6"], indirect=True)
def test_overrides_that_are_silently_ignored_are_noticed(small: DevMarket, tmp_path: Path) -> None:
    with proxy(small.anvil.url, ignore_overrides) as url:
        assert_same_accounts(scan(small, tmp_path), scan(small, tmp_path, url))
