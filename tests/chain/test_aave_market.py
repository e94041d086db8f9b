"""Market, positions and health on real Aave contracts: every account equals the pool's own answer."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import polars as pl
import pytest
from eth_utils.crypto import keccak

from scanner.chain.interface import Block, Call, Lens, LensChunk, Log, LogQuery, Overrides, Reader, Reverted
from scanner.chain.lenses import LENS
from scanner.chain.reader import open_reader
from scanner.devchain import DevMarket
from scanner.devchain.toolchain import Toolchain
from scanner.errors import DataError, OverridesRefused, RpcError, UnknownMarketError, UnknownRevisionError
from scanner.protocols.aave_v3.decode import ORACLE, POOL
from scanner.protocols.aave_v3.detail import AaveDetail
from scanner.protocols.aave_v3.interest import debt_index_at, income_at
from scanner.protocols.aave_v3.positions import lens_of
from scanner.protocols.aave_v3.protocol import AaveV3
from scanner.protocols.aave_v3.records import OVERSIZE, parse_records
from scanner.protocols.interface import Market
from scanner.risk.rules import Answers, Positions
from tests.chain.conftest import Rollback

pytestmark = pytest.mark.chain

AAVE = AaveV3()
NO_DEBT = 2**256 - 1
STRANGER = "0x" + "5a" * 20


@dataclass
class Bent:
    """A reader whose answers can be bent, or which refuses overrides after some chunks."""

    inner: Reader
    calls: Mapping[Call, bytes] = field(default_factory=dict)
    records: Callable[[bytes], bytes] | None = None
    chunks_before_refusal: int | None = None
    asked: list[int] = field(default_factory=list)

    @property
    def chain_id(self) -> int:
        return self.inner.chain_id

    @property
    def genesis_hash(self) -> str:
        return self.inner.genesis_hash

    @property
    def block(self) -> Block:
        return self.inner.block

    @property
    def hosts(self) -> tuple[str, ...]:
        return self.inner.hosts

    def finalized_number(self) -> int:
        return self.inner.finalized_number()

    def call(self, calls: Sequence[Call], *, overrides: Overrides | None = None) -> list[bytes | Reverted]:
        self.asked.append(len(calls))
        answers = self.inner.call(calls, overrides=overrides)
        return [self.calls.get(call, answer) for call, answer in zip(calls, answers, strict=True)]

    def lens(self, lens: Lens, items: Sequence[bytes]) -> Iterator[LensChunk]:
        for number, chunk in enumerate(self.inner.lens(lens, items)):
            if number == self.chunks_before_refusal:
                raise OverridesRefused("this endpoint takes no overrides")
            yield replace(chunk, records=self.records(chunk.records)) if self.records else chunk

    def logs(self, query: LogQuery) -> Iterator[tuple[int, list[Log]]]:
        return self.inner.logs(query)


@pytest.fixture
def reader(market: DevMarket) -> Iterator[Reader]:
    with open_reader(market.anvil.url) as opened:
        yield opened


def borrowers(chain: Reader, root: str) -> list[str]:
    """Give the accounts that Borrow logs name, once each."""
    found = AAVE.discovery(chain, root)
    query = LogQuery(found.addresses, found.topics, 0, chain.block.number)
    return list(dict.fromkeys(f.owner for _, logs in chain.logs(query) for f in found.decode(logs)))


def scan(chain: Reader, root: str) -> tuple[Market, Positions, pl.DataFrame]:
    read = AAVE.read_market(chain, root, "dev")
    positions = AAVE.read_positions(chain, read, borrowers(chain, root))
    return read, positions, AAVE.rules(read).health(positions, Answers(read.answers))


def detail_of(read: Market) -> AaveDetail:
    assert isinstance(read.detail, AaveDetail)
    return read.detail


def truth(market: DevMarket, accounts: Sequence[str], block: int) -> list[tuple[int, int, str | None] | None]:
    """Ask the pool with the development chain's own client; None where it reverts."""
    rows: list[tuple[int, int, str | None] | None] = []
    for start in range(0, len(accounts), 25):
        part = accounts[start : start + 25]
        try:
            data = market.account_data(part, block=block)
        except RpcError:
            if len(part) > 1:
                rows += [row for account in part for row in truth(market, [account], block)]
            else:
                rows.append(None)
            continue
        rows += [(d.collateral, d.debt, None if d.health_factor == NO_DEBT else str(d.health_factor)) for d in data]
    return rows


