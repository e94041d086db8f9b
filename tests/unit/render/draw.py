"""Draw on consoles of every kind, for tests."""

from __future__ import annotations

import io
import os
from pathlib import Path
from typing import Final, Literal

from rich.console import Console

__all__ = ["GOLDEN", "compare", "draw"]

GOLDEN: Final = Path(__file__).parents[2] / "golden" / "render"
Colours = Literal["standard", "256", "truecolor"] | None


def draw(
    drawing: object, width: int, *, colours: Colours = None, no_color: bool = False, encoding: str = "utf-8"
) -> str:
    """Give what a console of ``width`` columns is sent."""
    raw = io.BytesIO()
    file = io.TextIOWrapper(raw, encoding=encoding, newline="\n")
    console = Console(
        file=file, width=width, color_system=colours, force_terminal=colours is not None, no_color=no_color,
        legacy_windows=False, _environ={},
    )  # fmt: skip
    console.print(drawing)
    file.flush()
    return raw.getvalue().decode(encoding)


def compare(name: str, text: str) -> None:
    """Compare with a golden file; with UPDATE_GOLDEN=1 write it instead."""
    path = GOLDEN / name
    if os.environ.get("UPDATE_GOLDEN") == "1":
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    assert path.is_file(), f"no golden file {name}: run the tests with UPDATE_GOLDEN=1 and look at it"
    assert text == path.read_text(encoding="utf-8"), f"{name} differs: look, then run the tests with UPDATE_GOLDEN=1"
