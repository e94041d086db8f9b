"""How long help takes, which loads nothing of what a scan needs."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Final

from benchmarks.timing import Times, timed

__all__ = ["measure_startup"]

_ROOT: Final = Path(__file__).parent.parent


def measure_startup(runs: int = 15) -> Times:
    """Time ``liqbands --help`` from the start of the interpreter to its end."""
    command = [sys.executable, "-m", "scanner", "--help"]
    times, _ = timed(lambda: subprocess.run(command, check=True, stdout=subprocess.DEVNULL, cwd=_ROOT), runs, warm=2)
    return times
