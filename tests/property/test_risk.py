"""What must hold for every market: triggers, bands and shocks agree with the rules to the unit."""

from __future__ import annotations

import random
from fractions import Fraction

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scanner.risk import triggers as trigger_search
from scanner.risk.band_edges import Reference, band_edges, parse_bands
from scanner.risk.bands import bands, in_bands
from scanner.risk.exposures import exposures, members
from scanner.risk.impacts import IMPACTS
from scanner.risk.points import points
from scanner.risk.pricing import OracleGraph
from scanner.risk.rules import Answers, Positions, PricePath, Rules
from scanner.risk.triggers import solve_triggers
from tests.property.market import TIME, graph, positions, random_legs, rules
from tests.reference.shocks import shock, shocked_answers

REVISIONS = st.sampled_from([1, 7, 8, 9, 10])
FACTORS = st.sampled_from(["ETH", "USDC", "BTC", "wstETH/ETH", "cbETH/ETH"])
SEEDS = st.integers(0, 2**32)


def triggers(judge: Rules, held: Positions, wiring: OracleGraph, factor: str) -> pl.DataFrame:
    """Give row, direction, answer of one factor the way the pipeline finds them."""
    today = Answers(wiring.answers_at({}, TIME))
    moved = members(wiring, TIME, [factor])
    exposed = exposures(judge.legs(held, today), moved, 10**8)
    at = points(exposed, judge.health(held, today))
    at = at.with_columns(path=pl.lit(0, pl.UInt32))
    found = solve_triggers(judge, held, [wiring.factor_path(factor, TIME)], today, at)
    return found.select("row", "direction", "answer", "solved")


def liquidatable(judge: Rules, held: Positions, wiring: OracleGraph, factor: str, answer: int) -> set[int]:
    found = judge.health(held, shocked_answers(wiring, factor, answer, TIME))
    return set(found.filter("liquidatable")["row"])


def impacts_of(found: pl.DataFrame) -> pl.DataFrame:
    """Let every triggered position seize as many dollars as its row, plus one."""
    values = found.filter(pl.col("answer").is_not_null()).with_columns(
        pl.lit(1, pl.Int64).alias("chain_id"),
        pl.lit("aave-v3").alias("protocol"),
        pl.lit("m").alias("market_id"),
        pl.col("row").cast(pl.String).alias("position"),
        (pl.col("row").cast(pl.Float64) + 1).alias("seizable_usd"),
        *(pl.lit(1.0).alias(c) for c in ("at_risk_usd", "beside_usd", "blocked_usd", "debt_usd")),
        *(pl.lit("x").alias(c) for c in ("asset", "debt", "size")),
    )
    return values.select(list(IMPACTS))


@settings(max_examples=24, deadline=None)
@given(revision=REVISIONS, factor=FACTORS, seed=SEEDS)
def test_an_account_breaks_at_its_trigger_and_not_a_unit_before(revision: int, factor: str, seed: int) -> None:
    rng, wiring, judge = random.Random(seed), graph(), rules(revision)
    held = positions([random_legs(rng) for _ in range(12)])
    found = triggers(judge, held, wiring, factor)
    assert found["solved"].all()
    for row, direction, answer, _ in found.iter_rows():
        if answer is None:
            assert direction in ("now", "never")
            continue
        assert row in liquidatable(judge, held, wiring, factor, answer)
        before = answer + 1 if direction == "down" else answer - 1
        assert row not in liquidatable(judge, held, wiring, factor, before)


@settings(max_examples=15, deadline=None)
@given(revision=REVISIONS, factor=FACTORS, seed=SEEDS, text=st.sampled_from(["1%", "7%", "2.5%"]))
def test_the_cumulative_at_an_edge_is_what_a_shock_to_it_breaks(
    revision: int, factor: str, seed: int, text: str
) -> None:
    rng, wiring, judge = random.Random(seed), graph(), rules(revision)
    held = positions([random_legs(rng) for _ in range(15)])
    found = triggers(judge, held, wiring, factor)
    answers = {row: (direction, answer) for row, direction, answer, _ in found.iter_rows() if answer is not None}
    path = wiring.factor_path(factor, TIME)
    references = {"m": Reference(path.start, Fraction(1, 10 ** path.feeds[0].decimals))}
    spec, rows = parse_bands(text), impacts_of(found)
    table, placed = bands(factor, rows, spec, references), in_bands(rows, spec, references)
    for direction in ("down", "up"):
        edges = band_edges(spec, references["m"], direction)
        for band in rng.sample(range(1, len(edges.answers)), 4):
            edge = edges.limits()[band]
            within = {
                int(p) for p in placed.filter((pl.col("direction") == direction) & (pl.col("band") <= band))["position"]
            }
            row = table.filter((pl.col("direction") == direction) & (pl.col("band") == band)).row(0, named=True)
            assert row["cumulative_account_count"] == len(within)
            assert row["cumulative_seizable_usd"] == sum(r + 1 for r in within)
            shocked = set(shock(judge, held, wiring, factor, edge))
            assert shocked <= within
            # Who broke on the way and is healthy again at the edge crosses one more than once.
            for healed in within - shocked:
                assert answers[healed][1] != edge
                assert healed in liquidatable(judge, held, wiring, factor, answers[healed][1])


