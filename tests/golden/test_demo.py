"""The bundled demo: what it holds, and that every number of its accounts document follows from its raw answers."""

from __future__ import annotations

import json
import random
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from eth_utils.address import to_checksum_address
from eth_utils.crypto import keccak

from scanner import ScanResult, scan
from scanner.chain.recording import load
from scanner.cli.commands import DEMO
from scanner.export.documents import accounts_json, scan_document
from tests.golden.demo_judge import Judge
from tests.golden.edit import edit_feed
from tests.reference import aave_v3 as ref
from tests.reference.recorded import Recorded

EDGES = (1_781.0, 1_863.0)
BETWEEN = 12  # answers between today's and a trigger, for every trigger
SEARCHED = 500  # triggers that are found anew by a search that leaves nothing out

Json = dict[str, Any]


@dataclass(frozen=True)
class Demo:
    """The demo's documents beside the judge of them."""

    accounts: dict[str, Json]  # by address, lower case
    scan: Json
    judge: Judge
    raw: Recorded


@pytest.fixture(scope="module")
def demo() -> Demo:
    result = scan(replay=DEMO, verify="all")
    assert result.trustworthy
    assert result.markets[0].verified_accounts == result.frames["accounts"].height
    document = json.loads(accounts_json(result))
    raw = Recorded(DEMO)
    accounts = {row["account"].lower(): row for row in document["accounts"]}
    assert len(accounts) == len(document["accounts"])
    return Demo(accounts, scan_document(result), Judge(raw), raw)


def of_status(demo: Demo, *statuses: str) -> dict[str, Json]:
    return {a: row for a, row in demo.accounts.items() if row["status"] in statuses}


# -- what the file is ---------------------------------------------------------


def test_the_recording_is_small_and_holds_two_thousand_borrowers(demo: Demo) -> None:
    assert DEMO.stat().st_size < 2_000_000
    assert sum(bool(row["debt"]) for row in demo.accounts.values()) >= 2_000


def test_the_recording_holds_answers_and_no_contract_code() -> None:
    recording = load(DEMO)
    answers = [answer if isinstance(answer, bytes) else answer.data for answer in recording.calls.values()]
    assert max(map(len, answers)) < 1_000  # the shortest of the protocol's contracts is longer
    body = Recorded(DEMO).body
    assert not any("code" in name.lower() for name in body)
    assert recording.hosts == ("devchain",)
    assert recording.command == "python -m tests.record"


def test_the_accounts_are_those_that_ever_borrowed(demo: Demo) -> None:
    ((_, topics, _, logs),) = demo.raw.body["logs"]
    borrow = "Borrow(address,address,address,uint256,uint8,uint256,uint16)"
    assert topics == ["0x" + keccak(text=borrow).hex()]
    assert {"0x" + log[1][2][24:] for log in logs} == set(demo.raw.accounts) == set(demo.accounts)


# -- the accounts document ----------------------------------------------------


def test_every_total_and_status_is_that_of_the_reference(demo: Demo) -> None:
    for address, account in demo.raw.accounts.items():
        want = demo.judge.totals(account)
        row = demo.accounts[address]
        assert {name: row[name] for name in want} == want, address
        assert row["emode_category"] == account.emode
    assert {status: len(of_status(demo, status)) >= 3 for status in ("liquidatable", "blocked", "unpriced")} == {
        "liquidatable": True,
        "blocked": True,
        "unpriced": True,
    }


def test_every_total_is_the_contracts_own_answer_in_the_recording(demo: Demo) -> None:
    for address, row in of_status(demo, "healthy", "liquidatable", "blocked", "no_debt").items():
        answer = demo.raw.ask(demo.raw.pool, "getUserAccountData(address)", address)
        assert answer is not None
        words = [int.from_bytes(answer[at : at + 32], "big") for at in range(0, len(answer), 32)]
        health = str(words[5]) if words[5] != ref.MAX_UINT else None
        assert (row["collateral_base"], row["debt_base"], row["health_factor_wad"]) == (
            str(words[0]),
            str(words[1]),
            health,
        )
    for address in of_status(demo, "unpriced"):
        assert demo.raw.ask(demo.raw.pool, "getUserAccountData(address)", address) is None


def test_every_leg_is_that_of_the_reference(demo: Demo) -> None:
    for address, account in demo.raw.accounts.items():
        row, (collateral, debt) = demo.accounts[address], demo.judge.legs(account)
        for side, wanted in (("collateral", collateral), ("debt", debt)):
            got = {leg["reserve"]: leg for leg in row[side]}
            assert list(got) == [leg["reserve"] for leg in wanted]
            for want in wanted:
                leg = got[want["reserve"]]
                assert leg["asset"] == to_checksum_address(want["asset"])
                assert leg["amount_raw"] == want["amount_raw"]
                if side == "collateral":
                    assert round(leg["liquidation_threshold"] * 10_000) == want["threshold"]
                    assert round(leg["liquidation_bonus"] * 10_000) == max(want["bonus"] - 10_000, 0)


