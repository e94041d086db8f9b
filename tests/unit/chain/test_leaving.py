"""How a reader is left: its block is checked once more, beside what follows if it is said so."""

from __future__ import annotations

import threading

import pytest

from scanner.chain.leaving import Leaving
from scanner.errors import BlockUndone


class _Reader(Leaving):
    def __init__(self, *, undone: bool = False) -> None:
        self.checks: list[int] = []
        self.closed = 0
        self._undone = undone

    def finish(self) -> None:
        self.checks.append(threading.get_ident())
        if self._undone:
            raise BlockUndone("gone")

    def close(self) -> None:
        self.closed += 1


def test_a_block_is_checked_once_whether_beside_or_at_the_end() -> None:
    for ends in (0, 1, 2):
        with _Reader() as reader:
            for _ in range(ends):
                reader.end()
        assert len(reader.checks) == reader.closed == 1
        assert (reader.checks[0] == threading.get_ident()) is (ends == 0)


def _leave(reader: _Reader, *, ends: bool, error: Exception | None = None) -> None:
    with reader:
        if ends:
            reader.end()
        if error is not None:
            raise error


@pytest.mark.parametrize("ends", [False, True])
def test_a_block_that_is_gone_is_an_error_where_the_reader_is_left(ends: bool) -> None:
    reader = _Reader(undone=True)
    with pytest.raises(BlockUndone):
        _leave(reader, ends=ends)
    assert reader.closed == 1


def test_another_error_is_not_hidden() -> None:
    reader = _Reader(undone=True)
    with pytest.raises(KeyError):
        _leave(reader, ends=True, error=KeyError())
    assert reader.closed == 1
