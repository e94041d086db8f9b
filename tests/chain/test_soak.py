"""Long runs of what other tests show once: other seeds, markets that have lived, more kills."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import pytest

from scanner.devchain import Anvil, DevMarket, act, deploy_market, populate
from scanner.devchain.market import KINDS, Kind
from scanner.devchain.toolchain import Toolchain
from tests.chain import test_index, test_parity, test_triggers
from tests.chain.conftest import BORROWERS
from tests.chain.loops import make_loops
from tests.chain.seen import look
from tests.property import test_risk

pytestmark = [pytest.mark.chain, pytest.mark.soak, pytest.mark.timeout(1800)]

FACTORS = ("ETH", "USDC", "BTC", "wstETH/ETH", "cbETH/ETH")
REVISIONS = (1, 7, 8, 9, 10)
EXAMPLES = 40

market = test_index.market  # the fixture


def inner(test: Any) -> Any:
    """Give the function below a hypothesis test, to be called with chosen values."""
    return test.hypothesis.inner_test


@pytest.mark.parametrize("seed", [2, 3])
@pytest.mark.parametrize("kind", KINDS)
def test_triggers_of_other_markets_that_have_lived(toolchain: Toolchain, kind: Kind, seed: int, tmp_path: Path) -> None:
    with Anvil(toolchain.anvil) as anvil:
        market = deploy_market(anvil, kind, seed, toolchain=toolchain)
        populate(market, BORROWERS)
        known = [member.address for member in market.members]
        known += [member.address for member in act(market, seed).newcomers]
        test_parity.check(test_parity.scan(market, tmp_path), market, known)

        seen = look(market, toolchain, tmp_path / "seen.sqlite", make_loops(market, test_triggers.LOOPS, seed))
        test_triggers.test_every_trigger_is_the_edge_of_health(seen)
        test_triggers.test_what_never_breaks_does_not(seen)
        test_triggers.test_the_first_of_many_crossings_is_found(seen)
        rng, everything = random.Random(seed), seen.triggers()
        for first in range(0, len(everything), 500):  # every trigger, not those of a sample
            part = everything[first : first + 500]
            test_triggers.assert_healthy(seen, {t: test_triggers.between(seen, t, 50, rng) for t in part})


@pytest.mark.parametrize("after", range(2, 26, 3))
def test_an_index_killed_anywhere_goes_on(
    market: DevMarket, tmp_path: Path, capfd: pytest.CaptureFixture[str], after: int
) -> None:
    test_index.test_a_killed_run_goes_on_where_it_was(market, tmp_path, capfd, after)


@pytest.mark.parametrize("factor", FACTORS)
@pytest.mark.parametrize("revision", REVISIONS)
def test_triggers_of_many_random_accounts(revision: int, factor: str) -> None:
    rng = random.Random(f"{revision} {factor}")
    for _ in range(EXAMPLES):
        seed = rng.randrange(2**32)
        inner(test_risk.test_an_account_breaks_at_its_trigger_and_not_a_unit_before)(revision, factor, seed)
        inner(test_risk.test_triggers_do_not_depend_on_who_else_is_solved)(revision, factor, seed)
