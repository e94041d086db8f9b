"""Requests and batches over a connection that fails in every way, in front of a real node."""

from __future__ import annotations

import asyncio
import gzip
import json
import threading
import time
import traceback
from collections.abc import Callable, Coroutine, Iterator
from email.utils import formatdate
from pathlib import Path
from typing import Any, TypeVar

import msgspec
import pytest

from scanner.chain import transport
from scanner.chain.deadline import Deadline
from scanner.chain.endpoint import Endpoint
from scanner.chain.failures import Kind, RpcFailure
from scanner.chain.learned import Learned
from scanner.chain.options import Options
from scanner.chain.spec import EndpointSpec
from scanner.chain.translog import TransportLog
from scanner.devchain.anvil import Anvil
from scanner.devchain.toolchain import Toolchain
from scanner.errors import ScannerError
from tests.chain.proxy import BatchRule, Request, Rule, Say, proxy, refuse

pytestmark = pytest.mark.chain

T = TypeVar("T")

FAST = Options(attempts=3, patience=2, timeout=2, first_pause=0.01, lag_patience=0.2, hedge=False)
SECRETS = ("s3cret", "pa55word", "user:", "czNj")
CHAIN: tuple[str, list[Any]] = ("eth_chainId", [])


@pytest.fixture(scope="module")
def anvil(toolchain: Toolchain) -> Iterator[Anvil]:
    with Anvil(toolchain.anvil) as node:
        yield node


def use(
    url: str, work: Callable[[Endpoint], Coroutine[Any, Any, T]], options: Options = FAST, **more: Any
) -> tuple[T, Endpoint]:
    async def run() -> tuple[T, Endpoint]:
        endpoint = Endpoint(more.pop("spec", None) or EndpointSpec(url), options, **more)
        try:
            return await work(endpoint), endpoint
        finally:
            await endpoint.close()

    return asyncio.run(run())


def ask(url: str, options: Options = FAST, **more: Any) -> str:
    return use(url, lambda endpoint: endpoint.text("eth_chainId", []), options, **more)[0]


def balances(count: int) -> list[tuple[str, list[Any]]]:
    """Ask for balances that differ."""
    return [("eth_getBalance", [f"0x{at + 1:040x}", "latest"]) for at in range(count)]


def fund(anvil: Anvil, count: int) -> list[str]:
    for at in range(count):
        anvil.rpc("anvil_setBalance", f"0x{at + 1:040x}", hex(at + 7))
    return [hex(at + 7) for at in range(count)]


def texts(outcomes: list[msgspec.Raw | RpcFailure]) -> list[str]:
    for outcome in outcomes:
        if isinstance(outcome, RpcFailure):
            raise outcome
    return [msgspec.json.decode(outcome, type=str) for outcome in outcomes if not isinstance(outcome, RpcFailure)]


class Http:
    """Counts the HTTP requests: their sizes as batches, 0 for single ones."""

    def __init__(self, rule: Rule = lambda request: None, batch_rule: BatchRule = lambda batch: None) -> None:
        self.sizes: list[int] = []
        self._batch: list[Request] = []
        self._rule, self._batch_rule = rule, batch_rule
        self._lock = threading.Lock()

    def rule(self, request: Request) -> Say | None:
        with self._lock:
            if any(request is item for item in self._batch):
                return self._rule(request)
            self.sizes.append(0)
        return self._rule(request)

    def batch_rule(self, batch: list[Request]) -> Say | None:
        with self._lock:
            self.sizes.append(len(batch))
            self._batch += batch
        return self._batch_rule(batch)


def results(batch: list[Request], values: list[str]) -> list[Any]:
    known = {request["params"][0]: request["id"] for request in batch}
    return [
        {"jsonrpc": "2.0", "id": known[address], "result": values[int(address, 16) - 1]}
        for address in (request["params"][0] for request in batch)
    ]


# --- one request ---------------------------------------------------------------------------------------------------


def html(body: str = "<html>s3cretkey</html>") -> bytes:
    return body.encode()


