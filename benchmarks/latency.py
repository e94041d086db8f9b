"""A scan over a slow link, beside what others offer for the same link."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

import polars as pl
from cchecksum import to_checksum_address

from benchmarks import ours
from benchmarks.latency_peers import Answers, PeerFailed, Task, Way, What, ways
from benchmarks.local_market import LocalMarket, cap_gas
from benchmarks.slow_link import Traffic, slow_link
from benchmarks.timing import Times, timed
from scanner.devchain.toolchain import Say
from scanner.results import ScanResult

__all__ = ["LatencyFigures", "WayFigures", "measure_latency"]

DELAY: Final = 0.05
_NO_DEBT: Final = str(2**256 - 1)
_RUNS: Final = 3
_TRIAL: Final = 1_000  # accounts to find the best setting of a slow way
_SLOW: Final = 30.0  # seconds after which no other run is made


@dataclass(frozen=True)
class WayFigures:
    """One way to read, measured on some accounts; ``times`` is None where it failed."""

    way: Way
    what: What
    accounts: int
    times: Times | None
    requests: int = 0
    problem: str = ""

    @property
    def seconds(self) -> float:
        return float("inf") if self.times is None else self.times.median


@dataclass(frozen=True)
class LatencyFigures:
    """A market read over a slow link."""

    accounts: int
    delay: float
    ours: Times
    requests: int
    tried: Sequence[WayFigures]  # every setting
    best: Sequence[WayFigures]  # the best setting of each peer, on all accounts

    def ratio(self, way: WayFigures) -> float:
        """Say how many times as long as our scan a way takes."""
        return way.seconds / self.ours.median

    def fastest(self, what: What, *, python: bool) -> WayFigures:
        """Give the fastest of the Python peers, or of viem."""
        found = [way for way in self.best if way.what == what and way.way.python is python]
        return min(found, key=lambda way: way.seconds)


def measure_latency(market: LocalMarket, index: Path, runs: int, say: Say) -> LatencyFigures:
    """Time our scan on a warm index and the ways of the peers, and compare every number with ours.

    Raises RuntimeError when a number differs.
    """
    cap_gas(market)
    with slow_link(market.url, DELAY) as link:
        slow = replace(market, url=link.url)
        for _ in range(3):  # the first fills the index, the others learn what to ask for
            result, _ = ours.scan_to_bands(slow, index)
        expected = _expected(result)
        mine: list[float] = []
        requests: list[int] = []

        def scan() -> None:
            link.traffic()
            once, _ = timed(lambda: ours.scan_to_bands(slow, index), 1)
            mine.extend(once.seconds)
            requests.append(link.traffic().requests)

        for _ in range(runs):
            scan()
        say(f"scanned {len(expected):,} accounts over the slow link: {Times(tuple(mine))}, {requests[-1]} requests")
        reserves = [[r.id, r.atoken, r.vtoken] for r in ours.reserves(market, index)]
        task = Task(slow, result.snapshot.block_number, reserves)
        tried, best = _Bench(task, expected, link.traffic, scan, say).run(ways(say))
    return LatencyFigures(len(expected), DELAY, Times(tuple(mine)), max(requests), tried, best)


class _Bench:
    def __init__(
        self,
        task: Task,
        expected: Mapping[str, Answers],
        traffic: Callable[[], Traffic],
        scan: Callable[[], None],
        say: Say,
    ) -> None:
        self._task = task
        self._expected = expected
        self._names = list(expected)
        self._traffic = traffic
        self._scan = scan
        self._say = say

    def run(self, found: Sequence[Way]) -> tuple[list[WayFigures], list[WayFigures]]:
        """Try each setting once, then the best of each peer on everything."""
        tried: list[WayFigures] = []
        best: list[WayFigures] = []
        for peer in dict.fromkeys(way.peer for way in found):
            own = [self._measure(way, "positions", trial=True) for way in found if way.peer == peer]
            chosen = min(own, key=lambda figures: figures.seconds).way
            tried += own
            for what in ("positions", "health"):
                best.append(self._repeated(chosen, what))
        return tried, best

    def _repeated(self, way: Way, what: What) -> WayFigures:
        """Measure some runs, ours in turns with it, so that a busy moment of the machine meets both."""
        seconds: list[float] = []
        while len(seconds) < _RUNS and sum(seconds) < _SLOW:
            figures = self._measure(way, what)
            if figures.times is None:
                return figures
            seconds += figures.times.seconds
            self._scan()
        return replace(figures, times=Times(tuple(seconds)))

    def _measure(self, way: Way, what: What, *, trial: bool = False) -> WayFigures:
        names = self._names[:_TRIAL] if trial and way.slow else self._names
        self._traffic()
        try:
            seconds, answers = way.read(replace(self._task, what=what, accounts=names))
        except PeerFailed as failure:
            self._say(f"{way}: {failure}")
            return WayFigures(way, what, len(names), None, problem=str(failure))
        requests = self._traffic().requests
        wrong = [
            (name, answer)
            for name, answer in zip(names, answers, strict=True)
            if answer != (self._expected[name] if what == "positions" else self._expected[name][:3])
        ]
        if wrong:
            name, answer = wrong[0]
            raise RuntimeError(
                f"{way} gives other numbers for {len(wrong)} accounts, such as {name}: {answer}, "
                f"ours are {self._expected[name]}"
            )
        figures = WayFigures(way, what, len(names), Times((seconds,)), requests)
        self._say(f"{way}: {what} of {len(names):,} accounts, {figures.times}, {requests} requests, all equal")
        return figures


def _expected(result: ScanResult) -> dict[str, Answers]:
    """Give what a peer must say of each account: health, e-mode and legs, by checksum address."""
    frames = result.frames
    legs = frames["legs"].sort("position", pl.col("reserve").cast(pl.Int64), "side")
    named = legs.select(
        "position", pl.format("{} {}", "reserve", "side").alias("leg"), pl.col("scaled_raw").cast(pl.String)
    )
    own: dict[str, list[str]] = {}
    for position, leg, scaled in named.rows():
        own.setdefault(position, []).extend((leg, str(int(scaled))))
    modes = dict(frames["accounts"].select("position", "emode_category").rows())
    return {
        to_checksum_address(position): [
            str(collateral), str(debt), _NO_DEBT if health is None else str(health),
            str(modes[position] or 0), *own.get(position, ()),
        ]
        for position, (collateral, debt, health) in ours.accounts(result).items()
    }  # fmt: skip
