"""What is tampered with is noticed: a recording bit by bit, a recording's file, an index that lost a borrower."""

from __future__ import annotations

import gzip
import re
import sqlite3
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

import msgspec
import polars as pl
import pytest
from eth_utils.crypto import keccak

import scanner
from scanner.chain.recording import Recording, load
from scanner.chain.replay import ReplayReader
from scanner.devchain import Anvil, DevMarket
from scanner.devchain.market import Kind
from scanner.devchain.toolchain import Toolchain
from scanner.protocols.aave_v3.detail import AaveDetail
from scanner.protocols.aave_v3.protocol import AaveV3
from tests.chain.peers import invoke, small_market, where
from tests.reference import aave_v3 as ref
from tests.reference.convert import accounts_of, market_of

pytestmark = pytest.mark.chain

BORROWERS = 300
WORD = 32
EMODE, RESERVE_ID, SIDE = 4, 5, 6  # bytes of a lens record


@dataclass(frozen=True)
class World:
    """The state that a recording holds, as the reference sees it."""

    market: ref.Market
    accounts: dict[str, ref.Account]
    prices: dict[str, int]
    now: int

    def with_reserve(self, reserve: int, **changes: object) -> World:
        changed = replace(self.market.reserves[reserve], **changes)  # type: ignore[arg-type]
        return replace(self, market=replace(self.market, reserves={**self.market.reserves, reserve: changed}))

    def with_account(self, name: str, **changes: object) -> World:
        changed = replace(self.accounts[name], **changes)  # type: ignore[arg-type]
        return replace(self, accounts={**self.accounts, name: changed})

    def says(self, name: str) -> tuple[int, int, int] | None:
        """Give collateral, debt and health factor by the reference; None where the pool reverts."""
        try:
            data = ref.account_data(self.accounts[name], self.market, self.prices, self.now)
        except ref.Reverted:
            return None
        return data.collateral_base, data.debt_base, data.health_factor


def affected(before: World, after: World) -> set[str]:
    return {name for name in before.accounts if before.says(name) != after.says(name)}


@dataclass(frozen=True)
class Recorded:
    """A recorded scan with every account verified, and what is in it."""

    path: Path
    market: DevMarket
    world: World

    def id(self, key: str) -> int:
        return self.market.reserves[key].id

    def holder(self, key: str, side: str) -> str:
        """Name an account that has this leg, is priced, and of which a change shows."""
        return max(
            (name for name, account in self.world.accounts.items() if self._fits(name, account, key, side)),
            key=lambda name: getattr(self.world.accounts[name], side)[self.id(key)],
        )

    def _fits(self, name: str, account: ref.Account, key: str, side: str) -> bool:
        said = self.world.says(name)
        return said is not None and said[2] != ref.MAX_UINT and self.id(key) in getattr(account, side)


@pytest.fixture(scope="module")
def recorded_of(toolchain: Toolchain, tmp_path_factory: pytest.TempPathFactory) -> Callable[[Kind], Recorded]:
    """Give a function that records a kind of market, once each."""

    @cache
    def make(kind: Kind) -> Recorded:
        folder = tmp_path_factory.mktemp("tamper")
        with Anvil(toolchain.anvil) as anvil:
            market = small_market(anvil, toolchain, kind, BORROWERS)
            scanner.scan(
                rpc_urls=[anvil.url],
                markets=[market.root],
                index_file=folder / "index.sqlite",
                verify="all",
                extent="factor",
                record=folder / "fine.rec",
            )
        return Recorded(folder / "fine.rec", market, read_world(folder / "fine.rec", market.root))

    return make


@pytest.fixture(params=["3.6", "3.0"])
def recorded(request: pytest.FixtureRequest, recorded_of: Callable[[Kind], Recorded]) -> Recorded:
    return recorded_of(request.param)


def read_world(path: Path, root: str) -> World:
    """Give what a recording holds."""
    reader, aave = ReplayReader(path), AaveV3()
    read = aave.read_market(reader, root, "dev")
    positions = aave.read_positions(reader, read, reader.recording.notes["owners"][root])
    assert isinstance(read.detail, AaveDetail)
    accounts = dict(zip(positions.accounts["position"], accounts_of(positions), strict=True))
    now, market = reader.block.timestamp, market_of(read.detail)
    grown = {
        r.id: replace(r, liquidity_index=ref.income(r, now), debt_index=ref.debt_index(market, r, now), updated_at=now)
        for r in market.reserves.values()
    }
    return World(replace(market, reserves=grown), accounts, dict(read.answers), now)


# -- one bit of a recording -------------------------------------------------------------------------------------------


def answer_of(recording: Recording, to: str, signature: str, argument: int) -> tuple[str, bytes, str]:
    """Find a recorded call without overrides by its signature and its one argument."""
    return to.lower(), keccak(text=signature)[:4] + argument.to_bytes(32, "big"), ""


