"""Turn what a user calls a block into one number, hash and timestamp."""

from __future__ import annotations

import re
from typing import Any, Final

import msgspec

from scanner.chain.endpoint import Endpoint
from scanner.chain.interface import Block
from scanner.errors import BlockUnavailable, ConfigError

__all__ = [
    "TAGS",
    "behind_head",
    "block_by_number",
    "block_parameter",
    "block_question",
    "head_number",
    "moves",
    "quantity",
    "read_block",
    "unknown_block",
]

TAGS: Final = ("latest", "safe", "finalized", "earliest")
_SCALES: Final = {"k": 10**3, "m": 10**6, "b": 10**9}
_QUANTITY: Final = re.compile(r"0x[0-9a-fA-F]{1,16}")
_HASH: Final = re.compile(r"0x[0-9a-f]{64}")
_MOST: Final = 2**40
"""More than blocks or seconds of any chain; what is kept and shown has room for it."""
_NUMBER: Final = re.compile(r"(-?)(\d[\d_]*)(?:\.(\d+))?([kmb]?)", re.IGNORECASE)


class _RawBlock(msgspec.Struct):
    number: str
    hash: str
    timestamp: str


_decoder = msgspec.json.Decoder(_RawBlock | None)


def block_parameter(block: int | str) -> int | str:
    """Read a block as a user writes it: a tag, a 32-byte hash, a number, or a negative offset from the head.

    Numbers may have underscores and end in K, M or B ("16M", "15.5M"). Gives a tag, a hash or an integer.
    Raises ConfigError.
    """
    if isinstance(block, int):
        return block
    text = block.strip().lower()
    if text in TAGS or re.fullmatch(r"0x[0-9a-f]{64}", text):
        return text
    if re.fullmatch(r"0x[0-9a-f]{1,16}", text):
        return int(text, 16)
    match = _NUMBER.fullmatch(text)
    if match is None:
        raise ConfigError(f"block {block!r}: expected a number, -N, a block hash or one of {', '.join(TAGS)}")
    sign, whole, fraction, scale = match.groups()
    digits = len(fraction or "")
    value = int(whole.replace("_", "") + (fraction or "")) * _SCALES.get(scale, 1)
    if value % 10**digits:
        raise ConfigError(f"block {block!r} is no whole number")
    number: int = value // 10**digits
    return -number if sign else number


def moves(block: int | str) -> bool:
    """Say whether a block as a user writes it is another one later: a tag, or counted from the head."""
    wanted = block_parameter(block)
    return wanted in TAGS if isinstance(wanted, str) else wanted < 0


def block_question(block: int | str) -> tuple[str, list[Any]]:
    """Give the request that asks for a block by number, tag or hash."""
    if isinstance(block, int):
        return "eth_getBlockByNumber", [hex(block), False]
    return ("eth_getBlockByHash" if block.startswith("0x") else "eth_getBlockByNumber"), [block, False]


def read_block(endpoint: Endpoint, method: str, result: msgspec.Raw) -> Block | None:
    """Read the answer to a ``block_question``; None where the endpoint knows no such block. Raises RpcFailure."""
    try:
        raw = _decoder.decode(result)
        if raw is None:
            return None
        if not _HASH.fullmatch(raw.hash.lower()):
            raise ValueError("a block hash has 32 bytes")
        return Block(quantity(raw.number), raw.hash.lower(), quantity(raw.timestamp))
    except (msgspec.MsgspecError, ValueError):
        raise endpoint.malformed(method, result) from None  # int() quotes what it cannot read


def quantity(text: str, below: int = _MOST) -> int:
    """Read a number as JSON-RPC has it. Raises ValueError for anything else, and for one that cannot be meant."""
    if not _QUANTITY.fullmatch(text) or (number := int(text, 16)) >= below:
        raise ValueError("no quantity, or too large")
    return number


async def head_number(endpoint: Endpoint) -> int:
    """Give the number of the endpoint's newest block. Raises RpcFailure."""
    result = await endpoint.request("eth_blockNumber", [])
    try:
        return quantity(msgspec.json.decode(result, type=str))
    except (msgspec.MsgspecError, ValueError):
        raise endpoint.malformed("eth_blockNumber", result) from None


async def block_by_number(endpoint: Endpoint, block: int | str) -> Block | None:
    """Ask for a block by tag, hash or number; None where the endpoint knows none."""
    method, params = block_question(block)
    return read_block(endpoint, method, await endpoint.request(method, params))


async def unknown_block(endpoint: Endpoint, block: int | str, wanted: int | str) -> BlockUnavailable:
    """Make the error for a block that the endpoint does not know; ``block`` is how the user wrote it."""
    head = await head_number(endpoint)
    advice = (
        "is the hash right, and of this chain?"
        if isinstance(wanted, str) and wanted.startswith("0x")
        else f"use --block {head} or lower"
        if isinstance(wanted, int) and wanted > head
        else "try another block or another endpoint"
    )
    return BlockUnavailable(f"{endpoint.host}: block {block} is unknown to this node, whose head is {head}; {advice}")


def behind_head(endpoint: Endpoint, block: int | str, wanted: int, head: int) -> int:
    """Count a negative offset from the head. Raises BlockUnavailable before the first block."""
    if head + wanted < 0:
        raise BlockUnavailable(f"{endpoint.host}: block {block} is before the first block (the head is {head})")
    return head + wanted
