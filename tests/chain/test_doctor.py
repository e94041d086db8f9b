"""What the doctor finds out about endpoints that refuse things, and what it makes of it."""

from __future__ import annotations

import io
import json
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from scanner.chain.deadline import Deadline
from scanner.chain.diagnosis import diagnose
from scanner.chain.kinds import Kind
from scanner.chain.learned import Learned, LearnedStore
from scanner.chain.options import Options
from scanner.chain.soundings import Trait
from scanner.chain.spec import EndpointSpec, Role
from scanner.chain.traits import DOCTOR, NAMES, Traits, probe
from scanner.chain.verdicts import EndpointReport
from scanner.cli import run
from scanner.config import child_environment
from scanner.devchain.anvil import Anvil
from scanner.devchain.toolchain import Toolchain
from scanner.export import schemas
from scanner.export.doctor import doctor_document
from scanner.render.console import show
from scanner.render.doctor import DoctorReport
from scanner.render.progress import Progress
from tests.chain.proxy import BatchRule, Request, Rule, Say, proxy, refuse

pytestmark = pytest.mark.chain

Capture = pytest.CaptureFixture[str]
QUICK = Options(attempts=2, timeout=5, patience=1, first_pause=0.01, lag_patience=0.05, lag_pause=0.02, hedge=False)
BLOCKS = 1_300
SECRETS = ("s3cret", "pa55word", "user:")


@pytest.fixture(scope="module")
def anvil(toolchain: Toolchain) -> Iterator[Anvil]:
    with Anvil(toolchain.anvil) as node:
        node.rpc("anvil_setBlockTimestampInterval", 12)
        node.rpc("anvil_mine", hex(BLOCKS))
        yield node


