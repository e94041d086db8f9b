"""Fail-over: who is asked for what, and what it means when all have failed."""

from __future__ import annotations

from dataclasses import replace

import pytest

from scanner.chain.failures import Kind
from scanner.chain.interface import Call, LogQuery, Reverted
from scanner.chain.pool import PoolReader
from scanner.errors import (
    BlockUnavailable,
    BlockUndone,
    ChainError,
    ConfigError,
    DecodeError,
    NoProofs,
    OverridesRefused,
    RpcError,
)
from tests.unit.chain.fakes import LENS, FakeReader, failure, members

CALLS = [Call("0xaa", b"one"), Call("0xaa", b"two")]
ITEMS = [bytes([n]) for n in range(1, 12)]
QUERY = LogQuery(("0xaa",), (), 1, 9)


def answered(pool: PoolReader) -> dict[int, bytes]:
    """Give each item's record, having seen that every item is answered once."""
    found: dict[int, bytes] = {}
    for chunk in pool.lens(LENS, ITEMS):
        for at in range(0, len(chunk.records), 32):
            place = chunk.first + int.from_bytes(chunk.records[at : at + 4], "big")
            assert place not in found
            found[place] = chunk.records[at + 4 : at + 32]
    assert sorted(found) == list(range(len(ITEMS)))
    return found


@pytest.mark.parametrize("order", [(), (5, 0, 3, 1, 4, 2)])
@pytest.mark.parametrize("good", range(6))
def test_a_lens_goes_on_with_the_items_that_have_no_answer(good: int, order: tuple[int, ...]) -> None:
    first = FakeReader("a", fails=failure(), good=good, order=order)
    second = FakeReader("b")
    pool = PoolReader(members(first, second))

    assert answered(pool) == {at: item.rjust(27, b"\0") + b"\0" for at, item in enumerate(ITEMS)}
    asked = [item for part in [*first.asked, *second.asked] for item in part]  # type: ignore[attr-defined]
    assert sorted(asked) == ITEMS, "an item was asked twice"


def test_logs_go_on_after_the_last_block_covered() -> None:
    first, second = FakeReader("a", fails=failure(), good=2), FakeReader("b", chunk=3)
    steps = list(PoolReader(members(first, second)).logs(QUERY))

    assert [last for last, _ in steps] == [2, 4, 7, 9]
    assert [log.block_number for _, logs in steps for log in logs] == list(range(1, 10))
    assert second.asked == [(5, 7), (8, 9)]


def test_calls_are_asked_again_as_a_whole_and_the_first_one_no_more() -> None:
    first, second = FakeReader("a", fails=failure()), FakeReader("b")
    pool = PoolReader(members(first, second))

    assert pool.call(CALLS) == [b"one", b"two"]
    first.fails = None
    pool.call(CALLS)
    assert (len(first.asked), len(second.asked)) == (0, 2)
    list(pool.logs(QUERY))
    assert len(first.asked) == 5, "it failed at calls, not at logs"


def test_one_that_cannot_be_reached_is_asked_last_for_everything() -> None:
    first, second = FakeReader("a", fails=failure(Kind.UNREACHABLE)), FakeReader("b")
    pool = PoolReader(members(first, second))
    pool.call(CALLS)
    first.fails = None
    list(pool.logs(QUERY))
    assert first.asked == []
    assert len(pool.notes) == 1


@pytest.mark.parametrize("error", [failure(Kind.REVERTED), failure(Kind.OUT_OF_TIME), ConfigError("no")])
def test_what_another_endpoint_cannot_mend_is_told_at_once(error: Exception) -> None:
    first, second = FakeReader("a", fails=error), FakeReader("b")
    pool = PoolReader(members(first, second))
    for read in (lambda: pool.call(CALLS), lambda: list(pool.lens(LENS, ITEMS)), lambda: list(pool.logs(QUERY))):
        with pytest.raises(type(error)):
            read()
    assert second.asked == []


