"""How a reader is opened: in few requests, by what is known, on endpoints that lag, refuse and change."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from scanner.chain.interface import Block, Call, LogQuery
from scanner.chain.learned import Learned, LearnedStore
from scanner.chain.options import Options
from scanner.chain.reader import open_reader
from scanner.devchain.anvil import Anvil
from scanner.devchain.toolchain import Toolchain
from scanner.errors import BlockUnavailable, BlockUndone, ConfigError, RpcError, WrongChainError
from tests.chain.proxy import Request, Rule, Say, ignore_overrides, no_overrides, proxy, refuse

pytestmark = pytest.mark.chain

ECHO = "0x" + "11" * 20
CALLS = [Call(ECHO, bytes([n])) for n in range(1, 6)]
ANSWERS = [call.data for call in CALLS]
QUICK = Options(attempts=3, patience=5, timeout=5, first_pause=0.01, lag_patience=0.2, lag_pause=0.02)
KNOWN = {"by_hash": True, "overrides": True, "gas_cap": 50_000_000}


@pytest.fixture(scope="module")
def anvil(toolchain: Toolchain) -> Iterator[Anvil]:
    with Anvil(toolchain.anvil) as node:
        node.rpc("anvil_setCode", ECHO, "0x365f5f37365ff3")
        node.rpc("anvil_mine", "0x64")
        yield node


class Wire:
    """Counts HTTP requests, each as the list of its methods."""

    def __init__(self, rule: Rule = lambda request: None) -> None:
        self.posts: list[list[str]] = []
        self._inside = 0
        self._rule = rule

    def batch(self, batch: list[Request]) -> None:
        self.posts.append([request["method"] for request in batch])
        self._inside += len(batch)

    def __call__(self, request: Request) -> Say | None:
        if self._inside:
            self._inside -= 1
        else:
            self.posts.append([request["method"]])
        return self._rule(request)


def pinned_by_hash(request: Request) -> bool:
    return any(isinstance(param, dict) and "blockHash" in param for param in request["params"])


def no_hashes(request: Request) -> Say | None:
    refused = refuse("invalid argument 1: json: cannot unmarshal object into Go value of type string", -32602)
    return refused if pinned_by_hash(request) else None


def gas_at_most(most: int, *, silently: bool) -> Rule:
    def cap(request: Request) -> Say | None:
        if request["method"] != "eth_call":
            return None
        asked = int(request["params"][0].get("gas", hex(most)), 16)
        if asked > most and not silently:
            return refuse(f"gas limit too high: {asked}")
        request["params"][0]["gas"] = hex(min(asked, most))
        return None

    return cap


def head_of(anvil: Anvil) -> Block:
    raw = anvil.rpc("eth_getBlockByNumber", "latest", False)
    return Block(int(raw["number"], 16), raw["hash"], int(raw["timestamp"], 16))


# --- few requests --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("block", "posts"), [("latest", 2), (7, 2), ("finalized", 2), (-3, 3)])
def test_an_endpoint_is_opened_in_two_requests(anvil: Anvil, block: int | str, posts: int) -> None:
    wire, learned = Wire(), Learned()
    with proxy(anvil.url, wire, wire.batch) as url:
        reader = open_reader(url, block, learned=learned)
        assert len(wire.posts) == posts
        assert wire.posts[0][0] == "eth_chainId"
        assert wire.posts[-1] == ["eth_call"]
        reader.finalized_number()
        assert len(wire.posts) == posts
        assert reader.call(CALLS) == ANSWERS
        assert len(wire.posts) == posts + 1
        reader.finish()
        reader.close()
    assert (learned.by_hash, learned.overrides, learned.gas_cap) == (True, True, 50_000_000)


def test_an_endpoint_that_is_known_is_not_probed(anvil: Anvil) -> None:
    wire = Wire()
    with proxy(anvil.url, wire, wire.batch) as url, open_reader(url, learned=Learned(**KNOWN)) as reader:
        assert len(wire.posts) == 1
        assert reader.call(CALLS) == ANSWERS
        assert len(wire.posts) == 2


def test_what_a_reader_learned_is_kept_for_the_next(anvil: Anvil, tmp_path: Path) -> None:
    wire, store = Wire(no_overrides), LearnedStore(tmp_path)
    with proxy(anvil.url, wire, wire.batch) as url:
        for _ in range(2):
            wire.posts.clear()
            with open_reader(url, learned=store.load(url)) as reader:
                opened = len(wire.posts)
                assert reader.call(CALLS) == ANSWERS
            assert store.save(url, reader.learned)
        assert opened == 1
        assert store.load(url) == Learned(gas_cap=50_000_000, by_hash=True, overrides=False, deployless=True)


def test_hashes_that_came_with_the_opening_are_not_asked_again(anvil: Anvil) -> None:
    wire = Wire()
    with proxy(anvil.url, wire, wire.batch) as url, open_reader(url, also=(5, 17, 10**9)) as reader:
        opened = len(wire.posts)
        for number in (0, 5, 17):
            assert reader.block_hash(number) == anvil.rpc("eth_getBlockByNumber", hex(number), False)["hash"]
        assert len(wire.posts) == opened
        assert reader.block_hash(10**9) is None
        assert reader.block_hash(6) == anvil.rpc("eth_getBlockByNumber", "0x6", False)["hash"]


def test_an_endpoint_without_batches_is_opened_all_the_same(anvil: Anvil) -> None:
    learned = Learned()
    refused = refuse("batch requests are not supported", -32600)
    with (
        proxy(anvil.url, lambda request: None, lambda batch: refused) as url,
        open_reader(url, options=QUICK, learned=learned) as reader,
    ):
        assert reader.call(CALLS) == ANSWERS
    assert learned.batch == 0


def test_what_is_wrong_is_said_before_anything_is_probed(anvil: Anvil) -> None:
    wire = Wire()
    with proxy(anvil.url, wire, wire.batch) as url:
        with pytest.raises(ConfigError, match="expected a number"):
            open_reader(url, "newest")
        assert wire.posts == []
        with pytest.raises(WrongChainError, match="serves chain 31337, not 1;"):
            open_reader(url, expected_chain_id=1)
        assert len(wire.posts) == 1


def test_another_block_than_the_one_asked_for_is_not_taken(anvil: Anvil) -> None:
    def shifted(request: Request) -> Say | None:
        if request["params"][:1] == ["0x1e"]:
            request["params"][0] = "0x1d"
        return None

    with (
        proxy(anvil.url, shifted) as url,
        pytest.raises(BlockUnavailable, match=r"asked for block 30, .* gave block 29"),
    ):
        open_reader(url, 30)


# --- what one probe tells ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("rule", "known"),
    [
        (gas_at_most(10_000_000, silently=True), {"gas_cap": 10_000_000, "overrides": True}),
        (gas_at_most(10_000_000, silently=False), {"gas_cap": 10_000_000, "overrides": True}),
        (no_overrides, {"overrides": False, "deployless": True, "gas_cap": 50_000_000}),
        (ignore_overrides, {"overrides": False, "deployless": True, "gas_cap": 50_000_000}),
        (no_hashes, {"by_hash": False, "overrides": True, "gas_cap": 50_000_000}),
        (lambda r: no_hashes(r) or no_overrides(r), {"by_hash": False, "overrides": False, "deployless": True}),
    ],
    ids=["silent cap", "told cap", "no overrides", "ignored overrides", "no hashes", "neither"],
)
def test_an_endpoint_is_learned_by_opening_it(anvil: Anvil, rule: Rule, known: dict[str, object]) -> None:
    learned = Learned()
    with proxy(anvil.url, rule) as url, open_reader(url, options=QUICK, learned=learned) as reader:
        assert reader.call(CALLS) == ANSWERS
    assert {name: getattr(learned, name) for name in known} == known
    assert learned.by_hash is known.get("by_hash", True)
    wire = Wire(rule)
    with proxy(anvil.url, wire, wire.batch) as url, open_reader(url, options=QUICK, learned=learned):
        assert len(wire.posts) == 1


@pytest.mark.parametrize(
    "rule",
    [no_hashes, no_overrides, ignore_overrides, gas_at_most(3_000_000, silently=False),
     lambda r: no_hashes(r) or no_overrides(r)],
)  # fmt: skip
def test_a_wrong_memory_breaks_nothing(anvil: Anvil, rule: Rule) -> None:
    learned = Learned(**KNOWN)
    with proxy(anvil.url, rule) as url, open_reader(url, options=QUICK, learned=learned) as reader:
        assert reader.call(CALLS) == ANSWERS
        assert reader.call(CALLS[:1]) == ANSWERS[:1]
    if rule is no_hashes:
        assert learned.by_hash is False


def test_a_memory_of_refusals_breaks_nothing(anvil: Anvil) -> None:
    known = Learned(by_hash=False, overrides=False, deployless=False, batch=0, gas_cap=100_000)
    block = head_of(anvil)
    for name in ("latest", block.hash):
        with open_reader(anvil.url, name, learned=known) as reader:
            assert reader.block == block
            assert reader.call(CALLS) == ANSWERS


@pytest.mark.parametrize("known", [{}, KNOWN])
def test_a_pruned_state_is_named_whatever_is_known(anvil: Anvil, known: dict[str, object]) -> None:
    def prune(request: Request) -> Say | None:
        pruned = request["method"] in ("eth_call", "eth_getBalance", "eth_getCode")
        return refuse("missing trie node 1234 (path ) state is not available") if pruned else None

    learned = Learned(**known)  # type: ignore[arg-type]
    with (
        proxy(anvil.url, prune) as url,
        pytest.raises(BlockUnavailable, match="archive node"),
        open_reader(url, 3, options=QUICK, learned=learned) as reader,
    ):
        reader.call(CALLS)


def test_a_block_that_is_there_without_its_state_is_not_waited_for(anvil: Anvil) -> None:
    def stateless(request: Request) -> Say | None:
        stateful = request["method"] in ("eth_call", "eth_getBalance")
        return refuse("header not found") if stateful else None

    wire = Wire(stateless)
    with (
        proxy(anvil.url, wire, wire.batch) as url,
        pytest.raises(BlockUnavailable, match="has block 30 but not its state"),
    ):
        open_reader(url, 30, options=replace(QUICK, lag_patience=6.0))
    assert len(wire.posts) < 20


# --- lag and reorganisation ----------------------------------------------------------------------------------------


class Lagging:
    """Shows the chain only up to a block, until it was asked for a later one often enough."""

    def __init__(self, head: int, asks: int) -> None:
        self.head, self.left = head, asks

    def __call__(self, request: Request) -> Say | None:
        if self.left <= 0:
            return None
        if request["method"] == "eth_blockNumber":
            return Say({"jsonrpc": "2.0", "result": hex(self.head)})
        numbered = request["method"] == "eth_getBlockByNumber" and request["params"][0].startswith("0x")
        if numbered and int(request["params"][0], 16) > self.head:
            self.left -= 1
            return Say({"jsonrpc": "2.0", "result": None})
        if pinned_by_hash(request):
            return refuse("header not found")
        return None


def test_a_lagging_endpoint_is_waited_for(anvil: Anvil) -> None:
    block = head_of(anvil)
    lagging = Lagging(block.number - 2, asks=3)
    with proxy(anvil.url, lagging) as url, open_reader(url, block, options=QUICK) as reader:
        assert reader.block == block
        assert reader.call(CALLS) == ANSWERS
    assert lagging.left == 0


def test_an_endpoint_that_keeps_lagging_is_said_to_lag(anvil: Anvil) -> None:
    block = head_of(anvil)
    with (
        proxy(anvil.url, Lagging(block.number - 3, asks=10**6)) as url,
        pytest.raises(BlockUnavailable, match="lags 3 blocks behind") as caught,
    ):
        open_reader(url, block, options=QUICK)
    assert not isinstance(caught.value, BlockUndone)


def test_another_block_at_the_same_height_is_no_lag(anvil: Anvil) -> None:
    other = Block(50, "0x" + "ab" * 32, 0)
    started = time.monotonic()
    with pytest.raises(BlockUndone, match="not the canonical block 50"):
        open_reader(anvil.url, other)
    assert time.monotonic() - started < 1


class Sometime:
    """Lets everything pass until it is told to start; then it applies a rule to what is pinned."""

    def __init__(self, rule: Callable[[Request], Say | None]) -> None:
        self.on, self.rule = False, rule

    def __call__(self, request: Request) -> Say | None:
        return self.rule(request) if self.on else None


def test_a_block_that_is_undone_while_it_is_read_is_noticed_at_once(anvil: Anvil) -> None:
    def undone(request: Request) -> Say | None:
        if request["method"] == "eth_getBlockByNumber":
            request["params"][0] = "0x3"
        return refuse("header for hash not found") if pinned_by_hash(request) else None

    rule = Sometime(undone)
    with proxy(anvil.url, rule) as url:
        reader = open_reader(url, 30)
        rule.on = True
        started = time.monotonic()
        with pytest.raises(BlockUndone, match="reorganised away during the scan"):
            reader.call(CALLS)
        assert time.monotonic() - started < 1
        reader.close()


def test_an_endpoint_that_falls_behind_while_it_is_read_is_waited_for(anvil: Anvil) -> None:
    block = head_of(anvil)
    lagging = Lagging(block.number - 1, asks=3)
    rule = Sometime(lagging)
    with proxy(anvil.url, rule) as url, open_reader(url, block.number, options=QUICK) as reader:
        rule.on = True
        assert reader.call(CALLS) == ANSWERS
        assert lagging.left == 0
        lagging.left = 10**6
        with pytest.raises(BlockUndone, match="lags 1 block behind"):
            reader.call(CALLS)
        lagging.left = 0


def test_logs_of_an_undone_block_are_given_up_at_once(anvil: Anvil) -> None:
    def undone(request: Request) -> Say | None:
        if request["method"] == "eth_getBlockByNumber":
            request["params"][0] = "0x3"
        beyond = request["method"] == "eth_getLogs"
        return refuse("block range extends beyond current head block") if beyond else None

    rule = Sometime(undone)
    with proxy(anvil.url, rule) as url:
        reader = open_reader(url, 30)
        rule.on = True
        with pytest.raises(BlockUndone, match="reorganised away during the scan"):
            list(reader.logs(LogQuery((ECHO,), (), 0, 30)))
        reader.close()


def test_a_tag_that_a_node_does_not_know_costs_no_wait(anvil: Anvil) -> None:
    def no_tag(request: Request) -> Say | None:
        return refuse("finalized block not found") if request["params"][:1] == ["finalized"] else None

    wire = Wire(no_tag)
    with proxy(anvil.url, wire, wire.batch) as url:
        reader = open_reader(url)
        assert len(wire.posts) == 2
        assert reader.finalized_number() == head_of(anvil).number - 64
        reader.close()


def test_nodes_of_different_height_behind_one_url_are_asked_again(anvil: Anvil) -> None:
    refused: list[Request] = []

    def fickle(request: Request) -> Say | None:
        if pinned_by_hash(request) and len(refused) < 9:
            refused.append(request)
            return refuse("header not found")
        return None

    rule = Sometime(fickle)
    with proxy(anvil.url, rule) as url, open_reader(url, options=QUICK) as reader:
        rule.on = True
        assert reader.call(CALLS) == ANSWERS
    assert len(refused) == 9


def test_a_block_that_is_known_and_never_given_ends_the_read(anvil: Anvil) -> None:
    rule = Sometime(lambda request: refuse("header not found") if pinned_by_hash(request) else None)
    with proxy(anvil.url, rule) as url:
        reader = open_reader(url, options=QUICK)
        rule.on = True
        with pytest.raises(BlockUndone, match="known and then again not"):
            reader.call(CALLS)
        reader.close()


def test_a_failure_that_is_none_of_the_block_is_passed_on(anvil: Anvil) -> None:
    def broken(request: Request) -> Say | None:
        return refuse("database is closed") if request["method"] == "eth_call" else None

    for learned in (Learned(), Learned(**KNOWN)):
        with (
            proxy(anvil.url, broken) as url,
            open_reader(url, options=QUICK, learned=learned) as reader,
            pytest.raises(RpcError, match="database is closed"),
        ):
            reader.call(CALLS)


def changed(anvil: Anvil, name: str, value: str, *, genesis: bool = False) -> Rule:
    """Give blocks with one field that no block has; ``genesis``: block 0, else the others."""

    def rule(request: Request) -> Say | None:
        if not request["method"].startswith("eth_getBlockBy") or (request["params"][0] == "0x0") is not genesis:
            return None
        return Say(
            {"jsonrpc": "2.0", "id": 1, "result": anvil.rpc(request["method"], *request["params"]) | {name: value}}
        )

    return rule


@pytest.mark.parametrize("genesis", [False, True])
@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("hash", "0x/../../../" + "e" * 55),
        ("hash", "0x\x1b[2J" + "e" * 60),
        ("hash", "0x" + "e" * 63),
        ("number", "-0x1"),
        ("number", hex(2**70)),
        ("number", "0x1_0"),
        ("timestamp", "-0x5"),
        ("timestamp", hex(2**40)),
        ("timestamp", " 0x5"),
    ],
)
def test_a_block_with_a_field_that_no_block_has_is_refused(
    anvil: Anvil, name: str, value: str, *, genesis: bool
) -> None:
    """A hash of block 0 names a file, a time goes into the arithmetic, both are shown."""
    with (
        proxy(anvil.url, changed(anvil, name, value, genesis=genesis)) as url,
        pytest.raises(RpcError, match="unexpected result"),
        open_reader(url, options=QUICK),
    ):
        pass


@pytest.mark.parametrize("value", ["0x0", "-0x1", "0x7a_69", hex(2**70), "0x"])
@pytest.mark.parametrize("method", ["eth_chainId", "eth_blockNumber"])
def test_a_number_that_cannot_be_meant_is_refused(anvil: Anvil, method: str, value: str) -> None:
    def rule(request: Request) -> Say | None:
        return Say({"jsonrpc": "2.0", "id": 1, "result": value}) if request["method"] == method else None

    wrong: tuple[type[Exception], ...] = (RpcError,) if method == "eth_chainId" else (RpcError, BlockUnavailable)
    with proxy(anvil.url, rule) as url, pytest.raises(wrong), open_reader(url, -1, options=QUICK):
        pass
