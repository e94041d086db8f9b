"""Exact Int128 arithmetic against Python integers, adversarial sizes included."""

from __future__ import annotations

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scanner import exact, units

LIMIT = 2**127

sizes = st.one_of(
    st.integers(0, LIMIT - 1),
    st.integers(0, 126).flatmap(lambda bits: st.integers(max(0, 2**bits - 3), 2**bits + 3)),
    st.integers(0, 1000),
    st.sampled_from([10**27, 10**27 - 1, 10**18, 10**38, LIMIT - 1, 2**126, 2**85, 2**86]),
)
FUNCTIONS = {
    "down": (exact.mul_div_down, units.mul_div_down),
    "up": (exact.mul_div_up, units.mul_div_up),
    "half up": (exact.mul_div_half_up, units.mul_div_half_up),
    "either, up": (lambda a, b, d: exact.mul_div_either(a, b, d, alike(a, up=True)), units.mul_div_up),
    "either, down": (lambda a, b, d: exact.mul_div_either(a, b, d, alike(a, up=False)), units.mul_div_down),
}


def alike(a: pl.Series, *, up: bool) -> pl.Series:
    return pl.repeat(up, a.len(), dtype=pl.Boolean, eager=True)


def column(values: list[int | None]) -> pl.Series:
    return pl.Series("x", values, dtype=pl.Int128)


@settings(max_examples=300, deadline=None)
@given(rows=st.lists(st.tuples(sizes, sizes, sizes.map(lambda d: d or 1)), min_size=1, max_size=20))
def test_quotients_equal_python_integers(rows: list[tuple[int, int, int]]) -> None:
    for name, (ours, judge) in FUNCTIONS.items():
        fitting = [(a, b, d) for a, b, d in rows if judge(a, b, d) < LIMIT]

        result = ours(*(column([row[i] for row in fitting]) for i in range(3)))

        assert result.to_list() == [judge(*row) for row in fitting], name


@settings(max_examples=300, deadline=None)
@given(q=st.integers(LIMIT - 10**6, LIMIT - 2), d=sizes.map(lambda d: d or 1), r=st.integers(-2, 2), b=sizes)
def test_results_next_to_the_limit(q: int, d: int, r: int, b: int) -> None:
    b = b or 1
    a = (q * d + r) // b
    if not 0 <= a < LIMIT:
        a, b = q, d
    for name, (ours, judge) in FUNCTIONS.items():
        if judge(a, b, d) >= LIMIT:
            with pytest.raises(OverflowError):
                ours(column([a]), b, d)
        else:
            assert ours(column([a]), b, d).to_list() == [judge(a, b, d)], name