def test_an_answer_of_another_shape_is_none_and_goes_to_the_next() -> None:
    for good in (0, 2):
        first, second = FakeReader("a", fails=DecodeError("odd shape"), good=good), FakeReader("b")
        pool = PoolReader(members(first, second))
        assert len(answered(pool)) == len(ITEMS)
        assert pool.notes == ("a failed at reading calls, others were asked: odd shape",)
        first.asked.clear()
        assert [last for last, _ in pool.logs(QUERY)][-1] == 9
        assert pool.call(CALLS) == [b"one", b"two"]
        assert pool.block_hash(50) == f"0x{50:064x}"
    readers = [FakeReader(host, fails=DecodeError("odd shape")) for host in "ab"]
    with pytest.raises(RpcError, match="a: odd shape; b: odd shape"):
        PoolReader(members(*readers)).call(CALLS)


@pytest.mark.parametrize("words", ["odd shape", "a: odd shape"])
def test_where_there_is_no_next_the_host_is_named(words: str) -> None:
    pool = PoolReader(members(FakeReader("a", fails=DecodeError(words))))
    for read in (lambda: pool.call(CALLS), lambda: list(pool.lens(LENS, ITEMS)), lambda: list(pool.logs(QUERY))):
        with pytest.raises(DecodeError, match=r"^a: odd shape"):
            read()


def test_a_revert_is_an_answer() -> None:
    first, second = FakeReader("a", wrong=frozenset([b"two"])), FakeReader("b")
    assert PoolReader(members(first, second)).call(CALLS) == [b"one", Reverted(b"lie")]
    assert second.asked == []


@pytest.mark.parametrize(
    ("errors", "kind"),
    [
        ((failure(host="a"), failure(Kind.UNAUTHORIZED, "b")), RpcError),
        ((failure(host="a"), BlockUndone("block 100 is gone")), BlockUndone),
        ((BlockUnavailable("pruned"), BlockUnavailable("pruned")), BlockUnavailable),
        ((BlockUnavailable("pruned"), failure(host="b")), RpcError),
        ((OverridesRefused("no overrides"), failure(host="b")), OverridesRefused),
    ],
)
def test_when_all_failed_each_is_named(errors: tuple[ChainError, ChainError], kind: type[ChainError]) -> None:
    readers = [FakeReader(host, fails=error) for host, error in zip("ab", errors, strict=True)]
    with pytest.raises(ChainError) as caught:
        PoolReader(members(*readers)).call(CALLS)
    assert type(caught.value) is kind
    assert caught.value.exit_code == 3
    assert "a: " in str(caught.value)
    assert "b: " in str(caught.value)
    assert "k3y" not in str(caught.value)


def test_who_refuses_overrides_is_asked_first_without_them() -> None:
    first, second = FakeReader("a", fails=OverridesRefused("none taken")), FakeReader("b")
    pool = PoolReader(members(first, second))
    pool.call(CALLS, overrides={"0xaa": b"\0"})
    first.fails = None
    pool.call(CALLS)
    assert len(first.asked) == 1
    assert pool.notes == ()


def test_roles_and_archives() -> None:
    recent, archive = FakeReader("a"), FakeReader("b")
    no_archive = frozenset({"calls", "logs"})
    for old, asked in ((False, recent), (True, archive)):
        pool = PoolReader(members(recent, archive, roles=[no_archive], old=old))
        before = len(asked.asked)
        pool.call(CALLS)
        assert len(asked.asked) == before + 1
    only = PoolReader(members(recent, roles=[frozenset({"calls"})]))
    with pytest.raises(ChainError, match="no endpoint is left that has the role logs"):
        list(only.logs(QUERY))


