"""Exposures, closed-form points, statuses."""

from __future__ import annotations

from datetime import UTC, datetime
from fractions import Fraction
from typing import Any

import polars as pl
import pytest

from scanner.frames import RAW
from scanner.risk.band_edges import Reference
from scanner.risk.exposures import exposures
from scanner.risk.points import located, points
from scanner.risk.status import NO_PAIR, statuses

LEGS = {
    "row": pl.UInt32,
    "price_key": pl.String,
    "side": pl.String,
    "value_raw": RAW,
    "liquidation_threshold": pl.Float64,
}
ETH, STAKED, USD = "0", "1", "2"


def legs(*rows: tuple[int, str, str, int | None, float | None]) -> pl.DataFrame:
    return pl.DataFrame(list(rows), schema=LEGS, orient="row")


def health(liquidatable: list[bool | None]) -> pl.DataFrame:
    return pl.DataFrame(
        {
            "row": range(len(liquidatable)),
            "liquidatable": liquidatable,
            "has_debt": [True] * len(liquidatable),
            "unpriced": [flag is None for flag in liquidatable],
        },
        schema={"row": pl.UInt32, "liquidatable": pl.Boolean, "has_debt": pl.Boolean, "unpriced": pl.Boolean},
    )


def test_a_leg_moves_with_every_factor_of_its_price() -> None:
    frame = legs(
        (0, ETH, "collateral", 1000, 0.8),
        (0, STAKED, "collateral", 500, 0.7),
        (0, USD, "debt", 600, None),
        (1, USD, "collateral", 900, 0.9),
        (1, ETH, "debt", 300, None),
        (1, STAKED, "stable_debt", 100, None),
    )
    moved = {"ETH": {ETH, STAKED}, "staked/ETH": {STAKED}, "other": {"9"}}
    assert exposures(frame, moved, 100).rows() == [
        (0, "ETH", 0.0, pytest.approx(11.5), 6.0, 0.0),
        (1, "ETH", pytest.approx(8.1), 0.0, 0.0, 4.0),
        (0, "staked/ETH", pytest.approx(8.0), pytest.approx(3.5), 6.0, 0.0),
        (1, "staked/ETH", pytest.approx(8.1), 0.0, 3.0, 1.0),
    ]
    assert exposures(frame, {}, 100).schema == exposures(frame, moved, 100).schema


def test_a_position_with_an_unpriced_leg_has_no_exposure() -> None:
    frame = legs((0, ETH, "collateral", 1000, 0.8), (0, USD, "debt", None, None), (1, ETH, "collateral", 10, 0.8))
    assert exposures(frame, {"ETH": {ETH}}, 1)["row"].to_list() == [1]


def solve(a: float, b: float, c: float, d: float, liquidatable: bool) -> dict[str, Any]:
    exposed = pl.DataFrame(
        [(0, "ETH", a, b, c, d)],
        schema={
            "row": pl.UInt32,
            "factor": pl.String,
            "outside_collateral": pl.Float64,
            "inside_collateral": pl.Float64,
            "outside_debt": pl.Float64,
            "inside_debt": pl.Float64,
        },
        orient="row",
    )
    return points(exposed, health([liquidatable])).row(0, named=True)


@pytest.mark.parametrize(
    ("a", "b", "c", "d", "now", "direction", "ratio", "recovery"),
    [
        (0, 80, 40, 0, False, "down", 0.5, None),
        (10, 80, 40, 10, False, "down", 30 / 70, None),
        (80, 0, 0, 40, False, "up", 2.0, None),
        (100, 10, 10, 40, False, "up", 3.0, None),
        (50, 80, 40, 0, False, "never", None, None),  # the rest carries the debt
        (0, 90, 0, 80, False, "never", None, None),  # a loop in one factor
        (50, 20, 40, 20, False, "never", None, None),  # hedged
        (0, 80, 100, 0, True, "now", None, 1.25),
        (80, 0, 0, 100, True, "now", None, 0.8),
        (0, 80, 0, 100, True, "now", None, None),  # no move heals a loop
        (10, 0, 20, 5, True, "now", None, None),  # not even a price of zero
        (0, 80, 80.0000000001, 0, False, "down", 1.0, None),  # rounding: healthy by the contract
    ],
)
def test_directions_ratios_and_recoveries(
    a: float, b: float, c: float, d: float, now: bool, direction: str, ratio: float | None, recovery: float | None
) -> None:
    row = solve(a, b, c, d, now)
    assert row["direction"] == direction
    assert row["lower_ratio"] == (None if ratio is None else pytest.approx(ratio))
    assert row["upper_ratio"] == row["lower_ratio"]
    assert row["recovery_ratio"] == (None if recovery is None else pytest.approx(recovery))


def test_exact_triggers_decide_direction_and_price() -> None:
    given = pl.DataFrame(
        {
            "row": [0, 1, 2, 3, 4],
            "factor": ["ETH"] * 5,
            "direction": ["down", "up", "never", "now", "down"],
            "lower_ratio": [0.5, 1.5, None, None, 0.25],
            "upper_ratio": [0.5, 1.5, None, None, 0.25],
            "recovery_ratio": [None, None, None, 1.1, None],
        },
        schema_overrides={"row": pl.UInt32},
    )
    crossings = pl.DataFrame(
        {
            "point": [0, 0, 1, 2, 2, 3, 4],
            "row": [0, 0, 1, 2, 2, 3, 4],
            "direction": ["down", "up", "never", "down", "never", "now", "down"],
            "answer": [501, 1700, None, 999, None, None, None],
            "solved": [True, True, True, True, False, True, False],
        },
        schema_overrides={"point": pl.UInt32, "row": pl.UInt32, "answer": pl.Int128},
    )
    rows = located(given, crossings, {"ETH": Reference(1000, Fraction(1, 100))}, 77).rows(named=True)
    # The first breaks both ways; the other way of the third was given up.
    assert [r["row"] for r in rows] == [0, 0, 1, 2, 3, 4]
    assert [r["direction"] for r in rows] == ["down", "up", "never", "down", "now", "down"]
    assert [r["trigger_answer"] for r in rows] == ["501", "1700", None, "999", None, None]
    prices = [5.01, 17.0, None, 9.99, None, 2.5]
    assert [r["price_usd"] for r in rows] == [None if p is None else pytest.approx(p) for p in prices]
    ratios = [0.5, 1.7, None, 0.999, None, 0.25]
    assert [r["lower_ratio"] for r in rows] == [None if x is None else pytest.approx(x) for x in ratios]
    assert [r["for_timestamp"] for r in rows] == [77, 77, None, 77, None, None]


def test_status_names_what_blocks_an_account() -> None:
    judged = health([False, True, True, True, None]).with_columns(
        pl.Series("has_debt", [False, True, True, True, False])
    )
    seizures = pl.DataFrame(
        {
            "row": [1, 1, 2, 2],
            "best": [False, True, False, True],
            "blocked_by": ["paused", None, "paused", "grace"],
            "blocked_until": [None, None, None, datetime(2026, 1, 2, tzinfo=UTC)],
        },
        schema_overrides={"row": pl.UInt32, "blocked_until": pl.Datetime("us", "UTC")},
    )
    found = statuses(judged, seizures)
    assert found["status"].to_list() == ["no_debt", "liquidatable", "blocked", "blocked", "unpriced"]
    assert found["blocked_by"].to_list() == [None, None, "grace", NO_PAIR, None]
    assert found["blocked_until"].to_list() == [None, None, datetime(2026, 1, 2, tzinfo=UTC), None, None]
