from __future__ import annotations

import random

import pytest

from scanner.chain.failures import Kind, RpcFailure
from scanner.chain.sizing import BatchSize, LensSize, RangeSize, Span, Spans


def failure(kind: Kind) -> RpcFailure:
    return RpcFailure("refused", kind)


def lens_size(
    total: int = 20_000,
    gas: int = 45_000_000,
    concurrency: int = 1,
    item_gas: float | None = None,
    gas_is_known: bool = False,
    seconds: float = 2.5,
) -> LensSize:
    return LensSize(
        total=total,
        item_bytes=20,
        gas=gas,
        request_bytes=900_000,
        answer_bytes=4_000_000,
        seconds=seconds,
        start=64,
        concurrency=concurrency,
        item_gas=item_gas,
        gas_is_known=gas_is_known,
    )


class Node:
    """Runs out of gas above ``cap``, and takes some time and gas for an item. Answers a few requests at once."""

    def __init__(self, cap: int = 50_000_000, item_gas: int = 15_000, item_seconds: float = 1e-6) -> None:
        self.cap = cap
        self.item_gas = item_gas
        self.item_seconds = item_seconds
        self.answered: list[int] = []
        self.refused = 0

    def read(self, size: LensSize, count: int, concurrency: int = 1) -> list[int]:
        """Read ``count`` items, each once; give the sizes that were answered."""
        spans, covered, flying = Spans(count), set[int](), list[Span]()
        self.answered, self.refused = [], 0
        while True:
            while len(flying) < concurrency and (span := spans.take(size.size(spans.left, size.most()))):
                flying.append(span)
            if not flying:
                break
            span = flying.pop(0)
            if span.count * self.item_gas > self.cap:
                self.refused += 1
                spans.put_back(size.shrink(span, failure(Kind.OUT_OF_GAS)))
                continue
            size.learn(span.count, span.count * self.item_gas, span.count * 64, span.count * self.item_seconds)
            self.answered.append(span.count)
            items = set(range(span.first, span.first + span.count))
            assert not items & covered
            covered |= items
        assert covered == set(range(count))
        return self.answered


def test_a_lens_starts_small_and_grows_to_the_gas_budget() -> None:
    answered = Node().read(lens_size(), 20_000)

    assert answered[0] == 64
    assert 0.8 * 45e6 < max(answered) * 15_000 <= 45e6
    assert len(answered) < 12


def test_a_lens_learns_a_lower_cap_of_the_node_once() -> None:
    node = Node(cap=10_000_000)

    answered = node.read(lens_size(), 20_000)

    assert max(answered) * 15_000 <= 10_000_000
    assert len(answered) < 90  # 30 at the cap's best
    assert node.refused < 10


@pytest.mark.parametrize(("cap", "calls"), [(50_000_000, 4), (10_000_000, 19), (1_000_000, 180)])
def test_where_the_gas_is_known_the_fewest_calls_are_made_and_none_fails(cap: int, calls: int) -> None:
    node, known = Node(cap=cap, item_gas=18_000), lens_size(9_000, int(0.9 * cap), 4, gas_is_known=True)
    cold = node.read(known, 9_000, concurrency=4)
    assert node.refused == 0
    assert len(cold) <= 1.05 * calls + 3

    warm = lens_size(9_000, int(0.9 * cap), 4, item_gas=known.item_gas, gas_is_known=True)
    sizes = node.read(warm, 9_000, concurrency=4)
    assert node.refused == 0
    assert len(sizes) <= -(-9_000 * 18_000 * 1.02 // (0.9 * cap)) + 1
    assert max(sizes) - min(sizes) <= 2
    assert warm.item_gas == known.item_gas == pytest.approx(18_000 * 1.02)


def test_much_is_read_by_several_requests_at_once_and_little_by_one() -> None:
    node = Node(item_gas=1_000)

    assert node.read(lens_size(8_000, concurrency=4, item_gas=1_000), 8_000, 4) == [2_000] * 4
    assert node.read(lens_size(3_000, concurrency=4, item_gas=1_000), 3_000, 4) == [3_000]


def test_little_is_not_held_up_by_a_request_that_finds_out() -> None:
    assert Node().read(lens_size(200, concurrency=4), 200, concurrency=4) == [64, 64, 64, 8]


def test_time_bounds_a_request_and_the_next_run_knows() -> None:
    node, size = Node(item_gas=1_000, item_seconds=0.01), lens_size(2_000, gas_is_known=True)

    assert max(node.read(size, 2_000)) <= 250
    again = lens_size(2_000, gas_is_known=True, item_gas=size.item_gas)
    assert max(node.read(again, 2_000)) <= 250


def test_dearer_items_than_remembered_cost_failures_but_no_item() -> None:
    node = Node(item_gas=60_000)

    answered = node.read(lens_size(10_000, concurrency=4, item_gas=18_000), 10_000, concurrency=4)

    assert sum(answered) == 10_000
    assert node.refused <= 12


def test_a_few_items_teach_nothing() -> None:
    size = lens_size(10)
    Node().read(size, 10)

    assert size.item_gas is None


def test_a_span_that_came_back_too_large_is_cut_before_it_is_asked() -> None:
    size = lens_size(8_000, concurrency=4, item_gas=1_000)
    size.shrink(Span(0, 2_000), failure(Kind.PAYLOAD_TOO_LARGE))

    assert size.most() == 1_000
    assert size.most(room=300) == 300
    assert size.most(extra_gas=44_900_000) == 100


def test_a_revert_is_narrowed_down_to_one_item() -> None:
    size, spans, bad, asked = lens_size(), Spans(1_000), 777, []

    def read_all() -> None:
        while (span := spans.take(size.size(spans.left, size.most()))) is not None:
            asked.append(span)
            if span.first <= bad < span.first + span.count:
                spans.put_back(size.shrink(span, failure(Kind.REVERTED)))
            else:
                size.learn(span.count, span.count * 1_000, 0, 0.01)

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


def test_requests_that_time_out_together_say_as_much_as_one() -> None:
    late = failure(Kind.TIMEOUT)
    lens, calls, blocks = (
        lens_size(),
        BatchSize(start=100, most=300, seconds=1),
        RangeSize(start=64, logs=10, seconds=1),
    )
    for _ in range(8):
        assert len(lens.shrink(Span(0, 64), late)) == 4
        assert calls.shrink(64, late) == 16
        assert len(blocks.shrink(Span(0, 64), late, None)) == 4


def test_batches_double_while_quick_and_follow_what_the_gas_allows() -> None:
    size = BatchSize(start=100, most=300, seconds=1)
    size.learn(100, 100, 0.1)
    assert size.size == 200
    size.learn(200, 200, 0.1)
    assert size.size == 300
    size.learn(300, 40, 0.1)
    assert size.size == 40
    assert size.shrink(40, failure(Kind.OUT_OF_GAS)) == 20
    size.learn(20, 20, 0.1)
    assert size.size == 23
    assert size.shrink(20, failure(Kind.PAYLOAD_TOO_LARGE)) == 10
    size.learn(10, 10, 0.1)
    assert size.size == 10


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