GZIPPED = gzip.compress(b'{"jsonrpc":"2.0","id":1,"result":"0x7a69"}' + b" " * 4000)
HICCUPS = {
    "half": Say(b'{"jsonrpc":"2.0","id":1,"resu'),
    "empty": Say(b""),
    "html": Say(html()),
    "html 502": Say(html(), 502),
    "cut off": Say(b'{"jsonrpc":"2.0"', lacking=500),
    "reset": Say(b"", 0),
    "damaged gzip": Say(b"no gzip", headers={"Content-Encoding": "gzip"}),
    "short gzip": Say(GZIPPED[:20], headers={"Content-Encoding": "gzip"}, lacking=len(GZIPPED) - 20),
    "wrong id": Say({"jsonrpc": "2.0", "id": 999, "result": "0x1"}, keep_id=True),
    "no id": Say({"jsonrpc": "2.0", "result": "0x1"}, keep_id=True),
    "no utf-8": Say(b'{"jsonrpc":"2.0","id":1,"error":{"message":"\xff\xfe"}}'),
    "a list": Say(b"[]"),
    "deep": Say(b'{"id":1,"result":' + b"[" * 100_000),
}
ENDS = {
    "html 502": (Kind.SERVER, "HTTP status 502"),
    "half": (Kind.NOT_RPC, "not JSON-RPC"),
    "a list": (Kind.NOT_RPC, "not JSON-RPC"),
    "empty": (Kind.NOT_RPC, "the answer is empty"),
    "html": (Kind.NOT_RPC, "HTML"),
    "cut off": (Kind.DISCONNECTED, "in the middle"),
    "reset": (Kind.DISCONNECTED, "connection lost"),
    "damaged gzip": (Kind.NOT_RPC, "decompressed"),
    "short gzip": (Kind.DISCONNECTED, "in the middle"),
    "wrong id": (Kind.NOT_RPC, "another request"),
    "no id": (Kind.NOT_RPC, "another request"),
}


@pytest.mark.parametrize("name", HICCUPS)
def test_a_hiccup_is_survived_and_a_lasting_one_is_told(anvil: Anvil, name: str) -> None:
    seen: list[Request] = []

    def once(request: Request) -> Say | None:
        seen.append(request)
        return HICCUPS[name] if len(seen) == 1 else None

    with proxy(anvil.url, once) as url:
        assert ask(url) == "0x7a69"
    assert len(seen) == 2
    with proxy(anvil.url, lambda request: HICCUPS[name]) as url, pytest.raises(RpcFailure) as caught:
        ask(url)
    kind, words = ENDS.get(name, (Kind.NOT_RPC, ""))
    assert (caught.value.kind, words in str(caught.value)) == (kind, True)
    told = "".join(traceback.format_exception(caught.value))
    assert not any(secret in told for secret in SECRETS)
    assert "127.0.0.1:" in told


def test_a_packed_answer_is_read(anvil: Anvil) -> None:
    packed = Say(GZIPPED, headers={"Content-Encoding": "gzip"})
    with proxy(anvil.url, lambda request: packed) as url:
        assert ask(url) == "0x7a69"


@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        (Say(html(), 413), Kind.PAYLOAD_TOO_LARGE),
        (Say(html(), 404), Kind.NOT_RPC),
        (Say(html("unauthorized s3cretkey"), 401), Kind.UNAUTHORIZED),
        (refuse("bad key user:pa55word, dXNlcjpwYTU1d29yZA==, token%3Ds3crettoken S3CRETKEY", -32000), Kind.OTHER),
    ],
)
def test_what_no_repetition_changes_is_asked_once(anvil: Anvil, answer: Say, kind: Kind) -> None:
    http = Http(lambda request: answer)
    with proxy(anvil.url, http.rule) as url, pytest.raises(RpcFailure) as caught:
        ask(url)
    assert caught.value.kind is kind
    assert len(http.sizes) == 1
    told = "".join(traceback.format_exception(caught.value)) + repr(caught.value)
    assert not any(secret.lower() in told.lower() for secret in (*SECRETS, "dXNlcjpw"))


@pytest.mark.parametrize("depth", [100, 900, 950, 980, 2000, 90_000, 300_000])
def test_an_error_that_is_nested_deeply_is_a_failure_like_others(anvil: Anvil, depth: int) -> None:
    deep = Say(b'{"id":1,"error":' + b'{"data":' * depth + b"1" + b"}" * (depth + 1))
    with proxy(anvil.url, lambda request: deep) as url, pytest.raises(RpcFailure):
        ask(url)


def test_no_redirect_is_followed(anvil: Anvil) -> None:
    other = Http()
    with (
        proxy(anvil.url, other.rule) as elsewhere,
        proxy(anvil.url, lambda request: Say(b"", 307, {"Location": elsewhere})) as url,
        pytest.raises(RpcFailure, match="HTTP status 307"),
    ):
        ask(url)
    assert other.sizes == []


