"""Compare health with the contract's own answer, account by account."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import polars as pl

from scanner.chain.interface import Reader, Reverted
from scanner.protocols.aave_v3.decode import POOL, PRICE_ZERO, Answer, values
from scanner.protocols.aave_v3.detail import AaveDetail
from scanner.protocols.interface import Market
from scanner.risk.rules import Positions

__all__ = ["mismatches"]

_NO_DEBT: Final = 2**256 - 1


def mismatches(
    chain: Reader, market: Market, detail: AaveDetail, positions: Positions, health: pl.DataFrame, rows: Sequence[int]
) -> list[str]:
    """Name the positions of ``rows`` whose health differs from ``getUserAccountData`` at the block.

    Collateral, debt and health factor are compared as integers; 2^256 - 1 there means "no debt". An unpriced account
    must revert on chain, unless it holds a reserve whose price is 0, which the contract takes for worthless. Any other
    account must not revert.
    """
    chosen = pl.Series("row", list(rows), dtype=pl.UInt32)
    names = positions.accounts["position"].gather(chosen).to_list()
    worthless = market.skipped.filter(pl.col("reason") == PRICE_ZERO)["reserve"]
    lenient = set(positions.state.filter(pl.col("reserve").is_in(worthless.implode()))["row"])
    mine = health.select("unpriced", "has_debt", "collateral_raw", "debt_raw", "health_factor_wad")[chosen].iter_rows()
    answers = chain.call([POOL.call(detail.pool, "getUserAccountData", name) for name in names])
    return [
        name
        for row, name, own, answer in zip(chosen, names, mine, answers, strict=True)
        if not ((own[0] and row in lenient) or _same(own, answer))
    ]


def _same(own: tuple[bool, bool, object, object, str | None], answer: Answer) -> bool:
    unpriced, has_debt, collateral, debt, factor = own
    if unpriced or isinstance(answer, Reverted):
        return unpriced and isinstance(answer, Reverted)
    theirs = values(POOL, "getUserAccountData", answer)
    expected = str(theirs[5]) if theirs[5] != _NO_DEBT else None
    return (collateral, debt, factor, has_debt) == (theirs[0], theirs[1], expected, expected is not None)
