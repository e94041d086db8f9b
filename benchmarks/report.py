"""Figures, the table of them, and the targets that they are held against."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

from benchmarks.synthetic import Arithmetic
from benchmarks.timing import Times

__all__ = ["MarketFigures", "PeerFigures", "misses", "table"]

LEAST_RATE: Final = 50_000
LEAST_RATIO_TO_PEER: Final = 15.0
MOST_RATIO_TO_BARE: Final = 1.3
MOST_CLOSED: Final = 0.3
MOST_TRIGGERS: Final = 4.0


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


def table(markets: Sequence[MarketFigures], arithmetic: Arithmetic | None) -> str:
    """Draw the tables, in Markdown."""
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
    if arithmetic is not None:
        lines += [
            f"### Arithmetic alone: {arithmetic.accounts:,} accounts, {arithmetic.legs:,} legs, no node",
            "",
            "| | accounts/s | wall |",
            "|---|--:|---|",
            _row("exact health, closed-form points and bands", arithmetic.closed, arithmetic.accounts),
            _row(f"exact triggers ({arithmetic.solved:,} found)", arithmetic.triggers, arithmetic.accounts),
            "",
        ]
    return "\n".join(lines)


def misses(markets: Sequence[MarketFigures], arithmetic: Arithmetic | None) -> list[str]:
    """Name the targets that were missed."""
    found = []
    for market in markets:
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
    return found


def _row(name: str, times: Times, accounts: int) -> str:
    return f"| {name} | {times.rate(accounts):,.0f} | {times} |"
