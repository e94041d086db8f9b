"""What ``liqbands devchain`` does: a local market that stays up until it is stopped."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

from scanner.config import cache_dir
from scanner.devchain.anvil import Anvil
from scanner.devchain.market import DevMarket, Kind, deploy_market
from scanner.devchain.population import populate
from scanner.devchain.toolchain import Say, install
from scanner.errors import DevchainError
from scanner.views import eip55

__all__ = ["describe", "run_devchain"]


def run_devchain(kind: Kind, borrowers: int, seed: int, reserves: int, port: int | None, say: Say) -> None:
    """Start a node on ``port`` (a free one when None) with a market and ``borrowers`` accounts; run until stopped.

    Ctrl-C and SIGTERM stop the node; once the market is up that is the normal end, before it KeyboardInterrupt goes
    on to the caller. Raises DevchainError when the node dies.
    """
    with _terminate_like_interrupt():
        toolchain = install(cache_dir(), say)
        with Anvil(toolchain.anvil, port=port) as anvil:
            market = deploy_market(anvil, kind, seed, reserves, toolchain=toolchain)
            say(f"deployed Aave v{kind} with {len(market.reserves)} reserves")
            if borrowers:
                populate(market, borrowers, seed, say=say)
            try:
                for line in describe(market):
                    say(line)
                while anvil.running:
                    time.sleep(0.2)
            except KeyboardInterrupt:
                say("stopped")
                return
            raise DevchainError("anvil ended by itself")


def describe(market: DevMarket) -> list[str]:
    """Say how to use a market: where it is, how to scan it, how to move its main price."""
    url, root, first = market.anvil.url, eip55(market.root), market.first_block
    target = f"--rpc-url {url} --market {root} --from-block {first}"
    eth = eip55(market.aggregators["ETH"])
    whales = [eip55(member.address) for member in market.members if member.kind == "whale"]
    return [
        f"RPC URL      {url}",
        f"market root  {root}",
        f"accounts     {len(market.members):,} at block {market.chain.block_number()}",
        "",
        f"  liqbands scan {target}",
        f"  liqbands accounts {target}",
        *[f"  liqbands account {whale} {target}" for whale in whales[:1]],
        "",
        f"The price of ETH moves by set(int256) on {eth}, with eight decimals; any account may send, without a key.",
        "Ctrl-C stops the node.",
    ]


@contextmanager
def _terminate_like_interrupt() -> Iterator[None]:
    """Let SIGTERM raise KeyboardInterrupt, as Ctrl-C does; signals belong to the main thread."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
