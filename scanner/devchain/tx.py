"""Send transactions to anvil by the hundred, and make calls, with plain ABI signatures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final

from eth_abi.abi import decode, encode
from eth_utils.crypto import keccak

from scanner.devchain.anvil import Anvil
from scanner.devchain.artifact import Artifact
from scanner.errors import DevchainError, RpcError

__all__ = ["DEPLOYER", "ZERO", "Chain", "calldata", "create2_address", "create_address", "selector", "types_of"]

DEPLOYER: Final = "0xf39fd6e51aad88f6f4ce6ab8827279cfffb92266"
"""Anvil's first account: deploys the market and holds every role in it."""

ZERO: Final = "0x" + "00" * 20
_GAS: Final = 10**9


@lru_cache(maxsize=4096)
def selector(signature: str) -> bytes:
    """Give the four selector bytes of ``name(type,type,...)``."""
    return keccak(text=signature)[:4]


@lru_cache(maxsize=4096)
def types_of(signature: str) -> tuple[str, ...]:
    """Split the argument types out of ``name(type,(type,type)[],...)`` or of a bare ``type,type``."""
    text = signature
    if "(" in signature and signature.endswith(")") and not signature.startswith("("):
        text = signature[signature.index("(") + 1 : -1]
    types, depth, start = [], 0, 0
    for i, character in enumerate(text):
        depth += (character == "(") - (character == ")")
        if character == "," and depth == 0:
            types.append(text[start:i])
            start = i + 1
    return (*types, text[start:]) if text else ()


def calldata(signature: str, *args: Any) -> bytes:
    """Encode a call of ``signature`` with ``args``."""
    return selector(signature) + encode(types_of(signature), args)


