"""The committed recordings are what their recipes give today."""

from __future__ import annotations

from pathlib import Path

import pytest

from scanner.chain.recording import load
from scanner.devchain.toolchain import Toolchain
from tests.record import COMMAND, RECIPES, record

pytestmark = pytest.mark.chain


@pytest.mark.parametrize("name", list(RECIPES))
def test_a_recording_made_again_is_the_same_file(name: str, toolchain: Toolchain, tmp_path: Path) -> None:
    recipe, again = RECIPES[name], tmp_path / "again.rec"

    record(recipe, toolchain, again)

    old, new = load(recipe.path), load(again)
    assert old.block == new.block, f"the market is another one; if that is meant: {COMMAND}"
    assert old.calls.keys() == new.calls.keys(), f"other things are read; if that is meant: {COMMAND}"
    assert recipe.path.read_bytes() == again.read_bytes(), f"the file is out of date: {COMMAND}"
