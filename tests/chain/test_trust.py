"""Whom a scan believes, as a user meets it: quorum, proofs and the transport log of the command."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from scanner.chain.lenses import LENS
from scanner.cli.commands import DEMO
from scanner.devchain import DevMarket
from tests.chain.endpoints import Liar, Lie, endpoints, passing
from tests.chain.peers import Outcome, invoke
from tests.chain.proxy import Request
from tests.chain.test_quorum import ACCOUNT_LENS, Once, one_balance, one_log_less

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


def test_a_quorum_says_what_it_compared(
    small: DevMarket, command: _Command, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    record = str(tmp_path / "scan.rec")
    with endpoints(small.anvil.url, passing, passing) as opened:
        urls = [endpoint.url for endpoint in opened]
        table = command("scan", "--quorum", "2", urls=urls)
        assert "2 endpoints agree" in table.out
        document: dict[str, Any] = json.loads(
            command("scan", "--format", "json", "--quorum", "2", "--record", record, urls=urls).out
        )
    replayed = json.loads(invoke(capfd, "scan", "--format", "json", "--replay", record).out)
    assert replayed["snapshot"]["quorum"] == document["snapshot"]["quorum"]
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


def _half_a_word_more(request: Request, result: Any) -> Any:
    """Put half a record before the others."""
    return "0x" + 16 * "00" + result[2:] if _is_long_lens(request, result) else result


def _another_side(request: Request, result: Any) -> Any:
    """Give the last record a side that there is not."""
    return result[: -2 * 64 + 12] + "55" + result[-2 * 64 + 14 :] if _is_long_lens(request, result) else result


def _a_record_of_nobody(request: Request, result: Any) -> Any:
    """Give the last record to an account that was not asked for."""
    return result[: -2 * 64] + "ffffffff" + result[-2 * 64 + 8 :] if _is_long_lens(request, result) else result


def _is_long_lens(request: Request, result: Any) -> bool:
    called = request["method"] == "eth_call" and request["params"][0].get("to") == LENS
    return called and request["params"][2][LENS]["code"] == "0x" + ACCOUNT_LENS and len(result) > 3 * 64


_IMPOSSIBLE = [_half_a_word_more, _another_side, _a_record_of_nobody]


@pytest.mark.parametrize("lie", _IMPOSSIBLE)
def test_an_answer_of_an_impossible_shape_is_laid_to_its_endpoint(
    small: DevMarket, command: _Command, lie: Lie
) -> None:
    with endpoints(small.anvil.url, Liar(small.anvil.url, lie), passing) as (liar, honest):
        proven = command("scan", "--verify", "none", "--prove", "all", urls=[liar.url])
        assert proven.code == 3
        unproven = command("scan", "--verify", "none", urls=[liar.url])
        assert unproven.code == 4
        for outcome in (proven, unproven):
            assert f"{liar.host}: " in outcome.err
            assert outcome.err.count(liar.host) == 1
            assert "another endpoint" in outcome.err
            assert not outcome.out
            assert not _secrets(command, outcome)
        for options in (["--verify", "none"], ["--prove", "all"]):
            pooled = command("scan", "--format", "json", *options, urls=[liar.url, honest.url])
            assert pooled.code == 0
            assert f"{liar.host} failed at reading calls, others were asked: " in pooled.err
        agreed = command("scan", "--verify", "all", "--quorum", "2", urls=[liar.url, honest.url])
        assert agreed.code == 3
        assert liar.host in agreed.err


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


def test_a_recording_cannot_be_proven(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert invoke(capfd, "demo", "--prove", "all").code == 2
    outcome = invoke(capfd, "scan", "--replay", str(DEMO), "--prove", "all")
    assert outcome.code == 2
    assert "--prove needs a node" in outcome.err
    both = str(tmp_path / "file")
    outcome = invoke(capfd, "scan", "--rpc-url", "http://127.0.0.1:9", "--record", both, "--transport-log", both)
    assert outcome.code == 2
    assert "a file of its own" in outcome.err
