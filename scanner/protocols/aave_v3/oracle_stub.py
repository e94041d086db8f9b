"""Runtime code that stands in for a price feed for the length of an eth_call. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from scanner.chain.interface import Overrides

__all__ = ["overrides_for_answer", "stub_code"]

_WORD: Final = 2**256
_LATEST_ANSWER: Final = "50d25bcd"
_LATEST_ROUND_DATA: Final = "feaf968c"
_LATEST_TIMESTAMP: Final = "8205bf6a"
_DECIMALS: Final = "313ce567"


def stub_code(answer: int, decimals: int, updated_at: int) -> bytes:
    """Assemble a contract that answers latestAnswer, latestRoundData, latestTimestamp and decimals with constants.

    Anything else reverts. ``answer`` may be negative. The code is selector comparisons, then one block per getter that
    stores its words to memory and returns them.
    """
    replies: Sequence[tuple[str, Sequence[int]]] = (
        (_LATEST_ANSWER, (answer,)),
        (_LATEST_ROUND_DATA, (1, answer, updated_at, updated_at, 1)),
        (_LATEST_TIMESTAMP, (updated_at,)),
        (_DECIMALS, (decimals,)),
    )
    blocks = [_reply(words) for _, words in replies]
    head_size = 6 + 11 * len(replies) + 4
    head, position = bytes.fromhex("60003560e01c"), head_size  # selector = calldataload(0) >> 224
    for (selector, _), block in zip(replies, blocks, strict=True):
        # dup1, push4 selector, eq, push2 block, jumpi
        head += bytes.fromhex(f"8063{selector}1461{position:04x}57")
        position += len(block)
    return head + bytes.fromhex("600080fd") + b"".join(blocks)  # revert(0, 0)


def overrides_for_answer(address: str, answer: int, decimals: int, timestamp: int) -> Overrides:
    """Let the contract at an address answer as a feed would; for proxied feeds that is the proxy."""
    return {address.lower(): stub_code(answer, decimals, timestamp)}


def _reply(words: Sequence[int]) -> bytes:
    """Give a jump target that returns the words."""
    code = b"\x5b"
    for i, word in enumerate(words):
        # push32 word, push1 offset, mstore
        code += b"\x7f" + (word % _WORD).to_bytes(32, "big") + bytes([0x60, 32 * i, 0x52])
    return code + bytes([0x60, 32 * len(words), 0x60, 0x00, 0xF3])  # return(0, size)
