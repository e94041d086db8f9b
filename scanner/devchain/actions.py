"""Let things happen on a populated local market: accounts act, time passes, prices move, liquidators come."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Final

from scanner.devchain.deeds import HELPER, Deed, Deeds
from scanner.devchain.market import DevMarket, Member
from scanner.devchain.sheet import Sheet, priced_members, read_sheets
from scanner.units import BPS, WAD

__all__ = ["Summary", "act"]

_GAS: Final = hex(10**8)
_DAY: Final = 24 * 3600
_HELD: Final = 10**9  # whole tokens of each reserve in the helper's hands
_TRIES: Final = 4  # candidates per wanted action
_SAMPLE: Final = 70  # accounts looked at per wanted action
_FALL: Final = {"ETH": (8_900, 9_100), "BTC": (9_000, 9_200), "LINK": (8_500, 9_000), "USDC": (9_980, 9_995)}
_RISE: Final = {"ETH": (11_300, 11_700), "LINK": (10_500, 11_500), "cbETH / ETH": (9_950, 9_990)}
_CRASH: Final = {"ETH": (9_900, 10_000), "BTC": (5_000, 5_500), "EMODE-USD": (10_005, 10_015)}
_END: Final = dict.fromkeys(("ETH", "BTC", "LINK", "USDC"), (9_700, 9_950))


@dataclass(frozen=True, slots=True)
class Summary:
    """What happened, by kind of action; ``skipped`` counts what the contracts refused."""

    done: Mapping[str, int]
    skipped: Mapping[str, int]
    newcomers: tuple[Member, ...]  # borrowers that came to be by a transfer of aTokens and never supplied


def act(market: DevMarket, seed: int = 1, each: int = 12) -> Summary:
    """Do every kind of action ``each`` times, or as often as there are accounts for it; the same for the same seed.

    Longs are liquidated after a fall of ETH by a tenth, shorts after a rise, then accounts whose collateral is worth
    less than their debt. In the end prices are near where they began. Accounts that hold a reserve that may have no
    price are left alone. ``market.members`` stays as it is, so that the market can be rolled back.
    """
    actor = _Actor(market, random.Random(seed), each)
    actor.equip()
    actor.live()
    market.advance(actor.rng.randint(5, 12) * _DAY)
    actor.done["time"] += 1
    actor.liquidate()
    return Summary(dict(sorted(actor.done.items())), dict(sorted(actor.skipped.items())), tuple(actor.newcomers))


def _spare(account: Sheet) -> bool:
    return bool(account.collateral) and account.health > WAD * 14 // 10


def _weak(account: Sheet) -> bool:
    return account.health < WAD and bool(account.collateral)


def _underwater(account: Sheet) -> bool:
    return account.data.collateral < account.data.debt and len(account.collateral) == 1


class _Actor:
    def __init__(self, market: DevMarket, rng: random.Random, each: int) -> None:
        self.market = market
        self.rng = rng
        self.each = each
        self.deeds = Deeds(market, rng)
        self.done: Counter[str] = Counter()
        self.skipped: Counter[str] = Counter()
        self.newcomers: list[Member] = []
        sample = rng.sample(market.members, min(_SAMPLE * each, len(market.members)))
        self.members = priced_members(market, sample)
        self.waiting: list[Sheet] = []  # accounts that have done nothing since they were read

    def equip(self) -> None:
        """Give the helper tokens, and let the pool take them."""
        for info in self.market.reserves.values():
            self.market.chain.send(info.asset, "mint(address,uint256)", HELPER, _HELD * 10**info.decimals)
        for info in self.market.reserves.values():
            self.market.chain.send(info.asset, "approve(address,uint256)", self.market.pool, 2**256 - 1, sender=HELPER)

    def live(self) -> None:
        """Let accounts act at the prices of the day; what few accounts can do comes first."""
        self.waiting = read_sheets(self.market, self.members, idle_kinds=("collateral_off",))
        do, deeds = self._do, self.deeds
        do("collateral_on", lambda a: bool(a.idle), deeds.collateral_on)
        do("emode", lambda a: not a.debts or (a.emode > 0 and a.health > 2 * WAD), deeds.emode)
        do("withdraw_all", lambda a: not a.debts and bool(a.collateral), deeds.withdraw_all)
        made = do("newcomer", lambda a: _spare(a) and "WETH" in a.collateral, deeds.newcomer)
        self.newcomers += [Member(deed[-1][0], "newcomer") for deed in made]
        do("collateral_off", lambda a: len(a.collateral) > 1 and a.health > 2 * WAD, deeds.collateral_off)
        if self.market.kind == "3.0":
            do("repay_stable", lambda a: bool(a.stable), deeds.repay_stable)
            do("borrow_stable", lambda a: _spare(a) and bool(deeds.stable_debts(a)), deeds.borrow_stable)
            do("swap_rate", lambda a: bool(deeds.stable_debts(a)), deeds.swap_rate)
        do("transfer", _spare, deeds.transfer)
        do("withdraw", _spare, deeds.withdraw)
        do("borrow", lambda a: bool(a.variable) and _spare(a), deeds.borrow)
        do("supply", lambda a: bool(a.debts), deeds.supply)
        do("repay_part", lambda a: bool(a.variable), deeds.repay_part)
        do("repay_all", lambda a: bool(a.variable), deeds.repay_all)

    def liquidate(self) -> None:
        """Move the prices three times, let the helper liquidate each time, and bring the prices back."""
        feeds = {feed for move in (_FALL, _RISE, _CRASH, _END) for feed in move} & set(self.market.feeds)
        start = {feed: self.market.answer(feed) for feed in sorted(feeds)}
        do, deeds = self._do, self.deeds
        self._move(start, _FALL)
        self._read_weak()
        do("liquidate_part", lambda a: _weak(a) and a.data.debt > 5_000 * 10**8, deeds.liquidate_part)
        do("liquidate_atoken", _weak, deeds.liquidate_atoken)
        do("liquidate_all", _weak, deeds.liquidate_all)
        self._move(start, _RISE)
        self._read_weak()
        do("liquidate_short", lambda a: _weak(a) and "WETH" not in a.collateral, deeds.liquidate_all)
        self._move(start, _CRASH)
        self._read_weak()
        do("liquidate_underwater", _underwater, deeds.liquidate_all)
        self._move(start, _END)

    def _read_weak(self) -> None:
        members = [*self.members, *self.newcomers]
        data = self.market.account_data([member.address for member in members])
        weak = [member for member, d in zip(members, data, strict=True) if d.health_factor < WAD]
        self.waiting = read_sheets(self.market, self.rng.sample(weak, len(weak)))

    def _move(self, start: Mapping[str, int], ranges: Mapping[str, tuple[int, int]]) -> None:
        """Set the feeds that exist to a share of their first answer, drawn from a range of basis points."""
        for feed in (feed for feed in ranges if feed in start):
            self.market.set_price(feed, start[feed] * self.rng.randint(*ranges[feed]) // BPS)
            self.done["price"] += 1

    def _do(self, kind: str, fits: Callable[[Sheet], bool], make: Callable[[Sheet], Deed]) -> list[Deed]:
        """Try an action with waiting accounts that fit, until it happened often enough; none is asked twice.

        Gives the deeds that were done.
        """
        deeds: list[Deed] = []
        chosen: list[Sheet] = []
        rest: list[Sheet] = []
        for sheet in self.waiting:
            (chosen if len(chosen) < _TRIES * self.each and fits(sheet) else rest).append(sheet)
        while chosen and self.done[kind] < self.each:
            part, chosen = chosen[: self.each - self.done[kind]], chosen[self.each - self.done[kind] :]
            tried = [make(sheet) for sheet in part]
            fine = [deed for deed, ok in zip(tried, self._send(tried), strict=True) if ok]
            self.done[kind] += len(fine)
            self.skipped[kind] += len(tried) - len(fine)
            deeds += fine
        self.waiting = rest + chosen
        return deeds

    def _send(self, deeds: Sequence[Deed]) -> list[bool]:
        """Mine all calls in one block and say of each deed whether its last call succeeded."""
        anvil = self.market.anvil
        self.market.chain.flush()
        requests = [
            {"from": sender, "to": to, "data": "0x" + data.hex(), "gas": _GAS, "gasPrice": "0x0"}
            for deed in deeds
            for sender, to, data in deed
        ]
        anvil.rpc("evm_setAutomine", False)
        try:
            hashes = anvil.batch([("eth_sendTransaction", [request]) for request in requests])
            anvil.rpc("evm_mine")
        finally:
            anvil.rpc("evm_setAutomine", True)
        mined = anvil.rpc("eth_getBlockReceipts", hex(self.market.chain.block_number()))
        status = {receipt["transactionHash"]: int(receipt["status"], 16) == 1 for receipt in mined}
        return [status[hashes[end - 1]] for end in accumulate(len(deed) for deed in deeds)]