def chained(error: BaseException) -> Iterator[BaseException]:
    yield error
    for inner in (error.__cause__, error.__context__):
        if inner is not None:
            yield from chained(inner)


@pytest.mark.parametrize(
    "url",
    [
        "http://s3cretuser:pa55word@127.0.0.1:9/v3/s3cretkey?token=s3crettoken#s3cretfragment",
        "https://s3cretuser:pa55word@127.0.0.1:{port}/v3/s3cretkey?token=s3crettoken",
        "http://s3cretuser:pa55word@nohost.invalid/s3cretkey",
        "http://127.0.0.1:s3cretkey/x",
        "http://[::s3cretkey/x",
        "http://a..b/s3cretkey",
        "http://[::1]x/s3cretkey",
        "http://\xad/s3cretkey",
        "http://" + "a" * 70 + ".example/s3cretkey",
        "http://127.0.0.1:{port}/s3cret%6bey/\x7f",
    ],
)
def test_no_traceback_shows_a_secret(anvil: Anvil, url: str) -> None:
    def slow(request: Request) -> Say:
        time.sleep(0.2)
        return Say(b"", 0)

    with proxy(anvil.url, slow) as behind:
        url = url.replace("{port}", behind.rpartition(":")[2].partition("/")[0])
        with pytest.raises(ScannerError) as caught:
            ask(url, Options(attempts=1, timeout=0.1, first_pause=0.01))
    told = "".join(traceback.format_exception(caught.value))
    for error in chained(caught.value):
        told += "".join(map(repr, error.args))
    assert not any(secret in told for secret in ("s3cret", "pa55word"))


def test_a_connector_that_shows_itself_shows_the_host_only() -> None:
    endpoint = Endpoint(EndpointSpec("https://node.example/v3/s3cretkey"), FAST)
    provider = endpoint._provider
    assert "s3cret" not in f"{endpoint!r} {endpoint.spec!r} {provider!r} {provider!s} {provider.endpoint_uri}"


# --- waits and limits ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("as_date", [False, True])
def test_a_named_wait_that_is_too_long_is_told_at_once_and_holds_for_all(anvil: Anvil, as_date: bool) -> None:
    named = formatdate(time.time() + 121, usegmt=True) if as_date else "121"
    http = Http(lambda request: refuse("slow down", 429, 429, Retry_After=named))

    async def two(endpoint: Endpoint) -> list[Any]:
        first = await asyncio.gather(endpoint.request(*CHAIN), return_exceptions=True)
        return first + await asyncio.gather(endpoint.request(*CHAIN), return_exceptions=True)

    with proxy(anvil.url, http.rule) as url:
        began = time.monotonic()
        failures, _ = use(url, two)
    assert time.monotonic() - began < 1
    assert [failure.kind for failure in failures] == [Kind.RATE_LIMITED] * 2
    assert "it asks to wait 12" in str(failures[0])
    assert "left alone for another 12" in str(failures[1])
    assert http.sizes == [0]


@pytest.mark.parametrize(
    "answer",
    [
        refuse("slow down", -32005, 429, Retry_After="0.3"),
        Say({"error": {"code": -32005, "message": "slow", "data": {"rate": {"backoff_seconds": 0.3}}}}, 429),
        Say({"error": {"code": -32005, "message": "rate limited, retry in 300ms"}}),
        Say(html(), 503, {"Retry-After": "0.3"}),
    ],
)
def test_a_named_wait_is_kept_by_every_request(anvil: Anvil, answer: Say) -> None:
    times: list[float] = []
    asked = threading.Event()

    def limit(request: Request) -> Say | None:
        times.append(time.monotonic())
        asked.set()
        return answer if len(times) == 1 else None

    async def some(endpoint: Endpoint) -> None:
        first = asyncio.create_task(endpoint.request(*CHAIN))
        await asyncio.to_thread(asked.wait)
        await asyncio.sleep(0.05)
        await asyncio.gather(first, endpoint.request(*CHAIN), endpoint.request(*CHAIN))

    with proxy(anvil.url, limit) as url:
        use(url, some)
    assert len(times) == 4
    assert all(at - times[0] >= 0.29 for at in times[1:])


