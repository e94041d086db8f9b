"""Tables of `check` and `quote` in narrow terminals: numbers and addresses stay whole."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence

import pytest
from rich.cells import cell_len

from scanner.cli.commands import DEMO
from scanner.render.impacts import ImpactTable
from tests.chain.peers import invoke
from tests.unit.render.draw import draw

REPLAY = ("--replay", str(DEMO), "--no-progress", "-q")
CHANGE = ("--set-lt", "USDC=76%", "--shock", "ETH=-5%,wstETH/ETH=-2%", "--set-emode", "1:lt=92%", "--time", "+30d")
LIMITS = ("--max-liquidatable", "0", "--max-bad-debt", "ETH:-5%=0")
Capture = pytest.CaptureFixture[str]


def text_of(capsys: Capture, monkeypatch: pytest.MonkeyPatch, width: int, words: Sequence[str]) -> str:
    monkeypatch.setenv("COLUMNS", str(width))
    out = invoke(capsys, words[0], *REPLAY, *words[1:]).out
    assert max(map(cell_len, out.splitlines())) <= width
    return out


@pytest.mark.parametrize("width", [80, 100, 120])
def test_the_check_of_a_change(width: int, capsys: Capture, monkeypatch: pytest.MonkeyPatch) -> None:
    text = text_of(capsys, monkeypatch, width, ("check", *CHANGE, *LIMITS))
    document = json.loads(invoke(capsys, "check", *REPLAY, *CHANGE, *LIMITS, "--format", "json").out)
    table = text[text.index("\n asset") : text.index("before ")]
    assert "accounts liquidated" in table
    for row in document["table"]:
        dollars, count = f"${row['value_liquidated_usd']:,.0f}", f"{row['accounts_liquidated']:,}"
        assert re.search(rf"{re.escape(dollars)} +{count}\b", table)
    assert re.search(r"USDC +78%( →)? +76%", table)
    assert ("left out for want of room" in table) == ("debt repaid  " not in table.splitlines()[1] + "  ")
    # one report counts in one way
    limit = next(one for one in document["limits"] if one["limit"] == "max_liquidatable")
    assert re.search(rf"liquidatable or blocked accounts +\d+ +{limit['value']:.0f} ", text)
    assert re.search(r" collateral +\$[\d.]+B", text)
    # addresses are whole
    assert re.search(r"^   0x[0-9a-fA-F]{40} ", text, re.MULTILINE)
    assert "0x8aB44CAa86244d534CeA3eC4908e1fD313caadce" in text


def test_nothing_is_cut_at_any_width_and_a_refusal_is_said() -> None:
    words = {"current LT": "78%", "new LT": "76%", "current bonus": "5%", "new bonus": "6%"}
    table = [
        {"asset": "X" * 48, **words, "value liquidated": "$123,456,789", "accounts liquidated": "4,321",
         "debt repaid": "$99,999,999", "bad debt": "$77,777"},
        {"asset": "DAI", **words, "value liquidated": "the contract refuses " + "y" * 30, "accounts liquidated": "",
         "debt repaid": "", "bad debt": ""},
    ]  # fmt: skip
    for width in range(50, 200):
        text = draw(ImpactTable(table), width)
        assert max(map(cell_len, text.splitlines())) <= width
        assert text.count("X") == 48
        assert re.search(r"78%( →)? +76%", text)
        for told in ("$123,456,789", "4,321", "the contract refuses", "y" * 30):
            assert told in text
        assert "left out" in text or "$99,999,999" in text


def test_an_unchanged_setting_has_no_empty_table(capsys: Capture, monkeypatch: pytest.MonkeyPatch) -> None:
    text = text_of(capsys, monkeypatch, 100, ("check", "--set-lt", "USDC=78%"))
    assert "before  after  change" not in text


@pytest.mark.parametrize("width", [80, 100, 150])
def test_quotes_name_accounts_in_full(width: int, capsys: Capture, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = json.loads(invoke(capsys, "quote", *REPLAY, "--at", "ETH=-5%", "--format", "json").out)
    text = text_of(capsys, monkeypatch, width, ("quote", "--at", "ETH=-5%", "--limit", "5"))
    for quote in [one for one in whole["quotes"] if one["best"]][:5]:
        assert quote["account"] in text
    assert "profit" in text


def test_the_markdown_counts_as_limits_do(capsys: Capture) -> None:
    text = invoke(capsys, "check", *REPLAY, *CHANGE, "--max-liquidatable", "0", "--format", "markdown").out
    (value,) = re.findall(r"max.*liquidatable \| [^|]* \| (\d+) ", text)
    assert re.search(rf"liquidatable or blocked accounts \| \d+ \| {value} ", text)
