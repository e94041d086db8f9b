"""Decide which markets a command is about."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from scanner.chain.interface import Reader
from scanner.errors import ConfigError, RecordingError, UnknownMarketError, suggest
from scanner.protocols.interface import LendingProtocol
from scanner.protocols.registry import REGISTRY, find_protocol
from scanner.units import ADDRESS

__all__ = ["Target", "recorded_targets", "resolve_targets"]


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
    refusals = []
    for protocol in protocols:
        refusal = protocol.refusal(chain, root)
        if refusal is None:
            return Target(protocol, root, f"{root[:6]}…{root[-4:]}", from_block or 0)
        refusals.append(f"{protocol.slug}: {refusal}")
    raise UnknownMarketError(
        f"{root} is not a market root on chain {chain.chain_id} at block {chain.block.number}. " + "; ".join(refusals)
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
                f"({'; '.join(f'{protocol.slug}: {protocol.root_name}' for protocol in protocols)})"
            )
        return [next(iter(listed.values()))]
    targets: list[Target] = []
    for market in markets:
        if ADDRESS.fullmatch(market):
            targets.append(_by_root(chain, protocols, market.lower(), from_block))
        elif market in listed:
            targets.append(listed[market])
        elif market.startswith("0x"):
            raise ConfigError(f"--market {market}: an address has 40 hex digits after 0x")
        else:
            known = list(listed) or ["none on this chain, give a 0x root"]
            raise UnknownMarketError(f"no market {market!r} on chain {chain.chain_id}; {suggest(market, known)}")
    # a market named twice, perhaps by its name and by its root, is one
    return list({(target.protocol.slug, target.root): target for target in targets}.values())


def recorded_targets(
    chain: Reader, notes: Mapping[str, Any], markets: Sequence[str], protocol: str | None, only: Sequence[str]
) -> list[Target]:
    """Turn names and roots into targets of a recording, which knows its markets and accounts by its notes.

    Without any, takes all markets of the recording. Raises UnknownMarketError or ConfigError for a market or an
    account that it does not hold, before anything of it is read.
    """
    names: dict[str, str] = {target["root"]: target["name"] for target in notes.get("targets", [])}
    if not names:
        raise RecordingError("the recording does not say what was scanned; record it again with liqbands scan --record")
    by_name = {name: root for root, name in names.items()}
    wanted = [by_name.get(market, market.lower()) for market in markets] or list(names)
    for market, root in zip(markets, wanted, strict=False):
        if root not in names:
            held = ", ".join(f"{name} ({root})" for root, name in names.items())
            raise UnknownMarketError(f"the recording does not hold market {market}; it has {held}")
    owners = {owner for root in wanted for owner in notes["owners"][root]}
    for account in only:
        if account not in owners:
            raise ConfigError(
                f"account {account} is none of the {len(owners):,} in the recording: to read it, give --rpc-url "
                "instead of --replay"
            )
    return [replace(target, name=names[target.root]) for target in resolve_targets(chain, wanted, protocol, None)]
