"""Decide which markets a command is about."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from scanner.chain.interface import Reader
from scanner.errors import ConfigError, UnknownMarketError, suggest
from scanner.protocols.interface import LendingProtocol
from scanner.protocols.registry import REGISTRY, find_protocol

__all__ = ["Target", "resolve_targets"]

_ROOT = re.compile(r"0x[0-9a-fA-F]{40}")


@dataclass(frozen=True)
class Target:
    """One market to scan."""

    protocol: LendingProtocol
    root: str
    name: str
    first_block: int


def _listed(protocols: Sequence[LendingProtocol], chain_id: int) -> dict[str, Target]:
    """Index the listed markets of a chain by name, in the order of the lists."""
    return {
        deployment.name: Target(protocol, deployment.root, deployment.name, deployment.first_block)
        for protocol in protocols
        for deployment in protocol.deployments
        if deployment.chain_id == chain_id
    }


def _by_root(chain: Reader, protocols: Sequence[LendingProtocol], root: str, from_block: int | None) -> Target:
    for target in _listed(protocols, chain.chain_id).values():
        if target.root == root:
            first = target.first_block if from_block is None else from_block
            return Target(target.protocol, root, target.name, first)
    for protocol in protocols:
        if protocol.is_market(chain, root):
            return Target(protocol, root, f"{root[:6]}…{root[-4:]}", from_block or 0)
    raise UnknownMarketError(
        f"{root} is not a market root on chain {chain.chain_id} at block {chain.block.number}. "
        "A root of Aave v3 is the PoolAddressesProvider, not the Pool"
    )


def resolve_targets(
    chain: Reader, markets: Sequence[str], protocol: str | None, from_block: int | None
) -> list[Target]:
    """Turn names and roots into targets; without any, take the chain's first listed market.

    Raises UnknownMarketError or ConfigError that list what is known.
    """
    protocols = [find_protocol(protocol)] if protocol else list(REGISTRY.values())
    listed = _listed(protocols, chain.chain_id)
    if not markets:
        if not listed:
            raise ConfigError(
                f"no market is listed for chain {chain.chain_id}: name one with --market 0xROOT --from-block N "
                "(Aave v3: the PoolAddressesProvider)"
            )
        return [next(iter(listed.values()))]
    targets: list[Target] = []
    for market in dict.fromkeys(markets):
        if _ROOT.fullmatch(market):
            targets.append(_by_root(chain, protocols, market.lower(), from_block))
        elif market in listed:
            targets.append(listed[market])
        elif market.startswith("0x"):
            raise ConfigError(f"--market {market}: an address has 40 hex digits after 0x")
        else:
            known = list(listed) or ["none on this chain, give a 0x root"]
            raise UnknownMarketError(f"no market {market!r} on chain {chain.chain_id}; {suggest(market, known)}")
    return targets
