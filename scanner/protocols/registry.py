"""Every protocol that the program knows. A new one is one line here."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final

from scanner.errors import UnknownProtocolError
from scanner.protocols.aave_v3.protocol import AaveV3
from scanner.protocols.interface import LendingProtocol

__all__ = ["REGISTRY", "by_slug", "find_protocol"]


def by_slug(protocols: Iterable[LendingProtocol]) -> dict[str, LendingProtocol]:
    """Key protocols by slug; two with one slug are an error, never last-one-wins (ValueError)."""
    known: dict[str, LendingProtocol] = {}
    for protocol in protocols:
        if protocol.slug in known:
            raise ValueError(f"two protocols are called {protocol.slug!r}")
        known[protocol.slug] = protocol
    return known


REGISTRY: Final[Mapping[str, LendingProtocol]] = by_slug([AaveV3()])


def find_protocol(slug: str) -> LendingProtocol:
    """Give the protocol with this slug; raises UnknownProtocolError."""
    if slug not in REGISTRY:
        raise UnknownProtocolError(slug, REGISTRY)
    return REGISTRY[slug]
