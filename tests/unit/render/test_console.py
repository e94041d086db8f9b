"""A file gets the same picture everywhere."""

from __future__ import annotations

import io

import pytest

from scanner.render.console import FILE_WIDTH, data_console, show
from scanner.render.heatmap import Heatmap
from tests.unit.render import sample


def test_file_has_a_fixed_width_and_no_escape_codes(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("FORCE_COLOR", "COLUMNS", "TTY_COMPATIBLE"):
        monkeypatch.delenv(name, raising=False)
    file = io.StringIO()
    show(Heatmap(sample.scan(), now=sample.NOW), file)

    assert "\x1b" not in file.getvalue()
    assert max(len(line) for line in file.getvalue().splitlines()) == FILE_WIDTH == 100


def test_columns_decide_where_they_are_given() -> None:
    assert data_console(io.StringIO(), columns=173).width == 173
