"""Scan a block before and after a payload: what running it on a fork and simulating it have in common."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Final

from scanner.chain.blocks import moves
from scanner.chain.interface import Block
from scanner.config import data_dir
from scanner.errors import BlockUndone, ConfigError
from scanner.fork.payload import Payload
from scanner.options import ScanOptions, parse_duration, parse_timestamp
from scanner.pipeline import Scanned, scan_read
from scanner.reading import Listener
from scanner.sources import Session, begin

__all__ = ["After", "common_moment", "need_node", "scan_around"]

_RESTARTS: Final = 3

After = Callable[[Scanned, Block, Session], Scanned]
"""Scans what the payload leaves, given the scan of the block before."""


def need_node(options: ScanOptions) -> None:
    """Raise ConfigError for options with a recording, which no payload can run on."""
    if options.replay is not None or options.record is not None:
        raise ConfigError("a payload needs a node to run on: leave out --replay and --record")


def scan_around(
    options: ScanOptions, payload: Payload, hear: Listener, after: After, where: str
) -> tuple[Scanned, Scanned]:
    """Scan a block, and then what comes after it, which is named by the same block; ``where`` begins its lines.

    Starts again when the block is reorganised away. Raises what ``scan`` and ``after`` raise.
    """
    with begin(parse_duration(options.time_limit), options.transport_log, data_dir()) as session:
        session.told = getattr(hear, "note", None)
        for left in reversed(range(_RESTARTS + 1)):
            try:
                before = scan_read(options, listener=hear, session=session)
                seen = before.result.snapshot
                block = Block(seen.block_number, seen.block_hash, seen.block_timestamp)
                return before, _named(after(before, block, session), block, payload, where)
            except BlockUndone:
                if not left or not moves(options.block):
                    raise
                hear.stage("the block was reorganised away: starting again")
    raise AssertionError("the last try ends the loop")


def _named(after: Scanned, block: Block, payload: Payload, where: str) -> Scanned:
    """Name a block that is there; the lines say what was done after it."""
    snapshot = replace(
        after.result.snapshot,
        block_number=block.number,
        block_hash=block.hash,
        block_timestamp=block.timestamp,
        what_if=(*after.result.snapshot.what_if, *(f"{where}: {step}" for step in payload.steps)),
    )
    return replace(after, result=replace(after.result, snapshot=snapshot))


def common_moment(options: ScanOptions, block: Block, head: Block) -> str | None:
    """Give the one time that both scans are computed for; None where each has its own. Raises ConfigError."""
    if options.for_timestamp is None:
        return None
    moment = parse_timestamp(options.for_timestamp, block.timestamp)
    if moment < head.timestamp:
        raise ConfigError(
            f"--for-timestamp {options.for_timestamp} is before the fork's own time: the payload lets "
            f"{head.timestamp - block.timestamp} seconds pass"
        )
    return str(moment)