def create_address(sender: str, nonce: int) -> str:
    """Give the address of the contract that ``sender`` creates with ``nonce``."""
    digits = nonce.to_bytes((nonce.bit_length() + 7) // 8, "big")
    number = digits if len(digits) == 1 and nonce < 0x80 else bytes([0x80 + len(digits)]) + digits
    pair = bytes([0x94]) + bytes.fromhex(sender[2:]) + number
    return "0x" + keccak(bytes([0xC0 + len(pair)]) + pair)[12:].hex()


def create2_address(creator: str, salt: bytes, code: bytes) -> str:
    """Give the address of the contract that ``creator`` makes with CREATE2 from ``salt`` and creation ``code``."""
    return "0x" + keccak(b"\xff" + bytes.fromhex(creator[2:]) + salt + keccak(code))[12:].hex()


@dataclass(frozen=True, slots=True)
class _Queued:
    to: str | None
    data: bytes
    value: int
    gas: int
    what: str


class Chain:
    """A sender of transactions: queued until ``flush``, which puts all of them into one block.

    Transactions of one sender keep their order. A queue holds one sender's transactions; naming another one
    flushes first.
    """

    def __init__(self, anvil: Anvil, sender: str = DEPLOYER) -> None:
        """Send as ``sender`` unless a call names another account."""
        self.anvil = anvil
        self.sender = sender
        self._queue: list[_Queued] = []
        self._queue_sender = sender
        self._nonce: int | None = None  # of the first queued transaction

    def deploy(self, code: bytes | Artifact, types: str = "", *args: Any, what: str = "") -> str:
        """Queue a contract creation with constructor ``types`` and ``args``; give the address it will have."""
        if isinstance(code, Artifact):
            what, code = what or code.name, code.linked()
        self._select(None)
        address = create_address(self.sender, self._first_nonce() + len(self._queue))
        self._queue.append(_Queued(None, code + encode(types_of(types), args), 0, _GAS, f"creation of {what}"))
        return address

    def send(
        self, to: str, signature: str, *args: Any, sender: str | None = None, value: int = 0, gas: int = _GAS
    ) -> None:
        """Queue a call of ``signature`` on ``to``."""
        self.send_data(to, calldata(signature, *args), sender=sender, value=value, gas=gas, what=signature)

    def send_data(
        self, to: str, data: bytes, *, sender: str | None = None, value: int = 0, gas: int = _GAS, what: str = ""
    ) -> None:
        """Queue a transaction with raw calldata."""
        self._select(sender)
        self._queue.append(_Queued(to, data, value, gas, what or f"transaction to {to}"))

    def _select(self, sender: str | None) -> None:
        chosen = sender or self.sender
        if chosen != self._queue_sender:
            self.flush()
            self._queue_sender = chosen

    def _first_nonce(self) -> int:
        if self._nonce is None:
            self._nonce = int(self.anvil.rpc("eth_getTransactionCount", self._queue_sender, "latest"), 16)
        return self._nonce

    def flush(self) -> int:
        """Mine everything that is queued in one block and give its number; DevchainError when one reverts."""
        if not self._queue:
            return self.block_number()
        queue, self._queue = self._queue, []
        nonce, self._nonce = self._first_nonce(), None
        requests = [self._request(item, nonce + i) for i, item in enumerate(queue)]
        self.anvil.rpc("evm_setAutomine", False)
        try:
            hashes = self.anvil.batch([("eth_sendTransaction", [request]) for request in requests])
            self.anvil.rpc("evm_mine")
        finally:
            self.anvil.rpc("evm_setAutomine", True)
        number = self.block_number()
        receipts = {r["transactionHash"]: r for r in self.anvil.rpc("eth_getBlockReceipts", hex(number))}
        for item, request, mined in zip(queue, requests, hashes, strict=True):
            receipt = receipts.get(mined)
            if receipt is None:
                raise DevchainError(f"{item.what} was not mined")
            if int(receipt["status"], 16) != 1:
                raise DevchainError(f"{item.what} reverted: {self._reason(request, number)}")
        return number

    def _request(self, item: _Queued, nonce: int) -> dict[str, str]:
        request = {
            "from": self._queue_sender,
            "data": "0x" + item.data.hex(),
            "value": hex(item.value),
            "gas": hex(item.gas),
            "gasPrice": "0x0",
            "nonce": hex(nonce),
        }
        if item.to is not None:
            request["to"] = item.to
        return request

    def _reason(self, request: Mapping[str, str], block: int) -> str:
        replay = {key: value for key, value in request.items() if key != "nonce"}
        try:
            self.anvil.rpc("eth_call", replay, hex(block - 1))
        except RpcError as error:
            return str(error)
        return "it would pass on the block before"

    def block_number(self) -> int:
        """Give the number of the newest block."""
        return int(self.anvil.rpc("eth_blockNumber"), 16)

    def call(
        self,
        to: str,
        signature: str,
        returns: str = "",
        *args: Any,
        sender: str | None = None,
        block: str | int = "latest",
        overrides: Mapping[str, Mapping[str, str]] | None = None,
    ) -> tuple[Any, ...]:
        """Call ``signature`` on ``to`` and decode ``returns``; queued transactions are mined first.

        A revert raises RpcError with the node's message.
        """
        self.flush()
        return self.calls([(to, calldata(signature, *args), returns)], sender=sender, block=block, overrides=overrides)[
            0
        ]

    def calls(
        self,
        requests: Sequence[tuple[str, bytes, str]],
        *,
        sender: str | None = None,
        block: str | int = "latest",
        overrides: Mapping[str, Mapping[str, str]] | None = None,
    ) -> list[tuple[Any, ...]]:
        """Make many calls (address, calldata, return types) in one request."""
        tag = hex(block) if isinstance(block, int) else block
        rest = [tag] if overrides is None else [tag, overrides]
        batch = [
            ("eth_call", [{"from": sender or self.sender, "to": to, "data": "0x" + data.hex()}, *rest])
            for to, data, _ in requests
        ]
        answers = self.anvil.batch(batch)
        return [
            tuple(decode(types_of(returns), bytes.fromhex(answer[2:])))
            for (_, _, returns), answer in zip(requests, answers, strict=True)
        ]
