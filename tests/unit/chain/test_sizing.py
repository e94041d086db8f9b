from __future__ import annotations

import random

import pytest

from scanner.chain.failures import Kind, RpcFailure
from scanner.chain.sizing import BatchSize, LensSize, RangeSize, Span, Spans


def failure(kind: Kind) -> RpcFailure:
    return RpcFailure("refused", kind)


def lens_size(gas: int = 45_000_000, concurrency: int = 1) -> LensSize:
    return LensSize(
        item_bytes=20,
        gas=gas,
        request_bytes=900_000,
        answer_bytes=4_000_000,
        seconds=2.5,
        start=64,
        concurrency=concurrency,
    )


def run_lens(size: LensSize, count: int, item_gas: int, cap: int) -> list[int]:
    """Read ``count`` items from a node that runs out of gas above ``cap``; give the sizes that were answered."""
    spans, answered, covered = Spans(count), [], set[int]()
    while (span := spans.take(size.size(spans.left))) is not None:
        if span.count * item_gas > cap:
            spans.put_back(size.shrink(span, failure(Kind.OUT_OF_GAS)))
            continue
        size.learn(span.count, span.count * item_gas, span.count * 64, 0.01)
        answered.append(span.count)
        items = set(range(span.first, span.first + span.count))
        assert not items & covered
        covered |= items
    assert covered == set(range(count))
    return answered


def test_a_lens_starts_small_and_grows_to_the_gas_budget() -> None:
    answered = run_lens(lens_size(), 20_000, item_gas=15_000, cap=50_000_000)

    assert answered[0] == 64
    assert 0.9 * 45e6 < max(answered) * 15_000 <= 45e6
    assert len(answered) < 14


def test_a_lens_learns_a_lower_cap_of_the_node_once() -> None:
    size = lens_size()

    answered = run_lens(size, 20_000, item_gas=15_000, cap=10_000_000)

    assert max(answered) * 15_000 <= 10_000_000
    assert len(answered) < 90  # 30 at the cap's best


def test_the_last_lens_requests_share_what_is_left() -> None:
    size = lens_size(concurrency=4)
    size.learn(3_000, 3_000 * 10_000, 0, 0.1)

    assert size.size(6_000) == 1_500


def test_a_revert_is_narrowed_down_to_one_item() -> None:
    size, spans, bad, asked = lens_size(), Spans(1_000), 777, []

    def read_all() -> None:
        while (span := spans.take(size.size(spans.left))) is not None:
            asked.append(span)
            if span.first <= bad < span.first + span.count:
                spans.put_back(size.shrink(span, failure(Kind.REVERTED)))

    with pytest.raises(RpcFailure, match="refused"):
        read_all()
    assert asked[-1] == Span(bad, 1)


def test_what_less_cannot_help_is_raised() -> None:
    with pytest.raises(RpcFailure):
        lens_size().shrink(Span(0, 100), failure(Kind.UNAUTHORIZED))


def test_a_dead_node_is_not_asked_for_ever_less() -> None:
    size, spans, asked = lens_size(), Spans(10_000), []

    def read_all() -> None:
        while (span := spans.take(64)) is not None:
            asked.append(span)
            spans.put_back(size.shrink(span, failure(Kind.TIMEOUT)))

    with pytest.raises(RpcFailure):
        read_all()
    assert len(asked) <= 4


def test_batches_double_while_quick_and_follow_what_the_gas_allows() -> None:
    size = BatchSize(start=100, most=300, seconds=1)
    size.learn(100, 100, 0.1)
    assert size.size == 200
    size.learn(200, 200, 0.1)
    assert size.size == 300
    size.learn(300, 40, 0.1)
    assert size.size == 40
    assert size.shrink(40, failure(Kind.PAYLOAD_TOO_LARGE)) == 20


@pytest.mark.parametrize("suggested", [None, 2_000])
def test_a_range_limit_is_met_and_never_tried_again(suggested: int | None) -> None:
    size, spans, limit, refused, covered = RangeSize(start=10_000, logs=5_000, seconds=2.5), Spans(100_000), 2_000, 0, 0
    while (span := spans.take(size.size)) is not None:
        assert span.first == covered
        if span.count > limit:
            refused += 1
            spans.put_back(size.shrink(span, failure(Kind.RANGE_TOO_WIDE), suggested))
            continue
        size.learn(span.count, 3, 0.01)
        covered += span.count
    assert covered == 100_000
    assert refused <= (1 if suggested else 10)
    assert size.size <= limit


def test_ranges_grow_while_few_logs_come() -> None:
    size = RangeSize(start=10_000, logs=5_000, seconds=2.5)
    for _ in range(5):
        size.learn(size.size, 10, 0.01)
    assert size.size == 320_000
    size.learn(320_000, 50_000, 0.5)
    assert size.size == 32_000


def test_a_single_block_that_fails_is_raised() -> None:
    size = RangeSize(start=10_000, logs=5_000, seconds=2.5)
    with pytest.raises(RpcFailure):
        size.shrink(Span(5, 1), failure(Kind.TOO_MANY_RESULTS), None)


def test_spans_cover_everything_once_whatever_comes_back() -> None:
    draw = random.Random(7)
    for _ in range(50):
        spans, covered = Spans(500), []
        while (span := spans.take(draw.randint(1, 90))) is not None:
            if span.count > 1 and draw.random() < 0.5:
                spans.put_back(span.split(draw.randint(1, span.count)))
            else:
                covered.extend(range(span.first, span.first + span.count))
        assert covered == list(range(500))