def test_a_node_that_lags_is_waited_for_shortly(anvil: Anvil) -> None:
    seen: list[float] = []

    def lag(request: Request) -> Say | None:
        seen.append(time.monotonic())
        return refuse("header not found") if len(seen) < 4 else None

    with proxy(anvil.url, lag) as url:
        assert ask(url, Options(lag_patience=2)) == "0x7a69"
    with proxy(anvil.url, lambda request: refuse("header for hash not found")) as url:
        began = time.monotonic()

        async def thrice(endpoint: Endpoint) -> list[Any]:
            return [(await asyncio.gather(endpoint.request(*CHAIN), return_exceptions=True))[0] for _ in range(3)]

        failures, _ = use(url, thrice)
    assert [failure.kind for failure in failures] == [Kind.BLOCK_UNKNOWN] * 3
    assert time.monotonic() - began < 0.5  # waited for once, not for each request


def test_the_time_limit_ends_everything(anvil: Anvil) -> None:
    def slow(request: Request) -> Say | None:
        time.sleep(1)
        return None

    http = Http(slow)
    deadline = Deadline(0.2)
    with proxy(anvil.url, http.rule) as url:
        began = time.monotonic()
        for _ in range(3):
            with pytest.raises(RpcFailure, match=r"the time limit of 0\.2 s is over; .*--time-limit") as caught:
                ask(url, deadline=deadline)
            assert caught.value.kind is Kind.OUT_OF_TIME
        assert time.monotonic() - began < 0.9
    assert len(http.sizes) == 1


def test_no_second_try_is_begun_that_the_time_limit_forbids(anvil: Anvil) -> None:
    with proxy(anvil.url, lambda request: Say(html(), 503)) as url, pytest.raises(RpcFailure, match=r"503.*time limit"):
        ask(url, Options(first_pause=60), deadline=Deadline(0.2))


def test_the_budget_of_an_endpoint_is_kept(anvil: Anvil) -> None:
    times: list[float] = []

    def note(request: Request) -> Say | None:
        times.append(time.monotonic())
        return None

    async def many(endpoint: Endpoint) -> None:
        await asyncio.gather(*(endpoint.request(*CHAIN) for _ in range(30)))

    with proxy(anvil.url, note) as url:
        use(url, many, spec=EndpointSpec(url, requests_per_second=40))
    assert 0.4 < times[-1] - times[0] < 1.5  # 10 of 30 at once, the rest at 40 a second


def test_no_more_requests_are_in_flight_than_allowed(anvil: Anvil) -> None:
    now, most, lock = 0, 0, threading.Lock()

    def busy(request: Request) -> Say | None:
        nonlocal now, most
        with lock:
            now += 1
            most = max(most, now)
        time.sleep(0.02)
        with lock:
            now -= 1
        return None

    async def many(endpoint: Endpoint) -> None:
        await asyncio.gather(*(endpoint.request(*CHAIN) for _ in range(20)))

    with proxy(anvil.url, busy) as url:
        use(url, many, spec=EndpointSpec(url, concurrency=3))
    assert most == 3


# --- slow requests -------------------------------------------------------------------------------------------------


def hedged(anvil: Anvil, rule: Rule, requests: int, hedge: bool = True) -> tuple[float, Endpoint]:
    """Ask one after the other; give the seconds of the slowest."""

    async def work(endpoint: Endpoint) -> float:
        slowest = 0.0
        for _ in range(requests):
            began = time.monotonic()
            await endpoint.request(*CHAIN)
            slowest = max(slowest, time.monotonic() - began)
        return slowest

    with proxy(anvil.url, rule) as url:
        return use(url, work, Options(hedge=hedge, hedge_after=0.05, first_pause=0.01))


def test_a_slow_request_is_sent_a_second_time(anvil: Anvil) -> None:
    seen: list[Request] = []

    def stuck(request: Request) -> Say | None:
        seen.append(request)
        if len(seen) == 21:
            time.sleep(1)
        return None

    slowest, endpoint = hedged(anvil, stuck, 30)
    assert slowest < 0.5
    assert (endpoint.hedged, endpoint.sent, len(seen)) == (1, 31, 31)
    assert seen[20] == seen[21]
    assert endpoint._wire._rate._busy == 0
    seen.clear()
    slowest, endpoint = hedged(anvil, stuck, 30, hedge=False)
    assert slowest >= 1
    assert endpoint.hedged == 0


def test_copies_stay_few(anvil: Anvil) -> None:
    seen: list[Request] = []

    def slow(request: Request) -> Say | None:
        seen.append(request)
        if len(seen) > 15:
            time.sleep(0.12)
        return None

    _, endpoint = hedged(anvil, slow, 30)
    assert 1 <= endpoint.hedged <= 2


