"""Compare health with the contract's own answer, account by account."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import polars as pl

from scanner.chain.interface import Reader, Reverted
from scanner.protocols.aave_v3.amounts import leg_amounts
from scanner.protocols.aave_v3.decode import POOL, PRICE_TOO_LARGE, PRICE_ZERO, Answer, values
from scanner.protocols.aave_v3.detail import AaveDetail
from scanner.protocols.aave_v3.valuation import health_of
from scanner.protocols.interface import Market
from scanner.results import ContractAnswer
from scanner.risk.rules import Answers, Positions

__all__ = ["contract_answers", "mismatches"]

_NO_DEBT: Final = 2**256 - 1


def mismatches(
    chain: Reader, market: Market, detail: AaveDetail, positions: Positions, health: pl.DataFrame, rows: Sequence[int]
) -> list[str]:
    """Name the positions of ``rows`` whose health differs from ``getUserAccountData`` at the block.

    Collateral, debt and health factor are compared as integers; 2^256 - 1 there means "no debt". An unpriced account
    must revert on chain and any other must not; where the oracle answers 0, the contract takes the reserve for
    worthless, and must agree with that. What it makes of an answer too large for us is not compared.
    """
    chosen = pl.Series("row", list(rows), dtype=pl.UInt32)
    names = positions.accounts["position"].gather(chosen).to_list()
    mine = _as_the_contract(market, detail, positions, health)[chosen].iter_rows()
    answers = chain.call([POOL.call(detail.pool, "getUserAccountData", name) for name in names])
    return [name for name, own, answer in zip(names, mine, answers, strict=True) if not _same(own, answer)]


def _as_the_contract(market: Market, detail: AaveDetail, positions: Positions, health: pl.DataFrame) -> pl.DataFrame:
    """Give the columns to compare, with answers of 0 counted as prices for the accounts that are unpriced here."""
    compared = ("unpriced", "has_debt", "collateral_raw", "debt_raw", "health_factor_wad")
    reasons = dict(market.skipped.select("reserve", "reason").iter_rows())
    worthless = [reserve for reserve, reason in reasons.items() if reason == PRICE_ZERO]
    beyond = [reserve for reserve, reason in reasons.items() if reason == PRICE_TOO_LARGE]
    holders = positions.state["row"].filter(positions.state["reserve"].is_in(beyond))
    health = health.with_columns(pl.col("row").is_in(holders.implode()).alias("beyond"))
    if not worthless:
        return health.select(*compared, "beyond")
    answers = Answers({**market.answers, **dict.fromkeys(worthless, 0)})
    legs = leg_amounts(positions, detail, detail.block_timestamp)
    counted = health_of(legs, positions, detail, answers)
    return health.select(
        *(pl.when(pl.col("unpriced")).then(counted[name]).otherwise(pl.col(name)).alias(name) for name in compared),
        "beyond",
    )


def _same(own: tuple[bool, bool, object, object, str | None, bool], answer: Answer) -> bool:
    unpriced, has_debt, collateral, debt, factor, beyond = own
    if unpriced and beyond:
        return True
    if unpriced or isinstance(answer, Reverted):
        return unpriced and isinstance(answer, Reverted)
    theirs = values(POOL, "getUserAccountData", answer)
    expected = str(theirs[5]) if theirs[5] != _NO_DEBT else None
    return (collateral, debt, factor, has_debt) == (theirs[0], theirs[1], expected, expected is not None)


def contract_answers(chain: Reader, detail: AaveDetail, accounts: Sequence[str]) -> dict[str, ContractAnswer]:
    """Read getUserAccountData of accounts; it reverts for an unpriced one, which is left out."""
    answers = chain.call([POOL.call(detail.pool, "getUserAccountData", account) for account in accounts])
    return {
        account: _contract_answer(answer)
        for account, answer in zip(accounts, answers, strict=True)
        if not isinstance(answer, Reverted)
    }


def _contract_answer(answer: bytes) -> ContractAnswer:
    theirs = values(POOL, "getUserAccountData", answer)
    return ContractAnswer(theirs[0], theirs[1], theirs[5] if theirs[5] != _NO_DEBT else None)
