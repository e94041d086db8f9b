"""Exact health factors along a price path, and proofs of what lies between two samples. Pure.

With V, W, D the value of collateral, the same weighted with thresholds in basis points, and the value of debt, in
base units, the contract's health factor is below one exactly where the score is negative:

    from revision 9    W - 10^4 D + D // (2 * 10^18)                    (half-up of wadDiv, then the floor by 10^4)
    up to revision 8   P - D + D // (2 * 10^18),   P = percentMul(V, W // V), the average floored to a basis point

Prices are straight lines but for a known error (``risk.affine``), so a sum of values anywhere between two samples is
at least the smaller of the two less the noise of its legs. The second bound takes what rises and what falls with the
moving integer each at its worse end; it is exact where nothing moves in between.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

import polars as pl

from scanner.exact import run_sums, to_float
from scanner.protocols.aave_v3.detail import AaveDetail, emode_price_key
from scanner.protocols.aave_v3.probe_legs import Move, MovingLegs, value_of
from scanner.protocols.aave_v3.probe_lines import around
from scanner.risk.affine import linearity
from scanner.risk.rules import Answers, Positions, PricePath
from scanner.risk.triggers import upper_limit
from scanner.units import BPS, WAD

__all__ = ["AaveProbe"]

_RISING_ZERO: Final = 1  # bits of ``zeros``: a rising, a falling price is zero and the contract reverts
_FALLING_ZERO: Final = 2


def _constant(value: int) -> pl.Series:
    return pl.Series([value], dtype=pl.Int128)


_BPS: Final = _constant(BPS)
_ZERO: Final = _constant(0)
_ONE: Final = _constant(1)
_HALF_BPS: Final = _constant(BPS // 2)
_TWO_BPS: Final = _constant(2 * BPS)  # above the rounding of percentMul and that of the quotient of D, times 10^4
_TWO_WAD: Final = _constant(2 * WAD)
_HALF_UP_LOSS: Final = _constant(4999)  # 10^4 * percentMul(V, a) >= V * a - 4999


class AaveProbe:
    """Positions of one market along paths; see ``risk.rules.HealthProbe``.

    Samples have V, W, D, the parts of them that fall when the moving integer rises (V-, W-, D-, only where there are
    any) and zeros. ``legs`` is the answer of ``leg_amounts``, stable debt joined to variable debt.
    """

    def __init__(
        self,
        positions: Positions,
        detail: AaveDetail,
        legs: pl.DataFrame,
        paths: Sequence[PricePath],
        items: pl.DataFrame,
        answers: Answers,
    ) -> None:
        if not items.height:
            legs = legs.clear()
        self._averaged = not detail.exact_balances
        self._moves: list[Move] = []
        self._breaks: list[tuple[int, ...]] = [()] * len(paths)
        for index in items["path"].unique().sort():
            self._breaks[index] = self._add(index, paths[index])
        self._legs = MovingLegs(
            legs,
            items,
            self._moves,
            answers,
            debt_rounds_up=detail.exact_balances,
            void=_mode_unpriced(positions, detail, paths, items, answers),
        )
        self._falls = not all(move.rising for move in self._moves)

    def _add(self, index: int, path: PricePath) -> tuple[int, ...]:
        """Describe the prices of a path; gives its breaks."""
        limit = upper_limit(path)
        shape, ends = linearity(path, limit), pl.Series([1, limit], dtype=pl.Int128)
        for key in sorted(path.reserves):
            largest = max(path.answer(key, ends).to_list())
            self._moves.append(
                Move(index, key, path, key in shape.moving, path.increasing(key), largest, shape.errors.get(key))
            )
        return shape.breaks

    @property
    def breaks(self) -> Sequence[Sequence[int]]:
        return self._breaks

    @property
    def unsolved(self) -> pl.Series:
        return self._legs.too_large

    def sample(self, item: pl.Series, moving: pl.Series) -> pl.DataFrame:
        """Value items at values of the moving integer; items without moving legs have what stays."""
        legs = self._legs
        at, leg, ends = legs.of(item)
        is_debt, move = legs.is_debt.gather(leg), legs.move.gather(leg)
        price = self._prices(move, moving.gather(at))
        up = None if self._averaged else is_debt
        value = value_of(legs.amount.gather(leg), price, legs.unit.gather(leg), up)
        parts = {
            "V": _ZERO.zip_with(is_debt, value),
            "W": value * legs.threshold.gather(leg),
            "D": value.zip_with(is_debt, _ZERO),
        }
        fixed = {"V": legs.value, "W": legs.weighted, "D": legs.debt}
        sums = {
            name: fixed[name].gather(item) + total
            for name, total in zip(parts, run_sums(ends, *parts.values()), strict=True)
        }
        if self._falls:
            falling = pl.Series([not m.rising for m in self._moves], dtype=pl.Boolean).gather(move)
            down = run_sums(ends, *(part.zip_with(falling, _ZERO) for part in parts.values()))
            sums |= {f"{name}-": total for name, total in zip(parts, down, strict=True)}
        return pl.DataFrame({**sums, "zeros": self._zeros(item.len(), at, move, price)})

    def _prices(self, move: pl.Series, moving: pl.Series) -> pl.Series:
        """Give the oracle's answer of each leg."""
        bent = pl.Series([not m.is_moving for m in self._moves], dtype=pl.Boolean).gather(move).arg_true()
        if not bent.len():
            return moving
        frame = pl.DataFrame({"at": bent, "move": move.gather(bent), "moving": moving.gather(bent)})
        parts = frame.partition_by("move", as_dict=True, include_key=False)
        answers = [self._moves[m].along.answer(self._moves[m].key, part["moving"]) for (m,), part in parts.items()]
        return moving.clone().scatter(pl.concat([part["at"] for part in parts.values()]), pl.concat(answers))

    def _zeros(self, height: int, at: pl.Series, move: pl.Series, price: pl.Series) -> pl.Series:
        zeros = pl.zeros(height, dtype=pl.UInt8, eager=True)
        none = (price <= 0).arg_true()
        if not none.len():
            return zeros
        rising = pl.Series([m.rising for m in self._moves], dtype=pl.Boolean).gather(move.gather(none))
        for bit, here in ((_RISING_ZERO, rising), (_FALLING_ZERO, ~rising)):
            rows = at.gather(none).filter(here)
            zeros = zeros.scatter(rows, zeros.gather(rows) | pl.Series([bit], dtype=pl.UInt8))
        return zeros

    def liquidatable(self, sample: pl.DataFrame) -> pl.Series:
        """Say whether the contract's health factor is below one; it reverts where a price is zero."""
        return (self._score(sample) < 0) & (sample["zeros"] == 0)

    def may_break(self, item: pl.Series, near: pl.DataFrame, far: pl.DataFrame) -> pl.Series:
        """Say whether the health factor may be below one between two samples, given that no price bends there."""
        noise = self._legs.noise.gather(item)
        value, weighted, debt = _worst("V", near, far), _worst("W", near, far), _worst("D", near, far)
        if self._averaged:
            average, loss = self._least_average(item, near, far, noise, weighted), noise + _HALF_UP_LOSS
            proven = _percent_mul(value, average) - debt + debt // _TWO_WAD >= 0
            here, there = near["D"] * _BPS, far["D"] * _BPS
            proven |= _above(near["V"] * average - here, far["V"] * average - there, loss)
            proven |= _above(near["W"] - near["V"] - here, far["W"] - far["V"] - there, loss)
        else:
            proven = weighted - debt * _BPS + debt // _TWO_WAD >= 0
            proven |= _above(self._score(near), self._score(far), noise)
        # A price that is zero at the end where it is larger is zero all along, and then at both ends.
        return ~(proven | (near["zeros"] & far["zeros"] != 0))

    def may_hold(self, item: pl.Series, near: pl.DataFrame, far: pl.DataFrame) -> pl.Series:
        """Say whether the health factor may be one or more, or a price zero, between two samples without a bend.

        Noise goes both ways; a floored average is worth no more than the weighted collateral itself.
        """
        noise, loss = self._legs.noise.gather(item), _ZERO
        here, there = self._most_score(near), self._most_score(far)
        if self._averaged:
            loss = _TWO_BPS
        below = (_most(here, there) + noise + loss < 0).fill_null(False)
        debts = _bound("D", near, far, _least), _bound("D", near, far, _most)
        below |= _bound("W", near, far, _most) - debts[0] * _BPS + debts[1] // _TWO_WAD * _BPS + loss < 0
        return ~(below & (near["zeros"] == 0) & (far["zeros"] == 0))

    def guesses(
        self, item: pl.Series, near: pl.DataFrame, far: pl.DataFrame, width: pl.Series
    ) -> tuple[pl.Series, pl.Series]:
        """Guess the roots of the lines that bound the score; on floored averages also where the average steps."""
        noise = to_float(self._legs.noise.gather(item)).fill_null(0.0)
        if not self._averaged:
            here, there = to_float(self._score(near)), to_float(self._score(far))
            return around(here, here, there, there, width, noise)
        averages = [_average(s["V"], s["W"]) for s in (near, far)]
        flat = averages[0] == averages[1]
        safe, hurt = [], []
        for sample, average in zip((near, far), averages, strict=True):
            held, debt = sample["V"] * average, sample["D"] * _BPS
            safe.append(to_float(held.zip_with(flat, sample["W"] - sample["V"]) - debt))
            hurt.append(to_float(held.zip_with(flat, sample["W"]) - debt))
        first, second = around(safe[0], hurt[0], safe[1], hurt[1], width, noise)
        inside = ~flat & (safe[0] < 4.0 * noise + 10.0 * BPS)
        higher = averages[0].zip_with(averages[0] > averages[1], averages[1])
        steps = [to_float(s["W"] - higher * s["V"]) for s in (near, far)]
        step = width * (steps[0].abs() / (steps[0] - steps[1]).abs())
        margin = width / 1024.0 + 2.0
        step = step.set(steps[0] == steps[1], None)
        return (step - margin).zip_with(inside, first), (step + margin).zip_with(inside, second)

    def _score(self, sample: pl.DataFrame) -> pl.Series:
        value, weighted, debt = (sample[name] for name in ("V", "W", "D"))
        if not self._averaged:
            return weighted - debt * _BPS + debt // _TWO_WAD
        return _percent_mul(value, _average(value, weighted)) - debt + debt // _TWO_WAD

    def _most_score(self, sample: pl.DataFrame) -> pl.Series:
        """Give 10^4 times the score or more: without the floor of the average."""
        return sample["W"] - sample["D"] * _BPS + sample["D"] // _TWO_WAD * (_BPS if self._averaged else _ONE)

    def _least_average(
        self, item: pl.Series, near: pl.DataFrame, far: pl.DataFrame, noise: pl.Series, weighted: pl.Series
    ) -> pl.Series:
        """Give a lower bound of the floored average threshold between two samples.

        At least the smaller of both ends where all that moves has one threshold; else what two lines W - a V, or the
        least W over the most V, prove.
        """
        ends = [_average(s["V"], s["W"]) for s in (near, far)]
        lines = [_average(s["V"], s["W"] - noise) for s in (near, far)]
        box = _average(_bound("V", near, far, _most), weighted)
        line = _least(*lines).fill_null(0)
        proven = box.zip_with(box > line, line)
        return _least(*ends).zip_with(self._legs.one_way.gather(item), proven)