def test_a_failure_is_never_sent_twice_at_once(anvil: Anvil) -> None:
    seen: list[Request] = []

    def missing(request: Request) -> Say | None:
        seen.append(request)
        return refuse("missing trie node") if len(seen) > 15 else None

    with pytest.raises(RpcFailure) as caught:
        hedged(anvil, missing, 30)
    assert caught.value.kind is Kind.STATE_MISSING
    assert len(seen) == 16


# --- batches -------------------------------------------------------------------------------------------------------


def many(
    anvil: Anvil, http: Http, count: int, options: Options = FAST, learned: Learned | None = None
) -> tuple[list[msgspec.Raw | RpcFailure], Endpoint]:
    with proxy(anvil.url, http.rule, http.batch_rule) as url:
        return use(url, lambda endpoint: endpoint.batch(balances(count)), options, learned=learned)


def test_a_batch_is_one_request(anvil: Anvil) -> None:
    expected = fund(anvil, 20)
    http = Http()
    found, _ = many(anvil, http, 20)
    assert texts(found) == expected
    assert http.sizes == [20]
    assert many(anvil, http, 0)[0] == []


def test_no_batch_is_larger_than_allowed(anvil: Anvil) -> None:
    expected = fund(anvil, 25)
    for options, learned, sizes in (
        (FAST, None, [5, 20]),
        (FAST, Learned(batch=10), [5, 10, 10]),
        (FAST, Learned(batch=0), [0] * 25),
        (Options(batch_http=1), None, [0] * 25),
    ):
        http = Http()
        assert texts(many(anvil, http, 25, options, learned)[0]) == expected
        assert sorted(http.sizes) == sizes


def test_answers_in_another_order_are_matched(anvil: Anvil) -> None:
    expected = fund(anvil, 8)
    http = Http(batch_rule=lambda batch: Say(results(batch, expected)[::-1]))
    assert texts(many(anvil, http, 8)[0]) == expected
    assert http.sizes == [8]


def doubled(batch: list[Request], values: list[str]) -> Any:
    items = results(batch, values)
    return [*items[:-1], items[0] | {"result": "0x1"}]


def foreign(batch: list[Request], values: list[str]) -> Any:
    items = results(batch, ["0x1"] * len(values))
    return [*items[:-1], items[-1] | {"id": 4711}]


ODD: dict[str, Callable[[list[Request], list[str]], Any]] = {
    "one doubled": doubled,
    "a foreign id": foreign,
    "ids as text": lambda batch, values: [item | {"id": str(item["id"])} for item in results(batch, values)],
    "no ids": lambda batch, values: [{"jsonrpc": "2.0", "result": "0x1"} for _ in batch],
    "no list": lambda batch, values: {"jsonrpc": "2.0", "id": batch[0]["id"], "result": "0x1"},
    "one error": lambda batch, values: {"id": None, "error": {"code": -32600, "message": "invalid request"}},
    "html": lambda batch, values: b"<html>",
    "numbers": lambda batch, values: [1, 2, 3],
    "an empty list": lambda batch, values: [],
}


@pytest.mark.parametrize("name", ODD)
def test_an_odd_answer_to_a_batch_is_never_believed(anvil: Anvil, name: str) -> None:
    expected = fund(anvil, 6)
    http = Http(batch_rule=lambda batch: Say(ODD[name](batch, expected)))
    found, endpoint = many(anvil, http, 6)
    assert texts(found) == expected
    assert endpoint.learned.batch == 0
    assert http.sizes[0] == 6
    assert http.sizes.count(0) == 6
    assert len(http.sizes) <= 9


def test_a_missing_answer_is_asked_for_again(anvil: Anvil) -> None:
    expected = fund(anvil, 6)
    http = Http(batch_rule=lambda batch: Say(results(batch, expected)[:4]) if len(batch) == 6 else None)
    found, endpoint = many(anvil, http, 6)
    assert texts(found) == expected
    assert http.sizes == [6, 2]
    assert endpoint.learned.batch is None


@pytest.mark.parametrize("nameless", [False, True])
def test_a_refusal_inside_a_batch_is_asked_again_alone(anvil: Anvil, nameless: bool) -> None:
    expected = fund(anvil, 6)

    def limit(batch: list[Request]) -> Say:
        items = results(batch, expected)
        error = {"code": -32007, "message": "25/second request limit reached"}
        items[3] = {"jsonrpc": "2.0", "id": None if nameless else items[3]["id"], "error": error}
        return Say(items)

    http = Http(batch_rule=limit)
    found, endpoint = many(anvil, http, 6)
    assert texts(found) == expected
    assert http.sizes == [6, 0]
    assert endpoint.learned.batch is None


