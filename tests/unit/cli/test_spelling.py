"""Every address that leaves the program is spelled as EIP-55, in each kind of document and in what is printed."""

from __future__ import annotations

import json
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any, cast

import pytest

from scanner.cli.commands import DEMO
from scanner.devchain.market import DevMarket
from scanner.devchain.session import describe
from scanner.fork.payload import Transaction, Wait
from scanner.units import ADDRESS
from scanner.views import eip55
from tests.chain.peers import invoke

REPLAY = ("--replay", str(DEMO), "--no-progress")
ACCOUNT = "0x8aB44CAa86244d534CeA3eC4908e1fD313caadce"
CHANGE = ("--set-lt", "USDC=76%", "--shock", "ETH=-5%", "--set-emode", "1:lt=92%", "--time", "+30d")
Capture = pytest.CaptureFixture[str]


def strings(value: Any) -> Iterator[str]:
    """Walk a document: every text in it, keys too."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for key, item in value.items():
            yield from (key, *strings(item))
    elif isinstance(value, list):
        for item in value:
            yield from strings(item)


def misspelled(texts: Iterator[str] | list[str]) -> set[str]:
    return {found for text in texts for found in ADDRESS.findall(text) if eip55(found) != found}


@pytest.mark.parametrize(
    "words",
    [
        ("scan", "--format", "json"),
        ("accounts", "--format", "json"),
        ("accounts", "--format", "ndjson"),
        ("account", ACCOUNT.lower(), "--format", "json"),
        ("quote", "--at", "ETH=-5%", "--format", "json"),
        ("quote", "--at", "ETH=-5%", "--format", "ndjson"),
        ("check", *CHANGE, "--max-liquidatable", "0", "--format", "json"),
    ],
    ids=lambda words: f"{words[0]}-{words[-1]}",
)
def test_every_document_and_warning(words: tuple[str, ...], capsys: Capture) -> None:
    outcome = invoke(capsys, words[0], *REPLAY, *words[1:])
    lines = [outcome.out] if words[-1] == "json" else outcome.out.splitlines()
    texts = [text for line in lines for text in strings(json.loads(line))]
    assert any(ADDRESS.search(text) for text in texts)
    assert misspelled(texts) == set()
    assert misspelled([outcome.err]) == set()


def test_the_diff_document(tmp_path: Any, capsys: Capture) -> None:
    for name, change in (("a", ()), ("b", ("--shock", "ETH=-5%"))):
        invoke(capsys, "accounts", *REPLAY, *change, "--format", "json", "-o", str(tmp_path / name))
    outcome = invoke(capsys, "diff", str(tmp_path / "a"), str(tmp_path / "b"), "--format", "json")
    texts = list(strings(json.loads(outcome.out)))
    assert any(ADDRESS.search(text) for text in texts)
    assert misspelled(texts) == set()


def test_steps_of_a_fork() -> None:
    one, other = ("0x" + pair * 20 for pair in ("a1", "b2"))
    said = str(Transaction(one, other, bytes(4)))
    assert (eip55(one) in said, eip55(other) in said) == (True, True)
    assert [str(Wait(seconds)) for seconds in (172_800, 3_600, 90, 1, 60)] == [
        "2d pass",
        "1h pass",
        "90s pass",
        "1s pass",
        "1m pass",
    ]


def test_what_devchain_prints() -> None:
    one, other, third = ("0x" + pair * 20 for pair in ("a1", "b2", "c3"))
    market = SimpleNamespace(
        anvil=SimpleNamespace(url="http://127.0.0.1:8545"),
        root=one,
        first_block=1,
        aggregators={"ETH": other},
        members=[SimpleNamespace(address=third, kind="whale")],
        chain=SimpleNamespace(block_number=lambda: 17),
    )
    text = "\n".join(describe(cast("DevMarket", market)))
    assert misspelled([text]) == set()
    assert eip55(third) in text
