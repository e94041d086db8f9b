"""Runtime code that stands in for a price feed for the length of an eth_call. Pure."""

from __future__ import annotations

from typing import Final

from scanner.chain.interface import Overrides

__all__ = ["overrides_for_answer", "stub_code"]

_WORD: Final = 2**256
_LATEST_ANSWER: Final = "50d25bcd"
_LATEST_ROUND_DATA: Final = "feaf968c"
_LATEST_TIMESTAMP: Final = "8205bf6a"
_DECIMALS: Final = "313ce567"
_SET: Final = "e5c19b2d"
_MOVE: Final = b"liqbands.oracle_stub.move".ljust(32, b"\0").hex()
"""Storage slot of the move: text, so that no contract whose code is replaced has anything there."""


def stub_code(answer: int, decimals: int, updated_at: int) -> bytes:
    """Assemble a contract that answers latestAnswer, latestRoundData, latestTimestamp and decimals.

    ``set(int256)`` adds a move to ``answer``, which may be negative; else all are constants. Anything else reverts. The
    code is selector comparisons, then one block per function.
    """
    current = _push(answer) + bytes.fromhex(f"7f{_MOVE}5401")  # answer + sload(move)
    once, at = _push(1), _push(updated_at)
    blocks = {
        _LATEST_ANSWER: _reply(current),
        _LATEST_ROUND_DATA: _reply(once, current, at, at, once),
        _LATEST_TIMESTAMP: _reply(at),
        _DECIMALS: _reply(_push(decimals)),
        _SET: bytes.fromhex(f"5b6004357f{_MOVE}5500"),  # sstore(move, calldataload(4)), stop
    }
    head_size = 6 + 11 * len(blocks) + 4
    head, position = bytes.fromhex("60003560e01c"), head_size  # selector = calldataload(0) >> 224
    for selector, block in blocks.items():
        # dup1, push4 selector, eq, push2 block, jumpi
        head += bytes.fromhex(f"8063{selector}1461{position:04x}57")
        position += len(block)
    return head + bytes.fromhex("600080fd") + b"".join(blocks.values())  # revert(0, 0)


def overrides_for_answer(address: str, answer: int, decimals: int, timestamp: int) -> Overrides:
    """Let the contract at an address answer as a feed would; for proxied feeds that is the proxy."""
    return {address.lower(): stub_code(answer, decimals, timestamp)}


def _push(word: int) -> bytes:
    return b"\x7f" + (word % _WORD).to_bytes(32, "big")


def _reply(*words: bytes) -> bytes:
    """Give a jump target that returns what each of the pieces of code leaves on the stack."""
    code = b"\x5b"
    for i, word in enumerate(words):
        code += word + bytes([0x60, 32 * i, 0x52])  # push1 offset, mstore
    return code + bytes([0x60, 32 * len(words), 0x60, 0x00, 0xF3])  # return(0, size)
