"""Scenarios on an Aave 3.0 market: a file of its own, so that another process can run it."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.chaos.conftest import Worlds
from tests.chaos.judge import judge
from tests.chaos.scenarios import SMOKE, scenario

pytestmark = pytest.mark.chain


def test_sixty_scenarios(worlds: Worlds, record_property: Callable[[str, object], None]) -> None:
    judge((seed for seed in SMOKE if scenario(seed).revision == "3.0"), worlds("3.0"), record_property)