def assert_equal_to_the_pool(market: DevMarket, chain: Reader, positions: Positions, health: pl.DataFrame) -> None:
    expected = truth(market, positions.accounts["position"].to_list(), chain.block.number)
    ours = health.select("unpriced", "collateral_raw", "debt_raw", "health_factor_wad").rows()
    assert [None if unpriced else tuple(rest) for unpriced, *rest in ours] == expected


def test_a_missing_borrower_shows_as_missing_debt(market: DevMarket, reader: Reader) -> None:
    read, positions, _ = scan(reader, market.root)
    leg = positions.state.filter((pl.col("side") == 1) & (pl.col("scaled") > 0)).row(0, named=True)
    kept = positions.take(positions.accounts.filter(pl.col("row") != leg["row"])["row"])

    totals = {t.reserve: t for t in AAVE.debt_totals(reader, read, kept) if t.proof == "exact"}

    assert totals[leg["reserve"]].missing == leg["scaled"]
    assert not totals[leg["reserve"]].complete


def test_plain_calls_give_the_lens_answer(market: DevMarket, reader: Reader) -> None:
    read = AAVE.read_market(reader, market.root, "dev")
    owners = [STRANGER, *borrowers(reader, market.root), *market.of_kind("no_debt")]
    heard: list[int] = []

    by_lens = AAVE.read_positions(reader, read, owners, heard.append)
    plain = AAVE.read_positions(Bent(reader, chunks_before_refusal=0), read, owners)
    mixed = AAVE.read_positions(Bent(reader, chunks_before_refusal=2), read, owners)

    assert heard[-1] == len(owners) == by_lens.accounts.height
    for other in (plain, mixed):
        assert other.accounts.equals(by_lens.accounts)
        assert other.state.equals(by_lens.state)
    assert by_lens.accounts["emode_category"].n_unique() > 1
    assert by_lens.state["side"].n_unique() == (3 if market.kind == "3.0" else 2)


def test_accounts_without_anything_stay(market: DevMarket, reader: Reader) -> None:
    read = AAVE.read_market(reader, market.root, "dev")

    positions = AAVE.read_positions(reader, read, [STRANGER.upper().replace("0X", "0x"), STRANGER])
    health = AAVE.rules(read).health(positions, Answers(read.answers))

    assert positions.accounts["position"].to_list() == [STRANGER]
    assert health.select("has_debt", "unpriced", "collateral_raw", "health_factor_wad").rows() == [
        (False, False, 0, None)
    ]
    assert AAVE.read_positions(reader, read, []).accounts.height == 0


def test_the_market_is_read_in_five_rounds(market: DevMarket, reader: Reader) -> None:
    bent = Bent(reader)

    AAVE.read_market(bent, market.root, "dev")

    assert len(bent.asked) == 5


