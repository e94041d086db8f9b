"""The 3.0.x market: what only this revision has, asked of its contracts."""

from __future__ import annotations

import pytest

from scanner.devchain import Anvil, DevMarket, deploy_market, populate
from scanner.devchain.aave_v30 import EMODE_FEED, STABLE_RATE, legacy_categories
from scanner.devchain.catalog import EMODES
from scanner.devchain.deeds import HELPER
from scanner.devchain.sheet import read_sheets
from scanner.devchain.toolchain import Toolchain
from scanner.devchain.tx import ZERO, calldata
from scanner.errors import DevchainError, RpcError
from tests.chain.conftest import Rollback

pytestmark = pytest.mark.chain

WAD = 10**18
DAY = 24 * 3600
CATEGORY = "(uint16,uint16,uint16,address,string)"
LIQUIDATION = "liquidationCall(address,address,address,uint256,bool)"


def equip(market: DevMarket) -> None:
    """Let the helper pay for liquidations."""
    for key in ("USDC", "USDT", "DAI", "GHO"):
        info = market.reserves[key]
        market.chain.send(info.asset, "mint(address,uint256)", HELPER, 10**9 * 10**info.decimals, sender=HELPER)
        market.chain.send(info.asset, "approve(address,uint256)", market.pool, 2**256 - 1, sender=HELPER)
    market.chain.flush()


def liquidate(market: DevMarket, account: str, collateral: str, debt: str) -> None:
    pair = (market.reserves[collateral].asset, market.reserves[debt].asset)
    market.chain.send(market.pool, LIQUIDATION, *pair, account, 2**256 - 1, False, sender=HELPER)
    market.chain.flush()


def test_the_revision_is_the_first_and_each_reserve_has_three_tokens(market30: DevMarket) -> None:
    market = market30
    assert market.chain.call(market.pool, "POOL_REVISION()", "uint256")[0] == 1
    getter = "getReserveTokensAddresses(address)"
    for info in market.reserves.values():
        tokens = market.chain.call(market.core.data_provider, getter, "address,address,address", info.asset)
        assert tokens == (info.atoken, info.stoken, info.vtoken)
        configuration = market.chain.call(market.pool, "getConfiguration(address)", "uint256", info.asset)[0]
        assert bool(configuration >> 59 & 1) == (info.key in STABLE_RATE)
    with pytest.raises(RpcError):
        market.chain.call(market.pool, "getLiquidationGracePeriod(address)", "uint40", market.reserves["LDO"].asset)


def test_a_reserve_is_in_one_category_and_one_category_has_its_own_price_source(market30: DevMarket) -> None:
    market = market30
    sources = {}
    for mode in EMODES:
        data = market.chain.call(market.pool, "getEModeCategoryData(uint8)", CATEGORY, mode.id)[0]
        assert data[:3] == (mode.ltv, mode.threshold, mode.bonus)
        assert data[4] == mode.label
        sources[mode.id] = data[3]
    assert sources == {1: ZERO, 2: market.feeds[EMODE_FEED], 3: ZERO}
    assert market.chain.call(market.oracle, "getAssetPrice(address)", "uint256", sources[2])[0] == 99_950_000
    categories = legacy_categories(EMODES)
    for info in market.reserves.values():
        configuration = market.chain.call(market.pool, "getConfiguration(address)", "uint256", info.asset)[0]
        assert configuration >> 168 & 0xFF == categories.get(info.key, 0)