def _mode_unpriced(
    positions: Positions, detail: AaveDetail, paths: Sequence[PricePath], items: pl.DataFrame, answers: Answers
) -> pl.Series:
    """Mark items whose e-mode has an own price that reverts: the contract asks for it before it looks at legs."""
    void = pl.repeat(False, items.height, dtype=pl.Boolean, eager=True)
    modes = [c for c, mode in detail.emodes.items() if mode.price_source] if detail.legacy_emode else []
    dead = [c for c in modes if emode_price_key(c) not in answers.market]
    if dead:
        category = positions.accounts["emode_category"].gather(items["row"])
        for index, path in enumerate(paths):
            held = [c for c in dead if emode_price_key(c) not in path.reserves]
            void |= (items["path"] == index) & category.is_in(held)
    return void


def _bound(name: str, near: pl.DataFrame, far: pl.DataFrame, extreme: Callable[..., pl.Series]) -> pl.Series:
    """Bound a sum between two samples: its rising and its falling part are extreme at one of the ends each."""
    falling = f"{name}-"
    if falling not in near.columns:
        return extreme(near[name], far[name])
    return extreme(*(s[name] - s[falling] for s in (near, far))) + extreme(near[falling], far[falling])


def _worst(name: str, near: pl.DataFrame, far: pl.DataFrame) -> pl.Series:
    """Give the least collateral or the most debt between two samples."""
    return _bound(name, near, far, _most if name == "D" else _least)


def _average(value: pl.Series, weighted: pl.Series) -> pl.Series:
    """Give max(W, 0) // V, 0 where V is 0."""
    some = value.zip_with(value > 0, _ONE)
    return weighted.zip_with((value > 0) & (weighted > 0), _ZERO) // some


def _percent_mul(value: pl.Series, bps: pl.Series) -> pl.Series:
    return (value * bps + _HALF_BPS) // _BPS


def _least(a: pl.Series, b: pl.Series) -> pl.Series:
    return a.zip_with(a < b, b)


def _most(a: pl.Series, b: pl.Series) -> pl.Series:
    return a.zip_with(a > b, b)


def _above(low: pl.Series, high: pl.Series, noise: pl.Series) -> pl.Series:
    """Say whether a line between two samples stays at or above its noise; never where that is unknown."""
    return (_least(low, high) >= noise).fill_null(False)
