"""Make the recordings again: ``python -m tests.record [NAME ...]``, all of them without a name.

A seed gives the same market on every machine, so a file changes only when the devchain, the reads or the format do.
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from scanner import scan
from scanner.chain.recording import load
from scanner.cli.commands import DEMO
from scanner.config import cache_dir
from scanner.devchain import Anvil, deploy_market, install, populate
from scanner.devchain.market import Kind
from scanner.devchain.toolchain import Toolchain

__all__ = ["COMMAND", "RECIPES", "Recipe", "record"]

COMMAND: Final = "python -m tests.record"
MARKET: Final = "devchain"
SEED: Final = 1
DAY: Final = 24 * 3600
FOLDER: Final = Path(__file__).parent / "recordings"


@dataclass(frozen=True)
class Recipe:
    """What is recorded where.

    ``waves`` are dollars of ETH, and how many accounts come at that price; then ETH goes to ``spot``. Who came dear
    is near its end when the price falls, who came cheap and short when it rises: no band next to the spot is empty.
    """

    path: Path
    kind: Kind
    waves: Sequence[tuple[int, int]]
    spot: int = 2_100


RECIPES: Final = {
    "demo": Recipe(DEMO, "3.6", ((2_165, 1_000), (2_012, 900), (2_105, 400))),
    "aave-v3.0": Recipe(FOLDER / "aave-v3.0.rec", "3.0", ((2_165, 300), (2_012, 100))),
}


def record(recipe: Recipe, toolchain: Toolchain, path: Path | None = None) -> None:
    """Make the market, scan it with every account verified, and write the recording.

    Hosts and the market's name are replaced: the port differs each time.
    """
    with tempfile.TemporaryDirectory() as folder, Anvil(toolchain.anvil) as anvil:
        market = deploy_market(anvil, recipe.kind, SEED, toolchain=toolchain)
        for wave, (price, borrowers) in enumerate(recipe.waves):
            market.set_price("ETH", price * 10**8)
            populate(market, borrowers, SEED + wave, settle=wave == len(recipe.waves) - 1)
            market.advance(DAY)
        market.set_price("ETH", recipe.spot * 10**8)
        raw = Path(folder) / "raw.rec"
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
    recording.save(path or recipe.path)


def main(names: Sequence[str]) -> None:
    toolchain = install(cache_dir(), lambda line: print(line, file=sys.stderr))
    for name in names or RECIPES:
        record(RECIPES[name], toolchain)
        path = RECIPES[name].path
        print(f"{name}: {path.name}, {path.stat().st_size:,} bytes")


if __name__ == "__main__":
    main(sys.argv[1:])
