"""The highest memory of whole commands, each in a process of its own."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from benchmarks.local_market import LocalMarket
from scanner.config import child_environment
from scanner.devchain.toolchain import Say

__all__ = ["MemoryFigures", "measure_memory"]

_ROOT: Final = Path(__file__).parent.parent
_COMMANDS: Final[Mapping[str, Sequence[str]]] = {
    "scan, empty index": ("scan", "-o", "heatmap.txt"),
    "scan": ("scan", "-o", "heatmap.txt"),
    "scan --format json": ("scan", "--format", "json", "-o", "scan.json"),
    "accounts --format json": ("accounts", "--format", "json", "-o", "accounts.json"),
    "accounts --format ndjson": ("accounts", "--format", "ndjson", "-o", "accounts.ndjson"),
}


@dataclass(frozen=True)
class MemoryFigures:
    """Bytes resident at most, by command."""

    accounts: int
    peaks: Mapping[str, int]


def measure_memory(market: LocalMarket, borrowers: int, say: Say) -> MemoryFigures:
    """Run each command as a user does. Raises RuntimeError when one fails."""
    peaks = {}
    with tempfile.TemporaryDirectory() as folder:
        where = ("--rpc-url", market.url, "--market", market.root, "--from-block", str(market.first_block))
        environment = child_environment(LIQBANDS_DATA_DIR=folder, PYTHONPATH=str(_ROOT), NO_COLOR="1")
        for name, arguments in _COMMANDS.items():
            noted = Path(folder) / "peak"
            command = [sys.executable, "-m", "benchmarks.peak", str(noted), *arguments, *where]
            done = subprocess.run(command, capture_output=True, text=True, cwd=folder, env=environment)
            if done.returncode:
                raise RuntimeError(f"liqbands {name}: exit code {done.returncode}: {done.stderr[-1000:]}")
            peaks[name] = int(noted.read_text())
            say(f"liqbands {name}: {peaks[name] / 1e6:,.0f} MB at most")
    return MemoryFigures(borrowers, peaks)
