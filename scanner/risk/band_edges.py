"""Where bands begin and end: exact rationals of a reference feed's integer answer. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Final, Literal

from scanner.errors import ConfigError
from scanner.units import BPS

__all__ = ["DEPTH_BPS", "MOST_BANDS", "BandEdges", "BandSpec", "Reference", "band_edges", "parse_bands", "start_usd"]

DEPTH_BPS: Final = 5000
"""How far bands go from today's price by default; one more band on each side holds the rest."""
MOST_BANDS: Final = 5000

Direction = Literal["down", "up"]


@dataclass(frozen=True)
class Reference:
    """A factor's reference feed: its integer answer today, and dollars per unit of that answer."""

    answer: int
    usd_per_unit: Fraction

    @property
    def price_usd(self) -> float:
        return float(self.answer * self.usd_per_unit)


@dataclass(frozen=True)
class BandSpec:
    """Steps in basis points of the reference answer, steps in dollars, or explicit dollar prices; one of them."""

    step_bps: int | None = None
    step_usd: Fraction | None = None
    prices_usd: tuple[Fraction, ...] = ()


@dataclass(frozen=True)
class BandEdges:
    """Edges from today's price outwards, in one direction.

    ``answers`` are exact and start with today's price; ``bps`` their signed moves (None for price edges). The
    band after the last edge is open.
    """

    direction: Direction
    answers: tuple[Fraction, ...]
    bps: tuple[int, ...] | None

    def limits(self) -> list[int]:
        """Give each edge as the integer that decides it.

        Falls: lower ≤ trigger < upper, so a trigger is at or above an edge from its ceiling on. Rises:
        lower < trigger ≤ upper, so it is beyond an edge above its floor.
        """
        if self.direction == "down":
            return [-(-edge.numerator // edge.denominator) for edge in self.answers]
        return [edge.numerator // edge.denominator for edge in self.answers]


def parse_bands(text: str) -> BandSpec:
    """Read ``1%``, ``25usd`` or ``1600,1700,1800`` (dollars); raises ConfigError for anything else."""
    cleaned = text.strip().lower().replace("_", "")
    if match := re.fullmatch(r"(\d+(?:\.\d+)?)\s*%", cleaned):
        step = Fraction(match[1]) * 100
        if step.denominator != 1 or not 1 <= step < BPS:
            raise ConfigError(f"--bands {text}: a step is a whole number of basis points, from 0.01% to 99.99%")
        return BandSpec(step_bps=int(step))
    if match := re.fullmatch(r"(\d+(?:\.\d+)?)\s*usd", cleaned):
        if not Fraction(match[1]):
            raise ConfigError(f"--bands {text}: a step of nothing")
        return BandSpec(step_usd=Fraction(match[1]))
    if re.fullmatch(r"\d+(?:\.\d+)?", cleaned):
        raise ConfigError(
            f"--bands {text}: a bare number may mean anything; write {text}%, {text}usd or a list of prices"
        )
    if re.fullmatch(r"\d+(?:\.\d+)?(?:\s*,\s*\d+(?:\.\d+)?)+", cleaned):
        prices = tuple(sorted({Fraction(part.strip()) for part in cleaned.split(",")}))
        if prices[0] == 0:
            raise ConfigError(f"--bands {text}: prices are above zero")
        return BandSpec(prices_usd=prices)
    raise ConfigError(f"--bands {text}: give a step (1% or 25usd) or prices in dollars (1600,1700,1800)")


def start_usd(references: Iterable[Reference], direction: Direction) -> Fraction:
    """Give the price from which bands in dollars are laid: of feeds that differ, the outermost, so none is left out."""
    prices = [reference.answer * reference.usd_per_unit for reference in references]
    return max(prices) if direction == "down" else min(prices)


def band_edges(
    spec: BandSpec,
    reference: Reference,
    direction: Direction,
    depth_bps: int = DEPTH_BPS,
    start: Fraction | None = None,
) -> BandEdges:
    """Lay the edges of one direction; raises ConfigError when there would be more than MOST_BANDS.

    Basis points count from the reference's answer. Edges in dollars are the same for all references: they are laid from
    ``start`` dollars (``start_usd``), or from the reference's own price.
    """
    sign = -1 if direction == "down" else 1
    spot = Fraction(reference.answer)
    if spec.step_bps is not None:
        _check_count(depth_bps // spec.step_bps)
        moves = [*range(0, depth_bps, spec.step_bps), depth_bps]
        edges = tuple(spot * (BPS + sign * move) / BPS for move in moves)
        return BandEdges(direction, edges, tuple(sign * move for move in moves))
    price = spot * reference.usd_per_unit if start is None else start
    if spec.step_usd is not None:
        prices = _price_steps(price, spec.step_usd, sign, price * depth_bps / BPS)
    else:
        beyond = [p for p in spec.prices_usd if (p - price) * sign > 0]
        prices = beyond if sign > 0 else beyond[::-1]
    return BandEdges(direction, tuple(p / reference.usd_per_unit for p in (price, *prices)), None)


def _price_steps(price: Fraction, step: Fraction, sign: int, depth: Fraction) -> Sequence[Fraction]:
    """Give the multiples of a step beyond a price, up to the depth."""
    _check_count(int(depth / step))
    first = price // step + 1 if sign > 0 else -(-price // step) - 1
    count = int((depth - abs(first * step - price)) // step) + 1 if abs(first * step - price) <= depth else 0
    return [p for k in range(count) if (p := (first + sign * k) * step) > 0]


def _check_count(count: int) -> None:
    if count > MOST_BANDS:
        raise ConfigError(f"--bands: {count} bands on each side; take a step that gives at most {MOST_BANDS}")
