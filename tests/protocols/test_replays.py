"""What a replay is asked for beside what it holds, and what single accounts prove."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from jsonschema import Draft202012Validator

from scanner import ScanResult, scan
from scanner.chain.interface import Call, Overrides, Reverted
from scanner.chain.recording import load as load_recording
from scanner.chain.replay import ReplayReader
from scanner.cli import run
from scanner.cli.commands import DEMO
from scanner.errors import ConfigError, RecordingError, UnknownMarketError
from scanner.export.documents import account_json, accounts_json, accounts_ndjson, scan_json
from scanner.export.schemas import load
from scanner.export.tables import accounts_parquet, bands_parquet

STRANGER = "0x" + "5a" * 20


@pytest.fixture(scope="module")
def owners() -> list[str]:
    (found,) = load_recording(DEMO).notes["owners"].values()
    return list(found)


@pytest.fixture(scope="module")
def some(owners: Sequence[str]) -> ScanResult:
    return scan(replay=DEMO, only=[name.upper().replace("0X", "0x") for name in owners[:3]], verify="all")


def test_single_accounts_prove_nothing_complete(some: ScanResult) -> None:
    (market,) = some.markets
    assert (some.snapshot.complete, market.complete) == (None, None)
    assert market.completeness == ()
    assert some.trustworthy
    assert not replace(some, markets=(replace(market, unread=1),)).trustworthy
    assert not replace(some, markets=(replace(market, mismatches=(STRANGER,)),)).trustworthy


def test_documents_say_null_where_nothing_is_proven(some: ScanResult, owners: Sequence[str]) -> None:
    texts = {"scan": scan_json(some), "accounts": accounts_json(some), "account": account_json(some, owners[0])}
    texts["ndjson"] = next(iter(accounts_ndjson(some)))
    for kind, text in texts.items():
        document = json.loads(text)
        Draft202012Validator(load(kind)).validate(document)
        assert document["snapshot"]["complete"] is None
    assert json.loads(texts["scan"])["markets"][0]["complete"] is None
    assert bands_parquet(some)
    assert accounts_parquet(some)


def test_the_contracts_answers_come_in_one_request(owners: Sequence[str], monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[int] = []
    inner = ReplayReader.call

    def call(
        self: ReplayReader, calls: Sequence[Call], *, overrides: Overrides | None = None
    ) -> list[bytes | Reverted]:
        if calls and all(one.data.startswith(bytes.fromhex("bf92857c")) for one in calls):
            asked.append(len(calls))
        return inner(self, calls, overrides=overrides)

    monkeypatch.setattr(ReplayReader, "call", call)
    result = scan(replay=DEMO, only=owners[:40], verify="none")

    assert [count for count in asked if count] == [40]
    assert set(result.contract_answers) <= set(owners[:40])
    assert len(result.contract_answers) > 30


def no_call(*_: object, **__: object) -> list[bytes]:
    raise AssertionError("nothing is read before what was asked for is known to be there")


def test_a_market_or_account_that_a_recording_does_not_hold(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(ReplayReader, "call", no_call)
    for market in ("0x" + "11" * 20, "0x1111", "spark"):
        with pytest.raises(UnknownMarketError, match=rf"does not hold market {market}; it has devchain \(0x"):
            scan(replay=DEMO, markets=market)
        assert run(["scan", "--replay", str(DEMO), "--market", market]) == 2
    with pytest.raises(ConfigError, match=rf"{STRANGER} is none of the [\d,]+ in the recording.*--rpc-url"):
        scan(replay=DEMO, only=STRANGER)
    assert run(["account", STRANGER, "--replay", str(DEMO)]) == 2


@pytest.mark.parametrize("name", ["root", "upper", "devchain"])
def test_a_recorded_market_is_named_by_root_or_name(name: str) -> None:
    root = load_recording(DEMO).notes["targets"][0]["root"]
    spelled = {"root": root, "upper": "0x" + root[2:].upper()}.get(name, name)

    result = scan(replay=DEMO, markets=spelled, verify="none", extent="points")

    assert [market.market_id for market in result.markets] == [root]


def test_an_account_that_was_not_verified_names_the_option(tmp_path: Path, owners: Sequence[str]) -> None:
    recording = load_recording(DEMO)
    getter = bytes.fromhex("bf92857c")
    gone = {key for key in recording.calls if key[1][:4] == getter and key[1].hex().endswith(owners[0][2:])}
    for key in gone:
        del recording.calls[key]
    recording.command = "liqbands scan --verify all --record FILE"
    recording.save(tmp_path / "sample.rec")

    for options in ({"verify": "all"}, {"only": owners[0]}):
        with pytest.raises(RecordingError, match=r"not verified when this was recorded: .*--verify all --record FILE"):
            scan(replay=tmp_path / "sample.rec", **options)
    assert gone
