"""Exact health factors along a price path, and proofs of what lies between two samples. Pure.

With V, W, D the value of collateral, the same weighted with thresholds in basis points, and the value of debt, in
base units, the contract's health factor is below one exactly where the score is negative:

    from revision 9    W - 10^4 D + D // (2 * 10^18)                    (half-up of wadDiv, then the floor by 10^4)
    up to revision 8   P - D + D // (2 * 10^18),   P = percentMul(V, W // V), the average floored to a basis point

Prices are straight lines but for a known error (``risk.affine``), so a sum of values anywhere between two samples is
at least the smaller of the two less the noise of its legs. Where two sides move, the second bound takes each side at
its worse end; it is exact where nothing moves in between.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import polars as pl

from scanner.exact import mul_div_down, mul_div_up, to_float
from scanner.protocols.aave_v3.amounts import leg_amounts
from scanner.protocols.aave_v3.detail import AaveDetail, emode_price_key
from scanner.protocols.aave_v3.probe_legs import Group, moving_legs
from scanner.risk.affine import linearity
from scanner.risk.rules import Answers, Positions, PricePath
from scanner.risk.triggers import upper_limit
from scanner.units import BPS, WAD

__all__ = ["AaveProbe", "make_probe"]

_RISING_ZERO: Final = 1  # bits of ``zeros``: a rising, a falling price is zero and the contract reverts
_FALLING_ZERO: Final = 2


def _constant(value: int) -> pl.Series:
    return pl.Series([value], dtype=pl.Int128)


_BPS: Final = _constant(BPS)
_ZERO: Final = _constant(0)
_ONE: Final = _constant(1)
_HALF_BPS: Final = _constant(BPS // 2)
_TWO_WAD: Final = _constant(2 * WAD)
_HALF_UP_LOSS: Final = _constant(4999)  # 10^4 * percentMul(V, a) >= V * a - 4999


def make_probe(
    detail: AaveDetail, timestamp: int, positions: Positions, path: PricePath, answers: Answers
) -> AaveProbe:
    """Prepare exact health along a path, up to the largest value that triggers are sought at."""
    return AaveProbe(positions, detail, timestamp, path, answers, upper_limit(path))


class AaveProbe:
    """Positions of one market along one path; see ``risk.rules.HealthProbe``.

    Samples have V, W, D, the parts of them that fall when the moving integer rises (V-, W-, D-, only where there are
    any) and zeros. ``limit`` is the largest value that will be asked for; ``legs`` the answer of ``leg_amounts`` where
    the caller has it.
    """

    def __init__(
        self,
        positions: Positions,
        detail: AaveDetail,
        timestamp: int,
        path: PricePath,
        answers: Answers,
        limit: int,
        legs: pl.DataFrame | None = None,
    ) -> None:
        shape = linearity(path, limit)
        legs = leg_amounts(positions, detail, timestamp) if legs is None else legs
        legs = legs.filter(~pl.col("row").is_in(_mode_unpriced(positions, detail, path, answers).implode()))
        self._path, self._averaged, self._breaks = path, not detail.exact_balances, shape.breaks
        self._legs = moving_legs(
            legs, positions.accounts.height, path, answers, limit, shape.errors, detail.exact_balances
        )
        self._falls = any(not group.rising for group in self._legs.groups)

    @property
    def breaks(self) -> Sequence[int]:
        return self._breaks

    @property
    def unsolved(self) -> pl.Series:
        return self._legs.too_large

    def sample(self, row: pl.Series, moving: pl.Series) -> pl.DataFrame:
        """Value positions at values of the moving integer; positions without moving legs are all zeros."""
        sums = {
            "V": self._legs.value.gather(row),
            "W": self._legs.weighted.gather(row),
            "D": self._legs.debt.gather(row),
        }
        if self._falls:
            sums |= {f"{name}-": pl.zeros(row.len(), dtype=pl.Int128, eager=True) for name in ("V", "W", "D")}
        zeros = pl.zeros(row.len(), dtype=pl.UInt8, eager=True)
        for group in self._legs.groups:
            here = group.at.gather(row)
            found = here.is_not_null().arg_true()
            if found.len():
                zeros = self._add(group, here.gather(found), found, moving.gather(found), sums, zeros)
        return pl.DataFrame({**sums, "zeros": zeros})

    def _add(
        self,
        group: Group,
        legs: pl.Series,
        found: pl.Series,
        moving: pl.Series,
        sums: dict[str, pl.Series],
        zeros: pl.Series,
    ) -> pl.Series:
        """Add the values of a group's legs to the sums; gives the zeros with those of this price."""
        price = self._path.answer(group.key, moving)
        amount = group.amount.gather(legs)
        up = group.is_debt and not self._averaged
        value = (mul_div_up if up else mul_div_down)(amount, price, group.unit)
        parts = {"D": value} if group.is_debt else {"V": value, "W": value * group.threshold.gather(legs)}
        for name, part in parts.items():
            for column in (name,) if group.rising else (name, f"{name}-"):
                sums[column] = sums[column].scatter(found, sums[column].gather(found) + part)
        none = (price <= 0).arg_true()
        if not none.len():
            return zeros
        bit = pl.Series([_RISING_ZERO if group.rising else _FALLING_ZERO], dtype=pl.UInt8)
        at = found.gather(none)
        return zeros.scatter(at, zeros.gather(at) | bit)

    def liquidatable(self, sample: pl.DataFrame) -> pl.Series:
        """Say whether the contract's health factor is below one; it reverts where a price is zero."""
        return (self._score(sample["V"], sample["W"], sample["D"]) < 0) & (sample["zeros"] == 0)

    def may_break(self, row: pl.Series, low: pl.DataFrame, high: pl.DataFrame) -> pl.Series:
        """Say whether the health factor may be below one between two samples, given that no price bends there."""
        noise = self._legs.noise.gather(row)
        value, weighted, debt = (_worse(name, low, high) for name in ("V", "W", "D"))
        if self._averaged:
            average = self._least_average(row, low, high, noise, weighted)
            proven = (_percent_mul(value, average) - debt + debt // _TWO_WAD >= 0) | _above(
                low["V"] * average - low["D"] * _BPS, high["V"] * average - high["D"] * _BPS, noise + _HALF_UP_LOSS
            )
            proven |= _above(
                low["W"] - low["V"] - low["D"] * _BPS, high["W"] - high["V"] - high["D"] * _BPS, noise + _HALF_UP_LOSS
            )
        else:
            proven = (self._score(value, weighted, debt) >= 0) | _above(
                self._score(low["V"], low["W"], low["D"]), self._score(high["V"], high["W"], high["D"]), noise
            )
        dead = (high["zeros"] & _RISING_ZERO != 0) | (low["zeros"] & _FALLING_ZERO != 0)
        return ~(proven | dead)

    def guesses(
        self, row: pl.Series, near: pl.DataFrame, far: pl.DataFrame, width: pl.Series
    ) -> tuple[pl.Series, pl.Series]:
        """Guess the roots of the lines that bound the score; on floored averages also where the average steps."""
        noise = to_float(self._legs.noise.gather(row)).fill_null(0.0)
        if not self._averaged:
            here, there = (to_float(self._score(s["V"], s["W"], s["D"])) for s in (near, far))
            return _around(here, here, there, there, width, noise)
        averages = [_average(s["V"], s["W"]) for s in (near, far)]
        flat = averages[0] == averages[1]
        safe, hurt = [], []
        for sample, average in zip((near, far), averages, strict=True):
            held, debt = sample["V"] * average, sample["D"] * _BPS
            safe.append(to_float(held.zip_with(flat, sample["W"] - sample["V"]) - debt))
            hurt.append(to_float(held.zip_with(flat, sample["W"]) - debt))
        first, second = _around(safe[0], hurt[0], safe[1], hurt[1], width, noise)
        inside = ~flat & (safe[0] < 4.0 * noise + 10.0 * BPS)
        higher = averages[0].zip_with(averages[0] > averages[1], averages[1])
        steps = [to_float(s["W"] - higher * s["V"]) for s in (near, far)]
        step = width * (steps[0].abs() / (steps[0] - steps[1]).abs())
        margin = width / 1024.0 + 2.0
        step = step.set(steps[0] == steps[1], None)
        return (step - margin).zip_with(inside, first), (step + margin).zip_with(inside, second)

    def _score(self, value: pl.Series, weighted: pl.Series, debt: pl.Series) -> pl.Series:
        if not self._averaged:
            return weighted - debt * _BPS + debt // _TWO_WAD
        return _percent_mul(value, _average(value, weighted)) - debt + debt // _TWO_WAD

    def _least_average(
        self, row: pl.Series, low: pl.DataFrame, high: pl.DataFrame, noise: pl.Series, weighted: pl.Series
    ) -> pl.Series:
        """Give a lower bound of the floored average threshold between two samples.

        At least the smaller of both ends where all that moves has one threshold; else what two lines W - a V, or the
        least W over the most V, prove.
        """
        ends = [_average(s["V"], s["W"]) for s in (low, high)]
        lines = [_average(s["V"], s["W"] - noise) for s in (low, high)]
        most = high["V"]
        if self._falls:
            most = high["V"] - high["V-"] + low["V-"]
        box = _average(most, weighted)
        line = _least(*lines).fill_null(0)
        proven = box.zip_with(box > line, line)
        return _least(*ends).zip_with(self._legs.one_way.gather(row), proven)


