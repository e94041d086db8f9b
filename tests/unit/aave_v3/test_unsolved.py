"""Positions without an exact trigger are listed with the reason, never lost."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import polars as pl
import pytest

from scanner.assess import Assessment, assess, prepare, select_factor
from scanner.options import ScanOptions
from scanner.protocols.interface import MarketRead
from scanner.reading import read_market
from scanner.risk import triggers
from scanner.sources import open_source
from scanner.targets import resolve_targets

RECORDING = Path(__file__).parents[3] / "scanner/demo/aave-v3.6.rec"


@pytest.fixture(scope="module")
def read() -> MarketRead:
    with open_source([], chain=None, block="latest", record=None, replay=RECORDING) as source:
        roots = [target["root"] for target in source.notes["targets"]]
        (target,) = resolve_targets(source.reader, roots, None, None)
        return read_market(source, target, ScanOptions())


def judged(read: MarketRead) -> Assessment:
    prepared = prepare(read, read.market.timestamp, ScanOptions())
    return assess(prepared, select_factor(None, [prepared]), "accounts")


def unsolved(found: Assessment) -> list[tuple[str, str]]:
    skipped = found.frames["skipped"].filter(pl.col("what") == "trigger")
    assert skipped["reserve"].null_count() == skipped.height
    return skipped.select("position", "reason").rows()


def test_numbers_too_large_for_a_trigger_are_skipped_with_the_reason(read: MarketRead) -> None:
    before = judged(read)
    points = before.frames["liquidation_points"]
    name = points.filter((pl.col("factor") == "ETH") & (pl.col("direction") == "down"))["position"][0]
    row = read.positions.accounts.filter(pl.col("position") == name)["row"][0]
    times = 2**95 // int(before.health["collateral_raw"][row])
    scaled = pl.when(pl.col("row") == row).then(pl.col("scaled") * pl.lit(times, pl.Int128)).otherwise("scaled")
    huge = replace(read, positions=replace(read.positions, state=read.positions.state.with_columns(scaled)))

    found = judged(huge)

    assert unsolved(before) == []
    ((position, reason),) = unsolved(found)
    assert position == name
    assert reason.startswith("too large: no exact trigger on ETH")
    point = found.frames["liquidation_points"].filter((pl.col("position") == name) & (pl.col("factor") == "ETH"))
    assert point.select("direction", "trigger_answer").row(0) == ("down", None)
    assert any("1 account has no exact trigger on ETH" in warning for warning in found.warnings)
    others = pl.col("position") != name
    for frame in ("liquidation_points", "triggers", "seizures"):
        assert found.frames[frame].filter(others).equals(before.frames[frame].filter(others))


def test_a_search_that_is_given_up_says_so(read: MarketRead, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(triggers, "_MOST_ROUNDS", 3)
    reasons = {reason.split(":")[0] for _, reason in unsolved(judged(read))}
    assert reasons == {"gave up"}
