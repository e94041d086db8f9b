"""What the chain says of a market's prices, and the graph of feeds that explains them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Final

from scanner.chain.interface import Reader, Reverted
from scanner.errors import DecodeError
from scanner.protocols.aave_v3.decode import ORACLE, ZERO_ADDRESS
from scanner.protocols.aave_v3.detail import AaveDetail, emode_price_key
from scanner.protocols.aave_v3.oracle_names import Named, name_factors, stable_factors
from scanner.protocols.aave_v3.oracle_wiring import Leaf, Source, expression, read_sources
from scanner.protocols.interface import Market
from scanner.risk.pricing import Constant, Feed, OracleGraph, PriceExpression

__all__ = ["OracleReading", "build_graph", "hold", "read_oracle", "without_unused"]

_UNKNOWN: Final = "is of an unknown kind"
_DISAGREES: Final = "answers something else than its getters say"
_BOTH_WAYS: Final = "follows one factor both ways"


@dataclass(frozen=True)
class OracleReading:
    """What the chain says of a market's prices. Keys are reserve ids and ``emode:<category>``, priced ones only."""

    oracle: str
    timestamp: int
    decimals: int  # of the unit of account
    assets: Mapping[str, str]
    symbols: Mapping[str, str]
    prices: Mapping[str, int]
    tops: Mapping[str, str | None]  # price source of each key; None when the oracle has none for the asset
    sources: Mapping[str, Source]  # every contract met on the way down


def read_oracle(reader: Reader, market: Market, detail: AaveDetail) -> OracleReading:
    """Read AaveOracle.getSourceOfAsset for everything that ``market.answers`` prices, and the sources' getters."""
    assets = {reserve.key: reserve.asset for reserve in detail.reserves}
    symbols = {reserve.key: reserve.symbol for reserve in detail.reserves}
    if detail.legacy_emode:
        own = {emode_price_key(e.id): e.price_source for e in detail.emodes.values() if e.price_source is not None}
        assets |= own
        symbols |= {key: key for key in own}
    assets = {key: asset for key, asset in assets.items() if market.answers.get(key, 0) > 0}
    answers = reader.call([ORACLE.call(detail.oracle, "getSourceOfAsset", asset) for asset in assets.values()])
    tops = {key: _source_of(answer) for key, answer in zip(assets, answers, strict=True)}
    return OracleReading(
        oracle=detail.oracle,
        timestamp=detail.block_timestamp,
        decimals=len(str(detail.base_unit)) - 1,
        assets=assets,
        symbols={key: symbols[key] for key in assets},
        prices={key: market.answers[key] for key in assets},
        tops=tops,
        sources=read_sources(reader, {top for top in tops.values() if top is not None}),
    )


def build_graph(reading: OracleReading, opaque: Mapping[str, str]) -> OracleGraph:
    """Put the graph together; ``opaque`` names sources to be taken as they answer, with the reason.

    The price of every key at today's feed answers equals the oracle's answer, or the key's source is made opaque too.
    """
    opaque = dict(opaque)
    while True:
        graph = _assemble(reading, opaque)
        wrong = {key: _BOTH_WAYS for key, _ in graph.two_way()}
        today = graph.answers_at({}, reading.timestamp)
        wrong |= {key: _DISAGREES for key, price in reading.prices.items() if today.get(key) != price}
        added = {top: why for key, why in wrong.items() if (top := reading.tops[key]) is not None and top not in opaque}
        if not added:
            unpriced = {
                key: f"the oracle's price is not what its source {reading.tops[key]} answers (a fallback oracle?)"
                for key, why in wrong.items()
                if why is _DISAGREES
            }
            return hold(reading, graph, unpriced)
        opaque |= added


def hold(reading: OracleReading, graph: OracleGraph, reasons: Mapping[str, str]) -> OracleGraph:
    """Hold prices that nothing explains at today's answer, each with its reason.

    Their feeds stay, so that the proof moves them: ``without_unused`` drops them.
    """
    held = {key: Constant(reading.prices[key]) for key in reasons}
    warnings = [f"{reading.symbols[key]}: {why}; it is held fixed" for key, why in reasons.items()]
    return replace(graph, prices={**graph.prices, **held}, warnings=(*graph.warnings, *warnings))


def without_unused(graph: OracleGraph) -> OracleGraph:
    """Drop feeds that price nothing."""
    used = {address for price in graph.prices.values() for address in price.feeds()}
    feeds = {address: feed for address, feed in graph.feeds.items() if address in used}
    stables = stable_factors(dict.fromkeys(feed.factor for feed in feeds.values()))
    groups = {"stables": stables} if stables and "stables" in graph.groups else {}
    return replace(graph, feeds=feeds, groups=groups)


def _source_of(answer: bytes | Reverted) -> str | None:
    if isinstance(answer, Reverted):
        raise DecodeError("oracle.getSourceOfAsset() reverted")
    address = str(ORACLE.functions["getSourceOfAsset"].decode(answer)[0]).lower()
    return None if address == ZERO_ADDRESS else address


def _assemble(reading: OracleReading, opaque: Mapping[str, str]) -> OracleGraph:
    prices: dict[str, PriceExpression] = {}
    leaves: dict[str, Leaf] = {}
    owners: dict[str, str] = {}
    uses: dict[str, int] = {}
    for key, top in reading.tops.items():
        if top is None:
            prices[key] = Constant(reading.prices[key])
            continue
        prices[key], found = expression(reading.sources, top, opaque)
        for address, leaf in found.items():
            known = leaves.setdefault(address, leaf)
            known.role = "base" if "base" in (known.role, leaf.role) else "ratio"
            owners.setdefault(address, reading.symbols[key])
            uses[address] = uses.get(address, 0) + 1
        if top in found:
            owners[top] = reading.symbols[key]
    live = [leaf for leaf in leaves.values() if (s := reading.sources.get(leaf.address)) is not None and s.answer > 0]
    descriptions = {leaf.address: reading.sources[leaf.address].description for leaf in live}
    names = name_factors(live, descriptions, owners)
    feeds = {address: _feed(reading, address, names[address]) for address in _reference_first(live, names, uses)}
    factors = dict.fromkeys(feed.factor for feed in feeds.values())
    stables = stable_factors(factors)
    warnings = [
        f"{owners[leaf.address]}: price source {leaf.address} {opaque.get(leaf.address, _UNKNOWN)}; "
        f"it is the price factor {names[leaf.address].factor!r} of its own"
        for leaf in live
        if not leaf.known
    ]
    return OracleGraph(
        feeds=feeds,
        prices=prices,
        warnings=tuple(warnings),
        timestamp=reading.timestamp,
        symbols=reading.symbols,
        assets=reading.assets,
        groups={"stables": stables} if stables and "stables" not in factors else {},
    )


def _reference_first(leaves: list[Leaf], names: Mapping[str, Named], uses: Mapping[str, int]) -> list[str]:
    """Order feeds by factor, each factor led by its own feed, before wrapped names; the most used one first."""
    factors = {factor: i for i, factor in enumerate(dict.fromkeys(names[leaf.address].factor for leaf in leaves))}
    addresses = [leaf.address for leaf in leaves]
    return sorted(addresses, key=lambda a: (factors[names[a].factor], not names[a].exact, -uses[a], a))


def _feed(reading: OracleReading, address: str, named: Named) -> Feed:
    source = reading.sources[address]
    decimals = source.numbers.get("decimals", reading.decimals)
    return Feed(
        address=address,
        description=source.description,
        decimals=decimals if decimals <= 77 else reading.decimals,
        answer=source.answer,
        answer_at=source.updated_at or None,
        factor=named.factor,
    )