def flip_call(recording: Recording, to: str, signature: str, argument: int | str, bit: int, word: int = 0) -> int:
    """Flip a bit of a word of a recorded answer; give the word as it is now."""
    number = int(argument, 16) if isinstance(argument, str) else argument
    key = answer_of(recording, to, signature, number)
    answer = recording.calls[key]
    assert isinstance(answer, bytes)
    changed = int.from_bytes(answer[word * WORD : (word + 1) * WORD], "big") ^ 1 << bit
    recording.calls[key] = answer[: word * WORD] + changed.to_bytes(WORD, "big") + answer[(word + 1) * WORD :]
    return changed


def flip_lens(
    recording: Recording, account: str, bit: int, reserve: int | None = None, side: int | None = None
) -> None:
    """Flip a bit of the records of an account: of one leg, or of all."""
    (records,) = (records for (name, _), records in recording.lenses.items() if name == "aave-v3")
    item = bytes.fromhex(account[2:])
    words = [records[item][at : at + WORD] for at in range(0, len(records[item]), WORD)]
    chosen = [w for w in words if reserve is None or (w[RESERVE_ID], w[SIDE]) == (reserve, side)]
    assert chosen
    records[item] = b"".join(
        (int.from_bytes(w, "big") ^ 1 << bit).to_bytes(WORD, "big") if w in chosen else w for w in words
    )


Tamper = Callable[[Recording, Recorded], World]


def collateral_balance(recording: Recording, recorded: Recorded) -> World:
    weth, name = recorded.id("WETH"), recorded.holder("WETH", "collateral")
    flip_lens(recording, name, 60, weth, side=0)
    held = recorded.world.accounts[name].collateral
    return recorded.world.with_account(name, collateral={**held, weth: held[weth] ^ 1 << 60})


def debt_balance(recording: Recording, recorded: Recorded) -> World:
    usdc, name = recorded.id("USDC"), recorded.holder("USDC", "debt")
    flip_lens(recording, name, 20, usdc, side=1)
    owed = recorded.world.accounts[name].debt
    return recorded.world.with_account(name, debt={**owed, usdc: owed[usdc] ^ 1 << 20})


def collateral_index(recording: Recording, recorded: Recorded) -> World:
    market, weth = recorded.market, recorded.market.reserves["WETH"]
    now = flip_call(recording, market.pool, "getReserveNormalizedIncome(address)", weth.asset, 50)
    return recorded.world.with_reserve(weth.id, liquidity_index=now)


def debt_index(recording: Recording, recorded: Recorded) -> World:
    market, usdc = recorded.market, recorded.market.reserves["USDC"]
    now = flip_call(recording, market.pool, "getReserveNormalizedVariableDebt(address)", usdc.asset, 55)
    return recorded.world.with_reserve(usdc.id, debt_index=now)


def price(recording: Recording, recorded: Recorded) -> World:
    link = recorded.market.reserves["LINK"]
    now = flip_call(recording, recorded.market.oracle, "getAssetPrice(address)", link.asset, 3)
    return replace(recorded.world, prices={**recorded.world.prices, str(link.id): now})


def base_price(recording: Recording, recorded: Recorded) -> World:
    weth = recorded.market.reserves["WETH"]
    now = flip_call(recording, recorded.market.oracle, "getAssetPrice(address)", weth.asset, 0)
    return replace(recorded.world, prices={**recorded.world.prices, str(weth.id): now})


def threshold(recording: Recording, recorded: Recorded) -> World:
    market, wsteth = recorded.market, recorded.market.reserves["wstETH"]
    word = flip_call(recording, market.pool, "getReserveData(address)", wsteth.asset, 16 + 3)
    return recorded.world.with_reserve(wsteth.id, threshold=word >> 16 & 0xFFFF)


def decimals(recording: Recording, recorded: Recorded) -> World:
    market, dai = recorded.market, recorded.market.reserves["DAI"]
    word = flip_call(recording, market.pool, "getReserveData(address)", dai.asset, 48)
    return recorded.world.with_reserve(dai.id, decimals=word >> 48 & 0xFF)


def category(recording: Recording, recorded: Recorded) -> World:
    """Flip the threshold of e-mode 1; the words are those of a struct, which 3.0 puts behind an offset."""
    legacy = recorded.market.kind == "3.0"
    name = "getEModeCategoryData(uint8)" if legacy else "getEModeCategoryCollateralConfig(uint8)"
    now = flip_call(recording, recorded.market.pool, name, 1, 2, word=2 if legacy else 1)
    world = recorded.world
    modes = {**world.market.emodes, 1: replace(world.market.emodes[1], threshold=now)}
    return replace(world, market=replace(world.market, emodes=modes))


