"""Quotes are executed: every pair, as a real ``liquidationCall`` at the quoted timestamp, moves what was quoted."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jsonschema
import polars as pl
import pytest
from eth_utils.crypto import keccak

from scanner.devchain import Anvil, DevMarket, act, deploy_market, populate
from scanner.devchain.market import KINDS, Kind
from scanner.devchain.toolchain import Toolchain
from scanner.devchain.tx import calldata
from scanner.export import schemas
from scanner.pipeline import Scanned, ScanOptions, rescanned, scan_read
from scanner.quotes import quotes
from scanner.whatif import parse_whatif
from tests.chain.conftest import BORROWERS, Rollback
from tests.chain.executor import MAX, Executor, Moved, with_cover
from tests.chain.peers import invoke
from tests.chain.test_liquidations import DEFICIT, log_data

pytestmark = pytest.mark.chain

AHEAD = 12
SHOCKS = (("ETH=-14%",), ("ETH=-25%",), ("ETH=+30%", "LINK=-15%"))
MORE_SHOCKS = (("ETH=-55%",), ("BTC=-20%", "LINK=-20%"), ("ETH=-25%", "BTC=-25%", "LINK=-25%"))
BUYER = "0x" + keccak(text="quotes liquidator")[12:].hex()
PROVIDER = "@aave-dao/aave-v3-origin/src/contracts/helpers/LiquidationDataProvider.sol"

# what the pool says: 3.6 by name, 3.0 by number
REFUSALS = {
    "paused": {"3.6": "ReservePaused()", "3.0": "29"},
    "grace": {"3.6": "LiquidationGraceSentinelCheckFailed()"},
    "sentinel": {"3.6": "PriceOracleSentinelCheckFailed()", "3.0": "59"},
    "dust": {"3.6": "MustNotLeaveDust()"},
}

Quote = Mapping[str, Any]


@dataclass(frozen=True)
class Scene:
    """A market whose clock stands at the quoted time and whose prices are those of the what-if."""

    market: DevMarket
    executor: Executor
    frame: pl.DataFrame

    @property
    def quotes(self) -> list[Quote]:
        return self.frame.to_dicts()

    @property
    def open(self) -> list[Quote]:
        return [quote for quote in self.quotes if quote["blocked_by"] is None]


def read(market: DevMarket, folder: Path) -> Scanned:
    options = ScanOptions(
        rpc_urls=(market.anvil.url,),
        markets=(market.root,),
        from_block=market.first_block,
        index_file=folder / f"index-{market.kind}",
        extent="points",
        verify="none",
    )
    return scan_read(options)


def enact(market: DevMarket, scanned: Scanned, shocks: Sequence[str]) -> pl.DataFrame:
    """Quote a what-if, then let the chain become what it says: prices, and the time at which the quotes hold."""
    after = rescanned(scanned, parse_whatif(shock=shocks), ScanOptions(extent="points"))
    at = scanned.result.snapshot.block_timestamp + AHEAD
    frame = quotes(after.reads, at)
    names = {address.lower(): name for name, address in market.feeds.items()}
    for address, feed in after.reads[0].graph.feeds.items():
        if feed.answer != scanned.reads[0].graph.feeds[address].answer:
            market.set_price(names[address.lower()], feed.answer)
    market.advance(at - market.timestamp)
    assert market.timestamp == at
    return frame.filter(~pl.col("position").is_in(holders(after, foreign(market, after, at))))


def foreign(market: DevMarket, after: Scanned, at: int) -> list[str]:
    """Name the reserves whose price only the chain moved: no getter says what feed is behind them."""
    told = after.reads[0].graph.answers_at({}, at)
    infos = {str(info.id): info for info in market.reserves.values()}
    moved = [key for key in told if key in infos and market.price(infos[key].key) != told[key]]
    assert {infos[key].key for key in moved} <= {"osETH"}
    return moved


def holders(after: Scanned, reserves: Sequence[str]) -> list[str]:
    return after.result.frames["legs"].filter(pl.col("reserve").is_in(reserves))["position"].unique().to_list()


def scene(market: DevMarket, scanned: Scanned, executor: Executor, shocks: Sequence[str]) -> Scene:
    return Scene(market, executor, enact(market, scanned, shocks))


def moved(scene: Scene, offers: Sequence[Quote]) -> list[Moved]:
    time, seen = scene.executor.run(offers)
    assert time == scene.market.timestamp
    return seen


def check_moves(quote: Quote, seen: Moved, kind: str) -> None:
    """Compare one executed quote with what moved: not a unit of difference."""
    assert seen.done, (quote, seen.why.hex())
    same = quote["debt_asset"] == quote["collateral_asset"]
    paid, received = int(quote["repay_raw"]), int(quote["receive_raw"])
    assert seen.received == (received - paid if same else received), quote
    assert seen.paid == (paid - received if same else paid), quote
    assert seen.burned == quote["debt_burned_raw"], quote
    assert seen.treasury_scaled == quote["treasury_scaled_raw"], quote
    if seen.treasury_had == 0:
        assert seen.treasury == quote["treasury_raw"], quote
    assert abs(seen.treasury - int(quote["treasury_raw"])) <= 1, quote
    assert quote["seize_raw"] == quote["receive_raw"] + quote["fee_raw"]
    if quote["bad_debt_base"]:
        left = quote["bad_debt_base"] if kind == "3.0" else 0  # from v3.3 it becomes the reserve's deficit
        assert (seen.collateral_base, seen.debt_base) == (0, left), quote


def check_more(scene: Scene) -> Counter[str]:
    """Offer more than the most: it is lowered, or refused as quoted."""
    counts: Counter[str] = Counter()
    offers, about = [], []
    for quote in scene.open:
        repaid, most = int(quote["repay_raw"]), int(quote["most_repay_raw"])
        if quote["over_maximum"] == "reverts":
            tried = (repaid + 1, 2 * repaid, MAX)
        elif most > repaid:
            tried = (most, most + 1, 2 * most)
        else:
            tried = (repaid + 1, 2 * repaid)
        offers += [with_cover(quote, offer) for offer in tried]
        about += [(quote, offer) for offer in tried]
    for (quote, offer), seen in zip(about, moved(scene, offers), strict=True):
        kind = "above" if offer != quote["most_repay_raw"] else "most"
        if quote["over_maximum"] == "reverts":
            assert_refused(seen, "dust", scene.market.kind)
            kind = "refused"
        elif offer == quote["most_repay_raw"]:
            same = quote["debt_asset"] == quote["collateral_asset"]
            assert seen.done, quote
            assert seen.paid == offer or same, quote
            assert seen.received <= _net(quote, offer), quote
        elif quote["branch"] != "collateral" or offer >= 2 * int(quote["most_repay_raw"]):
            check_moves(quote, seen, scene.market.kind)  # clamped
        elif seen.done:  # one unit more: the same, or a unit less of collateral is left
            assert seen.received <= _net(quote, int(quote["repay_raw"])), quote
            assert seen.paid <= int(quote["most_repay_raw"]), quote
        else:
            assert_refused(seen, "dust", scene.market.kind)
            kind = "between"
        counts[kind] += 1
    return counts


def _net(quote: Quote, paid: int) -> int:
    """Give what the liquidator has more of the collateral after paying so much."""
    return int(quote["receive_raw"]) - (paid if quote["debt_asset"] == quote["collateral_asset"] else 0)


def assert_refused(seen: Moved, blocked_by: str, kind: str) -> None:
    expected = REFUSALS[blocked_by][kind]
    assert not seen.done
    assert (expected.encode() in seen.why) if kind == "3.0" else seen.why == keccak(text=expected)[:4]


def check_blocked(scene: Scene) -> Counter[str]:
    """See that the pool refuses every blocked pair, whatever is offered, and says why."""
    counts: Counter[str] = Counter()
    for quote in scene.quotes:
        if quote["blocked_by"] is None:
            continue
        if quote["debt_to_cover"] is None:  # no amount is taken
            terms = (quote["collateral_asset"], quote["debt_asset"], quote["position"])
            data = calldata("liquidationCall(address,address,address,uint256,bool)", *terms, 0, False)
            base = {**quote, "data": "0x" + data.hex()}
            seen = moved(scene, [with_cover(base, offer) for offer in (MAX, 1, 10**6, 10**12, 10**18)])
            assert not any(one.done for one in seen), quote
        else:
            (one,) = moved(scene, [quote])
            assert_refused(one, quote["blocked_by"], scene.market.kind)
        counts[quote["blocked_by"]] += 1
    return counts


def check_provider(scene: Scene, provider: str) -> Counter[str]:
    """Compare with the protocol's own LiquidationDataProvider where it is right."""
    info = "uint256,uint256,uint256,uint256,uint256,uint256"
    returns = f"({info}),(address,uint256,uint256,uint256,uint256),(address,uint256,uint256,uint256,uint256)"
    ask = "getLiquidationInfo(address,address,address)"
    names = ("position", "collateral_asset", "debt_asset")
    requests = [
        (provider, calldata(ask, *(quote[name] for name in names)), f"({returns},uint256,uint256,uint256,uint256)")
        for quote in scene.open
    ]
    counts: Counter[str] = Counter()
    for quote, (answer,) in zip(scene.open, scene.market.chain.calls(requests), strict=True):
        theirs = answer[3:6]
        ours = (quote["receive_raw"], quote["repay_raw"], quote["fee_raw"])
        if quote["branch"] in ("half", "all"):
            assert theirs == ours, quote
            assert answer[6] in (MAX, quote["repay_raw"])
            counts["equal"] += 1
        else:
            counts["equal" if theirs == ours else quote["branch"]] += 1
    return counts


