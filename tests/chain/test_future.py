"""A scan for a later time against a scan when that time has come, and against the pool then."""

from __future__ import annotations

from pathlib import Path

import polars as pl
import pytest

import scanner
from scanner.devchain import DevMarket
from tests.chain.conftest import Rollback
from tests.chain.peers import options_of

pytestmark = pytest.mark.chain

DAYS = 200  # past the maturity of the principal token; ratios have grown to their caps; interest alone breaks some


def test_a_scan_for_later_is_what_a_scan_then_finds(market: DevMarket, rollback: Rollback, tmp_path: Path) -> None:
    rollback(market)
    options = options_of(market, tmp_path / "index.sqlite", verify="sample", extent="factors")
    before = scanner.scan(options, for_timestamp=f"+{DAYS}d")
    today = scanner.scan(options)
    market.advance(DAYS * 86_400)
    then = scanner.scan(options, verify="all")
    assert then.trustworthy
    assert then.snapshot.block_timestamp == today.snapshot.block_timestamp + DAYS * 86_400
    for name in ("liquidation_points", "seizures"):
        key = [
            "position",
            "factor",
            "direction",
            *(["debt_reserve", "collateral_reserve"] if name == "seizures" else []),
        ]
        found, wanted = (
            result.frames[name].drop("lower_ratio", "upper_ratio", strict=False).sort(key) for result in (before, then)
        )
        exact = [column for column, dtype in found.schema.items() if dtype != pl.Float64]
        assert found.select(exact).equals(wanted.select(exact)), name
    states = [
        result.frames["accounts"].select("position", "status", "blocked_by").sort("position")
        for result in (before, then)
    ]
    assert states[0].equals(states[1])
    came = set(before.frames["accounts"].filter(status="liquidatable")["position"]) - set(
        today.frames["accounts"].filter(status="liquidatable")["position"]
    )
    assert len(came) >= 5
    changed = [
        result.frames["liquidation_points"].filter(factor="ETH").select("position", "trigger_answer")
        for result in (before, today)
    ]
    assert not changed[0].equals(changed[1])
    # What was read is of the block: amounts and health factors do not move with the time asked for.
    exact = ["position", "collateral_raw", "debt_raw", "health_factor_wad"]
    assert before.frames["accounts"].select(exact).equals(today.frames["accounts"].select(exact))
