"""Shocks on an oracle graph: feeds that move, ratios inside prices that move. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from fractions import Fraction
from typing import Final

from scanner.errors import ConfigError, suggest
from scanner.risk.pricing import Constant, OracleGraph, PriceExpression
from scanner.risk.ratios import ratio_of, with_ratio
from scanner.units import WAD
from scanner.whatif_text import Shock

__all__ = ["Move", "concerns", "moved_graph", "moves"]

_MOST: Final = 2**112  # far above any answer, far below where exact columns end
_RATIO_UNIT: Final = WAD  # of all ratio providers that are known


@dataclass(frozen=True, slots=True)
class Move:
    """What a shock does to a graph: new answers of feeds, new ratios inside prices; and how to say it."""

    text: str
    feeds: Mapping[str, int] = field(default_factory=dict)  # address to answer
    ratios: Mapping[str, int] = field(default_factory=dict)  # key of a price to the fixed ratio inside


def moves(graph: OracleGraph, quote_usd: float | None, shock: Shock) -> list[Move]:
    """Say what a shock moves: a factor or group by its name, else the ratio inside an asset's price.

    Feeds move as on ``FactorPath``: the reference feed to floor(answer · ratio), each other to floor(its answer times
    the moved over today's answer of the reference). Raises ConfigError for another name, and for a price of 0.
    """
    if shock.name in graph.factors() or shock.name in graph.groups:
        return [_factor_move(graph, quote_usd, shock, shock.name)]
    symbol, slash, base = shock.name.partition("/")
    if not slash:
        raise ConfigError(_no_factor(graph, shock.name))
    return [_ratio_move(graph, shock, symbol, base)]


def concerns(graph: OracleGraph, shock: Shock) -> bool:
    """Say whether a graph has what a shock names; whether it can be moved is another question."""
    symbol, slash, _ = shock.name.partition("/")
    if shock.name in graph.factors() or shock.name in graph.groups:
        return True
    return bool(slash) and any(symbol in (key, graph.symbols.get(key), graph.assets.get(key)) for key in graph.prices)


def moved_graph(graph: OracleGraph, moved: Sequence[Move]) -> OracleGraph:
    """Give the graph after moves, all from today's answers. Raises ConfigError where two move the same."""
    answers: dict[str, int] = {}
    ratios: dict[str, int] = {}
    for move in moved:
        for address, answer in move.feeds.items():
            if address in answers:
                feed = graph.feeds[address]
                raise ConfigError(f"two shocks move the feed {feed.description or feed.address!r} of {feed.factor}")
            answers[address] = answer
        for key, ratio in move.ratios.items():
            if key in ratios:
                raise ConfigError(f"two shocks move the ratio of {graph.symbols.get(key, key)!r}")
            ratios[key] = ratio
    feeds = {a: replace(feed, answer=answers.get(a, feed.answer)) for a, feed in graph.feeds.items()}
    prices = {
        key: _with_constant(price, ratios[key]) if key in ratios else price for key, price in graph.prices.items()
    }
    return replace(graph, feeds=feeds, prices=prices)


def _with_constant(price: PriceExpression, value: int) -> PriceExpression:
    return with_ratio(price, lambda ratio: Constant(value))


def _factor_move(graph: OracleGraph, quote_usd: float | None, shock: Shock, name: str) -> Move:
    path = graph.factor_path(name, graph.timestamp)
    feed = path.feeds[0]
    unit = Fraction(10**feed.decimals)
    if shock.price_usd is not None:
        if quote_usd is None:
            raise ConfigError(
                f"--shock {shock.text}: the market's prices in dollars are unknown: give a move in percent"
            )
        moving = int(shock.price_usd * unit / Fraction(quote_usd))
    else:
        moving = int(feed.answer * (shock.ratio or 1))
    answers = path.feed_answers(moving)
    _check(shock, [*answers.values()])
    now, then = (float(Fraction(quote_usd or 1.0) * answer / unit) for answer in (feed.answer, moving))
    return Move(f"{shock.text.replace('=', ' ')} ({now:,.10g} → {then:,.10g})", feeds=answers)


def _ratio_move(graph: OracleGraph, shock: Shock, symbol: str, base: str) -> Move:
    if shock.price_usd is not None:
        raise ConfigError(f"--shock {shock.text}: a ratio has no price in dollars: give a move in percent")
    keys = [key for key in graph.prices if symbol in (key, graph.symbols.get(key), graph.assets.get(key))]
    assets = {graph.assets.get(key, key) for key in keys}
    if len(assets) > 1:
        raise ConfigError(f"{symbol!r} is the symbol of reserves {' and '.join(keys)}: give one of these ids")
    known = _ratios(graph)
    keys = [key for key in graph.prices if graph.assets.get(key, key) in assets and key in known]
    if not keys:
        names = [*graph.factors(), *known.values()]
        raise ConfigError(f"no ratio {shock.name!r} inside a price; {suggest(shock.name, names)}")
    if known[keys[0]].rpartition("/")[2] != base:
        raise ConfigError(
            f"the price of {symbol} refers to another one: --shock {known[keys[0]]}={shock.text.partition('=')[2]}"
        )
    found = ratio_of(graph.prices[keys[0]])
    ratio = found[0] if found is not None else None
    if not isinstance(ratio, Constant):
        feed = ratio.base_feed() if ratio is not None else None
        if feed is None or feed not in graph.feeds:
            raise ConfigError(f"--shock {shock.text}: the ratio of {symbol} is none that can be moved")
        return _factor_move(graph, None, shock, graph.feeds[feed].factor)
    value = int(ratio.value * (shock.ratio or 1))
    _check(shock, [value])
    now, then = ratio.value / _RATIO_UNIT, value / _RATIO_UNIT
    moved = Move(f"{shock.text.replace('=', ' ')} ({now:.10g} → {then:.10g})", ratios=dict.fromkeys(keys, value))
    before, after = (one.answers_at({}, one.timestamp).get(keys[0], 0) for one in (graph, moved_graph(graph, [moved])))
    if abs(after - before * value // ratio.value) <= 1:
        return moved
    return replace(moved, text=f"{moved.text}, capped: its price {after / max(before, 1) - 1:+.2%}")


def _ratios(graph: OracleGraph) -> dict[str, str]:
    """Name the ratio of each price that has one: ``wstETH/ETH``."""
    found = {}
    for key, price in graph.prices.items():
        pair = ratio_of(price)
        base = pair[1].base_feed() if pair is not None else None
        if base is not None and base in graph.feeds:
            found[key] = f"{graph.symbols.get(key, key)}/{graph.feeds[base].factor}"
    return found


def _no_factor(graph: OracleGraph, name: str) -> str:
    """Say what to give instead of a name that is no factor, such as the symbol of an asset."""
    factors, of = graph.factors(), graph.reserve_factors()
    keys = [
        key for key in graph.prices if name in (key, graph.symbols.get(key)) or name.lower() == graph.assets.get(key)
    ]
    own = sorted({of[key] for key in keys if key in of})
    if own:
        return f"no price factor {name!r}: its price follows {' and '.join(own)}, give that"
    if keys:
        return f"no price factor {name!r}: its price is fixed, no shock moves it"
    known = [*factors, *graph.groups]
    same = [factor for factor in known if factor.casefold() == name.casefold()]
    return f"no price factor {name!r}; {f'did you mean {same[0]!r}?' if same else suggest(name, known)}"


def _check(shock: Shock, answers: Sequence[int]) -> None:
    if min(answers) < 1:
        raise ConfigError(f"--shock {shock.text}: the price would be zero; move it less")
    if max(answers) > _MOST:
        raise ConfigError(f"--shock {shock.text}: no price is that high; move it less")