def deploy_provider(market: DevMarket) -> str:
    text = (market.toolchain.modules / PROVIDER).read_text(encoding="utf-8")
    made = market.toolchain.compile({PROVIDER: text}, [f"{PROVIDER}:LiquidationDataProvider"], what="the provider")
    provider = market.chain.deploy(
        made["LiquidationDataProvider"], "address,address", market.pool, market.root, what="the data provider"
    )
    market.chain.flush()
    return provider


def prepare(market: DevMarket, rollback: Rollback, folder: Path, *, treasury: bool) -> tuple[Scanned, Executor]:
    rollback(market)
    market.hold_clock(held=True)
    executor = Executor(market)
    if treasury:  # it holds shares already, of uneven amounts
        for key in ("WETH", "wstETH", "WBTC", "LINK"):
            info = market.reserves[key]
            amount = 10**info.decimals // 7
            receiver = market.chain.call(info.atoken, "RESERVE_TREASURY_ADDRESS()", "address")[0]
            market.chain.send(info.asset, "mint(address,uint256)", BUYER, amount, sender=BUYER)
            market.chain.send(info.asset, "approve(address,uint256)", market.pool, MAX, sender=BUYER)
            supply = (info.asset, amount, receiver, 0)
            market.chain.send(market.pool, "supply(address,uint256,address,uint16)", *supply, sender=BUYER)
        market.chain.flush()
    return read(market, folder), executor


