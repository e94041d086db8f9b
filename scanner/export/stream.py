"""A stream of accounts, a line of JSON each: what changed since what was written last. `docs/json.md` describes it."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import Any, Final

import msgspec
import polars as pl

from scanner.errors import ConfigError
from scanner.export.documents import SCHEMA_VERSION, snapshot_document
from scanner.export.rows import account_rows
from scanner.frames import POSITION_KEY
from scanner.results import ScanResult
from scanner.views import eip55

__all__ = ["Ledger", "parse_change", "reorg_line"]

_LINES_AT_ONCE: Final = 200
_DIGEST: Final = 16

Key = tuple[int, str, str, str]


def parse_change(text: str | None) -> Fraction:
    """Read a move of the health factor, such as 0.1%; none is every change. Raises ConfigError."""
    if text is None:
        return Fraction(0)
    written = re.fullmatch(r"(\d{1,3}(?:\.\d{1,9})?)%", text.strip())
    if written is None:
        raise ConfigError(f"--min-change {text}: give a move of the health factor in per cent, such as 0.1%")
    return Fraction(written[1]) / 100


@dataclass(frozen=True, slots=True)
class _Held:
    """One account as it was written last. fixed: digest of all that neither interest nor prices move."""

    line: bytes
    fixed: bytes
    wad: int | None
    account: str


class Ledger:
    """What a consumer holds who applied every line, as digests: a stream's memory does not grow with its length.

    Only accounts with debt are in a stream. An account is written again when anything about it is different. With
    ``min_change`` what interest and prices move by less, as a share of the health factor that was written last, is
    left out; written all the same is what is liquidatable, and an account whose status, e-mode, scaled balances,
    thresholds or bonuses are different.
    """

    def __init__(self, min_change: Fraction = Fraction(0)) -> None:
        self._least = min_change
        self._held: dict[Key, _Held] = {}

    def start(self, result: ScanResult, rows: pl.DataFrame | None = None) -> Iterator[bytes]:
        """Write everything, for a consumer who forgets what was before. ``rows``: as ``account_rows`` gives them."""
        self._held = {}
        yield _line(_head(result, "snapshot"))
        yield from self._changes(result, rows)

    def base(self, result: ScanResult, rows: pl.DataFrame | None = None) -> Iterator[bytes]:
        """Name the block whose accounts a consumer holds already."""
        self._held = {}
        yield _line(_head(result, "base"))
        *_, end = self._changes(result, rows)
        # what was left out before the consumer stopped is not known here: an account is written when it differs at all
        self._held = {key: replace(held, wad=None) for key, held in self._held.items()}
        yield end

    def block(self, result: ScanResult, rows: pl.DataFrame | None = None) -> Iterator[bytes]:
        """Write what is different at a block."""
        yield _line(_head(result, "block"))
        yield from self._changes(result, rows)

    def _changes(self, result: ScanResult, rows: pl.DataFrame | None) -> Iterator[bytes]:
        """Write an upsert or remove for each account that is different, then the end of the block."""
        known = (account_rows(result) if rows is None else rows).filter(pl.col("status") != "no_debt")
        told = known.select(pl.lit("upsert").alias("event"), pl.all())
        fixed = _fixed_parts(result) if self._least else {}
        gone = dict.fromkeys(self._held)
        lines: list[bytes] = []
        for part in told.iter_slices(_LINES_AT_ONCE):
            texts = part.select(pl.struct(pl.all()).struct.json_encode().alias("json"))["json"]
            columns = part.select(*POSITION_KEY, "health_factor_wad", "status", "account").iter_rows()
            for text, (*key_parts, wad, status, account) in zip(texts, columns, strict=True):
                key: Key = (key_parts[0], key_parts[1], key_parts[2], key_parts[3])
                line = text.encode()
                now = _Held(_digest(line), fixed.get(key, b""), None if wad is None else int(wad), account)
                gone.pop(key, None)
                if self._differs(self._held.get(key), now, exact=status == "liquidatable"):
                    self._held[key] = now
                    lines.append(line)
            if lines:
                yield b"\n".join(lines) + b"\n"
                lines = []
        for key in _unread(result):
            gone.pop(key, None)  # what could not be read has not gone
        for key in gone:
            yield _line(_removed(key, self._held.pop(key).account))
        end = {"block_number": result.snapshot.block_number, "block_hash": result.snapshot.block_hash}
        yield _line({"schema_version": SCHEMA_VERSION, "kind": "end", **end, "account_count": len(self._held)})

    def _differs(self, held: _Held | None, now: _Held, *, exact: bool) -> bool:
        if held is None or not self._least or exact:
            return held is None or held.line != now.line
        if held.fixed != now.fixed or held.wad is None or now.wad is None:
            return held.line != now.line
        return abs(now.wad - held.wad) >= self._least * held.wad and held.line != now.line


def reorg_line(chain_id: int, first_block: int | None, number: int | None, block_hash: str) -> bytes:
    """Write that blocks are undone, from ``first_block`` on (None: all), the last that was given among them."""
    return _line(
        {
            "event": "reorg",
            "chain_id": chain_id,
            "first_block": first_block,
            "block_number": number,
            "block_hash": block_hash,
        }
    )


def _head(result: ScanResult, kind: str) -> dict[str, Any]:
    mismatches = sum(len(market.mismatches) for market in result.markets)
    snapshot = snapshot_document(result)
    return {"schema_version": SCHEMA_VERSION, "kind": kind, "snapshot": snapshot, "mismatches": mismatches}


def _removed(key: Key, account: str) -> dict[str, Any]:
    return {"event": "remove", **dict(zip(POSITION_KEY, key, strict=True)), "account": account}


def _line(document: dict[str, Any]) -> bytes:
    return msgspec.json.encode(document) + b"\n"


def _digest(data: bytes) -> bytes:
    return hashlib.blake2b(data, digest_size=_DIGEST).digest()


def _fixed_parts(result: ScanResult) -> dict[Key, bytes]:
    """Digest what of each account only somebody's doing changes: an action, a parameter, a status."""
    frames = result.frames
    legs = frames["legs"].select(
        *POSITION_KEY, "side", "reserve", "scaled_raw", "liquidation_threshold", "liquidation_bonus"
    )
    gathered = legs.group_by(POSITION_KEY, maintain_order=True).agg(pl.struct(pl.exclude(POSITION_KEY)).alias("legs"))
    fields = ("owner", "emode_category", "status", "blocked_by", "blocked_until")
    whole = frames["accounts"].select(*POSITION_KEY, *fields)
    whole = whole.join(gathered, on=POSITION_KEY, how="left", validate="1:1", maintain_order="left")
    texts = whole.select(pl.struct(*fields, "legs").struct.json_encode().alias("json"))["json"]
    keys = whole.select(POSITION_KEY).iter_rows()
    return {_spelled(key): _digest(text.encode()) for key, text in zip(keys, texts, strict=True)}


def _unread(result: ScanResult) -> list[Key]:
    skipped = result.frames["skipped"].filter((pl.col("what") == "position") & pl.col("position").is_not_null())
    return [_spelled(key) for key in skipped.select(POSITION_KEY).iter_rows()]


def _spelled(key: tuple[Any, ...]) -> Key:
    chain_id, protocol, market_id, position = key
    return chain_id, protocol, eip55(market_id), eip55(position)
