"""Measure everything in one process; exit code 1 when a target is missed."""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from collections.abc import Container, Mapping, Sequence
from pathlib import Path

from cchecksum import to_checksum_address

from benchmarks import ours
from benchmarks.bare import captured, replay
from benchmarks.latency import measure_latency
from benchmarks.local_market import LocalMarket, local_market
from benchmarks.log_discovery import measure_logs
from benchmarks.memory import measure_memory
from benchmarks.peers import Account, Peer, peers
from benchmarks.report import Figures, MarketFigures, PeerFigures, misses, table
from benchmarks.shocks import measure_shocks
from benchmarks.startup import measure_startup
from benchmarks.synthetic import measure
from benchmarks.timing import Times, timed

_SYNTHETIC = 200_000
_PEER_RUNS = 3
_SHOCKED = 100_000
_PARTS = ("scan", "arithmetic", "shocks", "latency", "logs", "memory", "startup")


def say(message: str) -> None:
    """Write progress to stderr."""
    print(message, file=sys.stderr, flush=True)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--sizes", type=int, nargs="+", default=[20_000, 100_000], help="borrowers of each market")
    parser.add_argument("--runs", type=int, default=7, help="runs of our scan and of the bare requests")
    parser.add_argument("--synthetic", type=int, default=_SYNTHETIC, help="accounts of the arithmetic; 0 for none")
    parser.add_argument("--no-peers", action="store_true", help="leave web3.py out")
    parser.add_argument("--only", nargs="+", choices=_PARTS, default=_PARTS, help="parts to run; default all of them")
    return parser.parse_args()


def main() -> int:
    """Run the measurements, print the tables, name what missed its target."""
    chosen = _arguments()
    figures = Figures()
    if "startup" in chosen.only:
        figures.startup = measure_startup()
    if "logs" in chosen.only:
        figures.logs = measure_logs(chosen.runs, say)
    for size, parts in _markets(chosen.sizes, chosen.only).items():
        say(f"making a market with {size:,} borrowers")
        with tempfile.TemporaryDirectory() as folder, local_market(size, say) as market:
            os.environ["LIQBANDS_DATA_DIR"] = folder  # what is learned here is of no use afterwards
            _measure(figures, parts, market, size, Path(folder) / "index.sqlite", chosen)
    print(table(figures))
    missed = misses(figures)
    for line in missed:
        print(f"MISSED {line}")
    if not missed:
        print("every target is met")
    return 1 if missed else 0


def _markets(sizes: Sequence[int], only: Sequence[str]) -> dict[int, set[str]]:
    """Say what is measured on a market of each size; one on which nothing is measured is not made."""
    first, last = sizes[0], sizes[-1]
    where = {"scan": sizes, "arithmetic": [first], "shocks": [first], "latency": [first], "memory": [last]}
    found = {size: {part for part in only if size in where.get(part, ())} for size in sizes}
    return {size: parts for size, parts in found.items() if parts}


def _measure(
    figures: Figures, parts: Container[str], market: LocalMarket, size: int, index: Path, chosen: argparse.Namespace
) -> None:
    if "scan" in parts:
        figures.markets.append(_measured(market, index, chosen.runs, with_peers=not chosen.no_peers))
    if "arithmetic" in parts and chosen.synthetic:
        say(f"computing {chosen.synthetic:,} accounts")
        read = ours.read(market, index)
        factor = ours.scan(market, index, "points").selected_factor
        figures.arithmetic = measure(read, factor, chosen.synthetic, 5)
    if "shocks" in parts:
        say(f"computing 100 shocks of {_SHOCKED:,} accounts")
        factor = ours.scan(market, index, "points").selected_factor
        figures.shocks = measure_shocks(ours.read(market, index), factor, _SHOCKED, 5)
    if "memory" in parts:
        figures.memory = measure_memory(market, size, say)
    if "latency" in parts:  # last: it changes the node's gas limit
        figures.latency = measure_latency(market, index, chosen.runs, say)


def _measured(market: LocalMarket, index: Path, runs: int, *, with_peers: bool) -> MarketFigures:
    for _ in range(3):  # the first fills the index, the others warm up
        result, _ = ours.scan_to_bands(market, index)
    found = ours.accounts(result)
    with captured() as requests:
        ours.scan_to_bands(market, index)
    say(f"scanning {len(found):,} accounts")
    mine: list[float] = []
    reading: list[float] = []
    bare: list[float] = []
    for _ in range(runs):  # in turns, so that a busy moment of the machine meets both
        once, (result, _) = timed(lambda: ours.scan_to_bands(market, index), 1)
        mine += once.seconds
        reading.append(sum(part for stage, part in result.snapshot.seconds.items() if stage != "compute"))
        once, received = timed(lambda: replay(market.url, requests), 1)
        bare += once.seconds
    exact, _ = timed(lambda: ours.scan(market, index, "factor"), 3)
    return MarketFigures(
        accounts=len(found),
        requests=len(requests),
        received=received,
        ours=Times(tuple(mine)),
        reading=Times(tuple(reading)),
        exact=exact,
        bare=Times(tuple(bare)),
        peers=_peers(market, result.snapshot.block_number, found) if with_peers else (),
    )


def _peers(market: LocalMarket, block: int, found: Mapping[str, Account]) -> Sequence[PeerFigures]:
    """Time each way, and compare every number with ours: on its share of the accounts, the last way on all."""
    names: dict[str, Account] = {to_checksum_address(name): account for name, account in found.items()}
    ways, figures = peers(market, block), []
    for way in ways:
        chosen = list(names)[: way.most]
        say(f"{way.name}: {len(chosen):,} accounts")
        times, answers = timed(lambda way=way, chosen=chosen: way.read(chosen), _PEER_RUNS)  # type: ignore[misc]
        _compare(way, chosen, answers, names)
        figures.append(PeerFigures(way.name, len(chosen), times))
    rest = list(names)[ways[-1].most :]
    _compare(ways[-1], rest, ways[-1].read(rest), names)
    say(f"{len(names):,} accounts equal")
    return figures


def _compare(way: Peer, accounts: Sequence[str], answers: Sequence[Account], ours: Mapping[str, Account]) -> None:
    wrong = [a for a, answer in zip(accounts, answers, strict=True) if ours[a] != answer]
    if wrong:
        raise RuntimeError(f"{way.name} gives other numbers for {len(wrong)} accounts, such as {wrong[0]}")


if __name__ == "__main__":
    sys.exit(main())