def execute_all(market: DevMarket, scanned: Scanned, executor: Executor, shocks: Sequence[str]) -> Counter[str]:
    """Execute everything that is quoted after a shock, and more; count what was seen."""
    before = market.snapshot()
    on = scene(market, scanned, executor, shocks)
    counts: Counter[str] = Counter(accounts=on.frame["position"].n_unique(), quotes=on.frame.height)
    for quote, seen in zip(on.open, moved(on, on.open), strict=True):
        check_moves(quote, seen, market.kind)
        counts[quote["branch"]] += 1
        counts["bad debt"] += quote["bad_debt_base"] > 0
        counts["treasury had"] += seen.treasury_had > 0
    counts += check_more(on) + check_blocked(on)
    market.revert(before)
    market.hold_clock(held=True)
    return counts


def test_every_quote_moves_what_it_says(market: DevMarket, rollback: Rollback, tmp_path: Path) -> None:
    scanned, executor = prepare(market, rollback, tmp_path, treasury=False)
    counts: Counter[str] = Counter()
    for shocks in SHOCKS:
        found = execute_all(market, scanned, executor, shocks)
        assert found["accounts"] >= (100 if "ETH=-25%" in shocks else 1)
        counts += found
    assert counts["treasury had"] == 0
    assert counts["quotes"] >= 800
    assert min(counts[name] for name in ("half", "all", "collateral", "bad debt", "most", "above", "paused")) >= 3
    if market.kind == "3.6":
        assert min(counts[name] for name in ("dust", "refused", "grace")) >= 3, counts


def test_a_treasury_that_holds_shares_gets_the_quoted_ones(
    market: DevMarket, rollback: Rollback, tmp_path: Path
) -> None:
    scanned, executor = prepare(market, rollback, tmp_path, treasury=True)
    assert execute_all(market, scanned, executor, ("ETH=-14%",))["treasury had"] >= 20


@pytest.mark.soak
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("seed", [2, 3, 4])
@pytest.mark.parametrize("kind", KINDS)
def test_every_quote_of_markets_that_have_lived_moves_what_it_says(
    toolchain: Toolchain, kind: Kind, seed: int, tmp_path: Path
) -> None:
    with Anvil(toolchain.anvil) as anvil:
        market = deploy_market(anvil, kind, seed, toolchain=toolchain)
        populate(market, 3 * BORROWERS)
        for _ in range(3):
            act(market, seed=seed)
            market.advance(9 * 24 * 3600)
        scanned, executor = prepare(market, lambda alone: alone, tmp_path, treasury=True)
        for shocks in (*SHOCKS, *MORE_SHOCKS):
            execute_all(market, scanned, executor, shocks)


def test_a_fallen_sentinel_blocks_what_the_quotes_say(market: DevMarket, rollback: Rollback, tmp_path: Path) -> None:
    rollback(market)
    market.hold_clock(held=True)
    market.set_sentinel(down=True)
    executor = Executor(market)
    on = scene(market, read(market, tmp_path), executor, ("ETH=-14%",))
    assert check_blocked(on)["sentinel"] >= 20
    for quote, seen in zip(on.open, moved(on, on.open), strict=True):
        check_moves(quote, seen, market.kind)


