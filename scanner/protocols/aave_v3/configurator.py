"""What the PoolConfigurator makes of a change, and what it refuses. Pure.

Sources: ``configureReserveAsCollateral`` and ``setEModeCategory`` of PoolConfigurator, 3.0.x and 3.6 alike but where
said. A change is judged as a whole: reserves first, then categories. An LTV above the new threshold is lowered to it in
the same call, as the PoolConfigurator demands; no health factor depends on it.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from scanner.errors import ConfigError, suggest
from scanner.protocols.aave_v3.detail import AaveDetail, AaveReserve, EMode
from scanner.risk.rules import Changes
from scanner.units import BPS, mul_div_half_up

__all__ = ["configured"]

_MOST: Final = 2**16 - 1  # both fields have 16 bits


def configured(detail: AaveDetail, changes: Changes) -> AaveDetail:
    """Give a market after a change of its parameters.

    Raises ConfigError for an unknown reserve or category, and for what the PoolConfigurator refuses.
    """
    thresholds, bonuses = changes.liquidation_threshold_bps, changes.liquidation_bonus_bps
    known = [reserve.key for reserve in detail.reserves]
    for key in (*thresholds, *bonuses):
        if key not in known:
            raise ConfigError(f"no reserve {key!r} in this market; {suggest(key, known)}")
    reserves = tuple(
        _reserve(reserve, thresholds.get(reserve.key), bonuses.get(reserve.key)) for reserve in detail.reserves
    )
    modes = dict(detail.emodes)
    for category in (*changes.emode_threshold_bps, *changes.emode_bonus_bps):
        if category not in detail.emodes:
            there = ", ".join(map(str, detail.emodes)) or "none"
            raise ConfigError(f"no e-mode category {category} in this market; known: {there}")
    detail = replace(detail, reserves=reserves)
    for category in {**changes.emode_threshold_bps, **changes.emode_bonus_bps}:
        mode = modes[category]
        modes[category] = _mode(
            detail,
            replace(
                mode,
                threshold_bps=changes.emode_threshold_bps.get(category, mode.threshold_bps),
                bonus_bps=changes.emode_bonus_bps.get(category, mode.bonus_bps),
            ),
        )
    return replace(detail, emodes=modes)


def _reserve(reserve: AaveReserve, threshold: int | None, bonus: int | None) -> AaveReserve:
    if threshold is None and bonus is None:
        return reserve
    threshold = reserve.threshold_bps if threshold is None else threshold
    bonus = reserve.bonus_bps if bonus is None else bonus
    name = f"reserve {reserve.symbol!r}"
    if threshold == 0:
        if reserve.threshold_bps:
            raise _refused(name, "a liquidation threshold of 0 while anybody supplies it")
        raise _refused(name, "a liquidation bonus without a liquidation threshold: set both")
    _check_pair(name, threshold, bonus)
    return replace(reserve, ltv_bps=min(reserve.ltv_bps, threshold), threshold_bps=threshold, bonus_bps=bonus)


def _mode(detail: AaveDetail, mode: EMode) -> EMode:
    name = f"e-mode {mode.id}"
    if mode.threshold_bps == 0 or mode.ltv_bps == 0:
        raise _refused(name, "a category whose liquidation threshold or LTV is 0")
    _check_pair(name, mode.threshold_bps, mode.bonus_bps)
    if detail.legacy_emode:
        for reserve in detail.reserves:
            if reserve.emode_category == mode.id and mode.threshold_bps <= reserve.threshold_bps:
                raise _refused(
                    name,
                    f"a liquidation threshold of {_percent(mode.threshold_bps)} that is not above the"
                    f" {_percent(reserve.threshold_bps)} of its reserve {reserve.symbol!r} (up to v3.1)",
                )
    return replace(mode, ltv_bps=min(mode.ltv_bps, mode.threshold_bps))


def _check_pair(name: str, threshold: int, bonus: int) -> None:
    if threshold < 0 or threshold > BPS:
        raise _refused(name, f"a liquidation threshold of {_percent(threshold)}: give more than 0 % and up to 100 %")
    if bonus <= BPS:
        raise _refused(name, f"a liquidation bonus of {_percent(bonus - BPS)}: it has to be above 0 %")
    if bonus > _MOST:
        raise _refused(name, f"a liquidation bonus above {_percent(_MOST - BPS)}")
    if mul_div_half_up(threshold, bonus, BPS) > BPS:
        raise _refused(
            name,
            f"a liquidation threshold of {_percent(threshold)} with a bonus of {_percent(bonus - BPS)}:"
            " threshold times (100 % + bonus) may not be above 100 %",
        )


def _percent(bps: int) -> str:
    return f"{bps / 100:g} %"


def _refused(name: str, why: str) -> ConfigError:
    return ConfigError(f"{name}: the PoolConfigurator refuses {why}")
