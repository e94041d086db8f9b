"""E-mode categories of both kinds: one per reserve with an own price (up to v3.1), bitmaps (from v3.2).

Categories are scanned from 1 to 255, since ids may have holes. Two rounds: which exist, then their bitmaps or prices.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import replace
from typing import Final

from scanner.chain.interface import Call, Reverted
from scanner.protocols.aave_v3.decode import ORACLE, POOL, ZERO_ADDRESS, Answer, integer, label, price, values
from scanner.protocols.aave_v3.detail import EMode, emode_price_key

__all__ = ["category_calls", "decode_categories", "property_calls", "with_properties"]

Key = tuple[str, str]
"""What is asked, and of which reserve or category."""

_CATEGORIES: Final = range(1, 256)
_COLLATERAL: Final = "getEModeCategoryCollateralBitmap"
_BORROWABLE: Final = "getEModeCategoryBorrowableBitmap"
_LTV_ZERO: Final = "getEModeCategoryLtvzeroBitmap"
_LABEL: Final = "getEModeCategoryLabel"


def category_calls(pool: str, revision: int) -> dict[Key, Call]:
    """Ask for every category's parameters."""
    return {("emode", str(c)): POOL.call(pool, _function(revision), c) for c in _CATEGORIES}


def decode_categories(answers: Mapping[Key, Answer], revision: int, named: Collection[int]) -> dict[int, EMode]:
    """Give the categories that exist, or that a reserve names."""
    modes = {}
    for category in _CATEGORIES:
        fields = values(POOL, _function(revision), answers["emode", str(category)])[0]
        ltv, threshold, bonus = fields[:3]
        if any(fields[:3]) or category in named:
            source, text = (fields[3].lower(), fields[4]) if len(fields) == 5 else (ZERO_ADDRESS, "")
            own_price = source if source != ZERO_ADDRESS else None
            modes[category] = EMode(category, ltv, threshold, bonus, own_price, 0, 0, 0, label(text))
    return modes


def property_calls(pool: str, oracle: str, modes: Mapping[int, EMode], revision: int) -> dict[Key, Call]:
    """Ask for bitmaps and labels (from v3.2), or for the price that replaces those of the category (up to v3.1)."""
    calls: dict[Key, Call] = {}
    for mode in modes.values():
        if revision >= 5:
            names = (_COLLATERAL, _BORROWABLE, _LABEL, _LTV_ZERO)[: 4 if revision >= 10 else 3]
            calls |= {(name, str(mode.id)): POOL.call(pool, name, mode.id) for name in names}
        elif mode.price_source:
            calls[emode_price_key(mode.id), ""] = ORACLE.call(oracle, "getAssetPrice", mode.price_source)
    return calls


def with_properties(
    modes: Mapping[int, EMode], answers: Mapping[Key, Answer]
) -> tuple[dict[int, EMode], dict[str, int | str]]:
    """Fill in the answers to ``property_calls``; give the categories and their own prices (or why they have none).

    The contract ignores an own price of 0, hence such a category has no price source here.
    """
    full: dict[int, EMode] = {}
    prices: dict[str, int | str] = {}
    for mode in modes.values():
        key = emode_price_key(mode.id)
        own = answers.get((key, ""))
        source = mode.price_source if own != bytes(32) else None
        if own is not None and source is not None:
            prices[key] = price(own)
        full[mode.id] = replace(
            mode,
            price_source=source,
            collateral_bitmap=_bitmap(_COLLATERAL, mode, answers),
            borrowable_bitmap=_bitmap(_BORROWABLE, mode, answers),
            ltvzero_bitmap=_bitmap(_LTV_ZERO, mode, answers),
            label=_label(mode, answers),
        )
    return full, prices


def _function(revision: int) -> str:
    return "getEModeCategoryData" if revision <= 4 else "getEModeCategoryCollateralConfig"


def _bitmap(name: str, mode: EMode, answers: Mapping[Key, Answer]) -> int:
    answer = answers.get((name, str(mode.id)))
    return 0 if answer is None else integer(POOL, name, answer)


def _label(mode: EMode, answers: Mapping[Key, Answer]) -> str:
    """Give the label; it is decoration, so one that is refused is empty."""
    answer = answers.get((_LABEL, str(mode.id)))
    if answer is None or isinstance(answer, Reverted):
        return mode.label
    return label(str(values(POOL, _LABEL, answer)[0]))