def test_reserves_say_what_the_contracts_say(market: DevMarket, reader: Reader) -> None:
    read = AAVE.read_market(reader, market.root.upper().replace("0X", "0x"), "dev")
    rows = {int(row["reserve"]): row for row in read.reserves.rows(named=True)}
    detail = detail_of(read)

    assert read.market_id == market.root
    assert read.revision == (10 if market.kind == "3.6" else 1)
    assert read.frame["quote_usd"].to_list() == [1.0]
    for info in market.reserves.values():
        row = rows[info.id]
        assert (row["asset"], row["decimals"], row["price_source"]) == (info.asset, info.decimals, info.source)
        reserve = detail.reserve(info.id)
        assert (reserve.atoken, reserve.vtoken, reserve.stoken) == (info.atoken, info.vtoken, info.stoken)
        assert row["liquidation_threshold"] == info.spec.threshold / 10_000
        assert row["symbol"].isprintable()
    by_key = {info.key: rows[info.id] for info in market.reserves.values()}
    assert "frozen" in by_key["AAVE"]["flags"]
    assert "paused" in by_key["MKR"]["flags"]
    assert by_key["MKR"]["symbol"] == "MKR"
    assert ("grace" in by_key["LDO"]["flags"]) is (market.kind == "3.6")
    assert by_key["WETH"]["answer"] == str(market.price("WETH"))
    assert by_key["WETH"]["answer_at"] is not None
    assert by_key["wstETH"]["answer_at"] is None  # an adapter has no rounds
    unpriced = {market.reserves["ZRO"].id, market.reserves["RVT"].id}
    assert {int(key) for key in read.skipped["reserve"]} == unpriced
    assert set(read.skipped["reason"]) == {"unpriced: oracle reverted"}
    assert {int(key) for key in read.answers if key.isdigit()} == set(rows) - unpriced
    assert {key for key in read.answers if not key.isdigit()} == {
        f"emode:{c}" for c, m in detail.emodes.items() if m.price_source
    }


def test_the_sentinel_is_heard(market: DevMarket, rollback: Rollback) -> None:
    rollback(market)
    market.set_sentinel(down=True)

    with open_reader(market.anvil.url) as chain:
        assert detail_of(AAVE.read_market(chain, market.root, "dev")).sentinel_down


def test_indexes_and_health_at_a_later_time_are_those_of_the_contract(market: DevMarket, rollback: Rollback) -> None:
    rollback(market)
    with open_reader(market.anvil.url) as chain:
        read, positions, _ = scan(chain, market.root)
    detail = detail_of(read)
    for seconds in (1, 3_600, 200 * 86_400):
        market.advance(seconds)
        with open_reader(market.anvil.url) as later:
            then = AAVE.read_market(later, market.root, "dev")
            for before, after in zip(detail.reserves, detail_of(then).reserves, strict=True):
                assert income_at(before, detail, then.timestamp) == after.income_now
                assert debt_index_at(before, detail, then.timestamp) == after.debt_index_now
            rules = AAVE.rules(replace(read, timestamp=then.timestamp))
            health = rules.health(positions, Answers(then.answers))
            assert_equal_to_the_pool(market, later, positions, health)


def flip(bit: int, account: int, side: int) -> Callable[[bytes], bytes]:
    """Flip a bit in the last balance of an account on a side."""

    def bend(records: bytes) -> bytes:
        words = [int.from_bytes(records[at : at + 32], "big") for at in range(0, len(records), 32)]
        mine = [i for i, word in enumerate(words) if word >> 224 == account and word >> 200 & 0xFF == side]
        words[mine[-1]] ^= 1 << bit
        return b"".join(word.to_bytes(32, "big") for word in words)

    return bend


@pytest.mark.parametrize("side", [0, 1])
def test_a_bent_balance_is_named_by_verification(market: DevMarket, reader: Reader, side: int) -> None:
    owners = market.of_kind("long_eth")[:9]
    read = AAVE.read_market(reader, market.root, "dev")

    bent = AAVE.read_positions(Bent(reader, records=flip(50, 4, side)), read, owners)
    wrong = AAVE.rules(read).health(bent, Answers(read.answers))

    assert AAVE.verify(reader, read, bent, wrong, range(wrong.height)) == [owners[4]]


def test_an_answer_of_zero_makes_a_reserve_unpriced(market36: DevMarket) -> None:
    weth = market36.reserves["WETH"]
    with open_reader(market36.anvil.url) as chain:
        worthless = Bent(chain, {ORACLE.call(market36.oracle, "getAssetPrice", weth.asset): bytes(32)})
        read, positions, health = scan(worthless, market36.root)

        assert str(weth.id) not in read.answers
        assert (str(weth.id), "unpriced: oracle answered 0") in read.skipped.select("reserve", "reason").rows()
        holders = set(positions.state.filter(pl.col("reserve_id") == weth.id)["row"])
        assert holders <= set(health.filter("unpriced")["row"])
        # the real oracle did not answer 0, and verification says so of those who hold the reserve
        wrong = set(AAVE.verify(chain, read, positions, health, range(health.height)))
        names = positions.accounts["position"]
        truly_unpriced = {names[row] for row in holders} - wrong
        assert wrong <= {names[row] for row in holders}
        assert len(wrong) > 500
        assert truly_unpriced <= set(market36.of_kind("fragile", "fragile_debt"))


