"""Read a market's oracle: which feeds price which reserve, by which integer arithmetic, proven on chain."""

from __future__ import annotations

from scanner.chain.interface import Reader
from scanner.protocols.aave_v3.detail import AaveDetail
from scanner.protocols.aave_v3.oracle_graph import build_graph, read_oracle, without_unused
from scanner.protocols.aave_v3.oracle_proof import prove
from scanner.protocols.aave_v3.oracle_stub import overrides_for_answer, stub_code
from scanner.protocols.interface import Market
from scanner.risk.pricing import OracleGraph

__all__ = ["overrides_for_answer", "prove", "read_oracle_graph", "stub_code"]


def read_oracle_graph(reader: Reader, market: Market, detail: AaveDetail, *, proof: bool = True) -> OracleGraph:
    """Read the wiring behind every price and, unless ``proof`` is off, prove it by perturbation.

    A price that the known adapters do not explain to the unit becomes a feed of its own, with a warning. An endpoint
    that takes no overrides leaves the wiring unproven, with a warning. Raises DecodeError when the market's oracle is
    none.
    """
    reading = read_oracle(reader, market, detail)
    return prove(reader, reading) if proof else without_unused(build_graph(reading, {}))
