"""The proxy itself: it passes what no fault meets, every fault can be seen, and the same seed gives the same faults."""

from __future__ import annotations

import http.client
import json
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

import pytest

from scanner.chain.failures import Kind
from scanner.config import cache_dir
from scanner.devchain import Anvil, install
from tests.chaos import caps, ends, lies
from tests.chaos import faults as f
from tests.chaos.proxy import MOST_IN_A_ROW, Fault, Proxy, chaos_proxy
from tests.chaos.words import said

pytestmark = pytest.mark.chain

HEAD = {"jsonrpc": "2.0", "id": 7, "method": "eth_getBlockByNumber", "params": ["latest", False]}
NUMBER = {"jsonrpc": "2.0", "id": 8, "method": "eth_blockNumber", "params": []}
ALWAYS = 1.1
"""A rate that every draw is below."""

# mstore(0, gas()); return(0, 32)
GAS_LEFT = {"0x00000000000000000000000000000000000000aa": {"code": "0x5a5f5260205ff3"}}


@pytest.fixture(scope="module")
def anvil() -> Iterator[Anvil]:
    with Anvil(install(cache_dir()).anvil) as node:
        node.rpc("anvil_mine", "0x20")
        yield node


def post(url: str, body: object) -> tuple[int, dict[str, str], bytes]:
    connection = http.client.HTTPConnection(urlsplit(url).netloc.split("@")[-1], timeout=10)
    try:
        connection.request("POST", "/", json.dumps(body), {"Content-Type": "application/json"})
        answer = connection.getresponse()
        return answer.status, dict(answer.getheaders()), answer.read()
    finally:
        connection.close()


def ask(anvil: Anvil, body: object, *faults: Fault) -> Any:
    with chaos_proxy(anvil.url, 1, faults) as proxy:
        return json.loads(post(proxy.url, body)[2])


def call(to: str, overrides: object = None, **more: str) -> dict[str, Any]:
    params: list[Any] = [{"to": to, **more}, "latest"]
    return {"jsonrpc": "2.0", "id": 1, "method": "eth_call", "params": params + ([overrides] if overrides else [])}


def logs(first: int, last: int, addresses: int = 1) -> dict[str, Any]:
    named = [f"0x{n:040x}" for n in range(addresses)]
    query = {"address": named, "fromBlock": hex(first), "toBlock": hex(last)}
    return {"jsonrpc": "2.0", "id": 1, "method": "eth_getLogs", "params": [query]}


@pytest.mark.parametrize("body", [HEAD, [HEAD, NUMBER]])
def test_what_no_fault_meets_passes_byte_for_byte(anvil: Anvil, body: object) -> None:
    idle = (f.RateLimit(rate=0.0), caps.FewBlocks(5), f.WrongId(0.0), lies.FalseBytes())
    with chaos_proxy(anvil.url, 1, idle) as proxy:
        assert post(proxy.url, body)[2] == post(anvil.url, body)[2]


def test_the_same_seed_gives_the_same_faults(anvil: Anvil) -> None:
    def statuses(seed: int) -> list[int]:
        with chaos_proxy(anvil.url, seed, [f.ServerError(503, 0.5)]) as proxy:
            return [post(proxy.url, {**NUMBER, "params": [n]})[0] for n in range(40)]

    first = statuses(1)
    assert first == statuses(1)
    assert first != statuses(2)
    assert 10 < first.count(503) < 30


def test_what_passes_passes(anvil: Anvil) -> None:
    with chaos_proxy(anvil.url, 1, [f.ServerError(503, ALWAYS), f.RateLimit(rate=ALWAYS)]) as proxy:
        row = [post(proxy.url, NUMBER)[0] for _ in range(2 * MOST_IN_A_ROW + 2)]
    assert row == [503] * MOST_IN_A_ROW + [200] + [503] * MOST_IN_A_ROW + [200]


@pytest.mark.parametrize(
    ("fault", "status", "header"),
    [
        (f.RateLimit("plain", ALWAYS), 429, None),
        (f.RateLimit("after", ALWAYS), 429, "Retry-After"),
        (f.RateLimit("infura", ALWAYS), 429, None),
        (f.ServerError(502, ALWAYS), 502, None),
        (caps.SmallRequests(10), 413, None),
        (ends.Denied("x", status=401), 401, None),
    ],
)
def test_http_refusals(anvil: Anvil, fault: Fault, status: int, header: str | None) -> None:
    with chaos_proxy(anvil.url, 1, [fault]) as proxy:
        seen = post(proxy.url, HEAD)
    assert seen[0] == status
    assert header is None or header in seen[1]


@pytest.mark.parametrize("fault", [f.Reset(ALWAYS), f.Reset(ALWAYS, late=True), f.Cut(ALWAYS), ends.Gone(1)])
def test_broken_connections(anvil: Anvil, fault: Fault) -> None:
    with chaos_proxy(anvil.url, 1, [fault]) as proxy, pytest.raises((OSError, http.client.HTTPException)):
        post(proxy.url, HEAD)


def test_bodies_that_are_no_answer(anvil: Anvil) -> None:
    for fault in (f.Html(ALWAYS), f.Cut(ALWAYS, whole=True)):
        with chaos_proxy(anvil.url, 1, [fault]) as proxy:
            status, _, body = post(proxy.url, HEAD)
        assert status == 200
        with pytest.raises(json.JSONDecodeError):
            json.loads(body)


