from __future__ import annotations

import gzip
import random
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from scanner.chain.interface import Block, Call, Lens, LensChunk, Log, LogQuery, Overrides, Reverted, Way
from scanner.chain.recording import LogsFound, call_key, lens_key, load
from scanner.chain.replay import RecordingReader, ReplayReader
from scanner.errors import BlockUnavailable, ConfigError, RecordingError

TARGET = "0x" + "11" * 20
TOPIC = "0x" + "22" * 32
LENS = Lens("doubles", b"\x5f", b"head", item_bytes=2)
ITEMS = [i.to_bytes(2, "big") for i in range(100)]


class FormulaReader:
    """A chain that is a formula, read in chunks of a given size."""

    chain_id = 31337
    genesis_hash = "0x" + "00" * 32
    block = Block(1_000, "0x" + "aa" * 32, 1_700_000_000)
    hosts = ("node.example",)
    way: Way | None = "override"

    def __init__(self, chunk: int) -> None:
        self._chunk = chunk

    def finalized_number(self) -> int:
        return 936

    def call(self, calls: Sequence[Call], *, overrides: Overrides | None = None) -> list[bytes | Reverted]:
        code = b"".join((overrides or {}).values())
        return [Reverted(call.data) if call.data == b"no" else call.data + code for call in calls]

    def lens(self, lens: Lens, items: Sequence[bytes]) -> Iterator[LensChunk]:
        starts = list(range(0, len(items), self._chunk))
        random.Random(self._chunk).shuffle(starts)
        for first in starts:
            part = items[first : first + self._chunk]
            records = b"".join(
                position.to_bytes(4, "big") + item.rjust(28, bytes([n]))
                for position, item in enumerate(part)
                for n in range(item[-1] % 3)
            )
            yield LensChunk(first, len(part), records)

    def logs(self, query: LogQuery) -> Iterator[tuple[int, list[Log]]]:
        for first in range(query.first_block, query.last_block + 1, self._chunk):
            last = min(first + self._chunk - 1, query.last_block)
            yield last, [Log(TARGET, (b"\x22" * 32,), b"", n, i) for n in range(first, last + 1) for i in range(n % 3)]


def query(first: int, last: int) -> LogQuery:
    return LogQuery((TARGET,), (TOPIC,), first, last)


def record(path: Path, chunk: int = 7) -> None:
    reader = RecordingReader(FormulaReader(chunk), command="liqbands scan --record demo.bin")
    reader.call([Call(TARGET, b"yes"), Call(TARGET, b"no")])
    reader.call([Call(TARGET, b"yes")], overrides={TARGET: b"\x01"})
    assert sum(chunk.count for chunk in reader.lens(LENS, ITEMS)) == len(ITEMS)
    assert list(reader.logs(query(10, 500)))[-1][0] == 500
    reader.save(path)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    record(tmp_path / "block.rec")
    return tmp_path / "block.rec"


def grouped(chunks: Iterator[LensChunk]) -> dict[int, list[bytes]]:
    found: dict[int, list[bytes]] = {}
    for chunk in chunks:
        for at in range(0, len(chunk.records), 32):
            position = chunk.first + int.from_bytes(chunk.records[at : at + 4], "big")
            found.setdefault(position, []).append(chunk.records[at + 4 : at + 32])
    return found


def test_a_replay_answers_like_the_chain(path: Path) -> None:
    chain, replay = FormulaReader(13), ReplayReader(path)

    assert (replay.chain_id, replay.genesis_hash, replay.block, replay.hosts, replay.finalized_number()) == (
        chain.chain_id,
        chain.genesis_hash,
        chain.block,
        chain.hosts,
        936,
    )
    assert replay.call([Call(TARGET, b"no"), Call(TARGET, b"yes")]) == [Reverted(b"no"), b"yes"]
    assert replay.call([Call(TARGET, b"yes")], overrides={TARGET: b"\x01"}) == [b"yes\x01"]
    assert grouped(replay.lens(LENS, ITEMS[40:10:-3])) == grouped(chain.lens(LENS, ITEMS[40:10:-3]))
    assert [log for _, logs in replay.logs(query(20, 300)) for log in logs] == [
        log for _, logs in chain.logs(query(20, 300)) for log in logs
    ]


def test_chunking_leaves_no_trace(path: Path, tmp_path: Path) -> None:
    record(tmp_path / "other.rec", chunk=31)

    assert (tmp_path / "other.rec").read_bytes() == path.read_bytes()


def test_what_is_missing_names_the_command(path: Path) -> None:
    replay = ReplayReader(path)
    for ask in (
        lambda: replay.call([Call(TARGET, b"new")]),
        lambda: replay.call([Call(TARGET, b"yes")], overrides={TARGET: b"\x02"}),
        lambda: list(replay.lens(Lens("doubles", b"\x60", b"head", item_bytes=2), ITEMS)),
        lambda: list(replay.lens(Lens("doubles", b"\x5f", b"head", 2, overrides={TARGET: b"\x01"}), ITEMS)),
        lambda: list(replay.lens(LENS, [b"zz"])),
        lambda: list(replay.logs(query(9, 20))),
        lambda: list(replay.logs(LogQuery((TARGET,), (), 20, 30))),
    ):
        with pytest.raises(RecordingError, match=r"record it again with: liqbands scan --record demo\.bin"):
            ask()
    with pytest.raises(BlockUnavailable):
        list(replay.logs(query(20, 1_001)))


def test_a_recording_may_be_edited_and_sealed(path: Path) -> None:
    recording = load(path)
    recording.calls[call_key(Call(TARGET, b"yes"), None)] = b"edited"
    items = recording.lenses[lens_key(LENS)]
    items[ITEMS[1]] = bytes(31) + b"\x09"
    recording.save(path)

    replay = ReplayReader(path)
    assert replay.call([Call(TARGET, b"yes")]) == [b"edited"]
    (chunk,) = replay.lens(LENS, ITEMS[:2])
    assert chunk.records == b"\0\0\0\x01" + bytes(27) + b"\x09"


def test_damage_is_noticed(path: Path) -> None:
    whole = path.read_bytes()
    plain = gzip.decompress(whole)
    bad = {
        "truncated": whole[: len(whole) // 2],
        "empty": b"",
        "foreign": b"SQLite format 3\0",
        "flipped bit": gzip.compress(plain.replace(b"796573", b"796575", 1)),
        "other json": gzip.compress(b'{"a":1}\n{}'),
        "newer": gzip.compress(plain.replace(b'"format":1', b'"format":2')),
    }
    for what, content in bad.items():
        path.write_bytes(content)
        with pytest.raises(RecordingError, match=r"block\.rec") as caught:
            load(path)
        assert len(str(caught.value)) > 40, what
    with pytest.raises(ConfigError, match=r"cannot read the recording .*absent: No such file"):
        load(path.with_name("absent"))


def test_ranges_of_logs_merge() -> None:
    found = LogsFound()
    found.add(10, 19, [])
    found.add(30, 39, [])
    assert found.between(10, 30) is None
    found.add(20, 29, [Log(TARGET, (), b"", 25, 0)])
    assert found.ranges == [(10, 39)]
    assert found.between(12, 38) == [Log(TARGET, (), b"", 25, 0)]
    assert found.between(26, 38) == []
