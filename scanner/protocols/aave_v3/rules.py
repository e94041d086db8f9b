"""Aave v3's arithmetic as risk asks for it. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Final

import polars as pl

from scanner.errors import ConfigError, suggest
from scanner.exact import ratio, to_raw
from scanner.protocols.aave_v3.amounts import leg_amounts
from scanner.protocols.aave_v3.detail import COLLATERAL, AaveDetail
from scanner.protocols.aave_v3.probe import AaveProbe
from scanner.protocols.aave_v3.seizures import seizures
from scanner.protocols.aave_v3.valuation import health_of, one_debt_per_reserve, valued
from scanner.risk.rules import Answers, Changes, HealthProbe, Positions, PricePath
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

    def with_changes(self, changes: Changes) -> AaveRules:
        """Give the rules of the market after a change; raises ConfigError for an unknown reserve or category."""
        thresholds, bonuses = changes.liquidation_threshold_bps, changes.liquidation_bonus_bps
        known = [reserve.key for reserve in self._detail.reserves]
        for key in (*thresholds, *bonuses):
            if key not in known:
                raise ConfigError(f"no reserve {key!r} in this market; {suggest(key, known)}")
        for category in changes.emode_threshold_bps:
            if category not in self._detail.emodes:
                raise ConfigError(f"no e-mode category {category} in this market")
        reserves = tuple(
            replace(
                reserve,
                threshold_bps=thresholds.get(reserve.key, reserve.threshold_bps),
                bonus_bps=bonuses.get(reserve.key, reserve.bonus_bps),
            )
            for reserve in self._detail.reserves
        )
        emodes = {
            category: replace(mode, threshold_bps=changes.emode_threshold_bps.get(category, mode.threshold_bps))
            for category, mode in self._detail.emodes.items()
        }
        timestamp = self._timestamp if changes.timestamp is None else changes.timestamp
        return AaveRules(replace(self._detail, reserves=reserves, emodes=emodes), timestamp)