def test_an_error_without_an_id_belongs_to_the_request_that_lacks_an_answer(anvil: Anvil) -> None:
    expected = fund(anvil, 4)

    def gone(batch: list[Request]) -> Say:
        items = results(batch, expected)
        items[2] = {"jsonrpc": "2.0", "id": None, "error": {"code": -32000, "message": "missing trie node"}}
        return Say(items)

    http = Http(batch_rule=gone)
    found, _ = many(anvil, http, 4)
    assert [outcome.kind if isinstance(outcome, RpcFailure) else None for outcome in found] == [
        *(None, None, Kind.STATE_MISSING, None)
    ]
    assert http.sizes == [4]


def test_each_failure_of_a_batch_is_a_value(anvil: Anvil) -> None:
    expected = fund(anvil, 5)
    errors = {1: "missing trie node", 2: "execution reverted", 3: "header not found"}

    def some(request: Request) -> Say | None:
        return refuse(text) if (text := errors.get(int(request["params"][0], 16) - 1)) else None

    found, _ = many(anvil, Http(some), 5)
    kinds = [outcome.kind if isinstance(outcome, RpcFailure) else None for outcome in found]
    assert kinds == [None, Kind.STATE_MISSING, Kind.REVERTED, Kind.BLOCK_UNKNOWN, None]
    assert texts([found[0], found[4]]) == [expected[0], expected[4]]
    assert "eth_getBalance" in str(found[1])


@pytest.mark.parametrize(
    ("answer", "learned"),
    [
        (refuse("Batched requests are not supported by this server", -32005), 0),
        (refuse("maximum 10 calls in 1 batch", -32014), 10),
        (refuse("Batch of more than 3 requests are not allowed on free tier", 31), 3),
        (refuse("batch too large", -32600), 10),
        (Say(b"<html>too large</html>", 413), 10),
        (Say(b"", 0), 0),
        (Say(b"<html>", 500), 0),
    ],
)
def test_the_batches_that_an_endpoint_takes_are_learned(anvil: Anvil, answer: Say, learned: int) -> None:
    expected = fund(anvil, 25)
    http = Http(batch_rule=lambda batch: answer if len(batch) > learned else None)
    found, endpoint = many(anvil, http, 25)
    assert texts(found) == expected
    assert endpoint.learned.batch == learned
    refused = [size for size in http.sizes if size > learned and size]
    assert len(refused) <= 2  # only the first batch finds it out


def test_a_refusal_of_each_item_for_the_size_is_heeded(anvil: Anvil) -> None:
    expected = fund(anvil, 8)

    def crowd(batch: list[Request]) -> Say | None:
        text = "Batch of more than 3 requests are not allowed on free tier"
        errors = [{"jsonrpc": "2.0", "id": item["id"], "error": {"code": 31, "message": text}} for item in batch]
        return Say(errors) if len(batch) > 3 else None

    found, endpoint = many(anvil, Http(batch_rule=crowd), 8)
    assert texts(found) == expected
    assert endpoint.learned.batch == 3


@pytest.mark.parametrize(
    ("answer", "requests"), [(Say(b"no", 401), 2), (Say(b"<html>s3cretkey"), 5), (Say(b"", 0), 5), (Say(b"", 502), 5)]
)
def test_an_endpoint_that_answers_nothing_is_not_asked_for_each(anvil: Anvil, answer: Say, requests: int) -> None:
    http = Http(lambda request: answer)
    found, endpoint = many(anvil, http, 20)
    assert all(isinstance(outcome, RpcFailure) for outcome in found)
    assert len({outcome.kind for outcome in found if isinstance(outcome, RpcFailure)}) == 1
    assert endpoint.sent == requests
    assert endpoint.learned.batch is None


def test_a_slow_batch_is_asked_in_parts_that_are_not(anvil: Anvil) -> None:
    expected = fund(anvil, 8)

    def slow(batch: list[Request]) -> None:
        time.sleep(0.4 if len(batch) > 2 else 0)

    http = Http(batch_rule=slow)
    found, endpoint = many(anvil, http, 8, Options(timeout=0.2, first_pause=0.01))
    assert texts(found) == expected
    assert sorted(http.sizes) == [2, 2, 2, 2, 4, 4, 8]
    assert endpoint.learned.batch is None


