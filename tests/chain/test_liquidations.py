"""Seizures against liquidations that a real pool executes or refuses."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import polars as pl
import pytest
from eth_abi.abi import decode
from eth_utils.crypto import keccak

from scanner.chain.reader import open_reader
from scanner.devchain import DevMarket
from scanner.devchain.tx import calldata
from scanner.errors import RpcError
from scanner.protocols.aave_v3.detail import AaveDetail
from scanner.protocols.aave_v3.protocol import AaveV3
from scanner.risk.rules import Answers, Positions
from tests.chain.conftest import Rollback
from tests.reference import aave_v3 as ref
from tests.reference.convert import accounts_of, market_of

pytestmark = pytest.mark.chain

LIQUIDATOR = "0x" + keccak(text="seizures liquidator")[12:].hex()
MAX = 2**256 - 1
CALL = "liquidationCall(address,address,address,uint256,bool)"
SCENARIOS = ({"ETH": 86}, {"ETH": 75}, {"ETH": 130, "LINK": 85}, {"BTC": 80, "LINK": 80}, {"ETH": 45})
MOST = 60  # calls per scenario and branch


def topic(signature: str) -> str:
    return "0x" + keccak(text=signature).hex()


LIQUIDATED = topic("LiquidationCall(address,address,address,uint256,uint256,address,bool)")
BALANCE_TRANSFER = topic("BalanceTransfer(address,address,uint256,uint256)")
DEFICIT = topic("DeficitCreated(address,address,uint256)")

# what the pool says: 3.6 by name, 3.0 by number
REFUSALS = {
    "paused": {"3.6": "ReservePaused()", "3.0": "29"},
    "sentinel": {"3.6": "PriceOracleSentinelCheckFailed()", "3.0": "59"},
    "grace": {"3.6": "LiquidationGraceSentinelCheckFailed()"},
    "dust": {"3.6": "MustNotLeaveDust()"},
}


@dataclass(frozen=True)
class Scan:
    """Our numbers and the reference's at the newest block."""

    detail: AaveDetail
    positions: Positions
    answers: dict[str, int]
    pairs: pl.DataFrame

    @property
    def names(self) -> pl.Series:
        return self.positions.accounts["position"]


def scan(market: DevMarket) -> Scan:
    aave = AaveV3()
    with open_reader(market.anvil.url) as reader:
        found = aave.read_market(reader, market.root, "devchain")
        positions = aave.read_positions(reader, found, [member.address for member in market.members])
    pairs = aave.rules(found).seizures(positions, Answers(found.answers))
    assert isinstance(found.detail, AaveDetail)
    return Scan(found.detail, positions, dict(found.answers), pairs)


def equip(market: DevMarket) -> None:
    """Hold the clock and give the liquidator all it may need."""
    market.hold_clock(held=True)
    for info in market.reserves.values():
        market.chain.send(info.asset, "mint(address,uint256)", LIQUIDATOR, 10**9 * 10**info.decimals)
    for info in market.reserves.values():
        market.chain.send(info.asset, "approve(address,uint256)", market.pool, MAX, sender=LIQUIDATOR)
    market.chain.flush()


