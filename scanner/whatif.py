"""What-ifs: prices, parameters or time other than they are, on what was read. Pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import polars as pl

from scanner.describe import quote_usd
from scanner.errors import ConfigError, suggest
from scanner.frames import SKIPPED
from scanner.protocols.interface import Market, MarketRead
from scanner.risk.rules import Changes, Terms
from scanner.units import BPS
from scanner.whatif_prices import concerns, moved_graph, moves
from scanner.whatif_text import Setting, Shock, WhatIf, parse_whatif

__all__ = [
    "PARAMETERS",
    "Parameter",
    "Setting",
    "Shock",
    "WhatIf",
    "by_market",
    "changed",
    "changed_all",
    "key_of",
    "parse_whatif",
    "shown",
    "terms_of",
]


def changed(read: MarketRead, what: WhatIf) -> MarketRead:
    """Give a market as after a change: rules, answers, feeds, parameters, indexes and time.

    Positions are those that were read. The feeds of a factor move in one ratio as on a price path, prices follow by
    the adapters' integers at the new time; what has no price has none afterwards. Raises ConfigError for unknown names,
    for a price that would become zero and for what the protocol would refuse.
    """
    if not what:
        return read
    rules = read.rules.with_changes(_changes(read, what))
    moved = [move for shock in what.shocks for move in moves(read.graph, quote_usd(read.market), shock)]
    graph = replace(moved_graph(read.graph, moved), timestamp=rules.timestamp)
    found = graph.answers_at({}, rules.timestamp)
    kept = {key: found.get(key) if key in graph.prices else answer for key, answer in read.market.answers.items()}
    answers = {key: answer for key, answer in kept.items() if answer is not None}
    priced = _priced(read.market, answers)
    market = replace(
        priced,
        reserves=rules.described(priced.reserves),
        answers=answers,
        timestamp=rules.timestamp,
        detail=rules.detail,
    )
    return replace(read, market=market, rules=rules, graph=graph)


def changed_all(reads: Sequence[MarketRead], what: WhatIf) -> tuple[MarketRead, ...]:
    """Change several markets at once.

    A shock moves every market that has the factor; a parameter has to be of exactly one market. Raises ConfigError.
    """
    return tuple(changed(read, part) for read, part in zip(reads, by_market(reads, what), strict=True))


@dataclass(frozen=True, slots=True)
class Parameter:
    """A kind of setting: its field of ``WhatIf``, its word, how to read it of terms."""

    name: str
    word: str
    emode: bool
    of: Callable[[Terms], int]

    def after(self, terms: Terms, setting: Setting) -> int:
        """Give the value that a setting makes of today's, in basis points; a bonus above 100 %."""
        return self.of(terms) + setting.bps if setting.relative else setting.bps


def _threshold(terms: Terms) -> int:
    return terms.threshold_bps


def _bonus(terms: Terms) -> int:
    return max(terms.bonus_bps - BPS, 0)


PARAMETERS = (
    Parameter("thresholds", "threshold", False, _threshold),
    Parameter("bonuses", "bonus", False, _bonus),
    Parameter("emode_thresholds", "threshold", True, _threshold),
    Parameter("emode_bonuses", "bonus", True, _bonus),
)


def _changes(read: MarketRead, what: WhatIf) -> Changes:
    """Turn settings by name into values by key."""
    values: dict[str, dict[str, int]] = {}
    for parameter in PARAMETERS:
        found = values[parameter.name] = {}
        for setting in getattr(what, parameter.name):
            key = key_of(read, parameter, setting.key)
            if key in found:
                raise ConfigError(f"{setting.key}: its liquidation {parameter.word} is set twice")
            found[key] = parameter.after(terms_of(read, parameter, key), setting)
    return Changes(
        timestamp=read.rules.timestamp + what.seconds,
        liquidation_threshold_bps=values["thresholds"],
        liquidation_bonus_bps={key: BPS + bps for key, bps in values["bonuses"].items()},
        emode_threshold_bps={int(key): bps for key, bps in values["emode_thresholds"].items()},
        emode_bonus_bps={int(key): BPS + bps for key, bps in values["emode_bonuses"].items()},
    )


def key_of(read: MarketRead, parameter: Parameter, name: str) -> str:
    """Find the reserve of a symbol, an id or an asset address, or an e-mode category. Raises ConfigError."""
    return _mode_key(read, name) if parameter.emode else _reserve_key(read, name)


