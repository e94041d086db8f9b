"""What stands behind a price source: its getters read on chain, and the price expression that they describe."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from typing import Final, Literal

from scanner.chain.interface import Reader, Reverted
from scanner.errors import DecodeError
from scanner.protocols.aave_v3.decode import FEED, ZERO_ADDRESS, label
from scanner.protocols.abi import load_contract
from scanner.risk.pricing import (
    Cap,
    CapRatio,
    Constant,
    FeedAnswer,
    Least,
    PriceExpression,
    Product,
    Quotient,
    Scale,
    TimeDiscount,
)

__all__ = ["PRICE_SOURCE", "Leaf", "Source", "expression", "read_sources"]

PRICE_SOURCE: Final = load_contract("aave_v3", "price_source")

_MAX_DEPTH: Final = 6
_MAX_DECIMALS: Final = 36
_MAX_WORD: Final = 2**127
_CHILDREN: Final = (
    "BASE_TO_USD_AGGREGATOR",
    "ASSET_TO_USD_AGGREGATOR",
    "PEG_TO_BASE",
    "BASE_TO_PEG",
    "ASSET_TO_PEG",
    "RATIO_PROVIDER",
)

Role = Literal["base", "ratio"]


@dataclass(frozen=True, slots=True)
class Source:
    """A contract's answers to the getters of all known adapters; those that reverted are absent."""

    address: str
    numbers: Mapping[str, int]
    links: Mapping[str, str]
    description: str
    updated_at: int | None  # of latestRoundData; None when the contract has none

    @property
    def answer(self) -> int:
        """Today's latestAnswer; 0 when it has none or reverts."""
        return self.numbers.get("latestAnswer", 0)


@dataclass(slots=True)
class Leaf:
    """Where an expression ends: a feed, or a contract whose wiring is unknown."""

    address: str
    role: Role
    known: bool


@dataclass(slots=True)
class _Walk:
    sources: Mapping[str, Source]
    opaque: Collection[str]
    leaves: dict[str, Leaf] = field(default_factory=dict)
    path: list[str] = field(default_factory=list)


def read_sources(reader: Reader, addresses: Collection[str]) -> dict[str, Source]:
    """Ask price sources, and whatever they point to, for every known getter; one round per level of wiring."""
    found: dict[str, Source] = {}
    level = sorted(set(addresses))
    for _ in range(_MAX_DEPTH):
        if not level:
            break
        names = list(PRICE_SOURCE.functions)
        calls = [PRICE_SOURCE.call(address, name) for address in level for name in names]
        calls += [FEED.call(address, "latestRoundData") for address in level]
        answers = reader.call(calls)
        for i, address in enumerate(level):
            own = dict(zip(names, answers[i * len(names) : (i + 1) * len(names)], strict=True))
            found[address] = _source(address, own, answers[len(level) * len(names) + i])
        links = {link for address in level for name, link in found[address].links.items() if name in _CHILDREN}
        level = sorted(links - set(found))
    return found


def expression(
    sources: Mapping[str, Source], address: str, opaque: Collection[str]
) -> tuple[PriceExpression, dict[str, Leaf]]:
    """Say how a source's answer follows from feeds; ``opaque`` sources are taken as they answer.

    Gives the expression and the feeds that it ends at.
    """
    walk = _Walk(sources, opaque)
    return _expression(walk, address, "base"), walk.leaves


def _source(address: str, answers: Mapping[str, bytes | Reverted], round_data: bytes | Reverted) -> Source:
    numbers: dict[str, int] = {}
    links: dict[str, str] = {}
    description = ""
    for name, answer in answers.items():
        value = _decoded(name, answer)
        if isinstance(value, int):
            numbers[name] = value
        elif name == "description":
            description = label(value or "")
        elif value is not None and value != ZERO_ADDRESS:
            links[name] = value.lower()
    return Source(address, numbers, links, description, _updated_at(round_data))


def _decoded(name: str, answer: bytes | Reverted) -> int | str | None:
    """Read one getter; None when the contract does not have it or answers in another shape."""
    if isinstance(answer, Reverted):
        return None
    try:
        (value,) = PRICE_SOURCE.functions[name].decode(answer)
    except DecodeError:
        return None
    return value if isinstance(value, int | str) else None


def _updated_at(answer: bytes | Reverted) -> int | None:
    if isinstance(answer, Reverted):
        return None
    try:
        updated = FEED.functions["latestRoundData"].decode(answer)[3]
    except DecodeError:
        return None
    return int(updated) if updated < _MAX_WORD else None


def _expression(walk: _Walk, address: str, role: Role) -> PriceExpression:
    source = walk.sources.get(address)
    if source is None or address in walk.opaque or address in walk.path or len(walk.path) >= _MAX_DEPTH:
        return _leaf(walk, address, role, known=False)
    walk.path.append(address)
    found = next((found for kind in _KINDS if (found := kind(walk, source, role)) is not None), None)
    walk.path.pop()
    if found is not None:
        return found
    return _leaf(walk, address, role, known=source.updated_at is not None and bool(source.description))


def _leaf(walk: _Walk, address: str, role: Role, *, known: bool) -> PriceExpression:
    leaf = walk.leaves.setdefault(address, Leaf(address, role, known))
    if role == "base":
        leaf.role = role
    return FeedAnswer(address)


