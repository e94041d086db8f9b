"""Run the command line in this process and note its highest memory: ``python -m benchmarks.peak FILE scan ...``."""

from __future__ import annotations

import resource
import sys
from pathlib import Path

from scanner.cli import run


def peak_bytes() -> int:
    """Give the most memory that this process had resident since it started its program."""
    status = Path("/proc/self/status")
    if status.is_file():  # ru_maxrss may still hold what the starting process had
        line = next(line for line in status.read_text().splitlines() if line.startswith("VmHWM:"))
        return int(line.split()[1]) * 1024
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return most if sys.platform == "darwin" else most * 1024


if __name__ == "__main__":
    code = run(sys.argv[2:])
    Path(sys.argv[1]).write_text(f"{peak_bytes()}")
    sys.exit(code)
