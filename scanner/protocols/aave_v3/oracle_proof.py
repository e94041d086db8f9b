"""Prove an oracle's wiring on chain: move one feed by a state override and read every price."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

from scanner.beside import beside
from scanner.chain.interface import Call, Overrides, Reader, Reverted
from scanner.errors import OverridesRefused
from scanner.protocols.aave_v3.decode import ORACLE
from scanner.protocols.aave_v3.oracle_graph import OracleReading, build_graph
from scanner.protocols.aave_v3.oracle_stub import overrides_for_answer
from scanner.protocols.aave_v3.oracle_wiring import PRICE_SOURCE
from scanner.risk.pricing import Feed, OracleGraph

__all__ = ["prove", "shifted"]

_AT_ONCE: Final = 4
"""Feeds that are moved at once: a far node lets each wait."""


@dataclass(frozen=True, slots=True)
class _Observation:
    """What the chain answers while one feed is moved; None where it answers nothing or nothing positive."""

    shifted: int
    prices: Mapping[str, int | None]
    answers: Mapping[str, int | None]


def prove(reader: Reader, reading: OracleReading) -> OracleGraph:
    """Move each feed to 0.99 of its answer, one eth_call each, and compare every price with its expression.

    A source whose price moves in another way than its wiring says becomes a feed of its own, with a warning that
    names the feed. Feeds that move with another feed are named too. When the endpoint takes no overrides, the wiring
    stays as read and a warning says so.
    """
    opaque: dict[str, str] = {}
    seen: dict[str, _Observation] = {}
    while True:
        graph = build_graph(reading, opaque)
        new = [feed for address, feed in graph.feeds.items() if address not in seen]
        try:
            seen |= _observed(reader, reading, new)
        except OverridesRefused:
            note = "the oracle's wiring is not proven: the endpoint takes no state overrides"
            return replace(graph, warnings=(*graph.warnings, note))
        wrong = _wrong(reading, graph, seen)
        added = {
            top: f"does not follow {_name(feed)} as its getters say"
            for key, feed in wrong.items()
            if (top := reading.tops[key]) is not None and top not in opaque
        }
        if not added:
            held = [
                f"{reading.symbols[key]}: its price moves with {_name(feed)}, and nothing says how; it is held fixed"
                for key, feed in wrong.items()
            ]
            return replace(graph, warnings=(*graph.warnings, *_followers(reading, graph, seen), *held))
        opaque |= added


def shifted(answer: int) -> int:
    """Give 0.99 of an answer, or another positive one where that is the same."""
    return answer * 99 // 100 if answer > 1 else answer + 1


def _observed(reader: Reader, reading: OracleReading, feeds: Sequence[Feed]) -> dict[str, _Observation]:
    """Observe each feed's move."""
    shares = [feeds[first::_AT_ONCE] for first in range(min(_AT_ONCE, len(feeds)))]
    lanes = [
        beside(lambda share=share: {feed.address: _observe(reader, reading, feed) for feed in share})  # type: ignore[misc]
        for share in shares
    ]
    return {address: observation for lane in lanes for address, observation in lane.result().items()}


def _observe(reader: Reader, reading: OracleReading, feed: Feed) -> _Observation:
    answer = shifted(feed.answer)
    overrides = overrides_for_answer(feed.address, answer, feed.decimals, feed.answer_at or reading.timestamp)
    others = [a for a, source in reading.sources.items() if source.answer > 0 and a != feed.address]
    calls = [ORACLE.call(reading.oracle, "getAssetPrice", asset) for asset in reading.assets.values()]
    calls += [PRICE_SOURCE.call(address, "latestAnswer") for address in others]
    values = _values(reader, calls, overrides)
    prices = dict(zip(reading.assets, values, strict=False))
    answers = dict(zip(others, values[len(prices) :], strict=True))
    return _Observation(answer, prices, {**answers, feed.address: answer})


def _values(reader: Reader, calls: Sequence[Call], overrides: Overrides) -> list[int | None]:
    answers = reader.call(calls, overrides=overrides)
    return [_positive(answer) for answer in answers]


def _positive(answer: bytes | Reverted) -> int | None:
    if isinstance(answer, Reverted) or len(answer) < 32:
        return None
    value = int.from_bytes(answer[:32], "big", signed=True)
    return value if value > 0 else None


def _wrong(reading: OracleReading, graph: OracleGraph, seen: Mapping[str, _Observation]) -> dict[str, Feed]:
    """Find prices that are not what their expression gives at the feeds' observed answers."""
    wrong: dict[str, Feed] = {}
    for address, feed in graph.feeds.items():
        observed = seen[address]
        answers = {a: observed.answers.get(a) or 0 for a in graph.feeds}
        for key, price in graph.prices.items():
            if price.evaluate(answers, reading.timestamp) != observed.prices[key]:
                wrong.setdefault(key, feed)
    return wrong


def _followers(reading: OracleReading, graph: OracleGraph, seen: Mapping[str, _Observation]) -> list[str]:
    notes = []
    for address, feed in graph.feeds.items():
        for other in graph.feeds.values():
            if other.address != address and seen[address].answers.get(other.address) != other.answer:
                symbols = sorted(reading.symbols[k] for k, p in graph.prices.items() if other.address in p.feeds())
                notes.append(
                    f"{', '.join(symbols)}: price source {other.address} moves with {_name(feed)}, although its "
                    f"getters do not say so; name it under factors in the configuration to move both together"
                )
    return notes


def _name(feed: Feed) -> str:
    return f"{feed.description or feed.factor!r} ({feed.address})"