def _mode_unpriced(positions: Positions, detail: AaveDetail, path: PricePath, answers: Answers) -> pl.Series:
    """List the rows whose e-mode has an own price that reverts: the contract asks for it before it looks at legs."""
    priced = {*answers.market, *path.reserves}
    modes = [c for c, mode in detail.emodes.items() if mode.price_source and emode_price_key(c) not in priced]
    if not modes or not detail.legacy_emode:
        return positions.accounts["row"].clear()
    return positions.accounts.filter(pl.col("emode_category").is_in(modes))["row"]


def _worse(name: str, low: pl.DataFrame, high: pl.DataFrame) -> pl.Series:
    """Give the least collateral or the most debt between two samples, each price at its own end."""
    rising, falling = (high, low) if name == "D" else (low, high)
    part = f"{name}-"
    return rising[name] - rising[part] + falling[part] if part in rising.columns else rising[name]


def _average(value: pl.Series, weighted: pl.Series) -> pl.Series:
    """Give max(W, 0) // V, 0 where V is 0."""
    some = value.zip_with(value > 0, _ONE)
    return weighted.zip_with((value > 0) & (weighted > 0), _ZERO) // some


def _percent_mul(value: pl.Series, bps: pl.Series) -> pl.Series:
    return (value * bps + _HALF_BPS) // _BPS


def _least(a: pl.Series, b: pl.Series) -> pl.Series:
    return a.zip_with(a < b, b)


def _above(low: pl.Series, high: pl.Series, noise: pl.Series) -> pl.Series:
    """Say whether a line between two samples stays at or above its noise; never where that is unknown."""
    return (_least(low, high) >= noise).fill_null(False)


def _root(near: pl.Series, far: pl.Series, width: pl.Series, level: pl.Series, margin: float) -> pl.Series:
    """Give the distance at which a line falls to a level, and a margin more; null where it does not."""
    distance = (near - level) * (width / (near - far)) + margin
    return distance.set((near <= level) | (far >= level), None)


def _around(
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