def shock(market: DevMarket, start: dict[str, int], percent: dict[str, int]) -> None:
    for feed, value in start.items():
        market.set_price(feed, value * percent.get(feed, 100) // 100)


def movable(market: DevMarket) -> dict[str, int]:
    return {feed: market.answer(feed) for feed in ("ETH", "BTC", "LINK")}


def request(market: DevMarket, seen: Scan, pair: dict[str, Any], offer: int) -> dict[str, str]:
    by_id = {str(info.id): info for info in market.reserves.values()}
    data = calldata(
        CALL,
        by_id[pair["collateral_reserve"]].asset,
        by_id[pair["debt_reserve"]].asset,
        seen.names[pair["row"]],
        offer,
        False,
    )
    return {"from": LIQUIDATOR, "to": market.pool, "data": "0x" + data.hex(), "gas": hex(10**8), "gasPrice": "0x0"}


def execute(market: DevMarket, requests: Sequence[dict[str, str]]) -> list[dict[str, Any]]:
    """Mine all in one block at the clock's time; give the receipts in order."""
    anvil = market.anvil
    nonce = int(anvil.rpc("eth_getTransactionCount", LIQUIDATOR, "latest"), 16)
    anvil.rpc("evm_setAutomine", False)
    try:
        numbered = [{**one, "nonce": hex(nonce + i)} for i, one in enumerate(requests)]
        hashes = anvil.batch([("eth_sendTransaction", [one]) for one in numbered])
        anvil.rpc("evm_mine")
    finally:
        anvil.rpc("evm_setAutomine", True)
    receipts = {r["transactionHash"]: r for r in anvil.rpc("eth_getBlockReceipts", "latest")}
    return [receipts[one] for one in hashes]


def refusal(market: DevMarket, call: dict[str, str]) -> str:
    """Give what an eth_call is refused with, or an empty text when it passes."""
    try:
        market.anvil.rpc("eth_call", call, "latest")
    except RpcError as error:
        return str(error)
    return ""


def offer_of(pair: dict[str, Any]) -> int:
    return int(pair["repay_raw"]) if pair["branch"] == "dust" else MAX


def chosen(seen: Scan) -> list[dict[str, Any]]:
    """Pick one open pair per account, rare branches first, not only the best."""
    rank = {"dust": 0, "half": 1, "all": 2, "collateral": 3}
    pairs = seen.pairs.filter(pl.col("blocked_by").is_null()).with_columns(
        pl.col("branch").replace_strict(rank, return_dtype=pl.Int64).alias("rank")
    )
    pairs = pairs.sort("rank", "row", maintain_order=True).unique("row", keep="first", maintain_order=True)
    return pairs.group_by("branch", maintain_order=True).head(MOST).rows(named=True)


def assert_refused(market: DevMarket, call: dict[str, str], blocked_by: str) -> None:
    """See that the pool refuses a call, and says why."""
    said, expected = refusal(market, call), REFUSALS[blocked_by][market.kind]
    error = expected if market.kind == "3.0" else keccak(text=expected)[:4].hex()
    assert re.search(rf"\b(0x)?{error}\b", said), (blocked_by, said)


def log_data(receipt: dict[str, Any], first: str, types: Sequence[str]) -> list[tuple[list[str], tuple[Any, ...]]]:
    """Decode the data of the logs with this topic; give (address and topics, values)."""
    return [
        ([log["address"], *("0x" + t[26:] for t in log["topics"][1:])], decode(types, bytes.fromhex(log["data"][2:])))
        for log in receipt["logs"]
        if log["topics"][0] == first
    ]


def check_call(
    market: DevMarket, seen: Scan, pair: dict[str, Any], want: ref.Liquidation, receipt: dict[str, Any]
) -> None:
    """Compare our row, the reference and the receipt."""
    assert int(receipt["status"], 16) == 1, pair
    assert (pair["repay_raw"], pair["seize_raw"], pair["fee_raw"]) == (want.repaid, want.seized, want.fee)
    assert (pair["repay_value_raw"], pair["seize_value_raw"]) == (want.repaid_base, want.seized_base)
    ((_, (repaid, received, _, _)),) = log_data(receipt, LIQUIDATED, ["uint256", "uint256", "address", "bool"])
    assert (repaid, received) == (pair["repay_raw"], pair["seize_raw"] - pair["fee_raw"])
    atoken = next(i.atoken for i in market.reserves.values() if str(i.id) == pair["collateral_reserve"])
    treasury = market.chain.call(atoken, "RESERVE_TREASURY_ADDRESS()", "address")[0]
    credited = [
        values[0]
        for (token, _, to), values in log_data(receipt, BALANCE_TRANSFER, ["uint256", "uint256"])
        if (token, to) == (atoken, treasury)
    ]
    assert sum(credited) == want.treasury_scaled
    if seen.detail.revision >= 7:
        deficits = {where[2]: values[0] for where, values in log_data(receipt, DEFICIT, ["uint256"])}
        by_asset = {r.id: r.asset for r in seen.detail.reserves}
        assert deficits == {by_asset[i]: amount for i, amount in want.deficits.items()}
    assert pair["bad_debt_raw"] == want.bad_debt_base


def check_balances(
    market: DevMarket, seen: Scan, calls: Sequence[tuple[dict[str, Any], ref.Account, ref.Liquidation]]
) -> None:
    """Compare what borrowers are left with."""
    by_id = {info.id: info for info in market.reserves.values()}
    asked, wanted = [], []
    for pair, account, want in calls:
        owner = seen.names[pair["row"]]
        collateral, debt = by_id[want.collateral_id], by_id[want.debt_id]
        scaled = calldata("scaledBalanceOf(address)", owner)
        asked += [(collateral.atoken, scaled, "uint256"), (debt.vtoken, scaled, "uint256")]
        wanted.append(account.collateral[want.collateral_id] - want.received_scaled - want.treasury_scaled)
        wanted.append(account.debt.get(want.debt_id, 0) - want.debt_burnt_scaled)
        if want.debt_id in account.stable:
            asked.append((str(debt.stoken), calldata("balanceOf(address)", owner), "uint256"))
            now = market.timestamp
            before = ref.stable_debt(market_of(seen.detail), account.stable[want.debt_id], now)
            wanted.append(before - want.stable_burnt)
    assert [answer[0] for answer in market.chain.calls(asked)] == wanted


def liquidate(market: DevMarket, seen: Scan) -> Counter[str]:
    """Execute the chosen calls and compare everything; count the branches."""
    reference, accounts = market_of(seen.detail), accounts_of(seen.positions)
    pairs = chosen(seen)
    timestamp = market.timestamp
    wants = [
        ref.largest(
            accounts[p["row"]],
            reference,
            seen.answers,
            timestamp,
            int(p["collateral_reserve"]),
            int(p["debt_reserve"]),
        )
        for p in pairs
    ]
    for pair in pairs:
        if pair["branch"] == "dust":
            for offer in (int(pair["repay_raw"]) + 1, MAX):
                assert_refused(market, request(market, seen, pair, offer), "dust")
    receipts = execute(market, [request(market, seen, pair, offer_of(pair)) for pair in pairs])
    assert market.timestamp == timestamp
    counts: Counter[str] = Counter()
    for pair, want, receipt in zip(pairs, wants, receipts, strict=True):
        check_call(market, seen, pair, want, receipt)
        counts[want.branch] += 1
        counts["bad debt"] += bool(want.bad_debt_base)
        counts["fee"] += bool(want.fee)
        counts["stable"] += bool(want.stable_burnt)
    check_balances(market, seen, [(p, accounts[p["row"]], w) for p, w in zip(pairs, wants, strict=True)])
    return counts


def test_executed_liquidations_move_what_the_frame_says(market: DevMarket, rollback: Rollback) -> None:
    counts: Counter[str] = Counter()
    rollback(market)
    equip(market)
    start = movable(market)
    for percent in SCENARIOS:
        before = market.snapshot()
        shock(market, start, percent)
        counts += liquidate(market, scan(market))
        market.revert(before)
        market.hold_clock(held=True)
    assert counts["half"] + counts["all"] + counts["collateral"] + counts["dust"] >= 300
    assert min(counts[b] for b in ("half", "all", "collateral", "fee", "bad debt")) >= 20
    assert counts["dust" if market.kind == "3.6" else "stable"] >= 3


def test_blocked_pairs_are_refused(market: DevMarket, rollback: Rollback) -> None:
    rollback(market)
    equip(market)
    shock(market, movable(market), {"ETH": 75})
    seen = scan(market)
    blocked = seen.pairs.filter(pl.col("blocked_by").is_not_null())
    for pair in blocked.rows(named=True):
        assert_refused(market, request(market, seen, pair, MAX), pair["blocked_by"])
    assert set(blocked["blocked_by"]) >= ({"paused", "grace"} if market.kind == "3.6" else {"paused"})


def test_a_fallen_sentinel_blocks_until_95_percent(market: DevMarket, rollback: Rollback) -> None:
    rollback(market)
    equip(market)
    market.set_sentinel(down=True)
    shock(market, movable(market), {"ETH": 86})
    seen = scan(market)
    stopped = seen.pairs.filter(pl.col("blocked_by") == "sentinel").rows(named=True)
    assert len(stopped) >= 20
    for pair in stopped:
        assert_refused(market, request(market, seen, pair, MAX), "sentinel")
    allowed = chosen(seen)
    assert len(allowed) >= 20
    for pair in allowed:
        assert refusal(market, request(market, seen, pair, offer_of(pair))) == ""


def test_the_reference_values_accounts_as_the_pool_does(market: DevMarket) -> None:
    seen = scan(market)
    reference, accounts = market_of(seen.detail), accounts_of(seen.positions)
    priced: list[tuple[str, ref.AccountData]] = []
    for name, account in zip(seen.names, accounts, strict=True):
        try:
            priced.append((name, ref.account_data(account, reference, seen.answers, market.timestamp)))
        except ref.Reverted:
            with pytest.raises(RpcError):
                market.account_data([name])
    assert len(priced) > 1_900
    for data, (name, want) in zip(market.account_data([name for name, _ in priced]), priced, strict=True):
        got = (data.collateral, data.debt, data.threshold, data.health_factor)
        assert got == (want.collateral_base, want.debt_base, want.avg_threshold, want.health_factor), name
