"""Feeds that answer what an eth_call tells them, and a contract that asks the pool about many accounts at many answers.

Everything is put in place by state overrides for the length of one eth_call, so the block, its time and every index
stay as they are: what comes back is the pool's own ``getUserAccountData``.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from eth_abi.abi import decode, encode
from eth_utils.crypto import keccak

from scanner.devchain import DevMarket
from scanner.devchain.toolchain import Toolchain
from scanner.devchain.tx import selector

__all__ = ["BELOW", "HEALTHY", "REVERTED", "Path", "Prober", "Probes", "source_override"]

SOURCE = """
// SPDX-License-Identifier: MIT
pragma solidity ^0.8.20;

/// A feed whose answer lies in a slot that no real feed uses.
contract Stub {
    uint256 private constant AT = 0x6c697162616e6473207072696365207374756200000000000000000000000000;

    function set(int256 answer) external {
        assembly { sstore(AT, answer) }
    }

    function latestAnswer() public view returns (int256 answer) {
        assembly { answer := sload(AT) }
    }

    function latestRoundData() external view returns (uint80, int256, uint256, uint256, uint80) {
        return (1, latestAnswer(), block.timestamp, block.timestamp, 1);
    }
}

/// Asks the pool for account data at one answer after the other.
contract Prober {
    /// Feeds move in one ratio: feed j answers floor(starts[j] * moving / starts[0]). Held feeds answer `held`.
    /// An account is twenty bytes, a probe sixteen: account index (4), moving (12). Gives the time, and four bytes a
    /// probe: a verdict (0: HF >= 1, 1: HF < 1, 2: the pool reverts), a zero, the average liquidation threshold (2).
    function probe(
        address pool,
        address[] calldata feeds,
        uint256[] calldata starts,
        address[] calldata holders,
        int256[] calldata held,
        bytes calldata accounts,
        bytes calldata probes
    ) external returns (uint256, bytes memory seen) {
        for (uint256 j = 0; j < holders.length; j++) Stub(holders[j]).set(held[j]);
        seen = new bytes(probes.length / 4 + 32);
        uint256 last = type(uint256).max;
        for (uint256 i = 0; i < probes.length / 16; i++) {
            uint256 word;
            assembly { word := shr(128, calldataload(add(probes.offset, mul(i, 16)))) }
            uint256 moving = word & type(uint96).max;
            if (moving != last) {
                for (uint256 j = 0; j < feeds.length; j++) Stub(feeds[j]).set(int256(starts[j] * moving / starts[0]));
                last = moving;
            }
            require((word >> 96) < accounts.length / 20);
            address account;
            assembly { account := shr(96, calldataload(add(accounts.offset, mul(shr(96, word), 20)))) }
            uint256 verdict = _ask(pool, account);
            assembly { mstore(add(add(seen, 32), mul(i, 4)), shl(224, verdict)) }
        }
        return (block.timestamp, seen);
    }

    function _ask(address pool, address account) private view returns (uint256 verdict) {
        assembly {
            let at := mload(0x40)
            mstore(at, shl(224, 0xbf92857c)) // getUserAccountData(address)
            mstore(add(at, 4), account)
            let answered := staticcall(gas(), pool, at, 36, at, 192)
            switch and(answered, eq(returndatasize(), 192))
            case 0 { verdict := shl(24, 2) }
            default {
                verdict := or(shl(24, lt(mload(add(at, 160)), 1000000000000000000)), mload(add(at, 96)))
            }
        }
    }
}
"""

HEALTHY, BELOW, REVERTED = 0, 1, 2
AT = "0x6c697162616e6473207072696365207374756200000000000000000000000000"
PROBER = "0x" + keccak(text="liqbands prober")[12:].hex()
MOST = 20_000  # probes in one eth_call
ARGUMENTS = ("address", "address[]", "uint256[]", "address[]", "int256[]", "bytes", "bytes")


@dataclass(frozen=True)
class Path:
    """Feeds (address to today's answer, the reference first) that move in one ratio, and the overrides for it."""

    feeds: Mapping[str, int]
    overrides: Mapping[str, Mapping[str, Any]]

    @property
    def start(self) -> int:
        return next(iter(self.feeds.values()))


@dataclass(frozen=True)
class Probes:
    """What the pool says, in the order asked: verdicts and average thresholds in basis points."""

    verdicts: bytes
    averages: Sequence[int]


class Prober:
    """Asks one market's pool, at one block. ``held`` are sources that shall answer this and nothing else."""

    def __init__(self, market: DevMarket, toolchain: Toolchain, held: Mapping[str, int]) -> None:
        code = toolchain.compile({"Stubs.sol": SOURCE}, ["Stubs.sol:Stub", "Stubs.sol:Prober"], via_ir=True)
        self._market, self._held = market, held
        self._stub, self._prober = ({"code": "0x" + code[name].runtime} for name in ("Stub", "Prober"))
        self.block = market.chain.block_number()
        self.timestamp = market.timestamp

    def factor(self, feeds: Mapping[str, int]) -> Path:
        """Put stubs in place of feeds, whoever asks them."""
        return Path(feeds, dict.fromkeys(feeds, self._stub))

    def reserve(self, asset: str, price: int) -> Path:
        """Give the market's oracle another source for one asset only."""
        stub = "0x" + keccak(bytes.fromhex(asset[2:]))[12:].hex()
        return Path({stub: price}, {stub: self._stub, **source_override(self._market.oracle, asset, stub)})

    def fixed(self, source: str, answer: int) -> dict[str, dict[str, Any]]:
        """Put a stub that answers this in place of one source."""
        return {source: {**self._stub, "stateDiff": {AT: f"0x{answer:064x}"}}}

    def ask(self, path: Path, accounts: Sequence[str], probes: Sequence[tuple[int, int]]) -> Probes:
        """Ask for accounts (by index) at values of the moving answer."""
        held = {address: answer for address, answer in self._held.items() if address not in path.feeds}
        overrides = {**dict.fromkeys(held, self._stub), **path.overrides, PROBER: self._prober}
        names, seen = b"".join(bytes.fromhex(account[2:]) for account in accounts), b""
        for first in range(0, len(probes), MOST):
            packed = b"".join((i << 96 | moving).to_bytes(16) for i, moving in probes[first : first + MOST])
            given = (list(path.feeds), list(path.feeds.values()), list(held), list(held.values()), names, packed)
            data = selector(f"probe({','.join(ARGUMENTS)})") + encode(ARGUMENTS, (self._market.pool, *given))
            call = {"from": PROBER, "to": PROBER, "data": "0x" + data.hex(), "gas": hex(10**12)}
            raw = self._market.anvil.rpc("eth_call", call, hex(self.block), overrides)
            timestamp, part = decode(["uint256", "bytes"], bytes.fromhex(raw[2:]))
            assert timestamp == self.timestamp
            seen += part[: len(packed) // 4]
        return Probes(seen[0::4], [average for (average,) in struct.iter_unpack(">xxH", seen)])


def source_override(oracle: str, asset: str, source: str) -> dict[str, dict[str, dict[str, str]]]:
    """Change AaveOracle's mapping of assets to sources, which lies in its first slot."""
    slot = keccak(encode(["address", "uint256"], [asset, 0]))
    return {oracle: {"stateDiff": {"0x" + slot.hex(): "0x" + bytes(12).hex() + source[2:]}}}
