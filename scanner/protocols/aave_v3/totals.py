"""Whether all debt of a market was read: what the tokens count against what the positions hold."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import polars as pl

from scanner.beside import beside
from scanner.chain.interface import Reader
from scanner.exact import sum_by
from scanner.protocols.aave_v3.amounts import leg_amounts
from scanner.protocols.aave_v3.decode import STABLE_DEBT_TOKEN, TOKEN, integer
from scanner.protocols.aave_v3.detail import DEBT, STABLE_DEBT, AaveDetail
from scanner.results import ReserveProof
from scanner.risk.rules import Positions

__all__ = ["STABLE_TOLERANCE", "debt_totals"]

STABLE_TOLERANCE: Final = 1000
"""The stable-debt token compounds one average rate, each account its own: one part in this many is allowed between."""


def debt_totals(chain: Reader, detail: AaveDetail, positions: Positions) -> Sequence[ReserveProof]:
    """Compare debt per reserve.

    Variable debt is exact: ``scaledTotalSupply`` against the sum of scaled balances, both integers. Stable debt, up to
    v3.1, is bounded: ``totalSupply`` against the sum of compounded balances at the block, which may differ by 0.1 %
    either way. Raises DecodeError when a token reverts.
    """
    stable = [(reserve, reserve.stoken) for reserve in detail.reserves if reserve.stoken]
    calls = [TOKEN.call(reserve.vtoken, "scaledTotalSupply") for reserve in detail.reserves]
    calls += [STABLE_DEBT_TOKEN.call(token, "totalSupply") for _, token in stable]
    asked = beside(lambda: chain.call(calls))
    legs = positions.state.select("reserve_id", "side", "scaled")
    read = _sums(legs.filter(pl.col("side") == DEBT), "scaled")
    answers = asked.result()
    totals = [
        ReserveProof(
            reserve=reserve.key,
            symbol=reserve.symbol,
            proof="exact",
            scaled_total=integer(TOKEN, "scaledTotalSupply", answer),
            scaled_read=read.get(reserve.id, 0),
            debt_index=reserve.debt_index_now,
            decimals=reserve.decimals,
        )
        for reserve, answer in zip(detail.reserves, answers[: len(detail.reserves)], strict=True)
    ]
    if not stable:
        return totals
    legs = leg_amounts(positions, detail, detail.block_timestamp)
    owed = _sums(legs.filter(pl.col("side") == STABLE_DEBT), "amount")
    for (reserve, _), answer in zip(stable, answers[len(detail.reserves) :], strict=True):
        supply = integer(STABLE_DEBT_TOKEN, "totalSupply", answer)
        held = owed.get(reserve.id, 0)
        totals.append(
            ReserveProof(
                reserve=reserve.key,
                symbol=reserve.symbol,
                proof="bounded",
                scaled_total=supply,
                scaled_read=held,
                debt_index=reserve.debt_index_now,
                decimals=reserve.decimals,
                tolerance=supply // STABLE_TOLERANCE + 1,
            )
        )
    return totals


def _sums(legs: pl.DataFrame, column: str) -> dict[int, int]:
    sums = sum_by(legs, "reserve_id", [column])
    return dict(zip(sums["reserve_id"], sums[column], strict=True))
