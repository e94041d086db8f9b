"""Where lines between two samples fall to zero: guesses for a search, not proofs. Pure."""

from __future__ import annotations

import polars as pl

__all__ = ["around"]


def _root(near: pl.Series, far: pl.Series, width: pl.Series, level: pl.Series, margin: float) -> pl.Series:
    """Give the distance at which a line falls to a level, and a margin more; null where it does not."""
    distance = (near - level) * (width / (near - far)) + margin
    return distance.set((near <= level) | (far >= level), None)


def around(
    safe_near: pl.Series,
    hurt_near: pl.Series,
    safe_far: pl.Series,
    hurt_far: pl.Series,
    width: pl.Series,
    noise: pl.Series,
) -> tuple[pl.Series, pl.Series]:
    """Bracket the roots of two lines by their noise; in cells that are no wider than that, by their width."""
    level = noise * 0.0
    first, second = (
        _root(safe_near, safe_far, width, noise * 2.0, -2.0),
        _root(hurt_near, hurt_far, width, -noise, 2.0),
    )
    tight = (first < 1.0).fill_null(True) & (second > width - 1.0).fill_null(True)
    margin = width / 32.0 + 1.0
    return (_root(safe_near, safe_far, width, level, 0.0) - margin).zip_with(tight, first), (
        _root(hurt_near, hurt_far, width, level, 0.0) + margin
    ).zip_with(tight, second)
