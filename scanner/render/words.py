"""Numbers and names as people read them: fixed widths, no control characters, no wrapped surprises."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from typing import Final

from rich.cells import cell_len, set_cell_size

from scanner.views import eip55

__all__ = [
    "accounts",
    "age",
    "blocker",
    "clean",
    "count",
    "factor_move",
    "fit",
    "money",
    "move",
    "percent",
    "price",
    "price_places",
    "short_address",
    "some",
    "span",
    "tokens",
]

_UNSAFE: Final = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp", "Mn", "Me"})
_BLOCKERS: Final = {
    "inactive": "an inactive reserve",
    "paused": "a paused reserve",
    "sentinel": "the price oracle sentinel",
    "grace": "a grace period",
    "zero_threshold": "a liquidation threshold of zero",
    "unpriced": "an unpriced asset",
    "dust": "the rule against dust",
}
_MONEY: Final = ((1e12, "T", 2), (1e9, "B", 2), (1e6, "M", 1), (1e3, "k", 0))


def clean(text: str, limit: int = 60) -> str:
    """Drop what could steer a terminal or hide (controls, marks, direction overrides) and cut to ``limit`` cells.

    Symbols and names come from contracts that anybody can deploy.
    """
    kept = "".join(" " if char in "\t\n\r" else char for char in text if _safe(char))
    return fit(" ".join(kept.split()), limit)


def _safe(char: str) -> bool:
    return char in "\t\n\r" or unicodedata.category(char) not in _UNSAFE


def fit(text: str, width: int) -> str:
    """Cut text to a number of terminal cells, with an ellipsis where something was lost."""
    if cell_len(text) <= width:
        return text
    return set_cell_size(text, max(width - 1, 0)).rstrip() + "…" if width else ""


def money(value: float | None) -> str:
    """Write dollars in at most six characters: 730, 66k, 94.1M, 11.84B; ``?`` when unknown."""
    if value is None:
        return "?"
    size = abs(value)
    for unit, letter, places in _MONEY:
        if size >= unit * 0.9995:  # where rounding carries: 999,600 is 1.0M, never 1000k
            shown = value / unit
            return f"{shown:.{places if abs(shown) < 99.95 else min(places, 1)}f}{letter}"
    if size >= 1 or size == 0:
        return f"{value:.0f}"
    return "<1" if value > 0 else ">-1"


def price_places(reference: float | None, spread: float | None = None) -> int:
    """Say how many decimals tell prices near ``reference`` apart, when the nearest are ``spread`` apart; 2 at least."""
    fine = min(abs(reference or 1.0), abs(spread) * 200 if spread else float("inf"))
    places = 2
    while places < 8 and fine < 10.0 ** (3 - places):
        places += 1
    return places


def price(value: float | None, places: int | None = None) -> str:
    """Write a price in dollars; ``?`` when unknown."""
    if value is None:
        return "?"
    return f"${value:,.{price_places(value) if places is None else places}f}"


def move(bps: int | None, ratio: float | None = None) -> str:
    """Write a signed move in per cent, from basis points or else from a price ratio."""
    if bps is not None:
        sign = "+" if bps > 0 else "−" if bps < 0 else ""
        return f"{sign}{abs(bps) / 100:g} %"
    return "" if ratio is None else factor_move(ratio)


def factor_move(ratio: float) -> str:
    """Write the move that a price ratio means: 0.875 is −12.5 %."""
    change = (ratio - 1) * 100
    if abs(change) >= 10_000:
        return f"{'+' if change > 0 else '−'}>9999 %"
    text = f"{abs(change):.1f}" if abs(change) < 1000 else f"{abs(change):.0f}"
    return f"{'+' if change > 0 else '−' if change < 0 else ''}{text} %"


def percent(share: float) -> str:
    """Write a fraction as per cent; what is not nothing never shows as 0, what is not all never as 100."""
    if share in (0, 1):
        return f"{share * 100:.0f} %"
    if 0 < share < 0.0001:
        return "<0.01 %"
    if 0.9999 < share < 1:
        return ">99.99 %"
    return f"{share * 100:.2f} %" if share < 0.01 or share > 0.99 else f"{share * 100:.1f} %"


def count(number: int) -> str:
    return f"{number:,}"


def accounts(number: int) -> str:
    return f"{number:,} account{'' if number == 1 else 's'}"


def tokens(amount: float) -> str:
    """Write a token amount with about seven significant digits."""
    if amount == 0:
        return "0"
    if abs(amount) >= 1e15:
        return f"{amount:.4e}"
    if abs(amount) >= 1000:
        return f"{amount:,.2f}"
    return f"{amount:.6g}" if abs(amount) >= 1e-4 else f"{amount:.3e}"


def short_address(address: str) -> str:
    """Write the ends of an address (in its EIP-55 spelling) or of a hash: 0x85e0…9a11."""
    address = eip55(clean(address, 80))
    return address if len(address) <= 13 else f"{address[:6]}…{address[-4:]}"


def some(label: str, names: Sequence[str], width: int) -> str:
    """List as many names after a label as fit, and count the others."""
    for shown in range(len(names), 0, -1):
        rest = f" and {len(names) - shown} more" if shown < len(names) else ""
        text = label + ", ".join(names[:shown]) + rest
        if cell_len(text) <= width:
            return text
    return f"{label}{len(names)}"


def age(seconds: int) -> str:
    """Say how long ago; a block of the future is said so."""
    return f"{span(abs(seconds))} {'ago' if seconds >= 0 else 'ahead'}"


def span(seconds: int) -> str:
    """Write a length of time in its largest unit of which there are two at least."""
    for unit, name in ((86_400, "d"), (3_600, "h"), (60, "min")):
        if seconds >= 2 * unit:
            return f"{seconds // unit:,} {name}"
    return f"{seconds} s"


def blocker(reason: str) -> str:
    """Name what blocks a liquidation, to stand after "by"."""
    return _BLOCKERS.get(reason) or clean(reason, 40)