@pytest.mark.parametrize(("known", "shrinkable"), [(True, True), (True, False), (False, True)])
def test_a_slow_batch_of_what_can_shrink_is_given_up_at_once(anvil: Anvil, known: bool, shrinkable: bool) -> None:
    """Unless it is the first one: an endpoint that takes no batches may as well not answer them."""

    asked: list[str] = []

    def slow(request: Request) -> Say | None:
        asked.append(request["method"])
        if request["method"] == "eth_getBalance":
            time.sleep(0.6)
            return Say(b"", 0)
        return None

    def slow_batch(batch: list[Request]) -> Say | None:
        if batch[0]["method"] != "eth_getBalance":
            return None
        asked.append("batch")
        time.sleep(0.6)
        return Say(b"", 0)

    async def work(endpoint: Endpoint) -> list[Kind | None]:
        if known:
            await endpoint.batch([CHAIN, CHAIN])
            asked.clear()
        found = await endpoint.batch([*balances(1), CHAIN], shrinkable=shrinkable)
        return [outcome.kind if isinstance(outcome, RpcFailure) else None for outcome in found]

    with proxy(anvil.url, slow, slow_batch) as url:
        kinds, _ = use(url, work, Options(attempts=2, timeout=0.2, first_pause=0.01, hedge=False))
    assert kinds == ([Kind.TIMEOUT] * 2 if known and shrinkable else [Kind.TIMEOUT, None])
    balance = ["eth_getBalance"] * (1 if shrinkable else 2)
    assert asked == ["batch"] + ([] if known and shrinkable else [*balance, "eth_chainId"])


def test_a_timeout_inside_a_batch_is_asked_again_alone(anvil: Anvil) -> None:
    expected, seen = fund(anvil, 4), []

    def slow(request: Request) -> Say | None:
        if request["params"][0].endswith("2"):
            seen.append(request)
            return refuse("execution aborted (timeout = 5s)") if len(seen) < 3 else None
        return None

    http = Http(slow)
    assert texts(many(anvil, http, 4)[0]) == expected
    assert http.sizes[0] == 4
    assert set(http.sizes[1:]) == {0}


def test_a_batch_that_cannot_be_sent_fails_for_each(anvil: Anvil) -> None:
    outcomes, _ = use("http://127.0.0.1:9/s3cretkey", lambda endpoint: endpoint.batch([CHAIN, *balances(2)]))
    assert [outcome.kind for outcome in outcomes if isinstance(outcome, RpcFailure)] == [Kind.UNREACHABLE] * 3
    assert [str(outcome).split(": ")[1] for outcome in outcomes] == ["eth_chainId", "eth_getBalance", "eth_getBalance"]


@pytest.mark.parametrize("under_way", [True, False])
def test_what_is_asked_together_fails_when_the_endpoint_is_closed(
    anvil: Anvil, caplog: pytest.LogCaptureFixture, under_way: bool
) -> None:
    held, came = threading.Event(), threading.Event()

    def hold(batch: list[Request]) -> Say:
        came.set()
        held.wait(5)
        return Say(b"", 0)

    async def run(url: str) -> list[Any]:
        endpoint = Endpoint(EndpointSpec(url), FAST)
        asking = [asyncio.ensure_future(endpoint.together(*request)) for request in balances(3)]
        await asyncio.sleep(0)
        if under_way:
            await asyncio.to_thread(came.wait, 5)
        async with asyncio.timeout(2):
            await endpoint.close()
        await asyncio.sleep(0)
        assert all(task.done() for task in asking)
        found = await asyncio.gather(*asking, return_exceptions=True)
        found += await asyncio.gather(endpoint.together(*CHAIN), return_exceptions=True)
        assert asyncio.all_tasks() == {asyncio.current_task()}
        held.set()
        return found

    with proxy(anvil.url, lambda request: None, hold) as url:
        failures = asyncio.run(run(url))
    assert [failure.kind for failure in failures] == [Kind.OUT_OF_TIME] * 4
    assert all("the endpoint was closed" in str(failure) for failure in failures)
    assert caplog.records == []


# --- the log -------------------------------------------------------------------------------------------------------


