"""The market that is read: real Aave v3.6 contracts and borrowers on a local node."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from scanner.config import cache_dir
from scanner.devchain import Anvil, deploy_market, install, populate
from scanner.devchain.toolchain import Say

__all__ = ["LocalMarket", "local_market"]

_SOURCE: Final = Path(__file__).with_name("Aggregate3.sol")
_SEED: Final = 1
_FINAL: Final = 65
"""Blocks mined last: the index keeps final blocks only, and a warm one holds them all."""
_STATES: Final = 4
"""States that the node keeps in memory. By default it keeps hundreds, which would be tens of gigabytes here."""


@dataclass(frozen=True)
class LocalMarket:
    """Where the market is."""

    url: str
    root: str
    pool: str
    first_block: int
    aggregator: str  # an Aggregate3


@contextmanager
def local_market(borrowers: int, say: Say) -> Iterator[LocalMarket]:
    """Run a node with ``borrowers`` accounts; no feed of it is broken, so that no peer meets a revert."""
    toolchain = install(cache_dir(), say)
    with Anvil(toolchain.anvil, extra=(f"--prune-history={_STATES}",)) as anvil:
        market = deploy_market(anvil, "3.6", _SEED, toolchain=toolchain)
        unit = _SOURCE.name
        compiled = toolchain.compile({unit: _SOURCE.read_text(encoding="utf-8")}, [f"{unit}:Aggregate3"])
        aggregator = market.chain.deploy(compiled["Aggregate3"])
        populate(market, borrowers, _SEED, settle=False, say=say)
        anvil.rpc("anvil_mine", hex(_FINAL))
        yield LocalMarket(anvil.url, market.root, market.pool, market.first_block, aggregator)
