"""What tests judge the product by: the contracts' answers through web3.py alone, and the program as users run it.

``Peer`` shares nothing with ``scanner``: addresses, ABI and decoding are its own.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import msgspec
import pytest
from web3 import HTTPProvider, Web3

from scanner import ScanOptions
from scanner.cli import run
from scanner.devchain import Anvil, DevMarket, deploy_market, populate
from scanner.devchain.market import Kind
from scanner.devchain.toolchain import Toolchain

__all__ = [
    "MULTICALL3",
    "Data",
    "Outcome",
    "Peer",
    "invoke",
    "multicall3_code",
    "options_of",
    "small_market",
    "where",
]

MULTICALL3 = "0xca11bde05977b3631167028862be2a173976ca11"
NO_DEBT = 2**256 - 1

_MULTICALL3_SOURCE = """
pragma solidity 0.8.27;
contract Multicall3 {
    struct Call3 { address target; bool allowFailure; bytes callData; }
    struct Result { bool success; bytes returnData; }
    function aggregate3(Call3[] calldata calls) external payable returns (Result[] memory results) {
        results = new Result[](calls.length);
        for (uint256 i; i < calls.length; i++) {
            (results[i].success, results[i].returnData) = calls[i].target.call(calls[i].callData);
            require(results[i].success || calls[i].allowFailure);
        }
    }
    function getCurrentBlockTimestamp() external view returns (uint256) { return block.timestamp; }
}
"""


def _function(name: str, inputs: str = "", outputs: str = "") -> dict[str, Any]:
    """Write one ABI entry; types are separated by blanks, outputs unnamed."""
    return {
        "type": "function",
        "name": name,
        "stateMutability": "view",
        "inputs": [{"name": f"in{i}", "type": kind} for i, kind in enumerate(inputs.split())],
        "outputs": [{"name": f"out{i}", "type": kind} for i, kind in enumerate(outputs.split())],
    }


_RESERVE_TYPES = [
    "uint256",
    "uint128",
    "uint128",
    "uint128",
    "uint128",
    "uint128",
    "uint40",
    "uint16",
    "address",
    "address",
    "address",
    "address",
    "uint128",
    "uint128",
    "uint128",
]
_RESERVE_DATA = _function("getReserveData", "address", " ".join(_RESERVE_TYPES))
_PROVIDER_ABI = [_function("getPool", "", "address")]
_POOL_ABI = [
    _function("getUserAccountData", "address", " ".join(["uint256"] * 6)),
    _function("getReservesList", "", "address[]"),
    _RESERVE_DATA,
]
_TOKEN_ABI = [_function("scaledTotalSupply", "", "uint256")]
_CALL3 = [{"name": n, "type": t} for n, t in (("target", "address"), ("allowFailure", "bool"), ("callData", "bytes"))]
_RESULT = [{"name": "success", "type": "bool"}, {"name": "returnData", "type": "bytes"}]
_MULTICALL3_ABI = [
    {
        "type": "function",
        "name": "aggregate3",
        "stateMutability": "payable",
        "inputs": [{"name": "calls", "type": "tuple[]", "components": _CALL3}],
        "outputs": [{"name": "results", "type": "tuple[]", "components": _RESULT}],
    }
]


def multicall3_code(toolchain: Toolchain) -> str:
    """Compile what liqbands asks of Multicall3; give its runtime code, 0x."""
    compiled = toolchain.compile({"m.sol": _MULTICALL3_SOURCE}, ["m.sol:Multicall3"])["Multicall3"]
    return f"0x{compiled.runtime}"


@dataclass(frozen=True)
class Data:
    """What ``getUserAccountData`` says: base units, wad (None without debt)."""

    collateral: int
    debt: int
    health_factor: int | None


class Peer:
    """A market seen by web3.py at one block."""

    def __init__(self, market: DevMarket, block: int) -> None:
        self.web3 = Web3(HTTPProvider(market.anvil.url))
        self.block = block
        self._code = multicall3_code(market.toolchain)
        provider = self._contract(market.root, _PROVIDER_ABI)
        self.pool = self._contract(provider.functions.getPool().call(block_identifier=block), _POOL_ABI)

    def _contract(self, address: str, abi: list[dict[str, Any]]) -> Any:
        return self.web3.eth.contract(self.web3.to_checksum_address(address), abi=abi)

    def _aggregate(self, calls: Sequence[tuple[str, str | bytes]]) -> list[tuple[bool, bytes]]:
        """Make many calls by Multicall3's code, which web3.py puts on the chain for the length of a call."""
        multicall = self._contract(MULTICALL3, _MULTICALL3_ABI)
        override = {multicall.address: {"code": self._code}}
        found: list[tuple[bool, bytes]] = []
        for start in range(0, len(calls), 500):
            part = [(to, True, data) for to, data in calls[start : start + 500]]
            found += multicall.functions.aggregate3(part).call(block_identifier=self.block, state_override=override)
        return found

    def account_data(self, accounts: Sequence[str]) -> dict[str, Data | None]:
        """Ask the pool for each account's data; None where it reverts. Keys as they were given."""
        asked = Web3.keccak(text="getUserAccountData(address)")[:4]
        calls = [(self.pool.address, asked + self.web3.codec.encode(["address"], [a])) for a in accounts]
        answers = self._aggregate(calls)
        return {a: _data(answer) if fine else None for a, (fine, answer) in zip(accounts, answers, strict=True)}

    def account_data_alone(self, account: str) -> Data:
        """Ask for one account by a call of its own; ContractLogicError when it reverts."""
        words = self.pool.functions.getUserAccountData(Web3.to_checksum_address(account)).call(
            block_identifier=self.block
        )
        return Data(words[0], words[1], None if words[5] == NO_DEBT else words[5])

    @cached_property
    def debt_tokens(self) -> Mapping[str, str]:
        """Variable debt token by reserve id as text."""
        assets = self.pool.functions.getReservesList().call(block_identifier=self.block)
        ask = self.pool.functions.getReserveData
        answers = self._aggregate([(self.pool.address, ask(asset)._encode_transaction_data()) for asset in assets])
        rows = [self.web3.codec.decode(_RESERVE_TYPES, answer) for _, answer in answers]
        return {str(row[7]): Web3.to_checksum_address(row[10]) for row in rows}

    def scaled_debt(self) -> dict[str, int]:
        """Give the scaled variable debt that exists, by reserve id."""
        ask = self._contract(self.pool.address, _TOKEN_ABI).functions.scaledTotalSupply()
        answers = self._aggregate([(token, ask._encode_transaction_data()) for token in self.debt_tokens.values()])
        return {
            reserve: int.from_bytes(answer, "big")
            for reserve, (_, answer) in zip(self.debt_tokens, answers, strict=True)
        }


