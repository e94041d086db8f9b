"""What is kept of an endpoint: small, private, whole at any moment, and forgotten in time."""

from __future__ import annotations

import json
import math
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import msgspec
import pytest

from scanner.chain.learned import MOST_LENSES, Learned, LearnedStore

URL = "https://user:pa55word@node.example/v3/s3cretkey?token=s3crettoken"
DAY = 86_400.0
FULL = Learned(
    gas_cap=50_000_000, by_hash=True, overrides=True, deployless=False, batch=0, log_blocks=1_000, log_addresses=50,
    log_results=10_000, request_bytes=500_000, lens_gas={"accounts 0011aabb": 21_000.5},
)  # fmt: skip


class Clock:
    def __init__(self) -> None:
        self.now = 1_800_000_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def store(tmp_path: Path, clock: Clock) -> LearnedStore:
    return LearnedStore(tmp_path / "endpoints", clock=clock)


def test_what_was_learned_comes_back(store: LearnedStore) -> None:
    assert store.load(URL) == Learned()
    assert store.save(URL, FULL)
    assert store.load(URL) == FULL
    assert store.load(URL + "2") == Learned()


def test_every_field_is_kept() -> None:
    """A field that is added to Learned is added here too, and so seen to be kept."""
    assert all(value not in (None, {}) for value in msgspec.structs.asdict(FULL).values())


def test_a_file_is_private_and_tells_nothing_of_the_url(store: LearnedStore) -> None:
    store.save(URL, FULL)
    (file,) = store.folder.iterdir()
    assert file == store.path(URL)
    assert file.stat().st_mode & 0o777 == 0o600
    shown = file.name + file.read_text()
    assert not any(part in shown for part in ("s3cret", "pa55word", "user", "node.example", "v3"))


def test_limits_and_refusals_are_asked_again_after_a_day(store: LearnedStore, clock: Clock) -> None:
    store.save(URL, FULL)
    clock.now += DAY - 1
    assert store.load(URL) == FULL
    store.save(URL, FULL)  # what is only remembered does not become younger
    clock.now += 2
    assert store.load(URL) == Learned(by_hash=True, overrides=True, lens_gas=FULL.lens_gas)
    clock.now += 30 * DAY
    assert store.load(URL) == Learned()


def test_a_file_that_would_say_the_same_is_not_written(store: LearnedStore) -> None:
    store.save(URL, FULL)
    before = store.path(URL).stat().st_ino
    store.save(URL, Learned(log_blocks=2_000, overrides=True))
    assert store.path(URL).stat().st_ino == before


def test_what_was_learned_again_is_young_again(store: LearnedStore, clock: Clock) -> None:
    store.save(URL, Learned(log_blocks=1_000))
    clock.now += DAY + 1
    store.save(URL, Learned(log_blocks=1_000))
    clock.now += DAY - 1
    assert store.load(URL).log_blocks == 1_000


def test_a_fact_of_the_future_is_no_fact(store: LearnedStore, clock: Clock) -> None:
    store.save(URL, FULL)
    clock.now -= 2 * DAY
    assert store.load(URL) == Learned()


def test_of_two_limits_the_smaller_stays(store: LearnedStore) -> None:
    store.save(URL, Learned(log_blocks=1_000, gas_cap=10_000_000, overrides=True, lens_gas={"a": 1.0}))
    store.save(URL, Learned(log_blocks=10_000, gas_cap=5_000_000, overrides=False, lens_gas={"b": 2.0}))
    assert store.load(URL) == Learned(
        log_blocks=1_000, gas_cap=5_000_000, overrides=False, lens_gas={"a": 1.0, "b": 2.0}
    )


