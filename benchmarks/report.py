"""Figures, the table of them, and the targets that they are held against."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

from benchmarks.latency import LatencyFigures
from benchmarks.log_discovery import LogFigures
from benchmarks.memory import MemoryFigures
from benchmarks.shocks import ShockFigures
from benchmarks.synthetic import Arithmetic
from benchmarks.timing import Times

__all__ = ["Figures", "MarketFigures", "PeerFigures", "misses", "table"]

LEAST_RATE: Final = 50_000
LEAST_RATIO_TO_PEER: Final = 15.0
MOST_RATIO_TO_BARE: Final = 1.3
MOST_CLOSED: Final = 0.3
MOST_TRIGGERS: Final = 4.0
MOST_CLOSED_SHOCKS: Final = 0.5
MOST_EXACT_SHOCKS: Final = 6.0
LEAST_RATIO_TO_PYTHON: Final = 10.0
LEAST_RATIO_TO_VIEM: Final = 3.0
MOST_RATIO_OF_LOGS: Final = 1.3
MOST_MEMORY: Final = 10**9
MOST_STARTUP: Final = 0.25


@dataclass(frozen=True)
class PeerFigures:
    """One way of web3.py, measured on some accounts."""

    name: str
    accounts: int
    times: Times

    @property
    def rate(self) -> float:
        return self.times.rate(self.accounts)


@dataclass(frozen=True)
class MarketFigures:
    """Everything measured on one market."""

    accounts: int
    requests: int
    received: int  # bytes of the bare answers
    ours: Times
    reading: Times  # the part of ours that waits for the node or decodes
    exact: Times
    bare: Times
    peers: Sequence[PeerFigures] = field(default_factory=tuple)

    @property
    def best_peer(self) -> PeerFigures:
        return max(self.peers, key=lambda peer: peer.rate)

    @property
    def ratio_to_peer(self) -> float:
        return self.ours.rate(self.accounts) / self.best_peer.rate

    @property
    def ratio_to_bare(self) -> float:
        return self.ours.median / self.bare.median

    @property
    def reading_to_bare(self) -> float:
        return self.reading.median / self.bare.median


@dataclass
class Figures:
    """Everything measured; None for a part that was left out."""

    markets: list[MarketFigures] = field(default_factory=list)
    arithmetic: Arithmetic | None = None
    shocks: ShockFigures | None = None
    latency: LatencyFigures | None = None
    logs: LogFigures | None = None
    memory: MemoryFigures | None = None
    startup: Times | None = None


def table(figures: Figures) -> str:
    """Draw the tables, in Markdown."""
    lines = _markets(figures.markets)
    if figures.arithmetic is not None:
        lines += _arithmetic(figures.arithmetic)
    if figures.shocks is not None:
        lines += _shocks(figures.shocks)
    if figures.latency is not None:
        lines += _latency(figures.latency)
    if figures.logs is not None:
        lines += _logs(figures.logs)
    if figures.memory is not None or figures.startup is not None:
        lines += _resources(figures.memory, figures.startup)
    return "\n".join(lines)


def _markets(markets: Sequence[MarketFigures]) -> list[str]:
    lines: list[str] = []
    for market in markets:
        lines += [
            f"### {market.accounts:,} accounts",
            "",
            "| | accounts/s | wall |",
            "|---|--:|---|",
            _row("**liqbands: read, health, points, bands**", market.ours, market.accounts),
            _row("of that, reading", market.reading, market.accounts),
            _row("liqbands with exact triggers and seizures", market.exact, market.accounts),
            _row(
                f"the same {market.requests} requests over bare sockets ({market.received / 1e6:.1f} MB)",
                market.bare,
                market.accounts,
            ),
            *(_row(f"{peer.name} ({peer.accounts:,} accounts)", peer.times, peer.accounts) for peer in market.peers),
            "",
            *(
                [f"{market.ratio_to_peer:.1f} times the best web3.py way ({market.best_peer.name})."]
                if market.peers
                else []
            ),
            f"Reading takes {market.reading_to_bare:.2f} times as long as the bare requests, everything "
            f"{market.ratio_to_bare:.2f} times.",
            "",
        ]
    return lines


def _arithmetic(arithmetic: Arithmetic) -> list[str]:
    return [
        f"### Arithmetic alone: {arithmetic.accounts:,} accounts, {arithmetic.legs:,} legs, no node",
        "",
        "| | accounts/s | wall |",
        "|---|--:|---|",
        _row("exact health, closed-form points and bands", arithmetic.closed, arithmetic.accounts),
        _row(f"exact triggers ({arithmetic.solved:,} found)", arithmetic.triggers, arithmetic.accounts),
        "",
    ]


def _shocks(shocks: ShockFigures) -> list[str]:
    pairs = shocks.accounts * shocks.shocks
    return [
        f"### {shocks.shocks} shocks of one factor on {shocks.accounts:,} accounts, no node",
        "",
        "| | accounts × shocks a second | wall |",
        "|---|--:|---|",
        _row("closed form, with health and legs", shocks.closed, pairs),
        _row(f"exact ({shocks.broken:,} accounts break at the largest)", shocks.exact, pairs),
        "",
    ]


def _latency(latency: LatencyFigures) -> list[str]:
    lines = [
        f"### {latency.accounts:,} accounts over a link of {latency.delay * 1000:.0f} ms",
        "",
        "| | wall | requests | times ours |",
        "|---|---|--:|--:|",
        f"| **liqbands: read, health, points, bands** | {latency.ours} | {latency.requests} | 1 |",
    ]
    lines += [
        f"| {way.way}: {way.what} | {way.times} | {way.requests:,} | {latency.ratio(way):.1f} |" for way in latency.best
    ]
    lines += [
        "",
        "Settings tried, one run each: positions.",
        "",
        "| | accounts | wall | requests |",
        "|---|--:|---|--:|",
    ]
    lines += [
        f"| {way.way} | {way.accounts:,} | "
        + (f"{way.seconds:.3f} s | {way.requests:,} |" if way.times else f"fails: {way.problem[:80]} | |")
        for way in latency.tried
    ]
    return [*lines, ""]


def _logs(logs: LogFigures) -> list[str]:
    return [
        f"### {logs.logs:,} logs of {logs.blocks:,} blocks, at most {logs.widest} in one request, "
        f"over a link of {logs.delay * 1000:.0f} ms",
        "",
        f"{logs.times}: {logs.ratio:.2f} times {logs.least:.2f} s, which is {logs.least_requests} requests of "
        f"{logs.delay * 1000:.0f} ms, {logs.concurrency} at once. {logs.requests} requests, {logs.refused} of them "
        "refused as too wide.",
        "",
    ]


def _resources(memory: MemoryFigures | None, startup: Times | None) -> list[str]:
    lines = ["### Memory and start", "", "| | |", "|---|---|"]
    if memory is not None:
        lines += [
            f"| `liqbands {name}`, {memory.accounts:,} borrowers: memory at most | {peak / 1e6:,.0f} MB |"
            for name, peak in memory.peaks.items()
        ]
    if startup is not None:
        lines.append(f"| `liqbands --help` | {startup} |")
    return [*lines, ""]


def misses(figures: Figures) -> list[str]:
    """Name the targets that were missed."""
    arithmetic, latency, logs = figures.arithmetic, figures.latency, figures.logs
    found = []
    for market in figures.markets:
        name, rate = f"{market.accounts:,} accounts", market.ours.rate(market.accounts)
        if rate < LEAST_RATE:
            found.append(f"{name}: {rate:,.0f} accounts/s, the target is {LEAST_RATE:,}")
        if market.peers and market.ratio_to_peer < LEAST_RATIO_TO_PEER:
            found.append(f"{name}: {market.ratio_to_peer:.1f} times web3.py, the target is {LEAST_RATIO_TO_PEER:g}")
        if market.reading_to_bare > MOST_RATIO_TO_BARE:
            found.append(
                f"{name}: reading takes {market.reading_to_bare:.2f} times as long as the bare requests, "
                f"the target is {MOST_RATIO_TO_BARE:g}"
            )
    if arithmetic is not None:
        for what, times, most in (
            ("health, points and bands", arithmetic.closed, MOST_CLOSED),
            ("exact triggers", arithmetic.triggers, MOST_TRIGGERS),
        ):
            if times.median > most:
                found.append(
                    f"{arithmetic.accounts:,} accounts: {what} in {times.median:.2f} s, the target is {most:g}"
                )
    if figures.shocks is not None:
        for what, times, most in (
            ("closed form", figures.shocks.closed, MOST_CLOSED_SHOCKS),
            ("exact", figures.shocks.exact, MOST_EXACT_SHOCKS),
        ):
            if times.median > most:
                found.append(f"{figures.shocks.shocks} shocks, {what}: {times.median:.2f} s, the target is {most:g}")
    if latency is not None:
        for python, least in ((True, LEAST_RATIO_TO_PYTHON), (False, LEAST_RATIO_TO_VIEM)):
            way = latency.fastest("positions", python=python)
            if latency.ratio(way) < least:
                found.append(
                    f"{latency.accounts:,} accounts over the slow link: {latency.ratio(way):.1f} times {way.way.peer}, "
                    f"the target is {least:g}"
                )
    if logs is not None and logs.ratio > MOST_RATIO_OF_LOGS:
        found.append(
            f"{logs.logs:,} logs: {logs.ratio:.2f} times what the requests take, the target is {MOST_RATIO_OF_LOGS:g}"
        )
    if figures.memory is not None:
        found += [
            f"liqbands {name}: {peak / 1e6:,.0f} MB, the target is {MOST_MEMORY / 1e6:,.0f}"
            for name, peak in figures.memory.peaks.items()
            if peak >= MOST_MEMORY
        ]
    if figures.startup is not None and figures.startup.median > MOST_STARTUP:
        found.append(f"liqbands --help: {figures.startup.median:.2f} s, the target is {MOST_STARTUP:g}")
    return found


def _row(name: str, times: Times, accounts: int) -> str:
    return f"| {name} | {times.rate(accounts):,.0f} | {times} |"
