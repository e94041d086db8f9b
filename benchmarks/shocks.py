"""A hundred shocks of one factor on 100,000 accounts: who becomes liquidatable, in closed form and exactly."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from benchmarks.synthetic import tiled
from benchmarks.timing import Times, timed
from scanner.protocols.interface import MarketRead
from scanner.risk.exposures import members
from scanner.risk.rules import Answers
from scanner.risk.shocks import NewlyLiquidatable, answers_on, closed_form, newly_liquidatable

__all__ = ["ShockFigures", "measure_shocks"]

_SHOCKS: Final = 100  # -0.5 % to -50 %, half a percent apart
_PER_MILLE: Final = 1000
_COMPARED: Final = 10  # shocks of which every account is valued again, in full and untimed


@dataclass(frozen=True)
class ShockFigures:
    """Times over one set of positions, from what was read to the accounts of each shock."""

    accounts: int
    shocks: int
    closed: Times  # health and legs too
    exact: Times  # health too
    broken: int  # accounts that break at the largest shock


def measure_shocks(read: MarketRead, factor: str, accounts: int, runs: int) -> ShockFigures:
    """Time the shocks on ``accounts`` accounts made of those of a market; RuntimeError where exact is not exact."""
    positions, rules, market = tiled(read.positions, accounts), read.rules, read.market
    path, answers = read.graph.factor_path(factor, market.timestamp), Answers(market.answers)
    kept = [_PER_MILLE - 5 * step for step in range(1, _SHOCKS + 1)]
    moved = members(read.graph, market.timestamp, [factor])[factor]

    def closed() -> None:
        now = Answers(market.answers)  # a new one: rules keep what they computed last
        health, legs = rules.health(positions, now), rules.legs(positions, now)
        closed_form(legs, health, moved, market.base_unit, [share / _PER_MILLE for share in kept])

    def exact() -> NewlyLiquidatable:
        shocks = [path.start * share // _PER_MILLE for share in kept]
        return newly_liquidatable(rules, positions, Answers(market.answers), path, shocks)

    closed_times, _ = timed(closed, runs, warm=1)
    exact_times, found = timed(exact, runs, warm=1)
    sound = ~rules.health(positions, answers)["liquidatable"].fill_null(value=True)
    for shock in found.shocks[:: _SHOCKS // _COMPARED]:
        hurt = rules.health(positions, answers_on(path, answers, shock))["liquidatable"].fill_null(value=False)
        if found.rows(shock).to_list() != (hurt & sound).arg_true().to_list():
            raise RuntimeError(f"the accounts that break at {shock} are not those of their health factors")
    return ShockFigures(accounts, len(found.shocks), closed_times, exact_times, int(found.counts()[0]))
