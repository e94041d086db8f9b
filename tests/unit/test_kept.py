"""Small kept files: whole, private, and never in the way."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from scanner.kept import kept_path, load_kept, save_kept


class _Note(msgspec.Struct):
    text: str


def test_what_was_saved_is_loaded_and_only_the_owner_may_read_it(tmp_path: Path) -> None:
    path = kept_path(tmp_path / "notes", "https://node.example/secret")
    assert "secret" not in str(path)
    save_kept(path, _Note("one"))
    save_kept(path, _Note("two"))
    assert load_kept(path, _Note) == _Note("two")
    assert path.stat().st_mode & 0o777 == 0o600
    assert [file.name for file in path.parent.iterdir()] == [path.name]


@pytest.mark.parametrize(
    "content", [b"", b"{", b'{"text": 5}', b"\xff\xfe", b"[]", b'{"text":"\xff"}', b'{"text":' + b"[" * 100_000]
)
def test_a_damaged_file_is_none_and_is_replaced(tmp_path: Path, content: bytes) -> None:
    path = kept_path(tmp_path / "notes", "x")
    path.parent.mkdir()
    path.write_bytes(content)
    assert load_kept(path, _Note) is None
    save_kept(path, _Note("new"))
    assert load_kept(path, _Note) == _Note("new")


def test_a_folder_that_cannot_be_made_stops_nothing(tmp_path: Path) -> None:
    (tmp_path / "notes").write_text("a file")
    path = kept_path(tmp_path / "notes", "x")
    save_kept(path, _Note("lost"))
    assert load_kept(path, _Note) is None


def test_parts_are_told_apart() -> None:
    assert kept_path(Path(), "ab", "c") != kept_path(Path(), "a", "bc")
