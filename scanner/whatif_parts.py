"""What a what-if is made of: its changes one by one, and how to say them. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime

from scanner.describe import quote_usd
from scanner.protocols.interface import MarketRead
from scanner.whatif import PARAMETERS, Parameter, WhatIf, by_market, key_of, shown, terms_of
from scanner.whatif_prices import moves
from scanner.whatif_text import percent

__all__ = ["Part", "parts_of", "said"]


@dataclass(frozen=True)
class Part:
    """One change: of an asset's or a category's parameters, of a price, or of time.

    ``threshold`` and ``bonus`` are basis points before and after, the bonus above 100 %; both are given for an asset
    or category, changed or not.
    """

    name: str  # symbol, "e-mode 1 (ETH correlated)", or the change as a line
    what: WhatIf
    market_id: str | None = None
    reserve: str | None = None
    emode: int | None = None
    threshold: tuple[int, int] | None = None
    bonus: tuple[int, int] | None = None

    @property
    def line(self) -> str:
        """Say the change with what it was before."""
        told = []
        for word, values in (("threshold", self.threshold), ("bonus", self.bonus)):
            if values is not None and values[0] != values[1]:
                told.append(f"liquidation {word} {percent(values[0])} → {percent(values[1])}")
        kept = self.threshold is not None and not told
        return f"{self.name} {' and '.join(told)}" if told else f"{self.name} unchanged" if kept else self.name


def parts_of(reads: Sequence[MarketRead], what: WhatIf) -> tuple[Part, ...]:
    """Take a what-if apart: prices, then assets (threshold and bonus together), e-mode categories, time.

    Raises what ``changed_all`` raises for names.
    """
    parts: list[Part] = []
    own = by_market(reads, what)
    for shock in what.shocks:
        lines = [
            move.text
            for read, part in zip(reads, own, strict=True)
            if shock in part.shocks
            for move in moves(read.graph, quote_usd(read.market), shock)
        ]
        parts.append(Part("; ".join(dict.fromkeys(lines)), WhatIf(shocks=(shock,))))
    for read, part in zip(reads, own, strict=True):
        found: dict[tuple[bool, str], Part] = {}
        for parameter in PARAMETERS:
            for setting in getattr(part, parameter.name):
                key = key_of(read, parameter, setting.key)
                known = found.get((parameter.emode, key)) or _unchanged(read, parameter, key)
                values = (
                    parameter.of(terms_of(read, parameter, key)),
                    parameter.after(terms_of(read, parameter, key), setting),
                )
                what_alone = WhatIf(**{**vars(known.what), parameter.name: (setting,)})
                grown = replace(known, what=what_alone)
                found[parameter.emode, key] = (
                    replace(grown, threshold=values) if parameter.word == "threshold" else replace(grown, bonus=values)
                )
        parts += found.values()
    if what.seconds:
        at = reads[0].market.timestamp + what.seconds
        when = f"{datetime.fromtimestamp(at, UTC):%Y-%m-%d %H:%M:%S} UTC"
        parts.append(Part(f"time {_span(what.seconds)} ({when})", WhatIf(seconds=what.seconds)))
    return tuple(parts)


def said(reads: Sequence[MarketRead], what: WhatIf) -> tuple[str, ...]:
    """Say what is changed, a line each, with what it was before. Raises what ``changed_all`` raises for names."""
    return tuple(part.line for part in parts_of(reads, what))


def _unchanged(read: MarketRead, parameter: Parameter, key: str) -> Part:
    terms = terms_of(read, parameter, key)
    label = shown(terms.label)
    name = (f"e-mode {key} ({label})" if label else f"e-mode {key}") if parameter.emode else label
    values = {one.word: (one.of(terms), one.of(terms)) for one in PARAMETERS}
    return Part(
        name=name,
        what=WhatIf(),
        market_id=read.market.market_id,
        reserve=None if parameter.emode else key,
        emode=int(key) if parameter.emode else None,
        threshold=values["threshold"],
        bonus=values["bonus"],
    )


def _span(seconds: int) -> str:
    for unit, size in (("d", 86_400), ("h", 3600), ("m", 60)):
        if seconds % size == 0:
            return f"+{seconds // size}{unit}"
    return f"+{seconds}s"
