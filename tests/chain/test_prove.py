"""A market is proven against the block's state root; an endpoint that lies about any part of it is caught and named."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, fields, replace
from functools import cache
from typing import Any
from urllib.request import Request as HttpRequest
from urllib.request import urlopen

import polars as pl
import pytest

from scanner.chain.lenses import LENS
from scanner.chain.options import Options
from scanner.chain.proofs import ProvenState, mapping_slot
from scanner.chain.provable import Answered, Provable, SlotsAnswered, Wanted
from scanner.chain.reader import RpcReader, open_reader
from scanner.chain.replay import RecordingReader, ReplayReader
from scanner.devchain import Anvil, DevMarket
from scanner.devchain.market import Kind
from scanner.devchain.toolchain import Toolchain
from scanner.errors import ChainError, ConfigError, DecodeError, ProofMismatch, RpcError
from scanner.protocols.aave_v3 import state_proofs, storage
from scanner.protocols.aave_v3.detail import COLLATERAL, DEBT, STABLE_DEBT, AaveDetail
from scanner.protocols.aave_v3.protocol import AaveV3
from scanner.protocols.aave_v3.records import OVERSIZE
from scanner.protocols.interface import Market
from scanner.results import ProofReport, ReserveProof
from scanner.risk.rules import Positions
from tests.chain.peers import small_market
from tests.chain.proxy import Request, Rule, Say, proxy, refuse

pytestmark = pytest.mark.chain

AAVE = AaveV3()
BORROWERS = 60
QUICK = Options(attempts=2, patience=5, timeout=20)
RECORD = 32
SIDE = 6  # byte of a lens record
VALUE = slice(16, 32)


@dataclass(frozen=True)
class World:
    """What was read of a market."""

    market: Market
    positions: Positions
    totals: tuple[ReserveProof, ...]

    @property
    def detail(self) -> AaveDetail:
        assert isinstance(self.market.detail, AaveDetail)
        return self.market.detail

    def with_detail(self, **changes: Any) -> World:
        return replace(self, market=replace(self.market, detail=replace(self.detail, **changes)))

    def with_state(self, state: pl.DataFrame) -> World:
        return replace(self, positions=replace(self.positions, state=state))


def read(chain: RpcReader, market: DevMarket) -> World:
    read_market = AAVE.read_market(chain, market.root, "dev")
    positions = AAVE.read_positions(chain, read_market, [member.address for member in market.members])
    return World(read_market, positions, tuple(AAVE.debt_totals(chain, read_market, positions)))


def prove(chain: Any, world: World, how: Any = "all") -> ProofReport:
    return AAVE.prove(chain, world.market, world.positions, world.totals, how)


@pytest.fixture(scope="module")
def small_of(toolchain: Toolchain) -> Iterator[Callable[[Kind], DevMarket]]:
    nodes: list[Anvil] = []

    @cache
    def make(kind: Kind) -> DevMarket:
        anvil = Anvil(toolchain.anvil)
        nodes.append(anvil)
        return small_market(anvil.__enter__(), toolchain, kind, BORROWERS)

    yield make
    for node in nodes:
        node.__exit__(None, None, None)


@pytest.fixture(params=["3.6", "3.0"])
def dev(request: pytest.FixtureRequest, small_of: Callable[[Kind], DevMarket]) -> DevMarket:
    return small_of(request.param)


@pytest.fixture
def chain(dev: DevMarket) -> Iterator[RpcReader]:
    with open_reader(dev.anvil.url, options=QUICK) as opened:
        yield opened


class Kept:
    """A reader that asks for each proof once: comparing again what was tampered with costs no request."""

    def __init__(self, chain: RpcReader) -> None:
        self._chain = chain
        self.block, self.hosts = chain.block, chain.hosts
        self._proofs: dict[tuple[str, tuple[int, ...]], list[SlotsAnswered]] = {}

    def header(self) -> Answered:
        return self._chain.header()

    def proofs(self, wanted: Wanted) -> Iterator[SlotsAnswered]:
        for address, slots in wanted.items():
            key = (address, tuple(slots))
            if key not in self._proofs:
                self._proofs[key] = list(self._chain.proofs({address: slots}))
            yield from self._proofs[key]


# --- what is true is proven ----------------------------------------------------------------------------------------


def test_a_market_is_proven(dev: DevMarket, chain: RpcReader) -> None:
    world = read(chain, dev)
    report = prove(chain, world)
    assert (report.how, report.accounts, report.of) == ("all", BORROWERS, BORROWERS)
    assert report.values > 20 * len(world.detail.reserves) + world.positions.state.height
    sample = prove(chain, world, "sample")
    assert (sample.how, sample.accounts, sample.of) == ("sample", state_proofs.SAMPLE, BORROWERS)
    assert sample.values < report.values
    assert f"50 of {BORROWERS} accounts" in sample.detection


def test_accounts_without_anything_and_without_totals_are_proven(dev: DevMarket, chain: RpcReader) -> None:
    market = AAVE.read_market(chain, dev.root, "dev")
    positions = AAVE.read_positions(chain, market, ["0x" + "e7" * 20, "0x" + "e8" * 20])
    assert prove(chain, World(market, positions, ())).accounts == 2


def test_the_sample_is_drawn_anew_each_time(dev: DevMarket, chain: RpcReader, monkeypatch: pytest.MonkeyPatch) -> None:
    world, drawn = read(chain, dev), []
    monkeypatch.setattr(
        state_proofs, "compare_accounts", lambda *rest: drawn.append(tuple(rest[-1].accounts["position"]))
    )
    kept = Kept(chain)
    for _ in range(4):
        prove(kept, world, "sample")
    assert len({len(set(accounts)) for accounts in drawn}) == 1
    assert len(set(drawn)) > 1


def test_a_layout_that_is_not_where_it_was_expected_is_found(
    dev: DevMarket, chain: RpcReader, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = read(chain, dev)
    monkeypatch.setattr(storage, "_POOL_HINT", 3)
    monkeypatch.setattr(storage, "_TOKEN_HINTS", (7, 9))
    assert prove(chain, world).accounts == BORROWERS


def test_a_layout_that_is_not_found_is_an_error(
    dev: DevMarket, chain: RpcReader, monkeypatch: pytest.MonkeyPatch
) -> None:
    world, kept = read(chain, dev), Kept(chain)
    monkeypatch.setattr(storage, "_BASES", range(20))
    for hint, what in (("_TOKEN_HINTS", "the balances of token"), ("_POOL_HINT", "the reserves of pool")):
        monkeypatch.setattr(storage, hint, (7, 9) if hint == "_TOKEN_HINTS" else 3)
        with pytest.raises(ChainError, match=rf"{what} 0x\w+ cannot be proven: they lie nowhere") as raised:
            prove(kept, world)
        assert raised.value.exit_code == 3


def test_slots_are_asked_for_in_parts(dev: DevMarket) -> None:
    def few(request: Request) -> Say | None:
        if request["method"] == "eth_getProof" and len(request["params"][1]) > 40:
            return refuse("too many storage keys: 200, most 40", -32602)
        return None

    with proxy(dev.anvil.url, few) as url, open_reader(url, options=QUICK) as chain:
        assert prove(chain, read(chain, dev)).accounts == BORROWERS


def test_a_node_that_takes_no_hash_is_asked_by_number(dev: DevMarket) -> None:
    def by_number(request: Request) -> Say | None:
        if request["method"] == "eth_getProof" and not isinstance(request["params"][2], str):
            return refuse("invalid argument 2: hex string without 0x prefix", -32602)
        return None

    with proxy(dev.anvil.url, by_number) as url, open_reader(url, options=QUICK) as chain:
        assert prove(chain, read(chain, dev), "sample").accounts == 50


@pytest.mark.parametrize(
    ("message", "code", "told"),
    [
        ("the method eth_getProof does not exist/is not available", -32601, "--prove needs an endpoint that offers"),
        ("distance to target block exceeds maximum proof window", -32000, "--prove needs an archive node"),
        ("missing trie node 12ab", -32000, "--prove needs an archive node"),
    ],
)
def test_an_endpoint_without_proofs_is_told(dev: DevMarket, message: str, code: int, told: str) -> None:
    def without(request: Request) -> Say | None:
        return refuse(message, code) if request["method"] == "eth_getProof" else None

    with proxy(dev.anvil.url, without) as url, open_reader(url, options=QUICK) as chain:
        world = read(chain, dev)
        with pytest.raises(ChainError, match=told) as raised:
            prove(chain, world)
    assert chain.hosts[0] in str(raised.value)
    assert "s3cretkey" not in str(raised.value)
    assert raised.value.exit_code == 3


def test_a_recording_has_no_proofs(dev: DevMarket, chain: RpcReader, tmp_path: Any) -> None:
    recorder = RecordingReader(chain)
    world = read(recorder, dev)  # type: ignore[arg-type]
    recorder.recording.notes = {}
    recorder.save(tmp_path / "market.rec")
    with ReplayReader(tmp_path / "market.rec") as replayed, pytest.raises(ConfigError, match="a recording has none"):
        prove(replayed, world)


# --- every value that is said to be proven is compared -------------------------------------------------------------

PLAIN = {"symbol", "asset", "id"}


def changed(value: Any) -> Any:
    if isinstance(value, bool):
        return not value
    if isinstance(value, str):
        return value[:-1] + ("0" if value[-1] != "0" else "1")
    return value + 1


def caught(kept: Provable, world: World, *told: str) -> None:
    with pytest.raises(ProofMismatch) as raised:
        prove(kept, world)
    for text in (kept.hosts[0], "read", "proven", *told):
        assert text in str(raised.value)


def test_any_change_to_a_reserve_is_seen(dev: DevMarket, chain: RpcReader) -> None:
    world, kept = read(chain, dev), Kept(chain)
    first, *rest = world.detail.reserves
    for field in fields(first):
        value = getattr(first, field.name)
        never = field.name == "emode_category" and not world.detail.legacy_emode
        if field.name == "symbol" or value is None or never:
            continue
        if field.name == "id":
            value = 126
        lie = world.with_detail(reserves=(replace(first, **{field.name: changed(value)}), *rest))
        caught(kept, lie, *([first.symbol] if field.name not in PLAIN else []))
    caught(kept, world.with_detail(reserves=tuple(rest)), "assets of dev")


def test_any_change_to_an_emode_is_seen(dev: DevMarket, chain: RpcReader) -> None:
    world, kept = read(chain, dev), Kept(chain)
    for mode in world.detail.emodes.values():
        for field in fields(mode):
            value = getattr(mode, field.name)
            bitmap = field.name.endswith("bitmap") and (world.detail.legacy_emode or value is None)
            if field.name in ("id", "label") or value is None or bitmap:
                continue
            emodes = {**world.detail.emodes, mode.id: replace(mode, **{field.name: changed(value)})}
            caught(kept, world.with_detail(emodes=emodes), f"{field.name} of e-mode {mode.id}")
        without = {number: other for number, other in world.detail.emodes.items() if number != mode.id}
        caught(kept, world.with_detail(emodes=without), f"e-mode {mode.id}")


def test_another_pool_oracle_or_revision_is_seen(small_of: Callable[[Kind], DevMarket]) -> None:
    dev = small_of("3.6")
    with open_reader(dev.anvil.url) as chain:
        world, kept = read(chain, dev), Kept(chain)
        other = world.detail.reserves[0].atoken
        caught(kept, world.with_detail(pool=other), f"pool of {dev.root}: read {other}, proven {dev.pool}")
        caught(kept, world.with_detail(oracle=other), f"price oracle of {dev.root}")
        caught(kept, replace(world, market=replace(world.market, revision=9)), "revision of pool", "proven 10")


def test_any_change_to_total_debt_is_seen(dev: DevMarket, chain: RpcReader) -> None:
    world, kept = read(chain, dev), Kept(chain)
    assert {total.proof for total in world.totals} == ({"exact", "bounded"} if dev.kind == "3.0" else {"exact"})
    for at in (0, len(world.totals) // 2, len(world.totals) - 1):
        total, lie = world.totals[at], list(world.totals)
        lie[at] = replace(total, scaled_total=total.scaled_total + 1)
        caught(kept, replace(world, totals=tuple(lie)), f"total debt of {total.symbol}")


def test_any_change_to_an_account_is_seen(dev: DevMarket, chain: RpcReader) -> None:
    world, kept = read(chain, dev), Kept(chain)
    state, names = world.positions.state, world.positions.accounts["position"]
    tokens = {reserve.id: reserve for reserve in world.detail.reserves}
    sides = sorted(set(state["side"]))
    assert sides == ([COLLATERAL, DEBT, STABLE_DEBT] if dev.kind == "3.0" else [COLLATERAL, DEBT])
    for side in sides:
        legs = state.with_row_index("at").filter(pl.col("side") == side)
        for leg in legs[[0, -1]].iter_rows(named=True):
            account, reserve = names[leg["row"]], tokens[leg["reserve_id"]]
            here = pl.int_range(pl.len()) == leg["at"]
            columns = ["scaled", "rate", "updated"] if side == STABLE_DEBT else ["scaled"]
            for column in columns:
                lie = state.with_columns(pl.when(here).then(pl.col(column) + 1).otherwise(column).alias(column))
                caught(kept, world.with_state(lie), account, reserve.symbol, str(leg[column] + 1), str(leg[column]))
            only = state.filter((pl.col("row") == leg["row"]) & (pl.col("reserve_id") == leg["reserve_id"])).height == 1
            caught(kept, world.with_state(state.filter(~here)), account, "configuration" if only else "")
    lie = world.positions.accounts.with_columns((pl.col("emode_category") + 1).alias("emode_category"))
    caught(kept, replace(world, positions=replace(world.positions, accounts=lie)), "e-mode of 0x", "more")


def test_a_leg_that_no_contract_keeps_is_not_passed_over(dev: DevMarket, chain: RpcReader) -> None:
    """It would be counted beside those that are proven."""
    world, kept = read(chain, dev), Kept(chain)
    state = world.positions.state
    debt = state.filter(pl.col("side") == DEBT)[:1]
    with pytest.raises(ProofMismatch, match="twice"):
        prove(kept, world.with_state(pl.concat([state, debt])))
    for side in (STABLE_DEBT, 5) if dev.kind == "3.6" else (5,):
        beside = debt.with_columns(pl.lit(side, pl.UInt8).alias("side"))
        with pytest.raises(ProofMismatch, match=f"side {side} in .* which no contract keeps"):
            prove(kept, world.with_state(pl.concat([state, beside])))


# --- endpoints that lie --------------------------------------------------------------------------------------------


@contextmanager
def liar(dev: DevMarket, change: Callable[[Request, Any], Any]) -> Iterator[RpcReader]:
    """Open an endpoint whose answers are changed on their way; None leaves an answer as it is."""

    def ask(request: Request) -> Any:
        wanted = HttpRequest(dev.anvil.url, json.dumps(request).encode(), {"Content-Type": "application/json"})  # noqa: S310
        with urlopen(wanted, timeout=30) as answer:  # noqa: S310
            return json.load(answer)

    def rule(request: Request) -> Say | None:
        body = ask(request)
        if "result" in body and (lie := change(request, body["result"])) is not None:
            body["result"] = lie
        return Say(body)

    with proxy(dev.anvil.url, rule) as url, open_reader(url, options=QUICK) as opened:
        yield opened


def is_lens(request: Request) -> bool:
    return request["method"] == "eth_call" and request["params"][0].get("to") == LENS


def records(result: str) -> list[bytearray]:
    raw = bytes.fromhex(result[2:])
    return [bytearray(raw[at : at + RECORD]) for at in range(0, len(raw), RECORD)]


def written(words: list[bytearray]) -> str:
    return "0x" + b"".join(words).hex()


@pytest.mark.parametrize("side", [COLLATERAL, DEBT])
def test_a_balance_changed_in_the_lens_is_caught(dev: DevMarket, side: int) -> None:
    lies: list[tuple[int, int]] = []

    def change(request: Request, result: Any) -> Any:
        if not is_lens(request):
            return None
        *found, gas = records(result)
        word = next(word for word in found if word[SIDE] == side)
        value = int.from_bytes(word[VALUE], "big")
        lies.append((value * 2 // 3, value))
        word[VALUE] = lies[-1][0].to_bytes(16, "big")
        return written([*found, gas])

    with liar(dev, change) as chain:
        world = read(chain, dev)
        with pytest.raises(ProofMismatch) as raised:
            prove(chain, world)
    told = str(raised.value)
    lie, truth = lies[0]
    assert f"read {lie}, proven {truth}" in told
    assert chain.hosts[0] in told
    assert any(member.address in told for member in dev.members)
    assert any(reserve.atoken in told or reserve.vtoken in told for reserve in world.detail.reserves)
    assert raised.value.exit_code == 3


@pytest.mark.parametrize("sides", [(2, 3), (1,), (5,)])
def test_records_added_in_the_lens_are_refused(small_of: Callable[[Kind], DevMarket], sides: tuple[int, ...]) -> None:
    dev = small_of("3.6")

    def change(request: Request, result: Any) -> Any:
        if not is_lens(request):
            return None
        *found, gas = records(result)
        told = []
        for word in found:
            told.append(word)
            if word[SIDE] == DEBT:
                told += [word[:SIDE] + bytes([side]) + word[SIDE + 1 :] for side in sides]
        return written([*told, gas])

    with liar(dev, change) as chain, pytest.raises(DecodeError, match="the lens gave a record"):
        read(chain, dev)


def test_an_account_that_is_too_large_only_in_the_lens_is_caught(dev: DevMarket) -> None:
    """It would be skipped, and nothing else of it compared."""

    def change(request: Request, result: Any) -> Any:
        if not is_lens(request):
            return None
        *found, gas = records(result)
        word = next(word for word in found if word[SIDE] == COLLATERAL)
        word[SIDE] |= OVERSIZE
        word[VALUE] = bytes(16)
        return written([*found, gas])

    with liar(dev, change) as chain:
        world = read(chain, dev)
        (skipped,) = world.positions.skipped["position"]
        for how in ("all", "sample"):
            with pytest.raises(ProofMismatch, match=f"amounts of account {skipped}: read too large") as raised:
                prove(chain, world, how)
    assert chain.hosts[0] in str(raised.value)


def test_an_account_that_is_too_large_is_proven_to_be(dev: DevMarket) -> None:
    snapshot = dev.snapshot()
    try:
        with open_reader(dev.anvil.url) as chain:
            world = read(chain, dev)
        few = {reserve.id: reserve for reserve in world.detail.reserves if reserve.decimals <= 8}
        legs = world.positions.state.filter((pl.col("side") == COLLATERAL) & pl.col("reserve_id").is_in(list(few)))
        leg = legs.row(0, named=True)
        account, token = world.positions.accounts["position"][leg["row"]], few[leg["reserve_id"]].atoken
        slot = hex(mapping_slot(account, 52))
        word = int(dev.anvil.rpc("eth_getStorageAt", token, slot, "latest"), 16)
        dev.anvil.rpc("anvil_setStorageAt", token, f"{int(slot, 16):#066x}", f"{word | 2**120 - 1:#066x}")
        dev.anvil.rpc("anvil_mine", "0x1")
        with open_reader(dev.anvil.url) as chain:
            world = read(chain, dev)
            assert world.positions.skipped["position"].to_list() == [account]
            assert prove(chain, world).accounts == BORROWERS - 1
    finally:
        dev.revert(snapshot)


def test_balances_changed_for_everybody_are_a_mismatch_and_not_an_unknown_layout(dev: DevMarket) -> None:
    def change(request: Request, result: Any) -> Any:
        if not is_lens(request):
            return None
        *found, gas = records(result)
        for word in found:
            word[VALUE] = (int.from_bytes(word[VALUE], "big") // 2 + 7).to_bytes(16, "big")
        return written([*found, gas])

    with liar(dev, change) as chain:
        world = read(chain, dev)
        with pytest.raises(ProofMismatch, match=r"scaled .* more"):
            prove(chain, world, "sample")


def test_a_configuration_changed_in_the_lens_is_caught(dev: DevMarket) -> None:
    def change(request: Request, result: Any) -> Any:
        if not is_lens(request):
            return None
        *found, gas = records(result)
        hidden = next(at for at, word in enumerate(found) if word[SIDE] == DEBT)
        return written([*found[:hidden], *found[hidden + 1 :], gas])

    with liar(dev, change) as chain:
        world = read(chain, dev)
        with pytest.raises(ProofMismatch, match=r"configuration of 0x\w{40}: read 0x\w+, proven 0x"):
            prove(chain, world)


def test_an_index_changed_on_its_way_is_caught(dev: DevMarket) -> None:
    with open_reader(dev.anvil.url) as honest:
        reserve = max(read(honest, dev).detail.reserves, key=lambda reserve: reserve.debt_index)
    index = f"{reserve.debt_index:064x}"

    def change(request: Request, result: Any) -> Any:
        called = request["method"] == "eth_call"
        return result.replace(index, f"{reserve.debt_index * 9 // 10:064x}") if called and index in result else None

    with liar(dev, change) as chain:
        world = read(chain, dev)
        with pytest.raises(
            ProofMismatch,
            match=rf"variable borrow index of {reserve.symbol}: read \d+, proven {reserve.debt_index}",
        ):
            prove(chain, world, "sample")


def test_answers_of_an_old_block_are_caught(small_of: Callable[[Kind], DevMarket]) -> None:
    dev = small_of("3.6")
    before = dev.anvil.rpc("eth_blockNumber")
    snapshot = dev.snapshot()
    try:
        dev.anvil.rpc("evm_increaseTime", 3600)
        account = dev.members[3].address
        with open_reader(dev.anvil.url) as chain:
            world = read(chain, dev)
        row = world.positions.accounts.filter(pl.col("position") == account)["row"].item()
        leg = world.positions.state.filter((pl.col("row") == row) & (pl.col("side") == COLLATERAL)).row(0, named=True)
        token = next(reserve.atoken for reserve in world.detail.reserves if reserve.id == leg["reserve_id"])
        slot = hex(mapping_slot(account, 52))
        word = int(dev.anvil.rpc("eth_getStorageAt", token, slot, "latest"), 16)
        dev.anvil.rpc("anvil_setStorageAt", token, f"{int(slot, 16):#066x}", f"{word - word % 2**120 + 5:#066x}")
        dev.anvil.rpc("anvil_mine", "0x1")

        def old_calls(request: Request) -> Say | None:
            if request["method"] == "eth_call":
                request["params"][1] = before
            return None

        def old_proofs(request: Request) -> Say | None:
            if request["method"] == "eth_getProof":
                request["params"][2] = before
            return None

        def old_proofs_and_header(request: Request) -> Say | None:
            old_proofs(request)
            if request["method"] == "eth_getBlockByHash":
                request.update(method="eth_getBlockByNumber", params=[before, False])
            return None

        with open_reader(dev.anvil.url) as chain:
            assert prove(chain, read(chain, dev)).accounts == BORROWERS
            hash_now = chain.block.hash
        with (
            proxy(dev.anvil.url, old_calls) as url,
            open_reader(url, options=QUICK) as chain,
            pytest.raises(RpcError, match="from the state of another one"),
        ):
            read(chain, dev)
        told: Mapping[Rule, str] = {
            old_proofs: "forged or of another block",
            old_proofs_and_header: f"does not hash to {hash_now}",
        }
        for rule, text in told.items():
            with proxy(dev.anvil.url, rule) as url, open_reader(url, options=QUICK) as chain:
                assert chain.block.hash == hash_now
                world = read(chain, dev)
                with pytest.raises(ProofMismatch, match=text):
                    prove(chain, world)
    finally:
        dev.revert(snapshot)


@pytest.mark.parametrize("which", ["account", "storage"])
def test_a_forged_proof_is_caught(dev: DevMarket, which: str) -> None:
    """The lens lies about a balance, and the proof is made to end in the same lie."""
    with open_reader(dev.anvil.url) as honest:
        token = read(honest, dev).detail.reserves[0].atoken

    def change(request: Request, result: Any) -> Any:
        if request["method"] != "eth_getProof" or request["params"][0] != token:
            return None
        proofs = [result["accountProof"]] if which == "account" else [p["proof"] for p in result["storageProof"]]
        for proof in proofs:
            if proof:
                last = bytearray.fromhex(proof[-1][2:])
                last[-1] ^= 1
                proof[-1] = "0x" + last.hex()
        return result

    with liar(dev, change) as chain:
        world = read(chain, dev)
        with pytest.raises(ProofMismatch, match=rf"eth_getProof of {token}.*forged or of another block") as raised:
            prove(chain, world)
    assert chain.hosts[0] in str(raised.value)


def test_a_header_with_another_state_root_is_caught(small_of: Callable[[Kind], DevMarket]) -> None:
    def change(request: Request, result: Any) -> Any:
        block = request["method"] == "eth_getBlockByHash"
        return {**result, "stateRoot": "0x" + "12" * 32} if block else None

    with liar(small_of("3.6"), change) as chain, pytest.raises(ProofMismatch, match="does not hash to"):
        ProvenState(chain)
