"""Endpoints that lie: found, named and left out, or the scan ends; never believed."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from scanner.chain.aggregate import AGGREGATOR
from scanner.chain.lenses import LENS
from scanner.devchain import DevMarket
from scanner.errors import ConfigError, QuorumLost
from scanner.results import ScanResult
from tests.chain.endpoints import Endpoint, Liar, Lie, endpoints, passing, same, scan_with
from tests.chain.proxy import Request, Rule, Say, refuse
from tests.chain.test_pool import behind

pytestmark = pytest.mark.chain

ACCOUNT_LENS = (Path(__file__).parents[2] / "scanner/protocols/aave_v3/lens.hex").read_text().strip()
PRICE_OF = "b3596f07"  # getAssetPrice(address)


@pytest.fixture(scope="module")
def truth(small: DevMarket, tmp_path_factory: pytest.TempPathFactory) -> ScanResult:
    """Give the scan of one endpoint that does as it should."""
    result, _ = scan_with(small, tmp_path_factory.mktemp("truth") / "index", [small.anvil.url], verify="all")
    assert result.trustworthy
    return result


class Once:
    """Tells a lie the first time that it can, and again whenever it is asked the same."""

    def __init__(self, lie: Callable[[Request, Any], Any]) -> None:
        self._lie = lie
        self._told: list[object] = []

    def __call__(self, request: Request, honest: Any) -> Any:
        told = self._lie(request, honest)
        if told == honest or (self._told and request["params"][:1] not in self._told):
            return honest
        self._told.append(request["params"][:1])
        return told


def one_balance(request: Request, honest: Any) -> Any:
    """Change one balance of one account by the smallest unit."""
    if request["method"] != "eth_call" or request["params"][0].get("to") != LENS:
        return honest
    if request["params"][2][LENS]["code"] != "0x" + ACCOUNT_LENS or len(honest) < 2 + 3 * 64:
        return honest
    at = len(honest) - 65  # the last digit of the last record, before the gas
    return honest[:at] + f"{int(honest[at], 16) ^ 1:x}" + honest[at + 1 :]


def one_price(request: Request, honest: Any) -> Any:
    """Change one price by the smallest unit."""
    if request["method"] != "eth_call" or request["params"][0].get("to") != AGGREGATOR:
        return honest
    asked, answer = bytes.fromhex(request["params"][0]["data"][2:]), bytearray.fromhex(honest[2:])
    position = start = 0
    while position < len(asked):
        length = int.from_bytes(asked[position + 20 : position + 24], "big")
        data = asked[position + 24 : position + 24 + length]
        end = start + 5 + int.from_bytes(answer[start + 1 : start + 5], "big")
        if data[:4].hex() == PRICE_OF and answer[start] == 1:
            answer[end - 1] ^= 1
            return "0x" + answer.hex()
        position, start = position + 24 + length, end
    return honest


def one_log_less(request: Request, honest: Any) -> Any:
    """Leave one log out."""
    return honest[:-1] if request["method"] == "eth_getLogs" else honest


LIES = {"a balance": one_balance, "a price": one_price, "a log": one_log_less}


def old_state(market: DevMarket) -> Rule:
    """Answer with the state of an older block."""
    old = hex(int(market.anvil.rpc("eth_blockNumber"), 16) - 75)

    def rule(request: Request) -> Say | None:
        if request["method"] == "eth_call":
            request["params"][1] = old
        return None

    return rule


def lying(market: DevMarket, what: str) -> Rule:
    return old_state(market) if what == "an old block" else Liar(market.anvil.url, Once(LIES[what]))


ALL_LIES = [*LIES, "an old block"]


@pytest.mark.parametrize("at", [0, 1])
@pytest.mark.parametrize("what", ALL_LIES)
def test_of_two_that_differ_none_is_believed(small: DevMarket, tmp_path: Path, what: str, at: int) -> None:
    rules: list[Rule] = [passing, passing]
    rules[at] = lying(small, what)
    with endpoints(small.anvil.url, *rules) as opened, pytest.raises(QuorumLost) as caught:
        scan_with(small, tmp_path / "index", [endpoint.url for endpoint in opened], 2, verify="all")
    text = str(caught.value)
    assert caught.value.exit_code == 3
    if what == "an old block":  # every answer says which block it is of
        assert re.search(f"{opened[at].host}: .*answered from the state of another", text)
    else:
        assert "disagree about" in text
        assert all(endpoint.host in text for endpoint in opened)
    assert "s3cret" not in text
    if what == "a log":
        assert "logs of blocks" in text
    if what == "a balance":
        assert "answers of lens" in text


@pytest.mark.parametrize("at", [0, 1, 2])
@pytest.mark.parametrize("what", ALL_LIES)
def test_of_three_the_one_that_lies_is_named_and_left_out(
    small: DevMarket, truth: ScanResult, tmp_path: Path, what: str, at: int
) -> None:
    rules: list[Rule] = [passing, passing, passing]
    rules[at] = lying(small, what)
    with endpoints(small.anvil.url, *rules) as opened:
        result, source = scan_with(
            small, tmp_path / "index", [endpoint.url for endpoint in opened], 2, verify="all", block="latest"
        )
        honest = [endpoint.host for endpoint in opened if endpoint is not opened[at]]
    assert same(result, truth)
    assert result.trustworthy
    if at == 2:  # it is asked only where others differ
        assert source.warnings == ()
        return
    if what == "an old block":
        assert any(f"{opened[at].host} failed at reading calls" in warning for warning in source.warnings)
        return
    assert result.snapshot.rpc_hosts == tuple(honest)
    told = [warning for warning in source.warnings if opened[at].host in warning]
    assert len(told) == 1
    assert "it disagrees with " in told[0]
    assert all(host in told[0] for host in honest)


def test_a_sample_finds_who_changes_everything(small: DevMarket, tmp_path: Path) -> None:
    def every_balance(request: Request, honest: Any) -> Any:
        if request["method"] != "eth_call" or request["params"][0].get("to") != LENS:
            return honest
        raw = bytearray.fromhex(honest[2:])
        for at in range(31, len(raw) - 32, 32):
            raw[at] ^= 1
        return "0x" + raw.hex()

    found = pytest.raises(QuorumLost, match="compared answers of lens")
    with endpoints(small.anvil.url, Liar(small.anvil.url, every_balance), passing) as (first, second), found:
        scan_with(small, tmp_path / "index", [first.url, second.url], 2, share=0.05)


def runs_nothing(request: Request) -> Say | None:
    """Take neither overrides nor the creation of a contract."""
    if request["method"] == "eth_call" and len(request["params"]) > 2:
        return refuse("too many arguments, want at most 2", -32602)
    if request["method"] == "eth_call" and not request["params"][0].get("to"):
        return refuse("contract creation is not supported", -32602)
    return None


@pytest.mark.parametrize("more", [0, 1])
@pytest.mark.parametrize("at", [0, 1])
def test_accounts_are_compared_where_others_run_no_lens(
    small: DevMarket, truth: ScanResult, tmp_path: Path, at: int, more: int
) -> None:
    rules: list[Rule] = [runs_nothing] * (1 + more)
    rules.insert(at, Liar(small.anvil.url, one_balance))
    with endpoints(small.anvil.url, *rules) as opened:
        result, source = scan_with(small, tmp_path / "index", [e.url for e in opened], 2)
    assert same(result, truth)
    assert source.assurance is not None
    assert source.assurance.startswith("2 endpoints (")
    assert source.assurance.endswith(" agree on every call and log")


def cut(request: Request, honest: Any) -> Any:
    """Leave out the last bytes of what a lens answers."""
    return honest[:-10] if request["method"] == "eth_call" and request["params"][0].get("to") == LENS else honest


def foreign(request: Request, honest: Any) -> Any:
    """Give a log of a contract that was not asked about."""
    if request["method"] != "eth_getLogs" or not honest:
        return honest
    return [{**honest[0], "address": "0x" + 40 * "0"}, *honest[1:]]


@pytest.mark.parametrize("lie", [cut, foreign])
def test_an_answer_of_another_shape_is_asked_of_the_next(
    small: DevMarket, truth: ScanResult, tmp_path: Path, lie: Lie
) -> None:
    for needed in (1, 2):
        with endpoints(small.anvil.url, Liar(small.anvil.url, lie), passing, passing) as opened:
            result, source = scan_with(small, tmp_path / f"{needed}", [e.url for e in opened], needed)
        assert same(result, truth)
        assert any(f"{opened[0].host} failed at reading" in warning for warning in source.warnings)


def test_who_lags_is_left_out_with_advice(small: DevMarket, tmp_path: Path) -> None:
    with endpoints(small.anvil.url, passing, behind(small.anvil, 2)) as opened:
        urls = [endpoint.url for endpoint in opened]
        with pytest.raises(QuorumLost, match=r"lags 2 blocks behind .*: try --block -5 or --block finalized"):
            scan_with(small, tmp_path / "index", urls, 2, block="latest")
        result, _ = scan_with(small, tmp_path / "index", urls, 2, block="-5")
    assert result.trustworthy


def test_who_agree_give_what_one_gives(small: DevMarket, truth: ScanResult, tmp_path: Path) -> None:
    with endpoints(small.anvil.url, passing, passing, passing) as opened:
        urls = [endpoint.url for endpoint in opened]
        for share, words in ((1.0, "agree on every call and log and on all "), (0.05, "1 - (1 - 0.05)^k")):
            result, source = scan_with(small, tmp_path / f"{share}", urls, 2, verify="all", share=share)
            assert same(result, truth)
            assert source.warnings == ()
            assert source.assurance is not None
            assert words in source.assurance
        assert opened[2].count()["eth_call"] <= 4, "more than its probes"


def test_one_that_fails_is_no_dissenter(small: DevMarket, truth: ScanResult, tmp_path: Path) -> None:
    seen = Endpoint()

    def dying(request: Request) -> Say | None:
        seen.refused += request["method"] in ("eth_call", "eth_getLogs")
        return refuse("monthly capacity limit exceeded") if seen.refused > 6 else None

    with endpoints(small.anvil.url, passing, dying, passing) as opened:
        result, source = scan_with(small, tmp_path / "index", [e.url for e in opened], 2, verify="all")
        assert same(result, truth)
        assert any(f"{opened[1].host} failed at reading" in warning for warning in source.warnings)
        seen.refused = 0
        with pytest.raises(QuorumLost, match=r"2 endpoints have to agree, and 1 can .*monthly capacity"):
            scan_with(small, tmp_path / "another", [e.url for e in opened[:2]], 2, verify="all")


class OtherHash:
    """Calls the newest block by another hash, and knows it by no other."""

    def __init__(self, market: DevMarket) -> None:
        self._head = market.anvil.rpc("eth_getBlockByNumber", "latest", False)
        self._hash = "0x" + "ab" * 32

    def __call__(self, request: Request) -> Say | None:
        params, head = request["params"], self._head
        if request["method"].startswith("eth_getBlockBy"):
            if params[0] in ("latest", head["number"], self._hash):
                return Say({"jsonrpc": "2.0", "id": 0, "result": head | {"hash": self._hash}})
            if params[0] == head["hash"]:
                return Say({"jsonrpc": "2.0", "id": 0, "result": None})
        elif len(params) > 1 and isinstance(params[1], dict):
            if params[1].get("blockHash") == head["hash"]:
                return refuse("header not found")
            params[1] = head["number"]
        return None


@pytest.mark.parametrize("at", [0, 1, 2])
def test_the_hash_of_the_block_is_compared_first(small: DevMarket, truth: ScanResult, tmp_path: Path, at: int) -> None:
    rules: list[Rule] = [passing, passing, passing]
    rules[at] = OtherHash(small)
    with endpoints(small.anvil.url, *rules) as opened:
        result, source = scan_with(small, tmp_path / "index", [e.url for e in opened], 2, verify="all")
        assert same(result, truth)
        assert result.snapshot.block_hash == truth.snapshot.block_hash
        assert opened[at].host not in result.snapshot.rpc_hosts
        assert any(opened[at].host in line and "about the hash of block" in line for line in source.warnings)
        liar, other = opened[at], opened[at - 1]
        with pytest.raises(QuorumLost, match="disagree about the hash of block") as caught:
            scan_with(small, tmp_path / "another", [liar.url, other.url], 2)
        assert liar.host in str(caught.value)
        assert other.host in str(caught.value)


def test_endpoints_of_one_host_do_not_agree_with_themselves(small: DevMarket, tmp_path: Path) -> None:
    url = small.anvil.url
    with pytest.raises(ConfigError, match="would agree with itself"):
        scan_with(small, tmp_path / "index", [url, f"{url}/another-key"], 2)
    with pytest.raises(ConfigError, match="needs 2 endpoints of different hosts for calls, and there is 1"):
        scan_with(small, tmp_path / "index", [url], 2)