def user_flags(recording: Recording, recorded: Recorded) -> World:
    """Turn the collateral flag of an account into the borrow flag: its aTokens become debt."""
    link, said = recorded.id("LINK"), recorded.world.says
    name, account = next(
        (name, account)
        for name, account in recorded.world.accounts.items()
        if link in account.collateral and link not in account.debt and account.debt and said(name) is not None
    )
    flip_lens(recording, name, 8 * (WORD - 1 - SIDE), link, side=0)
    held = dict(account.collateral)
    return recorded.world.with_account(name, debt={**account.debt, link: held.pop(link)}, collateral=held)


def user_emode(recording: Recording, recorded: Recorded) -> World:
    name = next(n for n, a in recorded.world.accounts.items() if a.emode == 1 and recorded.world.says(n) is not None)
    flip_lens(recording, name, 8 * (WORD - 1 - EMODE) + 1)  # 1 becomes 3
    return recorded.world.with_account(name, emode=3)


def mode_price(recording: Recording, recorded: Recorded) -> World:
    """Flip the price that stands for those of a whole category, which 3.0 has."""
    (answer,) = (key for key in recorded.world.prices if key.startswith("emode:"))
    mode = int(answer.partition(":")[2])
    detail = ReplayReader(recording)
    read = AaveV3().read_market(detail, recorded.market.root, "dev").detail
    assert isinstance(read, AaveDetail)
    source = read.emodes[mode].price_source
    assert source is not None
    now = flip_call(recording, recorded.market.oracle, "getAssetPrice(address)", source, 5)
    return replace(recorded.world, prices={**recorded.world.prices, answer: now})


TAMPERS: dict[str, tuple[Tamper, int]] = {
    # what is flipped, and the least number of accounts that it must affect
    "collateral balance": (collateral_balance, 1),
    "debt balance": (debt_balance, 1),
    "collateral index": (collateral_index, 20),
    "debt index": (debt_index, 20),
    "price": (price, 5),
    "price of the main factor": (base_price, 20),
    "threshold": (threshold, 10),
    "decimals": (decimals, 10),
    "e-mode category": (category, 10),
    "flags of an account": (user_flags, 1),
    "e-mode of an account": (user_emode, 1),
    "price of a category": (mode_price, 3),
}


ONLY = {"price of a category": "3.0", "e-mode of an account": "3.6"}  # where there is a price, or a third category


