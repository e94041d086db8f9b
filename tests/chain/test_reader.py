"""The reader against a real node, and against the same node behind a proxy that misbehaves."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from scanner.chain.interface import Call, Lens, LogQuery, Reverted
from scanner.chain.options import Options
from scanner.chain.reader import RpcReader, open_reader
from scanner.chain.recording import load
from scanner.chain.replay import RecordingReader, ReplayReader
from scanner.devchain.anvil import Anvil
from scanner.devchain.toolchain import Toolchain
from scanner.errors import (
    BlockUnavailable,
    BlockUndone,
    ChainError,
    ConfigError,
    OverridesRefused,
    RecordingError,
    RpcError,
    WrongChainError,
)
from tests.chain.peers import MULTICALL3, multicall3_code
from tests.chain.proxy import Request, Rule, Say, ignore_overrides, no_overrides, proxy, refuse

pytestmark = pytest.mark.chain

HERE = Path(__file__).parent
ECHO, REFUSE, INVALID, HUNGRY, SWALLOW, BURN, STORE, EMPTY = ("0x" + f"{n:02x}" * 20 for n in range(0x11, 0x19))
CODE = {
    ECHO: "365f5f37365ff3",  # returns its calldata
    REFUSE: "365f5f37365ffd",  # reverts with its calldata
    INVALID: "fe",
    HUNGRY: "5a5b5a81035f351160015760015f5260205ff3",  # returns 1 after burning as much gas as calldata says
    # asks HUNGRY with all gas and returns whether it succeeded: hides that the gas ran out
    SWALLOW: f"365f5f375f5f365f73{HUNGRY[2:]}5afa5f5260205ff3",
    BURN: "5b5f56",  # loops for ever
    # without calldata returns slot 0; with calldata stores it there and logs it under topic 42
    STORE: "36600c575f545f5260205ff35b5f355f55365f5f37602a365fa100",
}
TOPIC = "0x" + f"{42:064x}"
QUICK = Options(attempts=3, patience=5, timeout=5)


def word(value: int) -> bytes:
    return value.to_bytes(32, "big")


def item(value: int) -> bytes:
    return (256 * value + 1).to_bytes(20, "big")


@pytest.fixture(scope="module")
def anvil(toolchain: Toolchain) -> Iterator[Anvil]:
    with Anvil(toolchain.anvil) as node:
        for address, code in CODE.items():
            node.rpc("anvil_setCode", address, "0x" + code)
        for value in range(1, 41):
            store(node, value)
        yield node


@pytest.fixture(scope="module")
def probe(toolchain: Toolchain) -> bytes:
    source = (HERE / "probe_lens.sol").read_text()
    compiled = toolchain.compile({"probe_lens.sol": source}, ["probe_lens.sol:ProbeLens"], evm_version="paris")
    return bytes.fromhex(compiled["ProbeLens"].runtime)


@pytest.fixture
def reader(anvil: Anvil) -> Iterator[RpcReader]:
    with open_reader(anvil.url) as opened:
        yield opened


def store(node: Anvil, value: int) -> None:
    data = "0x" + word(value).hex()
    sent = node.rpc("eth_sendTransaction", {"from": "0x" + "99" * 20, "to": STORE, "data": data, "gasPrice": "0x0"})
    while node.rpc("eth_getTransactionReceipt", sent) is None:
        time.sleep(0.001)


def lens_of(code: bytes, burn: int = 1_000) -> Lens:
    return Lens("probe", code, word(burn))


def read_lens(reader: RpcReader, lens: Lens, items: list[bytes]) -> dict[int, int]:
    """Give item position -> the value in its record, checking that the chunks cover every item once."""
    found, covered = {}, []
    for chunk in reader.lens(lens, items):
        covered += range(chunk.first, chunk.first + chunk.count)
        for at in range(0, len(chunk.records), 32):
            row = chunk.records[at : at + 32]
            found[chunk.first + int.from_bytes(row[:4], "big")] = int.from_bytes(row[4:], "big")
    assert sorted(covered) == list(range(len(items)))
    return found


class Counting:
    """A rule that counts the requests of each method and lets them pass."""

    def __init__(self, rule: Rule = lambda request: None) -> None:
        self.seen: dict[str, list[Request]] = {}
        self._rule = rule

    def __call__(self, request: Request) -> Say | None:
        self.seen.setdefault(request["method"], []).append(request)
        return self._rule(request)


# --- one block -----------------------------------------------------------------------------------------------------


def test_the_block_stands_still_while_the_chain_goes_on(anvil: Anvil) -> None:
    with open_reader(anvil.url) as reader:
        before = reader.call([Call(STORE, b""), Call(STORE, b"")])
        for value in (1_000, 1_001):
            store(anvil, value)
        assert reader.call([Call(STORE, b""), Call(STORE, b"")]) == before
        with open_reader(anvil.url, -2) as again:
            assert again.block == reader.block
            assert again.call([Call(STORE, b"")]) == before[:1]
    with open_reader(anvil.url) as after:
        assert after.call([Call(STORE, b"")]) == [word(1_001)]


def test_a_block_is_found_by_number_hash_tag_and_offset(anvil: Anvil) -> None:
    with open_reader(anvil.url, 7) as reader:
        block = reader.block
        assert (block.number, reader.chain_id, reader.hosts) == (7, 31337, (f"127.0.0.1:{anvil.port}",))
        assert reader.genesis_hash == anvil.rpc("eth_getBlockByNumber", "0x0", False)["hash"]
        assert reader.finalized_number() <= 7
    head = int(anvil.rpc("eth_blockNumber"), 16)
    for name in (block.hash, f"{7 - head}", "0x7"):
        with open_reader(anvil.url, name) as reader:
            assert reader.block == block
    with open_reader(anvil.url, "earliest") as reader:
        assert reader.block.number == 0


@pytest.mark.parametrize("block", [10**9, "0x" + "ab" * 32, -(10**9)])
def test_an_unknown_block_is_said_to_be_unknown(anvil: Anvil, block: int | str) -> None:
    with pytest.raises(BlockUnavailable, match="head"):
        open_reader(anvil.url, block, options=QUICK)


def test_a_pruned_state_is_said_to_need_an_archive_node(toolchain: Toolchain) -> None:
    with Anvil(toolchain.anvil, extra=["--prune-history", "4"]) as node:
        node.rpc("anvil_mine", "0x3c")
        with pytest.raises(BlockUnavailable, match="use an archive node or a newer block"):
            open_reader(node.url, 1, options=QUICK)


def test_a_pruned_trie_is_said_to_need_an_archive_node(anvil: Anvil) -> None:
    def prune(request: Request) -> Say | None:
        pruned = request["method"] in ("eth_getBalance", "eth_call")
        return refuse("missing trie node 1234 (path ) state is not available") if pruned else None

    with proxy(anvil.url, prune) as url, pytest.raises(BlockUnavailable, match="archive node"):
        open_reader(url, 3, options=QUICK)


def test_a_pin_by_number_is_checked_at_the_end(anvil: Anvil) -> None:
    moved = False

    def no_hashes(request: Request) -> Say | None:
        if request["method"] == "eth_getBlockByNumber" and moved:
            request["params"][0] = "0x3"
        by_hash = any(isinstance(p, dict) and "blockHash" in p for p in request["params"])
        return refuse("invalid argument 1: cannot unmarshal object", -32602) if by_hash else None

    with proxy(anvil.url, no_hashes) as url:
        with open_reader(url, 30) as reader:
            assert reader.call([Call(STORE, b"")]) != [word(0)]
        with pytest.raises(ChainError, match="reorganised"), open_reader(url, 30):
            moved = True


def test_finality_is_the_tag_or_64_blocks_and_never_above_the_pin(anvil: Anvil) -> None:
    def no_tag(request: Request) -> Say | None:
        tagged = request["params"][:1] == ["finalized"]
        return refuse("invalid argument 0: hex string without 0x prefix", -32602) if tagged else None

    anvil.rpc("anvil_mine", "0x50")
    head = int(anvil.rpc("eth_blockNumber"), 16)
    tag = int(anvil.rpc("eth_getBlockByNumber", "finalized", False)["number"], 16)
    assert 0 < tag < head
    with open_reader(anvil.url) as reader, open_reader(anvil.url, 3) as early:
        assert (reader.finalized_number(), early.finalized_number()) == (tag, 3)
    with proxy(anvil.url, no_tag) as url, open_reader(url) as reader:
        assert reader.finalized_number() == head - 64


def test_the_wrong_chain_is_refused(anvil: Anvil) -> None:
    with pytest.raises(WrongChainError, match="serves chain 31337, not 1;"):
        open_reader(anvil.url, expected_chain_id=1)


# --- endpoints that are none ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (Say(b"<html>s3cretkey</html>"), "not JSON-RPC"),
        (Say(b"<html>not here</html>", 404), "HTTP status 404"),
        (Say(b"", 302, {"Location": "http://127.0.0.1:1/s3cretkey"}), "HTTP status 302"),
        (Say({"error": "invalid api key s3cretkey"}, 401), "API key"),
        (refuse("your key s3cretkey \x1b[31mis unknown: unauthorized", status=403), "API key"),
        (Say({"jsonrpc": "2.0", "id": 1}), "neither result nor error"),
        (Say({"jsonrpc": "2.0", "id": 1, "result": {"a": "s3cretkey"}}), "unexpected result"),
        (Say(b"[]"), "not JSON-RPC"),
        (Say(b"", 0), "connection lost"),
    ],
)
def test_an_endpoint_that_answers_something_else_is_named_by_host_only(answer: Say, words: str) -> None:
    with proxy("", lambda request: answer) as url, pytest.raises(RpcError) as caught:
        open_reader(url, options=QUICK)
    shown = [str(caught.value), repr(caught.value)]
    assert words in shown[0]
    assert "127.0.0.1:" in shown[0]
    assert not any(secret in text for text in shown for secret in ("s3cret", "pa55word", "\x1b"))


def test_an_unreachable_endpoint_is_said_to_be_unreachable() -> None:
    started = time.monotonic()
    with pytest.raises(RpcError, match=r"127\.0\.0\.1:9: eth_chainId: cannot connect .*is the node running"):
        open_reader("http://127.0.0.1:9/s3cretkey")
    assert time.monotonic() - started < 2


def test_a_silent_endpoint_times_out(anvil: Anvil) -> None:
    def sleep(request: Request) -> Say:
        time.sleep(0.5)
        return Say(b"", 0)

    with proxy(anvil.url, sleep) as url, pytest.raises(RpcError, match="no answer in time"):
        open_reader(url, options=Options(timeout=0.1, attempts=2))


def test_a_url_of_another_scheme_is_a_mistake_of_the_user() -> None:
    with pytest.raises(ConfigError, match="https://"):
        open_reader("ws://node.example/s3cretkey")


# --- retries -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "answer",
    [
        Say(b"busy", 503),
        Say(b"", 0),
        refuse("rate limit exceeded", -32005),
        refuse("header not found"),
        refuse("slow down", -32005, 429),
    ],
)
def test_what_passes_is_tried_again(anvil: Anvil, answer: Say) -> None:
    failed = []

    def once(request: Request) -> Say | None:
        if request["method"] == "eth_call" and not failed:
            failed.append(request)
            return answer
        return None

    with proxy(anvil.url, once) as url, open_reader(url) as reader:
        assert reader.call([Call(ECHO, b"a")]) == [b"a"]
    assert failed


def test_retry_after_is_honoured(anvil: Anvil) -> None:
    times: list[float] = []

    def limit(request: Request) -> Say | None:
        if request["method"] == "eth_call":
            times.append(time.monotonic())
            if len(times) == 1:
                return refuse("too many requests", 429, 429, Retry_After="1")
        return None

    with proxy(anvil.url, limit) as url, open_reader(url) as reader:
        assert reader.call([Call(ECHO, b"a")]) == [b"a"]
    assert 1 <= times[1] - times[0] < 1.5


def test_a_pause_beyond_all_patience_is_not_waited_for(anvil: Anvil) -> None:
    started = time.monotonic()
    with (
        proxy(anvil.url, lambda request: refuse("too many requests", 429, 429, Retry_After="3600")) as url,
        pytest.raises(RpcError, match="higher limit"),
    ):
        open_reader(url)
    assert time.monotonic() - started < 1


def test_definite_answers_are_not_tried_again(anvil: Anvil) -> None:
    count = Counting()
    with proxy(anvil.url, count) as url, open_reader(url) as reader:
        count.seen.clear()
        assert reader.call([Call(REFUSE, b"no")]) == [Reverted(b"no")]
        with pytest.raises(RpcError, match=f"call of 0x78 to {BURN}: .*OutOfGas"):
            reader.call([Call(BURN, b"x")])
    assert len(count.seen["eth_call"]) == 2


# --- calls ---------------------------------------------------------------------------------------------------------

CALLS = [
    Call(ECHO, b"hello"),
    Call(REFUSE, b"nope"),
    Call(REFUSE, b""),
    Call(INVALID, b""),
    Call(EMPTY, b"abcd"),
    Call(ECHO, b""),
    Call(HUNGRY, word(20_000_000)),
    Call(SWALLOW, word(20_000_000)),
    Call(SWALLOW, word(1_000)),
    Call(ECHO, bytes(40_000)),
]
ANSWERS = [
    b"hello",
    Reverted(b"nope"),
    Reverted(b""),
    Reverted(b""),
    b"",
    b"",
    word(1),
    word(1),
    word(1),
    bytes(40_000),
]


@pytest.mark.parametrize("rule", [lambda request: None, no_overrides, ignore_overrides])
def test_batching_changes_no_answer(anvil: Anvil, rule: Rule) -> None:
    with proxy(anvil.url, rule) as url, open_reader(url) as reader:
        assert [reader.call([call])[0] for call in CALLS] == ANSWERS
        assert reader.call(CALLS) == ANSWERS
        assert reader.call(CALLS * 5) == ANSWERS * 5
        assert reader.call([]) == []


def test_many_calls_take_few_requests(anvil: Anvil) -> None:
    count = Counting()
    with proxy(anvil.url, count) as url, open_reader(url) as reader:
        answers = reader.call([Call(ECHO, word(n)) for n in range(3_000)])
    assert answers == [word(n) for n in range(3_000)]
    assert len(count.seen["eth_call"]) <= 12


def test_calls_that_together_need_too_much_gas_are_spread(anvil: Anvil) -> None:
    with open_reader(anvil.url, options=Options(gas=5_000_000)) as reader:
        assert reader.call([Call(HUNGRY, word(200_000))] * 100) == [word(1)] * 100


@pytest.mark.parametrize("at_most", [3_000_000, 30_000_000])
def test_a_node_that_refuses_the_gas_is_asked_without(anvil: Anvil, at_most: int) -> None:
    def cap(request: Request) -> Say | None:
        if request["method"] == "eth_call" and int(request["params"][0].pop("gas", "0x0"), 16) > at_most:
            return refuse("gas limit too high")
        return None

    with proxy(anvil.url, cap) as url, open_reader(url) as reader:
        assert reader.call([Call(ECHO, b"a"), Call(ECHO, b"b")]) == [b"a", b"b"]


def test_a_failing_node_is_not_a_reverting_contract(anvil: Anvil) -> None:
    def broken(request: Request) -> Say | None:
        return refuse("database is closed") if request["method"] == "eth_call" else None

    with proxy(anvil.url, broken) as url, open_reader(url) as reader, pytest.raises(RpcError, match="database"):
        reader.call([Call(ECHO, b"a")] * 3)


def test_overrides_replace_code_for_one_call(reader: RpcReader) -> None:
    answer_one = {EMPTY: bytes.fromhex("60015f5260205ff3")}

    assert reader.call([Call(EMPTY, b"x")], overrides=answer_one) == [word(1)]
    assert reader.call([Call(EMPTY, b"x"), Call(ECHO, b"y")], overrides=answer_one) == [word(1), b"y"]
    assert reader.call([Call(EMPTY, b"x")]) == [b""]


@pytest.mark.parametrize("rule", [no_overrides, ignore_overrides])
def test_overrides_that_are_not_taken_are_noticed(anvil: Anvil, probe: bytes, rule: Rule) -> None:
    with proxy(anvil.url, rule) as url, open_reader(url) as reader:
        with pytest.raises(OverridesRefused):
            reader.call([Call(EMPTY, b"x")], overrides={EMPTY: b"\x01"})
        assert read_lens(reader, lens_of(probe), [item(1)]) == {0: 257}
        assert reader.way == "deployless"


def test_multicall3_is_used_where_overrides_are_refused(anvil: Anvil, toolchain: Toolchain) -> None:
    anvil.rpc("anvil_setCode", MULTICALL3, multicall3_code(toolchain))
    anvil.rpc("anvil_mine", "0x1")
    count = Counting(no_overrides)
    try:
        with proxy(anvil.url, count) as url, open_reader(url) as reader:
            assert reader.call([Call(ECHO, word(n)) for n in range(1_000)]) == [word(n) for n in range(1_000)]
            assert len(count.seen["eth_call"]) <= 10
            assert reader.call(CALLS) == ANSWERS
    finally:
        anvil.rpc("anvil_setCode", MULTICALL3, "0x")
        anvil.rpc("anvil_mine", "0x1")


def test_the_aggregator_is_what_its_source_compiles_to(toolchain: Toolchain) -> None:
    import scanner.chain

    folder = Path(str(scanner.chain.__file__)).parent
    source = {"aggregator.sol": (folder / "aggregator.sol").read_text()}
    compiled = toolchain.compile(source, ["aggregator.sol:Aggregator"], evm_version="paris")

    assert compiled["Aggregator"].runtime == (folder / "aggregator.hex").read_text().strip()


# --- lens ----------------------------------------------------------------------------------------------------------


def test_a_lens_reads_every_item_once(reader: RpcReader, probe: bytes) -> None:
    items = [item(n) for n in range(20_000)]
    items[5] = items[19_999] = bytes(20)  # no record

    found = read_lens(reader, lens_of(probe), items)

    assert found == {n: 256 * n + 1 for n in range(20_000) if n not in (5, 19_999)}


@pytest.mark.parametrize("gas", [45_000_000, 4_000_000])
def test_a_lens_stays_below_a_cap_that_it_does_not_know(anvil: Anvil, probe: bytes, gas: int) -> None:
    def cap(request: Request) -> Say | None:
        if request["method"] == "eth_call":
            request["params"][0]["gas"] = hex(gas)
        return None

    count = Counting(cap)
    with proxy(anvil.url, count) as url, open_reader(url) as reader:
        assert len(read_lens(reader, lens_of(probe, 10_000), [item(n) for n in range(4_000)])) == 4_000
    assert len(count.seen["eth_call"]) < 4 * 4_000 * 11_000 / gas + 15


@pytest.mark.parametrize("answer", [refuse("execution reverted", 3), refuse("payload too large", status=413)])
def test_a_lens_is_split_when_a_request_was_too_large(anvil: Anvil, probe: bytes, answer: Say) -> None:
    def small_only(request: Request) -> Say | None:
        large = request["method"] == "eth_call" and len(request["params"][0]["data"]) > 2 * (32 + 20 * 30) + 2
        return answer if large else None

    with proxy(anvil.url, small_only) as url, open_reader(url) as reader:
        assert len(read_lens(reader, lens_of(probe), [item(n) for n in range(500)])) == 500


def test_a_lens_names_the_item_that_cannot_be_read(reader: RpcReader, probe: bytes) -> None:
    items = [item(n) for n in range(1_000)]
    items[700] = (0x70EE).to_bytes(20, "big")

    with pytest.raises(RpcError, match=r"lens probe cannot read item 0x0{36}70ee"):
        list(reader.lens(lens_of(probe), items))


def test_a_lens_that_is_left_early_leaves_the_reader_usable(reader: RpcReader, probe: bytes) -> None:
    chunks = reader.lens(lens_of(probe), [item(n) for n in range(20_000)])
    next(chunks)
    chunks.close()  # type: ignore[attr-defined]

    assert reader.call([Call(ECHO, b"a")]) == [b"a"]


# --- logs ----------------------------------------------------------------------------------------------------------


def wide(request: Request) -> bool:
    ranged = request["method"] == "eth_getLogs"
    return ranged and int(request["params"][0]["toBlock"], 16) - int(request["params"][0]["fromBlock"], 16) >= 5


def logs_of(reader: RpcReader, first: int, last: int) -> list[int]:
    """Give the logged values, checking order and that every block is covered."""
    values, covered, order = [], first - 1, []
    for until, logs in reader.logs(LogQuery((STORE,), (TOPIC,), first, last)):
        assert until > covered
        assert all(covered < log.block_number <= until for log in logs)
        covered = until
        order += [(log.block_number, log.log_index) for log in logs]
        values += [int.from_bytes(log.data, "big") for log in logs]
    assert covered == last
    assert order == sorted(order)
    return values


@pytest.mark.parametrize(
    "answer",
    [
        None,
        refuse("eth_getLogs is limited to 0 - 5 blocks range", -32602),
        refuse("block range is too wide", -32000),
        refuse("query returned more than 10000 results", -32005),
        refuse("query timeout exceeded", -32005),
    ],
)
def test_logs_come_in_order_and_none_is_skipped(anvil: Anvil, answer: Say | None) -> None:
    count = Counting(lambda request: answer if wide(request) else None)
    with proxy(anvil.url, count) as url, open_reader(url, 40) as reader:
        assert logs_of(reader, 0, 40) == list(range(1, 41))
        assert logs_of(reader, 7, 7) == [7]
        assert all(not logs for _, logs in reader.logs(LogQuery((STORE,), ("0x" + "00" * 32,), 0, 40)))
        assert list(reader.logs(LogQuery((STORE,), (TOPIC,), 10, 9))) == []


def test_addresses_are_split_where_an_endpoint_takes_few(anvil: Anvil) -> None:
    taken: list[int] = []

    def few(request: Request) -> Say | None:
        if request["method"] != "eth_getLogs":
            return None
        addresses = len(request["params"][0]["address"])
        if addresses > 2:
            return refuse("exceed max addresses or topics per search position", -32602)
        taken.append(addresses)
        return None

    others = tuple("0x" + f"{n:040x}" for n in range(1, 8))
    with proxy(anvil.url, few) as url, open_reader(url, 40, options=Options(range_start=10)) as reader:
        query = LogQuery((*others[:3], STORE, *others[3:]), (TOPIC,), 0, 40)
        values = [int.from_bytes(log.data, "big") for _, logs in reader.logs(query) for log in logs]
    assert values == list(range(1, 41))
    assert set(taken) <= {1, 2}


def test_small_steps_give_the_same_logs(anvil: Anvil) -> None:
    with open_reader(anvil.url, 40, options=Options(range_start=1, range_logs=2, concurrency=3)) as reader:
        assert logs_of(reader, 0, 40) == list(range(1, 41))


def test_a_block_whose_logs_cannot_be_read_is_named(anvil: Anvil) -> None:
    def poison(request: Request) -> Say | None:
        if request["method"] != "eth_getLogs":
            return None
        first, last = (int(request["params"][0][end], 16) for end in ("fromBlock", "toBlock"))
        return refuse("query returned more than 10000 results") if first <= 23 <= last else None

    seen: list[int] = []
    with proxy(anvil.url, poison) as url, open_reader(url, 40) as reader:
        with pytest.raises(RpcError, match="logs of block 23:"):
            seen.extend(last for last, _ in reader.logs(LogQuery((STORE,), (TOPIC,), 0, 40)))
        with pytest.raises(BlockUnavailable):
            list(reader.logs(LogQuery((STORE,), (TOPIC,), 0, 41)))
    assert all(last < 23 for last in seen)


def test_a_range_at_the_tip_that_takes_too_long_is_made_smaller_at_once(anvil: Anvil) -> None:
    wide: list[int] = []

    def slow(request: Request) -> Say | None:
        if request["method"] != "eth_getLogs":
            return None
        first, last = (int(request["params"][0][end], 16) for end in ("fromBlock", "toBlock"))
        if last - first < 5:
            return None
        wide.append(last - first + 1)
        time.sleep(0.8)
        return Say(b"", 0)

    quick = Options(attempts=5, timeout=0.4, first_pause=0.01, hedge=False, concurrency=1, range_start=16)
    with proxy(anvil.url, slow) as url, open_reader(url, 40, options=quick) as reader:
        assert logs_of(reader, 0, 40) == list(range(1, 41))
    # in the first batch, and alone; never again and again
    assert max(map(wide.count, wide)) <= 2, wide


# --- recordings ----------------------------------------------------------------------------------------------------


def test_a_recorded_block_replays_without_the_node(anvil: Anvil, probe: bytes, tmp_path: Path) -> None:
    lens, items = lens_of(probe), [item(n) for n in range(2_500)]

    def ask(reader: Any) -> list[Any]:
        rows = [(c.first, c.records) for c in sorted(reader.lens(lens, items), key=lambda c: c.first)]
        values = [log for _, logs in reader.logs(LogQuery((STORE,), (TOPIC,), 0, 40)) for log in logs]
        overrides = {EMPTY: bytes.fromhex("60015f5260205ff3")}
        found = {}
        for first, records in rows:
            for at in range(0, len(records), 32):
                position = first + int.from_bytes(records[at : at + 4], "big")
                found.setdefault(position, []).append(records[at + 4 : at + 32])
        return [reader.call(CALLS), reader.call(CALLS[:2], overrides=overrides), found, values, reader.block]

    files = []
    for n, options in enumerate((Options(), Options(concurrency=1, lens_start=3, batch_start=2, range_start=3))):
        with open_reader(anvil.url, 40, options=options) as reader:
            recorder = RecordingReader(reader)
            asked = ask(recorder)
            recorder.save(tmp_path / f"{n}.rec")
        files.append((tmp_path / f"{n}.rec").read_bytes())
    assert files[0] == files[1]
    assert len(files[0]) < 200_000

    replay = ReplayReader(tmp_path / "0.rec")
    assert ask(replay) == asked
    with pytest.raises(RecordingError, match="record it again with"):
        replay.call([Call(ECHO, b"something else")])
    assert load(tmp_path / "0.rec").hosts == (f"127.0.0.1:{anvil.port}",)


class Balancer:
    """Answers as the nodes behind one URL do: some requests get to one that is ``behind`` and says no word of it."""

    def __init__(self, head: int, behind: int, lagging: int) -> None:
        self._last = head - behind
        self._lagging = lagging
        self.batches = 0

        self._asked_of_it = 0  # requests of this batch that are left

    def batch(self, requests: list[Request]) -> None:
        if any(request["method"] == "eth_getLogs" for request in requests):
            self.batches += 1
            self._asked_of_it = len(requests) if self.batches <= self._lagging else 0

    def __call__(self, request: Request) -> Say | None:
        if not self._asked_of_it:
            return None
        self._asked_of_it -= 1
        if request["method"] == "eth_getLogs":
            request["params"][0]["toBlock"] = hex(min(int(request["params"][0]["toBlock"], 16), self._last))
        if request["method"] == "eth_getBlockByNumber" and int(request["params"][0], 16) > self._last:
            return Say({"jsonrpc": "2.0", "id": 1, "result": None})
        return None


def test_a_node_that_lags_and_gives_too_few_logs_is_asked_again(anvil: Anvil) -> None:
    nodes = Balancer(40, 3, lagging=2)
    quick = Options(lag_patience=0.2, lag_pause=0.01)
    with proxy(anvil.url, nodes, nodes.batch) as url, open_reader(url, 40, options=quick) as reader:
        assert logs_of(reader, 0, 40) == list(range(1, 41))
    assert nodes.batches > 2


def test_logs_of_a_node_that_never_catches_up_are_no_logs(anvil: Anvil) -> None:
    nodes = Balancer(40, 3, lagging=10**9)
    quick = Options(lag_patience=0.05, lag_pause=0.01)
    with (
        proxy(anvil.url, nodes, nodes.batch) as url,
        open_reader(url, 40, options=quick) as reader,
        pytest.raises(BlockUndone, match="differ in height"),
    ):
        logs_of(reader, 0, 40)
