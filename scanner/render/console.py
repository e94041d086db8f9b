"""The console that data is drawn on."""

from __future__ import annotations

import sys
from typing import IO, Final

from rich.console import Console

__all__ = ["FILE_WIDTH", "data_console", "show"]

FILE_WIDTH: Final = 100  # columns in a file or pipe when COLUMNS does not say


class _Console(Console):
    """A console that leaves it to the caller what becomes of a reader that went away; rich would exit with 1."""

    def on_broken_pipe(self) -> None:
        raise BrokenPipeError


def data_console(file: IO[str] | None = None, *, columns: int | None = None) -> Console:
    """Make the console for ``file`` (stdout).

    A terminal has its own width and colours (rich honours NO_COLOR, FORCE_COLOR, TERM). A file or pipe gets no escape
    codes and ``columns`` (the caller's COLUMNS) or 100 columns, so that the same scan gives the same file everywhere.
    """
    console = _Console(file=file if file is not None else sys.stdout, highlight=False, markup=False, emoji=False)
    if columns is not None:
        console.width = columns
    elif not console.is_terminal:
        console.width = FILE_WIDTH
    return console


def show(drawing: object, file: IO[str] | None = None, *, columns: int | None = None) -> None:
    """Draw on ``file`` (stdout)."""
    data_console(file, columns=columns).print(drawing)