def test_the_categorys_source_prices_collateral_and_debt_of_its_accounts_only(
    market30: DevMarket, rollback: Rollback
) -> None:
    market = rollback(market30)
    market.hold_clock(held=True)
    inside, outside = market.of_kind("stable_emode"), market.of_kind("short_other")
    before, others = market.account_data(inside), market.account_data(outside)
    market.set_price(EMODE_FEED, 99_950_000 // 2)
    for old, new in zip(before, market.account_data(inside), strict=True):
        assert abs(new.collateral * 2 - old.collateral) <= 8
        assert abs(new.debt * 2 - old.debt) <= 8
    assert market.account_data(outside) == others
    halved = market.account_data(inside)
    market.set_price("USDC", 50_000_000)
    assert market.account_data(inside) == halved
    assert market.account_data(outside) != others


def test_stable_debt_grows_at_the_accounts_own_rate(market30: DevMarket, rollback: Rollback) -> None:
    market = rollback(market30)
    accounts = market.of_kind("stable_rate")
    assert len(accounts) >= 20
    members = [member for member in market.members if member.kind == "stable_rate"]
    rates = set()
    before = read_sheets(market, members)
    market.advance(30 * DAY)
    for old, new in zip(before, read_sheets(market, members), strict=True):
        ((key, owed),) = old.stable.items()
        assert not old.variable
        stoken = market.reserves[key].stoken
        assert stoken is not None
        rate = market.chain.call(stoken, "getUserStableRate(address)", "uint256", old.address)[0]
        rates.add(rate)
        grown = owed * (10**27 + rate * 30 // 365) // 10**27
        assert abs(new.stable[key] - grown) <= owed // 10_000 + 1
    assert len(rates) > 3


def test_stable_debt_is_liquidated(market30: DevMarket, rollback: Rollback) -> None:
    market = rollback(market30)
    equip(market)
    market.set_price("ETH", 1_500 * 10**8)
    members = [member for member in market.members if member.kind == "stable_rate"]
    weak = [s for s in read_sheets(market, members) if s.health < WAD and "WETH" in s.collateral]
    assert weak
    ((debt, owed),) = weak[0].stable.items()
    liquidate(market, weak[0].address, "WETH", debt)
    stoken = market.reserves[debt].stoken
    assert stoken is not None
    assert market.chain.call(stoken, "balanceOf(address)", "uint256", weak[0].address)[0] < owed * 51 // 100


def test_the_sentinel_blocks_the_liquidations_of_mild_cases_only(market: DevMarket, rollback: Rollback) -> None:
    rollback(market)
    equip(market)
    market.set_price("ETH", 1_850 * 10**8)
    members = [member for member in market.members if member.kind == "long_eth"]
    sheets = [s for s in read_sheets(market, members) if len(s.variable) == 1 and s.data.debt > 5_000 * 10**8]
    mild = next(s for s in sheets if WAD * 96 // 100 < s.health < WAD)
    severe = next(s for s in sheets if s.health < WAD * 94 // 100)
    market.set_sentinel(down=True)
    reason = "59" if market.kind == "3.0" else "0x" + calldata("PriceOracleSentinelCheckFailed()").hex()
    with pytest.raises(DevchainError, match=reason):
        liquidate(market, mild.address, "WETH", *mild.variable)
    liquidate(market, severe.address, "WETH", *severe.variable)
    market.set_sentinel(down=False)
    market.advance(10)
    liquidate(market, mild.address, "WETH", *mild.variable)


def test_128_reserves_are_listed_and_held_around_the_bitmap_edges(toolchain: Toolchain) -> None:
    with Anvil(toolchain.anvil) as anvil:
        market = deploy_market(anvil, "3.0", reserves=128, toolchain=toolchain)
        members = populate(market, 600)
        listed = market.chain.call(market.pool, "getReservesList()", "address[]")[0]
        assert list(listed) == [info.asset for info in market.reserves.values()]
        requests = [(market.pool, calldata("getUserConfiguration(address)", m.address), "uint256") for m in members]
        bitmaps = [bits for (bits,) in market.chain.calls(requests)]
        for edge in (0, 63, 64, 65, 127):
            assert any(bits >> 2 * edge & 1 for bits in bitmaps), edge
            assert any(bits >> 2 * edge + 1 & 1 for bits in bitmaps), edge
        wide = [m.address for m in members if m.kind in ("wide", "spread")]
        assert all(data.health_factor > WAD for data in market.account_data(wide))
