"""What to scan and how."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from scanner.errors import ConfigError

__all__ = ["ScanOptions", "parse_timestamp"]


@dataclass(frozen=True)
class ScanOptions:
    """What to scan and how; the command line's options by the same names.

    ``extent`` says how far to go: ``points`` gives the selected factor's liquidation points in closed form and neither
    triggers nor bands; ``factor`` solves its exact triggers, ``factors`` those of all factors, ``accounts`` also those
    of each single reserve. ``factors`` maps a factor's name to the symbols, reserve ids or
    assets that shall move with it. ``only`` reads these accounts and no others; nothing is then proven complete.
    """

    rpc_urls: Sequence[str] = ()
    chain: str | None = None
    protocol: str | None = None
    markets: Sequence[str] = ()
    from_block: int | None = None
    block: str = "latest"
    factor: str | None = None
    bands: str = "1%"
    by: Literal["asset", "protocol", "debt", "size"] = "asset"
    verify: Literal["none", "sample", "all"] = "sample"
    for_timestamp: str | None = None
    discover: bool = True
    index_file: Path | None = None
    record: Path | None = None
    replay: Path | None = None
    factors: Mapping[str, Sequence[str]] = field(default_factory=dict)
    extent: Literal["points", "factor", "factors", "accounts"] = "accounts"
    only: Sequence[str] = ()


def parse_timestamp(text: str | None, block_timestamp: int) -> int:
    """Turn ``+12s``, ``+5m``, ``+1h``, ``+30d`` or a UNIX time into a UNIX time; None is the block's own.

    Raises ConfigError for other text and for a time before the block, whose indexes are known no more.
    """
    if text is None:
        return block_timestamp
    match = re.fullmatch(r"\+(\d+)([smhd])", text)
    if match:
        return block_timestamp + int(match[1]) * {"s": 1, "m": 60, "h": 3600, "d": 86400}[match[2]]
    if not text.isdigit():
        raise ConfigError(f"--for-timestamp {text}: give +12s, +5m, +1h, +30d, or a UNIX time in seconds")
    if int(text) < block_timestamp:
        raise ConfigError(f"--for-timestamp {text} is before the block's own time, {block_timestamp}")
    return int(text)
