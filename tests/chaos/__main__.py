"""Run scenarios by hand: ``python -m tests.chaos --seeds 0-499`` prints what came of each and the counts."""

from __future__ import annotations

import argparse
import faulthandler
import sys
import tempfile
from contextlib import ExitStack
from pathlib import Path

from scanner.config import cache_dir
from scanner.devchain import install
from tests.chaos.run import Verdict, run, table
from tests.chaos.scenarios import COUNT, SMOKE, scenario
from tests.chaos.worlds import ChaosWorld, open_world


def _seeds(text: str) -> list[int]:
    if text == "smoke":
        return list(SMOKE)
    found: list[int] = []
    for part in text.split(","):
        first, _, last = part.partition("-")
        found += range(int(first), int(last or first) + 1)
    return found


def main() -> int:
    """Run the scenarios of the seeds asked for; 1 when one came out as it must not."""
    parser = argparse.ArgumentParser(prog="python -m tests.chaos", description=__doc__)
    parser.add_argument("--seeds", default=f"0-{COUNT - 1}", help="as 0-99,120 or smoke")
    parser.add_argument("--sort", choices=("recoverable", "unrecoverable", "liar"))
    parser.add_argument("-v", "--verbose", action="store_true", help="also say what went as it may")
    asked = parser.parse_args()
    chosen = [scenario(seed) for seed in _seeds(asked.seeds)]
    verdicts: list[Verdict] = []
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        toolchain = install(cache_dir())
        worlds: dict[str, ChaosWorld] = {}
        for one in chosen:
            if asked.sort in (None, one.sort):
                if one.revision not in worlds:
                    worlds[one.revision] = stack.enter_context(open_world(toolchain, one.revision, Path(folder)))
                faulthandler.dump_traceback_later(90)
                verdicts.append(run(one, worlds[one.revision]))
                faulthandler.cancel_dump_traceback_later()
                worlds[one.revision].clean()
                last = verdicts[-1]
                if asked.verbose or not last.good or (last.sort == "recoverable" and last.outcome.name != "RIGHT"):
                    print(f"{last.seconds:5.1f} s  {last}", flush=True)
    print("\n".join(table(verdicts)))
    print(f"{len(verdicts)} scenarios, {sum(one.seconds for one in verdicts):.0f} s")
    return int(any(not one.good for one in verdicts))


if __name__ == "__main__":
    sys.exit(main())