@pytest.fixture
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in ("LIQBANDS_RPC_URL", "ETH_RPC_URL", "WEB3_PROVIDER_URI", "LIQBANDS_CONFIG"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("LIQBANDS_DATA_DIR", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def probed(
    anvil: Anvil, rule: Rule = lambda request: None, batch: BatchRule = lambda batch: None
) -> tuple[Traits, Learned]:
    learned = Learned()
    with proxy(anvil.url, rule, batch) as url:
        traits = probe(url, options=QUICK, learned=learned)
    shown = repr(traits)
    assert not any(secret in shown for secret in SECRETS)
    return traits, learned


def finding(traits: Traits, name: str) -> tuple[str, str, str]:
    (endpoint,) = diagnose([traits]).endpoints
    (found,) = [one for one in endpoint.findings if one.name == name]
    return found.level, found.shown, found.meaning


def judged(traits: Traits) -> EndpointReport:
    return diagnose([traits]).endpoints[0]


def refusing(method: str, message: str, code: int = -32000) -> Rule:
    return lambda request: refuse(message, code) if request["method"] == method else None


def drawn(*probed: Traits, width: int = 100) -> str:
    text = io.StringIO()
    show(DoctorReport(diagnose(probed)), text, columns=width)
    assert max(map(len, text.getvalue().splitlines())) <= width
    return text.getvalue()


# --- traits --------------------------------------------------------------------------------------------------------


def test_a_good_endpoint_can_do_everything(anvil: Anvil) -> None:
    traits, learned = probed(anvil)
    assert set(traits.found) == set(NAMES)
    values = {name: traits[name].value for name in NAMES}
    assert values | dict.fromkeys(("client", "head_age", "latency", "latency_median")) == {
        "chain_id": 31337, "client": None, "head": BLOCKS, "head_age": None, "syncing": False,
        "finalized": BLOCKS - 64, "safe": BLOCKS - 32, "latency": None, "latency_median": None, "overrides": True,
        "by_hash": True, "deployless": True, "gas_cap": 50_000_000, "batch": 100, "request_bytes": 1_000_000,
        "log_blocks": BLOCKS + 1, "log_results": None, "archive": BLOCKS, "block_seconds": 12.0, "proofs": True,
    }  # fmt: skip
    assert str(values["client"]).startswith("anvil/")
    assert 0 < float(values["latency"] or 0) <= float(values["latency_median"] or 0) < 1
    assert learned == Learned(gas_cap=50_000_000, by_hash=True, overrides=True, deployless=True)
    assert judged(traits).calls
    assert judged(traits).logs


def test_probing_is_gentle(anvil: Anvil) -> None:
    seen: list[str] = []
    wholes: list[int] = []

    def batch(requests: list[Request]) -> None:
        wholes.append(len(requests))

    traits, _ = probed(anvil, lambda request: seen.append(request["method"]), batch)
    assert wholes == [4, 20, 100]
    assert len(seen) - sum(wholes) <= 30
    assert traits["batch"].value == 100


def test_batches_are_probed_within_the_budget_of_the_endpoint(anvil: Anvil) -> None:
    times: list[float] = []

    def batch(requests: list[Request]) -> None:
        times.append(time.monotonic())

    with proxy(anvil.url, lambda request: None, batch) as url:
        traits = probe(EndpointSpec(url, requests_per_second=40), options=QUICK)
    assert traits["batch"].value == 100
    assert times[2] - times[0] > 0.3  # 24 requests before the third batch


@pytest.mark.parametrize("method", ["web3_clientVersion", "eth_chainId"])
def test_text_that_is_no_utf8_is_unknown(anvil: Anvil, method: str) -> None:
    def damaged(request: Request) -> Say | None:
        if request["method"] != method:
            return None
        return Say(b'{"jsonrpc":"2.0","id":%d,"result":"ge\xffth"}' % request["id"])

    traits, _ = probed(anvil, damaged)
    trait = traits["client" if method == "web3_clientVersion" else "chain_id"]
    assert trait.value is None
    assert method in trait.note


def test_overrides_that_are_refused_or_ignored(anvil: Anvil) -> None:
    def refused(request: Request) -> Say | None:
        with_code = request["method"] == "eth_call" and len(request["params"]) > 2
        return refuse("too many arguments, want at most 2", -32602) if with_code else None

    def ignored(request: Request) -> Say | None:
        if request["method"] == "eth_call":
            del request["params"][2:]
        return None

    for rule, words in ((refused, "too many arguments"), (ignored, "ignored")):
        traits, learned = probed(anvil, rule)
        assert traits["overrides"].value is False
        assert words in traits["overrides"].note
        assert (learned.overrides, learned.deployless, learned.by_hash) == (False, True, True)
        assert finding(traits, "overrides")[:2] == ("good", "no")
        assert judged(traits).calls


def test_blocks_by_hash_that_are_refused(anvil: Anvil) -> None:
    def refused(request: Request) -> Say | None:
        named = any(isinstance(param, dict) and "blockHash" in param for param in request["params"])
        return refuse("invalid argument 1: cannot unmarshal object", -32602) if named else None

    traits, learned = probed(anvil, refused)
    assert (traits["by_hash"].value, traits["overrides"].value) == (False, True)
    assert (learned.by_hash, learned.overrides) == (False, True)
    assert finding(traits, "block by hash")[:2] == ("warn", "no")
    assert traits["proofs"].value is True


@pytest.mark.parametrize(
    ("cap", "message", "found"),
    [
        (1_000, "eth_getLogs is limited to 0 - 1000 blocks range", 1_000),
        (50, "Block range too large: maximum allowed is 50 blocks on your current plan", 50),
        (
            10,
            "You can make eth_getLogs requests with up to a 10 block range. Based on your parameters, this block range "
            "should work: [0xbaf, 0xbb8]",
            10,
        ),
        (100, "exceeds the range", 100),
        (2, "block range is too wide", 1),
    ],
)
def test_a_log_range_is_found_in_few_requests(anvil: Anvil, cap: int, message: str, found: int) -> None:
    asked = []

    def capped(request: Request) -> Say | None:
        if request["method"] != "eth_getLogs":
            return None
        first, last = (int(request["params"][0][end], 16) for end in ("fromBlock", "toBlock"))
        asked.append(last - first + 1)
        return refuse(message, -32602) if asked[-1] > cap else None

    traits, learned = probed(anvil, capped)
    assert traits["log_blocks"].value == found == learned.log_blocks
    assert message[:20] in traits["log_blocks"].note
    named = any(char.isdigit() for char in message)
    assert len(asked) <= (2 if named else 9)
    level, shown, meaning = finding(traits, "log range")
    assert shown == f"{found:,} blocks"
    assert level == ("good" if found >= 1_000 else "warn")
    assert found >= 1_000 or "requests" in meaning


def test_a_result_cap_is_read_where_it_is_told(anvil: Anvil) -> None:
    def capped(request: Request) -> Say | None:
        wide = request["method"] == "eth_getLogs" and request["params"][0]["fromBlock"] == "0x0"
        return refuse("query returned more than 10000 results", -32005) if wide else None

    traits, _ = probed(anvil, capped)
    assert traits["log_results"].value == 10_000
    assert traits["log_blocks"].value == 1_000


def test_an_endpoint_without_logs_cannot_find_borrowers(anvil: Anvil) -> None:
    traits, _ = probed(anvil, refusing("eth_getLogs", "the method eth_getLogs does not exist/is not available", -32601))
    assert traits["log_blocks"].value is False
    assert finding(traits, "log range")[:2] == ("bad", "no")
    assert (judged(traits).calls, judged(traits).logs) == (True, False)
    assert not diagnose([traits]).usable
    whole, _ = probed(anvil)
    assert diagnose([traits, whole]).usable


@pytest.mark.parametrize("depth", [0, 1, 64, 128, 1_024, BLOCKS // 2])
def test_the_depth_of_the_state_is_found_by_halving(anvil: Anvil, depth: int) -> None:
    asked = []

    def prune(request: Request) -> Say | None:
        if request["method"] != "eth_getBalance":
            return None
        asked.append(int(request["params"][1], 16))
        return refuse("missing trie node (path )") if BLOCKS - asked[-1] > depth else None

    traits, _ = probed(anvil, prune)
    assert traits["archive"].value == depth
    assert len(asked) <= 5
    level, shown, meaning = finding(traits, "archive")
    assert (level, shown) == ("good" if depth >= 64 else "warn", f"{depth:,} blocks")
    if depth == 128:
        assert meaning == "scan within 26 minutes of the head, or use an archive node"


def test_an_endpoint_without_any_state_cannot_be_read(anvil: Anvil) -> None:
    def none(request: Request) -> Say | None:
        stateful = request["method"] in ("eth_getBalance", "eth_call", "eth_getProof")
        return refuse("missing trie node (path )") if stateful else None

    traits, learned = probed(anvil, none)
    assert traits["archive"].value is False
    assert (learned.overrides, learned.by_hash) == (None, None)
    assert not judged(traits).calls
    assert "missing trie node" in drawn(traits)


@pytest.mark.parametrize(("most", "found"), [(0, False), (4, 4), (10, 10), (30, 30)])
def test_batches_are_tried_up_to_what_is_refused(anvil: Anvil, most: int, found: object) -> None:
    def limited(batch: list[Request]) -> Say | None:
        words = f"batch size exceeds the limit of {most}" if most else "batch requests are not supported"
        return refuse(words, -32600) if len(batch) > most else None

    traits, learned = probed(anvil, lambda request: None, limited)
    assert traits["batch"].value == found
    assert learned.batch == most
    assert finding(traits, "batch")[0] == ("good" if most else "warn")


def test_a_request_that_is_too_large_is_made_smaller(anvil: Anvil) -> None:
    def small(request: Request) -> Say | None:
        large = request["method"] == "eth_call" and len(request["params"][0]["data"]) > 300_000
        return Say(b"", 413) if large else None

    traits, learned = probed(anvil, small)
    assert traits["request_bytes"].value == 125_000 == learned.request_bytes
    assert finding(traits, "request size")[:2] == ("warn", "0.125 MB")


@pytest.mark.parametrize("silently", [True, False])
def test_a_gas_cap_is_measured(anvil: Anvil, silently: bool) -> None:
    def cap(request: Request) -> Say | None:
        if request["method"] == "eth_call":
            asked = int(request["params"][0].get("gas", hex(12_000_000)), 16)
            if asked > 12_000_000 and not silently:
                return refuse("gas limit is too high")
            request["params"][0]["gas"] = hex(min(asked, 12_000_000))
        return None

    traits, learned = probed(anvil, cap)
    assert traits["gas_cap"].value == 12_000_000 == learned.gas_cap
    assert finding(traits, "gas")[1] == "12 M"


def test_what_may_pass_is_unknown_and_not_refused(anvil: Anvil) -> None:
    def limited(request: Request) -> Say | None:
        if request["method"] == "eth_getLogs":
            return refuse("too many requests", 429, 429)
        return Say(b"busy", 503) if request["method"] in ("eth_call", "eth_getProof", "web3_clientVersion") else None

    traits, learned = probed(anvil, limited)
    for name in ("overrides", "deployless", "log_blocks", "proofs", "client", "request_bytes", "gas_cap"):
        assert traits[name].value is None, name
    assert "too many requests" in traits["log_blocks"].note
    assert (learned.overrides, learned.deployless, learned.log_blocks) == (None, None, None)
    assert finding(traits, "log range")[:2] == ("unknown", "?")


@pytest.mark.parametrize(
    "answer",
    [Say(b"<html>s3cretkey</html>"), Say(b"", 0), Say(b"", 403), Say({"jsonrpc": "2.0", "result": {"a": 1}}),
     Say({"jsonrpc": "2.0", "result": "0xzz"}), Say({"jsonrpc": "2.0", "result": "s3cretkey"}),
     Say({"jsonrpc": "2.0", "result": None}), Say({"jsonrpc": "2.0", "result": [1]})],
)  # fmt: skip
def test_nothing_that_an_endpoint_says_is_an_error(anvil: Anvil, answer: Say) -> None:
    traits, learned = probed(anvil, lambda request: answer)
    assert traits["chain_id"].value is None
    assert traits["chain_id"].note
    assert learned == Learned()
    assert not diagnose([traits]).usable
    for method in (
        "eth_getBlockByNumber",
        "eth_syncing",
        "eth_getBalance",
        "eth_call",
        "eth_getLogs",
        "eth_blockNumber",
    ):
        odd, _ = probed(anvil, lambda request, only=method: answer if request["method"] == only else None)
        assert odd["chain_id"].value == 31337
        drawn(odd)


@pytest.mark.parametrize("text", ["0x", "1", " 0x1", "0x1_0", "-0x1", "0x" + "f" * 14])
def test_a_chain_id_that_is_none_is_a_failure_and_no_number(anvil: Anvil, text: str) -> None:
    said = Say({"jsonrpc": "2.0", "result": text})
    traits, _ = probed(anvil, lambda request: said if request["method"] == "eth_chainId" else None)
    assert traits["chain_id"].value is None
    assert traits["chain_id"].kind is Kind.OTHER
    assert "eth_chainId: unexpected result" in traits["chain_id"].note


# --- throttling ----------------------------------------------------------------------------------------------------


def throttled(*methods: str, times: int = 10**9) -> Rule:
    """Refuse each question of some methods, or of all, a few times."""
    seen: dict[str, int] = {}

    def rule(request: Request) -> Say | None:
        if methods and request["method"] not in methods:
            return None
        asked = json.dumps([request["method"], request["params"]])
        seen[asked] = seen.get(asked, 0) + 1
        return Say(b"", 429) if seen[asked] <= times else None

    return rule


def test_an_endpoint_that_throttles_is_asked_again(anvil: Anvil) -> None:
    with proxy(anvil.url, throttled("eth_chainId", "eth_getProof", times=3)) as url:
        traits = probe(url, options=replace(DOCTOR, first_pause=0.01))
    assert (traits["chain_id"].value, traits["proofs"].value) == (31337, True)
    assert diagnose([traits]).usable


def test_an_endpoint_that_only_throttles_is_not_judged(anvil: Anvil) -> None:
    traits, learned = probed(anvil, throttled())
    assert learned == Learned()
    (report,) = diagnose([traits]).endpoints
    assert [(one.name, one.level, one.shown) for one in report.findings] == [("answer", "unknown", "throttled")]
    assert (report.calls, report.logs, diagnose([traits]).usable) == (None, None, None)
    text = " ".join(drawn(traits).split())
    assert "HTTP status 429" in text
    assert "not known whether a scan can be done" in text
    assert "run doctor again later" in text
    assert "no scan" not in text
    document = doctor_document(diagnose([traits]), 1, "1")
    jsonschema.Draft202012Validator(schemas.load("doctor")).validate(document)
    assert document["usable"] is None


def test_throttling_among_questions_of_old_state_does_not_make_it_shallow(anvil: Anvil) -> None:
    def pruned_and_throttled(request: Request) -> Say | None:
        if request["method"] != "eth_getBalance":
            return None
        behind = BLOCKS - int(request["params"][1], 16)
        return refuse("missing trie node (path )") if behind > 128 else Say(b"", 429) if behind > 64 else None

    traits, _ = probed(anvil, pruned_and_throttled)
    assert traits["archive"].value is None
    assert finding(traits, "archive")[:2] == ("unknown", "?")


def test_latency_is_that_of_the_endpoint_and_not_of_our_waiting(anvil: Anvil) -> None:
    asked: list[str] = []

    def every_other(request: Request) -> Say | None:
        if request["method"] != "eth_blockNumber":
            return None
        asked.append(request["method"])
        return Say(b"", 503) if len(asked) % 2 else None

    with proxy(anvil.url, every_other) as url:
        traits = probe(url, options=replace(QUICK, first_pause=0.2))
    assert len(asked) == 10
    assert 0 < float(traits["latency_median"].value or 0) < 0.08  # a pause is 0.1 s at least


def test_what_a_time_limit_leaves_no_time_for_is_unknown(anvil: Anvil) -> None:
    traits = probe(anvil.url, options=QUICK, deadline=Deadline(1e-6))
    assert traits["chain_id"].kind is Kind.OUT_OF_TIME
    assert judged(traits).findings[0].shown == "out of time"
    assert diagnose([traits]).usable is None


@pytest.mark.parametrize(
    ("answer", "shown", "words"),
    [
        (Say(b"", 401), "not authorised", "check the API key"),
        (Say(b"no", 403), "not authorised", "check the API key"),
        (Say(b"<html>", 501), "no JSON-RPC", "does the RPC URL point to a JSON-RPC endpoint"),
        (Say(b"<html>", 502), "server error", "try again later, or use another endpoint"),
        (Say(b"", 0), "connection lost", "begin the RPC URL with https:// if the port is for TLS"),
        (Say(b"Client sent an HTTP request to an HTTPS server.", 400), "no JSON-RPC", "is for TLS; begin the RPC URL"),
        (Say(b"<html>The plain HTTP request was sent to HTTPS port", 400), "no JSON-RPC", "with https://"),
    ],
)
def test_who_does_not_answer_is_told_apart(anvil: Anvil, answer: Say, shown: str, words: str) -> None:
    traits, _ = probed(anvil, lambda request: answer)
    (said,) = judged(traits).findings
    assert (said.name, said.level, said.shown) == ("answer", "bad", shown)
    assert words in said.meaning
    assert diagnose([traits]).usable is False


def test_a_port_without_tls_or_without_anybody_is_told(anvil: Anvil) -> None:
    (said,) = judged(probe(f"https://127.0.0.1:{anvil.port}/s3cretkey", options=QUICK)).findings
    assert said.meaning.endswith("does not speak TLS; begin the RPC URL with http:// if that is what the port is for")
    for host in ("127.0.0.1", "localhost"):
        (said,) = judged(probe(f"http://{host}:9/s3cretkey", options=QUICK)).findings
        assert said.shown == "no connection"
        assert f"{host}:9: eth_chainId: cannot connect (connection refused: nothing listens there)" in said.meaning
        assert "Errno" not in said.meaning
    (said,) = judged(probe("http://nobody.invalid", options=QUICK)).findings
    assert "no address is known for the host" in said.meaning


# --- verdicts ------------------------------------------------------------------------------------------------------


def test_endpoints_are_compared(anvil: Anvil) -> None:
    ahead, _ = probed(anvil)
    behind = Traits("slow.example", {**ahead.found, "head": type(ahead["head"])(BLOCKS - 40)})
    diagnosis = diagnose([ahead, behind])
    assert diagnosis.endpoints[1].findings[0].shown == "40 behind"
    assert diagnosis.endpoints[0].findings[0].shown != "40 behind"
    assert any("--quorum 2" in said for said in diagnosis.advice)
    other = Traits("other.example", {**ahead.found, "chain_id": type(ahead["head"])(1)})
    assert "other.example serves chain 1" in str(diagnose([ahead, other]).wrong_chain)
    assert diagnose([ahead], 31337).wrong_chain is None


CALLS: frozenset[Role] = frozenset({"calls"})
LOGS: frozenset[Role] = frozenset({"logs", "archive"})
BOTH = CALLS | LOGS


def specs(probed: Sequence[Traits], *roles: frozenset[Role]) -> list[EndpointSpec]:
    return [EndpointSpec(f"http://{traits.host}", its) for traits, its in zip(probed, roles, strict=True)]


def test_roles_say_what_an_endpoint_is_judged_for(anvil: Anvil) -> None:
    whole, _ = probed(anvil)
    deaf, _ = probed(anvil, refusing("eth_getLogs", "the method eth_getLogs does not exist/is not available", -32601))
    for roles, usable in (((BOTH,), True), ((CALLS,), False), ((LOGS,), False)):
        assert diagnose([whole], specs=specs([whole], *roles)).usable is usable
    only_calls = diagnose([whole], specs=specs([whole], CALLS))
    assert only_calls.endpoints[0].findings[0].name == "roles"
    assert only_calls.endpoints[0].findings[0].shown == "calls"
    assert "have no role logs: add it" in only_calls.advice[0]
    assert diagnose([whole, deaf], specs=specs([whole, deaf], LOGS, CALLS)).usable
    assert not diagnose([whole, deaf], specs=specs([whole, deaf], CALLS, LOGS)).usable
    shallow = replace(whole, found={**whole.found, "archive": Trait(128)})
    assert diagnose([shallow], specs=specs([shallow], LOGS)).endpoints[0].findings[0].level == "warn"
    assert "roles" not in {one.name for one in diagnose([whole]).endpoints[0].findings}


def test_a_quorum_has_to_be_met_for_calls_and_for_logs(anvil: Anvil) -> None:
    whole, _ = probed(anvil)
    silent, _ = probed(anvil, throttled())
    one, two, three = (replace(whole, host=f"{name}.example") for name in ("one", "two", "three"))
    maybe = replace(silent, host="maybe.example")
    met = diagnose([one, two], quorum=2)
    assert met.usable
    assert "quorum 2 can be met" in " ".join(met.advice)
    cases = [
        ([one], [BOTH], "for calls 1 of 1 endpoints"),
        ([one, two, three], [BOTH, CALLS, CALLS], "for logs 1 of 3 endpoints"),
        ([one, one], [BOTH, BOTH], "one.example would agree with itself"),
        (
            [replace(one, host=f"{host}:8545") for host in ("localhost", "127.0.0.1")],
            [BOTH, BOTH],
            "localhost:8545 and 127.0.0.1:8545 would agree with itself",
        ),
    ]
    for traits, roles, words in cases:
        short = diagnose(traits, specs=specs(traits, *roles), quorum=2)
        assert short.usable is False
        assert words in " ".join(short.advice)
    assert diagnose([one, maybe], quorum=2).usable is None
    assert diagnose([one, two, maybe], quorum=2).usable is True
    assert diagnose([one, maybe], quorum=3).usable is False


@pytest.mark.parametrize("width", [40, 80, 120])
def test_the_report_fits_its_width(anvil: Anvil, width: int) -> None:
    traits, _ = probed(anvil, refusing("eth_getLogs", "eth_getLogs is limited to 0 - 10 blocks range"))
    nobody = probe("http://127.0.0.1:9/s3cretkey", options=QUICK)
    text = drawn(traits, nobody, width=width)
    assert "a scan can be done" not in " ".join(text.split())
    assert not any(secret in text for secret in SECRETS)


# --- the command ---------------------------------------------------------------------------------------------------


def test_the_command_tells_and_remembers(anvil: Anvil, data: Path, capsys: Capture) -> None:
    def capped(request: Request) -> Say | None:
        if request["method"] != "eth_getLogs":
            return None
        first, last = (int(request["params"][0][end], 16) for end in ("fromBlock", "toBlock"))
        return refuse("range 1301 exceeds limit of 1000", -32602) if last - first >= 1_000 else None

    with proxy(anvil.url, capped) as url:
        assert run(["doctor", "--rpc-url", url, "--chain", "anvil", "--no-progress"]) == 0
        told = capsys.readouterr()
        assert "a scan can be done with this endpoint" in told.out
        assert told.err == ""
        assert not any(secret in told.out for secret in SECRETS)
        store = LearnedStore(data / "endpoints")
        assert store.load(url) == Learned(
            gas_cap=50_000_000, by_hash=True, overrides=True, deployless=True, log_blocks=1_000
        )


def test_the_command_writes_its_document(anvil: Anvil, data: Path, capsys: Capture) -> None:
    def document(*arguments: str) -> tuple[int, dict[str, Any]]:
        code = run(["doctor", *arguments, "--format", "json", "-q"])
        written = json.loads(capsys.readouterr().out)
        schema = schemas.load("doctor")
        jsonschema.Draft202012Validator(schema).validate(written)
        assert set(written) == set(schema["properties"])
        for one in written["endpoints"]:
            assert (
                set(one["traits"]) == set(NAMES) == set(schema["$defs"]["endpoint"]["properties"]["traits"]["required"])
            )
        return code, written

    nobody = "http://127.0.0.1:9/s3cretkey"
    code, written = document("--rpc-url", anvil.url, "--rpc-url", nobody)
    assert (code, written["kind"], written["usable"]) == (0, "doctor", True)
    assert [one["host"] for one in written["endpoints"]] == [f"127.0.0.1:{anvil.port}", "127.0.0.1:9"]
    assert written["endpoints"][0]["traits"]["archive"] == {"value": BLOCKS, "note": None}
    assert "s3cretkey" not in json.dumps(written)
    code, written = document("--rpc-url", nobody)
    assert (code, written["usable"], written["endpoints"][0]["calls"]) == (3, False, False)
    code, written = document("--rpc-url", anvil.url, "--chain", "base")
    assert (code, written["usable"]) == (2, False)
    assert "serves chain 31337, not 8453" in written["wrong_chain"]


def test_the_command_follows_the_file_and_its_options(
    anvil: Anvil, data: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    notes: list[str] = []
    monkeypatch.setattr(Progress, "note", lambda self, text: notes.append(text))
    file, log = data / "liqbands.toml", data / "requests.log"
    with proxy(anvil.url, lambda request: None) as url:
        endpoints = f"[[endpoint]]\nurl = '{anvil.url}'\n[[endpoint]]\nurl = '{url}'\n"
        file.write_text(f"quorum = 2\n{endpoints}")
        assert run(["doctor", "-v", "--time-limit", "60", "--transport-log", str(log)]) == 0
        told = capsys.readouterr()
        assert "a scan can be done with these endpoints, quorum 2" in told.out
        assert f"127.0.0.1:{anvil.port}: 2" in told.err  # requests, then seconds
        assert "requests, chain 0.0" in told.err
        assert "eth_getProof" in log.read_text()
        for part in ("connecting", "chain", "logs", "proofs"):
            assert any(f"127.0.0.1:{anvil.port}: {part}" in note for note in notes), part
        assert run(["doctor", "--quorum", "3", "-q"]) == 3
        assert "quorum 3 cannot be met" in capsys.readouterr().out
        file.write_text(f"quorum = 2\n{endpoints}roles = ['logs']\n")
        assert run(["doctor", "--format", "json", "-q"]) == 3
        document = json.loads(capsys.readouterr().out)
        assert [one["roles"] for one in document["endpoints"]] == [["archive", "logs", "calls"], ["logs"]]
        assert (document["quorum"], document["usable"]) == (2, False)
    assert run(["doctor", "--quorum", "0"]) == 2
    assert run(["doctor", "--time-limit", "soon"]) == 2
    assert not any(secret in "".join((told.out, told.err, log.read_text(), *notes)) for secret in SECRETS)


def test_a_wrong_chain_is_told_once(anvil: Anvil, data: Path, capsys: Capture) -> None:
    asked = ["doctor", "--rpc-url", anvil.url, "--chain", "base", "-q"]
    assert run(asked) == 2
    told = capsys.readouterr()
    assert (told.out + told.err).count("serves chain 31337") == 1
    assert run([*asked, "-o", str(data / "doctor.txt")]) == 2
    assert "serves chain 31337, not 8453" in capsys.readouterr().err


def test_what_could_not_be_asked_is_still_as_it_was(anvil: Anvil, data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("scanner.chain.traits.probe", partial(probe, options=QUICK))
    store = LearnedStore(data / "endpoints")
    with proxy(anvil.url, throttled("eth_call")) as url:
        store.save(url, Learned(overrides=True, gas_cap=20_000_000, log_blocks=800))
        assert run(["doctor", "--rpc-url", url, "-q"]) == 0
        assert (store.load(url).overrides, store.load(url).gas_cap) == (True, 20_000_000)


def test_the_command_can_be_interrupted(data: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:  # takes connections and answers nothing
        urls = [f"http://127.0.0.1:{silent.getsockname()[1]}/{key}" for key in ("one", "two")]
        command = [sys.executable, "-m", "scanner", "doctor", *(word for url in urls for word in ("--rpc-url", url))]
        with subprocess.Popen(
            command, env=child_environment(), text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE
        ) as process:
            silent.settimeout(20)
            with silent.accept()[0]:
                process.send_signal(signal.SIGINT)
                began = time.monotonic()
                told = process.communicate(timeout=20)
    assert time.monotonic() - began < 3
    assert (process.returncode, told) == (130, ("", "liqbands: interrupted\n"))


def test_the_command_writes_a_file_and_refuses_what_cannot_be(anvil: Anvil, data: Path, capsys: Capture) -> None:
    file = data / "doctor.txt"
    assert run(["doctor", "--rpc-url", anvil.url, "-q", "-o", str(file)]) == 0
    assert "a scan can be done" in file.read_text()
    assert capsys.readouterr().out == ""
    for arguments in (
        [],
        ["--rpc-url", "ws://node.example/s3cretkey"],
        ["--rpc-url", anvil.url, "--chain", "nowhere"],
        ["--rpc-url", anvil.url, "-o", str(data / "none" / "doctor.txt")],
    ):
        assert run(["doctor", *arguments]) == 2
        assert "s3cretkey" not in capsys.readouterr().err
