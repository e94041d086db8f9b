"""Many shocks at once against the full arithmetic of every account at every shock."""

from __future__ import annotations

import random
from functools import cache
from pathlib import Path

import polars as pl
import pytest

from benchmarks.synthetic import tiled
from scanner.options import ScanOptions
from scanner.pipeline import scan_read
from scanner.protocols.interface import MarketRead
from scanner.risk.exposures import members
from scanner.risk.pricing import FactorPath, Feed, FeedAnswer, Scale
from scanner.risk.rules import Answers, Positions
from scanner.risk.shocks import NewlyLiquidatable, answers_on, closed_form, newly_liquidatable, runs_of
from scanner.risk.triggers import solve_triggers
from tests.unit.risk import synthetic, test_triggers

ROOT = Path(__file__).parents[3]
RECORDINGS = {"3.6": ROOT / "scanner/demo/aave-v3.6.rec", "3.0": ROOT / "tests/recordings/aave-v3.0.rec"}


@cache
def market(kind: str) -> MarketRead:
    options = ScanOptions(replay=RECORDINGS[kind], verify="none", extent="points")
    return scan_read(options).reads[0]


def in_full(read: MarketRead, positions: Positions, factor: str, shock: int) -> list[int]:
    """Value every account at a shock, and give those that are liquidatable there only."""
    answers, path = Answers(read.market.answers), read.graph.factor_path(factor, read.market.timestamp)
    now = read.rules.health(positions, answers)["liquidatable"].fill_null(value=True)
    then = read.rules.health(positions, answers_on(path, answers, shock))["liquidatable"].fill_null(value=False)
    return list((then & ~now).arg_true())


def found(read: MarketRead, positions: Positions, factor: str, shocks: list[int]) -> NewlyLiquidatable:
    path = read.graph.factor_path(factor, read.market.timestamp)
    return newly_liquidatable(read.rules, positions, Answers(read.market.answers), path, shocks)