def test_what_is_probed_anew_takes_the_place_of_all(store: LearnedStore) -> None:
    store.save(URL, FULL)
    store.save(URL, Learned(log_blocks=10_000, by_hash=True), anew=True)
    assert store.load(URL) == Learned(log_blocks=10_000, by_hash=True)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\x00\xff\x00",
        b"{",
        b"[]",
        b"{}",
        b'{"format":"something-else","facts":{}}',
        b'{"format":"liqbands-endpoint-1","facts":[]}',
        b'{"format":"liqbands-endpoint-1","facts":{"gas_cap":7}}',
        b'{"format":"liqbands-endpoint-1\xff","facts":{}}',
        b'{"format":"liqbands-endpoint-1","facts":{"lens_gas":{"value":{"a\xff":1.0},"learned_at":1800000000}}}',
    ],
)
def test_a_damaged_or_foreign_file_is_ignored_and_replaced(store: LearnedStore, content: bytes) -> None:
    store.folder.mkdir()
    store.path(URL).write_bytes(content)
    assert store.load(URL) == Learned()
    assert store.save(URL, FULL)
    assert store.load(URL) == FULL


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("gas_cap", 1),
        ("gas_cap", "much"),
        ("gas_cap", True),
        ("batch", -1),
        ("log_blocks", 0),
        ("by_hash", 1),
        ("lens_gas", {"a": -1.0}),
        ("__class__", 1),
        ("unheard_of", 1),
    ],
)
def test_a_value_that_cannot_be_is_left_out(store: LearnedStore, clock: Clock, name: str, value: object) -> None:
    facts = {name: {"value": value, "learned_at": clock.now}, "overrides": {"value": True, "learned_at": clock.now}}
    store.folder.mkdir()
    store.path(URL).write_text(json.dumps({"format": "liqbands-endpoint-1", "facts": facts}))
    assert store.load(URL) == Learned(overrides=True)


def test_a_table_that_is_too_long_is_trimmed(store: LearnedStore, clock: Clock) -> None:
    lenses = {"nothing": 0.0} | {str(n): n + 1.0 for n in range(2 * MOST_LENSES)} | {"negative": -1.0}
    facts = {"lens_gas": {"value": lenses, "learned_at": clock.now}}
    store.folder.mkdir()
    store.path(URL).write_text(json.dumps({"format": "liqbands-endpoint-1", "facts": facts}))
    newest = {str(n): n + 1.0 for n in range(MOST_LENSES, 2 * MOST_LENSES)}
    assert store.load(URL).lens_gas == newest
    oldest = str(MOST_LENSES)
    store.save(URL, Learned(lens_gas={oldest: 7.0, "new": 8.0, "none": math.inf}))
    del newest[str(MOST_LENSES + 1)]  # the oldest that was not used again
    assert store.load(URL).lens_gas == newest | {oldest: 7.0, "new": 8.0}


def test_where_nothing_can_be_written_it_is_done_without(tmp_path: Path) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("not a folder")
    store = LearnedStore(blocked / "endpoints")
    assert not store.save(URL, FULL)
    assert store.load(URL) == Learned()


def test_what_a_killed_process_left_is_removed(store: LearnedStore) -> None:
    store.save(URL, FULL)
    old, young = (store.folder / f".{store.path(URL).name}.{n}.0.part" for n in (1, 2))
    for part in (old, young):
        part.write_text("{")
    os.utime(old, (time.time() - DAY, time.time() - DAY))
    store.save(URL, Learned(log_blocks=10))
    assert not old.exists()
    assert young.exists()  # somebody may be writing it


WRITER = """
import sys
from pathlib import Path
from scanner.chain.learned import Learned, LearnedStore
store, number = LearnedStore(Path(sys.argv[1])), 0
print("ready", flush=True)
while True:
    number += 1
    lenses = {str(n): 1.0 for n in range(16)}
    store.save(sys.argv[2], Learned(overrides=True, log_blocks=10**9 - number, lens_gas=lenses))
"""


@pytest.mark.parametrize("kills", [5, pytest.param(50, marks=pytest.mark.soak)])
def test_a_file_is_whole_whenever_its_writers_are_killed(tmp_path: Path, kills: int) -> None:
    dice = random.Random(kills)
    store, last = LearnedStore(tmp_path), 10**9
    for _ in range(kills):
        writers = [
            subprocess.Popen([sys.executable, "-c", WRITER, str(tmp_path), URL], stdout=subprocess.PIPE)
            for _ in range(2)
        ]
        for writer in writers:
            assert writer.stdout is not None
            assert writer.stdout.readline() == b"ready\n"
        time.sleep(dice.uniform(0.01, 0.06))
        for writer in writers:
            writer.send_signal(signal.SIGKILL)
            writer.communicate()
        found = store.load(URL)
        assert found.overrides is True
        assert len(found.lens_gas) == 16
        assert found.log_blocks is not None
        assert found.log_blocks < last  # they got on, and what the former ones left was kept
        last = found.log_blocks + 1  # the new ones begin anew: the smaller limit stays until they are below it
    assert msgspec.json.decode(store.path(URL).read_bytes())["format"] == "liqbands-endpoint-1"