def test_a_block_that_one_does_not_know_is_asked_of_the_next() -> None:
    pool = PoolReader(members(FakeReader("a", final=50), FakeReader("b", final=60)))
    assert pool.block_hash(55) == f"0x{55:064x}"
    assert pool.block_hash(61) is None
    pool = PoolReader(members(FakeReader("a", fails=failure()), FakeReader("b", fails=failure())))
    with pytest.raises(ChainError):
        pool.block_hash(1)


def test_proofs_go_on_with_the_slots_that_have_none() -> None:
    first, second = FakeReader("a", fails=failure(), good=2), FakeReader("b")
    found = [
        (one.address, *one.slots) for one in PoolReader(members(first, second)).proofs({"0x1": [1, 2], "0x2": [3]})
    ]
    assert found == [("0x1", 1), ("0x1", 2), ("0x2", 3)]
    assert second.asked == [("0x2", 3)]


def test_who_gives_no_proofs_is_asked_first_for_calls() -> None:
    first, second = FakeReader("a", fails=NoProofs("a: no such method", "use another one")), FakeReader("b")
    pool = PoolReader(members(first, second))
    for _ in range(2):
        assert len(list(pool.proofs({"0x1": [1]}))) == 1
        assert pool.header().host == "b"
    assert pool.notes == ("a failed at reading proofs, others were asked: no such method",)
    first.fails = None
    pool.call(CALLS)
    assert len(first.asked) == 1
    with pytest.raises(NoProofs, match="use another one"):
        list(PoolReader(members(FakeReader("a", fails=NoProofs("no", "use another one")))).proofs({"0x1": [1]}))


def test_a_note_of_who_failed_has_no_advice() -> None:
    for error in (failure(Kind.UNREACHABLE, "a"), _of(failure(Kind.STATE_MISSING, "a"))):
        assert "; " in str(error)
        pool = PoolReader(members(FakeReader("a", fails=error), FakeReader("b")))
        pool.call(CALLS)
        (note,) = pool.notes
        assert note.startswith("a failed at reading calls, others were asked: ")
        assert "; " not in note


def _of(cause: ChainError) -> ChainError:
    error = BlockUnavailable(f"the state of block 100 is not there: {cause}")
    error.__cause__ = cause
    return error


def test_records_that_no_item_can_have_are_read_from_the_next() -> None:
    def check(records: bytes) -> None:
        if any(records[31::32]):
            raise DecodeError("a lie")

    first, second = FakeReader("a", wrong=frozenset([ITEMS[5]])), FakeReader("b")
    pool = PoolReader(members(first, second))
    chunks = list(pool.lens(replace(LENS, check=check), ITEMS))
    assert sum(chunk.count for chunk in chunks) == len(ITEMS)
    assert not any(any(chunk.records[31::32]) for chunk in chunks)
    assert second.asked[0] == ITEMS[4:6]
    assert pool.notes == ("a failed at reading calls, others were asked: a lie",)


# --- the end ---------------------------------------------------------------------------------------------------------


def test_the_end_is_checked_by_one_and_all_are_closed() -> None:
    first, second = FakeReader("a", finished=failure()), FakeReader("b")
    with PoolReader(members(first, second)) as pool:
        pool.call(CALLS)
    assert (first.closed, second.closed) == (1, 1)
    first.finished = second.finished = failure()
    with pytest.raises(RpcError), PoolReader(members(first, second)):
        pass
    first.finished = BlockUndone("gone")
    with pytest.raises(BlockUndone), PoolReader(members(first, second)):
        pass


@pytest.mark.parametrize(("final", "trusted"), [(99, False), (100, True)])
def test_who_was_read_by_number_has_to_say_that_the_block_is_the_same(final: int, trusted: bool) -> None:
    first = FakeReader("a", by_hash=False, finished=failure())
    pool = PoolReader(members(first, FakeReader("b", final=final)))
    pool.call(CALLS)
    first.fails = failure()
    if trusted:
        pool.finish()  # a final block is what it was
    else:
        with pytest.raises(ChainError, match="a was read by block number and cannot say"):
            pool.finish()
