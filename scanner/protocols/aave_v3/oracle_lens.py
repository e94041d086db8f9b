"""The lens that moves feeds and asks an oracle for prices: what goes in, what comes out; ``oracle_lens.sol`` runs."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Final

from scanner.chain.interface import Lens, Overrides, Reader
from scanner.errors import DecodeError
from scanner.protocols.aave_v3.decode import ZERO_ADDRESS

__all__ = ["MOVES", "UNMOVED", "Prices", "moved_item", "price_lens", "prices_by_lens", "reads_by_lens"]

MOVES: Final = 5
"""Answers that a feed is tried at."""

Prices = Mapping[str, int | None]
"""By asset; None where there is no positive price. An asset whose price cannot be told is absent."""

_NAME: Final = "aave-v3 oracle"
_PRICES, _READS = b"\0", b"\1"
_NONE, _UNTOLD = 1, 2
_PRICE_BITS: Final = 192
_RECORD: Final = 32
_ITEM: Final = 20 + MOVES * 32
_NOBODY: Final = "0x" + b"liqbands.nobody.....".hex()
"""Text, so no contract can own it, and no price source reads it."""

_START_GAS: Final = 40_000_000
_PRICE_GAS: Final = 12_000
"""What a price costs as a rule: the first request is sized by it, the others by what prices really cost."""


def _item(feed: str, moves: Sequence[int]) -> bytes:
    return bytes.fromhex(feed[2:]) + b"".join(move.to_bytes(32, "big", signed=True) for move in moves)


UNMOVED: Final = _item(ZERO_ADDRESS, (0,) * MOVES)
"""The item that asks for prices with every stub at today's answer."""


def moved_item(feed: str, today: int, answers: Sequence[int]) -> bytes:
    """Write the item that asks for prices with a feed at one answer after the other."""
    return _item(feed, [answer - today for answer in answers])


def price_lens(oracle: str, assets: Sequence[str], stubs: Overrides) -> Lens:
    """Give the lens that asks for the prices of all assets. ``stubs`` stand in for every feed that items move."""
    start = max(_START_GAS // (_PRICE_GAS * MOVES * max(len(assets), 1)), 1)
    header = _PRICES + bytes.fromhex(oracle[2:]) + _listed(assets)
    return Lens(_NAME, _code(), header, _ITEM, overrides=stubs, start=start)


def prices_by_lens(reader: Reader, lens: Lens, assets: Sequence[str], items: Sequence[bytes]) -> list[list[Prices]]:
    """Give the prices at each answer of each item. Raises RpcError, OverridesRefused, DecodeError."""
    found: list[list[dict[str, int | None]]] = [[{} for _ in range(1 if i == UNMOVED else MOVES)] for i in items]
    told = 0
    for item, record in _records(reader, lens, items):
        move, asset, status = record >> 216 & 0xFF, record >> 200 & 0xFFFF, record >> _PRICE_BITS & 0xFF
        if move >= len(found[item]) or asset >= len(assets) or status > _UNTOLD:
            raise DecodeError(f"lens {lens.name}: no record has move {move}, asset {asset} and status {status}")
        told += 1
        if status != _UNTOLD:
            price = record % (1 << _PRICE_BITS)
            found[item][move][assets[asset]] = None if status == _NONE else price or None
    if told != len(assets) * sum(map(len, found)):
        raise DecodeError(f"lens {lens.name}: {told} records for {len(items)} items of {len(assets)} assets")
    return [list(prices) for prices in found]


def reads_by_lens(reader: Reader, feeds: Collection[str]) -> dict[str, set[str]] | None:
    """Say which other feeds each feed reads to give its latestAnswer: what it touches costs less to touch again.

    None where a node does not charge so. Raises RpcError, OverridesRefused, DecodeError.
    """
    names = sorted(feeds)
    listed = [*names, _NOBODY]
    found: dict[str, set[str]] = {name: set() for name in names}
    lens = Lens(_NAME, _code(), _READS + _listed(listed))
    for item, record in _records(reader, lens, [bytes.fromhex(name[2:]) for name in names]):
        read = record % (1 << 224)
        if read >= len(listed):
            raise DecodeError(f"lens {lens.name}: a record names feed {read} of {len(listed)}")
        found[names[item]].add(listed[read])
    if any(_NOBODY in read for read in found.values()):
        return None
    return {name: read - {name} for name, read in found.items()}


def _records(reader: Reader, lens: Lens, items: Sequence[bytes]) -> list[tuple[int, int]]:
    """Give each record with the item that it is of."""
    return [
        (chunk.first + int.from_bytes(chunk.records[at : at + 4], "big"), _word(chunk.records, at))
        for chunk in reader.lens(lens, items)
        for at in range(0, len(chunk.records), _RECORD)
    ]


def _word(records: bytes, at: int) -> int:
    return int.from_bytes(records[at : at + _RECORD], "big")


def _listed(addresses: Sequence[str]) -> bytes:
    return len(addresses).to_bytes(2, "big") + b"".join(bytes.fromhex(address[2:]) for address in addresses)


@cache
def _code() -> bytes:
    return bytes.fromhex(Path(__file__).with_name("oracle_lens.hex").read_text(encoding="ascii"))