def _numbers(source: Source, *names: str) -> tuple[int, ...] | None:
    """Give getters that all have to be there, and small enough to be no nonsense."""
    values = tuple(source.numbers.get(name, -1) for name in names)
    return values if all(0 <= value < _MAX_WORD for value in values) else None


def _scale(decimals: int) -> int | None:
    return int(10**decimals) if decimals <= _MAX_DECIMALS else None


def _ratio_cap(walk: _Walk, source: Source, role: Role) -> PriceExpression | None:
    """min(ratio, snapshot + growth * age) * base / 10^RATIO_DECIMALS (price-cap adapters of staking tokens)."""
    base, provider = source.links.get("BASE_TO_USD_AGGREGATOR"), source.links.get("RATIO_PROVIDER")
    names = ("getRatio", "RATIO_DECIMALS", "getSnapshotRatio", "getSnapshotTimestamp")
    numbers = _numbers(source, *names)
    growth = _numbers(source, "getMaxRatioGrowthPerSecondScaled", "SCALING_FACTOR")
    if growth is None and (plain := _numbers(source, "getMaxRatioGrowthPerSecond")) is not None:
        growth = (plain[0], 1)
    if base is None or numbers is None or growth is None or growth[1] == 0 or _scale(numbers[1]) is None:
        return None
    ratio, decimals, snapshot, snapshot_at = numbers
    inner: PriceExpression = Constant(ratio)
    known = walk.sources.get(provider) if provider is not None else None
    if known is not None and known.updated_at is not None and known.answer == ratio:
        inner = _expression(walk, known.address, "ratio")
    return CapRatio(_expression(walk, base, role), inner, decimals, snapshot, snapshot_at, *growth)


def _currency_cap(walk: _Walk, source: Source, role: Role) -> PriceExpression | None:
    """min(asset, base * cap ratio / 10^RATIO_DECIMALS) (price-cap adapter of euro stablecoins)."""
    asset, base = source.links.get("ASSET_TO_USD_AGGREGATOR"), source.links.get("BASE_TO_USD_AGGREGATOR")
    numbers = _numbers(source, "getPriceCapRatio", "RATIO_DECIMALS")
    if asset is None or base is None or numbers is None or (scale := _scale(numbers[1])) is None:
        return None
    return Least(_expression(walk, asset, role), Scale(_expression(walk, base, role), numbers[0], scale))


def _stable_cap(walk: _Walk, source: Source, role: Role) -> PriceExpression | None:
    """min(asset, cap) (price-cap adapter of stablecoins)."""
    asset, numbers = source.links.get("ASSET_TO_USD_AGGREGATOR"), _numbers(source, "getPriceCap")
    return None if asset is None or numbers is None else Cap(_expression(walk, asset, role), numbers[0])


def _peg_to_base(walk: _Walk, source: Source, role: Role) -> PriceExpression | None:
    """Asset to peg times peg to base (synchronicity adapter)."""
    asset, peg = source.links.get("ASSET_TO_PEG"), source.links.get("PEG_TO_BASE")
    numbers = _numbers(source, "DECIMALS", "DENOMINATOR")
    if asset is None or peg is None or numbers is None or numbers[1] == 0 or (scale := _scale(numbers[0])) is None:
        return None
    return Product(_expression(walk, asset, "ratio"), _expression(walk, peg, role), scale, numbers[1])


def _base_to_peg(walk: _Walk, source: Source, role: Role) -> PriceExpression | None:
    """Asset to peg divided by base to peg (synchronicity adapter)."""
    asset, base = source.links.get("ASSET_TO_PEG"), source.links.get("BASE_TO_PEG")
    numbers = _numbers(source, "DECIMALS")
    if asset is None or base is None or numbers is None or (scale := _scale(numbers[0])) is None:
        return None
    return Quotient(_expression(walk, asset, role), _expression(walk, base, role), scale)


def _principal(walk: _Walk, source: Source, role: Role) -> PriceExpression | None:
    """Asset price less a discount until maturity (price-cap adapter of Pendle principal tokens)."""
    asset = source.links.get("ASSET_TO_USD_AGGREGATOR")
    numbers = _numbers(source, "discountRatePerYear", "MATURITY")
    if asset is None or numbers is None or "PENDLE_PRINCIPAL_TOKEN" not in source.links:
        return None
    return TimeDiscount(_expression(walk, asset, role), *numbers)


def _fixed(walk: _Walk, source: Source, role: Role) -> PriceExpression | None:
    """A price that only the administrator changes (fixed-price adapter, GHO's oracle)."""
    administered = "ACL_MANAGER" in source.links and "DECIMALS" in source.numbers
    names = ("price", "PRICE", "GHO_PRICE") if administered else ("PRICE", "GHO_PRICE")
    fixed = source.answer > 0 and source.answer in (source.numbers.get(name) for name in names)
    return Constant(source.answer) if fixed else None


_KINDS: Final[tuple[Callable[[_Walk, Source, Role], PriceExpression | None], ...]] = (
    _principal,
    _ratio_cap,
    _currency_cap,
    _stable_cap,
    _peg_to_base,
    _base_to_peg,
    _fixed,
)
