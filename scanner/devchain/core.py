"""What a protocol's deployment is given and what it gives back, the same for every kind of market."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from scanner.devchain.catalog import ReserveSpec

__all__ = ["Core", "Listing"]


@dataclass(frozen=True, slots=True)
class Listing:
    """A token and its price source, ready to be listed as reserve ``id``."""

    id: int
    spec: ReserveSpec
    asset: str
    source: str


@dataclass(frozen=True, slots=True)
class Core:
    """Addresses of a deployed market; the token tuples are in the order of the listings, that is by reserve id."""

    root: str  # PoolAddressesProvider
    pool: str
    configurator: str
    oracle: str
    acl: str
    data_provider: str
    treasury: str
    atokens: tuple[str, ...]
    vtokens: tuple[str, ...]
    stokens: tuple[str, ...] = ()  # stable debt tokens, where the revision has them
    sequencer: str | None = None  # the settable sequencer feed behind the sentinel
    sentinel: str | None = None
    feeds: Mapping[str, str] = field(default_factory=dict)  # feeds that the deployment itself made: name to proxy
    aggregators: Mapping[str, str] = field(default_factory=dict)  # and to the settable feed behind it
