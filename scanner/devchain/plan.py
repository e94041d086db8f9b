"""Who borrows what on the local market: a pure, deterministic plan.

Values are in base units (eight decimals), health factors and ratios in basis points, all integers, so that a seed
gives the same accounts on every machine.
"""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import Final

from scanner.devchain.templates import TEMPLATES, WIDE, Template
from scanner.units import BPS

__all__ = ["BookEntry", "Op", "Planned", "Step", "plan", "totals"]

CLUSTER: Final = (1_786_00, 1_857_00)
"""Cents of ETH between which the whales are liquidated: well within $1,781.09 and $1,862.02."""

_USD: Final = 10**8
_SLACK: Final = 60  # basis points between an account's debt and the most that the pool lends
_LEAST_HEALTH: Final = 10_200


class Op(IntEnum):
    """A step of an account's making; the numbers are those of the factory contract."""

    EMODE = 0
    SUPPLY = 1
    BORROW = 2
    BORROW_STABLE = 3
    COLLATERAL_OFF = 4
    BORROW_DELEGATED = 5  # the factory borrows on the account's behalf
    BORROW_FLASH = 6  # the factory leaves a flash loan as the account's debt


@dataclass(frozen=True, slots=True)
class Step:
    """One step; ``reserve`` is an e-mode category where the operation sets one."""

    op: Op
    reserve: int
    amount: int = 0


@dataclass(frozen=True, slots=True)
class Planned:
    """An account to be made: its kind and its steps in order."""

    kind: str
    steps: tuple[Step, ...]


@dataclass(frozen=True, slots=True)
class BookEntry:
    """What the plan needs to know of a reserve."""

    id: int
    unit: int  # 10^decimals
    price: int
    ltv: int
    threshold: int
    emodes: Mapping[int, tuple[int, int]]  # category to (ltv, threshold) where the reserve is collateral in it


def plan(seed: int, count: int, book: Mapping[str, BookEntry], *, legacy: bool = False) -> list[Planned]:
    """Draw ``count`` accounts over the reserves of ``book``.

    Every kind appears at least once when ``count`` allows. ``legacy`` is a market with stable-rate debt and without
    e-mode-only collateral.
    """
    return _Planner(random.Random(seed), book).draw(count, legacy)


def totals(accounts: Sequence[Planned], size: int) -> tuple[list[int], list[int]]:
    """Sum what the accounts supply and borrow, by reserve id below ``size``."""
    supplied, borrowed = [0] * size, [0] * size
    for account in accounts:
        for step in account.steps:
            if step.op is Op.SUPPLY:
                supplied[step.reserve] += step.amount
            elif step.op not in (Op.EMODE, Op.COLLATERAL_OFF):
                borrowed[step.reserve] += step.amount
    return supplied, borrowed


class _Planner:
    def __init__(self, rng: random.Random, book: Mapping[str, BookEntry]) -> None:
        self.rng = rng
        self.book = book
        self.extras = [key for key in book if key[0] == "T" and key[1:].isdigit()]
        self.turn = 0

    def draw(self, count: int, legacy: bool) -> list[Planned]:
        templates = [t for t in TEMPLATES if t.kinds in ("both", "3.0" if legacy else "3.6")]
        if self.extras:
            templates += WIDE
        whale = next(t for t in templates if t.kind == "whale")
        chosen = [*templates, *[whale] * max(13, count // 100)][:count]
        common = [t for t in templates if t.weight]
        chosen += self.rng.choices(common, [t.weight for t in common], k=count - len(chosen))
        self.rng.shuffle(chosen)
        return [self.account(template) for template in chosen]

    def account(self, template: Template) -> Planned:
        collateral, debts = self._reserves(template)
        low, median, high, spread = template.size
        value = min(max(self.rng.lognormvariate(0, spread) * median, low), high)
        total = round(value * 100) * _USD // 100 + self.rng.randrange(10**6)
        values = self._split(total, len(collateral))
        counted = len(collateral) - template.switched_off
        steps = [Step(Op.EMODE, template.emode)] if template.emode else []
        steps += [self._step(Op.SUPPLY, key, part) for key, part in zip(collateral, values, strict=True)]
        if debts and template.debt_units:
            steps += [Step(Op(template.op), self.book[key].id, self.rng.randint(1, 9)) for key in debts]
        elif debts:
            owed = self._debt(template, list(zip(collateral, values, strict=True))[:counted])
            parts = self._split(owed, len(debts))
            steps += [self._step(Op(template.op), key, part) for key, part in zip(debts, parts, strict=True)]
        steps += [Step(Op.COLLATERAL_OFF, self.book[key].id) for key in collateral[counted:]]
        return Planned(template.kind, tuple(steps))

    def _reserves(self, template: Template) -> tuple[Sequence[str], Sequence[str]]:
        if template.kind == "spread":
            self.turn += 1
            count = len(self.extras)
            places = (self.turn % count, (self.turn * 5 + 1) % count, (self.turn * 7 + 3) % count)
            first, second, debt = (self.extras[place] for place in places)
            return (first, second) if first != second else (first,), (debt,)
        collateral = self.rng.choice(template.collateral)
        return collateral, collateral[:1] if template.same else self.rng.choice(template.debts)

    def _debt(self, template: Template, backing: Sequence[tuple[str, int]]) -> int:
        """Give the debt that puts the account at a drawn health factor, within what the pool lends."""
        terms = [self._terms(key, template.emode) for key, _ in backing]
        weighted = sum(value * threshold for (_, value), (_, threshold) in zip(backing, terms, strict=True))
        lendable = sum(value * ltv for (_, value), (ltv, _) in zip(backing, terms, strict=True))
        least = max(weighted * (BPS + _SLACK) // lendable, _LEAST_HEALTH, template.least_health)
        return weighted // max(self._health(template), least)

    def _health(self, template: Template) -> int:
        if template.kind == "whale":
            cents = round(self.rng.triangular(*CLUSTER))
            return self.book["WETH"].price // 10**6 * BPS // cents
        if self.rng.random() < 0.04:
            return self.rng.randint(3 * BPS, 20 * BPS)
        return _LEAST_HEALTH + min(round(self.rng.expovariate(1 / 4_500)), 19_800)

    def _terms(self, key: str, emode: int) -> tuple[int, int]:
        entry = self.book[key]
        return entry.emodes.get(emode, (entry.ltv, entry.threshold))

    def _split(self, total: int, count: int) -> list[int]:
        weights = [self.rng.randint(10, 100) for _ in range(count)]
        return [total * weight // sum(weights) for weight in weights]

    def _step(self, op: Op, key: str, value: int) -> Step:
        entry = self.book[key]
        return Step(op, entry.id, max(value * entry.unit // entry.price, 2))
