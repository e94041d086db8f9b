"""Turn what a user calls a block into one number, hash and timestamp."""

from __future__ import annotations

import re
from typing import Final

import msgspec

from scanner.chain.endpoint import Endpoint
from scanner.chain.interface import Block
from scanner.errors import BlockUnavailable, ConfigError

__all__ = ["TAGS", "block_by_number", "block_parameter", "head_number", "moves", "resolve_block"]

TAGS: Final = ("latest", "safe", "finalized", "earliest")
_SCALES: Final = {"k": 10**3, "m": 10**6, "b": 10**9}
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


async def head_number(endpoint: Endpoint) -> int:
    """Give the number of the endpoint's newest block."""
    return int(await endpoint.text("eth_blockNumber", []), 16)


async def block_by_number(endpoint: Endpoint, block: int | str) -> Block | None:
    """Ask for a block by tag, hash or number; None where the endpoint knows none."""
    by_hash = isinstance(block, str) and block.startswith("0x")
    method = "eth_getBlockByHash" if by_hash else "eth_getBlockByNumber"
    result = await endpoint.request(method, [hex(block) if isinstance(block, int) else block, False])
    try:
        raw = _decoder.decode(result)
        return None if raw is None else Block(int(raw.number, 16), raw.hash.lower(), int(raw.timestamp, 16))
    except (msgspec.MsgspecError, ValueError) as error:
        raise endpoint.malformed(method, result) from error


async def resolve_block(endpoint: Endpoint, block: int | str) -> Block:
    """Find the block that a scan is pinned to. Raises ConfigError, BlockUnavailable, RpcError."""
    wanted = block_parameter(block)
    if isinstance(wanted, int) and wanted < 0:
        head = await head_number(endpoint)
        if head + wanted < 0:
            raise BlockUnavailable(f"{endpoint.host}: block {block} is before the first block (the head is {head})")
        wanted += head
    found = await block_by_number(endpoint, wanted)
    if found is not None:
        return found
    head = await head_number(endpoint)
    advice = (
        "is the hash right, and of this chain?"
        if isinstance(wanted, str) and wanted.startswith("0x")
        else f"use --block {head} or lower"
        if isinstance(wanted, int) and wanted > head
        else "try another block or another endpoint"
    )
    raise BlockUnavailable(f"{endpoint.host}: block {block} is unknown to this node, whose head is {head}; {advice}")