def _data(answer: bytes) -> Data:
    words = [int.from_bytes(answer[at : at + 32], "big") for at in range(0, len(answer), 32)]
    assert len(words) == 6
    return Data(words[0], words[1], None if words[5] == NO_DEBT else words[5])


# -- the program ----------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Outcome:
    """What a run of the program left behind."""

    code: int
    out: str
    err: str

    @property
    def document(self) -> Any:
        """The JSON document on stdout."""
        return msgspec.json.decode(self.out)


def invoke(capfd: pytest.CaptureFixture[str], *arguments: object) -> Outcome:
    """Run a command in this process."""
    capfd.readouterr()
    code = run([str(argument) for argument in arguments])
    captured = capfd.readouterr()
    return Outcome(code, captured.out, captured.err)


def small_market(anvil: Anvil, toolchain: Toolchain, kind: Kind = "3.6", borrowers: int = 150) -> DevMarket:
    """Deploy a market that is read in no time."""
    market = deploy_market(anvil, kind, toolchain=toolchain)
    populate(market, borrowers)
    return market


def where(market: DevMarket, index: Path, url: str | None = None) -> list[str]:
    """Give the options that name a market and an index file."""
    at = ["--rpc-url", url or market.anvil.url, "--market", market.root, "--from-block", str(market.first_block)]
    return [*at, "--index-file", str(index), "--no-progress"]


def options_of(market: DevMarket, index: Path | None, url: str | None = None, **more: Any) -> ScanOptions:
    """Give the options of a scan of a market, as ``where`` gives those of the command line; nothing is verified."""
    return ScanOptions(
        rpc_urls=[url or market.anvil.url],
        markets=[market.root],
        from_block=market.first_block,
        index_file=index,
        **{"verify": "none"} | more,
    )