def test_ids_and_batches(anvil: Anvil) -> None:
    body = [HEAD, NUMBER]
    assert ask(anvil, HEAD, f.WrongId(ALWAYS))["id"] == 10_007
    assert "id" not in ask(anvil, HEAD, f.WrongId(ALWAYS, "missing"))
    assert [one["id"] for one in ask(anvil, body, f.Shuffled("order"))] == [8, 7]
    assert [one["id"] for one in ask(anvil, body, f.Shuffled("twice"))] == [8, 7, 8]
    assert [one["id"] for one in ask(anvil, body, f.Shuffled("missing", ALWAYS))] == [7]
    assert ask(anvil, body, caps.NoBatch())["error"]["message"] == "batch requests are not supported"
    item = ask(anvil, body, f.RateLimit("item", ALWAYS))
    assert [one["error"]["code"] for one in item] == [429, 429]
    with chaos_proxy(anvil.url, 3, [f.RateLimit("item", 0.5)]) as proxy:
        several = [{**HEAD, "id": n, "params": [hex(n), False]} for n in range(8)]
        mixed = json.loads(post(proxy.url, several)[2])
    assert {"error" in one for one in mixed} == {True, False}
    assert [one["id"] for one in mixed] == list(range(8))


def test_caps_on_logs(anvil: Anvil) -> None:
    words = said(Kind.RANGE_TOO_WIDE)
    for place, seen in enumerate(words):
        cap = caps.FewBlocks(5, place)
        problem = ask(anvil, logs(1, 6), cap)["error"]
        assert problem["code"] == seen.code
        assert ask(anvil, logs(1, 5), cap)["result"] == []
        assert ask(anvil, logs(1, 6), caps.FewBlocks(5, place, verbatim=True))["error"]["message"] == seen.message
    assert "[0x1, 0x5]" in ask(anvil, logs(1, 6), caps.FewBlocks(5, 0))["error"]["message"]
    assert "error" in ask(anvil, logs(1, 2, addresses=3), caps.FewAddresses(2))


def test_caps_on_gas(anvil: Anvil) -> None:
    (place,) = GAS_LEFT
    free = int(ask(anvil, call(place, GAS_LEFT, gas="0x1000000"))["result"], 16)
    silent = int(ask(anvil, call(place, GAS_LEFT, gas="0x1000000"), caps.GasCap(10**6))["result"], 16)
    assert free > 10**7
    assert silent < 10**6
    assert "error" in ask(anvil, call(place, GAS_LEFT, gas="0x1000000"), caps.GasCap(10**6, "refuse"))
    short = [ask(anvil, call(place, GAS_LEFT), caps.GasCap(21_001, how))["error"] for how in ("error", "revert")]
    assert short[0]["message"] in {seen.message for seen in said(Kind.OUT_OF_GAS)}
    assert (short[1]["code"], short[1]["data"]) == (3, "0x")


def test_overrides_and_hashes(anvil: Anvil) -> None:
    (place,) = GAS_LEFT
    assert "error" in ask(anvil, call(place, GAS_LEFT), caps.NoOverrides())
    assert ask(anvil, call(place, GAS_LEFT), caps.NoOverrides(ignored=True))["result"] == "0x"
    head = anvil.rpc("eth_getBlockByNumber", "latest", False)["hash"]
    by_hash = {**HEAD, "method": "eth_getBalance", "params": [place, {"blockHash": head}]}
    assert ask(anvil, by_hash)["result"] == "0x0"
    assert "error" in ask(anvil, by_hash, caps.NoHashes())
    assert ask(anvil, by_hash, caps.NoHashes(flag_only=True))["result"] == "0x0"


def test_a_node_that_lags(anvil: Anvil) -> None:
    (place,) = GAS_LEFT
    head = anvil.rpc("eth_getBlockByNumber", "latest", False)
    number, lag = int(head["number"], 16), f.Lag(2)
    assert int(ask(anvil, NUMBER, lag)["result"], 16) == number - 2
    assert int(ask(anvil, HEAD, lag)["result"]["number"], 16) == number - 2
    assert ask(anvil, {**HEAD, "params": [head["number"], False]}, lag)["result"] is None
    for block in (head["number"], {"blockHash": head["hash"]}):
        late = {**HEAD, "method": "eth_getBalance", "params": [place, block]}
        assert ask(anvil, late, lag)["error"]["message"] == "header not found"
    assert "beyond" in ask(anvil, logs(1, number), lag)["error"]["message"]
    assert ask(anvil, logs(1, number - 2), lag)["result"] == []


def test_a_lie_is_the_same_however_it_is_asked(anvil: Anvil) -> None:
    (place,) = GAS_LEFT
    # return the first storage slot
    reads = {place: {"code": "0x5f545f5260205ff3"}}
    lie = lies.FalseState("x", ((place, "0x" + 64 * "0", f"0x{5:064x}"),))
    assert int(ask(anvil, call(place, reads))["result"], 16) == 0
    assert int(ask(anvil, call(place, reads), lie)["result"], 16) == 5


def test_the_state_of_an_old_block(anvil: Anvil) -> None:
    # return the number of the block
    reads = {next(iter(GAS_LEFT)): {"code": "0x435f5260205ff3"}}
    (place,) = reads
    now, old = (int(ask(anvil, call(place, reads), *more)["result"], 16) for more in ((), (lies.OldState(4),)))
    assert now - old == 4


def test_hosts_can_be_told_apart(anvil: Anvil) -> None:
    with chaos_proxy(anvil.url, 1, [], name="localhost") as proxy:
        assert isinstance(proxy, Proxy)
        assert proxy.host.startswith("localhost:")
        assert post(proxy.url, NUMBER)[0] == 200
