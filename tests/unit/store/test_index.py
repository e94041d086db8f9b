"""The borrower index: what is saved, what is refused, what survives."""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
import textwrap
from contextlib import closing
from pathlib import Path

import pytest

from scanner.errors import ConfigError, DecodeError, IndexFileError
from scanner.store.files import find_indexes, imported_to, index_path
from scanner.store.index import BorrowerIndex

MARKET = {"chain_id": 31337, "genesis_hash": "0x" + "ab" * 32, "protocol": "aave-v3", "market_id": "0x" + "11" * 20}
A, B, C, D = ("0x" + digit * 40 for digit in "abcd")


def open_index(path: Path, **other: object) -> BorrowerIndex:
    return BorrowerIndex(path, **{**MARKET, "first_block": 10, **other})  # type: ignore[arg-type]


def test_cursor_and_positions_are_saved_together(tmp_path: Path) -> None:
    with open_index(tmp_path / "a.sqlite") as index:
        assert index.covered_to == 9
        index.add([(A, A, 12), (B, B, 15)], 20)
    with open_index(tmp_path / "a.sqlite") as index:
        assert index.covered_to == 20
        assert index.active(100) == [A, B]


def test_cursor_never_moves_backwards(tmp_path: Path) -> None:
    with open_index(tmp_path / "a.sqlite") as index:
        index.add([], 50)
        index.add([], 20)
        assert index.covered_to == 50


def test_an_idle_position_is_read_again_after_a_later_log(tmp_path: Path) -> None:
    with open_index(tmp_path / "a.sqlite") as index:
        index.add([(A, A, 12), (B, B, 12)], 20)
        index.mark_idle([A], 30, "0x30")
        assert index.active(40) == [B]
        assert index.idle(40) == [A]
        assert index.active(25) == [A, B], "a scan of an older block must not trust a later mark"
        index.add([(A, A, 31)], 40)
        assert index.active(40) == [A, B]
        assert index.idle(40) == []


def test_an_earlier_first_block_reads_the_logs_again(tmp_path: Path) -> None:
    with open_index(tmp_path / "a.sqlite") as index:
        index.add([(A, A, 12)], 20)
    with open_index(tmp_path / "a.sqlite", first_block=3) as index:
        assert index.covered_to == 2
        assert index.active(40) == [A]


def test_a_foreign_index_is_refused_and_kept(tmp_path: Path) -> None:
    path = tmp_path / "a.sqlite"
    open_index(path).close()
    before = path.read_bytes()
    with pytest.raises(IndexFileError, match="belongs to another market: its chain_id is '31337', not '1'"):
        open_index(path, chain_id=1)
    assert path.read_bytes() == before


def test_a_foreign_database_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.sqlite"
    with sqlite3.connect(path) as db:
        db.execute("CREATE TABLE notes (text TEXT)")
    with pytest.raises(IndexFileError, match="something else"):
        open_index(path)


@pytest.mark.parametrize("keep", [10, 100, 5000])
def test_a_truncated_index_is_refused_and_kept(tmp_path: Path, keep: int) -> None:
    path = tmp_path / "a.sqlite"
    with open_index(path) as index:
        index.add([(f"0x{i:040x}", f"0x{i:040x}", i) for i in range(10, 2000)], 2000)
    whole = path.read_bytes()
    path.write_bytes(whole[:keep])
    with pytest.raises(IndexFileError, match="not a readable index"), open_index(path) as index:
        index.active(10_000)
    assert path.read_bytes() == whole[:keep]


def test_a_killed_writer_leaves_whole_steps(tmp_path: Path) -> None:
    """Kill a process while it adds steps of 100; the cursor and the positions must agree afterwards."""
    path = tmp_path / "a.sqlite"
    program = textwrap.dedent(f"""
        from pathlib import Path
        from scanner.store.index import BorrowerIndex
        index = BorrowerIndex(Path({str(path)!r}), first_block=0, **{MARKET!r})
        start = index.covered_to + 1
        print("ready", flush=True)
        for block in range(start, start + 100000):
            index.add([(f"0x{{block * 100 + i:040x}}", "0x" + "0f" * 20, block) for i in range(100)], block)
            print(block, flush=True)
    """)
    for stop_after in (1, 7, 23):
        child = subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True)
        assert child.stdout is not None
        for _ in range(stop_after + 1):
            child.stdout.readline()
        os.kill(child.pid, signal.SIGKILL)
        child.wait()
        child.stdout.close()
        with open_index(path, first_block=0) as index:
            status = index.status()
            assert status.position_count == (status.covered_to + 1) * 100 > 0


def test_a_rewound_index_keeps_positions_and_covers_nothing(tmp_path: Path) -> None:
    with open_index(tmp_path / "a.sqlite") as index:
        assert index.anchor is None
        index.set_anchor(90, "0xaa")
        index.add([(A, A, 12)], 80)
        index.mark_idle([A], 85, "0x85")
        index.rewind()
    with open_index(tmp_path / "a.sqlite") as index:
        assert index.anchor is None
        assert index.covered_to == 9
        assert index.active(100) == [A]


