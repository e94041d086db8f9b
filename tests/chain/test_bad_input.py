"""Bad input: each kind gives a clear error, a skipped row or a status, the right exit code, and loses nothing."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from eth_utils.crypto import keccak

import scanner
from scanner.chain.recording import Recording, load
from scanner.config import child_environment
from scanner.devchain import Anvil, DevMarket
from scanner.devchain.toolchain import Toolchain
from scanner.export.documents import accounts_json, scan_json
from scanner.export.tables import accounts_csv, bands_csv
from scanner.render.heatmap import Heatmap
from scanner.render.picture import svg
from scanner.results import ScanResult
from tests.chain.conftest import Rollback
from tests.chain.peers import Peer, invoke, small_market, where
from tests.chain.proxy import Request, Say, proxy

pytestmark = pytest.mark.chain

Capture = pytest.CaptureFixture[str]


@pytest.fixture(scope="module")
def dev36(toolchain: Toolchain) -> Iterator[DevMarket]:
    with Anvil(toolchain.anvil) as anvil:
        yield small_market(anvil, toolchain, "3.6", 120)


@pytest.fixture(scope="module")
def dev30(toolchain: Toolchain) -> Iterator[DevMarket]:
    with Anvil(toolchain.anvil) as anvil:
        yield small_market(anvil, toolchain, "3.0", 120)


@pytest.fixture(params=["3.6", "3.0"])
def dev(request: pytest.FixtureRequest) -> DevMarket:
    market: DevMarket = request.getfixturevalue("dev36" if request.param == "3.6" else "dev30")
    return market


def scan(market: DevMarket, folder: Path, **options: Any) -> ScanResult:
    return scanner.scan(
        rpc_urls=[market.anvil.url],
        markets=[market.root],
        index_file=folder / "index.sqlite",
        **{"verify": "all", "extent": "factor"} | options,
    )


# -- where to read ----------------------------------------------------------------------------------------------------


def test_another_chain_is_refused(dev36: DevMarket, tmp_path: Path, capfd: Capture) -> None:
    outcome = invoke(capfd, "scan", *where(dev36, tmp_path / "i"), "--chain", "ethereum")

    assert (outcome.code, outcome.out) == (2, "")
    assert "serves chain 31337, not 1" in outcome.err
    assert not (tmp_path / "i").exists()


def test_an_unknown_chain_is_refused(dev36: DevMarket, tmp_path: Path, capfd: Capture) -> None:
    outcome = invoke(capfd, "scan", *where(dev36, tmp_path / "i"), "--chain", "etherium")

    assert (outcome.code, outcome.out) == (2, "")
    assert "did you mean 'ethereum'?" in outcome.err


@pytest.mark.parametrize("command", ["scan", "accounts", "index"])
def test_what_is_no_market_root_is_refused(dev36: DevMarket, tmp_path: Path, capfd: Capture, command: str) -> None:
    for other in (dev36.pool, dev36.oracle, dev36.reserves["WETH"].asset, "0x" + "5a" * 20):
        at = ["--rpc-url", dev36.anvil.url, "--market", other, "--index-file", tmp_path / "i"]
        outcome = invoke(capfd, command, *at)

        assert (outcome.code, outcome.out) == (2, "")
        assert f"{other} is not a market root on chain 31337" in outcome.err
        assert "PoolAddressesProvider" in outcome.err
        about = {dev36.pool: "it is the Pool of the market", dev36.oracle: "it is a contract of the market"}
        assert (f"{about.get(other)} {dev36.root}; give that address" in outcome.err) == (other in about)


def test_a_provider_that_lost_its_pool_names_the_other(dev36: DevMarket, rollback: Rollback, capfd: Capture) -> None:
    market, other = rollback(dev36), "0x" + "bd" * 20
    market.anvil.rpc("anvil_setCode", other, market.anvil.rpc("eth_getCode", market.root, "latest"))
    at = ["--rpc-url", market.anvil.url, "--market", other]
    bare = invoke(capfd, "scan", *at)
    assert (bare.code, bare.out) == (2, "")
    assert "it has no pool yet" in bare.err


@pytest.mark.parametrize(
    ("name", "words"), [("0x1234", "40 hex digits"), ("aave", "no market 'aave'"), ("0x" + "zz" * 20, "40 hex digits")]
)
def test_a_malformed_market_is_refused(dev36: DevMarket, capfd: Capture, name: str, words: str) -> None:
    outcome = invoke(capfd, "scan", "--rpc-url", dev36.anvil.url, "--market", name)

    assert (outcome.code, outcome.out) == (2, "")
    assert words in outcome.err


def test_a_chain_without_listed_markets_says_how_to_name_one(dev36: DevMarket, capfd: Capture) -> None:
    outcome = invoke(capfd, "scan", "--rpc-url", dev36.anvil.url)

    assert (outcome.code, outcome.out) == (2, "")
    assert "--market 0xROOT" in outcome.err


def test_an_unreachable_endpoint(tmp_path: Path, capfd: Capture) -> None:
    outcome = invoke(capfd, "scan", "--rpc-url", "http://127.0.0.1:9/s3cretkey", "--market", "0x" + "11" * 20)

    assert (outcome.code, outcome.out) == (3, "")
    assert "127.0.0.1:9: " in outcome.err
    assert "is the node running" in outcome.err
    assert "s3cret" not in outcome.err


@pytest.mark.parametrize("status", [200, 404])
def test_an_endpoint_that_answers_html(dev36: DevMarket, tmp_path: Path, capfd: Capture, status: int) -> None:
    page = Say(b"<!doctype html><html><body>Sign in to continue</body></html>", status, {"Content-Type": "text/html"})
    with proxy(dev36.anvil.url, lambda _: page) as url:
        outcome = invoke(capfd, "scan", *where(dev36, tmp_path / "i", url))

    assert (outcome.code, outcome.out) == (3, "")
    assert ("not JSON-RPC" if status == 200 else "HTTP status 404") in outcome.err
    for secret in ("s3cret", "pa55word"):
        assert secret not in outcome.err


@pytest.mark.parametrize(
    ("block", "code", "words"),
    [
        ("99999999", 3, "is unknown to this node, whose head is"),
        ("0x" + "ab" * 32, 3, "is the hash right, and of this chain?"),
        ("-99999", 3, "is before the first block"),
        ("soon", 2, "block 'soon': expected a number, -N, a block hash or one of latest"),
        ("12x", 2, "block '12x'"),
        ("0x12zz", 2, "block '0x12zz'"),
        ("1.5", 2, "is no whole number"),
    ],
)
def test_blocks_that_are_none(
    dev36: DevMarket, tmp_path: Path, capfd: Capture, block: str, code: int, words: str
) -> None:
    outcome = invoke(capfd, "scan", *where(dev36, tmp_path / "i"), "--block", block)

    assert (outcome.code, outcome.out) == (code, "")
    assert words in outcome.err
    assert "Traceback" not in outcome.err


def test_a_block_before_the_market(dev36: DevMarket, tmp_path: Path, capfd: Capture) -> None:
    outcome = invoke(capfd, "scan", *where(dev36, tmp_path / "i"), "--block", "0")

    assert (outcome.code, outcome.out) == (2, "")
    assert "is not a market root on chain 31337 at block 0" in outcome.err


def test_a_block_at_which_the_market_is_half_set_up(dev: DevMarket, tmp_path: Path, capfd: Capture) -> None:
    outcome = invoke(capfd, "scan", *where(dev, tmp_path / "i"), "--block", "2")

    assert (outcome.code, outcome.out) == (2, "")
    assert "is not set up yet at block 2" in outcome.err


def test_an_interrupted_run(dev36: DevMarket, tmp_path: Path) -> None:
    asked: list[str] = []
    held = threading.Event()

    def slow(request: Request) -> Say | None:
        asked.append(request["method"])
        if request["method"] == "eth_getLogs":
            held.wait(10)  # longer than anybody who pressed Ctrl-C waits
            return Say(b"", 0)
        return None

    with proxy(dev36.anvil.url, slow) as url:
        document = tmp_path / "scan.json"
        command = [sys.executable, "-m", "scanner", "scan", *where(dev36, tmp_path / "i", url), "-o", str(document)]
        with subprocess.Popen(
            command, env=child_environment(), text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE
        ) as process:
            deadline = time.monotonic() + 20
            while "eth_getLogs" not in asked and time.monotonic() < deadline:
                time.sleep(0.01)
            process.send_signal(signal.SIGINT)
            began = time.monotonic()
            out, err = process.communicate(timeout=20)
            took = time.monotonic() - began
        held.set()

    assert took < 3
    assert (process.returncode, out, err) == (130, "", "liqbands: interrupted\n")
    assert not document.exists()


# -- files ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"SQLite format 3\x00" + b"\x07" * 2000, "is not a readable index"),
        (b"0x1111111111111111111111111111111111111111\n" * 30, "is not a readable index"),
    ],
)
def test_a_foreign_index_file_is_kept(
    dev36: DevMarket, tmp_path: Path, capfd: Capture, content: bytes, words: str
) -> None:
    index = tmp_path / "index.sqlite"
    index.write_bytes(content)
    for command in ("scan", "index"):
        outcome = invoke(capfd, command, *where(dev36, index))

        assert (outcome.code, outcome.out) == (4, "")
        assert f"{index} {words}" in outcome.err
        assert index.read_bytes() == content


def test_a_truncated_index_file_is_kept(dev36: DevMarket, tmp_path: Path, capfd: Capture) -> None:
    index = tmp_path / "index.sqlite"
    assert invoke(capfd, "index", *where(dev36, index)).code == 0
    content = index.read_bytes()[:6000]
    index.write_bytes(content)

    outcome = invoke(capfd, "scan", *where(dev36, index))

    assert (outcome.code, outcome.out) == (4, "")
    assert "was left as it is: move it away" in outcome.err
    assert index.read_bytes() == content


# -- tokens and prices ------------------------------------------------------------------------------------------------


def test_two_reserves_with_one_symbol_stay_two(
    dev: DevMarket, rollback: Rollback, tmp_path: Path, capfd: Capture
) -> None:
    market, holder = rollback(dev), "0x" + "1d" * 20
    both = [market.reserves["LDO"], market.reserves["LDO.b"]]
    for info in both:
        amount = 10 * 10**info.decimals
        market.chain.send(info.asset, "mint(address,uint256)", holder, amount)
        market.chain.send(info.asset, "approve(address,uint256)", market.pool, amount, sender=holder)
        terms = (info.asset, amount, holder, 0)
        market.chain.send(market.pool, "supply(address,uint256,address,uint16)", *terms, sender=holder)
    market.chain.flush()
    ids = {str(info.id) for info in both}

    result = scan(market, tmp_path)
    outcome = invoke(capfd, "account", holder, *where(market, tmp_path / "i"), "--format", "json", "-q")

    reserves = result.frames["reserves"].filter(symbol="LDO")
    assert set(reserves["reserve"]) == ids
    assert set(reserves["decimals"]) == {8, 18}
    assert {proof.reserve for proof in result.markets[0].completeness if proof.symbol == "LDO"} == ids
    legs = result.frames["legs"].filter(symbol="LDO", side="collateral")
    assert legs.height
    assert (legs["value_usd"] / legs["amount_tokens"]).to_list() == pytest.approx([0.75] * legs.height)
    assert outcome.code == 0
    found = {leg["reserve"]: leg["amount"] for leg in outcome.document["account"]["collateral"]}
    assert found == dict.fromkeys(ids, pytest.approx(10))


def test_an_oracle_that_answers_nothing_leaves_accounts_unpriced(
    dev: DevMarket, tmp_path: Path, capfd: Capture
) -> None:
    result = scan(dev, tmp_path)

    ids = {key: str(dev.reserves[key].id) for key in ("ZRO", "RVT")}
    reasons = dict(result.frames["skipped"].filter(what="reserve").select("reserve", "reason").iter_rows())
    assert reasons == dict.fromkeys(ids.values(), "unpriced: oracle reverted")
    held = result.frames["legs"].filter(pl.col("reserve").is_in(list(ids.values())))
    assert held["value_raw"].null_count() == held.height > 0
    unpriced = result.frames["accounts"].filter(status="unpriced")
    assert set(unpriced["position"]) == set(held["position"])
    assert unpriced["health_factor_wad"].null_count() == unpriced["debt_raw"].null_count() == unpriced.height
    assert (result.snapshot.complete, result.mismatched) == (True, False)

    outcome = invoke(capfd, "scan", *where(dev, tmp_path / "i"), "--format", "json", "--verify", "all", "-q")
    assert (outcome.code, outcome.err) == (0, "")
    assert outcome.document["unpriced"]["account_count"] == unpriced.height
    listed = {(row["reserve"], row["reason"]) for row in outcome.document["skipped"]}
    assert listed == set(reasons.items())
    prices = {row["reserve"]: row["price_usd"] for row in outcome.document["reserves"]}
    assert [prices[id_] for id_ in ids.values()] == [None, None]


def test_an_oracle_that_answers_zero_makes_no_price(dev: DevMarket, rollback: Rollback, tmp_path: Path) -> None:
    """A feed's zero makes the oracle ask its fallback; the pool takes that one's zero for a price."""
    market, fallback = rollback(dev), "0x" + "fa" * 20
    market.anvil.rpc("anvil_setCode", fallback, "0x60205ff3")  # answers zero to everything
    market.chain.send(market.oracle, "setFallbackOracle(address)", fallback)
    market.chain.flush()
    zero = str(market.reserves["ZRO"].id)

    result = scan(market, tmp_path)

    reasons = dict(result.frames["skipped"].select("reserve", "reason").iter_rows())
    assert reasons[zero] == "unpriced: oracle answered 0"
    held = set(result.frames["legs"].filter(reserve=zero)["position"])
    unpriced = set(result.frames["accounts"].filter(status="unpriced")["position"])
    assert held
    assert held <= unpriced
    assert result.trustworthy


@pytest.mark.parametrize("answer", [2**126 + 1, 2**128, 2**200, 2**255 - 1])
def test_an_absurd_oracle_answer_leaves_its_holders_unpriced_and_no_one_else(
    dev36: DevMarket, rollback: Rollback, tmp_path: Path, answer: int
) -> None:
    market = rollback(dev36)
    market.set_price("LINK", answer)
    market.chain.flush()
    link = str(market.reserves["LINK"].id)

    result = scan(market, tmp_path, verify="all")

    reasons = dict(result.frames["skipped"].filter(what="reserve").select("reserve", "reason").iter_rows())
    assert reasons[link] == "unpriced: oracle answered more than 2^126"
    legs, accounts = result.frames["legs"], result.frames["accounts"]
    broken = legs.filter(pl.col("reserve").is_in(list(reasons)))["position"].unique()
    assert set(accounts.filter(status="unpriced")["position"]) == set(broken)
    assert legs.filter(reserve=link).height
    assert result.trustworthy


def commands(market: DevMarket) -> Iterator[list[str]]:
    fragile = market.of_kind("fragile")[0]
    yield from (["scan", "-v"], ["scan", "--by", "debt"], ["accounts"])
    yield from (["account", fragile], ["account", fragile, "--format", "json"])
    yield from (["index"], ["index", "--export", "-"])


def test_no_symbol_reaches_the_terminal_with_its_escape_codes(dev36: DevMarket, tmp_path: Path, capfd: Capture) -> None:
    seen = {}
    for arguments in commands(dev36):
        outcome = invoke(capfd, *arguments, *where(dev36, tmp_path / "i"))
        assert outcome.code == 0, (arguments, outcome.err)
        seen[" ".join(arguments)] = outcome.out + outcome.err
    result = scan(dev36, tmp_path, extent="factors")
    for write in (scan_json, accounts_json, bands_csv, accounts_csv):
        seen[write.__name__] = write(result).decode()
    seen["svg"] = svg(Heatmap(result, now=0, by="asset"))

    for name, said in seen.items():
        controls = {c for c in said if not c.isprintable() and c not in "\n"}
        assert not controls, (name, controls)
    assert all(word in "".join(seen.values()) for word in ("RVT", "MKR", "\N{REPLACEMENT CHARACTER}"))


# -- numbers ----------------------------------------------------------------------------------------------------------

TOO_LARGE = "too large: a leg of 10^38 or more, or worth 10^30 base units"


def set_scaled(market: DevMarket, token: str, account: str, scaled: int) -> None:
    """Write an account's scaled balance into a token's storage; the other half of the word is its last index."""
    anvil, bits = market.anvil, 120 if market.kind == "3.6" else 128
    old = int(market.chain.call(token, "scaledBalanceOf(address)", "uint256", account)[0])
    for slot in range(200):
        at = "0x" + keccak(bytes(12) + bytes.fromhex(account[2:]) + slot.to_bytes(32, "big")).hex()
        word = int(anvil.rpc("eth_getStorageAt", token, at, "latest"), 16)
        if word and word % 2**bits == old:
            anvil.rpc("anvil_setStorageAt", token, at, f"0x{word - old + scaled:064x}")
            anvil.rpc("anvil_mine", "0x1")
            assert market.chain.call(token, "scaledBalanceOf(address)", "uint256", account)[0] == scaled
            return
    raise AssertionError("no slot holds the balance")


def owner_of(market: DevMarket, result: ScanResult, key: str, side: str) -> str:
    """Name a priced account with other legs beside this one."""
    legs = result.frames["legs"].filter(reserve=str(market.reserves[key].id), side=side)
    fine = result.frames["accounts"].filter(pl.col("status").is_in(["healthy", "liquidatable"]))["position"]
    return str(legs.filter(pl.col("position").is_in(fine.implode()))["position"][0])


@pytest.mark.parametrize(
    ("kind", "key", "side", "scaled"),
    [
        ("3.0", "WETH", "collateral", 2**128 - 1),  # more than 10^38
        ("3.0", "USDC", "debt", 2**128 - 1),
        ("3.0", "USDC", "collateral", 9 * 10**37),  # less, but worth too much to be summed
        ("3.0", "USDT", "debt", 9 * 10**37),
        ("3.6", "WBTC", "collateral", 2**120 - 1),
        ("3.6", "USDT", "debt", 2**120 - 1),
    ],
)
def test_a_monstrous_amount_is_skipped_and_nothing_else(
    dev36: DevMarket, dev30: DevMarket, rollback: Rollback, tmp_path: Path, capfd: Capture,
    kind: str, key: str, side: str, scaled: int,
) -> None:  # fmt: skip
    market = rollback(dev36 if kind == "3.6" else dev30)
    before = scan(market, tmp_path)
    chosen = owner_of(market, before, key, side)
    token = market.reserves[key].atoken if side == "collateral" else market.reserves[key].vtoken
    set_scaled(market, token, chosen, scaled)

    result = scan(market, tmp_path)

    skipped = result.frames["skipped"].filter(what="position")
    assert skipped.select("position", "reason").rows() == [(chosen, TOO_LARGE)]
    assert not result.mismatched
    assert result.markets[0].verified_accounts == before.frames["accounts"].height - 1
    others = before.frames["accounts"].filter(pl.col("position") != chosen)["position"]
    assert result.frames["accounts"]["position"].to_list() == others.to_list()

    outcome = invoke(capfd, "accounts", *where(market, tmp_path / "index.sqlite"), "--verify", "all", "-q")
    assert outcome.code == 4
    assert "1 accounts could not be read" in outcome.err
    owed = before.frames["legs"].filter(pl.col("position") == chosen, pl.col("side") == "debt")
    for row in owed.to_dicts():
        assert "of debt missing" in outcome.err
        assert f"{row['scaled_raw']} scaled units" in outcome.err


def test_a_large_amount_that_can_be_summed_is_exact(
    dev30: DevMarket, rollback: Rollback, tmp_path: Path, capfd: Capture
) -> None:
    market = rollback(dev30)
    chosen = owner_of(market, scan(market, tmp_path), "DAI", "collateral")
    set_scaled(market, market.reserves["DAI"].atoken, chosen, 9 * 10**37)

    outcome = invoke(capfd, "accounts", *where(market, tmp_path / "i"), "--verify", "all", "--format", "json", "-q")

    assert (outcome.code, outcome.err) == (0, "")
    (row,) = (row for row in outcome.document["accounts"] if row["account"].lower() == chosen)
    truth = Peer(market, outcome.document["snapshot"]["block_number"]).account_data_alone(chosen)
    told = (row["collateral_base"], row["debt_base"], row["health_factor_wad"])
    assert told == (str(truth.collateral), str(truth.debt), str(truth.health_factor))
    assert truth.collateral > 8 * 10**27


# -- revisions --------------------------------------------------------------------------------------------------------


def revised(
    source: Path, target: Path, pool: str, revision: int, more: Callable[[Recording], None] | None = None
) -> Path:
    """Copy a recording whose pool names another revision."""
    recording = load(source)
    (key,) = (k for k in recording.calls if k[0] == pool and k[1] == keccak(text="POOL_REVISION()")[:4])
    recording.calls[key] = revision.to_bytes(32, "big")
    if more is not None:
        more(recording)
    recording.save(target)
    return target


def test_an_unknown_revision_is_refused_unless_every_account_agrees(
    dev36: DevMarket, tmp_path: Path, capfd: Capture
) -> None:
    file = tmp_path / "dev.rec"
    scan(dev36, tmp_path, record=file)

    def lose_a_price(recording: Recording) -> None:
        asset = dev36.reserves["WETH"].asset
        key = (dev36.oracle, keccak(text="getAssetPrice(address)")[:4] + bytes(12) + bytes.fromhex(asset[2:]), "")
        answer = recording.calls[key]
        assert isinstance(answer, bytes)
        recording.calls[key] = (int.from_bytes(answer, "big") + 1).to_bytes(32, "big")

    unknown = revised(file, tmp_path / "12.rec", dev36.pool, 12)
    wrong = revised(file, tmp_path / "wrong.rec", dev36.pool, 12, lose_a_price)
    for how in ("none", "sample"):
        outcome = invoke(capfd, "scan", "--replay", unknown, "--verify", how)
        assert (outcome.code, outcome.out) == (4, "")
        assert "says POOL_REVISION 12; there are rules for 1 to 11" in outcome.err
        assert "--verify all" in outcome.err

    agreed = invoke(capfd, "scan", "--replay", unknown, "--verify", "all", "--format", "json")
    assert agreed.code == 0
    assert "pool revision 12 is unknown; the rules are those of 11" in agreed.err
    (market,) = agreed.document["markets"]
    assert (market["revision"], market["verified"]["mismatches"]) == (12, [])

    outcome = invoke(capfd, "scan", "--replay", wrong, "--verify", "all")
    assert outcome.code == 4
    assert "mismatch: " in outcome.err