# -- triggers -----------------------------------------------------------------


@dataclass(frozen=True)
class Trigger:
    """One trigger of the document, and all prices as its path moves."""

    address: str
    account: ref.Account
    name: str
    direction: str
    answer: int
    start: int
    prices_at: Callable[[int], Mapping[str, int]]

    def steps(self, distance: int) -> int:
        return self.start - distance if self.direction == "down" else self.start + distance

    @property
    def distance(self) -> int:
        return abs(self.answer - self.start)


def triggers(demo: Demo) -> list[Trigger]:
    """List every trigger, of factors and of single reserves."""
    feeds = {f["factor"]: f["reference_feed"]["address"].lower() for f in demo.scan["factors"]}
    paths = {("factor", name): demo.judge.path(feed=feed) for name, feed in feeds.items()}
    paths |= {("reserve", key): demo.judge.path(reserve=key) for key in demo.raw.prices}
    found = []
    for address, row in demo.accounts.items():
        account = demo.raw.accounts[address]
        told = [("factor", p["factor"], p["direction"], p["trigger_answer"], p) for p in row["liquidation_points"]]
        told += [("reserve", t["reserve"], t["direction"], t["trigger_price"], t) for t in row["triggers"]]
        for kind, name, direction, answer, entry in told:
            if direction in ("down", "up"):
                assert entry["for_timestamp"] == demo.raw.timestamp
                start, prices_at = paths[kind, name]
                found.append(Trigger(address, account, name, direction, int(answer), start, prices_at))
    return found


def test_triggers_are_liquidatable_and_answers_before_them_are_not(demo: Demo) -> None:
    rng, found = random.Random(1), triggers(demo)
    for trigger in found:
        assert demo.judge.liquidatable(trigger.account, trigger.prices_at(trigger.answer)), trigger
        near = {0, max(trigger.distance - 1, 0), *(rng.randrange(trigger.distance) for _ in range(BETWEEN))}
        for distance in near:
            assert not demo.judge.liquidatable(trigger.account, trigger.prices_at(trigger.steps(distance))), trigger
    assert len(found) > 5_000
    assert Counter(t.direction for t in found).keys() == {"down", "up"}


def test_triggers_are_the_first_by_a_search_that_leaves_nothing_out(demo: Demo) -> None:
    found = triggers(demo)
    for trigger in random.Random(2).sample(found, SEARCHED):
        judge = demo.judge
        first = ref.first_trigger(
            trigger.account, judge.market, trigger.prices_at, trigger.start, trigger.answer, judge.now
        )
        assert first == trigger.answer, trigger


def test_what_no_fall_of_ether_breaks_is_told_so(demo: Demo) -> None:
    _, prices_at = demo.judge.path(feed=demo.scan["factors"][0]["reference_feed"]["address"].lower())
    never = 0
    for address, row in demo.accounts.items():
        for point in row["liquidation_points"]:
            if point["factor"] == "ETH" and point["direction"] == "never":
                never += 1
                assert point["trigger_answer"] is None
                for dollars in (1, 500, 1_000, 1_500, 2_000, 2_099, 2_101, 5_000, 50_000):
                    assert not demo.judge.liquidatable(demo.raw.accounts[address], prices_at(dollars * 10**8))
    assert never > 100


def test_ratios_and_dollars_are_those_of_the_trigger(demo: Demo) -> None:
    factors = {f["factor"]: f for f in demo.scan["factors"]}
    for row in demo.accounts.values():
        for point in row["liquidation_points"]:
            if point["direction"] in ("down", "up"):
                feed = factors[point["factor"]]["reference_feed"]
                assert point["price_usd"] == pytest.approx(int(point["trigger_answer"]) / 10 ** feed["decimals"])
        for trigger in row["triggers"]:
            assert trigger["price_usd"] == pytest.approx(int(trigger["trigger_price"]) / 10**8)


# -- seizures -----------------------------------------------------------------


