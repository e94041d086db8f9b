"""Exact triggers against walks over every answer."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from itertools import pairwise

import polars as pl
import pytest

from scanner.risk.affine import linearity
from scanner.risk.pricing import (
    Cap,
    CapRatio,
    Constant,
    FactorPath,
    Feed,
    FeedAnswer,
    Least,
    PriceExpression,
    Product,
    Quotient,
    ReservePath,
    Scale,
)
from scanner.risk.rules import PricePath
from scanner.risk.triggers import upper_limit
from tests.unit.risk.synthetic import TIME, Account, Leg, crossings, liquidatable

DECIMALS = {0: 2, 1: 2, 2: 1, 3: 2, 4: 0, 5: 1, 6: 2}
START = 1500


def factor_path(start: int) -> tuple[FactorPath, dict[str, int]]:
    """A reference feed, a second feed of the factor, and every kind of adapter on them; reserve 5 is fixed."""
    feeds = (Feed("a", "A / USD", 2, start, None, "A"), Feed("b", "B / USD", 2, start * 7 // 5, None, "A"))
    answers = {"a": start, "b": start * 7 // 5, "ratio": 1153}
    expressions: dict[str, PriceExpression] = {
        "0": FeedAnswer("a"),
        "1": Product(FeedAnswer("ratio"), FeedAnswer("a"), 1, 1000),
        "2": CapRatio(FeedAnswer("b"), FeedAnswer("ratio"), 3, 1100, TIME - 10, 1, 1),
        "3": Cap(Scale(FeedAnswer("a"), 9, 7), start * 6 // 7),
        "4": Least(FeedAnswer("b"), Constant(start)),
        "6": Quotient(Constant(2 * start), FeedAnswer("a"), start),  # falls when the factor rises
    }
    path = FactorPath("A", TIME, feeds, expressions, answers)
    market = {key: int(path.answer(key, pl.Series([start], dtype=pl.Int128))[0]) for key in expressions}
    return path, {**market, "5": 1000}


def random_account(rng: random.Random, reserves: Sequence[int]) -> Account:
    """Up to three collaterals and two debts, some of the same reserve."""
    size = rng.choice([30, 5_000, 500_000])
    collateral = rng.sample(reserves, rng.randint(1, 3))
    debts = rng.sample(reserves, rng.randint(1, 2))
    return [Leg(i, rng.randint(1, size), rng.choice([6500, 7800, 8250, 9300])) for i in collateral] + [
        Leg(i, rng.randint(1, size), None) for i in debts
    ]


def sawtooth(rng: random.Random, reserves: Sequence[int]) -> Account:
    """The moving collateral has a lower threshold than the rest: the floored average rises while the price falls."""
    return [Leg(reserves[0], rng.randint(10**5, 10**6), 6500), Leg(5, rng.randint(10**5, 10**6), 9300), Leg(5, 1, None)]


def loop(rng: random.Random, reserves: Sequence[int]) -> Account:
    """Collateral and debt in one moving reserve beside a little fixed debt: floors against ceilings."""
    held = rng.randint(100, 3000)
    return [Leg(reserves[0], held, 9000), Leg(reserves[0], held * 8 // 10, None), Leg(5, rng.randint(1, 9), None)]


def near_one(rng: random.Random, account: Account, prices: Mapping[str, int]) -> Account:
    """Scale debt so that the health factor is a little above one."""
    value = [leg.amount * prices[str(leg.reserve)] / 10 ** DECIMALS[leg.reserve] for leg in account]
    weighted = sum(v * (leg.threshold or 0) / 10_000 for v, leg in zip(value, account, strict=True))
    debt = sum(v for v, leg in zip(value, account, strict=True) if leg.threshold is None)
    scale = weighted / debt / rng.choice([1.0005, 1.003, 1.02, 1.1, 1.5])
    return [
        leg if leg.threshold is not None else Leg(leg.reserve, max(1, int(leg.amount * scale)), None) for leg in account
    ]


def walk(
    account: Account, revision: int, market: Mapping[str, int], table: Mapping[str, Sequence[int]], answers: range
) -> tuple[int | None, int]:
    """Give the first liquidatable answer, and how often health crosses one on the way to the last."""
    first, flips, before = None, 0, False
    for x in answers:
        at = x
        now = liquidatable(
            account, revision, DECIMALS, lambda i, at=at: table[str(i)][at] if str(i) in table else market[str(i)]
        )
        if now and at == answers[0]:
            return None, 0
        if now and first is None:
            first = x
        flips += now != before
        before = now
    return first, flips


def compare(accounts: Sequence[Account], revision: int, moved: PricePath, market: Mapping[str, int], down: bool) -> int:
    """Check the solver against walks; gives the number of accounts that cross more than once."""
    limit = moved.start * 3 // 2
    found = crossings(accounts, revision, DECIMALS, moved, market, down=down, limit=1 if down else limit)

    every = pl.Series(range(limit + 1), dtype=pl.Int128)
    table = {key: moved.answer(key, every).to_list() for key in moved.reserves}
    answers = range(moved.start, 0, -1) if down else range(moved.start, limit + 1)
    walked = [walk(account, revision, market, table, answers) for account in accounts]
    assert found["solved"].all()
    assert found["answer"].to_list() == [first for first, _ in walked]
    assert sum(first is not None for first, _ in walked) > 2
    return sum(flips > 1 for _, flips in walked)


@pytest.mark.parametrize("revision", [7, 8, 9, 10])
@pytest.mark.parametrize("down", [True, False])
def test_factor_triggers_equal_a_walk_over_every_answer(revision: int, down: bool) -> None:
    rng = random.Random(f"{revision}{down}")
    path, market = factor_path(START)
    accounts = [near_one(rng, random_account(rng, range(7)), market) for _ in range(60)]
    flips = compare(accounts, revision, path, market, down)
    assert flips > 0 or not down


@pytest.mark.parametrize("revision", [7, 10])
@pytest.mark.parametrize("down", [True, False])
def test_reserve_triggers_equal_a_walk_over_every_answer(revision: int, down: bool) -> None:
    rng = random.Random(f"{revision}{down}")
    market = factor_path(START)[1]
    path = ReservePath("1", market["1"], frozenset({"1"}))
    compare([near_one(rng, random_account(rng, [1, 2, 5]), market) for _ in range(60)], revision, path, market, down)


@pytest.mark.parametrize("revision", [7, 8])
def test_triggers_of_floored_averages_are_the_highest_of_many_crossings(revision: int) -> None:
    rng = random.Random(revision)
    market = factor_path(6 * START)[1]
    path = ReservePath("0", market["0"], frozenset({"0"}))
    flips = compare([near_one(rng, sawtooth(rng, [0]), market) for _ in range(20)], revision, path, market, True)
    assert flips >= 2


@pytest.mark.parametrize("revision", [8, 9, 10])
def test_triggers_of_loops_are_the_highest_of_many_crossings(revision: int) -> None:
    rng = random.Random(revision)
    path, market = factor_path(3 * START)
    accounts = [near_one(rng, loop(rng, [rng.choice([0, 1])]), market) for _ in range(30)]
    assert compare(accounts, revision, path, market, True) >= 5


def whole_market() -> tuple[FactorPath, dict[str, int], dict[int, int]]:
    """Ether, a capped and an uncapped staked ether, a stablecoin: real sizes."""
    answers = {"eth": 210_012_345_678, "ratio": 1_203_456_789_012_345_678, "other": 1_081_234_567_890_123_456}
    feeds = (Feed("eth", "ETH / USD", 8, answers["eth"], None, "ETH"),)
    expressions: dict[str, PriceExpression] = {
        "0": FeedAnswer("eth"),
        "1": CapRatio(FeedAnswer("eth"), FeedAnswer("ratio"), 18, 11 * 10**17, TIME - 10**6, 10**9, 1),
        "2": Product(FeedAnswer("other"), FeedAnswer("eth"), 1, 10**18),
    }
    path = FactorPath("ETH", TIME, feeds, expressions, answers)
    market = {key: int(path.answer(key, pl.Series([path.start], dtype=pl.Int128))[0]) for key in expressions}
    return path, {**market, "3": 99_990_000}, {0: 18, 1: 18, 2: 18, 3: 6}


def real_account(rng: random.Random, market: Mapping[str, int], decimals: Mapping[int, int], down: bool) -> Account:
    """Collateral and debt between ten dollars and ten millions; in half of them both sides move."""
    usd, health = 10 ** rng.uniform(1, 7), rng.choice([1.0001, 1.02, 1.3]) * rng.uniform(1, 1.01)
    thresholds = {0: 8300, 1: 8100, 2: 7900, 3: 7700}
    both = rng.random() < 0.5
    held = [rng.randrange(3), 3] if down else [3]
    owed = [3, rng.randrange(3)] if down and both else [3] if down else [rng.randrange(3)]
    legs = [
        Leg(i, int(usd * (1 - 0.9 * k) * 1e8 / market[str(i)] * 10 ** decimals[i]), thresholds[i])
        for k, i in enumerate(held)
    ]
    weighted = sum(
        leg.amount * market[str(leg.reserve)] / 10 ** decimals[leg.reserve] * (leg.threshold or 0) for leg in legs
    )
    share = weighted / 10_000 / health / len(owed)
    return [*legs, *(Leg(i, int(share / market[str(i)] * 10 ** decimals[i]), None) for i in owed)]


@pytest.mark.parametrize("revision", [8, 10])
@pytest.mark.parametrize("down", [True, False])
def test_triggers_of_real_sizes_hold_around_the_crossing_and_at_random(revision: int, down: bool) -> None:
    rng = random.Random(f"real{revision}{down}")
    path, market, decimals = whole_market()
    accounts = [real_account(rng, market, decimals, down) for _ in range(60)]
    limit = upper_limit(path)

    found = crossings(accounts, revision, decimals, path, market, down=down, limit=1 if down else limit)

    assert found["solved"].all()
    assert found["answer"].null_count() < 20
    for account, trigger in zip(accounts, found["answer"].to_list(), strict=True):
        if trigger is None:
            continue
        side = 1 if down else -1
        span = abs(trigger - path.start)
        healthy = {trigger + side * k for k in range(1, min(200, span + 1))}
        healthy |= {trigger + side * rng.randint(1, max(1, min(span, 10**e))) for e in range(3, 12) for _ in range(20)}
        points = [trigger, *sorted(healthy)]
        every = pl.Series(points, dtype=pl.Int128)
        table = {key: path.answer(key, every).to_list() for key in path.reserves}
        judged = [
            liquidatable(
                account, revision, decimals, lambda i, n=n, table=table: table[str(i)][n] if i < 3 else market["3"]
            )
            for n in range(len(points))
        ]
        assert judged[0]
        assert not any(judged[1:])


def test_positions_that_break_today_or_never_have_no_trigger() -> None:
    market = {"0": 100, "5": 1000}
    path = ReservePath("0", 100, frozenset({"0"}))
    accounts: list[Account] = [
        [Leg(0, 10**4, 8000), Leg(5, 10**6, None)],  # below one already
        [Leg(0, 10**4, 8000), Leg(5, 10**6, 8000), Leg(5, 10, None)],  # the rest carries the debt
        [Leg(0, 10**4, 8000)],  # no debt
        [Leg(5, 10**6, 8000), Leg(5, 10, None)],  # nothing moves
    ]
    found = crossings(accounts, 10, DECIMALS, path, market, down=True, limit=1)
    assert found["answer"].to_list() == [None] * 4
    assert found["solved"].all()


def test_a_price_of_zero_is_no_trigger_and_an_unpriced_leg_never_breaks() -> None:
    expressions: dict[str, PriceExpression] = {"0": Scale(FeedAnswer("a"), 1, 60)}
    path = FactorPath("A", TIME, (Feed("a", "A", 2, 100, None, "A"),), expressions, {"a": 100})
    held: Account = [Leg(0, 10**6, 8000), Leg(5, 10**6, 8000), Leg(5, 850_000, None)]
    unpriced: Account = [Leg(0, 10**6, 8000), Leg(4, 1, 8000), Leg(5, 8, None)]
    found = crossings([held, unpriced], 10, DECIMALS, path, {"0": 1, "5": 1000}, down=True, limit=1)
    assert found["answer"].to_list() == [None, None]


def test_numbers_beyond_128_bits_are_left_unsolved_and_spoil_nothing() -> None:
    path = ReservePath("0", 10**11, frozenset({"0"}))
    accounts: list[Account] = [
        [Leg(0, 10**37, 8000), Leg(5, 10**30, None)],
        [Leg(0, 10**4, 8000), Leg(5, 10**6, None)],
    ]
    found = crossings(accounts, 10, DECIMALS, path, {"0": 10**11, "5": 1000}, down=True, limit=1)
    assert found["solved"].to_list() == [False, True]
    assert found["answer"][0] is None
    assert found["answer"][1] is not None


def test_prices_stay_within_the_error_of_their_lines() -> None:
    path, _ = factor_path(START)
    limit = 3 * START
    shape = linearity(path, limit)
    every = pl.Series(range(limit + 1), dtype=pl.Int128)
    bounds = [1, *shape.breaks, limit + 1]
    assert len(bounds) > 3
    assert set(shape.errors) == {"0", "1", "2", "3", "4"}
    for key, error in shape.errors.items():
        prices = path.answer(key, every).to_list()
        for low, high in pairwise(bounds):
            a, b = prices[low], prices[high - 1]
            for x in range(low, high):
                chord = a + (b - a) * (x - low) / max(high - 1 - low, 1)
                assert abs(prices[x] - chord) <= error + 1e-6, (key, x)


@pytest.mark.parametrize("revision", [8, 9])
def test_triggers_where_prices_rise_and_fall_together_are_the_highest_of_many(revision: int) -> None:
    rng = random.Random(revision)
    path, market = factor_path(START)

    def mixed() -> Account:
        """Collateral whose price falls when the others rise, and thresholds far apart."""
        moving = [*rng.sample([0, 1, 2, 3, 4], 2), 5, 6]
        held = [Leg(i, rng.randint(1, 400), rng.choice([6500, 9300])) for i in moving]
        return [*held, Leg(rng.choice([0, 1]), rng.randint(1, 9), None), Leg(5, 1, None)]

    assert compare([near_one(rng, mixed(), market) for _ in range(60)], revision, path, market, True) >= 10
