"""How far prices along a path are from straight lines: what turns two samples of a health factor into a proof. Pure.

Every adapter formula is a straight line in the moving answer, but for floors (which cost less than a unit each) and
caps (which bend it at one known answer).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from itertools import pairwise

from scanner.risk.expressions import (
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
from scanner.risk.pricing import FactorPath, ReservePath
from scanner.risk.rules import PricePath
from scanner.units import WAD

__all__ = ["Linearity", "linearity"]


@dataclass(frozen=True)
class Linearity:
    """Where a path's prices bend, and how wide the band around the lines is.

    ``breaks``: ascending values b such that no price bends inside [b_i, b_(i+1) - 1].
    ``errors``: per price key an upper bound of (price - line) less a lower bound of it, within such a segment; a key
    that is absent may have any shape. ``moving``: the keys whose price is the moving integer itself.
    """

    breaks: tuple[int, ...]
    errors: Mapping[str, float]
    moving: frozenset[str] = frozenset()


@dataclass(frozen=True)
class _Line:
    """slope * x + low ≤ price ≤ slope * x + high."""

    slope: Fraction
    low: Fraction
    high: Fraction

    def floor_times(self, factor: Fraction) -> _Line:
        """Multiply by a non-negative constant and round down to an integer."""
        return _Line(self.slope * factor, self.low * factor - 1, self.high * factor)


class _BentError(Exception):
    """A price is no line: two moving parts are multiplied, divided or compared."""


def linearity(path: PricePath, limit: int) -> Linearity:
    """Analyse the prices of a path over [1, limit]; other paths than those of an oracle graph have no known shape."""
    if isinstance(path, ReservePath):
        return Linearity((), dict.fromkeys(path.reserves, 0.0), path.reserves)
    if not isinstance(path, FactorPath):
        return Linearity((), {})
    breaks: set[int] = set()
    for expression in path.expressions.values():
        breaks |= _breaks(path, expression, limit)
    bounds = [1, *sorted(breaks), limit + 1]
    errors: dict[str, float] = {}
    for key, expression in path.expressions.items():
        try:
            lines = [_line(path, expression, low, high - 1) for low, high in pairwise(bounds)]
        except _BentError:
            continue
        # Ten per cent more than the exact fraction covers the rounding of this and later float arithmetic.
        errors[key] = float(max(line.high - line.low for line in lines)) * 1.1
    reference = FeedAnswer(path.feeds[0].address)
    moving = frozenset(key for key, expression in path.expressions.items() if expression == reference)
    return Linearity(tuple(sorted(breaks)), errors, moving)


def _at(path: FactorPath, expression: PriceExpression, moving: int) -> int:
    return expression.evaluate({**path.answers, **path.feed_answers(moving)}, path.timestamp) or 0


def _moves(path: FactorPath, expression: PriceExpression) -> bool:
    return any(feed.address in expression.feeds() for feed in path.feeds)


def _capped(path: FactorPath, node: PriceExpression) -> tuple[PriceExpression, int] | None:
    """Give the moving inner part and the fixed cap of a node that takes the smaller of two, if it is one."""
    if isinstance(node, Cap):
        return node.inner, node.cap
    if isinstance(node, CapRatio):
        return node.ratio, node.cap(path.timestamp)
    if isinstance(node, Least):
        if not _moves(path, node.cap):
            return node.inner, _at(path, node.cap, path.start)
        if not _moves(path, node.inner):
            return node.cap, _at(path, node.inner, path.start)
    return None


def _children(node: PriceExpression) -> tuple[PriceExpression, ...]:
    match node:
        case Scale(inner=inner) | Cap(inner=inner) | TimeDiscount(inner=inner):
            return (inner,)
        case Product(left=left, right=right):
            return (left, right)
        case Quotient(top=top, bottom=bottom):
            return (top, bottom)
        case CapRatio(base=base, ratio=ratio):
            return (base, ratio)
        case Least(inner=inner, cap=cap):
            return (inner, cap)
        case _:
            return ()


def _breaks(path: FactorPath, node: PriceExpression, limit: int) -> set[int]:
    """Find the values at which a cap begins or ceases to bind; only monotone inner parts are searched."""
    found: set[int] = set()
    for child in _children(node):
        found |= _breaks(path, child, limit)
    capped = _capped(path, node)
    if capped is None or not _moves(path, capped[0]):
        return found
    inner, cap = capped
    low, high = 1, limit
    binds = _at(path, inner, low) >= cap
    if binds == (_at(path, inner, high) >= cap):
        return found
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if (_at(path, inner, middle) >= cap) == binds else (low, middle)
    return found | {high}


def _line(path: FactorPath, node: PriceExpression, low: int, high: int) -> _Line:
    """Enclose a price between two parallel lines on a segment without breaks."""
    if not _moves(path, node):
        return _constant(_at(path, node, path.start))
    match node:
        case FeedAnswer(feed=feed):
            answer = path.answers[feed]
            exact = feed == path.feeds[0].address
            return _Line(Fraction(answer, path.start), Fraction(0 if exact else -1), Fraction(0))
        case Scale(inner=inner, mul=mul, div=div):
            return _line(path, inner, low, high).floor_times(Fraction(mul, div))
        case TimeDiscount(inner=inner):
            return _line(path, inner, low, high).floor_times(Fraction(node.kept(path.timestamp), WAD))
        case Product(left=left, right=right, mul=mul, div=div):
            return _product(path, _line(path, left, low, high), _line(path, right, low, high), Fraction(mul, div))
        case Quotient(top=top, bottom=bottom, mul=mul):
            divisor = _line(path, bottom, low, high)
            if divisor.slope or divisor.low != divisor.high or divisor.low <= 0:
                raise _BentError
            return _line(path, top, low, high).floor_times(mul / divisor.low)
        case CapRatio(base=base):
            ratio = _smaller(path, node, low, high)
            return _product(path, _line(path, base, low, high), ratio, Fraction(1, 10**node.decimals))
        case Cap() | Least():
            return _smaller(path, node, low, high)
        case Constant(value=value):
            return _constant(value)
        case _:
            raise _BentError


def _constant(value: int) -> _Line:
    return _Line(Fraction(0), Fraction(value), Fraction(value))


def _product(path: FactorPath, left: _Line, right: _Line, factor: Fraction) -> _Line:
    for fixed, other in ((left, right), (right, left)):
        if fixed.slope == 0 and fixed.low == fixed.high:
            return other.floor_times(fixed.low * factor)
    raise _BentError


def _smaller(path: FactorPath, node: PriceExpression, low: int, high: int) -> _Line:
    capped = _capped(path, node)
    if capped is None:
        raise _BentError
    inner, cap = capped
    line = _line(path, inner, low, high)  # also proves that the inner part is monotone, so that its ends bound it
    values = [_at(path, inner, end) for end in (low, high)]
    if min(values) >= cap:
        return _constant(cap)
    if max(values) <= cap:
        return line
    raise _BentError
