"""What runs on a fork, as it is written; why it reverted; what a call is told to assume."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from eth_abi.abi import encode
from eth_utils.crypto import keccak

from scanner.chain.world import Change, World
from scanner.cli.fork_options import Fork
from scanner.cli.gather import fork_payload
from scanner.errors import ConfigError
from scanner.fork.files import parse_payload
from scanner.fork.payload import Payload, Transaction, Wait
from scanner.fork.reverts import revert_reason

FROM, TO, OTHER = ("0x" + pair * 20 for pair in ("a1", "b2", "c3"))


def test_transactions_and_waits_keep_their_order() -> None:
    payload = parse_payload([FROM], [f"{TO}:0x12345678", "+2d", f"{OTHER}:0x:1000"], time="+1h")
    first, pause, second, after = payload.steps
    assert isinstance(first, Transaction)
    assert (first.sender, first.to, first.data) == (FROM, TO, bytes.fromhex("12345678"))
    assert (pause, after) == (Wait(2 * 86_400), Wait(3_600))
    assert isinstance(second, Transaction)
    assert (second.sender, second.to, second.data, second.value, second.name) == (FROM, OTHER, b"", 1000, "--tx 3 of 3")


def test_each_transaction_may_have_its_own_sender() -> None:
    payload = parse_payload([FROM, OTHER], [f"{TO}:0x", "+1s", f"{TO}:0x"])
    assert [step.sender for step in payload.steps if isinstance(step, Transaction)] == [FROM, OTHER]


@pytest.mark.parametrize(
    ("senders", "given", "word"),
    [
        ([], [f"{TO}:0x"], "--tx needs a sender"),
        ([FROM], [], "sender of nothing"),
        ([FROM, OTHER], [f"{TO}:0x"] * 3, "given 2 times and --tx 3 times"),
        ([FROM], [TO], "write TO:DATA"),
        ([FROM], [f"{TO}:0x123"], "even number of hex digits"),
        ([FROM], [f"{TO[:-1]}:0x12"], "is not an address"),
        (["me"], [f"{TO}:0x12"], "--impersonate: 'me' is not an address"),
        ([FROM], [f"{TO}:0x12:-1"], "is no value"),
        ([FROM], [f"{TO}:0x12:0x" + "f" * 65], "is no value"),
        ([FROM], ["+2w", f"{TO}:0x"], "is no time to let pass"),
    ],
)
def test_what_cannot_be_meant_is_refused(senders: list[str], given: list[str], word: str) -> None:
    with pytest.raises(ConfigError, match=word):
        parse_payload(senders, given)


def written(folder: Path, content: object, name: str = "payload.json") -> Path:
    path = folder / name
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    return path


def test_a_list_is_read_as_json_or_toml(tmp_path: Path) -> None:
    entries = [{"from": FROM, "to": TO, "data": "0x1234"}, {"wait": "+1d"}, {"from": FROM, "to": TO, "value": "0x10"}]
    toml = f"""
        [[transactions]]
        from = "{FROM}"
        to = "{TO}"
        data = "0x1234"
        [[transactions]]
        wait = "+1d"
        [[transactions]]
        from = "{FROM}"
        to = "{TO}"
        value = 16
    """
    for path in (
        written(tmp_path, entries),
        written(tmp_path, {"transactions": entries}),
        written(tmp_path, toml, "payload.toml"),
    ):
        first, pause, second = parse_payload(files=[path]).steps
        assert isinstance(first, Transaction)
        assert (first.sender, first.to, first.data, first.value) == (FROM, TO, b"\x12\x34", 0)
        assert pause == Wait(86_400)
        assert isinstance(second, Transaction)
        assert second.value == 16
        assert second.name == f"{path}, transaction 3"


@pytest.mark.parametrize(
    ("content", "word"),
    [
        ([{"from": FROM, "to": TO, "dat": "0x"}], "transaction 1: unknown key 'dat'; did you mean 'data'"),
        ([{"to": TO}], "transaction 1: from is missing"),
        ([{"from": FROM}], "transaction 1: to is missing"),
        ([{"from": FROM, "to": TO}, {"wait": "+1d", "to": TO}], "transaction 2: wait stands alone"),
        ([{"from": FROM, "to": TO, "data": 12}], "transaction 1, data: 12 is no calldata"),
        ([{"from": FROM, "to": TO, "value": True}], "transaction 1, value: True is no value"),
        ([], "no transaction in it"),
        ([1], "transaction 1: give from, to and data"),
        ({"transaction": []}, "give a list of transactions.*'transaction'; did you mean 'transactions'"),
        ({"foo": 1}, "give a list of transactions.*unknown key 'foo'"),
        ({"transactions": [{"from": FROM, "to": TO}], "chain": 1}, "unknown key 'chain'"),
        ("[", "not valid JSON"),
    ],
)
def test_a_file_that_cannot_be_meant_is_refused(tmp_path: Path, content: object, word: str) -> None:
    with pytest.raises(ConfigError, match=word):
        parse_payload(files=[written(tmp_path, content)])


BROADCAST: Mapping[str, Any] = {
    "transactions": [
        {
            "hash": "0x00",
            "transactionType": "CREATE",
            "contractName": "Payload",
            "transaction": {"from": FROM, "gas": "0x5208", "value": "0x0", "input": "0x6001", "nonce": "0x1"},
            "additionalContracts": [],
        },
        {
            "transactionType": "CALL",
            "transaction": {"from": FROM, "to": TO, "value": None, "data": "0x1234", "chainId": "0x1"},
        },
    ],
    "receipts": [],
    "libraries": [],
    "timestamp": 1,
    "chain": 1,
    "commit": "abc",
}


def test_a_broadcast_of_foundry_is_read(tmp_path: Path) -> None:
    payload = parse_payload(files=[written(tmp_path, BROADCAST, "run-latest.json")])
    assert payload.chain_id == 1
    create, call = payload.steps
    assert isinstance(create, Transaction)
    assert isinstance(call, Transaction)
    assert (create.to, create.data) == (None, b"\x60\x01")
    assert (call.to, call.data, call.value) == (TO, b"\x12\x34", 0)
    other = written(tmp_path, {**BROADCAST, "chain": 10}, "other.json")
    with pytest.raises(ConfigError, match="different chains: 1, 10"):
        parse_payload(files=[tmp_path / "run-latest.json", other])


def test_the_command_line_needs_a_fork_and_something_to_run_on_it() -> None:
    assert fork_payload(Fork()) is None
    assert fork_payload(Fork(fork=True, fork_time="+1d")) == Payload((Wait(86_400),))
    with pytest.raises(ConfigError, match="--tx and --fork-time run on a fork: add --fork"):
        fork_payload(Fork(tx=(f"{TO}:0x",), fork_time="+1d"))
    with pytest.raises(ConfigError, match="--fork without a payload changes nothing"):
        fork_payload(Fork(fork=True))


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"", "without a reason"),
        (bytes.fromhex("08c379a0") + encode(["string"], ["Governor: \x1b[31mno"]), "'Governor: \\x1b[31mno'"),
        (bytes.fromhex("08c379a0") + encode(["string"], ["27"]), "27 (RESERVE_INACTIVE)"),
        (bytes.fromhex("4e487b71") + encode(["uint256"], [0x11]), "panic 0x11 (arithmetic overflow or underflow)"),
        (keccak(text="CallerNotPoolAdmin()")[:4], "CallerNotPoolAdmin()"),
        (keccak(text="InvalidDebtInEmode(address,uint256)")[:4] + bytes(64), "InvalidDebtInEmode(…)"),
        (bytes.fromhex("deadbeef"), "custom error 0xdeadbeef"),
        (bytes.fromhex("08c379a0") + b"\xff" * 70, "custom error"),
    ],
)
def test_a_reason_is_decoded(data: bytes, said: str) -> None:
    assert said in revert_reason(data) or said == "custom error"


def test_a_world_says_what_is_other_and_lets_the_code_of_a_call_win() -> None:
    world = World({FROM: Change(code=b"\1", slots={1: 2}), TO: Change(balance=5), OTHER: Change()}, 1_000, 7)
    state, block = world.parameters({FROM: b"\2"})
    slot, value = (f"0x{number:064x}" for number in (1, 2))
    assert state == {FROM: {"code": "0x02", "stateDiff": {slot: value}}, TO: {"balance": "0x5"}}
    assert block == {"time": hex(1_000), "number": hex(7)}
    assert World({}).parameters({}) == [{}]
    assert world.parameters({})[0][FROM]["code"] == "0x01"
