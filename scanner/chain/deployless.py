"""A program run as a contract that is being created, for nodes that take no state overrides. Pure encoding.

``deployless.sol`` creates it, calls it and reverts with what it returned, so nothing stays and nothing is ever written.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Final

from scanner.errors import DecodeError

__all__ = ["INITCODE_MOST", "Ran", "creation", "creation_gas", "room_for", "unwrap"]

INITCODE_MOST: Final = 49_152
"""Bytes of code that a contract may be created from (EIP-3860): here the program with all of its calldata."""

_MARK: Final = b"liqbands.deployless.answer.....1"
_HEAD: Final = len(_MARK) + 32
_OUTCOMES: Final = 4
_REVERTED, _ANSWERED, _NOT_CREATED, _OUT_OF_GAS = range(_OUTCOMES)
_TRAILER: Final = 8
_RETURN_THE_REST: Final = "61{:04x}80600c6000396000f3"  # PUSH2 size DUP1 PUSH1 12 PUSH1 0 CODECOPY PUSH1 0 RETURN
_LOADER: Final = 12

_CREATE_GAS: Final = 53_000 + 32_000  # what creating costs at least: as a transaction, and once more inside
_CODE_BYTE_GAS: Final = 200 + 16  # kept as code, and sent along


@dataclass(frozen=True, slots=True)
class Ran:
    """What became of a program: what it returned, or with ``answered`` false what it reverted with."""

    answered: bool
    returned: bytes
    out_of_gas: bool = False


@cache
def _wrapper() -> bytes:
    """Read the creation code of ``deployless.sol``, which a test recompiles."""
    return bytes.fromhex((files("scanner.chain") / "deployless.hex").read_text().strip())


def creation(code: bytes, data: bytes) -> bytes:
    """Write the code of the contract that runs ``code`` with ``data`` as its calldata."""
    program = bytes.fromhex(_RETURN_THE_REST.format(len(code))) + code
    return b"".join((_wrapper(), program, data, len(program).to_bytes(4, "big"), len(data).to_bytes(4, "big")))


def room_for(code: bytes) -> int:
    """Say how many bytes of calldata a program can be given."""
    return INITCODE_MOST - len(_wrapper()) - _LOADER - len(code) - _TRAILER


def creation_gas(code: bytes) -> int:
    """Give the gas that it takes to bring a program into being, beside what it uses."""
    return _CREATE_GAS + _CODE_BYTE_GAS * (len(code) + _LOADER) + 16 * len(_wrapper())


def unwrap(data: bytes) -> Ran | None:
    """Read the data of a revert: None where it is not ours, or where the program was not even created.

    Raises DecodeError when it is ours and not whole.
    """
    if not data.startswith(_MARK):
        return None
    outcome, size = data[len(_MARK) : _HEAD - 16], int.from_bytes(data[_HEAD - 16 : _HEAD], "big")
    code = int.from_bytes(outcome, "big")
    if len(data) < _HEAD or len(data) - _HEAD != size or code >= _OUTCOMES:
        raise DecodeError(f"a revert of {len(data)} bytes is no answer of {size} bytes with outcome {code}")
    if code == _NOT_CREATED:
        return None
    return Ran(code == _ANSWERED, data[_HEAD:], out_of_gas=code == _OUT_OF_GAS)
