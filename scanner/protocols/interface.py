"""What a lending protocol has to declare and to read. A protocol is one folder that provides this."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

import polars as pl

from scanner.chain.interface import Log, Reader
from scanner.results import ContractAnswer, ProofReport, ReserveProof
from scanner.risk.pricing import OracleGraph
from scanner.risk.rules import Positions, Rules

__all__ = ["Deployment", "Found", "LendingProtocol", "LogDiscovery", "Market", "MarketRead"]


@dataclass(frozen=True, slots=True)
class Deployment:
    """A listed market: data only."""

    chain_id: int
    chain: str  # ethereum, arbitrum, ...
    name: str  # what --market takes
    root: str  # 0x, lower case
    first_block: int


@dataclass(frozen=True, slots=True)
class Found:
    """A position that a log proves to have had debt."""

    position: str
    owner: str
    block_number: int


@dataclass(frozen=True)
class LogDiscovery:
    """Filters that see every position with debt, and the pure decoder of what they give."""

    addresses: tuple[str, ...]
    topics: tuple[str, ...]
    decode: Callable[[Sequence[Log]], Sequence[Found]]


@dataclass(frozen=True)
class Market:
    """One market at one block.

    ``frame`` has one row of MARKETS, ``reserves`` the frame RESERVES but for factor (filled in later);
    ``detail`` is the protocol's own.
    """

    chain_id: int
    protocol: str
    market_id: str
    name: str
    revision: int
    base_unit: int
    timestamp: int
    frame: pl.DataFrame
    reserves: pl.DataFrame
    skipped: pl.DataFrame
    answers: Mapping[str, int]  # reserve to oracle answer, priced reserves only
    detail: object
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True)
class MarketRead:
    """All that was read of one market, before anything is computed; ``rules`` are those at the block."""

    market: Market
    rules: Rules
    graph: OracleGraph
    positions: Positions
    totals: Sequence[ReserveProof]
    owners: Sequence[str]


class LendingProtocol(Protocol):
    """A protocol family, all its deployments alike."""

    @property
    def slug(self) -> str: ...

    @property
    def deployments(self) -> Sequence[Deployment]: ...

    @property
    def root_name(self) -> str:
        """Name the contract that is a market's root, as messages do: "the PoolAddressesProvider"."""
        ...

    def refusal(self, chain: Reader, root: str) -> str | None:
        """Say why an address is no market root of this protocol and what to give instead; None when it is one."""
        ...

    def discovery(self, chain: Reader, root: str) -> LogDiscovery: ...

    def read_market(self, chain: Reader, root: str, name: str, *, newest_for_unknown: bool = False) -> Market:
        """Read everything but positions.

        Raises UnknownRevisionError for a revision without rules, unless ``newest_for_unknown`` asks for the newest
        rules: only for a scan that compares every account with the contract.
        """
        ...

    def read_positions(
        self, chain: Reader, market: Market, owners: Sequence[str], progress: Callable[[int], None] | None = None
    ) -> Positions: ...

    def debt_totals(self, chain: Reader, market: Market, positions: Positions) -> Sequence[ReserveProof]: ...

    def oracle_graph(self, chain: Reader, market: Market) -> OracleGraph: ...

    def rules(self, market: Market) -> Rules: ...

    def verify(
        self, chain: Reader, market: Market, positions: Positions, health: pl.DataFrame, rows: Sequence[int]
    ) -> Sequence[str]:
        """Compare chosen rows of a health frame with the contract's own answers; name the positions that differ."""
        ...

    def prove(
        self,
        chain: Reader,
        market: Market,
        positions: Positions,
        totals: Sequence[ReserveProof],
        how: Literal["sample", "all"],
    ) -> ProofReport:
        """Hold what was read against the block's state root (eth_getProof).

        Raises ProofMismatch where it differs or a proof is none, ChainError where the endpoint offers no proofs or
        something cannot be proven, ConfigError for a reader that has no endpoint.
        """
        ...

    def contract_answers(self, chain: Reader, market: Market, owners: Sequence[str]) -> Mapping[str, ContractAnswer]:
        """Read what the contract itself says of accounts; those that it refuses to value are left out."""
        ...
