"""The reference's own search for triggers, against a walk over every price."""

from __future__ import annotations

import random

import pytest

from tests.reference import aave_v3 as ref

UNIT = 10**18


@pytest.mark.parametrize("revision", [1, 8, 9, 11])
@pytest.mark.parametrize(("moving", "stop"), [("0", 1), ("1", 3_000)])
def test_skipping_proven_intervals_finds_what_a_walk_finds(revision: int, moving: str, stop: int) -> None:
    rng = random.Random(f"{revision} {moving}")
    found = 0
    for _ in range(12):
        thresholds = [rng.randint(5_000, 9_500) for _ in range(3)]
        market = ref.Market(revision, {i: ref.Reserve(i, threshold=t) for i, t in enumerate(thresholds)})
        collateral = {0: rng.randrange(10 * UNIT), 2: rng.randrange(10 * UNIT)}
        power = sum(collateral[i] * thresholds[i] for i in collateral) // 10_000
        account = ref.Account(collateral, {1: power * rng.randint(40, 99) // 100 + 1})

        def prices_at(value: int) -> dict[str, int]:
            return {"0": 1_000, "1": 1_000, "2": 1_000, moving: value}

        walked = ref.scan_trigger(account, market, prices_at, 1_000, stop, 0)
        assert ref.first_trigger(account, market, prices_at, 1_000, stop, 0) == walked
        found += walked not in (None, 1_000)
    assert found >= 5
