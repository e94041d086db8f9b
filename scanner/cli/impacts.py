"""The table that risk teams publish: what each change of a parameter liquidates, for programs and for people."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from scanner.compare import ImpactRow
from scanner.units import BPS
from scanner.whatif_text import percent

__all__ = ["impact_fields", "impact_words"]


def impact_fields(row: ImpactRow) -> dict[str, Any]:
    """Give a row as the check document has it: thresholds and bonuses as fractions, dollars null when unknown."""
    part, impact = row.part, row.impact
    threshold, bonus = (None, None) if part is None else (part.threshold, part.bonus)
    return {
        "asset": row.name,
        "change": row.name if part is None else part.line,
        "market_id": None if part is None else part.market_id,
        "reserve": None if part is None else part.reserve,
        "emode_category": None if part is None else part.emode,
        "liquidation_threshold_before": None if threshold is None else threshold[0] / BPS,
        "liquidation_threshold": None if threshold is None else threshold[1] / BPS,
        "liquidation_bonus_before": None if bonus is None else bonus[0] / BPS,
        "liquidation_bonus": None if bonus is None else bonus[1] / BPS,
        "accounts_liquidated": None if impact is None else impact.accounts,
        "accounts_blocked": None if impact is None else impact.blocked,
        "accounts_no_longer_liquidatable": None if impact is None else impact.no_longer,
        "accounts_newly_unpriced": None if impact is None else impact.unpriced,
        "value_liquidated_usd": None if impact is None else impact.seized_usd,
        "debt_repaid_usd": None if impact is None else impact.repaid_usd,
        "bad_debt_usd": None if impact is None else impact.bad_debt_usd,
        "debt_usd": None if impact is None else impact.debt_usd,
        "refused": row.refused or None,
    }


def impact_words(rows: Sequence[ImpactRow]) -> list[Mapping[str, str]]:
    """Write the rows for people: column to text."""
    bonus = any(row.part is not None and row.part.bonus and row.part.bonus[0] != row.part.bonus[1] for row in rows)
    return [_words(row, bonus=bonus) for row in rows]


def _words(row: ImpactRow, *, bonus: bool) -> dict[str, str]:
    part, impact = row.part, row.impact
    threshold = part.threshold if part is not None else None
    words = {
        "asset": row.name,
        "current LT": "" if threshold is None else percent(threshold[0]),
        "new LT": "" if threshold is None else percent(threshold[1]),
    }
    if bonus:
        values = part.bonus if part is not None else None
        words |= {"current bonus": "", "new bonus": ""}
        if values is not None:
            words |= {"current bonus": percent(values[0]), "new bonus": percent(values[1])}
    if impact is None:
        return {**words, "value liquidated": row.refused, "accounts liquidated": "", "debt repaid": "", "bad debt": ""}
    return {
        **words,
        "value liquidated": _dollars(impact.seized_usd),
        "accounts liquidated": f"{impact.accounts:,}",
        "debt repaid": _dollars(impact.repaid_usd),
        "bad debt": _dollars(impact.bad_debt_usd),
    }


def _dollars(value: float | None) -> str:
    return "?" if value is None else f"${value:,.0f}"
