"""The ways of reading many accounts with few requests: taken one after the other, and the same answers from each."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from http.client import HTTPConnection
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import msgspec
import pytest

import scanner.chain
from scanner.chain.deployless import INITCODE_MOST, creation
from scanner.chain.interface import Call, Lens, LensChunk, Reverted, Way
from scanner.chain.learned import Learned
from scanner.chain.options import Options
from scanner.chain.reader import RpcReader, open_reader
from scanner.chain.recording import load
from scanner.chain.replay import RecordingReader, ReplayReader
from scanner.devchain import Anvil, DevMarket
from scanner.devchain.toolchain import Toolchain
from scanner.errors import ChainError, OverridesRefused, RpcError
from scanner.export.documents import accounts_json
from scanner.options import ScanOptions
from scanner.pipeline import scan
from tests.chain.conftest import Rollback
from tests.chain.peers import MULTICALL3, multicall3_code
from tests.chain.proxy import Request, Rule, Say, no_overrides, proxy, refuse
from tests.chain.test_reader import ANSWERS, CALLS, CODE, ECHO, HUNGRY, REFUSE, SWALLOW, item, lens_of, read_lens, word

pytestmark = pytest.mark.chain

WAYS: tuple[Way, ...] = ("override", "deployless", "multicall3", "single")


def is_call(request: Request) -> bool:
    return bool(request["method"] == "eth_call")


def creates(request: Request) -> bool:
    return is_call(request) and "to" not in request["params"][0]


def overrides(request: Request) -> bool:
    return is_call(request) and len(request["params"]) > 2


def passing(request: Request) -> Say | None:
    return None


def no_code(request: Request) -> Say | None:
    """Take neither overrides nor give the data of a revert."""
    return no_overrides(request) or (refuse("execution reverted", 3) if creates(request) else None)


def no_code_no_multicall(request: Request) -> Say | None:
    asks = request["method"] == "eth_getCode" and request["params"][0] == MULTICALL3
    return Say({"jsonrpc": "2.0", "id": 1, "result": "0x"}) if asks else no_code(request)


RULES: dict[Way, Rule] = dict(zip(WAYS, (passing, no_overrides, no_code, no_code_no_multicall), strict=True))


class Seen:
    """A rule whose eth_calls are kept, by what they ask for."""

    def __init__(self, rule: Rule) -> None:
        self.rule = rule
        self.all: list[Request] = []

    def __call__(self, request: Request) -> Say | None:
        self.all += request if isinstance(request, list) else [request]
        return self.rule(request)

    def count(self, wanted: Callable[[Request], bool] = is_call) -> int:
        return sum(map(wanted, self.all))


@contextmanager
def reading(url: str, rule: Rule, options: Options | None = None) -> Iterator[tuple[RpcReader, Seen]]:
    seen = Seen(rule)
    chosen = options or Options(hedge=False)  # which would ask twice where the machine is busy
    with proxy(url, seen) as address, open_reader(address, options=chosen) as reader:
        seen.all.clear()  # what was asked to find out what the endpoint takes
        yield reader, seen


@pytest.fixture(scope="module")
def anvil(toolchain: Toolchain) -> Iterator[Anvil]:
    with Anvil(toolchain.anvil) as node:
        for address, code in CODE.items():
            node.rpc("anvil_setCode", address, "0x" + code)
        node.rpc("anvil_setCode", MULTICALL3, multicall3_code(toolchain))
        node.rpc("anvil_mine", "0x1")
        yield node


@pytest.fixture(scope="module")
def probe(toolchain: Toolchain) -> bytes:
    source = (Path(__file__).parent / "probe_lens.sol").read_text()
    compiled = toolchain.compile({"probe_lens.sol": source}, ["probe_lens.sol:ProbeLens"], evm_version="paris")
    return bytes.fromhex(compiled["ProbeLens"].runtime)


def learned_of(reader: RpcReader) -> Learned:
    return reader._endpoint.learned


# --- the same answers ----------------------------------------------------------------------------------------------


def test_each_way_reads_the_same_accounts(market: DevMarket, rollback: Rollback, tmp_path: Path) -> None:
    rollback(market)
    market.anvil.rpc("anvil_setCode", MULTICALL3, multicall3_code(market.toolchain))
    market.anvil.rpc("anvil_mine", "0x1")
    block = int(market.anvil.rpc("eth_blockNumber"), 16)
    index = tmp_path / "index.sqlite"
    chosen = ScanOptions([market.anvil.url], markets=[market.root], from_block=1, block=block, index_file=index)
    found = scan(replace(chosen, verify="none"))
    only = tuple(found.frames["accounts"]["position"])[::16]
    documents, requests = {}, {}
    for way, rule in RULES.items():
        seen = Seen(rule)
        with proxy(market.anvil.url, seen) as url:
            record = tmp_path / f"{way}.rec"
            again = scan(replace(chosen, rpc_urls=[url], only=only, record=record))
        document = msgspec.json.decode(accounts_json(again))
        assert document["snapshot"]["reading"] == way
        assert len(document["accounts"]) == len(only) > 100
        documents[way] = without_snapshot(again)
        requests[way] = seen.count()
        replayed = scan(ScanOptions(replay=record, only=only))
        assert replayed.snapshot.reading == way
        assert without_snapshot(replayed) == documents[way]
    assert len(set(documents.values())) == 1
    assert requests["override"] <= requests["deployless"] < requests["multicall3"] < requests["single"]
    assert 2 * requests["multicall3"] < requests["single"]


def without_snapshot(result: Any) -> bytes:
    document = msgspec.json.decode(accounts_json(result))
    del document["snapshot"]
    return msgspec.json.encode(document)


@pytest.mark.parametrize("way", WAYS)
def test_each_way_gives_the_same_outcomes(anvil: Anvil, way: Way) -> None:
    with reading(anvil.url, RULES[way]) as (reader, _):
        assert reader.way is None
        assert [reader.call([call])[0] for call in CALLS] == ANSWERS
        assert reader.way is None
        assert reader.call(CALLS) == ANSWERS
        assert reader.call(CALLS * 5) == ANSWERS * 5
        assert reader.way == way


def test_single_calls_share_http_requests(anvil: Anvil) -> None:
    sent: list[int] = []
    with (
        proxy(anvil.url, RULES["single"], lambda batch: sent.append(len(batch))) as url,
        open_reader(url) as reader,
    ):
        opening = len(sent)
        assert reader.call(CALLS * 20) == ANSWERS * 20
        assert reader.way == "single"
    assert max(sent) == Options().batch_http
    assert len(sent) - opening <= 2 * len(CALLS) * 20 / Options().batch_http


def test_gas_that_runs_out_unseen_inside_a_batch_changes_no_answer(anvil: Anvil) -> None:
    for way in WAYS:
        with reading(anvil.url, RULES[way]) as (reader, _):
            assert reader.call([Call(SWALLOW, word(20_000_000))] * 4) == [word(1)] * 4
            assert reader.call([Call(HUNGRY, word(20_000_000)), Call(SWALLOW, word(40_000_000))]) == [word(1)] * 2
            assert reader.way == way


def test_a_stranger_at_the_address_of_multicall3_is_not_asked(anvil: Anvil) -> None:
    for code in (CODE[ECHO], CODE[REFUSE], "fe", "60015f5260205ff3"):
        state = anvil.rpc("evm_snapshot")
        try:
            anvil.rpc("anvil_setCode", MULTICALL3, "0x" + code)
            anvil.rpc("anvil_mine", "0x1")
            with reading(anvil.url, RULES["multicall3"]) as (reader, _):
                assert reader.call(CALLS) == ANSWERS
                assert reader.way == "single"
        finally:
            anvil.rpc("evm_revert", state)


def test_a_lens_runs_by_override_or_as_a_contract_being_created(anvil: Anvil, probe: bytes) -> None:
    items = [item(n) for n in range(6_000)]
    found = []
    for way in ("override", "deployless"):
        with reading(anvil.url, RULES[way]) as (reader, _):
            found.append(read_lens(reader, lens_of(probe), items))
            assert reader.way == way
    assert found[0] == found[1] == {n: 256 * n + 1 for n in range(6_000)}


def test_a_lens_with_overrides_of_its_own_is_never_created(anvil: Anvil, probe: bytes) -> None:
    lens = Lens("probe", probe, word(1), overrides={ECHO: b"\x5f"})
    with reading(anvil.url, no_overrides) as (reader, seen):
        with pytest.raises(OverridesRefused):
            list(reader.lens(lens, [item(1)]))
        with pytest.raises(OverridesRefused):
            reader.call([Call(ECHO, b""), Call(ECHO, b"")], overrides={ECHO: b"\x5f"})
        assert not seen.count(creates)
        assert reader.way is None


def covering(chunks: Iterable[LensChunk]) -> Iterator[int]:
    for chunk in chunks:
        yield from range(chunk.first, chunk.first + chunk.count)


# --- climbing down -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("way", WAYS)
def test_what_was_refused_is_remembered_and_not_tried_again(anvil: Anvil, probe: bytes, way: Way) -> None:
    with reading(anvil.url, RULES[way]) as (reader, seen):
        for _ in range(3):
            reader.call(CALLS)
        refused = (seen.count(overrides), seen.count(creates))
        expected = {"override": (True, None), "deployless": (False, True)}.get(way, (False, False))
        assert (learned_of(reader).overrides, learned_of(reader).deployless) == expected
        if way != "override":
            assert refused[0] <= 1
        if way in ("multicall3", "single"):
            assert refused[1] <= 1
            with pytest.raises(OverridesRefused):
                list(reader.lens(lens_of(probe), [item(1)]))
            assert (seen.count(overrides), seen.count(creates)) == refused


def test_a_way_that_worked_and_is_refused_later_gives_way_to_the_next(anvil: Anvil, probe: bytes) -> None:
    left = [3, 3]

    def tires(request: Request) -> Say | None:
        if overrides(request):
            left[0] -= 1
            return refuse("state override is not supported") if left[0] < 0 else None
        if creates(request):
            left[1] -= 1
            return refuse("execution reverted", 3) if left[1] < 0 else None
        return None

    items = [item(n) for n in range(300)]
    with reading(anvil.url, tires, Options(lens_start=10, lens_gas=1_000_000, concurrency=1, hedge=False)) as (
        reader,
        _,
    ):
        recorder = RecordingReader(reader)
        covered: list[int] = []
        with pytest.raises(OverridesRefused):  # its caller asks for the rest by plain calls
            covered.extend(covering(recorder.lens(lens_of(probe, 20_000), items)))
        assert 0 < len(set(covered)) == len(covered) < len(items)
        ways = [reader.way]
        assert recorder.call(CALLS) == ANSWERS
        assert [*ways, reader.way] == ["deployless", "multicall3"]
        assert (learned_of(reader).overrides, learned_of(reader).deployless) == (False, False)
        recorder.recording.way = recorder.way
    replay, again = ReplayReader(recorder.recording), list[int]()
    with pytest.raises(OverridesRefused):
        again.extend(covering(replay.lens(lens_of(probe, 20_000), items)))
    assert sorted(again) == sorted(covered)
    assert replay.way == "multicall3"


def test_a_node_that_fails_at_everything_leaves_nothing_remembered(anvil: Anvil) -> None:
    broken = False

    def breaks(request: Request) -> Say | None:
        return refuse("invalid argument 1", -32602) if broken and is_call(request) else None

    with reading(anvil.url, breaks) as (reader, _):
        broken, before = True, msgspec.structs.replace(learned_of(reader))
        with pytest.raises(RpcError, match="invalid argument"):
            reader.call([Call(ECHO, b"a")] * 3)
        assert learned_of(reader) == before
        assert reader.way is None


# --- what comes back in a revert -----------------------------------------------------------------------------------


def answered(url: str, request: Request) -> dict[str, Any]:
    node = HTTPConnection(urlsplit(url).netloc, timeout=60)
    node.request("POST", "/", json.dumps(request), {"Content-Type": "application/json"})
    return dict(json.loads(node.getresponse().read()))


def reshaped(url: str, shape: Callable[[dict[str, Any]], Any]) -> Rule:
    """Refuse overrides, and give the error of a creation another shape."""

    def rule(request: Request) -> Say | None:
        if not creates(request):
            return no_overrides(request)
        answer = answered(url, request)
        return Say(shape(answer))

    return rule


def with_error(**changes: Any) -> Callable[[dict[str, Any]], Any]:
    def shape(answer: dict[str, Any]) -> Any:
        error = answer["error"]
        return {**answer, "error": {**error, **{k: v(error) if callable(v) else v for k, v in changes.items()}}}

    return shape


@pytest.mark.parametrize(
    "shape",
    [
        with_error(data=lambda error: {"data": error["data"]}),
        with_error(data=lambda error: "Reverted " + error["data"], message="VM execution error.", code=-32015),
        with_error(message="execution reverted", code=-32000),
        with_error(message="VM Exception while processing transaction: reverted with an unrecognized custom error"),
    ],
)
def test_nodes_that_give_revert_data_in_other_shapes_are_understood(
    anvil: Anvil, probe: bytes, shape: Callable[[dict[str, Any]], Any]
) -> None:
    with reading(anvil.url, reshaped(anvil.url, shape)) as (reader, _):
        assert reader.call(CALLS) == ANSWERS
        assert len(read_lens(reader, lens_of(probe), [item(n) for n in range(100)])) == 100
        assert reader.way == "deployless"


@pytest.mark.parametrize(
    "shape",
    [
        with_error(data=None),
        with_error(data="0x"),
        with_error(data="0x08c379a0" + "00" * 64),
        with_error(data=lambda error: error["data"][:-2]),
        with_error(data=lambda error: error["data"][:100]),
        with_error(data=lambda error: error["data"] + "00"),
        with_error(message="contract creation is not allowed", code=-32000, data=None),
        lambda answer: {"jsonrpc": "2.0", "id": answer["id"], "result": "0x"},
        lambda answer: {"jsonrpc": "2.0", "id": answer["id"], "result": "0x" + "01" * 64},
        lambda answer: {"jsonrpc": "2.0", "id": answer["id"], "result": answer["error"]["data"]},
    ],
)
def test_a_node_that_gives_no_whole_answer_in_a_revert_is_asked_by_plain_calls(
    anvil: Anvil, probe: bytes, shape: Callable[[dict[str, Any]], Any]
) -> None:
    with reading(anvil.url, reshaped(anvil.url, shape)) as (reader, seen):
        with pytest.raises(OverridesRefused):
            list(reader.lens(lens_of(probe), [item(1)]))
        assert reader.call(CALLS) == ANSWERS
        assert reader.way == "multicall3"
        assert seen.count(creates) <= 1


def test_a_contract_cannot_pass_off_its_revert_as_an_answer(anvil: Anvil) -> None:
    forged = b"liqbands.deployless.answer.....1" + word(1 << 128 | 3) + b"yes"
    for way in WAYS:
        with reading(anvil.url, RULES[way]) as (reader, _):
            assert reader.call([Call(REFUSE, forged), Call(ECHO, forged)]) == [Reverted(forged), forged]
            assert reader.call([Call(REFUSE, forged)]) == [Reverted(forged)]


# --- sizes ---------------------------------------------------------------------------------------------------------


def created_bytes(request: Request) -> int:
    return len(request["params"][0]["data"]) // 2 - 1 if creates(request) else 0


@pytest.mark.parametrize("most", [INITCODE_MOST, 10_000])
def test_creations_stay_within_what_the_node_takes(anvil: Anvil, probe: bytes, most: int) -> None:
    def limited(request: Request) -> Say | None:
        if created_bytes(request) > most:
            return refuse(f"max initcode size exceeded: code size {created_bytes(request)} limit {most}")
        return no_overrides(request)

    items = [item(n) for n in range(10_000)]
    with reading(anvil.url, limited) as (reader, seen):
        assert len(read_lens(reader, lens_of(probe), items)) == len(items)
        if most == INITCODE_MOST:
            assert seen.count(creates) <= 6
        calls = [Call(ECHO, word(n)) for n in range(5_000)]
        assert reader.call(calls) == [call.data for call in calls]
        assert reader.way == "deployless"
    sizes = [created_bytes(request) for request in seen.all if creates(request)]
    assert max(sizes) <= INITCODE_MOST
    refused = sum(size > most for size in sizes)
    assert refused <= (0 if most == INITCODE_MOST else 32)  # those in flight when the first is refused are refused too
    least = (len(items) * 20 + len(calls) * 56) // most
    assert len(sizes) - refused <= 2 * least + 12


def test_a_call_too_large_for_a_creation_is_asked_alone(anvil: Anvil) -> None:
    large = Call(ECHO, bytes(60_000))
    with reading(anvil.url, no_overrides) as (reader, _):
        assert reader.call([Call(ECHO, b"a"), large, Call(ECHO, b"b")]) == [b"a", large.data, b"b"]
        assert reader.way == "deployless"


def test_gas_that_runs_out_inside_is_no_answer(anvil: Anvil, probe: bytes) -> None:
    def cap(request: Request) -> Say | None:
        if is_call(request):
            request["params"][0]["gas"] = hex(3_000_000)
        return no_overrides(request)

    items = [item(n) for n in range(2_000)]
    with reading(anvil.url, cap) as (reader, seen):
        assert len(read_lens(reader, lens_of(probe, 20_000), items)) == 2_000
        assert reader.way == "deployless"
    assert seen.count(creates) < 2 * 2_000 * 21_000 / 2_700_000 + 20
    with reading(anvil.url, no_overrides) as (reader, _):
        assert reader.call([Call(ECHO, b"a")] * 2)  # the way has worked once
        with pytest.raises(RpcError, match=r"lens probe cannot read item 0x0{36}70ee"):
            list(reader.lens(lens_of(probe), [item(3), (0x70EE).to_bytes(20, "big"), item(4)]))
        with pytest.raises(RpcError, match=r"lens probe cannot read item 0x0{37}501: .*out of gas"):
            list(reader.lens(lens_of(probe, 10**9), [item(5)]))


@pytest.mark.parametrize(("cap", "most"), [(50_000_000, 4), (10_000_000, 19)])
@pytest.mark.parametrize("way", ["override", "deployless"])
def test_a_warm_run_makes_the_fewest_lens_calls(anvil: Anvil, probe: bytes, way: Way, cap: int, most: int) -> None:
    def clamp(request: Request) -> Say | None:
        if is_call(request):
            gas = int(request["params"][0].get("gas", hex(cap)), 16)
            request["params"][0]["gas"] = hex(min(gas, cap))
        return RULES[way](request)

    items, lens = [item(n) for n in range(9_000)], lens_of(probe, 18_000)
    counts = []
    with reading(anvil.url, clamp) as (reader, seen):
        learned_of(reader).gas_cap = cap
        for _ in range(2):
            before = seen.count()
            assert len(read_lens(reader, lens, items)) == len(items)
            counts.append(seen.count() - before)
    most += way == "deployless" and cap == 10_000_000  # creating takes gas as well
    assert counts[1] <= most
    assert counts[0] <= most + 2


# --- the code ------------------------------------------------------------------------------------------------------


def test_the_wrapper_is_what_its_source_compiles_to(toolchain: Toolchain) -> None:
    folder = Path(str(scanner.chain.__file__)).parent
    source = {"deployless.sol": (folder / "deployless.sol").read_text()}
    compiled = toolchain.compile(source, ["deployless.sol:Deployless"], evm_version="paris")

    code = (folder / "deployless.hex").read_text().strip()
    assert compiled["Deployless"].code == code
    assert creation(b"\x00", b"data").hex().startswith(code)


def test_older_recordings_name_their_way() -> None:
    demo = Path(str(scanner.chain.__file__)).parents[1] / "demo" / "aave-v3.6.rec"

    assert load(demo).way == "override"


def test_nothing_is_created_for_good(anvil: Anvil, probe: bytes) -> None:
    before = anvil.rpc("eth_getTransactionCount", "0x" + "00" * 20, "latest")
    with reading(anvil.url, no_overrides) as (reader, _):
        read_lens(reader, lens_of(probe), [item(1)])
    assert before == anvil.rpc("eth_getTransactionCount", "0x" + "00" * 20, "latest")


def another_state(number: int) -> Rule:
    """Answer every eth_call from the state of another block, whichever is asked for."""

    def rule(request: Request) -> Say | None:
        if request["method"] == "eth_call":
            request["params"][1] = hex(number)
        return None

    return rule


@pytest.mark.parametrize("way", ["override", "deployless", "multicall3"])
def test_the_state_of_another_block_is_no_answer(anvil: Anvil, probe: bytes, way: Way) -> None:
    anvil.rpc("anvil_mine", "0x1")
    old, refusing = another_state(1), RULES[way]
    with reading(anvil.url, lambda request: refusing(request) or old(request)) as (reader, _):
        with pytest.raises(ChainError, match="from the state of another one"):
            reader.call(CALLS)
        if way != "multicall3":
            with pytest.raises(ChainError, match="from the state of another one"):
                read_lens(reader, lens_of(probe), [item(1), item(2)])