@pytest.mark.parametrize("bits", [84, 85, 86, 87, 90, 100, 120])
@pytest.mark.parametrize(("ours", "judge"), FUNCTIONS.values(), ids=list(FUNCTIONS))
def test_exact_multiples_and_halves_around_the_guard(ours, judge, bits: int) -> None:
    quotients = [2**bits + k for k in range(-50, 50)]
    divisor = 10**27
    for shift in (-1, 0, 1, divisor // 2 - 1, divisor // 2, divisor // 2 + 1):
        pairs = [(q * divisor + shift, q) for q in quotients]
        fitting = [(p // 3, 3) for p, _ in pairs if p // 3 < LIMIT] or [(q, divisor) for q in quotients]
        result = ours(column([a for a, _ in fitting]), column([b for _, b in fitting]), divisor)
        assert result.to_list() == [judge(a, b, divisor) for a, b in fitting]


def test_null_stays_null_and_scalars_are_repeated() -> None:
    assert exact.mul_div_down(column([None, 7, 2**126]), 3, 2).to_list()[:2] == [None, 10]
    assert exact.mul_div_up(column([5, 7]), column([None, 1]), column([2, 2])).to_list() == [None, 4]
    assert exact.mul_div_down(column([]), 3, 2).to_list() == []


def test_too_large_negative_and_zero_operands_raise() -> None:
    with pytest.raises(OverflowError):
        exact.mul_div_down(column([1, 2**126]), 4, 1)
    with pytest.raises(ValueError, match="below 0"):
        exact.mul_div_down(column([-1]), 1, 1)
    with pytest.raises(ValueError, match="below 1"):
        exact.mul_div_down(column([1, 1]), 1, column([1, 0]))
    with pytest.raises(ValueError, match="rows"):
        exact.mul_div_down(column([1, 1, 1]), column([1, 1]), 1)


def test_group_sums_are_exact_up_to_127_bits_and_raise_beyond() -> None:
    big = 2**126
    frame = pl.DataFrame(
        {"row": [1, 0, 1, 0], "value": column([big - 1, 5, big, 6])}, schema={"row": pl.UInt32, "value": pl.Int128}
    )
    summed = exact.sum_by(frame, "row", ["value"])
    assert summed.rows() == [(1, LIMIT - 1), (0, 11)]
    assert summed.schema == {"row": pl.UInt32, "value": pl.Int128}

    over = frame.with_columns(pl.lit(big, dtype=pl.Int128).alias("value"))
    with pytest.raises(OverflowError, match="value"):
        exact.sum_by(over, ["row"], ["value"])


def test_a_wrapping_partial_sum_does_not_spoil_a_sum_that_fits() -> None:
    frame = pl.DataFrame({"row": [0, 0, 0], "value": column([LIMIT - 1, 5, -(LIMIT - 1)])})
    assert exact.sum_by(frame, "row", ["value"])["value"].to_list() == [5]


def test_an_unknown_addend_makes_the_sum_unknown() -> None:
    frame = pl.DataFrame({"row": [0, 0, 1], "value": column([1, None, 4]), "other": column([1, 2, 3])})
    assert exact.sum_by(frame, "row", ["value", "other"]).rows() == [(0, None, 3), (1, 4, 3)]


def test_raw_columns_keep_every_digit_and_refuse_39_of_them() -> None:
    largest = column([10**38 - 1, 0, None])
    assert exact.to_raw(largest).dtype == pl.Decimal(38, 0)
    assert exact.from_raw(exact.to_raw(largest)).to_list() == largest.to_list()
    with pytest.raises(OverflowError, match="10\\^38"):
        exact.to_raw(column([10**38]))
    assert exact.to_float(column([2**53 + 1, 2**126])).to_list() == [float(2**53 + 1), float(2**126)]


@settings(max_examples=100, deadline=None)
@given(rows=st.lists(st.tuples(sizes, sizes, st.integers(1, LIMIT - 1), st.booleans()), min_size=1, max_size=20))
def test_each_row_has_its_own_rounding(rows: list[tuple[int, int, int, bool]]) -> None:
    fitting = [row for row in rows if units.mul_div_up(*row[:3]) < LIMIT]
    a, b, d = (column([row[i] for row in fitting]) for i in range(3))
    up = pl.Series([row[3] for row in fitting], dtype=pl.Boolean)
    expected = [units.mul_div_up(*r[:3]) if r[3] else units.mul_div_down(*r[:3]) for r in fitting]
    assert exact.mul_div_either(a, b, d, up).to_list() == expected


@settings(max_examples=100, deadline=None)
@given(runs=st.lists(st.lists(st.integers(-(2**126), 2**126), max_size=3), max_size=8))
def test_runs_are_summed_though_running_totals_wrap(runs: list[list[int]]) -> None:
    fitting = [run if -LIMIT <= sum(run) < LIMIT else [] for run in runs]
    row = pl.Series([n for n, run in enumerate(fitting) for _ in run], dtype=pl.UInt32)
    ends = exact.run_ends(row, len(fitting))
    (sums,) = exact.run_sums(ends, column([value for run in fitting for value in run]))
    assert sums.to_list() == [sum(run) for run in fitting]