def test_a_first_block_below_zero_is_refused_before_it_is_kept(tmp_path: Path) -> None:
    with open_index(tmp_path / "a.sqlite") as index:
        index.add([], 20)
    for path in (tmp_path / "a.sqlite", tmp_path / "new.sqlite"):
        with pytest.raises(ConfigError, match="--from-block -1"):
            open_index(path, first_block=-1)
    assert not (tmp_path / "new.sqlite").exists()
    with open_index(tmp_path / "a.sqlite") as index:
        assert (index.first_block, index.covered_to) == (10, 20)


def test_a_list_that_stands_for_logs_is_noted_until_they_are_read(tmp_path: Path) -> None:
    path = tmp_path / "a.sqlite"
    assert imported_to(path) is None
    with open_index(path) as index:
        index.import_list([A])
        assert (index.covered_to, imported_to(path)) == (9, None)
        index.import_list([B], 30)
        index.import_list([C], 20)
        index.add([(D, D, 35)], 40)
        assert (index.covered_to, imported_to(path)) == (40, 30)
        assert index.owners() == [A, B, C, D]
        index.rewind()
        assert (index.covered_to, imported_to(path)) == (9, None)
        index.import_list([B], 30)
    with open_index(path, first_block=5) as index:
        assert (index.covered_to, imported_to(path)) == (4, None)


def test_the_indexes_of_a_market_are_found_whatever_the_genesis(tmp_path: Path) -> None:
    root = "0x" + "11" * 20
    paths = [index_path(tmp_path, 1, "0x" + two * 32, "aave-v3", root) for two in ("aa", "bb")]
    others = [index_path(tmp_path, chain, "0x" + "aa" * 32, slug, root) for chain, slug in ((11, "aave-v3"), (1, "x"))]
    for path in (*paths, *others):
        path.parent.mkdir(exist_ok=True)
        path.touch()
    assert find_indexes(tmp_path, 1, "aave-v3", root) == paths


def test_marks_of_a_block_that_was_undone_are_forgotten(tmp_path: Path) -> None:
    with open_index(tmp_path / "a.sqlite") as index:
        index.add([(A, A, 12), (B, B, 12)], 20)
        index.mark_idle([A], 30, "0x30")
        index.mark_idle([B], 25, "0x25")
        assert index.idle_anchor == (30, "0x30"), "the newest block stands for the earlier ones"
        assert index.idle(40) == [A, B]
        index.forget_idle()
        assert index.idle_anchor is None
        assert index.active(40) == [A, B]
        assert index.covered_to == 20


@pytest.mark.parametrize("owner", ["0x", "0x" + "a" * 39, "0x" + "a" * 41, "0x" + "g" * 40, "a" * 42, A + "\n"])
def test_what_is_no_address_is_not_kept(tmp_path: Path, owner: str) -> None:
    """One that was would end every scan from then on."""
    with open_index(tmp_path / "a.sqlite") as index:
        with pytest.raises(DecodeError, match="no address"):
            index.add([(A, A, 12), (owner, owner, 12)], 20)
        with pytest.raises(DecodeError, match="no address"):
            index.import_list([owner])
        assert (index.owners(), index.covered_to) == ([], 9)


def test_a_rebuild_keeps_what_was_imported_and_no_more(tmp_path: Path) -> None:
    path = tmp_path / "a.sqlite"
    with open_index(path) as index:
        index.import_list([A, B])
        index.add([(B, B, 12), (C, C, 12)], 20)
        index.mark_idle([A], 20, "0x20")
    with closing(sqlite3.connect(path)) as db, db:  # as an earlier version kept them
        db.execute("INSERT INTO positions VALUES ('0x', '0x', 15, NULL), ('0x12', '0x12', 0, NULL)")
    with open_index(path) as index:
        index.rebuild()
        assert (index.active(100), index.covered_to) == ([A, B], 9)
        index.add([(C, C, 12)], 20)
        index.rewind()
        index.rebuild()
        assert index.active(100) == [A, B], "what only logs of another chain gave is not taken for imported"


def test_logs_are_doubted_once(tmp_path: Path) -> None:
    with open_index(tmp_path / "a.sqlite") as index:
        assert index.read_once_from == 10
        index.add([(A, A, 12)], 20)
        index.doubt()
        assert index.covered_to == 9
        index.add([(A, A, 12)], 20)
        index.settle()
        assert (index.read_once_from, index.covered_to) == (21, 20)
        index.add([], 30)
        index.doubt()
        assert index.covered_to == 20
        index.rewind()
        assert index.read_once_from == 10
        index.import_list([B], 15)
        index.doubt()
        assert (index.read_once_from, index.covered_to) == (16, 15), "a list stands for those logs"
