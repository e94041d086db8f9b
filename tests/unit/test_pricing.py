"""Price expressions against the adapters' Solidity arithmetic in Python integers, and paths along which feeds move."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping

import polars as pl
import pytest

from scanner.errors import ConfigError
from scanner.risk.columns import as_column
from scanner.risk.pricing import (
    Cap,
    CapRatio,
    Constant,
    Feed,
    FeedAnswer,
    Least,
    OracleGraph,
    PriceExpression,
    Product,
    Quotient,
    Scale,
    TimeDiscount,
)

YEAR = 365 * 24 * 3600
NOW = 1_760_000_000
ANSWERS = {"eth": 210_000_000_000, "ratio": 1_234_567_890_123_456_789, "usd": 100_012_345}
ETH, RATIO, USD = FeedAnswer("eth"), FeedAnswer("ratio"), FeedAnswer("usd")

# snapshot 1.2, 9.68 % a year, kept in millionths
GROWTH = 12 * 10**17 * 968 * 10**6 // 10_000 // YEAR


def capo(ratio: int, base: int, now: int) -> int:
    if base <= 0 or ratio <= 0:
        return 0
    most = 12 * 10**17 + GROWTH * (now - (NOW - 100 * 86400)) // 10**6
    return base * min(ratio, most) // 10**18


def principal(asset: int, now: int) -> int:
    maturity = NOW + 90 * 86400
    discount = (maturity - now if maturity > now else 0) * (7 * 10**16) // YEAR
    return asset * (10**18 - discount) // 10**18


CAPO = {
    "decimals": 18,
    "snapshot": 12 * 10**17,
    "snapshot_at": NOW - 100 * 86400,
    "growth": GROWTH,
    "growth_scale": 10**6,
}
CASES: dict[str, tuple[PriceExpression, str, Callable[[int, int], int]]] = {
    "ratio below its cap": (
        CapRatio(ETH, Constant(119 * 10**16), **CAPO),
        "eth",
        lambda v, t: capo(119 * 10**16, v, t),
    ),
    "ratio above its cap": (CapRatio(ETH, Constant(13 * 10**17), **CAPO), "eth", lambda v, t: capo(13 * 10**17, v, t)),
    "moving ratio": (CapRatio(ETH, RATIO, **CAPO), "ratio", lambda v, t: capo(v, ANSWERS["eth"], t)),
    "whole growth": (
        CapRatio(ETH, Constant(2 * 10**18), 18, 10**18, NOW - 86400, 987_654_321, 1),
        "eth",
        lambda v, t: v * (10**18 + 987_654_321 * (t - NOW + 86400)) // 10**18,
    ),
    "stable cap": (Cap(USD, 104_000_000), "usd", lambda v, t: min(v, 104_000_000)),
    "currency cap": (
        Least(USD, Scale(ETH, 476_190, 10**9)),
        "eth",
        lambda v, t: min(ANSWERS["usd"], v * 476_190 // 10**9),
    ),
    "peg to base": (
        Product(RATIO, ETH, 10**8, 10**26),
        "eth",
        lambda v, t: ANSWERS["ratio"] * v * 10**8 // 10**26,
    ),
    "peg to base, odd scale": (
        Product(RATIO, ETH, 3, 10**18 + 1),
        "ratio",
        lambda v, t: v * ANSWERS["eth"] * 3 // (10**18 + 1),
    ),
    "base to peg, base moves": (
        Quotient(USD, ETH, 10**18),
        "eth",
        lambda v, t: ANSWERS["usd"] * 10**18 // v if v else 0,
    ),
    "base to peg, asset moves": (Quotient(USD, ETH, 10**18), "usd", lambda v, t: v * 10**18 // ANSWERS["eth"]),
    "principal token": (TimeDiscount(USD, 7 * 10**16, NOW + 90 * 86400), "usd", principal),
    "principal of a capped stable": (
        TimeDiscount(Cap(USD, 104_000_000), 7 * 10**16, NOW + 90 * 86400),
        "usd",
        lambda v, t: principal(min(v, 104_000_000), t),
    ),
}


def series_of(
    expression: PriceExpression, feed: str, moving: pl.Series, answers: Mapping[str, int], now: int
) -> pl.Series:
    """Give the answers at each value of one moving feed."""
    return as_column(expression.column({feed: moving}, answers, now), moving.len())


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("now", [NOW - 86400, NOW, NOW + 12, NOW + 90 * 86400, NOW + YEAR])
def test_expression_is_the_contracts_arithmetic(case: str, now: int) -> None:
    expression, feed, solidity = CASES[case]
    rng = random.Random(case)
    values = [0, 1, 2, 3, ANSWERS[feed], *(rng.randrange(ANSWERS[feed] * 3) for _ in range(200))]
    expected = [solidity(v, now) for v in values]

    series = series_of(expression, feed, pl.Series(values, dtype=pl.Int128), ANSWERS, now)

    assert series.dtype == pl.Int128
    assert series.to_list() == expected
    assert [expression.evaluate({**ANSWERS, feed: v}, now) or 0 for v in values] == expected


@pytest.mark.parametrize("case", CASES)
def test_direction_is_what_increasing_says(case: str) -> None:
    expression, feed, _ = CASES[case]
    values = pl.Series(range(1, ANSWERS[feed] * 2, ANSWERS[feed] // 500), dtype=pl.Int128)

    steps = series_of(expression, feed, values, ANSWERS, NOW).diff().drop_nulls()

    assert (steps >= 0).all() if expression.increasing(feed) else (steps <= 0).all()
    assert expression.feeds() >= {feed}


def test_a_capped_ratio_does_not_follow_its_feed() -> None:
    expression = CASES["moving ratio"][0]
    cap = expression.cap(NOW)  # type: ignore[attr-defined]
    at_cap = ANSWERS["eth"] * cap // 10**18

    series = series_of(expression, "ratio", pl.Series([cap, cap + 1, 2 * cap], dtype=pl.Int128), ANSWERS, NOW)

    assert series.to_list() == [at_cap] * 3
    assert expression.evaluate({**ANSWERS, "ratio": 2 * cap}, NOW + YEAR) > at_cap  # type: ignore[operator]


def test_before_the_snapshot_there_is_no_price() -> None:
    assert CASES["moving ratio"][0].evaluate(ANSWERS, NOW - YEAR) is None


@pytest.mark.parametrize("answer", [0, -5])
@pytest.mark.parametrize("case", CASES)
def test_without_a_positive_answer_there_is_no_price(case: str, answer: int) -> None:
    expression, feed, _ = CASES[case]

    assert expression.evaluate({**ANSWERS, feed: answer}, NOW) is None
    assert expression.evaluate({}, NOW) is None
    assert series_of(expression, feed, pl.Series([answer], dtype=pl.Int128), ANSWERS, NOW).to_list() == [0]


def test_answers_beyond_128_bits_raise() -> None:
    with pytest.raises(OverflowError):
        series_of(Product(RATIO, ETH, 1, 1), "eth", pl.Series([2**100], dtype=pl.Int128), ANSWERS, NOW)


def feed(address: str, factor: str, answer: int) -> Feed:
    return Feed(address, f"{factor} / USD", 8, answer, NOW, factor)


def graph() -> OracleGraph:
    feeds = [
        feed("eth", "ETH", 210_000_000_001),
        feed("weth feed", "ETH", 209_900_000_003),
        feed("usd", "USDC", 100_012_345),
    ]
    prices: dict[str, PriceExpression] = {
        "0": ETH,
        "1": Scale(FeedAnswer("weth feed"), 12, 10),
        "2": Cap(USD, 104_000_000),
        "3": Constant(10**8),
        "4": Quotient(USD, ETH, 10**8),
        "emode:1": ETH,
    }
    return OracleGraph(
        feeds={f.address: f for f in feeds},
        prices=prices,
        timestamp=NOW,
        symbols={"0": "WETH", "1": "stWETH", "2": "USDC", "3": "GHO", "4": "inverse", "emode:1": "emode:1"},
        assets={"0": "0xAA", "emode:1": "0xAA", "1": "0xBB"},
        groups={"stables": ("USDC",)},
    )


def test_factor_moves_all_its_feeds_in_the_ratio_of_the_reference() -> None:
    path = graph().factor_path("ETH", NOW)
    moving = pl.Series([0, 1, 7, 105_000_000_000, path.start, 300_000_000_000], dtype=pl.Int128)

    other = [v * 209_900_000_003 // 210_000_000_001 for v in moving]
    assert path.start == 210_000_000_001
    assert path.reserves == {"0", "1", "4", "emode:1"}
    assert path.answer("0", moving).to_list() == moving.to_list()
    assert path.answer("1", moving).to_list() == [v * 12 // 10 for v in other]
    assert path.increasing("0")
    assert not path.increasing("4")
    for value in moving:
        today = graph().answers_at(path.feed_answers(value), NOW)
        assert {k: path.answer(k, pl.Series([value], dtype=pl.Int128))[0] for k in path.reserves} == {
            k: today.get(k, 0) for k in path.reserves
        }


def test_reserve_path_is_the_identity_and_takes_the_same_asset_along() -> None:
    path = graph().reserve_path("0")
    moving = pl.Series([5, 6], dtype=pl.Int128)

    assert path.start == 210_000_000_001
    assert path.reserves == {"0", "emode:1"}
    assert path.answer("emode:1", moving).to_list() == [5, 6]
    assert graph().reserve_path("2").reserves == {"2"}


def test_fixed_price_has_no_factor_and_moves_with_none() -> None:
    assert graph().reserve_factors() == {"0": "ETH", "1": "ETH", "2": "USDC", "4": "USDC", "emode:1": "ETH"}
    assert all("3" not in graph().factor_path(name, NOW).reserves for name in ("ETH", "USDC", "stables"))


def test_reserve_without_an_answer_is_absent() -> None:
    assert set(graph().answers_at({"usd": 0}, NOW)) == {"0", "1", "3", "emode:1"}


def test_configuration_moves_feeds_between_factors() -> None:
    changed = graph().with_factors({"LST": ["stWETH"], "coins": ["2"]})

    assert {name: [f.address for f in feeds] for name, feeds in changed.factors().items()} == {
        "ETH": ["eth"],
        "LST": ["weth feed"],
        "coins": ["usd"],
    }
    assert changed.factor_path("LST", NOW).reserves == {"1"}
    assert changed.groups == {}
    assert graph().with_factors({"x": ["0xaa"]}).reserve_factors()["0"] == "x"
    assert graph().with_factors({"x": ["USD"]}).reserve_factors()["2"] == "x"


@pytest.mark.parametrize(
    ("factors", "message"),
    [
        ({"a": ["WETHH"]}, "did you mean 'WETH'"),
        ({"a": ["GHO"]}, "fixed price"),
        ({"a": ["WETH", "USDC"]}, "both ways"),
    ],
)
def test_impossible_factors_are_refused(factors: dict[str, list[str]], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        graph().with_factors(factors)


def test_unknown_factor_is_refused() -> None:
    with pytest.raises(ConfigError, match="did you mean 'ETH'"):
        graph().factor_path("ETHH", NOW)
