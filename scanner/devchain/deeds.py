"""What an account of a local market does, and what is done to it: the calls for it, with drawn amounts."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from eth_utils.crypto import keccak

from scanner.devchain.market import DevMarket
from scanner.devchain.sheet import Sheet
from scanner.devchain.tx import calldata
from scanner.units import BPS

__all__ = ["HELPER", "Call", "Deed", "Deeds"]

HELPER: Final = "0x" + keccak(text="liqbands helper")[12:].hex()
"""The stranger who holds every token, repays for others and liquidates."""

_MAX: Final = 2**256 - 1
_STABLE, _VARIABLE = 1, 2
_SUPPLY: Final = ("WETH", "WBTC", "DAI")
_STABLE_RATE: Final = ("USDC", "USDT", "DAI", "LINK")

Call = tuple[str, str, bytes]  # sender, contract, calldata
Deed = Sequence[Call]  # calls in order; it is done when the last one succeeds


@dataclass(frozen=True, slots=True)
class Deeds:
    """Makes the calls of each kind of action for an account that fits it."""

    market: DevMarket
    rng: random.Random

    def _pool(self, sender: str, signature: str, *args: Any) -> Call:
        return sender, self.market.pool, calldata(signature, *args)

    def _asset(self, key: str) -> str:
        return self.market.reserves[key].asset

    def _share(self, amounts: Mapping[str, int], low: int, high: int) -> tuple[str, int]:
        """Draw one of the reserves and a share of its amount, in basis points."""
        key = self.rng.choice(list(amounts))
        return key, max(amounts[key] * self.rng.randint(low, high) // BPS, 1)

    def _worth(self, key: str, value: int) -> int:
        """Give the token units that are worth ``value`` base units."""
        unit: int = 10 ** self.market.reserves[key].decimals
        return value * unit // self.market.price(key)

    def _funded(self, account: str, key: str, amount: int) -> list[Call]:
        """Let the account hold the tokens and the pool take them."""
        asset = self._asset(key)
        return [
            (HELPER, asset, calldata("mint(address,uint256)", account, amount)),
            (account, asset, calldata("approve(address,uint256)", self.market.pool, _MAX)),
        ]

    def _toggle(self, account: str, key: str, *, on: bool) -> Call:
        return self._pool(account, "setUserUseReserveAsCollateral(address,bool)", self._asset(key), on)

    def _send(self, account: str, key: str, receiver: str, amount: int) -> Call:
        return account, self.market.reserves[key].atoken, calldata("transfer(address,uint256)", receiver, amount)

    def collateral_on(self, account: Sheet) -> Deed:
        """Make a supplied reserve collateral."""
        return [self._toggle(account.address, self.rng.choice(list(account.idle)), on=True)]

    def collateral_off(self, account: Sheet) -> Deed:
        """Stop using a reserve as collateral."""
        return [self._toggle(account.address, self.rng.choice(list(account.collateral)), on=False)]

    def emode(self, account: Sheet) -> Deed:
        """Leave the e-mode, or enter one."""
        return [self._pool(account.address, "setUserEMode(uint8)", 0 if account.emode else self.rng.choice((1, 2)))]

    def transfer(self, account: Sheet) -> Deed:
        """Send aTokens to another member."""
        key, amount = self._share(account.collateral, 300, 1_500)
        return [self._send(account.address, key, self.rng.choice(self.market.members).address, amount)]

    def newcomer(self, account: Sheet) -> Deed:
        """Send aTokens to a fresh address, which makes them collateral and borrows: it never supplies."""
        fresh = "0x" + keccak(text=f"newcomer {self.rng.random()}")[12:].hex()
        amount = account.collateral["WETH"] // 10
        owed = amount * self.market.price("WETH") * self.rng.randint(4_000, 7_500) // BPS // 10**18
        return [
            self._send(account.address, "WETH", fresh, amount),
            self._toggle(fresh, "WETH", on=True),
            self._borrowing(fresh, "USDC", self._worth("USDC", owed), _VARIABLE),
        ]

    def supply(self, account: Sheet) -> Deed:
        """Supply more, as an account in an e-mode from outside its category too."""
        key = self.rng.choice(_SUPPLY)
        amount = self._worth(key, account.data.debt // 20 + 10**8)
        terms = (self._asset(key), amount, account.address, 0)
        supply = self._pool(account.address, "supply(address,uint256,address,uint16)", *terms)
        return [*self._funded(account.address, key, amount), supply]

    def _withdrawal(self, account: Sheet, key: str, amount: int) -> Deed:
        terms = (self._asset(key), amount, account.address)
        return [self._pool(account.address, "withdraw(address,uint256,address)", *terms)]

    def withdraw(self, account: Sheet) -> Deed:
        """Withdraw a part of a collateral."""
        return self._withdrawal(account, *self._share(account.collateral, 300, 1_500))

    def withdraw_all(self, account: Sheet) -> Deed:
        """Withdraw a collateral to the last unit."""
        return self._withdrawal(account, self.rng.choice(list(account.collateral)), _MAX)

    def _borrowing(self, account: str, key: str, amount: int, mode: int) -> Call:
        terms = (self._asset(key), amount, mode, 0, account)
        return self._pool(account, "borrow(address,uint256,uint256,uint16,address)", *terms)

    def borrow(self, account: Sheet) -> Deed:
        """Borrow more of what is owed already, so that an e-mode does not refuse it."""
        key = self.rng.choice(list(account.variable))
        value = account.data.available * self.rng.randint(1_000, 6_000) // BPS
        return [self._borrowing(account.address, key, self._worth(key, value), _VARIABLE)]

    def stable_debts(self, account: Sheet) -> list[str]:
        """Give the reserves owed at a variable rate that lend to this account at a stable rate as well."""
        return [key for key in account.variable if key in _STABLE_RATE and key not in account.collateral]

    def borrow_stable(self, account: Sheet) -> Deed:
        """Borrow at a stable rate beside the variable debt of the same reserve."""
        key = self.rng.choice(self.stable_debts(account))
        value = account.data.available * self.rng.randint(500, 2_000) // BPS
        return [self._borrowing(account.address, key, self._worth(key, value), _STABLE)]

    def swap_rate(self, account: Sheet) -> Deed:
        """Turn variable debt into stable debt."""
        key = self.rng.choice(self.stable_debts(account))
        return [self._pool(account.address, "swapBorrowRateMode(address,uint256)", self._asset(key), _VARIABLE)]

    def _repayment(self, payer: str, account: str, key: str, amount: int, mode: int) -> Call:
        terms = (self._asset(key), amount, mode, account)
        return self._pool(payer, "repay(address,uint256,uint256,address)", *terms)

    def repay_part(self, account: Sheet) -> Deed:
        """Let the helper repay a part of a variable debt."""
        return [self._repayment(HELPER, account.address, *self._share(account.variable, 1_000, 8_000), _VARIABLE)]

    def repay_stable(self, account: Sheet) -> Deed:
        """Let the helper repay a part of a stable debt."""
        return [self._repayment(HELPER, account.address, *self._share(account.stable, 1_000, 8_000), _STABLE)]

    def repay_all(self, account: Sheet) -> Deed:
        """Repay a variable debt to the last unit."""
        key = self.rng.choice(list(account.variable))
        amount = account.variable[key] * 101 // 100 + 10
        repay = self._repayment(account.address, account.address, key, _MAX, _VARIABLE)
        return [*self._funded(account.address, key, amount), repay]

    def _largest(self, amounts: Mapping[str, int]) -> str:
        reserves = self.market.reserves
        return max(amounts, key=lambda key: amounts[key] * reserves[key].spec.price // 10 ** reserves[key].decimals)

    def _seize(self, account: Sheet, share: int, *, atoken: bool = False) -> Deed:
        """Liquidate the largest collateral against a share (basis points) of the largest debt."""
        debt = self._largest(account.debts)
        amount = _MAX if share >= BPS else max(account.debts[debt] * share // BPS, 1)
        pair = (self._asset(self._largest(account.collateral)), self._asset(debt))
        terms = (*pair, account.address, amount, atoken)
        return [self._pool(HELPER, "liquidationCall(address,address,address,uint256,bool)", *terms)]

    def liquidate_part(self, account: Sheet) -> Deed:
        """Liquidate less than the close factor allows."""
        return self._seize(account, self.rng.randint(500, 3_000))

    def liquidate_atoken(self, account: Sheet) -> Deed:
        """Liquidate the most, and be paid in aTokens."""
        return self._seize(account, BPS, atoken=True)

    def liquidate_all(self, account: Sheet) -> Deed:
        """Liquidate the most that the pool takes."""
        return self._seize(account, BPS)
