"""A small Aave market with an oracle graph, and random accounts on it for the real rules."""

from __future__ import annotations

import random
from collections.abc import Sequence

import polars as pl

from scanner.frames import SKIPPED
from scanner.protocols.aave_v3.amounts import STATE
from scanner.protocols.aave_v3.rules import AaveRules
from scanner.risk.pricing import CapRatio, Feed, FeedAnswer, OracleGraph, PriceExpression, Product
from scanner.risk.rules import Positions
from tests.unit.risk.synthetic import TIME, detail

DECIMALS = {0: 18, 1: 18, 2: 18, 3: 8, 4: 6}
PRICES = {0: 2100.0, 1: 2500.0, 2: 2270.0, 3: 65_000.0, 4: 1.0}

Leg = tuple[int, int, int]
"""Reserve, side (0 collateral, 1 debt), amount."""


def graph() -> OracleGraph:
    """Ether with two staked ethers on it, bitcoin, a dollar."""
    feeds = {
        "eth": Feed("eth", "ETH / USD", 8, 210_012_345_678, None, "ETH"),
        "btc": Feed("btc", "BTC / USD", 8, 6_500_000_000_000, None, "BTC"),
        "usd": Feed("usd", "USDC / USD", 8, 99_990_000, None, "USDC"),
        "ratio": Feed("ratio", "wstETH / ETH", 18, 1_190_000_000_000_000_000, None, "wstETH/ETH"),
        "other": Feed("other", "cbETH / ETH", 18, 1_081_234_567_890_123_456, None, "cbETH/ETH"),
    }
    prices: dict[str, PriceExpression] = {
        "0": FeedAnswer("eth"),
        "1": CapRatio(FeedAnswer("eth"), FeedAnswer("ratio"), 18, 118 * 10**16, TIME - 10**6, 10**9, 1),
        "2": Product(FeedAnswer("other"), FeedAnswer("eth"), 1, 10**18),
        "3": FeedAnswer("btc"),
        "4": FeedAnswer("usd"),
    }
    return OracleGraph(feeds, prices, (), TIME)


def rules(revision: int) -> AaveRules:
    return AaveRules(detail(revision, DECIMALS), TIME)


def random_legs(rng: random.Random) -> list[Leg]:
    """Longs, shorts, loops and mixtures from dust to whales, most of them just above a health factor of one."""
    usd = 10 ** rng.uniform(-1, 8)
    held = rng.sample(range(5), rng.randint(1, 3))
    owed = rng.sample(range(5), rng.randint(1, 2))
    shares = [rng.random() + 0.05 for _ in held]
    health = rng.choice([0.99, 1.00001, 1.01, 1.2, 2.0]) * rng.uniform(1, 1.005)
    legs = [
        (i, 0, int(usd * share / sum(shares) / PRICES[i] * 10 ** DECIMALS[i]) + 1)
        for i, share in zip(held, shares, strict=True)
    ]
    debt = usd * 0.8 / health / len(owed)
    return legs + [(i, 1, int(debt / PRICES[i] * 10 ** DECIMALS[i]) + 1) for i in owed]


def positions(accounts: Sequence[Sequence[Leg]]) -> Positions:
    names = [f"0x{i:040x}" for i in range(len(accounts))]
    frame = pl.DataFrame(
        {"row": range(len(accounts)), "position": names, "owner": names, "emode_category": [0] * len(accounts)},
        schema={"row": pl.UInt32, "position": pl.String, "owner": pl.String, "emode_category": pl.Int64},
    )
    rows = [
        (row, str(reserve), reserve, side, amount, 0, 0)
        for row, account in enumerate(accounts)
        for reserve, side, amount in account
    ]
    return Positions(frame, pl.DataFrame(rows, schema=STATE, orient="row"), pl.DataFrame(schema=dict(SKIPPED)))
