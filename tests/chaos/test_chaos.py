"""Scenarios on an Aave 3.6 market: the right answer, or a non-zero exit that says why.

Those on a 3.0 market are in `test_chaos_v30`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

import pytest

from scanner.chain.failures import Kind
from scanner.devchain.market import KINDS
from scanner.devchain.market import Kind as Revision
from tests.chaos.caps import FewBlocks
from tests.chaos.conftest import Worlds
from tests.chaos.judge import judge
from tests.chaos.scenarios import COUNT, SMOKE, scenario
from tests.chaos.words import said

pytestmark = pytest.mark.chain

Record = Callable[[str, object], None]


def test_sixty_scenarios(worlds: Worlds, record_property: Record) -> None:
    judge((seed for seed in SMOKE if scenario(seed).revision == "3.6"), worlds("3.6"), record_property)


def log_caps(seed: int) -> list[FewBlocks]:
    return [fault for faults in scenario(seed).endpoints for fault in faults if isinstance(fault, FewBlocks)]


def test_the_sixty_have_every_fault() -> None:
    def faults(seeds: Iterable[int]) -> set[tuple[str, str]]:
        return {(scenario(seed).sort, name) for seed in seeds for name in scenario(seed).main}

    assert faults(SMOKE) == faults(range(COUNT))
    caps = {cap.seen.message for seed in range(COUNT) for cap in log_caps(seed)}
    assert caps == {seen.message for seen in said(Kind.RANGE_TOO_WIDE)}
    assert len(SMOKE) == 60


@pytest.mark.soak
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("kind", KINDS)
def test_all_scenarios(worlds: Worlds, record_property: Record, kind: Revision) -> None:
    judge((seed for seed in range(COUNT) if scenario(seed).revision == kind), worlds(kind), record_property)
