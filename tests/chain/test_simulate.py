"""A simulated payload: what is read after it is what a full scan of a fork reads; who cannot simulate says so."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest

from scanner.chain.interface import Block
from scanner.devchain import DevMarket
from scanner.errors import ConfigError, OverridesRefused, PayloadFailed, WrongChainError
from scanner.fork import Payload, Transaction, Wait, scan_simulated
from scanner.fork.payload import Step
from scanner.fork.simulate import simulation_of
from scanner.pipeline import Scanned
from tests.chain.peers import invoke
from tests.chain.proxy import Request, Say, proxy, refuse
from tests.chain.test_fork import (
    assert_same,
    below_one,
    block_of,
    cut,
    deeds,
    forked,
    liquidatable_on,
    options,
    transaction,
    whole_scan,
)

pytestmark = pytest.mark.chain

DAY = 86_400
STRANGER = "0x" + "51" * 20


def compare(
    market: DevMarket, steps: Sequence[Step], same: Sequence[Step], url: str | None = None, **more: Any
) -> tuple[Scanned, Scanned]:
    """Hold a simulation against a full scan of a fork where ``same`` ran: the steps, at the times of the simulation."""
    with TemporaryDirectory() as folder:  # an index that knows of earlier scans would leave out who has no debt
        given = options(market, url, verify="all", index_file=Path(folder) / "index.db", **more)
        before, after = scan_simulated(given, Payload(tuple(steps)))
    with forked(market, block_of(before), Payload(tuple(same))) as node:
        whole = whole_scan(market, node, **more)
        now = liquidatable_on(node, market, after.result.frames["accounts"]["position"].to_list())
    assert whole.trustworthy
    assert after.result.trustworthy
    assert_same(after.result, whole)
    assert below_one(after) == now
    return before, after


def test_a_cut_threshold_is_simulated_as_on_a_fork(small: DevMarket) -> None:
    seen: Counter[str] = Counter()
    pins: list[Any] = []

    def count(request: Request) -> None:
        seen[request["method"]] += 1
        if request["method"] == "eth_simulateV1":
            pins.append(request["params"][1])

    with proxy(small.anvil.url, count) as url:
        before, after = compare(small, [cut(small)], [Wait(1), cut(small), Wait(1)], url)
    assert len(below_one(after) - below_one(before)) >= 10
    assert seen["eth_simulateV1"] > 3
    assert seen.total() < 100
    assert all(pin == {"blockHash": block_of(before).hash, "requireCanonical": True} for pin in pins)
    assert block_of(after) == block_of(before)
    assert after.result.snapshot.what_if == (f"simulated: {cut(small)}",)
    assert "s3cret" not in repr(after)


def test_what_accounts_do_and_time_are_simulated_as_on_a_fork(
    small: DevMarket, rollback: Callable[[DevMarket], DevMarket]
) -> None:
    market = rollback(small)
    market.set_price("ETH", market.answer("ETH") * 90 // 100)
    start = market.snapshot()
    calls = [transaction(call) for call in deeds(market)]
    market.revert(start)
    lower = cut(market, "DAI", 7_500)
    before, after = compare(
        market,
        [*calls, Wait(3 * DAY), lower],
        [Wait(1), *calls, Wait(3 * DAY - 1), lower, Wait(1)],
    )
    heights = [scanned.result.frames["accounts"].height for scanned in (before, after)]
    assert heights[1] == heights[0] + 1  # who never borrowed before
    waits: list[Step] = [Wait(DAY), lower, Wait(DAY)]
    compare(market, waits, waits)  # with times that a fork can have, too, nothing need be added


def test_blocks_come_a_second_apart_at_least_and_waits_are_counted_from_the_block() -> None:
    base = Block(7, "0x" + "77" * 32, 1_000)
    tx = Transaction(STRANGER, STRANGER)

    def times(*steps: Step) -> list[int]:
        simulation = simulation_of(base, Payload(steps))
        _, (said, _) = simulation.request("pin", {"data": "0x"}, {})
        assert [int(one["blockOverrides"]["number"], 16) for one in said["blockStateCalls"]] == list(
            range(8, simulation.head.number + 1)
        )
        return [int(one["blockOverrides"]["time"], 16) - 1_000 for one in said["blockStateCalls"]]

    assert times(tx, tx) == [1, 2]
    assert times(Wait(60)) == [60]
    assert times(Wait(60), tx, Wait(60), tx) == [60, 120, 121]
    assert times(tx, Wait(1), tx, Wait(1), tx, Wait(60)) == [1, 2, 3, 62]


def test_a_transaction_that_fails_is_named_with_its_reason(small: DevMarket) -> None:
    stranger = Transaction(STRANGER, small.core.configurator, cut(small).data, name="--tx 2 of 2")
    with pytest.raises(PayloadFailed, match=r"--tx 2 of 2 .* reverted: CallerNotRiskOrPoolAdmin\(\)"):
        scan_simulated(options(small), Payload((cut(small), stranger)))
    nobody = Transaction(small.chain.sender, "0x" + "52" * 20, b"\1\2\3\4", name="--tx")
    with pytest.raises(PayloadFailed, match="is no contract, and has nothing to call"):
        scan_simulated(options(small), Payload((nobody,)))
    poor = Transaction(STRANGER, "0x" + "53" * 20, value=10**30, name="--tx 2 of 3")
    with pytest.raises(PayloadFailed, match=r"--tx 2 of 3 .* cannot be sent: .*[Ii]nsufficient funds"):
        scan_simulated(options(small), Payload((cut(small), poor, cut(small))))
    with pytest.raises(WrongChainError, match="made for chain 1, and 31337"):
        scan_simulated(options(small), Payload((cut(small),), chain_id=1))
    with pytest.raises(ConfigError, match="leave out --replay"):
        scan_simulated(options(small, record="/nowhere"), Payload((cut(small),)))


def geth(market: DevMarket) -> Callable[[Request], Say | None]:
    """Answer as geth does: times increase, gas fits into the block, and what a revert returned is in its error."""

    def rule(request: Request) -> Say | None:
        if request["method"] != "eth_simulateV1":
            return None
        (said, pin), time = request["params"], -1
        assert pin["requireCanonical"]
        for block in said["blockStateCalls"]:
            now = int(block["blockOverrides"]["time"], 16)
            if now <= time:
                return refuse(f"block timestamps must be in order: {now} <= {time}", -38021)
            time = now
            for call in block["calls"]:
                assert int(call.get("gas", "0x0"), 16) <= int(block["blockOverrides"]["gasLimit"], 16)
        result = market.anvil.rpc("eth_simulateV1", said, pin)
        for call in (call for block in result for call in block["calls"] if int(call["status"], 16) == 0):
            data, call["returnData"] = call["returnData"], "0x"
            reverted = {"code": 3, "message": "execution reverted", "data": data}
            call["error"] = reverted if data != "0x" else {"code": -32015, "message": "out of gas"}
        return Say({"jsonrpc": "2.0", "id": 1, "result": result})

    return rule


def test_an_endpoint_with_the_manners_of_geth_is_understood(small: DevMarket) -> None:
    with proxy(small.anvil.url, geth(small)) as url:
        compare(small, [cut(small)], [Wait(1), cut(small), Wait(1)], url)
        stranger = Transaction(STRANGER, small.core.configurator, cut(small).data, name="--tx")
        with pytest.raises(PayloadFailed, match=r"reverted: CallerNotRiskOrPoolAdmin\(\)"):
            scan_simulated(options(small, url), Payload((stranger,)))


def no_method(request: Request) -> Say | None:
    refused = request["method"] == "eth_simulateV1"
    return refuse("the method eth_simulateV1 does not exist/is not available", -32601) if refused else None


def no_answer(request: Request) -> Say | None:
    return Say({"jsonrpc": "2.0", "id": 1, "result": None}) if request["method"] == "eth_simulateV1" else None


def no_codes(request: Request) -> None:
    if request["method"] == "eth_simulateV1":
        request["params"][0]["blockStateCalls"][-1].pop("stateOverrides")


def no_times(request: Request) -> None:
    if request["method"] == "eth_simulateV1":
        for block in request["params"][0]["blockStateCalls"]:
            block["blockOverrides"].pop("time")


def no_payload(request: Request) -> None:
    if request["method"] == "eth_simulateV1":
        request["params"][0]["blockStateCalls"] = request["params"][0]["blockStateCalls"][-1:]


@pytest.mark.parametrize(
    ("rule", "words"),
    [
        (no_method, "is not offered"),
        (no_answer, "does not answer as it should"),
        (no_codes, "ignores the codes"),
        (no_times, "ignores the times"),
        (no_payload, "does not answer as it should"),
    ],
)
def test_an_endpoint_that_does_not_simulate_is_named_and_a_fork_advised(
    small: DevMarket, rule: Callable[[Request], Say | None], words: str
) -> None:
    with proxy(small.anvil.url, rule) as url, pytest.raises(OverridesRefused, match=f"{words}.*--fork"):
        scan_simulated(options(small, url, extent="points"), Payload((cut(small),)))


def test_an_endpoint_that_takes_no_hash_there_is_given_the_number(small: DevMarket) -> None:
    def rule(request: Request) -> Say | None:
        if request["method"] == "eth_simulateV1" and not isinstance(request["params"][1], str):
            return refuse("invalid params", -32602)
        return None

    with proxy(small.anvil.url, rule) as url:
        compare(small, [cut(small)], [Wait(1), cut(small), Wait(1)], url, extent="points")


def test_gas_of_the_payload_is_part_of_what_a_request_gets(
    small: DevMarket, rollback: Callable[[DevMarket], DevMarket]
) -> None:
    seen: list[int] = []

    def rule(request: Request) -> None:
        if request["method"] == "eth_simulateV1":
            seen.append(int(request["params"][0]["blockStateCalls"][-1]["calls"][0].get("gas", "0x0"), 16))

    with proxy(small.anvil.url, rule) as url:
        scan_simulated(options(small, url, extent="points"), Payload((cut(small),) * 3))
    assert 49_000_000 < max(seen) < 50_000_000 - 3 * 21_000
    rollback(small)
    small.anvil.rpc("anvil_setCode", STRANGER, "0x6000625000005200")  # five megabytes of memory: 53 million
    dear = Transaction(small.chain.sender, STRANGER)
    with pytest.raises(OverridesRefused, match=r"takes 5\d,\d{3},\d{3} of the 50,000,000 gas .*--fork"):
        scan_simulated(options(small), Payload((dear,)))


def test_several_endpoints_simulate_and_one_that_does_not_is_left_out(small: DevMarket, tmp_path: Path) -> None:
    with (
        proxy(small.anvil.url, lambda request: None) as one,
        proxy(small.anvil.url, lambda request: None) as other,
        proxy(small.anvil.url, no_method) as without,
    ):
        given = options(small, one, index_file=tmp_path / "one.db")
        alone = scan_simulated(given, Payload((cut(small),)))[1]
        given = replace(given, rpc_urls=[one, without, other], quorum=2, index_file=tmp_path / "several.db")
        after = scan_simulated(given, Payload((cut(small),)))[1]
    assert after.result.trustworthy
    assert_same(after.result, alone.result)
    assert any("eth_simulateV1 is not offered" in warning for warning in after.result.warnings)


def test_the_command_simulates_and_names_who_would_be_liquidatable(
    small: DevMarket, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GITHUB_ACTIONS", "")
    lower = cut(small)
    where = ["--rpc-url", small.anvil.url, "--market", small.root, "--from-block", str(small.first_block)]
    words = [*where, "--no-progress", "--simulate", "--tx", f"{lower.to}:0x{lower.data.hex()}", "--impersonate"]
    found = invoke(capsys, "check", *words, lower.sender, "--format", "json")
    assert found.code == 1, found.err
    assert "--simulate" in found.out  # in the command that shows it again
    failed = invoke(capsys, "check", *words, STRANGER)
    assert failed.code == 2
    assert "CallerNotRiskOrPoolAdmin()" in failed.err
    both = invoke(capsys, "check", *words, lower.sender, "--fork")
    assert both.code == 2
    assert "give one of them" in both.err
