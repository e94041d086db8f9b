"""What of a fork's state is other than the block's that it began at: asked of the block's own endpoint, in bulk."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from eth_utils.crypto import keccak

from scanner.chain.interface import Call, Reader, Reverted
from scanner.chain.world import Change
from scanner.errors import DecodeError

__all__ = ["AccountState", "differences"]

_WORD: Final = 32
_WORDS: Final = 1_000  # asked of one contract in one call
_CONTRACTS: Final = 200  # whose code is replaced in one round
_CODES: Final = "0x" + b"liqbands.codes......".hex()
_BALANCES: Final = "0x" + b"liqbands.balances...".hex()
_SLOAD, _BALANCE, _EXTCODEHASH = 0x54, 0x31, 0x3F
_NO_CODE: Final = keccak(b"")


@dataclass(frozen=True, slots=True)
class AccountState:
    """An account of a fork, as far as the fork has looked at it."""

    code: bytes
    balance: int
    slots: Mapping[int, int] = field(default_factory=dict)


def _program(opcode: int) -> bytes:
    """Assemble a program that answers an opcode's result for each word of its calldata."""
    # i = 0; while i != calldatasize: mem[i] = op(calldata[i]); i += 32
    return bytes.fromhex(f"3d5b8036146013578035{opcode:02x}81526020016001565b363df3")


def differences(reader: Reader, accounts: Mapping[str, AccountState]) -> dict[str, Change]:
    """Compare accounts (lower case) with the reader's block and keep what differs.

    The reader's endpoint runs a program of ours at each contract, that reads its storage. Raises OverridesRefused,
    RpcError, DecodeError.
    """
    names = sorted(accounts)
    words = b"".join(bytes.fromhex(name[2:]).rjust(_WORD, b"\0") for name in names)
    programs = {_CODES: _program(_EXTCODEHASH), _BALANCES: _program(_BALANCE)}
    hashes, balances = (_words(answer, len(names)) for answer in _ask(reader, programs, words))
    slots = _slots(reader, accounts)
    changes = {}
    for name, hashed, balance in zip(names, hashes, balances, strict=True):
        own = accounts[name]
        change = Change(
            code=None if _same_code(own.code, hashed) else own.code,
            balance=None if own.balance == balance else own.balance,
            slots={slot: value for slot, value in own.slots.items() if slots[name, slot] != value},
        )
        if change.parameter():
            changes[name] = change
    return changes


def _same_code(code: bytes, hashed: int) -> bool:
    mine = keccak(code) if code else _NO_CODE
    return (hashed.to_bytes(_WORD, "big") if hashed else _NO_CODE) == mine


def _ask(reader: Reader, programs: Mapping[str, bytes], words: bytes) -> list[bytes | Reverted]:
    return reader.call([Call(address, words) for address in programs], overrides=programs)


def _slots(reader: Reader, accounts: Mapping[str, AccountState]) -> dict[tuple[str, int], int]:
    """Read the slots of all accounts at the reader's block."""
    found: dict[tuple[str, int], int] = {}
    holders = [name for name, account in accounts.items() if account.slots]
    program = _program(_SLOAD)
    for at in range(0, len(holders), _CONTRACTS):
        part = holders[at : at + _CONTRACTS]
        asked = [(name, slots) for name in part for slots in _parts(list(accounts[name].slots))]
        calls = [Call(name, b"".join(slot.to_bytes(_WORD, "big") for slot in slots)) for name, slots in asked]
        answers = reader.call(calls, overrides=dict.fromkeys(part, program))
        for (name, slots), answer in zip(asked, answers, strict=True):
            found.update({(name, slot): value for slot, value in zip(slots, _words(answer, len(slots)), strict=True)})
    return found


def _parts(slots: Sequence[int]) -> Iterator[Sequence[int]]:
    for at in range(0, len(slots), _WORDS):
        yield slots[at : at + _WORDS]


def _words(answer: bytes | Reverted, count: int) -> list[int]:
    if isinstance(answer, Reverted) or len(answer) != count * _WORD:
        raise DecodeError("what a fork changed cannot be told: code of ours did not answer for every word")
    return [int.from_bytes(answer[at : at + _WORD], "big") for at in range(0, len(answer), _WORD)]