def test_one_unit_of_debt_too_much_or_too_little_breaks_completeness(market: DevMarket, reader: Reader) -> None:
    read, positions, _ = scan(reader, market.root)
    row = positions.state.filter((pl.col("side") == 1) & (pl.col("scaled") > 0)).row(0, named=True)
    for change in (-1, 1):
        here = (pl.col("row") == row["row"]) & (pl.col("reserve_id") == row["reserve_id"]) & (pl.col("side") == 1)
        scaled = pl.when(here).then(pl.col("scaled") + change).otherwise("scaled").cast(pl.Int128).alias("scaled")
        bent = replace(positions, state=positions.state.with_columns(scaled))

        wrong = [t for t in AAVE.debt_totals(reader, read, bent) if not t.complete]

        assert [(t.reserve, t.missing) for t in wrong] == [(row["reserve"], -change)]


def test_amounts_beyond_the_frames_are_skipped_and_nobody_else(market: DevMarket, reader: Reader) -> None:
    read = AAVE.read_market(reader, market.root, "dev")
    owners = market.of_kind("long_eth")[:4]

    def inflate(records: bytes) -> bytes:
        words = []
        for at in range(0, len(records), 32):
            word = int.from_bytes(records[at : at + 32], "big")
            account = word >> 224
            value = {1: 10**38, 2: 10**37}.get(account, word % 2**128)
            marker = OVERSIZE << 200 if account == 3 else 0
            words.append((word - word % 2**128 + value | marker).to_bytes(32, "big"))
        return b"".join(words)

    positions = AAVE.read_positions(Bent(reader, records=inflate), read, owners)

    assert positions.accounts["position"].to_list() == owners[:1]
    assert positions.state["row"].unique().to_list() == [0]
    assert positions.skipped["position"].to_list() == owners[1:]
    assert set(positions.skipped["what"]) == {"position"}
    assert all(reason.startswith("too large") for reason in positions.skipped["reason"])
    assert AAVE.rules(read).health(positions, Answers(read.answers)).height == 1


def test_a_failing_token_is_an_error_and_not_a_zero(market: DevMarket, reader: Reader) -> None:
    read = AAVE.read_market(reader, market.root, "dev")
    owner = market.of_kind("long_eth")[0]
    detail = detail_of(read)
    for gone in (STRANGER, detail.oracle):  # an address without code answers nothing, a wrong contract reverts
        reserves = tuple(replace(reserve, vtoken=gone) for reserve in detail.reserves)
        broken = replace(read, detail=replace(detail, reserves=reserves))
        with pytest.raises(RpcError, match=owner[2:]):
            AAVE.read_positions(reader, broken, [owner])


@pytest.mark.parametrize("name", ["0x12", "0x" + "zz" * 20, "12" * 21, "0x0x" + "12" * 19])
def test_what_is_no_address_is_refused(market36: DevMarket, name: str) -> None:
    with open_reader(market36.anvil.url) as chain, pytest.raises(DataError, match="no address"):
        AAVE.read_positions(chain, AAVE.read_market(chain, market36.root, "dev"), [STRANGER, name])


def test_what_is_no_root_is_refused_with_advice(market36: DevMarket) -> None:
    with open_reader(market36.anvil.url) as chain:
        assert AAVE.refusal(chain, market36.root) is None
        for other in (market36.pool, market36.oracle, STRANGER, market36.reserves["WETH"].asset):
            assert "PoolAddressesProvider" in (AAVE.refusal(chain, other) or "")
            with pytest.raises(UnknownMarketError, match="PoolAddressesProvider"):
                AAVE.read_market(chain, other, "dev")


