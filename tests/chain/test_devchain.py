"""The local market is what it promises: asked of the contracts themselves."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import pytest

from scanner.config import child_environment
from scanner.devchain import Anvil, DevMarket, deploy_market, populate
from scanner.devchain.anvil import GENESIS_TIME
from scanner.devchain.plan import plan
from scanner.devchain.population import read_book
from scanner.devchain.toolchain import Toolchain
from scanner.devchain.tx import DEPLOYER, calldata, create_address, types_of
from scanner.errors import DevchainError, RpcError
from tests.chain.conftest import BORROWERS, Rollback

pytestmark = pytest.mark.chain

WAD = 10**18
NO_DEBT = 2**256 - 1
EDGES = (178_109_000_000, 186_202_000_000)
BORROW_TOPIC = "0xb3d084820fb1a9decffb176436bd02558d15fac9b0ddfed8c465bc7359d7dce0"


def configuration(market: DevMarket, key: str) -> int:
    value: int = market.chain.call(market.pool, "getConfiguration(address)", "uint256", market.reserves[key].asset)[0]
    return value


def priced(market: DevMarket) -> list[str]:
    return [m.address for m in market.members if not m.kind.startswith("fragile")]


# -- reserves -----------------------------------------------------------------


def test_reserves_carry_the_ids_decimals_and_terms_of_the_catalogue(market: DevMarket) -> None:
    assert len(market.reserves) >= 14
    assert {info.decimals for info in market.reserves.values()} >= {6, 8, 18}
    for info in market.reserves.values():
        data = configuration(market, info.key)
        listed = market.chain.call(market.pool, "getReserveAddressById(uint16)", "address", info.id)[0]
        assert listed == info.asset
        assert data >> 48 & 0xFF == info.decimals
        assert data >> 16 & 0xFFFF == info.spec.threshold
        assert data >> 56 & 1 == 1  # active
        assert market.chain.call(info.atoken, "UNDERLYING_ASSET_ADDRESS()", "address")[0] == info.asset
        assert market.chain.call(info.vtoken, "UNDERLYING_ASSET_ADDRESS()", "address")[0] == info.asset


def test_fates_have_happened(market: DevMarket) -> None:
    assert configuration(market, "AAVE") >> 57 & 1 == 1  # frozen
    assert configuration(market, "MKR") >> 60 & 1 == 1  # paused
    assert configuration(market, "CRV") & 0xFFFF == 0  # LTV
    untouched = configuration(market, "WETH")
    assert untouched >> 57 & 1 == 0
    assert untouched >> 60 & 1 == 0


def test_a_reserve_of_36_is_in_its_grace_period(market36: DevMarket) -> None:
    getter = "getLiquidationGracePeriod(address)"
    until = market36.chain.call(market36.pool, getter, "uint40", market36.reserves["LDO"].asset)[0]
    assert until > market36.timestamp
    assert market36.chain.call(market36.pool, getter, "uint40", market36.reserves["WETH"].asset)[0] == 0


def test_symbols_that_trip_readers(market36: DevMarket) -> None:
    market = market36
    symbols = Counter(info.symbol for info in market.reserves.values())
    assert symbols["LDO"] == 2
    assert "\x1b" in market.chain.call(market.reserves["RVT"].asset, "symbol()", "string")[0]
    raw = market.chain.call(market.reserves["MKR"].asset, "symbol()", "bytes32")[0]
    assert raw == b"MKR".ljust(32, b"\0")


def test_feeds_stand_behind_proxies_and_adapters_say_what_they_are(market36: DevMarket) -> None:
    market = market36
    call = market.chain.call
    assert call(market.feeds["ETH"], "aggregator()", "address")[0] == market.aggregators["ETH"]
    source = {key: info.source for key, info in market.reserves.items()}
    assert source["WETH"] == market.feeds["ETH"]
    assert call(source["wstETH"], "BASE_TO_USD_AGGREGATOR()", "address")[0] == market.feeds["ETH"]
    assert call(source["wstETH"], "isCapped()", "bool")[0] is False
    assert call(source["weETH"], "isCapped()", "bool")[0] is True
    assert call(source["USDC"], "ASSET_TO_USD_AGGREGATOR()", "address")[0] == market.feeds["USDC"]
    assert call(source["cbETH"], "PEG_TO_BASE()", "address")[0] == market.feeds["ETH"]
    assert call(source["PT-sUSDE"], "MATURITY()", "uint256")[0] > market.timestamp
    for key in ("XAUt", "osETH", "EURF", "GHO"):
        assert call(source[key], "latestAnswer()", "int256")[0] > 0


def test_broken_feeds_make_their_holders_unpriceable_and_mend(market: DevMarket, rollback: Rollback) -> None:
    rollback(market)
    for key in ("ZRO", "RVT"):
        with pytest.raises(RpcError):
            market.price(key)
    holders = market.of_kind("fragile", "fragile_debt")
    assert 2 <= len(holders) <= BORROWERS // 50
    for holder in holders:
        with pytest.raises(RpcError):
            market.account_data([holder])
    market.break_feeds(broken=False)
    assert all(data.collateral for data in market.account_data(holders))


def test_emodes_of_36_have_bitmaps_and_lift_a_reserve_without_base_threshold(market36: DevMarket) -> None:
    market = market36
    getter = "getEModeCategoryCollateralBitmap(uint8)"
    bitmaps = [market.chain.call(market.pool, getter, "uint128", category)[0] for category in (1, 2, 3)]
    assert all(bitmaps)
    assert bitmaps[2] == 1 << market.reserves["ezETH"].id
    users = market.of_kind("emode_only")
    assert users
    assert all(data.health_factor >= WAD for data in market.account_data(users))


def test_the_sentinel_goes_down_and_up(market: DevMarket, rollback: Rollback) -> None:
    rollback(market)
    sentinel = market.chain.call(market.root, "getPriceOracleSentinel()", "address")[0]
    assert market.chain.call(sentinel, "isLiquidationAllowed()", "bool")[0] is True
    market.set_sentinel(down=True)
    assert market.chain.call(sentinel, "isLiquidationAllowed()", "bool")[0] is False
    market.set_sentinel(down=False)
    market.advance(1)
    assert market.chain.call(sentinel, "isLiquidationAllowed()", "bool")[0] is True


def test_all_128_ids_are_in_use_and_held_around_the_bitmap_edges(market128: DevMarket) -> None:
    market = market128
    assert len(market.reserves) == 128
    collateral = debt = 0
    addresses = [m.address for m in market.members]
    requests = [(market.pool, calldata("getUserConfiguration(address)", a), "uint256") for a in addresses]
    for (bitmap,) in market.chain.calls(requests):
        collateral |= sum(1 << i for i in range(128) if bitmap >> 2 * i + 1 & 1)
        debt |= sum(1 << i for i in range(128) if bitmap >> 2 * i & 1)
    for edge in (0, 63, 64, 65, 127):
        assert collateral >> edge & 1, edge
        assert debt >> edge & 1, edge
    with pytest.raises(DevchainError, match="128 reserves"):
        deploy_market(market.anvil, "3.6", reserves=129, toolchain=market.toolchain)


# -- borrowers ----------------------------------------------------------------


def test_every_kind_of_borrower_exists(market: DevMarket) -> None:
    kinds = Counter(member.kind for member in market.members)
    assert len(market.members) == BORROWERS == len({m.address for m in market.members})
    expected = {"long_eth", "long_lst", "loop", "short_eth", "multi", "same_asset", "dust", "whale", "no_debt"}
    expected |= {"collateral_off", "delegated", "flash", "link_and_eth", "whale_few_units"}
    expected |= {"stable_rate"} if market.kind == "3.0" else {"emode_only"}
    assert expected <= set(kinds)
    assert kinds["long_eth"] > 200


def test_debt_is_there_and_most_health_factors_are_realistic(market: DevMarket) -> None:
    data = dict(zip(priced(market), market.account_data(priced(market)), strict=True))
    kinds = {m.address: m.kind for m in market.members}
    without = {address for address, d in data.items() if d.health_factor == NO_DEBT}
    never, few = set(market.of_kind("no_debt")), set(market.of_kind("whale_few_units"))
    assert never <= without
    assert without - never <= (few if market.kind == "3.0" else set())  # a few wei are worth nothing before 3.5
    usual = sum(1.02 * WAD <= d.health_factor <= 3 * WAD for d in data.values())
    assert usual > 0.75 * len(data)
    below = {kinds[address] for address, d in data.items() if d.health_factor < WAD}
    assert below == {"exotic"}  # the feeds of frozen, paused and grace-period reserves have fallen
    dust = [data[a].collateral for a in market.of_kind("dust")]
    whales = [data[a].collateral for a in market.of_kind("whale")]
    assert max(dust) < 21 * 10**8
    assert min(whales) > 8_000_000 * 10**8


def test_whales_are_liquidated_between_the_edges_and_dominate_the_fall(market: DevMarket, rollback: Rollback) -> None:
    rollback(market)
    whales = market.of_kind("whale")
    assert len(whales) >= 12
    low, high = EDGES
    market.set_price("ETH", high)
    assert all(data.health_factor >= WAD for data in market.account_data(whales))
    market.set_price("ETH", low)
    assert all(data.health_factor < WAD for data in market.account_data(whales))
    market.set_price("ETH", 2_100 * 10**8 * 8 // 10)
    data = dict(zip(priced(market), market.account_data(priced(market)), strict=True))
    fallen = {address: d.debt for address, d in data.items() if d.health_factor < WAD}
    share = sum(debt for address, debt in fallen.items() if address in set(whales)) / sum(fallen.values())
    assert 0.55 < share < 0.97


def test_delegated_and_flash_debt_names_the_account_and_not_the_caller(market: DevMarket) -> None:
    logs = market.anvil.rpc(
        "eth_getLogs",
        {"address": market.pool, "topics": [BORROW_TOPIC], "fromBlock": hex(market.first_block), "toBlock": "latest"},
    )
    caller = {"0x" + log["topics"][2][26:]: "0x" + log["data"][26:66] for log in logs}
    for address in market.of_kind("delegated", "flash"):
        assert caller[address] != address
    for address in market.of_kind("long_eth"):
        assert caller[address] == address
    debtors = {m.address for m in market.members if m.kind != "no_debt"}
    assert set(caller) == debtors


def test_collateral_is_switched_off_and_stable_debt_exists(market: DevMarket) -> None:
    weth = market.reserves["WETH"]
    off = 0
    for address in market.of_kind("collateral_off"):
        bitmap = market.chain.call(market.pool, "getUserConfiguration(address)", "uint256", address)[0]
        for info in market.reserves.values():
            held = market.chain.call(info.atoken, "balanceOf(address)", "uint256", address)[0]
            off += held > 0 and not bitmap >> 2 * info.id + 1 & 1
        if off:
            break
    assert off
    if market.kind == "3.0":
        assert weth.stoken is not None
        owed = 0
        for key in ("USDC", "USDT", "DAI"):
            stoken = market.reserves[key].stoken
            assert stoken is not None
            owed += market.chain.call(stoken, "totalSupply()", "uint256")[0]
        assert owed


def test_a_seed_gives_the_same_plan_and_the_same_addresses(market36: DevMarket, rollback: Rollback) -> None:
    rollback(market36).break_feeds(broken=False)
    book = read_book(market36)
    first = plan(7, 300, book)
    assert plan(7, 300, book) == first
    assert plan(8, 300, book) != first
    assert len(plan(7, 5, book)) == 5
    assert {p.kind for p in first} >= {"whale", "loop", "fragile", "flash"}


def test_two_nodes_with_one_seed_hold_the_same_market(toolchain: Toolchain) -> None:
    hashes = []
    for _ in range(2):
        with Anvil(toolchain.anvil) as anvil:
            market = deploy_market(anvil, "3.6", seed=3, toolchain=toolchain)
            populate(market, 120)
            block = anvil.rpc("eth_getBlockByNumber", "latest", False)
            hashes.append((market.root, block["stateRoot"], block["timestamp"]))
    assert hashes[0] == hashes[1]


# -- node ---------------------------------------------------------------------


def test_rollback_undoes_prices_and_time(market36: DevMarket) -> None:
    market = market36
    before = (market.price("WETH"), market.chain.block_number(), market.timestamp)
    for _ in range(2):
        snapshot = market.snapshot()
        market.set_price("ETH", 1_000 * 10**8)
        market.advance(45 * 24 * 3600)
        assert market.timestamp == before[2] + 1 + 45 * 24 * 3600
        market.revert(snapshot)
        assert (market.price("WETH"), market.chain.block_number(), market.timestamp) == before
    assert GENESIS_TIME < before[2] < GENESIS_TIME + 3600


def test_a_held_clock_stands_still(market36: DevMarket, rollback: Rollback) -> None:
    market = rollback(market36)
    market.hold_clock(held=True)
    now = market.timestamp
    market.set_price("ETH", 2_000 * 10**8)
    market.set_price("ETH", 1_900 * 10**8)
    assert market.timestamp == now


def test_a_reverted_transaction_is_an_error_that_names_it(market36: DevMarket, rollback: Rollback) -> None:
    market = rollback(market36)
    asset = market.reserves["WETH"].asset
    market.chain.send(market.pool, "withdraw(address,uint256,address)", asset, 1, DEPLOYER, sender="0x" + "11" * 20)
    with pytest.raises(DevchainError, match=r"withdraw.*reverted"):
        market.chain.flush()


def alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return "\nState:\tZ" not in Path(f"/proc/{pid}/status").read_text() if sys.platform == "linux" else True


def test_stop_leaves_no_process_and_can_be_repeated(toolchain: Toolchain) -> None:
    with Anvil(toolchain.anvil) as anvil:
        assert alive(anvil.pid)
        with pytest.raises(DevchainError, match=r"port \d+.*in use"):
            Anvil(toolchain.anvil, port=anvil.port)
    assert not alive(anvil.pid)
    anvil.stop()
    with pytest.raises(RpcError):
        anvil.rpc("eth_chainId")


SESSION = """
from scanner.devchain import run_devchain
run_devchain("3.6", 50, 1, 23, None, lambda line: print(line, flush=True))
"""


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGINT, signal.SIGKILL])
def test_the_session_prints_its_market_and_takes_the_node_with_it(how: signal.Signals) -> None:
    if how is signal.SIGKILL and sys.platform != "linux":
        pytest.skip("only Linux ends a child with its parent")
    command = [sys.executable, "-c", SESSION]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=child_environment()) as process:
        assert process.stdout is not None
        lines = []
        for line in process.stdout:
            lines.append(line)
            if "Ctrl-C" in line:
                break
        text = "".join(lines)
        (child,) = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
        process.send_signal(how)
        rest = process.stdout.read()
        code = process.wait(timeout=20)
    assert "RPC URL      http://127.0.0.1:" in text
    assert "--market 0x" in text
    assert "accounts     50 at block" in text
    assert (code, rest) == ((0, "stopped\n") if how is not signal.SIGKILL else (-signal.SIGKILL, ""))
    deadline = time.monotonic() + 5
    while alive(int(child)) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not alive(int(child))


# -- tools --------------------------------------------------------------------


def test_compiler_errors_reach_the_user(toolchain: Toolchain) -> None:
    with pytest.raises(DevchainError, match="Expected ';'"):
        toolchain.compile({"A.sol": "pragma solidity ^0.8.0; contract A { uint256 x }"}, ["A.sol:A"])


def test_signatures_are_split_at_their_own_commas() -> None:
    assert types_of("f()") == ()
    assert types_of("f((uint8,address)[],bytes)") == ("(uint8,address)[]", "bytes")
    assert types_of("(uint8,address),uint256") == ("(uint8,address)", "uint256")


def test_contract_addresses_follow_the_creation_rule(market36: DevMarket) -> None:
    # the published example of the rule: sender 0x6ac7…d9e0, nonces 0, 1 and 200
    sender = "0x6ac7ea33f8831ea9dcc53393aaa88b25a785dbf0"
    assert create_address(sender, 0) == "0xcd234a471b72ba2f1ccf0a70fcaba648a5eecd8d"
    assert create_address(sender, 1) == "0x343c43a37d37dff08ae8c4a11544c718abb4fcf8"
    for number, member in enumerate(market36.members[:300]):
        if number in (0, 126, 127, 254, 255, 299):
            assert market36.anvil.rpc("eth_getTransactionCount", member.address, "latest") == "0x1"