def test_every_attempt_is_logged_without_secrets(anvil: Anvil, tmp_path: Path) -> None:
    seen: list[Request] = []

    def once(request: Request) -> Say | None:
        seen.append(request)
        return refuse("slow down, s3crettoken of user:pa55word", -32005, 429) if len(seen) == 1 else None

    file = tmp_path / "transport.ndjson"
    log = TransportLog(file)
    data = "0x" + "ab" * 5000
    override = {"0x" + "22" * 20: {"code": "0xcd"}}

    block = anvil.rpc("eth_getBlockByNumber", "latest", False)["hash"]
    with proxy(anvil.url, once) as url:

        async def real(endpoint: Endpoint) -> None:
            call = {"to": "0x" + "11" * 20, "data": data}
            await endpoint.request("eth_call", [call, {"blockHash": block}, override])
            query = {"fromBlock": "0x0", "toBlock": "0x0", "address": ["0x" + "11" * 20] * 3}
            await endpoint.request("eth_getLogs", [query])
            await endpoint.batch(balances(3))

        use(url, real, log=log)
    log.close()
    text = file.read_text()
    assert not any(secret in text for secret in (*SECRETS, "ababab", "cdcd"))
    head, endpoint, *lines = (json.loads(line) for line in text.splitlines())
    assert head["tool_version"]
    assert endpoint["options"]["attempts"] == 3
    assert [(line["method"], line["status"], line["attempt"], line.get("batch", 1)) for line in lines] == [
        ("eth_call", 429, 1, 1),
        ("eth_call", 200, 2, 1),
        ("eth_getLogs", 200, 1, 1),
        ("batch", 200, 1, 3),
    ]
    assert lines[0]["failure"] == "RATE_LIMITED"
    assert lines[1]["params"] == {"to": "0x" + "11" * 20, "data_bytes": 5000, "block": block, "overrides": 1}
    assert lines[2]["params"] == {"from": "0x0", "to": "0x0", "addresses": 3}
    assert lines[3]["params"] == {"eth_getBalance": 3}
    assert file.stat().st_mode & 0o777 == 0o600


def test_the_slower_of_two_copies_is_logged_too(anvil: Anvil, tmp_path: Path) -> None:
    seen: list[Request] = []

    def stuck(request: Request) -> Say | None:
        seen.append(request)
        if len(seen) == 21:
            time.sleep(1)
        return None

    async def work(endpoint: Endpoint) -> None:
        for _ in range(30):
            await endpoint.request(*CHAIN)

    file = tmp_path / "transport.ndjson"
    log = TransportLog(file)
    with proxy(anvil.url, stuck) as url:
        _, endpoint = use(url, work, Options(hedge_after=0.05), log=log, deadline=Deadline(90))
    log.close()
    _, opened, *lines = (json.loads(line) for line in file.read_text().splitlines())
    assert opened["time_limit"] == 90
    assert len(lines) == endpoint.sent == 31
    copy, lost = lines[20:22]
    assert copy["hedged"]
    assert "failure" not in copy
    assert (lost["failure"], lost["status"], lost.get("hedged", False)) == ("CANCELLED", 0, False)
    assert lost["seconds"] >= 0.05


@pytest.mark.parametrize("packed", [False, True])
def test_an_answer_without_end_is_cut_off_and_asked_for_in_parts(
    anvil: Anvil, monkeypatch: pytest.MonkeyPatch, *, packed: bool
) -> None:
    """A compressed one is counted as it unfolds: a few kilobytes become any number of gigabytes."""
    monkeypatch.setattr(transport, "_MOST_BYTES", 2**22)
    body = json.dumps({"jsonrpc": "2.0", "id": 1, "result": "0" * 2**26}).encode()
    sent = gzip.compress(body) if packed else body
    headers = {"Content-Encoding": "gzip"} if packed else {}
    sizes: list[int] = []

    def whole(batch: list[Request]) -> Say | None:
        sizes.append(len(batch))
        return Say(sent, headers=headers) if len(batch) > 2 else None

    with proxy(anvil.url, lambda request: None, whole) as url:
        found, _ = use(url, lambda endpoint: endpoint.batch([CHAIN] * 8))
    assert all(not isinstance(outcome, RpcFailure) for outcome in found)
    assert sizes == [8, 4, 4, 2, 2, 2, 2]

    with proxy(anvil.url, lambda request: Say(sent, headers=headers)) as url, pytest.raises(RpcFailure) as raised:
        ask(url)
    assert raised.value.kind is Kind.PAYLOAD_TOO_LARGE
    assert "longer than 4,194,304 bytes" in str(raised.value)
