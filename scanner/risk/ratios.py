"""The ratio inside a price: a staking token's rate to what it stands for, before a cap. Pure."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from scanner.risk.expressions import Cap, CapRatio, Least, PriceExpression, Product, Scale, TimeDiscount

__all__ = ["ratio_of", "with_ratio"]


def ratio_of(price: PriceExpression) -> tuple[PriceExpression, PriceExpression] | None:
    """Give the ratio of a price and the price that it refers to; None for a price without one."""
    match price:
        case CapRatio():
            return price.ratio, price.base
        case Product():
            return price.left, price.right
        case Scale() | Cap() | TimeDiscount() | Least():
            return ratio_of(price.inner)
        case _:
            return None


def with_ratio(price: PriceExpression, change: Callable[[PriceExpression], PriceExpression]) -> PriceExpression:
    """Put a changed ratio in the place of a price's own; a price without one stays as it is."""
    match price:
        case CapRatio():
            return replace(price, ratio=change(price.ratio))
        case Product():
            return replace(price, left=change(price.left))
        case Scale() | Cap() | TimeDiscount() | Least():
            return replace(price, inner=with_ratio(price.inner, change))
        case _:
            return price
