"""Random accounts on a synthetic Aave market, and their health factor in plain Python integers."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import polars as pl

from scanner.protocols.aave_v3.detail import AaveDetail, AaveReserve
from scanner.protocols.aave_v3.probe import AaveProbe
from scanner.risk.rules import Answers, Positions, PricePath
from scanner.risk.triggers import SEARCHES, first_crossings

RAY = 10**27
TIME = 1_700_000_000


@dataclass(frozen=True)
class Leg:
    """One leg: reserve id, token amount, threshold in basis points (collateral) or None (debt)."""

    reserve: int
    amount: int
    threshold: int | None


Account = Sequence[Leg]


def detail(revision: int, decimals: Mapping[int, int]) -> AaveDetail:
    """Make a market whose indexes are one, so that scaled balances are amounts."""
    reserves = tuple(
        AaveReserve(
            id=i,
            asset=f"0x{i:040x}",
            symbol=f"R{i}",
            decimals=d,
            atoken="",
            vtoken="",
            stoken=None,
            ltv_bps=5000,
            threshold_bps=8000,
            bonus_bps=10500,
            protocol_fee_bps=1000,
            active=True,
            frozen=False,
            paused=False,
            borrowable=True,
            emode_category=0,
            liquidity_index=RAY,
            liquidity_rate=0,
            debt_index=RAY,
            debt_rate=0,
            updated_at=TIME,
            income_now=RAY,
            debt_index_now=RAY,
            grace_until=0,
        )
        for i, d in decimals.items()
    )
    return AaveDetail("", "", revision, 10**8, reserves, {}, False, TIME)


def positions(accounts: Sequence[Account]) -> Positions:
    """Make positions without state; legs come from ``legs``."""
    names = [f"0x{i:040x}" for i in range(len(accounts))]
    frame = pl.DataFrame(
        {"row": range(len(accounts)), "position": names, "owner": names, "emode_category": [0] * len(accounts)},
        schema={"row": pl.UInt32, "position": pl.String, "owner": pl.String, "emode_category": pl.Int64},
    )
    return Positions(frame, pl.DataFrame(), pl.DataFrame())


def legs(accounts: Sequence[Account], decimals: Mapping[int, int]) -> pl.DataFrame:
    """Give what ``leg_amounts`` would: thresholds are the accounts' own."""
    rows = [
        (
            row,
            str(leg.reserve),
            0 if leg.threshold is not None else 1,
            leg.amount,
            10 ** decimals[leg.reserve],
            leg.threshold or 0,
            leg.threshold is not None,
            str(leg.reserve),
        )
        for row, account in enumerate(accounts)
        for leg in account
    ]
    schema = {
        "row": pl.UInt32,
        "reserve": pl.String,
        "side": pl.UInt8,
        "amount": pl.Int128,
        "unit": pl.Int128,
        "threshold_bps": pl.Int64,
        "counts": pl.Boolean,
        "price_key": pl.String,
    }
    return pl.DataFrame(rows, schema=schema, orient="row")


def probe(
    accounts: Sequence[Account],
    revision: int,
    decimals: Mapping[int, int],
    path: PricePath,
    answers: Mapping[str, int],
) -> AaveProbe:
    """Probe each account, in order, on one path."""
    rows = pl.Series(range(len(accounts)), dtype=pl.UInt32)
    items = pl.DataFrame({"path": pl.zeros(len(accounts), dtype=pl.UInt32, eager=True), "row": rows})
    market = detail(revision, decimals)
    return AaveProbe(positions(accounts), market, legs(accounts, decimals), [path], items, Answers(answers))


def crossings(
    accounts: Sequence[Account],
    revision: int,
    decimals: Mapping[int, int],
    path: PricePath,
    answers: Mapping[str, int],
    *,
    down: bool,
    limit: int,
) -> pl.DataFrame:
    """Give answer and solved of each account, in order, with its first crossing on the way to the limit."""
    rows = pl.Series(range(len(accounts)), dtype=pl.UInt32)
    searches = pl.DataFrame(
        {"item": rows, "path": [0] * len(accounts), "down": [down] * len(accounts), "limit": [limit] * len(accounts)},
        schema=SEARCHES,
    )
    return first_crossings(probe(accounts, revision, decimals, path, answers), [path], searches)


def health(account: Account, revision: int, decimals: Mapping[int, int], price: Callable[[int], int]) -> int | None:
    """Give the contract's health factor; None without debt or where a price is zero (it reverts)."""
    value = weighted = debt = 0
    if any(price(leg.reserve) <= 0 for leg in account):
        return None
    for leg in account:
        unit, product = 10 ** decimals[leg.reserve], leg.amount * price(leg.reserve)
        if leg.threshold is not None:
            value += product // unit
            weighted += product // unit * leg.threshold
        else:
            debt += -(-product // unit) if revision >= 9 else product // unit
    if debt == 0:
        return None
    if revision >= 9:
        return (weighted * 10**18 + debt // 2) // debt // 10_000
    average = weighted // value if value else 0
    return ((value * average + 5000) // 10_000 * 10**18 + debt // 2) // debt


def liquidatable(account: Account, revision: int, decimals: Mapping[int, int], price: Callable[[int], int]) -> bool:
    factor = health(account, revision, decimals, price)
    return factor is not None and factor < 10**18


def seeded(seed: int) -> random.Random:
    return random.Random(seed)