@pytest.mark.parametrize("kind", RECORDINGS)
@pytest.mark.parametrize("factor", ["ETH", "LINK"])
def test_many_shocks_are_what_every_account_gives_at_each(kind: str, factor: str) -> None:
    read = market(kind)
    start = read.graph.factor_path(factor, read.market.timestamp).start
    positions = tiled(read.positions, 3000)
    shocks = [start * share // 100 for share in (1, *range(40, 100, 3), 100, *range(101, 180, 9), 1500)]

    ours = found(read, positions, factor, shocks)

    counts = ours.counts()
    for index, shock in enumerate(ours.shocks):
        assert ours.rows(shock).to_list() == in_full(read, positions, factor, shock)
        assert counts[index] == ours.rows(shock).len()
    assert max(counts) > 20 if factor == "LINK" else max(counts) > 400


@pytest.mark.parametrize("kind", RECORDINGS)
def test_shocks_a_unit_apart_beside_triggers_see_every_flip(kind: str) -> None:
    read, factor = market(kind), "ETH"
    path, answers = read.graph.factor_path(factor, read.market.timestamp), Answers(read.market.answers)
    rows = pl.int_range(read.positions.accounts.height, dtype=pl.UInt32, eager=True)
    asked = pl.DataFrame({"path": 0, "row": rows, "direction": "down"})
    health = read.rules.health(read.positions, answers)
    sound = health["has_debt"] & ~health["unpriced"] & ~health["liquidatable"].fill_null(value=True)
    triggers = solve_triggers(read.rules, read.positions, [path], answers, asked.filter(sound))
    near = triggers["answer"].drop_nulls().unique().sort().gather_every(25)
    shocks = [answer + step for answer in near for step in (-2, -1, 0, 1) if answer + step > 0]

    ours = found(read, read.positions, factor, shocks)

    for shock in ours.shocks:
        assert ours.rows(shock).to_list() == in_full(read, read.positions, factor, shock)
    assert len(ours.shocks) > 30


@pytest.mark.parametrize("revision", [7, 8, 9, 10])
@pytest.mark.parametrize("step", [1, 37])
def test_accounts_that_flip_are_judged_at_every_value(revision: int, step: int) -> None:
    """Small numbers, where floors matter: averages that rise while prices fall, loops, caps, a price that is zero."""
    rng, worlds = random.Random(f"{revision}{step}"), test_triggers
    path, market = worlds.factor_path(worlds.START)
    accounts = [worlds.near_one(rng, worlds.random_account(rng, range(7)), market) for _ in range(40)]
    accounts += [worlds.near_one(rng, worlds.sawtooth(rng, [0]), market) for _ in range(10)]
    accounts += [worlds.near_one(rng, worlds.loop(rng, [rng.choice([0, 1])]), market) for _ in range(10)]
    shocks = range(1, 2 * worlds.START, step)

    runs = runs_of(synthetic.probe(accounts, revision, worlds.DECIMALS, path, market), shocks, len(accounts))

    every = pl.Series(range(shocks.stop), dtype=pl.Int128)
    table = {key: path.answer(key, every).to_list() for key in path.reserves}
    ours = [set[int]() for _ in accounts]
    for item, first, last in runs.iter_rows():
        ours[item] |= {shocks[index] for index in range(first, last + 1)}
    for account, hurt in zip(accounts, ours, strict=True):
        assert hurt == {
            x
            for x in shocks
            if synthetic.liquidatable(
                account,
                revision,
                worlds.DECIMALS,
                lambda i, x=x: table[str(i)][x] if str(i) in table else market[str(i)],
            )
        }


def test_an_account_whose_price_is_gone_is_not_liquidatable() -> None:
    feed = Feed("a", "A / USD", 2, 1500, None, "A")
    path = FactorPath("A", synthetic.TIME, (feed,), {"0": Scale(FeedAnswer("a"), 1, 60)}, {"a": 1500})
    account = [synthetic.Leg(0, 1000, 8000), synthetic.Leg(5, 100, None)]
    probe = synthetic.probe([account], 10, {0: 0, 5: 1}, path, {"0": 25, "5": 1000})

    runs = runs_of(probe, range(1, 1500), 1)

    hurt = sorted(x for _, first, last in runs.iter_rows() for x in range(first + 1, last + 2))
    assert hurt == list(range(60, 780))  # below 60 the price is zero and the contract reverts; from 780 it is 13


def test_totals_add_up_what_the_positions_of_each_shock_have() -> None:
    runs = pl.DataFrame(
        {"row": [0, 0, 2], "first": [0, 2, 1], "last": [0, 3, 3]},
        schema=dict.fromkeys(("row", "first", "last"), pl.UInt32),
    )
    ours = NewlyLiquidatable((10, 20, 30, 40), runs)

    assert ours.counts().to_list() == [1, 1, 2, 2]
    assert ours.totals(pl.Series([1.0, 5.0, 100.0])).to_list() == [1.0, 100.0, 101.0, 101.0]
    assert ours.rows(20).to_list() == [2]


def test_nothing_asked_or_nobody_sound_is_nothing() -> None:
    read = market("3.6")

    assert found(read, read.positions, "ETH", []).runs.is_empty()
    nobody = read.positions.pick(pl.Series([], dtype=pl.UInt32))
    assert found(read, nobody, "ETH", [1]).counts().to_list() == [0]


@pytest.mark.parametrize("kind", RECORDINGS)
def test_the_closed_form_is_near_the_exact_count(kind: str) -> None:
    read, factor = market(kind), "ETH"
    path, answers = read.graph.factor_path(factor, read.market.timestamp), Answers(read.market.answers)
    ratios = [0.9, 0.6, 0.75, 1.3, 1.1]
    health, legs = read.rules.health(read.positions, answers), read.rules.legs(read.positions, answers)
    moved = members(read.graph, read.market.timestamp, [factor])[factor]

    estimate = closed_form(legs, health, moved, read.market.base_unit, ratios)

    exact = found(read, read.positions, factor, [int(path.start * x) for x in ratios])
    assert estimate["ratio"].to_list() == ratios
    for ratio, count in estimate.select("ratio", "account_count").iter_rows():
        theirs = exact.rows(int(path.start * ratio)).len()
        assert abs(count - theirs) <= 3 + theirs // 50
    totals = dict(estimate.select("ratio", "debt_quote").iter_rows())
    assert totals[0.6] > totals[0.75] > totals[0.9] > 0
    assert totals[1.3] > totals[1.1] > 0
