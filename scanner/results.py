"""What a scan gives: frames, and what is needed to trust them. Pure data."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

import polars as pl

from scanner.units import RAY

__all__ = ["ContractAnswer", "FactorInfo", "MarketSummary", "ProofReport", "ReserveProof", "ScanResult", "Snapshot"]


@dataclass(frozen=True)
class Snapshot:
    """Where and when the numbers were read."""

    chain_id: int
    block_number: int
    block_hash: str
    block_timestamp: int
    complete: bool | None  # None where only some accounts were asked for: then nothing is proven
    tool_version: str
    rpc_hosts: tuple[str, ...]
    seconds: Mapping[str, float] = field(default_factory=dict)
    source: str = "rpc"  # rpc | recording
    reading: str = "override"  # override | deployless | multicall3 | single
    quorum: int = 1  # endpoints that had to give the same answers
    assurance: str | None = None  # how probably a quorum finds a change
    what_if: tuple[str, ...] = ()  # what was changed before computing, a line each; the block has none of it


@dataclass(frozen=True, slots=True)
class ReserveProof:
    """Debt of one reserve: what the protocol counts and what was read, in scaled units."""

    reserve: str
    symbol: str
    proof: Literal["exact", "bounded"]
    scaled_total: int
    scaled_read: int
    debt_index: int  # to turn missing units into an amount
    decimals: int
    tolerance: int = 0

    @property
    def missing(self) -> int:
        """Total less read: positive when debt is missing, negative when there is too much."""
        return self.scaled_total - self.scaled_read

    @property
    def complete(self) -> bool:
        return abs(self.missing) <= self.tolerance

    @property
    def missing_tokens(self) -> float:
        """Whole tokens of debt that were not read; negative when more was read than there is."""
        return float(self.missing * self.debt_index / (RAY * 10**self.decimals))


@dataclass(frozen=True, slots=True)
class ProofReport:
    """How much of a market was held against the block's state root, all of it without a difference."""

    how: Literal["sample", "all"]
    accounts: int  # proven, with their configurations and balances
    of: int
    values: int  # compared, those of reserves included

    def seen(self, changed: int) -> float:
        """Give the least probability with which a change to so many accounts would have been seen."""
        if self.accounts >= self.of:
            return 1.0
        return 1.0 - (1.0 - self.accounts / self.of) ** changed

    @property
    def detection(self) -> str:
        """Say what would have been seen, as a sentence."""
        if self.accounts >= self.of:
            return f"all {self.of:,} accounts are proven: any change would have been seen"
        counts = [count for count in (1, 10, 100, 1000) if count <= self.of]
        chances = ", ".join(f"{self.seen(count):.1%}" for count in counts)
        return (
            f"{self.accounts:,} of {self.of:,} accounts, drawn at random, and all reserves are proven: a change to"
            f" {', '.join(map('{:,}'.format, counts))} accounts would have been seen with a probability of {chances}"
        )


@dataclass(frozen=True)
class MarketSummary:
    """One market: size, completeness, verification."""

    protocol: str
    market_id: str
    name: str
    revision: int
    account_count: int  # accounts with debt or collateral
    collateral_usd: float | None
    debt_usd: float | None
    base_unit: int
    completeness: tuple[ReserveProof, ...]
    verified_accounts: int
    mismatches: tuple[str, ...]  # accounts whose numbers differ from the contract's
    unread: int = 0
    whole: bool = True  # False where only some accounts were asked for
    proven: ProofReport | None = None

    @property
    def complete(self) -> bool | None:
        """Say whether all debt was read; None where only some accounts were asked for."""
        if not self.whole:
            return None
        return self.unread == 0 and all(proof.complete for proof in self.completeness)


@dataclass(frozen=True)
class FactorInfo:
    """One price factor and the feed that its prices are stated in."""

    factor: str
    feed_address: str
    description: str
    decimals: int
    answer: int
    answer_at: int | None
    price_usd: float | None
    members: tuple[str, ...]  # symbols


@dataclass(frozen=True, slots=True)
class ContractAnswer:
    """What the protocol's own getter says of one account, in the market's base unit."""

    collateral_base: int
    debt_base: int
    health_factor_wad: int | None  # null without debt


@dataclass(frozen=True)
class ScanResult:
    """Everything about one block; ``frames`` is keyed as ``frames.FRAMES``."""

    snapshot: Snapshot
    markets: tuple[MarketSummary, ...]
    factors: tuple[FactorInfo, ...]
    frames: Mapping[str, pl.DataFrame]
    warnings: tuple[str, ...]
    selected_factor: str
    contract_answers: Mapping[str, ContractAnswer] = field(default_factory=dict)  # by position, where asked for

    @property
    def mismatched(self) -> bool:
        return any(market.mismatches for market in self.markets)

    @property
    def trustworthy(self) -> bool:
        """Nothing incomplete, unread or mismatched: what exit code 0 asks for.

        Where only some accounts were asked for, completeness is unknown and does not count.
        """
        unread = any(market.unread for market in self.markets)
        return self.snapshot.complete is not False and not unread and not self.mismatched