def test_every_seizure_is_that_of_the_reference(demo: Demo) -> None:
    feeds = {f["factor"]: f["reference_feed"]["address"].lower() for f in demo.scan["factors"]}
    kinds: Counter[str] = Counter()
    for address, row in demo.accounts.items():
        account = demo.raw.accounts[address]
        at = {p["factor"]: int(p["trigger_answer"]) for p in row["liquidation_points"] if p["trigger_answer"]}
        expected = [
            {"factor": name} | call
            for name in feeds
            if name in at
            for call in demo.judge.seizures(account, demo.raw.prices_at({feeds[name]: at[name]}))
        ]
        if row["status"] in ("liquidatable", "blocked"):
            expected += [{"factor": "now"} | call for call in demo.judge.seizures(account, demo.raw.prices)]
        key = ("factor", "debt_reserve", "collateral_reserve")
        got = {tuple(call[k] for k in key): call for call in row["seizures"]}
        assert len(got) == len(row["seizures"]) == len(expected)
        for want in expected:
            call = got[tuple(want[k] for k in key)]
            assert {name: call[name] for name in want} == want, (address, call)
            kinds[call["blocked_by"] or call["branch"]] += 1
    assert kinds.keys() >= {"half", "all", "collateral", "paused", "dust"}
    assert sum(kinds.values()) > 4_000


# -- bands --------------------------------------------------------------------


def test_dense_bands_lie_where_the_whales_are(demo: Demo) -> None:
    dense = {band["share"]: band for band in demo.scan["factors"][0]["dense_bands"]}
    assert demo.scan["selected_factor"] == demo.scan["factors"][0]["factor"] == "ETH"
    for share in (0.25, 0.5, 0.75):
        assert EDGES[0] <= dense[share]["lower_price_usd"] < dense[share]["upper_price_usd"] <= EDGES[1]


def test_bands_hold_what_the_reference_seizes(demo: Demo) -> None:
    """Sum the best open call of each account at its trigger, collateral inside the factor only, over all falls."""
    eth = demo.scan["factors"][0]
    feed = eth["reference_feed"]["address"].lower()
    halved = demo.raw.prices_at({feed: int(eth["reference_feed"]["answer"]) // 2})
    members = {key for key in demo.raw.prices if halved[key] != demo.raw.prices[key]}
    assert len(members) == len(eth["members"]) == 5
    total, accounts = 0, 0
    for address, row in demo.accounts.items():
        for point in row["liquidation_points"]:
            if point["factor"] == "ETH" and point["direction"] == "down":
                accounts += 1
                prices = demo.raw.prices_at({feed: int(point["trigger_answer"])})
                for call in demo.judge.seizures(demo.raw.accounts[address], prices):
                    key = call["collateral_reserve"]
                    if call["best"] and call["blocked_by"] is None and key in members:
                        unit = 10 ** demo.raw.market.reserves[int(key)].decimals
                        total += int(call["seize_raw"]) * prices[key] // unit
    falls = [band for band in eth["bands"] if band["direction"] == "down"]
    assert sum(band["account_count"] for band in falls) <= accounts
    assert falls[-1]["cumulative_seizable_usd"] == pytest.approx(total / 10**8, rel=1e-9)


# -- an edited price ----------------------------------------------------------


@pytest.mark.parametrize(("factor", "percent"), [("ETH", 88), ("USDC", 97)])
def test_an_edited_price_moves_the_band(demo: Demo, tmp_path: Path, factor: str, percent: int) -> None:
    before = scan(replay=DEMO, extent="factor")
    feed = next(f for f in before.factors if f.factor == factor)
    path = tmp_path / "edited.rec"
    edit_feed(DEMO, path, feed, feed.answer * percent // 100, before.factors)

    after = scan(replay=path, extent="factor", factor="ETH", verify="all")

    judge, told = Judge(Recorded(path)), {r["position"]: r for r in after.frames["accounts"].iter_rows(named=True)}
    for address, account in judge.recorded.accounts.items():
        want, got = judge.totals(account), told[address]
        assert (got["health_factor_wad"], got["status"]) == (want["health_factor_wad"], want["status"])
        assert str(got["debt_raw"]) == str(want["debt_base"])
    changed = {a for a, account in demo.raw.accounts.items() if judge.totals(account) != demo.judge.totals(account)}
    assert len(changed) > 500
    assert set(after.markets[0].mismatches) == changed  # the contract's recorded answers are those of the old price
    assert not after.trustworthy
    old, new = dense_half(before), dense_half(after)
    assert abs(new["lower_price_usd"] - old["lower_price_usd"]) > 1
    assert abs(new["seizable_collateral_usd"] - old["seizable_collateral_usd"]) > 10**6
    if factor == "ETH":
        assert new["upper_price_usd"] <= 2_100 * percent / 100 < old["upper_price_usd"] + 20


def dense_half(result: ScanResult) -> Json:
    return result.frames["dense_bands"].filter(factor="ETH", share=0.5).row(0, named=True)
