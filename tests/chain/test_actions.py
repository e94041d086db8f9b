"""What happens on a market after its borrowers were made, on both kinds of contracts."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from scanner.devchain import Anvil, DevMarket, act, deploy_market, populate
from scanner.devchain.actions import Summary
from scanner.devchain.deeds import HELPER
from scanner.devchain.market import KINDS, Kind, Member
from scanner.devchain.sheet import priced_members, read_sheets
from scanner.devchain.toolchain import Toolchain
from scanner.devchain.tx import calldata

pytestmark = pytest.mark.chain

WAD = 10**18
DAY = 24 * 3600
SUPPLY_TOPIC = "0x2b627736bca15cd5381dcf80b0bf11fd197d01a037c52b927a881a10fb73ba61"

# kind of action to how often it has to have happened
LEAST = {
    "borrow": 10,
    "collateral_off": 8,
    "collateral_on": 8,
    "emode": 10,
    "liquidate_all": 8,
    "liquidate_atoken": 8,
    "liquidate_part": 8,
    "liquidate_short": 6,
    "liquidate_underwater": 6,
    "newcomer": 10,
    "price": 10,
    "repay_all": 10,
    "repay_part": 10,
    "supply": 10,
    "time": 1,
    "transfer": 10,
    "withdraw": 10,
    "withdraw_all": 8,
}
LEAST_STABLE = {"borrow_stable": 8, "repay_stable": 8, "swap_rate": 8}


@dataclass(frozen=True)
class Acted:
    market: DevMarket
    summary: Summary
    began_at: int

    @property
    def members(self) -> list[Member]:
        return [*self.market.members, *self.summary.newcomers]

    def balances(self, token: str, getter: str = "balanceOf(address)") -> dict[str, int]:
        addresses = [member.address for member in self.members]
        answers = self.market.chain.calls([(token, calldata(getter, a), "uint256") for a in addresses])
        return {address: value for address, (value,) in zip(addresses, answers, strict=True)}


@pytest.fixture(scope="module", params=["3.6", "3.0"])
def acted(request: pytest.FixtureRequest) -> Iterator[Acted]:
    """Give each kind of market after the actions, and take them back after this module."""
    market: DevMarket = request.getfixturevalue("market36" if request.param == "3.6" else "market30")
    snapshot, began_at = market.snapshot(), market.timestamp
    yield Acted(market, act(market), began_at)
    market.revert(snapshot)


def test_every_kind_of_action_happened(acted: Acted) -> None:
    wanted = LEAST | (LEAST_STABLE if acted.market.kind == "3.0" else {})
    done = acted.summary.done
    assert set(done) == set(wanted)
    assert {kind: count for kind, count in done.items() if count < wanted[kind]} == {}
    assert sum(acted.summary.skipped.values()) < sum(done.values()) / 4


def test_days_passed_and_prices_end_near_where_they_began(acted: Acted) -> None:
    market = acted.market
    assert 5 * DAY < market.timestamp - acted.began_at < 13 * DAY
    for feed, first in (("ETH", 2_100 * 10**8), ("BTC", 64_000 * 10**8)):
        assert 97 * first <= 100 * market.answer(feed) < 100 * first


@pytest.mark.parametrize("key", ["USDC", "WETH"])
def test_the_variable_debt_of_the_known_accounts_is_all_of_it(acted: Acted, key: str) -> None:
    vtoken = acted.market.reserves[key].vtoken
    known = acted.balances(vtoken, "scaledBalanceOf(address)")
    total = acted.market.chain.call(vtoken, "scaledTotalSupply()", "uint256")[0]
    assert total > 0
    assert sum(known.values()) == total


def test_accounts_without_trouble_have_their_data(acted: Acted) -> None:
    accounts = [member.address for member in priced_members(acted.market, acted.members)]
    assert len(accounts) > 0.95 * len(acted.members)
    data = acted.market.account_data(accounts)
    indebted = [d for d in data if d.debt]
    healthy = sum(d.health_factor >= WAD for d in indebted)
    assert healthy > 0.85 * len(indebted)
    assert healthy < len(indebted)


def test_newcomers_owe_and_never_supplied(acted: Acted) -> None:
    market, newcomers = acted.market, acted.summary.newcomers
    assert len(newcomers) == acted.summary.done["newcomer"]
    logs = market.anvil.rpc(
        "eth_getLogs",
        {"address": market.pool, "topics": [SUPPLY_TOPIC], "fromBlock": hex(market.first_block), "toBlock": "latest"},
    )
    suppliers = {"0x" + log["topics"][2][26:] for log in logs}
    assert {member.address for member in market.members} <= suppliers
    for sheet in read_sheets(market, newcomers):
        assert sheet.address not in suppliers
        assert sheet.data.debt > 0


def test_liquidators_were_paid_in_atokens_too(acted: Acted) -> None:
    reserves = acted.market.reserves.values()
    held = [acted.market.chain.call(info.atoken, "balanceOf(address)", "uint256", HELPER)[0] for info in reserves]
    assert sum(balance > 0 for balance in held) >= 2


def test_debt_beyond_the_collateral_becomes_a_deficit_or_stays(acted: Acted) -> None:
    market = acted.market
    if market.kind == "3.6":
        getter = "getReserveDeficit(address)"
        deficits = [market.chain.call(market.pool, getter, "uint256", i.asset)[0] for i in market.reserves.values()]
        assert sum(deficit > 0 for deficit in deficits) >= 2
        return
    accounts = [member.address for member in priced_members(market, market.members)]
    assert sum(d.debt > 0 and d.collateral == 0 for d in market.account_data(accounts)) >= 6


def test_an_account_of_30_may_owe_at_both_rates(acted: Acted) -> None:
    if acted.market.kind != "3.0":
        pytest.skip("stable rates are of 3.0")
    both = 0
    for key in ("USDC", "USDT", "DAI"):
        info = acted.market.reserves[key]
        assert info.stoken is not None
        stable, variable = acted.balances(info.stoken), acted.balances(info.vtoken)
        both += sum(stable[a] > 0 and variable[a] > 0 for a in stable)
    assert both >= 8


@pytest.mark.parametrize("kind", KINDS)
def test_a_seed_does_the_same_on_another_node(toolchain: Toolchain, kind: Kind) -> None:
    outcomes = []
    for seeds in ((5,), (5, 6)):
        with Anvil(toolchain.anvil) as anvil:
            market = deploy_market(anvil, kind, toolchain=toolchain)
            populate(market, 150)
            for seed in seeds:
                before, summary = market.snapshot(), act(market, seed, each=2)
                outcomes.append((anvil.rpc("eth_getBlockByNumber", "latest", False)["stateRoot"], summary))
                market.revert(before)
    assert outcomes[0] == outcomes[1]
    assert outcomes[0][0] != outcomes[2][0]
    assert outcomes[0][1].newcomers != outcomes[2][1].newcomers
