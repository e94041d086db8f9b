"""Aave v3's arithmetic as risk asks for it. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Final

import polars as pl

from scanner.errors import ConfigError, suggest
from scanner.exact import ratio, to_raw
from scanner.protocols.aave_v3.amounts import leg_amounts
from scanner.protocols.aave_v3.detail import COLLATERAL, DEBT, STABLE_DEBT, AaveDetail
from scanner.protocols.aave_v3.probe import AaveProbe
from scanner.protocols.aave_v3.seizures import seizures
from scanner.protocols.aave_v3.valuation import health_of, leg_values, one_debt_per_reserve
from scanner.risk.rules import Answers, Changes, HealthProbe, Positions, PricePath
from scanner.units import BPS

__all__ = ["AaveRules"]

_SIDES: Final = {COLLATERAL: "collateral", DEBT: "debt", STABLE_DEBT: "stable_debt"}


class AaveRules:
    """Rules of one market at one timestamp; ``risk.rules.Rules`` says what each method gives."""

    def __init__(self, detail: AaveDetail, timestamp: int) -> None:
        self._detail = detail
        self._timestamp = timestamp
        self._last: tuple[Positions, pl.DataFrame] | None = None

    @property
    def timestamp(self) -> int:
        return self._timestamp

    def _amounts(self, positions: Positions) -> pl.DataFrame:
        """Give ``leg_amounts``, kept for the positions asked for last."""
        if self._last is None or self._last[0] is not positions:
            self._last = (positions, leg_amounts(positions, self._detail, self._timestamp))
        return self._last[1]

    def health(self, positions: Positions, answers: Answers) -> pl.DataFrame:
        """Value positions exactly; formulas in ``valuation``."""
        legs = self._amounts(positions)
        return health_of(legs, positions, self._detail, answers)

    def legs(self, positions: Positions, answers: Answers) -> pl.DataFrame:
        """Value each leg that is not empty; collateral that the revision does not count has threshold 0."""
        legs = self._amounts(positions)
        legs = legs.with_columns(leg_values(legs, self._detail, answers)).filter(pl.col("scaled") > 0)
        is_collateral = pl.col("side") == COLLATERAL
        threshold = ratio(legs["threshold_bps"] * legs["counts"], BPS)
        bonus = ratio((legs["bonus_bps"] - BPS).clip(lower_bound=0), BPS)
        return legs.select(
            "row",
            "reserve",
            "price_key",
            pl.col("side").replace_strict(_SIDES, return_dtype=pl.String),
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
        return seizures(self._detail, self._timestamp, positions, answers, self.health(positions, answers))

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