def test_unknown_revisions_are_refused_unless_asked_for(market36: DevMarket) -> None:
    with open_reader(market36.anvil.url) as chain:
        for revision in (0, 12):
            answer = {POOL.call(market36.pool, "POOL_REVISION"): revision.to_bytes(32, "big")}
            with pytest.raises(UnknownRevisionError, match=f"POOL_REVISION {revision}; there are rules for 1 to 11"):
                AAVE.read_market(Bent(chain, answer), market36.root, "dev")
            read = AAVE.read_market(Bent(chain, answer), market36.root, "dev", newest_for_unknown=True)
            assert (read.revision, detail_of(read).revision) == (revision, 11)


def test_the_lens_bytecode_is_what_the_source_compiles_to(toolchain: Toolchain) -> None:
    folder = Path(__file__).parents[2] / "scanner" / "protocols" / "aave_v3"
    source = (folder / "lens.sol").read_text(encoding="utf-8")

    (artifact,) = toolchain.compile(
        {"lens.sol": source}, ["lens.sol:AaveV3Lens"], evm_version="paris", optimizer_runs=1_000_000, what="the lens"
    ).values()

    assert artifact.runtime == (folder / "lens.hex").read_text(encoding="ascii").strip()


def ask_lens(chain: Reader, detail: AaveDetail, owner: str, overrides: Overrides) -> bytes | Reverted:
    lens = lens_of(detail)
    call = Call(LENS, lens.header + bytes.fromhex(owner[2:]))
    return chain.call([call], overrides={LENS: lens.code, **overrides})[0]


def test_the_lens_cuts_nothing_and_takes_no_silence_for_zero(market36: DevMarket) -> None:
    owner = market36.of_kind("long_eth")[0]
    with open_reader(market36.anvil.url) as chain:
        detail = detail_of(AAVE.read_market(chain, market36.root, "dev"))
        tokens = [reserve.vtoken for reserve in detail.reserves]

        def with_debt_token(code: str) -> bytes | Reverted:
            return ask_lens(chain, detail, owner, dict.fromkeys(tokens, bytes.fromhex(code)))

        large = with_debt_token(f"7f{2**128 + 5:064x}60005260206000f3")  # answers 2^128 + 5
        largest = with_debt_token(f"7f{2**128 - 1:064x}60005260206000f3")
        short = with_debt_token("601f6000f3")  # answers 31 bytes
        refused = with_debt_token("60016000fd")  # reverts with a byte
        silent = with_debt_token("60006000fd")  # reverts without data, as running out of gas does

    assert isinstance(large, bytes)
    assert isinstance(largest, bytes)
    assert (parse_records([(0, large[:-32])])["side"] == OVERSIZE | 1).any()
    assert parse_records([(0, large[:-32])]).filter(pl.col("side") == 1).is_empty()
    assert parse_records([(0, largest[:-32])]).filter(pl.col("side") == 1)["value"].to_list()[0] == 2**128 - 1
    failed = keccak(text="LensFailed(address,address)")[:4]
    for answer in (short, refused):
        assert isinstance(answer, Reverted)
        assert answer.data[:4] == failed
        assert answer.data[-20:].hex() == owner[2:]
        assert "0x" + answer.data[16:36].hex() in tokens
    assert silent == Reverted(b"")


def test_the_lens_costs_little_gas(market36: DevMarket) -> None:
    with open_reader(market36.anvil.url) as chain:
        read = AAVE.read_market(chain, market36.root, "dev")
        owners = borrowers(chain, market36.root)[:1000]
        lens = lens_of(detail_of(read))
        data = lens.header + b"".join(bytes.fromhex(owner[2:]) for owner in owners)
        (answer,) = chain.call([Call(LENS, data)], overrides={LENS: lens.code})

    assert isinstance(answer, bytes)
    assert int.from_bytes(answer[-16:], "big") < 19_500 * len(owners)
