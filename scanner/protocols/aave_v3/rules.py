"""Aave v3's arithmetic as risk asks for it. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

import polars as pl

from scanner.exact import ratio, to_raw
from scanner.protocols.aave_v3.amounts import leg_amounts
from scanner.protocols.aave_v3.configurator import configured
from scanner.protocols.aave_v3.detail import COLLATERAL, AaveDetail
from scanner.protocols.aave_v3.probe import AaveProbe
from scanner.protocols.aave_v3.quotes import quotes
from scanner.protocols.aave_v3.seizures import seizures
from scanner.protocols.aave_v3.tables import with_terms
from scanner.protocols.aave_v3.valuation import health_of, one_debt_per_reserve, valued
from scanner.risk.rules import Answers, Changes, HealthProbe, Positions, PricePath, Terms
from scanner.units import BPS

__all__ = ["AaveRules"]

_SIDES: Final = pl.Series(["collateral", "debt", "stable_debt"])  # by COLLATERAL, DEBT, STABLE_DEBT


class AaveRules:
    """Rules of one market at one timestamp; ``risk.rules.Rules`` says what each method gives."""

    def __init__(self, detail: AaveDetail, timestamp: int) -> None:
        self._detail = detail
        self._timestamp = timestamp
        self._last_amounts: tuple[Positions, pl.DataFrame] | None = None
        self._last_valued: tuple[Positions, Answers, pl.DataFrame] | None = None

    @property
    def timestamp(self) -> int:
        return self._timestamp

    def _amounts(self, positions: Positions) -> pl.DataFrame:
        """Give ``leg_amounts``, kept for the positions asked for last."""
        if self._last_amounts is None or self._last_amounts[0] is not positions:
            self._last_amounts = (positions, leg_amounts(positions, self._detail, self._timestamp))
        return self._last_amounts[1]

    def _valued(self, positions: Positions, answers: Answers) -> pl.DataFrame:
        """Give the legs with their values, kept for what was asked for last."""
        last = self._last_valued
        if last is None or last[0] is not positions or last[1] is not answers:
            last = (positions, answers, valued(self._amounts(positions), self._detail, answers))
            self._last_valued = last
        return last[2]

    def health(self, positions: Positions, answers: Answers) -> pl.DataFrame:
        """Value positions exactly; formulas in ``valuation``."""
        return health_of(self._valued(positions, answers), positions, self._detail, answers)

    def legs(self, positions: Positions, answers: Answers) -> pl.DataFrame:
        """Value each leg that is not empty; collateral that the revision does not count has threshold 0."""
        legs = self._valued(positions, answers)
        if legs["scaled"].min() == 0:
            legs = legs.filter(pl.col("scaled") > 0)
        is_collateral = pl.col("side") == COLLATERAL
        threshold = ratio(legs["threshold_bps"] * legs["counts"], BPS)
        bonus = ratio((legs["bonus_bps"] - BPS).clip(lower_bound=0), BPS)
        return legs.select(
            "row",
            "reserve",
            "price_key",
            _SIDES.gather(legs["side"]).alias("side"),
            to_raw(legs["scaled"]).alias("scaled_raw"),
            to_raw(legs["amount"]).alias("amount_raw"),
            to_raw(legs["value"]).alias("value_raw"),
            pl.when(is_collateral).then(threshold).alias("liquidation_threshold"),
            pl.when(is_collateral).then(bonus).alias("liquidation_bonus"),
        )

    def probe(
        self, positions: Positions, paths: Sequence[PricePath], items: pl.DataFrame, answers: Answers
    ) -> HealthProbe:
        """Prepare exact health of items along price paths."""
        legs = one_debt_per_reserve(self._amounts(positions))
        return AaveProbe(positions, self._detail, legs, paths, items, answers)

    def seizures(self, positions: Positions, answers: Answers) -> pl.DataFrame:
        """List what the contract would move for every pair of liquidatable positions."""
        legs, health = self._valued(positions, answers), self.health(positions, answers)
        return seizures(self._detail, self._timestamp, legs, answers, health)

    def quotes(self, positions: Positions, answers: Answers) -> pl.DataFrame:
        """Quote every pair of liquidatable positions for execution at this timestamp."""
        legs, health = self._valued(positions, answers), self.health(positions, answers)
        return quotes(self._detail, self._timestamp, positions, legs, answers, health)

    def with_changes(self, changes: Changes) -> AaveRules:
        """Give the rules of the market after a change; ``configurator`` says what raises ConfigError."""
        timestamp = self._timestamp if changes.timestamp is None else changes.timestamp
        return AaveRules(configured(self._detail, changes), timestamp)

    @property
    def detail(self) -> AaveDetail:
        return self._detail

    def reserve_terms(self) -> Mapping[str, Terms]:
        return {r.key: Terms(r.threshold_bps, r.bonus_bps, r.symbol) for r in self._detail.reserves}

    def emode_terms(self) -> Mapping[int, Terms]:
        return {mode.id: Terms(mode.threshold_bps, mode.bonus_bps, mode.label) for mode in self._detail.emodes.values()}

    def described(self, reserves: pl.DataFrame) -> pl.DataFrame:
        """Put thresholds, bonuses, flags and indexes at the time of these rules into a frame RESERVES."""
        return with_terms(reserves, self._detail, self._timestamp)
