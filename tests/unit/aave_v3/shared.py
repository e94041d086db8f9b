"""Recorded cases from public chains, which stand beside the checkout and not in it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

FOLDER = Path(__file__).parents[4] / "shared" / "data"


def recorded(path: str) -> Any:
    """Read a recorded case, or skip the test where there are none."""
    if not FOLDER.is_dir():
        pytest.skip(f"no recorded cases: {FOLDER} does not exist")
    return json.loads((FOLDER / path).read_text(encoding="utf-8"))
