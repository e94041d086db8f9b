"""Every account, every debt: the frames against web3.py's own contract calls, on real markets."""

from __future__ import annotations

from pathlib import Path

import polars as pl
import pytest

import scanner
from scanner.devchain import DevMarket, act
from scanner.results import ScanResult
from tests.chain.conftest import BORROWERS, Rollback
from tests.chain.peers import Data, Peer, options_of

pytestmark = pytest.mark.chain

EDGES = {"0", "63", "64", "65", "127"}
FACTOR = "LINK"  # few accounts to solve: triggers are no matter here


def scan(market: DevMarket, folder: Path) -> ScanResult:
    return scanner.scan(options_of(market, folder / "index.sqlite", extent="factor", factor=FACTOR))


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