def terms_of(read: MarketRead, parameter: Parameter, key: str) -> Terms:
    """Give the parameters of a reserve or category by its key."""
    return read.rules.emode_terms()[int(key)] if parameter.emode else read.rules.reserve_terms()[key]


def _reserve_key(read: MarketRead, name: str) -> str:
    found = _reserve_keys(read, name)
    if not found:
        symbols = [shown(symbol) for symbol in read.market.reserves["symbol"]]
        raise ConfigError(f"no reserve {name!r} in this market; {suggest(name, symbols)}")
    if len(found) > 1:
        raise ConfigError(f"{name!r} is the symbol of reserves {' and '.join(found)}: give one of these ids")
    return found[0]


def _reserve_keys(read: MarketRead, name: str) -> list[str]:
    frame = read.market.reserves
    named = (
        (pl.col("symbol") == name) | (pl.col("reserve") == name) | (pl.col("asset").str.to_lowercase() == name.lower())
    )
    return frame.filter(named)["reserve"].to_list()


def _mode_key(read: MarketRead, name: str) -> str:
    known = [str(category) for category in read.rules.emode_terms()]
    if name not in known:
        raise ConfigError(f"no e-mode category {name} in this market; known: {', '.join(known) or 'none'}")
    return name


def by_market(reads: Sequence[MarketRead], what: WhatIf) -> list[WhatIf]:
    """Say what of a change concerns which market; ``changed_all`` says what raises ConfigError."""
    if len(reads) == 1:
        return [what]
    parts: list[dict[str, list[object]]] = [{name: [] for name in _FIELDS} for _ in reads]
    for shock in what.shocks:
        concerned = [
            (read, part) for read, part in zip(reads, parts, strict=True) if concerns(read.graph, shock)
        ] or list(zip(reads, parts, strict=True))
        for read, part in concerned:
            try:
                moves(read.graph, quote_usd(read.market), shock)
            except ConfigError as error:
                raise ConfigError(f"{read.market.name}: {error}") from error
            part["shocks"].append(shock)
    for parameter in PARAMETERS:
        for setting in getattr(what, parameter.name):
            owners = [i for i, read in enumerate(reads) if _has(read, parameter, setting.key)]
            if len(owners) != 1:
                raise ConfigError(
                    f"{setting.key!r} is in {len(owners) or 'none'} of the {len(reads)} markets that were scanned:"
                    " a parameter is changed in one: name it with --market"
                )
            parts[owners[0]][parameter.name].append(setting)
    return [WhatIf(**{name: tuple(values) for name, values in part.items()}, seconds=what.seconds) for part in parts]  # type: ignore[arg-type]


_FIELDS = ("shocks", *(parameter.name for parameter in PARAMETERS))


def _has(read: MarketRead, parameter: Parameter, key: str) -> bool:
    if parameter.emode:
        return int(key) in read.rules.emode_terms()
    return bool(_reserve_keys(read, key))


def _priced(market: Market, answers: Mapping[str, int]) -> Market:
    """Put prices into the frame of reserves; those that have no price any more are skipped."""
    keys, usd = market.reserves["reserve"].to_list(), quote_usd(market)
    values = [answers.get(key) for key in keys]
    quotes = [None if value is None else value / market.base_unit for value in values]
    dollars = [None if quote is None or usd is None else quote * usd for quote in quotes]
    reserves = market.reserves.with_columns(
        pl.Series("answer", [None if value is None else str(value) for value in values], pl.String),
        pl.Series("price_quote", quotes, pl.Float64),
        pl.Series("price_usd", dollars, pl.Float64),
    )
    gone = [key for key in market.answers if key not in answers]
    lost = {
        "chain_id": market.chain_id,
        "protocol": market.protocol,
        "market_id": market.market_id,
        "position": None,
        "what": "reserve",
        "reason": "no price after the change",
    }
    skipped = pl.DataFrame([lost | {"reserve": key} for key in gone], schema=dict(SKIPPED))
    return replace(market, reserves=reserves, skipped=pl.concat([market.skipped, skipped]))


def shown(text: str) -> str:
    """Drop what could steer a terminal: names come from contracts that anybody can deploy."""
    return "".join(char for char in text if char.isprintable())
