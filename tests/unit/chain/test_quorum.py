"""Agreement: what is compared, who is in the minority, and what follows."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence

import pytest

from scanner.beside import beside
from scanner.chain.agreement import contrast
from scanner.chain.failures import Kind
from scanner.chain.interface import Call, Lens, LensChunk, LogQuery, Reverted
from scanner.chain.quorum import QuorumReader
from scanner.errors import BlockUndone, ChainError, DecodeError, EndpointQuarantined, OverridesRefused, QuorumLost
from tests.unit.chain.fakes import LENS, FakeReader, failure, members

CALLS = [Call("0xaa", b"one"), Call("0xaa", b"two")]
QUERY = LogQuery(("0xaa",), (), 10, 20)
ITEMS = [n.to_bytes(2, "big") for n in range(1, 401)]


def quorum(*readers: FakeReader, needed: int = 2, share: float = 1.0) -> QuorumReader:
    return QuorumReader(members(*readers), needed, share)


def liar(host: str, *about: object) -> FakeReader:
    return FakeReader(host, wrong=frozenset(about))


def read_all(reader: QuorumReader, what: str) -> object:
    if what == "calls":
        return reader.call(CALLS)
    if what == "logs":
        return list(reader.logs(QUERY))
    if what == "hash":
        return reader.block_hash(15)
    return list(reader.lens(LENS, ITEMS))


ABOUT = {
    "calls": (b"two", "the call of 0x74776f to 0xaa", "a revert with 0x6c6965"),
    "logs": (15, "logs of blocks 14-15: 2 and 1 logs", ""),
    "lens": (ITEMS[300], "1 of 400 compared answers of lens probe, the first for 0x012d", ""),
    "hash": (15, "the hash of block 15", ""),
}


@pytest.mark.parametrize("what", ABOUT)
@pytest.mark.parametrize("first", [True, False])
def test_two_that_differ_are_both_named(what: str, first: bool) -> None:
    thing, words, more = ABOUT[what]
    wrong, right = liar("bad", thing), FakeReader("good")
    reader = quorum(*((wrong, right) if first else (right, wrong)))
    with pytest.raises(QuorumLost) as caught:
        read_all(reader, what)
    text = str(caught.value)
    assert text.startswith("bad and good disagree about" if first else "good and bad disagree about")
    if what != "logs" or not first:
        assert words in text
    assert more in text
    assert "give one more endpoint" in text
    assert "--rpc-url" in text
    with pytest.raises(QuorumLost, match="disagree"):
        reader.finish()
    with pytest.raises(QuorumLost, match="disagree"):
        reader.call(CALLS)


@pytest.mark.parametrize("what", ABOUT)
def test_a_third_tells_who_is_wrong_and_a_checker_is_done_without(what: str) -> None:
    wrong = liar("bad", ABOUT[what][0])
    reader = quorum(FakeReader("one"), wrong, FakeReader("two"))
    expected = read_all(quorum(FakeReader("one"), FakeReader("two")), what)

    assert read_all(reader, what) == expected
    assert reader.hosts == ("one", "two")
    assert len(reader.notes) == 1
    assert reader.notes[0].startswith("bad is not used any more: it disagrees with one and two about ")
    reader.finish()
    reader.close()
    assert wrong.closed == 1


def test_who_was_found_out_meanwhile_has_no_voice() -> None:
    third = FakeReader("two")
    reader = quorum(FakeReader("one"), liar("bad", b"two"), third)
    steps = reader.logs(QUERY)
    next(steps)
    assert third.asked == []
    reader.call(CALLS)
    list(steps)
    assert third.asked[1:] == [(12, 13), (14, 15), (16, 17), (18, 19), (20, 20)]


def test_what_the_wrong_one_served_is_read_again() -> None:
    reader = quorum(liar("bad", ITEMS[7]), FakeReader("one"), FakeReader("two"))
    reader.call(CALLS)
    for _ in range(2):  # and whoever goes on hears it again
        with pytest.raises(EndpointQuarantined) as caught:
            read_all(reader, "lens")
        assert caught.value.host == "bad"
        assert "it disagrees with one and two about 1 of 400" in caught.value.reason


def test_too_few_that_are_left_are_no_quorum() -> None:
    reader = quorum(FakeReader("one"), FakeReader("two"), liar("bad", b"two"), needed=3)
    with pytest.raises(QuorumLost, match="one and two and bad disagree about the call"):
        reader.call(CALLS)
    reader = quorum(FakeReader("one"), liar("bad", b"two"), liar("worse", b"one"))
    with pytest.raises(QuorumLost, match="disagree"):
        reader.call(CALLS)


def test_too_few_for_logs_are_no_quorum_either() -> None:
    readers = [FakeReader("one"), FakeReader("two"), liar("bad", b"two")]
    together = members(*readers, roles=[frozenset({"calls"})])
    together.order("calls")[0].failed.add("calls")  # so that the liar is among the first two
    with pytest.raises(QuorumLost, match=r"only two left: bad is not used any more.*give another endpoint"):
        QuorumReader(together, 2).call(CALLS)


@pytest.mark.parametrize("what", ["calls", "logs", "lens"])
@pytest.mark.parametrize("at", [0, 1])
def test_who_fails_is_no_dissenter(what: str, at: int) -> None:
    readers = [FakeReader("a"), FakeReader("b"), FakeReader("c")]
    readers[at].fails, readers[at].good = failure(), 0 if what == "calls" else 3
    expected = read_all(quorum(FakeReader("one"), FakeReader("two")), what)
    reader = quorum(*readers)
    assert read_all(reader, what) == expected
    assert reader.hosts == ("a", "b", "c")
    readers = [FakeReader("a"), FakeReader("b", fails=failure())]
    with pytest.raises(QuorumLost, match=r"2 endpoints have to agree, and 1 can .*: b: "):
        read_all(quorum(*readers), what)


@pytest.mark.parametrize("what", ["calls", "logs", "lens", "hash"])
@pytest.mark.parametrize("at", [0, 1])
def test_an_answer_that_cannot_be_read_is_none(what: str, at: int) -> None:
    readers = [FakeReader("a"), FakeReader("b"), FakeReader("c")]
    readers[at].fails, readers[at].good = DecodeError("odd"), 0 if what in ("calls", "hash") else 3
    expected = read_all(quorum(FakeReader("one"), FakeReader("two")), what)
    assert read_all(quorum(*readers), what) == expected
    readers[at].asked.clear()
    readers[at].good = 0
    assert quorum(*readers).finalized_number() == 90
    with pytest.raises(QuorumLost, match="odd"):
        quorum(readers[at], FakeReader("z")).call(CALLS)


@pytest.mark.parametrize("error", [OverridesRefused("no overrides"), BlockUndone("gone")])
def test_why_too_few_answer_decides_what_can_be_done(error: ChainError) -> None:
    with pytest.raises(type(error)):
        quorum(FakeReader("a"), FakeReader("b", fails=error)).call(CALLS)


class NoLens(FakeReader):
    """Runs no lens, after the first ``lenses`` of them."""

    lenses = 0

    def lens(self, lens: Lens, items: Sequence[bytes]) -> Iterator[LensChunk]:
        self.lenses -= 1
        if self.lenses < 0:
            raise OverridesRefused(f"{self.host}: takes none")
        yield from super().lens(lens, items)


@pytest.mark.parametrize("count", [3, 50, 51, 400])
@pytest.mark.parametrize("first", [True, False])
def test_a_lens_that_too_few_run_is_refused_before_anything_passes(count: int, first: bool) -> None:
    one, other = liar("bad", *ITEMS), NoLens("good")
    reader = quorum(*((one, other) if first else (other, one)))
    passed: list[LensChunk] = []
    with pytest.raises(OverridesRefused):  # its caller reads what it has not got, which is all, by calls
        passed.extend(reader.lens(LENS, ITEMS[:count]))
    assert passed == []
    assert reader.assurance.endswith(" agree on every call and log")
    assert reader.call(CALLS) == [b"one", b"two"]


def test_a_lens_that_too_few_run_after_some_chunks_ends_the_scan() -> None:
    checker = NoLens("good")
    checker.lenses = 1
    reader = quorum(FakeReader("bad"), checker)
    with pytest.raises(QuorumLost, match=r"cannot be compared any more: .*takes none"):
        list(reader.lens(LENS, ITEMS))
    with pytest.raises(QuorumLost):
        reader.finish()
    assert reader.assurance.endswith(" agree on every call and log")
    dying, refusing = FakeReader("a", fails=failure(), good=20), NoLens("b")
    refusing.lenses = 1
    with pytest.raises(QuorumLost, match="cannot be compared"):
        list(quorum(dying, refusing).lens(LENS, ITEMS))


class Slow(FakeReader):
    """Lies by lens, and answers when it is told to; meanwhile others may find it out."""

    def __init__(self, host: str, *wrong: bytes, wait_at: int) -> None:
        super().__init__(host, wrong=frozenset(wrong))
        self.asked_for, self.go = threading.Event(), threading.Event()
        self.wait_at = wait_at

    def lens(self, lens: Lens, items: Sequence[bytes]) -> Iterator[LensChunk]:
        for at, chunk in enumerate(super().lens(lens, items)):
            if at == self.wait_at:
                self.asked_for.set()
                assert self.go.wait(10)
            yield chunk


@pytest.mark.parametrize(("share", "wait_at"), [(1.0, 5), (0.05, 5), (0.05, 199)])
def test_what_comes_from_who_was_found_out_meanwhile_is_not_used(share: float, wait_at: int) -> None:
    slow = Slow("bad", b"two", *ITEMS[8:], wait_at=wait_at)
    reader = quorum(slow, FakeReader("one"), FakeReader("two"), share=share)
    passed: list[LensChunk] = []

    def read() -> None:
        passed.extend(reader.lens(LENS, ITEMS))

    reading = beside(read)
    assert slow.asked_for.wait(10)
    with pytest.raises(EndpointQuarantined):
        reader.call(CALLS)
    slow.go.set()
    with pytest.raises(EndpointQuarantined) as caught:
        reading.result(10)
    assert caught.value.host == "bad"
    assert "about the call" in caught.value.reason


def test_who_was_found_out_before_it_served_is_not_used_either() -> None:
    slow = Slow("bad", b"two", *ITEMS, wait_at=0)
    reader = quorum(NoLens("one"), slow, FakeReader("two"), FakeReader("three"))
    reader._able.add((LENS.name, False, tuple(reader._members.all())))  # as if it had been tried out
    passed: list[LensChunk] = []
    reading = beside(lambda: passed.extend(reader.lens(LENS, ITEMS)))
    assert slow.asked_for.wait(10)
    assert reader.call(CALLS) == [b"one", b"two"]
    assert "bad" not in reader.hosts
    slow.go.set()
    with pytest.raises(EndpointQuarantined, match=r"bad was read from .*it disagrees with one and two about the call"):
        reading.result(10)
    assert passed == []
    with pytest.raises(EndpointQuarantined):
        reader.finish()


@pytest.mark.parametrize("when", ["after its last chunk", "while it is compared"])
def test_who_was_found_out_last_is_not_used_even_if_it_told_the_truth_here(when: str) -> None:
    class Checker(FakeReader):
        def lens(self, lens: Lens, items: Sequence[bytes]) -> Iterator[LensChunk]:
            yield from super().lens(lens, items)
            if when == "while it is compared" and len(items) > 10:
                together.remove(together.all()[0], "found out")

    together = members(FakeReader("bad"), Checker("one"), FakeReader("two"))
    passed: list[LensChunk] = []

    def read() -> None:
        for chunk in QuorumReader(together, 2).lens(LENS, ITEMS):
            passed.append(chunk)
            if when == "after its last chunk" and len(passed) == len(ITEMS) // 2:
                together.remove(together.all()[0], "found out")

    with pytest.raises(EndpointQuarantined, match="bad was read from"):
        read()
    assert len(passed) == len(ITEMS) // 2


def test_long_answers_are_shown_where_they_differ() -> None:
    word = bytes(31)
    for ours, theirs, words in (
        (word + b"\1" + bytes(64), word + b"\2" + bytes(64), "0x…000000000200"),
        (b"\7" * 96, b"\7" * 64, "0x…070707070707070707070707 (64 bytes, the same before byte 64"),
        (b"\7" * 96 + b"\1", b"\7" * 96 + b"\2", "(97 bytes, the same before byte 96)"),
    ):
        one, other = contrast(ours, theirs)
        assert one != other
        assert words in other, other
    assert contrast(b"\1", Reverted(b"\2")) == ("0x01 (1 bytes)", "a revert with 0x02")


def test_time_that_is_up_is_told_as_such() -> None:
    with pytest.raises(ChainError, match=Kind.OUT_OF_TIME.value):
        quorum(FakeReader("a"), FakeReader("b", fails=failure(Kind.OUT_OF_TIME)), FakeReader("c")).call(CALLS)


def test_answers_of_a_lens_are_held_against_others_than_who_gave_them() -> None:
    dying = FakeReader("a", fails=failure(), good=100)
    second, third = FakeReader("b"), FakeReader("c")
    list(quorum(dying, second, third).lens(LENS, ITEMS))
    asked = [item for part in third.asked for item in part]  # type: ignore[attr-defined]
    assert set(ITEMS[200:]) <= set(asked), "the second one was held against itself"


def test_the_final_block_is_the_lowest_of_a_quorum() -> None:
    assert quorum(FakeReader("a", final=95), FakeReader("b", final=80)).finalized_number() == 80
    with pytest.raises(QuorumLost):
        quorum(FakeReader("a"), FakeReader("b", fails=failure())).finalized_number()


def test_a_block_that_too_few_know_is_unknown() -> None:
    reader = quorum(FakeReader("a", final=50), FakeReader("b", final=60))
    assert reader.block_hash(40) == f"0x{40:064x}"
    assert reader.block_hash(55) is None
    assert reader.notes == ()


def test_the_end_is_checked_by_a_quorum() -> None:
    readers = [FakeReader("a"), FakeReader("b"), FakeReader("c", finished=BlockUndone("gone"))]
    quorum(*readers).finish()
    readers[0].finished = failure()
    with pytest.raises(BlockUndone):
        quorum(*readers).finish()


# --- samples ---------------------------------------------------------------------------------------------------------


def test_a_sample_asks_for_as_many_as_it_says() -> None:
    checker = FakeReader("b", chunk=1000)
    reader = quorum(FakeReader("a", chunk=1000), checker, share=0.05)
    many = [n.to_bytes(3, "big") for n in range(2000)]
    for items, compared in ((ITEMS[:30], 30), (ITEMS, 50), (many, 100)):
        checker.asked.clear()
        list(reader.lens(LENS, items))
        assert len(checker.asked[-1]) == compared  # type: ignore[arg-type]
        assert len(checker.asked) == (2 if items is ITEMS else 1), "it is tried out once"
    assert "180 of 2,430 answers of lenses" in reader.assurance
    assert "1 - (1 - 0.05)^k (1 with 5.0%, 10 with 40.1%, 100 with 99.4%)" in reader.assurance
    assert "on all 400 " in _assured(ITEMS)


def _assured(items: list[bytes]) -> str:
    reader = quorum(FakeReader("a"), FakeReader("b"))
    list(reader.lens(LENS, items))
    return reader.assurance


def test_what_is_compared_cannot_be_known_before() -> None:
    caught = 0
    for _ in range(200):
        try:
            list(quorum(liar("a", ITEMS[7]), FakeReader("b"), share=0.05).lens(LENS, ITEMS))
        except QuorumLost:
            caught += 1
    assert 5 <= caught <= 55, "50 of 400 are compared: one in eight is expected"


def test_items_that_are_asked_twice_are_compared_as_such() -> None:
    list(quorum(FakeReader("a"), FakeReader("b")).lens(LENS, [ITEMS[0], ITEMS[1], ITEMS[0]]))
