"""Prove an oracle's wiring on chain: move each feed by a state override and read every price."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Final

from scanner.beside import beside
from scanner.chain.interface import Overrides, Reader, Reverted
from scanner.errors import OverridesRefused, RpcError
from scanner.protocols.aave_v3.decode import ORACLE
from scanner.protocols.aave_v3.oracle_graph import OracleReading, build_graph, hold, without_unused
from scanner.protocols.aave_v3.oracle_lens import (
    UNMOVED,
    Prices,
    moved_item,
    price_lens,
    prices_by_lens,
    reads_by_lens,
)
from scanner.protocols.aave_v3.oracle_stub import overrides_for_answer
from scanner.protocols.aave_v3.oracle_wiring import PRICE_SOURCE
from scanner.risk.pricing import Feed, OracleGraph

__all__ = ["prove", "tried"]

_TRIED_PERCENT: Final = (50, 90, 99, 110, 200)
"""Near and far, both ways: a floor or a cap that no getter tells shows at one of them."""


@dataclass(frozen=True, slots=True)
class _Seen:
    """The oracle's prices while one feed answers something else; without a feed all answer as today."""

    feed: Feed | None
    answer: int
    prices: Prices


def prove(reader: Reader, reading: OracleReading) -> OracleGraph:
    """Move each feed to the answers of ``tried`` and compare every price with its expression, to the unit.

    While one feed moves, stubs hold all others at today's answer. A source whose price is another than its wiring says
    becomes a feed of its own, with a warning that names the feed. Feeds that read another feed are named too. When the
    endpoint takes no overrides, the wiring stays as read and a warning says so.
    """
    opaque: dict[str, str] = {}
    while True:
        graph = build_graph(reading, opaque)
        followers = beside(lambda graph=graph: _followers(reader, reading, graph))  # type: ignore[misc]
        try:
            wrong = _wrong(reading, graph, _observed(reader, reading, graph))
            notes = followers.result()
        except OverridesRefused:
            note = "the oracle's wiring is not proven: the endpoint takes no state overrides"
            return without_unused(replace(graph, warnings=(*graph.warnings, note)))
        added = {
            top: f"does not follow {_name(feed)} as its getters say" if feed else "needs more of its feeds than answers"
            for key, feed in wrong.items()
            if (top := reading.tops[key]) is not None and top not in opaque
        }
        if not added:
            graph = replace(graph, warnings=(*graph.warnings, *notes))
            return without_unused(hold(reading, graph, {key: _unexplained(feed) for key, feed in wrong.items()}))
        opaque |= added


def tried(answer: int) -> tuple[int, ...]:
    """Give the answers that a feed is moved to: 0.5, 0.9, 0.99, 1.1 and 2 times today's, all positive."""
    return tuple(max(answer * percent // 100, 1) for percent in _TRIED_PERCENT)


def _observed(reader: Reader, reading: OracleReading, graph: OracleGraph) -> list[_Seen]:
    """Read the prices of all assets as the feeds answer today, then at each answer of each feed."""
    assets = list(dict.fromkeys(reading.assets.values()))
    moves = [(feed, tried(feed.answer)) for feed in graph.feeds.values()]
    stubs: dict[str, bytes] = {}
    for feed in graph.feeds.values():
        stubs |= _stub(reading, feed, feed.answer)
    items = [UNMOVED, *(moved_item(feed.address, feed.answer, answers) for feed, answers in moves)]
    try:
        lens = price_lens(reading.oracle, assets, stubs)
        ((today,), *moved) = prices_by_lens(reader, lens, assets, items)
    except OverridesRefused:
        raise
    except RpcError:  # an endpoint that does not let an eth_call write, or a price that takes all the gas
        return list(_observed_singly(reader, reading, moves, stubs, assets))
    return [
        _Seen(None, 0, today),
        *(
            _Seen(feed, answer, prices)
            for (feed, answers), found in zip(moves, moved, strict=True)
            for answer, prices in zip(answers, found, strict=True)
        ),
    ]


def _observed_singly(
    reader: Reader,
    reading: OracleReading,
    moves: Sequence[tuple[Feed, Sequence[int]]],
    stubs: Overrides,
    assets: Sequence[str],
) -> Iterator[_Seen]:
    """Observe the same with a request for each answer of each feed."""
    calls = [ORACLE.call(reading.oracle, "getAssetPrice", asset) for asset in assets]
    tries: list[tuple[Feed | None, int]] = [(None, 0)]
    tries += [(feed, answer) for feed, answers in moves for answer in answers]
    for feed, answer in tries:
        own = _stub(reading, feed, answer) if feed is not None else {}
        answers = reader.call(calls, overrides={**stubs, **own})
        yield _Seen(feed, answer, dict(zip(assets, map(_positive, answers), strict=True)))


def _stub(reading: OracleReading, feed: Feed, answer: int) -> Overrides:
    return overrides_for_answer(feed.address, answer, feed.decimals, feed.answer_at or reading.timestamp)


def _positive(answer: bytes | Reverted) -> int | None:
    if isinstance(answer, Reverted) or len(answer) < 32:
        return None
    value = int.from_bytes(answer[:32], "big", signed=True)
    return value if value > 0 else None


def _wrong(reading: OracleReading, graph: OracleGraph, observed: Sequence[_Seen]) -> dict[str, Feed | None]:
    """Find prices that are not what their expression gives, and at which feed's move that shows first."""
    wrong: dict[str, Feed | None] = {}
    for seen in observed:
        answers = {**graph.answers(), **({seen.feed.address: seen.answer} if seen.feed is not None else {})}
        for key, price in graph.prices.items():
            asset = reading.assets[key]
            if asset not in seen.prices or price.evaluate(answers, reading.timestamp) != seen.prices[asset]:
                wrong.setdefault(key, seen.feed)
    return wrong


def _unexplained(feed: Feed | None) -> str:
    what = f"its price moves with {_name(feed)}" if feed is not None else "its price is more than its source's answer"
    return f"{what}, and nothing says how"


def _followers(reader: Reader, reading: OracleReading, graph: OracleGraph) -> list[str]:
    """Name the feeds that read another feed."""
    try:
        reads = reads_by_lens(reader, graph.feeds)
    except OverridesRefused:
        raise
    except RpcError:
        reads = None
    if reads is None:
        reads = _moved_by_another(reader, reading, graph)
    notes = []
    for feed in graph.feeds.values():
        for address in graph.feeds:
            symbols = sorted(reading.symbols[k] for k, p in graph.prices.items() if address in p.feeds())
            if symbols and feed.address in reads[address]:
                notes.append(
                    f"{', '.join(symbols)}: price source {address} reads {_name(feed)}, although its "
                    f"getters do not say so; name it under factors in the configuration to move both together"
                )
    return notes


def _moved_by_another(reader: Reader, reading: OracleReading, graph: OracleGraph) -> dict[str, set[str]]:
    """Say which other feeds move each feed when they halve, with a request for each feed."""
    found: dict[str, set[str]] = {address: set() for address in graph.feeds}
    calls = [PRICE_SOURCE.call(address, "latestAnswer") for address in graph.feeds]
    for moved in graph.feeds.values():
        overrides = _stub(reading, moved, moved.answer // 2 or 2)
        answers = reader.call(calls, overrides=overrides)
        for feed, answer in zip(graph.feeds.values(), answers, strict=True):
            if feed is not moved and _positive(answer) != feed.answer:
                found[feed.address].add(moved.address)
    return found


def _name(feed: Feed) -> str:
    return f"{feed.description or feed.factor!r} ({feed.address})"
