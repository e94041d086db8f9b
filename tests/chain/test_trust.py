"""Whom a scan believes, as a user meets it: quorum, proofs and the transport log of the command."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

import scanner
from scanner import pipeline
from scanner.chain.recording import load
from scanner.devchain import DevMarket
from scanner.verify import choose_rows
from tests.chain.endpoints import Liar, Lie, endpoints, passing
from tests.chain.peers import Outcome, invoke, options_of
from tests.chain.proxy import Request
from tests.chain.test_quorum import Once, one_balance, one_log_less

pytestmark = pytest.mark.chain


class _Command:
    def __init__(self, market: DevMarket, folder: Path, capfd: pytest.CaptureFixture[str]) -> None:
        self._market = market
        self._folder = folder
        self._capfd = capfd
        self.runs = 0

    @property
    def log(self) -> Path:
        return self._folder / f"{self.runs}.ndjson"

    def __call__(self, *arguments: str, urls: list[str]) -> Outcome:
        self.runs += 1
        where = ["--market", self._market.root, "--from-block", str(self._market.first_block)]
        files = ["--index-file", str(self._folder / f"{self.runs}.sqlite"), "--transport-log", str(self.log)]
        given = [part for url in urls for part in ("--rpc-url", url)]
        return invoke(self._capfd, *arguments, *where, *files, *given, "--no-progress")


@pytest.fixture
def command(small: DevMarket, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> _Command:
    return _Command(small, tmp_path, capfd)


def _secrets(command: _Command, outcome: Outcome) -> bool:
    return "s3cret" in outcome.out + outcome.err + command.log.read_text()


@pytest.mark.parametrize("lie", [one_balance, one_log_less])
def test_a_liar_among_two_ends_the_scan_and_among_three_is_left_out(
    small: DevMarket, command: _Command, lie: Lie
) -> None:
    scan = ["scan", "--format", "json", "--verify", "all", "--quorum", "2", "--time-limit", "2m"]
    with endpoints(small.anvil.url, Liar(small.anvil.url, Once(lie)), passing, passing) as (liar, second, third):
        outcome = command(*scan, urls=[liar.url, second.url])
        assert outcome.code == 3
        assert liar.host in outcome.err
        assert second.host in outcome.err
        assert not outcome.out
        assert not _secrets(command, outcome)
        liar.rule = Liar(small.anvil.url, Once(lie))
        outcome = command(*scan, urls=[liar.url, second.url, third.url])
        assert outcome.code == 0
        assert liar.host in outcome.err
        snapshot = json.loads(outcome.out)["snapshot"]
        assert snapshot["rpc_hosts"] == [second.host, third.host]
        assert snapshot["quorum"]["endpoints"] == 2
        assert not _secrets(command, outcome)


def test_a_quorum_says_what_it_compared(small: DevMarket, command: _Command) -> None:
    with endpoints(small.anvil.url, passing, passing) as opened:
        urls = [endpoint.url for endpoint in opened]
        table = command("scan", "--quorum", "2", urls=urls)
        assert "2 endpoints agree" in table.out
        document: dict[str, Any] = json.loads(command("scan", "--format", "json", "--quorum", "2", urls=urls).out)
    assert "agree on every call and log" in document["snapshot"]["quorum"]["assurance"]


def test_proofs_stand_in_the_document_and_in_the_header(small: DevMarket, command: _Command) -> None:
    table = command("scan", "--prove", "all", urls=[small.anvil.url])
    assert table.code == 0
    document: dict[str, Any] = json.loads(
        command("scan", "--format", "json", "--prove", "sample", urls=[small.anvil.url]).out
    )
    (market,) = document["markets"]
    accounts = market["proven"]["of"]
    assert f"proven {accounts} of {accounts}" in table.out
    assert market["proven"]["how"] == "sample"
    assert market["proven"]["values"] > 0
    assert document["snapshot"]["quorum"] is None


def test_a_balance_that_the_state_root_denies_ends_the_scan(small: DevMarket, command: _Command) -> None:
    with endpoints(small.anvil.url, Liar(small.anvil.url, Once(one_balance))) as (liar,):
        outcome = command("scan", "--verify", "none", "--prove", "all", urls=[liar.url])
    assert outcome.code == 3
    assert liar.host in outcome.err
    assert not outcome.out


def _one_owner_less(request: Request, result: Any) -> Any:
    """Leave out whatever one borrower has borrowed."""
    if request["method"] != "eth_getLogs" or not result:
        return result
    owner = result[0]["topics"][2]
    return [log for log in result if log["topics"][2] != owner]


def test_a_log_left_out_ends_a_scan_that_is_to_be_proven(small: DevMarket, command: _Command) -> None:
    with endpoints(small.anvil.url, Liar(small.anvil.url, _one_owner_less)) as (liar,):
        outcome = command("scan", "--verify", "none", "--prove", "sample", urls=[liar.url])
    assert outcome.code == 3
    assert liar.host in outcome.err
    assert "logs were left out" in outcome.err
    assert not outcome.out


def test_a_recording_cannot_be_proven(command: _Command, capfd: pytest.CaptureFixture[str]) -> None:
    outcome = invoke(capfd, "demo", "--prove", "all")
    assert outcome.code == 2
    assert "--prove" in outcome.err


def test_nobody_knows_beforehand_who_is_verified(
    small: DevMarket, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A node that could tell would answer truly for those, and lie of the others. A replay verifies the same ones."""
    drawn: list[str] = []

    def noted(health: Any, accounts: Any, how: str, drawn_by: str) -> list[int]:
        drawn.append(drawn_by)
        return choose_rows(health, accounts, how, drawn_by)

    monkeypatch.setattr(pipeline, "choose_rows", noted)
    for name in ("a", "b"):
        options = options_of(small, tmp_path / "index.sqlite", extent="points")
        scanner.scan(options, record=tmp_path / f"{name}.rec", verify="sample")
        scanner.scan(replay=tmp_path / f"{name}.rec")
    live, replayed = drawn[::2], drawn[1::2]
    assert live == replayed
    assert len({*live, load(tmp_path / "a.rec").block.hash}) == 3

    scanner.scan(options, record=tmp_path / "all.rec", verify="all")
    assert "draw" not in load(tmp_path / "all.rec").notes, "the same scan gives the same file"
    scanner.scan(replay=tmp_path / "all.rec")
    assert drawn[-1] == load(tmp_path / "all.rec").block.hash