def test_the_data_provider_agrees_where_it_is_right(market36: DevMarket, rollback: Rollback, tmp_path: Path) -> None:
    scanned, executor = prepare(market36, rollback, tmp_path, treasury=False)
    provider = deploy_provider(market36)
    counts: Counter[str] = Counter()
    for shocks in SHOCKS:
        before = market36.snapshot()
        counts += check_provider(scene(market36, scanned, executor, shocks), provider)
        market36.revert(before)
        market36.hold_clock(held=True)
    assert counts["equal"] >= 300, counts


def balances(market: DevMarket, quote: Quote) -> list[int]:
    """Read what a call changes: debt, the buyer's two assets, the treasury's shares."""
    by_asset = {info.asset.lower(): info for info in market.reserves.values()}
    held, owed = by_asset[quote["collateral_asset"].lower()], by_asset[quote["debt_asset"].lower()]
    treasury = market.chain.call(held.atoken, "RESERVE_TREASURY_ADDRESS()", "address")[0]
    of = "balanceOf(address)"
    asked = [
        (owed.vtoken, calldata(of, quote["account"]), "uint256"),
        (held.asset, calldata(of, BUYER), "uint256"),
        (owed.asset, calldata(of, BUYER), "uint256"),
        (held.atoken, calldata("scaledBalanceOf(address)", treasury), "uint256"),
    ]
    if owed.stoken:
        asked.append((owed.stoken, calldata(of, quote["account"]), "uint256"))
    return [answer[0] for answer in market.chain.calls(asked)]


def deficit(market: DevMarket, receipt: dict[str, Any]) -> int:
    """Value what a transaction left unpaid, reserve by reserve, as the pool values debt: rounded up."""
    by_asset = {info.asset.lower(): info for info in market.reserves.values()}
    total = 0
    for (_, _, asset), (amount,) in log_data(receipt, DEFICIT, ["uint256"]):
        info = by_asset[asset.lower()]
        total += -(-amount * market.price(info.key) // 10**info.decimals)
    return total


def test_transactions_of_the_document_move_what_it_says(
    market: DevMarket, rollback: Rollback, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    rollback(market)
    market.hold_clock(held=True)
    for info in market.reserves.values():
        market.chain.send(info.asset, "mint(address,uint256)", BUYER, 10**12 * 10**info.decimals)
    for info in market.reserves.values():
        market.chain.send(info.asset, "approve(address,uint256)", market.pool, MAX, sender=BUYER)
    market.chain.flush()
    scanned, file = read(market, tmp_path), tmp_path / "quotes.json"
    where = ("--rpc-url", market.anvil.url, "--market", market.root, "--from-block", market.first_block)
    what = ("--at", "ETH=-25%", "--for-timestamp", f"+{AHEAD}s", "--pairs", "all", "--verify", "none")
    form = ("--format", "json", "-o", file, "--index-file", tmp_path / "index", "--no-progress")
    done = invoke(capfd, "quote", *where, *what, *form)
    assert done.code == 0, done
    document = json.loads(file.read_text())
    jsonschema.validate(document, schemas.load("quotes"))
    frame = enact(market, scanned, ("ETH=-25%",))
    assert len(document["quotes"]) >= frame.height
    assert document["for_timestamp"] == market.timestamp
    known = set(frame["position"])
    chosen = [q for q in document["quotes"] if q["blocked_by"] is None and q["position"].lower() in known]
    rank = ("dust", "half", "all", "collateral")
    rare = sorted(chosen, key=lambda quote: rank.index(quote["branch"]))
    each = {quote["position"]: quote for quote in (*chosen[:30], *rare[-30:], *rare[:30])}  # one pair of an account
    assert len(each) >= 50
    assert sum(quote["bad_debt_base"] != "0" for quote in each.values()) >= 3
    for quote in each.values():
        before = balances(market, quote)
        request = {"from": BUYER, "to": quote["to"], "data": quote["data"], "gas": hex(10**8), "gasPrice": "0x0"}
        receipt = market.anvil.rpc("eth_sendTransactionSync", request)
        assert (int(receipt["status"], 16), market.timestamp) == (1, document["for_timestamp"]), quote
        change = [now - then for then, now in zip(before, balances(market, quote), strict=True)]
        paid, received = int(quote["repay_raw"]), int(quote["receive_raw"])
        same = quote["collateral_asset"] == quote["debt_asset"]
        assert -change[0] - sum(change[4:]) == int(quote["debt_burned_raw"])
        assert change[1:3] == ([received - paid] * 2 if same else [received, -paid])
        assert change[3] == int(quote["treasury_scaled_raw"])
        if market.kind == "3.6":
            assert deficit(market, receipt) == int(quote["bad_debt_base"])
