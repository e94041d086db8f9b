"""Accounts whose health factor goes below one, comes back and goes again while one price moves one way.

Made through the real pool. Two reasons, both plain rounding:

hedged   Collateral and debt move with one feed and almost cancel out: a few thousandths of a token are left, so one
         unit of the feed changes the balance by less than the floors and ceilings of the two values do.
mixed    Up to revision 8: the average threshold is floored to a basis point. A falling price of an asset whose
         threshold is below the average lifts the average, in steps, each of which lifts the health factor more than
         the price has lowered it since the last step, as most of the asset is hedged by debt in it.

Accounts borrow what the pool lends and then withdraw down to the collateral that the plan wants: borrowing keeps to
the LTV, withdrawing only to a health factor of one.
"""

from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import dataclass

from eth_utils.crypto import keccak

from scanner.devchain import DevMarket
from scanner.devchain.catalog import EMODES
from scanner.units import BPS

__all__ = ["Loop", "make_account", "make_loops"]

MAX = 2**256 - 1
PAIRS = (
    ("WETH", "WETH"),
    ("wstETH", "WETH"),
    ("WETH", "wstETH"),
    ("weETH", "WETH"),
    ("WBTC", "WBTC"),
    ("LINK", "LINK"),
)
BORROW = "borrow(address,uint256,uint256,uint16,address)"


@dataclass(frozen=True)
class Loop:
    """An account, and the single feed that makes its health factor go to and fro."""

    address: str
    kind: str  # hedged | mixed
    feed: str


def make_loops(market: DevMarket, count: int, seed: int = 1) -> list[Loop]:
    """Make ``count`` accounts at today's prices; on revisions with a floored average every third is ``mixed``."""
    rng = random.Random(seed)
    maker = _Maker(market, rng)
    kinds = ("hedged", "hedged", "mixed") if market.kind == "3.0" else ("hedged",)
    return [getattr(maker, kinds[i % len(kinds)])(i) for i in range(count)]


def make_account(
    market: DevMarket, name: str, collateral: Mapping[str, int], debts: Mapping[str, int], emode: int = 0
) -> str:
    """Make one account that holds and owes these dollars' worth at today's prices."""
    held, owed = ({key: dollars * 10**8 for key, dollars in side.items()} for side in (collateral, debts))
    return _Maker(market, random.Random(name)).open(name, held, owed, emode)


class _Maker:
    def __init__(self, market: DevMarket, rng: random.Random) -> None:
        self.market, self.rng = market, rng
        self.prices = {key: market.price(key) for key in ("WETH", "wstETH", "weETH", "WBTC", "LINK", "USDC", "DAI")}

    def hedged(self, index: int) -> Loop:
        """Let the net of a few thousandths of a token stand against fixed debt (falls) or fixed collateral (rises)."""
        held, owed = PAIRS[index % len(PAIRS)]
        # This e-mode lends nothing but ether. A floored average of two thresholds takes more than the thin net gives.
        averaged = self.market.kind == "3.0"
        emode = 1 if index % 4 == 3 and held not in ("WBTC", "LINK") and not averaged else 0
        rises = held == "WBTC" or not averaged
        falls = not rises or (not emode and self.rng.random() < 0.6)
        value = self.rng.randint(200, 60_000) * 10**8 + self.rng.randrange(10**8)
        backing = value * self._threshold(held, emode) // BPS
        thin = min(self.prices[held] * self.rng.randint(2, 40) // 10_000, backing // 50)
        move = self.rng.randint(9_000, 9_980) if falls else self.rng.randint(10_020, 11_000)
        fixed = thin * move // BPS
        if falls:  # backing - thin in the same feed, the rest in dollars
            debts = {owed: backing - thin, "DAI": fixed}
            collateral = {held: value}
        else:
            debts = {owed: backing + thin}
            collateral = {held: value, "USDC": fixed * BPS // self._threshold("USDC", emode)}
        return Loop(
            self.open(f"loop {index}", collateral, debts, emode), "hedged", self.market.reserves[held].spec.base
        )

    def mixed(self, index: int) -> Loop:
        """Hedge most of a low-threshold asset that stands beside one with a high threshold."""
        link = self.rng.randint(2_000, 40_000) * 10**8 + self.rng.randrange(10**8)
        ether = link * self.rng.randint(60, 140) // 100
        net = link * self.rng.randint(4, 9) // 100
        move = self.rng.randint(9_000, 9_600)
        debts = {
            "LINK": link * self._threshold("LINK", 0) // BPS - net,
            "DAI": ether * self._threshold("WETH", 0) // BPS + net * move // BPS,
        }
        return Loop(self.open(f"loop {index}", {"LINK": link, "WETH": ether}, debts, 0), "mixed", "LINK")

    def _threshold(self, key: str, emode: int) -> int:
        mode = next((mode for mode in EMODES if mode.id == emode and key in mode.collateral), None)
        return mode.threshold if mode is not None else self.market.reserves[key].spec.threshold

    def _amount(self, key: str, value: int) -> int:
        return int(value * 10 ** self.market.reserves[key].decimals // self.prices[key])

    def open(self, name: str, collateral: Mapping[str, int], debts: Mapping[str, int], emode: int) -> str:
        """Supply a quarter more than planned, borrow, withdraw the quarter. Values are base units."""
        market, chain = self.market, self.market.chain
        account = "0x" + keccak(text=f"{name} {market.kind}")[12:].hex()
        if emode:
            chain.send(market.pool, "setUserEMode(uint8)", emode, sender=account)
        spare = {}
        for key, value in collateral.items():
            asset, wanted = market.reserves[key].asset, self._amount(key, value)
            spare[key] = wanted // 4
            chain.send(asset, "mint(address,uint256)", account, wanted + spare[key], sender=account)
            chain.send(asset, "approve(address,uint256)", market.pool, MAX, sender=account)
            supply = (asset, wanted + spare[key], account, 0)
            chain.send(market.pool, "supply(address,uint256,address,uint16)", *supply, sender=account)
        for key, value in debts.items():
            borrow = (market.reserves[key].asset, self._amount(key, value), 2, 0, account)
            chain.send(market.pool, BORROW, *borrow, sender=account)
        for key, amount in spare.items():
            withdraw = (market.reserves[key].asset, amount, account)
            chain.send(market.pool, "withdraw(address,uint256,address)", *withdraw, sender=account)
        chain.flush()
        return account
