"""Record the bundled demo again: ``python -m tests.record_demo [FILE]``.

A seed gives the same market on every machine, so the file changes only when the devchain, the reads or the format do.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path
from typing import Final

from scanner import scan
from scanner.chain.recording import load
from scanner.cli.commands import DEMO
from scanner.config import cache_dir
from scanner.devchain import Anvil, deploy_market, install, populate

__all__ = ["COMMAND", "record"]

COMMAND: Final = "python -m tests.record_demo"
MARKET: Final = "devchain"
SEED: Final = 1
SPOT: Final = 2_100
WAVES: Final = ((2_165, 1_000), (2_012, 900), (2_105, 400))
"""Dollars of ETH, and how many accounts came at that price. Who came dear is near its end when the price falls, who
came cheap and short when it rises: bands next to the spot price are not empty."""
DAY: Final = 24 * 3600


def record(path: Path) -> None:
    """Make a 3.6 market with borrowers, scan it with every account verified, and write the recording.

    The port of the node and the name of its root are left out of the file: the first differs each time.
    """
    toolchain = install(cache_dir(), lambda line: print(line, file=sys.stderr))
    with tempfile.TemporaryDirectory() as folder, Anvil(toolchain.anvil) as anvil:
        market = deploy_market(anvil, "3.6", SEED, toolchain=toolchain)
        for wave, (price, borrowers) in enumerate(WAVES):
            market.set_price("ETH", price * 10**8)
            populate(market, borrowers, SEED + wave, settle=wave == len(WAVES) - 1)
            market.advance(DAY)
        market.set_price("ETH", SPOT * 10**8)
        raw = Path(folder) / "demo.rec"
        result = scan(
            rpc_urls=[anvil.url],
            markets=[market.root],
            from_block=market.first_block,
            index_file=Path(folder) / "index.sqlite",
            verify="all",
            record=raw,
        )
        if not result.trustworthy:
            raise SystemExit("the scan is incomplete or differs from the contract: nothing recorded")
        recording = load(raw)
    recording.hosts = (MARKET,)
    recording.command = COMMAND
    recording.notes["targets"] = [{**target, "name": MARKET} for target in recording.notes["targets"]]
    recording.save(path)


if __name__ == "__main__":
    record(Path(sys.argv[1]) if len(sys.argv) > 1 else DEMO)
