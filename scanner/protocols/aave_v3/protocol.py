"""Aave v3 and its forks: asks the reader, hands the answers on."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Literal

import polars as pl

from scanner.chain.interface import Reader
from scanner.chain.provable import Provable
from scanner.errors import ConfigError
from scanner.protocols.aave_v3.decode import ADDRESSES_PROVIDER, POOL, address, found
from scanner.protocols.aave_v3.deployments import DEPLOYMENTS
from scanner.protocols.aave_v3.detail import AaveDetail
from scanner.protocols.aave_v3.market import ROOT_NAME, read_market, refusal
from scanner.protocols.aave_v3.oracle import read_oracle_graph
from scanner.protocols.aave_v3.positions import read_positions
from scanner.protocols.aave_v3.rules import AaveRules
from scanner.protocols.aave_v3.totals import debt_totals
from scanner.protocols.aave_v3.verify import contract_answers, mismatches
from scanner.protocols.interface import Deployment, LogDiscovery, Market
from scanner.results import ContractAnswer, ProofReport, ReserveProof
from scanner.risk.pricing import OracleGraph
from scanner.risk.rules import Positions

__all__ = ["AaveV3"]


class AaveV3:
    """The protocol family; a market's root is its PoolAddressesProvider."""

    @property
    def slug(self) -> str:
        return "aave-v3"

    @property
    def deployments(self) -> Sequence[Deployment]:
        return DEPLOYMENTS

    @property
    def root_name(self) -> str:
        return ROOT_NAME

    def refusal(self, chain: Reader, root: str) -> str | None:
        """Say why an address is no PoolAddressesProvider; see ``market.refusal``."""
        return refusal(chain, root)

    def discovery(self, chain: Reader, root: str) -> LogDiscovery:
        """Find accounts by ``Borrow.onBehalfOf``: debt cannot move by transfer, so nobody with debt is missing.

        Reads getPool; raises DecodeError when ``root`` is not a market root.
        """
        pool = address(ADDRESSES_PROVIDER, "getPool", chain.call([ADDRESSES_PROVIDER.call(root.lower(), "getPool")])[0])
        return LogDiscovery((pool,), (POOL.topics["Borrow"],), found)

    def read_market(self, chain: Reader, root: str, name: str, *, newest_for_unknown: bool = False) -> Market:
        """Read parameters, indexes and prices; see ``market.read_market``."""
        return read_market(chain, root, name, self.slug, newest_for_unknown=newest_for_unknown)

    def read_positions(
        self, chain: Reader, market: Market, owners: Sequence[str], progress: Callable[[int], None] | None = None
    ) -> Positions:
        """Read the exact state of accounts; see ``positions.read_positions``."""
        return read_positions(chain, market, _detail(market), owners, progress)

    def debt_totals(self, chain: Reader, market: Market, positions: Positions) -> Sequence[ReserveProof]:
        """Compare debt per reserve with the debt tokens; see ``totals.debt_totals``."""
        return debt_totals(chain, _detail(market), positions)

    def oracle_graph(self, chain: Reader, market: Market) -> OracleGraph:
        """Read what stands behind the market's prices."""
        return read_oracle_graph(chain, market, _detail(market))

    def rules(self, market: Market) -> AaveRules:
        """Give the rules of the market's revision at the block's timestamp."""
        return AaveRules(_detail(market), market.timestamp)

    def verify(
        self, chain: Reader, market: Market, positions: Positions, health: pl.DataFrame, rows: Sequence[int]
    ) -> Sequence[str]:
        """Compare rows of a health frame with ``getUserAccountData``; see ``verify.mismatches``."""
        return mismatches(chain, market, _detail(market), positions, health, rows)

    def prove(
        self,
        chain: Reader,
        market: Market,
        positions: Positions,
        totals: Sequence[ReserveProof],
        how: Literal["sample", "all"],
    ) -> ProofReport:
        """Prove a market and its accounts under the block's state root; see ``state_proofs.prove_state``."""
        if not isinstance(chain, Provable):
            raise ConfigError("--prove asks an endpoint for proofs; a recording has none")
        from scanner.protocols.aave_v3.state_proofs import prove_state  # the trie library is needed for nothing else

        return prove_state(chain, market, _detail(market), positions, totals, how)

    def contract_answers(self, chain: Reader, market: Market, owners: Sequence[str]) -> Mapping[str, ContractAnswer]:
        """Read ``getUserAccountData`` of accounts; those for whom it reverts are left out."""
        return contract_answers(chain, _detail(market), owners)


def _detail(market: Market) -> AaveDetail:
    if not isinstance(market.detail, AaveDetail):
        raise TypeError(f"market {market.name} is of protocol {market.protocol}")
    return market.detail
