"""Checks against the chain on which the change was really made: who breaks a limit is who the contract says."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator
from web3 import Web3

from scanner.devchain import DevMarket
from scanner.devchain.tx import calldata
from scanner.export import schemas
from scanner.units import WAD
from tests.chain.conftest import Rollback
from tests.chain.peers import Outcome, Peer, invoke

pytestmark = pytest.mark.chain

LENDING = "configureReserveAsCollateral(address,uint256,uint256,uint256)"
Capture = pytest.CaptureFixture[str]


@pytest.fixture(autouse=True)
def no_ci(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    for name in ("GITHUB_ACTIONS", "GITHUB_STEP_SUMMARY", "LIQBANDS_CONFIG"):
        monkeypatch.delenv(name, raising=False)
    here = Path.cwd()
    os.chdir(tmp_path)
    Path("liqbands.toml").write_text('[factors]\nETH = ["osETH"]\n')  # whose adapter follows ETH and does not say so
    yield
    os.chdir(here)


def where(market: DevMarket) -> list[str]:
    words = ["--rpc-url", market.anvil.url, "--market", market.root, "--from-block", str(market.first_block)]
    return [*words, "--verify", "none", "--no-progress"]


def check(market: DevMarket, capture: Capture, *words: str) -> tuple[Outcome, dict[str, Any]]:
    outcome = invoke(capture, "check", *where(market), "--format", "json", *words)
    assert outcome.out, outcome.err
    document: dict[str, Any] = json.loads(outcome.out)
    Draft202012Validator(schemas.load("check")).validate(document)
    return outcome, document


def borrowers(market: DevMarket) -> list[str]:
    """Give everybody who ever borrowed: the third word of the logs of Borrow is whose debt it is."""
    event = "Borrow(address,address,address,uint256,uint8,uint256,uint16)"
    wanted = {"address": market.pool, "topics": [Web3.keccak(text=event).to_0x_hex()], "fromBlock": "0x0"}
    return sorted({f"0x{log['topics'][2][-40:]}" for log in market.anvil.rpc("eth_getLogs", wanted)})


def below_one(market: DevMarket) -> set[str]:
    """Ask the contract for every borrower, those that it cannot value left out."""
    truth = Peer(market, market.chain.block_number()).account_data(borrowers(market))
    return {
        account.lower()
        for account, data in truth.items()
        if data is not None and data.health_factor is not None and data.health_factor < WAD
    }


def fall(market: DevMarket, rollback: Rollback) -> None:
    """Bring accounts near one, and let no time pass from here on."""
    rollback(market)
    market.hold_clock(held=True)
    market.set_price("ETH", market.answer("ETH") * 88 // 100)


def cut(market: DevMarket, key: str, threshold: int) -> tuple[str, tuple[object, ...]]:
    info = market.reserves[key]
    return market.core.configurator, (info.asset, min(info.spec.ltv, threshold), threshold, info.spec.bonus)


def test_a_cut_threshold_names_exactly_whom_the_contract_then_liquidates(
    small: DevMarket, rollback: Rollback, capsys: Capture
) -> None:
    fall(small, rollback)
    before = below_one(small)
    outcome, document = check(small, capsys, "--set-lt", "WETH=80.5%", "--max-new-liquidatable", "0")
    to, terms = cut(small, "WETH", 8_050)
    small.chain.send(to, LENDING, *terms)
    small.chain.flush()
    truth = below_one(small) - before

    assert outcome.code == 1
    assert truth
    newly = document["newly_liquidatable"]
    assert {row["account"].lower() for row in newly["accounts"]} == truth
    (limit,) = document["limits"]
    assert limit["outcome"] == "broken"
    assert limit["value"] == len(truth)
    assert {row["account"].lower() for row in limit["accounts"]["accounts"]} == truth
    debts = [row["debt_usd"] for row in limit["accounts"]["accounts"]]
    assert debts == sorted(debts, reverse=True)
    (row,) = document["table"]
    assert (row["asset"], row["liquidation_threshold"], row["accounts_liquidated"]) == ("WETH", 0.805, len(truth))


def test_a_proposal_on_a_fork_breaks_what_the_what_if_breaks(
    small: DevMarket, rollback: Rollback, capsys: Capture
) -> None:
    fall(small, rollback)
    to, terms = cut(small, "WETH", 8_050)
    payload = ["--fork", "--impersonate", small.chain.sender, "--tx", f"{to}:{'0x' + calldata(LENDING, *terms).hex()}"]
    forked, on_fork = check(small, capsys, *payload)
    imagined, on_paper = check(small, capsys, "--set-lt", "WETH=80.5%")
    assert forked.code == imagined.code == 1
    assert "--fork" in on_fork["limits"][0].pop("reproduce")
    assert "--set-lt" in on_paper["limits"][0].pop("reproduce")
    for one in (on_fork, on_paper):
        assert one["snapshot"].pop("what_if")
        one["snapshot"].pop("seconds")
        one.pop("table")  # a fork changes no parameters by name
    assert on_fork == on_paper
    newly = {row["account"].lower() for row in on_fork["newly_liquidatable"]["accounts"]}

    before = below_one(small)
    small.chain.send(to, LENDING, *terms)
    small.chain.flush()
    assert newly == below_one(small) - before != set()


def test_what_is_seizable_after_a_change_and_a_fall_is_what_a_scan_there_says(
    small: DevMarket, rollback: Rollback, capsys: Capture
) -> None:
    words = ["--max-seizable", "ETH:-15%=0", "--max-largest-account", "ETH:-15%=1T", "--max-bad-debt", "ETH:-15%=1T"]
    words += ["--set-lt", "WETH=80.5%"]
    outcome, document = check(small, capsys, *(word.replace("1T", "1000B") for word in words))
    assert outcome.code == 1
    seizable, largest, bad = document["limits"]
    assert [limit["outcome"] for limit in document["limits"]] == ["broken", "holds", "holds"]
    assert seizable["band"]["lower_price_usd"] == pytest.approx(seizable["band"]["upper_price_usd"] * 0.85)

    rollback(small)
    small.hold_clock(held=True)
    to, terms = cut(small, "WETH", 8_050)
    small.chain.send(to, LENDING, *terms)
    small.set_price("ETH", small.answer("ETH") * 85 // 100)
    outcome = invoke(capsys, "scan", *where(small), "--format", "json")
    now = json.loads(outcome.out)["liquidatable"]
    assert seizable["value"] == pytest.approx(now["seizable_collateral_usd"])
    assert seizable["accounts"]["account_count"] == now["account_count"]
    truth = [small.account_data([row["account"]])[0] for row in seizable["accounts"]["accounts"][:20]]
    assert all(data.health_factor < WAD for data in truth)
    assert 0 < largest["value"] <= seizable["value"]
    assert bad["value"] >= 0


def test_an_incomplete_scan_exits_4_and_lists_broken_limits(small: DevMarket, capsys: Capture, tmp_path: Path) -> None:
    some = tmp_path / "some.txt"
    some.write_text("\n".join(member.address for member in small.members[:150]))
    options = [word for word in where(small) if word not in ("--verify", "none")]
    short = ["--no-discover", "--index-file", str(tmp_path / "short.sqlite")]
    assert invoke(capsys, "index", *options, *short, "--import", str(some)).code == 0
    outcome, document = check(small, capsys, *short, "--max-seizable", "ETH:-30%=0")
    assert outcome.code == 4
    assert document["exit_code"] == 4
    assert document["faults"][0]["kind"] == "incomplete"
    assert [limit["outcome"] for limit in document["limits"]] == ["broken"]
    assert "incomplete" in outcome.err
    forgiven, document = check(small, capsys, *short, "--max-seizable", "ETH:-30%=0", "--allow-incomplete")
    assert forgiven.code == 1
    assert not document["faults"][0]["counts"]


def test_a_healthy_market_passes_and_a_dead_node_never_does(small: DevMarket, capsys: Capture) -> None:
    outcome, document = check(small, capsys, "--max-seizable", "ETH:-1%=1000B", "--max-liquidatable", "100000")
    assert outcome.code == 0
    assert document["passed"] is True
    dead = invoke(capsys, "check", "--rpc-url", "http://127.0.0.1:9", "--market", small.root, "--max-liquidatable", "0")
    assert dead.code == 3
    assert dead.out == ""


def test_diff_of_two_blocks_tells_what_happened_between(small: DevMarket, rollback: Rollback, capsys: Capture) -> None:
    rollback(small)
    first = small.chain.block_number()
    small.set_price("ETH", small.answer("ETH") * 92 // 100)
    outcome = invoke(capsys, "diff", str(first), "latest", *where(small), "--format", "json", "--exit-code")
    assert outcome.code == 1, outcome.err
    document = json.loads(outcome.out)
    Draft202012Validator(schemas.load("diff")).validate(document)
    hurt = {
        row["account"].lower()
        for row in document["accounts"]["changed"]["accounts"]
        if row["status"] in ("liquidatable", "blocked")
    }
    assert hurt
    assert hurt <= below_one(small)
    (price,) = [price for price in document["prices"] if price["name"] == "ETH"]
    assert price["after"] == pytest.approx(price["before"] * 0.92)
    same = invoke(capsys, "diff", str(first), str(first), *where(small), "--exit-code")
    assert same.code == 0
