"""Files that are replaced whole: the outputs of commands, recordings, what is kept."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from scanner.chain.interface import Block
from scanner.chain.recording import Recording, load
from scanner.errors import ConfigError
from scanner.writing import part_of, write_whole

RECORDING = Recording(1, "0x00", Block(1, "0x" + "00" * 32, 1), 1, (), "", way="single")


def test_a_file_is_replaced_and_nothing_is_left_beside_it(tmp_path: Path) -> None:
    path = tmp_path / "file"
    write_whole(path, [b"old"])
    write_whole(path, [b"n", b"ew"])
    assert path.read_bytes() == b"new"
    assert list(tmp_path.iterdir()) == [path]


def test_who_may_read_it(tmp_path: Path) -> None:
    before = os.umask(0o022)
    try:
        write_whole(tmp_path / "public", [b""])
        write_whole(tmp_path / "private", [b""], private=True)
    finally:
        os.umask(before)
    assert [(tmp_path / name).stat().st_mode & 0o777 for name in ("public", "private")] == [0o644, 0o600]


def test_a_failure_in_the_middle_leaves_the_old_file(tmp_path: Path) -> None:
    def parts() -> Iterator[bytes]:
        yield b"ne"
        raise KeyboardInterrupt

    path = tmp_path / "file"
    path.write_bytes(b"old")
    with pytest.raises(KeyboardInterrupt):
        write_whole(path, parts())
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_link_stays_one(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    target, link = tmp_path / "folder" / "file", tmp_path / "link"
    target.write_bytes(b"old")
    link.symlink_to(target)
    write_whole(link, [b"new"])
    assert link.is_symlink()
    assert target.read_bytes() == b"new"


def test_no_two_writers_share_a_name(tmp_path: Path) -> None:
    assert part_of(tmp_path / "file") != part_of(tmp_path / "file")


# --- recordings ----------------------------------------------------------------------------------------------------


def test_a_recording_is_written_to_what_is_no_ordinary_file(tmp_path: Path) -> None:
    pipe, got = tmp_path / "pipe", tmp_path / "got"
    os.mkfifo(pipe)
    reading = threading.Thread(target=lambda: got.write_bytes(pipe.read_bytes()), daemon=True)
    reading.start()
    RECORDING.save(pipe)
    reading.join(10)
    assert pipe.is_fifo()
    assert load(got) == RECORDING


def test_a_recording_that_cannot_be_written_names_the_file_and_leaves_nothing(tmp_path: Path) -> None:
    folder = tmp_path / "scan.rec"
    folder.mkdir()
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(ConfigError, match=r"cannot write the recording .*scan\.rec: Is a directory"):
        RECORDING.save(folder)
    with pytest.raises(ConfigError, match=r"cannot write the recording .*a\.rec: Not a directory"):
        RECORDING.save(tmp_path / "file" / "a.rec")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file", "scan.rec"]


def test_a_recording_is_not_written_over_what_another_process_is_writing(tmp_path: Path) -> None:
    others = tmp_path / "scan.rec.part"
    others.write_bytes(b"half")
    RECORDING.save(tmp_path / "scan.rec")
    assert others.read_bytes() == b"half"
