"""Seizures in polars against the big-integer reference, for every revision."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime

import polars as pl
import pytest

from scanner.protocols.aave_v3.amounts import leg_amounts
from scanner.protocols.aave_v3.seizures import PAIR_SEIZURES, seizures
from scanner.protocols.aave_v3.valuation import valued
from scanner.risk.rules import Answers
from tests.reference import aave_v3 as ref
from tests.reference.aave_v3_random import NOW, world
from tests.reference.convert import detail_of, positions_of
from tests.unit.aave_v3.seizure_judge import assert_equal, expected, health_of, opened, ours

REVISIONS = range(1, 12)


@pytest.mark.parametrize("revision", REVISIONS)
def test_every_pair_equals_the_reference(revision: int) -> None:
    seen: Counter[str] = Counter()
    for seed in range(6):
        made = world(revision, seed, 90)
        frame = ours(made.accounts, made.market, made.prices)
        assert frame.schema == PAIR_SEIZURES
        seen += assert_equal(frame, expected(made.accounts, made.market, made.prices))
    wanted = {"half", "all", "collateral", "inactive", "paused", "dust", "zero_threshold", "bad debt"}
    wanted |= {"grace"} if revision >= 4 else set()
    wanted |= {"sentinel"} if revision <= 10 else set()
    assert wanted <= set(+seen), seen


@pytest.mark.parametrize("revision", REVISIONS)
def test_best_is_the_open_pair_that_seizes_most(revision: int) -> None:
    for seed in (10, 11):
        made = world(revision, seed, 120)
        frame = ours(made.accounts, made.market, made.prices)
        for row, pairs in frame.group_by("row", maintain_order=True):
            best = pairs.filter("best")
            assert best.height == 1
            account = made.accounts[row[0]]
            want = ref.best(account, made.market, made.prices, NOW)
            if want is None:
                assert best["blocked_by"][0] is not None
                assert best["seize_value_raw"][0] == pairs["seize_value_raw"].max()
            else:
                chosen = (best["collateral_reserve"][0], best["debt_reserve"][0], best["blocked_by"][0])
                assert chosen == (str(want.collateral_id), str(want.debt_id), None)


def test_answers_moved_for_one_position_count_for_that_one_alone() -> None:
    made = world(10, 0, 60)
    moved_key = "0"
    prices = [{**made.prices, moved_key: made.prices[moved_key] * (50 + row) // 100} for row in range(60)]
    health = health_of(made.accounts, made.market, prices)
    moved = pl.DataFrame(
        {"row": range(60), "reserve": [moved_key] * 60, "answer": [p[moved_key] for p in prices]},
        schema={"row": pl.UInt32, "reserve": pl.String, "answer": pl.Int128},
    )
    answers = Answers(dict(made.prices), moved)
    detail = detail_of(made.market)
    legs = valued(leg_amounts(positions_of(made.accounts), detail, NOW), detail, answers)
    frame = seizures(detail, NOW, legs, answers, health)
    rows: list[dict[str, object]] = []
    for row, account in enumerate(made.accounts):
        rows += [{**pair, "row": row} for pair in expected([account], made.market, prices[row])]
    assert_equal(frame, rows)


def test_nothing_liquidatable_gives_the_empty_frame() -> None:
    made = world(10, 0, 30)
    account = ref.Account({0: 10**18}, {1: 1}, {}, 0)
    frame = ours([account], replace(opened(made.market), revision=10), made.prices)
    assert frame.height == 0
    assert frame.schema == PAIR_SEIZURES


PLAIN = {
    0: ref.Reserve(0, 18, threshold=8_000, bonus=10_500, fee=1_000),
    1: ref.Reserve(1, 6, threshold=7_500, bonus=10_450, fee=1_000),
    2: ref.Reserve(2, 18, threshold=8_000, bonus=10_500, fee=0),
}
E0 = 10**18


def one(revision: int, account: ref.Account, prices: Mapping[str, int], **changes: object) -> dict[str, object]:
    """Give the only pair of an account in a market with plain indexes, after comparing it with the reference."""
    market = replace(ref.Market(revision, PLAIN), **changes)  # type: ignore[arg-type]
    frame = ours([account], market, prices)
    assert_equal(frame, expected([account], market, prices))
    assert frame.height == 1
    return frame.row(0, named=True)


@pytest.mark.parametrize("revision", REVISIONS)
@pytest.mark.parametrize(("debt", "branch"), [(8_000_000_000, "all"), (7_999_999_999, "half")])
def test_at_a_health_factor_of_exactly_95_percent_everything_may_be_repaid(
    revision: int, debt: int, branch: str
) -> None:
    # 5 tokens at $1,900.00 weigh 7,600.00; against 8,000.00 that is 0.95 exactly
    account = ref.Account({0: 5 * E0}, {1: debt})
    prices = {"0": 1_900 * 10**8, "1": 10**8}
    got = one(revision, account, prices)
    assert got["branch"] == branch
    half = (debt + 1) // 2 if revision <= 6 else debt // 2  # of the reserve, half-up; of the position, in base units
    assert got["repay_raw"] == (debt if branch == "all" else half)


@pytest.mark.parametrize("revision", range(7, 12))
@pytest.mark.parametrize(("debt", "branch"), [(2_000 * 10**6, "half"), (1_999_999_999, "all")])
def test_a_debt_of_exactly_two_thousand_dollars_is_not_small(revision: int, debt: int, branch: str) -> None:
    got = one(revision, ref.Account({0: 2_450 * E0}, {1: debt}), {"0": 10**8, "1": 10**8})
    assert got["branch"] == branch
    assert got["repay_raw"] == (1_000 * 10**6 if branch == "half" else debt)  # half leaves exactly $1,000


@pytest.mark.parametrize("revision", range(7, 12))
@pytest.mark.parametrize(("collateral", "branch"), [(2_000 * E0, "dust"), (2_000 * E0 - 1, "collateral")])
def test_a_collateral_of_exactly_two_thousand_dollars_is_not_small(revision: int, collateral: int, branch: str) -> None:
    prices = {"0": 10**8, "1": 10**8, "2": 10**8}
    account = ref.Account({0: collateral, 2: 546 * E0}, {1: 2_100 * 10**6})
    market = ref.Market(revision, PLAIN)
    frame = ours([account], market, prices)
    assert_equal(frame, expected([account], market, prices))
    assert frame.row(0, named=True)["branch"] == branch


@pytest.mark.parametrize("revision", range(7, 12))
@pytest.mark.parametrize(("other", "branch"), [(900 * E0, "half"), (902 * E0, "dust")])
def test_a_partial_liquidation_leaves_the_thousand_dollars_that_it_must(revision: int, other: int, branch: str) -> None:
    # half of 3,800 leaves exactly 1,000 of 2,900; half of 3,802 would leave 999
    account = ref.Account({0: 6_000 * E0}, {1: 2_900 * 10**6, 2: other})
    prices = {"0": 77 * 10**6, "1": 10**8, "2": 10**8}
    market = ref.Market(revision, PLAIN)
    frame = ours([account], market, prices)
    assert_equal(frame, expected([account], market, prices))
    first = frame.row(0, named=True)
    assert (first["branch"], first["repay_raw"]) == (branch, 1_900 * 10**6)


@pytest.mark.parametrize("revision", range(7, 12))
@pytest.mark.parametrize(("collateral", "branch"), [(2_050 * E0, "half"), (2_050 * E0 - 1, "dust")])
def test_a_partial_liquidation_leaves_a_thousand_dollars_of_collateral(
    revision: int, collateral: int, branch: str
) -> None:
    account = ref.Account({0: collateral, 2: 400 * E0}, {1: 2_000 * 10**6})
    prices = {"0": 10**8, "1": 10**8, "2": 10**8}
    market = ref.Market(revision, PLAIN)
    frame = ours([account], market, prices)
    assert_equal(frame, expected([account], market, prices))
    assert frame.row(0, named=True)["branch"] == branch


@pytest.mark.parametrize(("revision", "bad_debt"), [(10, 0), (11, 100_000)])
def test_from_37_a_unit_lost_to_rounding_is_no_collateral_left(revision: int, bad_debt: int) -> None:
    # 2 scaled units are worth 6; burning 5 of them takes both
    dear = ref.Reserve(0, 8, threshold=8_000, bonus=10_001, fee=0, liquidity_index=3 * ref.RAY)
    market = ref.Market(revision, {**PLAIN, 0: dear})
    account = ref.Account({0: 2}, {1: 3_250, 2: 10**15})
    prices = {"0": 65_000 * 10**8, "1": 10**8, "2": 10**8}
    frame = ours([account], market, prices)
    assert_equal(frame, expected([account], market, prices))
    first = frame.row(0, named=True)
    assert (first["repay_raw"], first["seize_raw"], first["bad_debt_raw"]) == (3_250, 5, bad_debt)


@pytest.mark.parametrize("revision", REVISIONS)
def test_the_grace_period_ends_after_its_last_second(revision: int) -> None:
    account = ref.Account({0: 5 * E0}, {1: 9_000 * 10**6})
    prices = {"0": 2_000 * 10**8, "1": 10**8}
    for until, blocked in ((NOW - 1, False), (NOW, True), (NOW + 9, True)):
        reserves = {**PLAIN, 1: replace(PLAIN[1], grace_until=until)}
        got = one(revision, account, prices, reserves=reserves)
        if blocked and revision >= 4:
            assert got["blocked_by"] == "grace"
            assert got["blocked_until"] == datetime.fromtimestamp(until, UTC)
            assert got["seize_raw"] != 0
        else:
            assert (got["blocked_by"], got["blocked_until"]) == (None, None)


@pytest.mark.parametrize("revision", REVISIONS)
def test_a_fallen_sentinel_blocks_from_95_percent_upwards(revision: int) -> None:
    prices = {"0": 1_900 * 10**8, "1": 10**8}
    for debt, blocked in ((8_000_000_000, True), (8_000_000_001, False)):
        got = one(revision, ref.Account({0: 5 * E0}, {1: debt}), prices, sentinel_down=True)
        assert got["blocked_by"] == ("sentinel" if blocked and revision <= 10 else None)


@pytest.mark.parametrize("revision", range(1, 5))
def test_in_a_legacy_category_with_its_own_price_that_prices_any_debt(revision: int) -> None:
    emodes = {1: ref.EMode(1, 9_300, 10_200, price_source=True)}
    reserves = {**PLAIN, 0: replace(PLAIN[0], emode_category=1)}  # the debt's reserve has left the category
    account = ref.Account({0: 5 * E0}, {2: 5 * E0}, {}, 1)
    prices = {"0": 2_000 * 10**8, "2": 2_100 * 10**8, "emode:1": 1_950 * 10**8}
    got = one(revision, account, prices, reserves=reserves, emodes=emodes)
    assert got["repay_value_raw"] != 0


@pytest.mark.parametrize("revision", REVISIONS)
def test_whales_and_single_units_are_exact(revision: int) -> None:
    index = ref.RAY * 3 // 2 + 7
    grown = {i: replace(r, liquidity_index=index, debt_index=index + 1) for i, r in PLAIN.items()}
    market = ref.Market(revision, grown)
    accounts = [
        ref.Account({0: 10**32 + 1}, {2: 10**32}),
        ref.Account({0: 10**30 + 1}, {1: 3 * 10**21}),
        ref.Account({0: 1}, {1: 10**20}),
        ref.Account({0: 1, 1: 1}, {1: 1, 2: 10**30}),
        ref.Account({0: 10**14, 1: 3}, {1: 100_000, 2: 5}),
        ref.Account({1: 1}, {1: 1}),
        ref.Account({1: 2}, {1: 3}),
    ]
    for prices in ({"0": 2_001 * 10**8, "1": 10**8 - 1, "2": 2_000 * 10**8}, {"0": 1, "1": 10**8, "2": 10**13}):
        frame = ours(accounts, market, prices)
        assert_equal(frame, expected(accounts, market, prices))
