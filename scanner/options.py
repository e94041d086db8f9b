"""What to scan and how."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Literal, get_args

from scanner.chain.spec import EndpointSpec, specs_of
from scanner.errors import ConfigError, suggest
from scanner.risk.band_edges import parse_bands
from scanner.units import ADDRESS

__all__ = ["By", "Extent", "Prove", "ScanOptions", "Verify", "parse_duration", "parse_timestamp"]

By = Literal["asset", "protocol", "debt", "size"]
Verify = Literal["none", "sample", "all"]
Prove = Literal["none", "sample", "all"]
Extent = Literal["points", "factor", "factors", "accounts"]

_CHOICES: Final[Mapping[str, Collection[str]]] = {
    "by": get_args(By),
    "verify": get_args(Verify),
    "prove": get_args(Prove),
    "extent": get_args(Extent),
}


@dataclass(frozen=True)
class ScanOptions:
    """What to scan and how; the command line's options by the same names.

    ``extent`` says how far to go: ``points`` gives the selected factor's liquidation points in closed form and neither
    triggers nor bands; ``factor`` solves its exact triggers, ``factors`` those of all factors, ``accounts`` also those
    of each single reserve. ``factors`` maps a factor's name to the symbols, reserve ids or
    assets that shall move with it. ``only`` reads these accounts and no others; nothing is then proven complete.
    ``quorum`` endpoints of different hosts have to give the same answers; ``time_limit`` ("10m", or seconds) bounds all
    that the scan asks of nodes.

    A single text stands for a list of one, a text for a path. Raises ConfigError for what cannot be meant.
    """

    rpc_urls: Sequence[str | EndpointSpec] = field(default=(), repr=False)  # a URL may hold a key
    chain: str | None = None
    protocol: str | None = None
    markets: Sequence[str] = ()
    from_block: int | None = None
    block: str | int = "latest"
    factor: str | None = None
    bands: str = "1%"
    by: By = "asset"
    verify: Verify = "sample"
    for_timestamp: str | None = None
    discover: bool = True
    index_file: str | Path | None = None
    record: str | Path | None = None
    replay: str | Path | None = None
    factors: Mapping[str, Sequence[str]] = field(default_factory=dict)
    extent: Extent = "accounts"
    only: Sequence[str] = ()
    quorum: int = 1
    prove: Prove = "none"
    time_limit: str | float | None = None
    transport_log: str | Path | None = None

    def __post_init__(self) -> None:
        for name, known in _CHOICES.items():
            if getattr(self, name) not in known:
                raise ConfigError(f"{name}={getattr(self, name)!r}: {suggest(str(getattr(self, name)), known)}")
        if self.from_block is not None and self.from_block < 0:
            raise ConfigError(f"the first block of a market is no negative number: --from-block {self.from_block}")
        urls = (self.rpc_urls,) if isinstance(self.rpc_urls, (str, EndpointSpec)) else tuple(self.rpc_urls)
        self._set("rpc_urls", urls)
        specs_of(urls)
        if self.quorum < 1:
            raise ConfigError(f"quorum {self.quorum}: at least one endpoint has to answer")
        parse_duration(self.time_limit)
        self._set("markets", _several(self.markets))
        self._set("factors", {name: _several(members) for name, members in self.factors.items()})
        self._set("only", tuple(dict.fromkeys(account.strip().lower() for account in _several(self.only))))
        for account in self.only:
            if not ADDRESS.fullmatch(account):
                raise ConfigError(f"{account} is not an address: 0x and 40 hex digits")
        for name in ("index_file", "record", "replay", "transport_log"):
            if isinstance(getattr(self, name), str):
                self._set(name, Path(getattr(self, name)))
        parse_bands(self.bands)
        parse_timestamp(self.for_timestamp, 0)

    def _set(self, name: str, value: object) -> None:
        object.__setattr__(self, name, value)


def _several(names: Sequence[str]) -> tuple[str, ...]:
    return (names,) if isinstance(names, str) else tuple(names)


def parse_duration(text: str | float | None) -> float | None:
    """Turn ``90s``, ``10m``, ``1.5h`` or a number of seconds into seconds; None is no limit. Raises ConfigError."""
    if text is None:
        return None
    written = re.fullmatch(r"([0-9]{1,9}(?:\.[0-9]{1,6})?)([smh]?)", str(text).strip())
    seconds = float(written[1]) * {"": 1, "s": 1, "m": 60, "h": 3600}[written[2]] if written else 0.0
    if not seconds:
        raise ConfigError(f"--time-limit {text}: give a time such as 90s, 10m or 1h")
    return seconds


_FARTHEST: Final = 10 * 366 * 86_400


def parse_timestamp(text: str | None, block_timestamp: int) -> int:
    """Turn ``+12s``, ``+5m``, ``+1h``, ``+30d`` or a UNIX time into a UNIX time; None is the block's own.

    Raises ConfigError for other text, and for a time before the block, whose indexes are known no more, or ten years
    after it. A block time of 0 judges the text alone.
    """
    if text is None:
        return block_timestamp
    later = re.fullmatch(r"\+([0-9]{1,12})([smhd])", text)
    if later:
        wanted = block_timestamp + int(later[1]) * {"s": 1, "m": 60, "h": 3600, "d": 86400}[later[2]]
    elif re.fullmatch(r"[0-9]{1,12}", text):
        wanted = int(text)
    else:
        raise ConfigError(f"--for-timestamp {text}: give +12s, +5m, +1h, +30d, or a UNIX time in seconds")
    if wanted < block_timestamp:
        raise ConfigError(f"--for-timestamp {text} is before the block's own time, {block_timestamp}")
    if block_timestamp and wanted - block_timestamp > _FARTHEST:
        raise ConfigError(
            f"--for-timestamp {text} is more than ten years after the block: what is computed means nothing"
        )
    return wanted
