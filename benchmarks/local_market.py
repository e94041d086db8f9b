"""The market that is read: real Aave v3.6 contracts and borrowers on a local node."""

from __future__ import annotations

import json
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from scanner.config import cache_dir
from scanner.devchain import Anvil, deploy_market, install, populate
from scanner.devchain.toolchain import Say

__all__ = ["GAS_CAP", "LocalMarket", "cap_gas", "local_market"]

GAS_CAP: Final = 50_000_000
"""What geth gives an eth_call at most, unless its operator says otherwise."""

_SOURCE: Final = Path(__file__).with_name("Aggregate3.sol")
_SEED: Final = 1
_FINAL: Final = 65
"""Blocks mined last: the index keeps final blocks only, and a warm one holds them all."""
_STATES: Final = 4
"""States that the node keeps in memory. By default it keeps hundreds, which would be tens of gigabytes here."""
_MULTICALL3: Final = "0xcA11bde05977b3631167028862bE2a173976CA11"


@dataclass(frozen=True)
class LocalMarket:
    """Where the market is."""

    url: str
    root: str
    pool: str
    first_block: int
    aggregator: str  # an Aggregate3, at the address of Multicall3


def cap_gas(market: LocalMarket) -> None:
    """Let an eth_call that names no gas have ``GAS_CAP`` from the next block on, and not thousands of times as much."""
    for method, number in (("evm_setBlockGasLimit", GAS_CAP), ("anvil_mine", 1)):
        body = json.dumps({"jsonrpc": "2.0", "id": 1, "method": method, "params": [hex(number)]}).encode()
        request = urllib.request.Request(market.url, body, {"Content-Type": "application/json"})  # noqa: S310
        with urllib.request.urlopen(request) as answer:  # noqa: S310 (our own node)
            if "error" in json.load(answer):
                raise RuntimeError(f"the node refused {method}")


@contextmanager
def local_market(borrowers: int, say: Say) -> Iterator[LocalMarket]:
    """Run a node with ``borrowers`` accounts; no feed of it is broken, so that no peer meets a revert."""
    toolchain = install(cache_dir(), say)
    with Anvil(toolchain.anvil, extra=(f"--prune-history={_STATES}",)) as anvil:
        market = deploy_market(anvil, "3.6", _SEED, toolchain=toolchain)
        unit = _SOURCE.name
        compiled = toolchain.compile({unit: _SOURCE.read_text(encoding="utf-8")}, [f"{unit}:Aggregate3"])
        anvil.rpc("anvil_setCode", _MULTICALL3, "0x" + compiled["Aggregate3"].runtime)
        populate(market, borrowers, _SEED, settle=False, say=say)
        anvil.rpc("anvil_mine", hex(_FINAL))
        yield LocalMarket(anvil.url, market.root, market.pool, market.first_block, _MULTICALL3)