@pytest.mark.parametrize(
    ("recorded", "what"),
    [(kind, what) for kind in ("3.6", "3.0") for what in TAMPERS if ONLY.get(what, kind) == kind],
    indirect=["recorded"],
)
def test_one_flipped_bit_names_exactly_the_affected_accounts(
    recorded: Recorded, what: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    tamper, least = TAMPERS[what]
    recording = load(recorded.path)
    after = tamper(recording, recorded)
    recording.save(tmp_path / "tampered.rec")
    expected = affected(recorded.world, after)

    (market,) = scanner.scan(replay=tmp_path / "tampered.rec", verify="all", extent="factor").markets
    assert set(market.mismatches) == expected
    assert least <= len(expected) < market.verified_accounts == len(recorded.world.accounts)

    outcome = invoke(capfd, "scan", "--replay", tmp_path / "tampered.rec", "--verify", "all")
    assert outcome.code == 4
    (told,) = (line for line in outcome.err.splitlines() if line.startswith("mismatch: "))
    assert f"{len(expected)} of {market.verified_accounts} verified accounts differ" in told
    named = {address.lower() for address in re.findall("0x[0-9a-fA-F]{40}", told)}
    assert named <= expected
    assert len(named) == min(10, len(expected))


def test_an_untouched_recording_has_no_mismatch(recorded: Recorded, capfd: pytest.CaptureFixture[str]) -> None:
    outcome = invoke(capfd, "scan", "--replay", recorded.path, "--verify", "all", "--format", "json", "-q")

    assert (outcome.code, outcome.err) == (0, "")
    market = outcome.document["markets"][0]
    assert market["verified"] == {"accounts": len(recorded.world.accounts), "mismatches": []}
    assert market["complete"]


def test_the_lowest_bit_of_a_debt_is_noticed_by_the_proof(
    recorded: Recorded, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """An amount too small for any health factor still breaks completeness, which is equality."""
    recording = load(recorded.path)
    weth, name = recorded.id("WETH"), recorded.holder("WETH", "debt")
    flip_lens(recording, name, 0, weth, side=1)
    recording.save(tmp_path / "tampered.rec")
    one = 1 if recorded.world.accounts[name].debt[weth] % 2 else -1

    outcome = invoke(capfd, "scan", "--replay", tmp_path / "tampered.rec", "--verify", "none")

    assert outcome.code == 4
    assert "incomplete: " in outcome.err
    assert f"({one} scaled units)" in outcome.err.replace("0.0000%, ", "")


def test_the_contracts_own_answer_is_not_believed_blindly(
    recorded: Recorded, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    recording = load(recorded.path)
    name = recorded.holder("WETH", "collateral")
    flip_call(recording, recorded.market.pool, "getUserAccountData(address)", name, 0, word=5)
    recording.save(tmp_path / "tampered.rec")

    arguments = ("scan", "--replay", tmp_path / "tampered.rec", "--verify", "all")
    outcome, allowed = invoke(capfd, *arguments), invoke(capfd, *arguments, "--allow-incomplete")

    assert (outcome.code, allowed.code) == (4, 0)
    assert outcome.err.startswith("mismatch: ")
    assert name in outcome.err.lower()
    assert "ETH" in outcome.out


# -- the file of a recording ------------------------------------------------------------------------------------------


def one_byte_changed(content: bytes) -> bytes:
    middle = len(content) // 2
    return content[:middle] + bytes([content[middle] ^ 1]) + content[middle + 1 :]


def unsealed(content: bytes) -> bytes:
    """Change the content and pack it again, without a new checksum."""
    return gzip.compress(gzip.decompress(content).replace(b'"chain_id":31337', b'"chain_id":31338'))


def sealed_wrongly(content: bytes) -> bytes:
    head, _, _ = gzip.decompress(content).partition(b"\n")
    return gzip.compress(head + b"\n" + msgspec.json.encode({"chain_id": 1}))


@pytest.mark.parametrize(
    "damage",
    [
        one_byte_changed,
        unsealed,
        sealed_wrongly,
        lambda content: content[:-1],
        lambda content: content[: len(content) // 2],
        lambda content: content[:10],
        lambda content: b"",
        lambda content: b"# Not a recording\n",
        lambda content: gzip.compress(b'{"jsonrpc": "2.0"}\n{}'),
    ],
)
def test_a_damaged_recording_is_refused(
    recorded: Recorded, damage: Callable[[bytes], bytes], tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "damaged.rec"
    content = damage(recorded.path.read_bytes())
    file.write_bytes(content)

    outcome = invoke(capfd, "scan", "--replay", file)

    assert (outcome.code, outcome.out) == (4, "")
    assert outcome.err.startswith(f"liqbands: {file}: ")
    assert "record" in outcome.err
    assert "Traceback" not in outcome.err
    assert file.read_bytes() == content


# -- an index that lost a borrower ------------------------------------------------------------------------------------


def test_a_borrower_missing_from_the_index_shows_as_missing_debt(
    toolchain: Toolchain, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    with Anvil(toolchain.anvil) as anvil:
        market = small_market(anvil, toolchain, "3.6", 120)
        anvil.rpc("anvil_mine", hex(70))  # now the borrowers' blocks are final, and kept
        index = tmp_path / "index.sqlite"
        at = [*where(market, index), "--verify", "all"]
        fine = invoke(capfd, "scan", *at)
        assert fine.code == 0
        assert "incomplete" not in fine.out + fine.err

        legs = scanner.scan(
            rpc_urls=[anvil.url], markets=[market.root], index_file=index, extent="factor", verify="none"
        ).frames["legs"]
        debts = legs.filter(pl.col("side") == "debt")
        chosen = next(m.address for m in market.members if m.kind == "short_eth")
        lost = {str(r): int(s) for r, s in debts.filter(position=chosen).select("reserve", "scaled_raw").iter_rows()}
        assert lost
        with closing(sqlite3.connect(index)) as connection, connection:
            assert connection.execute("DELETE FROM positions WHERE position = ?", [chosen]).rowcount == 1
            # as after a scan that read the logs again: they are not asked for what they did not give twice
            connection.execute("INSERT INTO meta SELECT 'twice_to', value FROM meta WHERE key = 'covered_to'")

        document = tmp_path / "scan.json"
        outcome = invoke(capfd, "scan", *at, "--format", "json", "-q", "-o", document)
        allowed = invoke(capfd, "scan", *at, "--allow-incomplete")

    assert (outcome.code, outcome.out, allowed.code) == (4, "", 0)
    found = msgspec.json.decode(document.read_bytes())
    assert not found["snapshot"]["complete"]
    assert not found["markets"][0]["complete"]
    missing = [proof for proof in found["markets"][0]["completeness"] if not proof["complete"]]
    assert {proof["reserve"]: int(proof["missing"]) for proof in missing} == lost
    *told, advice = outcome.err.splitlines()
    assert advice.startswith("incomplete: what to do: `liqbands index --rebuild`")
    assert len(told) == len(lost)
    assert all(line.startswith("incomplete: ") for line in told)
    for line, proof in zip(told, missing, strict=True):
        assert proof["symbol"] in line
        assert f"{proof['missing']} scaled units" in line
    assert allowed.err == outcome.err
    assert "INCOMPLETE" in allowed.out.upper()