@settings(max_examples=25, deadline=None)
@given(factor=FACTORS, seed=SEEDS, text=st.sampled_from(["1%", "0.5%", "25usd", "0.01usd,99999", "1600,1700,1800"]))
def test_bands_keep_every_dollar(factor: str, seed: int, text: str) -> None:
    rng = random.Random(seed)
    start = 210_012_345_678
    found = pl.DataFrame(
        [
            (n, *rng.choice([("down", rng.randrange(1, start)), ("up", rng.randrange(start + 1, 5 * start))]))
            for n in range(80)
        ],
        schema={"row": pl.UInt32, "direction": pl.String, "answer": pl.Int128},
        orient="row",
    )
    rows = impacts_of(found)
    spec = parse_bands(text.replace("0.01usd,", "0.01,"))
    table = bands(factor, rows, spec, {"m": Reference(start, Fraction(1, 10**8))})
    assert table["seizable_collateral_usd"].sum() == rows["seizable_usd"].sum()
    assert table["account_count"].sum() == rows.height
    last = table.group_by("direction").agg(pl.col("cumulative_seizable_usd").last())
    assert last["cumulative_seizable_usd"].sum() == rows["seizable_usd"].sum()


@settings(max_examples=25, deadline=None)
@given(revision=REVISIONS, seed=SEEDS)
def test_more_debt_never_raises_a_health_factor(revision: int, seed: int) -> None:
    rng, judge = random.Random(seed), rules(revision)
    today = Answers(graph().answers_at({}, TIME))
    before = [random_legs(rng) for _ in range(20)]
    after = [
        [(reserve, side, amount + side * rng.choice([1, 10**3, amount])) for reserve, side, amount in account]
        for account in before
    ]
    healths = [judge.health(positions(a), today)["health_factor_wad"].cast(pl.Int128) for a in (before, after)]
    # Debt that rounds to nothing has no health factor at all before revision 9.
    assert ((healths[1] <= healths[0]) | healths[0].is_null()).all()


@settings(max_examples=8, deadline=None)
@given(revision=REVISIONS, factor=FACTORS, seed=SEEDS)
def test_triggers_do_not_depend_on_who_else_is_solved(revision: int, factor: str, seed: int) -> None:
    rng, wiring, judge = random.Random(seed), graph(), rules(revision)
    held = positions([random_legs(rng) for _ in range(20)])
    some = pl.Series(sorted(rng.sample(range(20), 7)), dtype=pl.UInt32)
    whole = triggers(judge, held, wiring, factor).filter(pl.col("row").is_in(some.implode()))
    part = triggers(judge, held.take(some), wiring, factor)
    assert part["answer"].to_list() == whole["answer"].to_list()
    assert part["direction"].to_list() == whole["direction"].to_list()


@settings(max_examples=4, deadline=None)
@given(revision=REVISIONS, seed=SEEDS, most=st.sampled_from([1, 7, 10**6]))
def test_triggers_do_not_depend_on_the_paths_solved_beside(revision: int, seed: int, most: int) -> None:
    rng, wiring, judge = random.Random(seed), graph(), rules(revision)
    held = positions([random_legs(rng) for _ in range(4 if most > 1 else 2)])  # one at a time is slow
    today = Answers(wiring.answers_at({}, TIME))
    paths: list[PricePath] = [wiring.factor_path(name, TIME) for name in wiring.factors()]
    paths += [wiring.reserve_path(key, TIME) for key in wiring.prices]
    moved = {str(index): path.reserves for index, path in enumerate(paths)}
    at = points(exposures(judge.legs(held, today), moved, 10**8), judge.health(held, today))
    at = at.with_columns(pl.col("factor").cast(pl.UInt32).alias("path"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(trigger_search, "_MOST_ITEMS", most)
        together = solve_triggers(judge, held, paths, today, at)
    assert together["point"].unique(maintain_order=True).to_list() == list(range(at.height))
    assert at[together["point"]].select("path", "row").equals(together.select("path", "row"))
    for (index,), mine in at.partition_by("path", as_dict=True, maintain_order=True).items():
        alone = solve_triggers(judge, held, [paths[index]], today, mine.with_columns(path=pl.lit(0, pl.UInt32)))
        beside = together.filter(pl.col("path") == index)
        assert alone.drop("path", "point").equals(beside.drop("path", "point"))


@settings(max_examples=15, deadline=None)
@given(seed=SEEDS)
def test_picked_positions_are_valued_like_the_originals(seed: int) -> None:
    rng, judge = random.Random(seed), rules(10)
    held = positions([random_legs(rng) for _ in range(9)])
    today = Answers(graph().answers_at({}, TIME))
    rows = pl.Series([rng.randrange(9) for _ in range(20)], dtype=pl.UInt32)
    whole = judge.health(held, today).drop("row")
    assert judge.health(held.pick(rows), today).drop("row").equals(whole[rows])
    assert held.pick(rows).accounts["row"].to_list() == list(range(20))
    assert held.pick(rows.clear()).state.is_empty()
