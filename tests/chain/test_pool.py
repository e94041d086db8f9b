"""Several endpoints: what one fails at, the next goes on with, and nothing is lost or asked twice."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest

from scanner.chain.interface import LogQuery
from scanner.chain.reader import open_reader
from scanner.chain.spec import EndpointSpec
from scanner.devchain import Anvil, DevMarket
from scanner.errors import BlockUndone, ChainError, WrongChainError
from scanner.results import ScanResult
from scanner.sources import begin, open_source
from tests.chain.endpoints import QUICK, Endpoint, endpoints, passing, same, scan_with
from tests.chain.proxy import Request, Rule, Say, refuse

pytestmark = pytest.mark.chain

NO_URLS = ("s3cret", "pa55word")


@pytest.fixture(scope="module")
def truth(small: DevMarket, tmp_path_factory: pytest.TempPathFactory) -> ScanResult:
    """Give the scan of one endpoint that does as it should."""
    result, _ = scan_with(small, tmp_path_factory.mktemp("truth") / "index", [small.anvil.url])
    assert result.trustworthy
    return result


def after(count: int, method: str, say: Say) -> Rule:
    """Fail at a method once it was asked ``count`` times, for good."""
    asked = Counter[str]()

    def rule(request: Request) -> Say | None:
        asked[request["method"]] += 1
        return say if request["method"] == method and asked[method] > count else None

    return rule


FAILURES = {
    "rate": refuse("rate limit exceeded", -32005, 429),
    "auth": refuse("invalid api key", -32000, 401),
    "plan": refuse("monthly capacity limit exceeded", -32000),
    "state": refuse("missing trie node", -32000),
    "html": Say(b"<html>maintenance</html>"),
    "server": Say(b"bad gateway", 502),
    "gone": Say(b"", 0),
    "archive": refuse("Archive requests require a personal token", -32602),
    "other": refuse("computer says no", -32099),
}


@pytest.mark.parametrize("fault", FAILURES)
@pytest.mark.parametrize("method", ["eth_call", "eth_getLogs"])
@pytest.mark.parametrize("count", [0, 2])
def test_the_next_endpoint_goes_on_where_one_fails(
    small: DevMarket, truth: ScanResult, tmp_path: Path, method: str, count: int, fault: str
) -> None:
    with endpoints(small.anvil.url, passing, passing) as (first, second):
        opening = 2 if method == "eth_call" else 0
        first.rule = after(count + opening, method, FAILURES[fault])
        result, source = scan_with(small, tmp_path / "index", [first.url, second.url])
    assert first.refused, "nothing failed"
    assert same(result, truth)
    assert result.snapshot.rpc_hosts == (first.host, second.host)
    told = " ".join(source.warnings)
    assert f"{first.host} failed at reading" in told
    assert not any(secret in told for secret in NO_URLS)


def test_nothing_is_asked_of_the_second_while_the_first_answers(
    small: DevMarket, truth: ScanResult, tmp_path: Path
) -> None:
    with endpoints(small.anvil.url, passing, passing) as (first, second):
        result, source = scan_with(small, tmp_path / "index", [first.url, second.url])
        assert same(result, truth)
        assert source.warnings == ()
        assert second.count()["eth_getLogs"] == 0
        assert second.count()["eth_call"] <= 2, "more than its probe"


def test_logs_go_on_after_the_last_block_that_was_covered(small: DevMarket) -> None:
    head = int(small.anvil.rpc("eth_blockNumber"), 16)
    query = LogQuery((small.pool.lower(),), (), 1, head)
    one_by_one = replace(QUICK, concurrency=1, range_logs=1)
    with open_reader(small.anvil.url, options=QUICK) as reader:
        wanted = [log for _, logs in reader.logs(query) for log in logs]
    with endpoints(small.anvil.url, after(2, "eth_getLogs", FAILURES["plan"]), passing) as (first, second):
        with open_source(
            [first.url, second.url], chain=None, block="latest", record=None, replay=None, limits=one_by_one
        ) as source:
            steps = list(source.reader.logs(query))
        before, begun = ([int(block, 16) for block in endpoint.firsts()] for endpoint in (first, second))
    assert [log for _, logs in steps for log in logs] == wanted
    assert [last + 1 for last, _ in steps] == [*before[1:3], *begun[1:], head + 1]
    assert begun[0] == before[2] > before[1] > before[0] == 1


def test_one_that_failed_is_asked_last_and_all_are_named_when_none_is_left(small: DevMarket, tmp_path: Path) -> None:
    down = after(0, "eth_getLogs", FAILURES["plan"])
    broken = after(0, "eth_getLogs", FAILURES["html"])
    with endpoints(small.anvil.url, down, broken) as (first, second), pytest.raises(ChainError) as caught:
        scan_with(small, tmp_path / "index", [first.url, second.url])
    text = str(caught.value)
    assert caught.value.exit_code == 3
    for endpoint, reason in ((first, "monthly capacity"), (second, "JSON-RPC")):
        assert endpoint.host in text
        assert reason in text
    assert not any(secret in text for secret in NO_URLS)


def test_roles_say_who_is_asked_for_what(small: DevMarket, truth: ScanResult, tmp_path: Path) -> None:
    pruned = after(0, "eth_call", FAILURES["state"])
    with endpoints(small.anvil.url, passing, pruned) as (calls, logs):
        specs = [
            EndpointSpec(calls.url, roles=frozenset({"calls"})),
            EndpointSpec(logs.url, roles=frozenset({"logs"})),
        ]
        result, source = scan_with(small, tmp_path / "index", specs)
        assert same(result, truth)
        assert source.warnings == ()
        assert (calls.count()["eth_getLogs"], logs.count()["eth_call"]) == (0, 0)


def test_an_archive_is_asked_first_for_an_old_block(small: DevMarket, tmp_path: Path) -> None:
    number = int(small.anvil.rpc("eth_blockNumber"), 16)
    with endpoints(small.anvil.url, passing, passing) as (first, second):
        specs = [EndpointSpec(first.url, roles=frozenset({"calls", "logs"})), EndpointSpec(second.url)]
        scan_with(small, tmp_path / "index", specs, block=number)
        assert second.count()["eth_call"] > first.count()["eth_call"]


def test_tries_of_a_scan_share_its_time_its_log_and_what_was_learned(small: DevMarket, tmp_path: Path) -> None:
    log = tmp_path / "transport.ndjson"
    with endpoints(small.anvil.url, passing, passing) as opened:
        urls = [endpoint.url for endpoint in opened]
        with begin(60, log, tmp_path / "learned") as session:
            for _ in range(2):
                with open_source(
                    urls, chain=None, block="latest", record=None, replay=None, session=session, limits=QUICK
                ):
                    pass
        probes = [endpoint.count()["eth_call"] for endpoint in opened]
        assert probes == [1, 1], "what one try learned, the next knows"
        with begin(1e-9) as late, pytest.raises(ChainError, match="time"):
            scan_with(small, tmp_path / "index", urls, session=late)
    told = log.read_text()
    assert all(endpoint.host in told for endpoint in opened)
    assert not any(secret in told for secret in NO_URLS)
    kept = list((tmp_path / "learned" / "endpoints").iterdir())
    assert len(kept) == 2
    assert not any(secret in str(path) + path.read_text() for path in kept for secret in NO_URLS)


# --- opening ---------------------------------------------------------------------------------------------------------


def says(method: str, result: object) -> Rule:
    def rule(request: Request) -> Say | None:
        return Say({"jsonrpc": "2.0", "id": 0, "result": result}) if request["method"] == method else None

    return rule


@pytest.mark.parametrize("at", [0, 1])
def test_an_endpoint_of_another_chain_is_a_mistake(small: DevMarket, tmp_path: Path, at: int) -> None:
    rules = [passing, passing]
    rules[at] = says("eth_chainId", "0x5")
    with endpoints(small.anvil.url, *rules) as opened, pytest.raises(WrongChainError) as caught:
        scan_with(small, tmp_path / "index", [endpoint.url for endpoint in opened])
    assert caught.value.exit_code == 2
    assert all(endpoint.host in str(caught.value) for endpoint in opened)
    with endpoints(small.anvil.url, *rules) as opened:
        source = open_source([e.url for e in opened], chain="anvil", block=5, record=None, replay=None, limits=QUICK)
        with pytest.raises(WrongChainError, match=opened[at].host), source:
            pass


def test_a_chain_of_the_same_id_is_told_apart(small: DevMarket, tmp_path: Path) -> None:
    genesis = small.anvil.rpc("eth_getBlockByNumber", "0x0", False) | {"hash": "0x" + "ab" * 32}

    def elsewhere(request: Request) -> Say | None:
        return Say({"jsonrpc": "2.0", "id": 0, "result": genesis}) if request["params"][:1] == ["0x0"] else None

    wrong = pytest.raises(WrongChainError, match=r"another chain with the id 31337: its block 0")
    with endpoints(small.anvil.url, passing, elsewhere) as (first, second), wrong as caught:
        scan_with(small, tmp_path / "index", [first.url, second.url])
    assert first.host in str(caught.value)
    assert second.host in str(caught.value)


@pytest.mark.parametrize("at", [0, 1])
@pytest.mark.parametrize("fault", ["auth", "gone", "html"])
def test_one_that_cannot_be_opened_is_left_out_with_a_word(
    small: DevMarket, truth: ScanResult, tmp_path: Path, at: int, fault: str
) -> None:
    rules: list[Rule] = [passing, passing]
    rules[at] = lambda request: FAILURES[fault]
    with endpoints(small.anvil.url, *rules) as opened:
        result, source = scan_with(small, tmp_path / "index", [endpoint.url for endpoint in opened])
        other = opened[1 - at].host
    assert same(result, truth)
    assert result.snapshot.rpc_hosts == (other,)
    assert len(source.warnings) == 1
    assert source.warnings[0].startswith(f"{opened[at].host} was left out: ")


def behind(node: Anvil, blocks: int) -> Rule:
    """Know nothing of the newest blocks, as a node that lags."""
    head = int(node.rpc("eth_blockNumber"), 16) - blocks
    hidden = {node.rpc("eth_getBlockByNumber", hex(head + n), False)["hash"] for n in range(1, blocks + 1)}

    def rule(request: Request) -> Say | None:
        method, params = request["method"], request["params"]
        if method == "eth_blockNumber":
            return Say({"jsonrpc": "2.0", "id": 0, "result": hex(head)})
        if method == "eth_getBlockByNumber" and params[0] == "latest":
            params[0] = hex(head)
        elif method == "eth_getBlockByNumber" and params[0].startswith("0x") and int(params[0], 16) > head:
            return Say({"jsonrpc": "2.0", "id": 0, "result": None})
        elif any(block in str(params) for block in hidden):
            return refuse("header not found")
        return None

    return rule


def test_one_that_lags_is_left_out_and_one_that_catches_up_is_not(
    small: DevMarket, truth: ScanResult, tmp_path: Path
) -> None:
    lagging = behind(small.anvil, 2)
    with endpoints(small.anvil.url, passing, lagging) as (first, second):
        result, source = scan_with(small, tmp_path / "index", [first.url, second.url])
        assert same(result, truth)
        assert len(source.warnings) == 1
        assert "lags 2 blocks behind" in source.warnings[0]
        asked = Counter[str]()

        def waking(request: Request) -> Say | None:
            asked["all"] += 1
            return lagging(request) if asked["all"] < 8 else None

        second.rule = waking
        result, source = scan_with(small, tmp_path / "another", [first.url, second.url])
        assert source.warnings == ()
        assert result.snapshot.rpc_hosts == (first.host, second.host)


def test_one_that_is_far_behind_does_not_name_the_block(small: DevMarket, truth: ScanResult, tmp_path: Path) -> None:
    with endpoints(small.anvil.url, behind(small.anvil, 20), passing) as (stale, second):
        result, source = scan_with(small, tmp_path / "index", [stale.url, second.url])
    assert same(result, truth)
    assert f"{stale.host} is behind {second.host}" in source.warnings[0]
    assert "lags 20 blocks behind" in source.warnings[1]
    assert result.snapshot.rpc_hosts == (second.host,)


# --- the end ---------------------------------------------------------------------------------------------------------


def by_number(request: Request) -> Say | None:
    """Refuse a block that is named by its hash, as some endpoints do."""
    return refuse("invalid argument 1: cannot unmarshal object", -32602) if "blockHash" in str(request) else None


def test_who_was_read_by_number_has_to_be_asked_whether_the_block_is_the_same(
    small: DevMarket, truth: ScanResult, tmp_path: Path
) -> None:
    with endpoints(small.anvil.url, by_number, passing) as (first, second):
        result, _ = scan_with(small, tmp_path / "index", [first.url, second.url])
        assert same(result, truth)
        dead = after(6, "eth_call", FAILURES["gone"])
        failed = Endpoint(by_number)

        def dying(request: Request) -> Say | None:
            if failed.refused or dead(request):
                failed.refused += 1
                return FAILURES["gone"]
            return by_number(request)

        first.rule = dying
        with pytest.raises(ChainError, match=rf"{first.host} was read by block number and cannot say"):
            scan_with(small, tmp_path / "another", [first.url, second.url])
        assert failed.refused


def test_an_undone_block_is_told(small: DevMarket) -> None:
    with (
        endpoints(small.anvil.url, passing, passing) as (first, second),
        open_source(
            [first.url, second.url], chain=None, block="latest", record=None, replay=None, limits=QUICK
        ) as source,
    ):
        honest = small.anvil.rpc("eth_getBlockByNumber", hex(source.reader.block.number), False)
        first.rule = says("eth_getBlockByNumber", honest | {"hash": "0x" + "ab" * 32})
        assert source.pool is not None
        with pytest.raises(BlockUndone):
            source.pool.finish()
        first.rule = passing
