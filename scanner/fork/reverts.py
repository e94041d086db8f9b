"""Say why a contract refused. Pure."""

from __future__ import annotations

from functools import cache
from typing import Final

from eth_utils.crypto import keccak

from scanner.protocols.aave_v3.errors import CODES, NAMES

__all__ = ["revert_reason"]

_ERROR: Final = bytes.fromhex("08c379a0")  # Error(string)
_PANIC: Final = bytes.fromhex("4e487b71")  # Panic(uint256)
_WORD: Final = 32
_LONGEST: Final = 300
_PANICS: Final = {
    0x01: "assertion failed",
    0x11: "arithmetic overflow or underflow",
    0x12: "division by zero",
    0x21: "no such enum value",
    0x31: "pop of an empty array",
    0x32: "array index out of bounds",
    0x41: "out of memory",
}


def revert_reason(data: bytes) -> str:
    """Decode what a revert returned: a text, a panic, an error of Aave by name, else the bytes."""
    head, body = data[:4], data[4:]
    if not data:
        return "without a reason"
    if head == _ERROR and len(body) >= 2 * _WORD:
        length = int.from_bytes(body[_WORD : 2 * _WORD], "big")
        text = body[2 * _WORD : 2 * _WORD + min(length, _LONGEST)].decode("utf-8", "replace")
        return f"{text} ({CODES[text]})" if text in CODES else repr(text)
    if head == _PANIC and len(body) == _WORD:
        code = int.from_bytes(body, "big")
        return f"panic 0x{code:02x} ({_PANICS.get(code, 'unknown')})"
    if len(body) % _WORD == 0 and head in _known():
        return f"{_known()[head]}({'…' if body else ''})"
    shown = data.hex()
    return f"custom error 0x{shown[:64]}{'…' if len(shown) > 64 else ''}"


@cache
def _known() -> dict[bytes, str]:
    return {keccak(text=name if "(" in name else f"{name}()")[:4]: name.partition("(")[0] for name in NAMES}
