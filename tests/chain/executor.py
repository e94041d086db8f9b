"""A liquidator that is a contract: it makes each call on the chain as it stands, says what moved, and undoes it.

One eth_call makes hundreds of real ``liquidationCall``s at the block's own timestamp: each in a frame of its own that
reverts with its measurements, so that every call meets the same state.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from eth_abi.abi import decode, encode

from scanner.devchain import DevMarket
from scanner.devchain.tx import ZERO, selector

__all__ = ["MAX", "Executor", "Moved", "with_cover"]

MAX = 2**256 - 1

SOURCE = """
// SPDX-License-Identifier: MIT
pragma solidity ^0.8.20;

interface IToken {
    function balanceOf(address) external view returns (uint256);
    function scaledBalanceOf(address) external view returns (uint256);
    function approve(address, uint256) external returns (bool);
    function RESERVE_TREASURY_ADDRESS() external view returns (address);
}

interface IPool {
    function getUserAccountData(address)
        external view returns (uint256, uint256, uint256, uint256, uint256, uint256);
}

contract Executor {
    struct Order {
        address user;
        address collateral;
        address aToken;
        address debt;
        address vToken;
        address sToken; // zero: none
        bytes data;
    }

    error Measured(bytes);

    function approve(address pool, address[] calldata assets) external {
        for (uint256 i = 0; i < assets.length; i++) IToken(assets[i]).approve(pool, type(uint256).max);
    }

    function run(address pool, Order[] calldata orders) external returns (uint256, bytes[] memory seen) {
        seen = new bytes[](orders.length);
        for (uint256 i = 0; i < orders.length; i++) {
            try this.attempt(pool, orders[i]) {}
            catch (bytes memory answer) { seen[i] = answer; }
        }
        return (block.timestamp, seen);
    }

    function attempt(address pool, Order calldata order) external {
        uint256[8] memory before = measure(order);
        (bool done, bytes memory why) = pool.call(order.data);
        uint256[8] memory left = measure(order);
        (uint256 collateral, uint256 debt,,,,) = done ? IPool(pool).getUserAccountData(order.user)
            : (0, 0, 0, 0, 0, 0);
        revert Measured(abi.encode(done, why, before, left, collateral, debt));
    }

    /// Debt (variable, stable), what the liquidator has of both assets, what the treasury has and its shares, the
    /// account's shares and aTokens.
    function measure(Order calldata order) private view returns (uint256[8] memory seen) {
        address treasury = IToken(order.aToken).RESERVE_TREASURY_ADDRESS();
        seen[0] = IToken(order.vToken).balanceOf(order.user);
        seen[1] = order.sToken == address(0) ? 0 : IToken(order.sToken).balanceOf(order.user);
        seen[2] = IToken(order.collateral).balanceOf(address(this));
        seen[3] = IToken(order.debt).balanceOf(address(this));
        seen[4] = IToken(order.aToken).balanceOf(treasury);
        seen[5] = IToken(order.aToken).scaledBalanceOf(treasury);
        seen[6] = IToken(order.aToken).scaledBalanceOf(order.user);
        seen[7] = IToken(order.aToken).balanceOf(order.user);
    }
}
"""

_ORDER = "(address,address,address,address,address,address,bytes)"


@dataclass(frozen=True, slots=True)
class Moved:
    """What one call moved, in token units; all zero when it reverted."""

    done: bool
    why: bytes  # what it reverted with
    burned: int  # the account's debt in the reserve, stable debt included
    received: int  # net of what was paid where collateral and debt are one asset
    paid: int
    treasury: int
    treasury_scaled: int
    treasury_had: int  # scaled
    taken_scaled: int  # from the account
    collateral_base: int  # the account's, afterwards
    debt_base: int


class Executor:
    """The contract, deployed, with tokens and approvals. Undone with the market's snapshot."""

    def __init__(self, market: DevMarket) -> None:
        self.market = market
        unit = "Executor.sol"
        made = market.toolchain.compile({unit: SOURCE}, [f"{unit}:Executor"], what="the executor")["Executor"]
        self.address = market.chain.deploy(made)
        market.chain.flush()
        for info in market.reserves.values():
            market.chain.send(info.asset, "mint(address,uint256)", self.address, 10**12 * 10**info.decimals)
        assets = [info.asset for info in market.reserves.values()]
        market.chain.send(self.address, "approve(address,address[])", market.pool, assets)
        market.chain.flush()

    def run(self, quotes: Sequence[Mapping[str, Any]], at_once: int = 250) -> tuple[int, list[Moved]]:
        """Make the calls of quotes (with ``data``), each on the newest block as it is; give its time and what moved."""
        by_id = {str(info.id): info for info in self.market.reserves.values()}
        orders = []
        for quote in quotes:
            held, owed = by_id[quote["collateral_reserve"]], by_id[quote["debt_reserve"]]
            tokens = (held.asset, held.atoken, owed.asset, owed.vtoken, owed.stoken or ZERO)
            orders.append((quote["position"], *tokens, bytes.fromhex(quote["data"][2:])))
        times, seen = set(), []
        head = selector(f"run(address,{_ORDER}[])")
        for start in range(0, len(orders), at_once):
            body = encode(["address", f"{_ORDER}[]"], [self.market.pool, orders[start : start + at_once]])
            call = {"to": self.address, "data": "0x" + (head + body).hex(), "gas": hex(10**12)}
            answer = self.market.anvil.rpc("eth_call", call, "latest")
            time, found = decode(["uint256", "bytes[]"], bytes.fromhex(answer[2:]))
            times.add(time)
            seen += [_moved(one) for one in found]
        (time,) = times
        return time, seen


def _moved(answer: bytes) -> Moved:
    (body,) = decode(["bytes"], answer[4:])
    types = ["bool", "bytes", "uint256[8]", "uint256[8]", "uint256", "uint256"]
    done, why, before, after, collateral, debt = decode(types, body)
    change = [now - then for then, now in zip(before, after, strict=True)]
    return Moved(
        done=done,
        why=why,
        burned=-change[0] - change[1],
        received=change[2],
        paid=-change[3],
        treasury=change[4],
        treasury_scaled=change[5],
        treasury_had=before[5],
        taken_scaled=-change[6],
        collateral_base=collateral,
        debt_base=debt,
    )


def with_cover(quote: Mapping[str, Any], debt_to_cover: int) -> dict[str, Any]:
    """Give a quote whose call offers another amount."""
    data = quote["data"]
    at = 10 + 3 * 64
    return {**quote, "data": data[:at] + f"{debt_to_cover:064x}" + data[at + 64 :]}
