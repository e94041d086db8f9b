"""What is asked ahead: fewer questions, the same answers."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from scanner.chain.ahead import AheadReader, Hints, LogHint
from scanner.chain.interface import Block, Call, Lens, LensChunk, Log, LogQuery, Overrides, Reverted
from scanner.errors import RpcError
from scanner.kept import load_kept, save_kept


class _Asked:
    """A reader that answers a call with its own calldata, and notes what it was asked together."""

    chain_id = 1
    genesis_hash = "0x00"
    block = Block(7, "0x07", 70)
    hosts = ("node",)
    way = None

    def __init__(self, refused: frozenset[bytes] = frozenset()) -> None:
        self.rounds: list[list[bytes]] = []
        self._refused = refused

    def finalized_number(self) -> int:
        return 5

    def block_hash(self, number: int) -> str | None:
        return f"0x{number:02x}"

    def call(self, calls: Sequence[Call], *, overrides: Overrides | None = None) -> list[bytes | Reverted]:
        self.rounds.append([call.data for call in calls])
        if self._refused.intersection(self.rounds[-1]):
            raise RpcError("no")
        return [Reverted(call.data) if call.data == b"revert" else call.data for call in calls]

    def lens(self, lens: Lens, items: Sequence[bytes]) -> Iterator[LensChunk]:
        yield LensChunk(0, len(items), b"")

    def logs(self, query: LogQuery) -> Iterator[tuple[int, list[Log]]]:
        yield query.last_block, []


def _calls(*data: bytes) -> list[Call]:
    return [Call("0x" + 40 * "1", each) for each in data]


def _scan(reader: AheadReader) -> list[list[bytes | Reverted]]:
    return [reader.call(_calls(b"root", b"revert")), reader.call(_calls(b"pool")), reader.call(_calls(b"a", b"a"))]


def test_the_second_scan_asks_once_what_the_first_asked_in_rounds() -> None:
    first = AheadReader(inner := _Asked())
    answers = _scan(first)
    assert inner.rounds == [[b"root", b"revert"], [b"pool"], [b"a"]]
    second = AheadReader(inner := _Asked(), first.noted)
    assert _scan(second) == answers
    assert inner.rounds == [[b"root", b"revert", b"pool", b"a"]]
    assert second.noted == first.noted


def test_hints_that_are_not_wanted_any_more_fall_away() -> None:
    reader = AheadReader(_Asked(), Hints([("0x" + 40 * "2", b"old")]))
    _scan(reader)
    assert reader.noted is not None
    assert b"old" not in [data for _, data in reader.noted.calls]


def test_a_hint_that_fails_takes_nothing_with_it() -> None:
    reader = AheadReader(inner := _Asked(frozenset({b"bad"})), Hints([("0x" + 40 * "2", b"bad")]))
    assert _scan(reader) == _scan(AheadReader(_Asked()))
    assert inner.rounds[1:] == [[b"root", b"revert"], [b"pool"], [b"a"]]


def test_what_the_node_refuses_is_still_raised() -> None:
    reader = AheadReader(_Asked(frozenset({b"pool"})))
    with pytest.raises(RpcError):
        _scan(reader)


TO = "0x" + 40 * "2"
HOSTILE: dict[str, dict[str, object]] = {
    "short": {"calls": [(TO[:-2], b"x")]},
    "long": {"calls": [(TO, b"good"), (TO + "00", b"x")]},
    "a line's end": {"calls": [(TO + "\n", b"x")]},
    "upper case": {"calls": [("0x" + 40 * "A", b"x")]},
    "no hex": {"calls": [("0x" + 40 * "g", b"x")]},
    "other digits": {"calls": [("0x" + 40 * "\u0661", b"x")]},
    "many": {"calls": [(TO, index.to_bytes(2, "big")) for index in range(5_001)]},
    "large": {"calls": [(TO, bytes(400_001))]},
    "no block": {"blocks": [5, -1]},
    "no number": {"blocks": [2**63]},
    "many blocks": {"blocks": list(range(1_001))},
    "logs of nothing": {"logs": {"addresses": [], "topics": [], "first_block": 1}},
    "logs of no address": {"logs": {"addresses": [TO[:-2]], "topics": [], "first_block": 1}},
    "a short topic": {"logs": {"addresses": [TO], "topics": ["0x12"], "first_block": 1}},
    "logs before all": {"logs": {"addresses": [TO], "topics": [], "first_block": -1}},
    "many topics": {"logs": {"addresses": [TO], "topics": ["0x" + 64 * "5"] * 101, "first_block": 1}},
}


@pytest.mark.parametrize("name", HOSTILE)
def test_hints_that_no_scan_writes_are_not_taken(name: str, tmp_path: Path) -> None:
    path = tmp_path / "questions.json"
    assert save_kept(path, {"calls": [(TO, b"good")], "blocks": [5]})
    assert load_kept(path, Hints) == Hints([(TO, b"good")], [5])
    assert save_kept(path, {"calls": [], "blocks": [], **HOSTILE[name]})
    assert load_kept(path, Hints) is None


def test_what_would_not_be_taken_is_not_kept() -> None:
    reader = AheadReader(_Asked())
    reader.call([Call("0xABC", b"x")])
    assert reader.noted is None


def test_overrides_are_never_answered_from_memory() -> None:
    reader = AheadReader(inner := _Asked())
    reader.call(_calls(b"root"))
    reader.call(_calls(b"root"), overrides={"0x" + 40 * "3": b"code"})
    assert inner.rounds == [[b"root"], [b"root"]]


def test_nothing_is_noted_of_what_is_asked_aside() -> None:
    reader = AheadReader(_Asked())
    reader.call(_calls(b"root"))
    reader.block_hash(3)
    with reader.aside():
        reader.call(_calls(b"account"))
        reader.block_hash(4)
    assert reader.noted == Hints([("0x" + 40 * "1", b"root")], [3])


def test_too_many_hints_are_none() -> None:
    reader = AheadReader(_Asked())
    reader.call(_calls(*(bytes([index // 256, index % 256]) for index in range(5_001))))
    assert reader.noted is None


class _WithLogs(_Asked):
    """Has a log of the asked address in every block; notes which blocks it was asked for."""

    def __init__(self, *, fails: int = 0) -> None:
        super().__init__()
        self.asked: list[tuple[int, int]] = []
        self._fails = fails

    def logs(self, query: LogQuery) -> Iterator[tuple[int, list[Log]]]:
        self.asked.append((query.first_block, query.last_block))
        if len(self.asked) <= self._fails:
            raise RpcError("no logs")
        for number in range(query.first_block, query.last_block + 1):
            yield number, [Log(query.addresses[0], (bytes.fromhex(query.topics[0][2:]),), b"", number, 0)]


TOPIC = "0x" + 64 * "5"


def _log_scan(reader: AheadReader, first: int, last: int = 7) -> list[int]:
    reader.call(_calls(b"root"))
    reader.finalized_number()
    found = list(reader.logs(LogQuery((TO,), (TOPIC,), first, last)))
    assert found[-1][0] == last
    return [log.block_number for _, logs in found for log in logs]


def test_logs_are_asked_for_before_the_scan_knows_of_which_contract() -> None:
    first = AheadReader(inner := _WithLogs())
    assert _log_scan(first, 2) == [2, 3, 4, 5, 6, 7]
    assert first.noted is not None
    second = AheadReader(inner := _WithLogs(), first.noted)
    second.call(_calls(b"root"))
    assert inner.asked == [(6, 7)]  # the final blocks, up to 5, are in the index
    assert _log_scan(second, 6) == [6, 7]
    assert inner.asked == [(6, 7)]
    assert second.noted == first.noted


def test_of_logs_read_ahead_only_those_asked_for_are_given() -> None:
    reader = AheadReader(inner := _WithLogs(), Hints(logs=LogHint((TO,), (TOPIC,), 3)))
    assert _log_scan(reader, 6) == [6, 7]
    assert inner.asked == [(3, 7)]


@pytest.mark.parametrize(
    "hint",
    [
        LogHint((TO,), (TOPIC,), 6),  # of too few blocks
        LogHint(("0x" + 40 * "3",), (TOPIC,), 4),
        LogHint((TO,), ("0x" + 64 * "6",), 4),
        LogHint((TO,), (TOPIC,), 9),  # the reader stands before it
    ],
)
def test_logs_of_another_question_are_not_taken(hint: LogHint) -> None:
    reader = AheadReader(inner := _WithLogs(), Hints(logs=hint))
    assert _log_scan(reader, 4) == [4, 5, 6, 7]
    assert inner.asked[-1] == (4, 7)


def test_logs_that_could_not_be_read_ahead_are_read_when_wanted() -> None:
    reader = AheadReader(inner := _WithLogs(fails=1), Hints(logs=LogHint((TO,), (TOPIC,), 4)))
    assert _log_scan(reader, 4) == [4, 5, 6, 7]
    assert inner.asked == [(4, 7), (4, 7)]
    with pytest.raises(RpcError):
        _log_scan(AheadReader(_WithLogs(fails=2), Hints(logs=LogHint((TO,), (TOPIC,), 4))), 4)


def test_a_long_gap_is_not_read_twice() -> None:
    inner = _WithLogs()
    inner.block = Block(5_000, "0x07", 70)
    reader = AheadReader(inner, Hints(logs=LogHint((TO,), (TOPIC,), 4)))
    assert len(_log_scan(reader, 4_990, 5_000)) == 11
    assert inner.asked == [(4_990, 5_000)]


def test_nothing_is_read_after_the_end() -> None:
    reader = AheadReader(_WithLogs())
    reader.end()
    assert reader.call([]) == []
    for read in (lambda: reader.call(_calls(b"root")), lambda: list(reader.logs(LogQuery((TO,), (TOPIC,), 1, 7)))):
        with pytest.raises(AssertionError, match="after the end"):
            read()
