"""Seeded random markets and accounts for the reference, made to sit on the rules' edges. Plain Python."""

from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import dataclass

from tests.reference import aave_v3 as ref

NOW = 1_700_000_000

_DECIMALS = (18, 18, 8, 6, 18, 6, 18, 8, 2, 24)
_DOLLARS = (2000.0, 2350.0, 65_000.0, 1.0, 1.0, 1.0001, 15.0, 64_000.0, 0.02, 3.0)
_VALUES = (
    1e-6,
    0.5,
    400.0,
    1_000.0,
    1_500.0,
    1_999.999,
    2_000.0,
    2_001.0,
    2_600.0,
    3_900.0,
    5_000.0,
    40_000.0,
    3e6,
    1e8,
)


@dataclass(frozen=True)
class World:
    market: ref.Market
    prices: Mapping[str, int]
    accounts: tuple[ref.Account, ...]


def world(revision: int, seed: int, accounts: int) -> World:
    """Make a market with ten reserves (ids up to 127), its prices and accounts around HF 1.

    Odd seeds shut gates on single reserves, every third seed has its sentinel down.
    """
    rng = random.Random(f"{revision}/{seed}")
    ids = [0, 1, 2, 3, 4, 63, 64, 65, 126, 127]
    reserves, prices = {}, {}
    for at, reserve_id in enumerate(ids):
        reserves[reserve_id] = _reserve(rng, revision, reserve_id, _DECIMALS[at], gated=seed % 2 == 1)
        prices[str(reserve_id)] = max(1, int(_DOLLARS[at] * rng.uniform(0.3, 1.4) * 10**8))
    emodes = {}
    for category in (1, 2):
        own_price = revision <= 4 and category == 1
        threshold = rng.randint(9_000, 9_600)
        bitmap = sum(1 << i for i in ids if rng.random() < 0.5) if revision > 4 else 0
        emodes[category] = ref.EMode(category, threshold, rng.randint(10_050, 10_300), bitmap, own_price)
        if own_price:
            prices[f"emode:{category}"] = int(2_000 * rng.uniform(0.5, 1.2) * 10**8)
    market = ref.Market(revision, reserves, emodes, sentinel_down=seed % 3 == 2)
    made = [_account(rng, market, prices, ids) for _ in range(accounts)]
    return World(market, prices, tuple(made))


def _reserve(rng: random.Random, revision: int, reserve_id: int, decimals: int, gated: bool) -> ref.Reserve:
    usable = rng.random() > 0.1
    return ref.Reserve(
        reserve_id,
        decimals,
        threshold=rng.randint(4_000, 9_500) if usable else 0,
        bonus=rng.choice([10_001, 10_333, 10_500, 10_750, 11_000, rng.randint(10_100, 11_500)]) if usable else 0,
        fee=rng.choice([0, 1_000, 2_000, 3_333, 10_000]),
        liquidity_index=ref.RAY + rng.choice([0, rng.randrange(ref.RAY), rng.randrange(ref.RAY // 100)]),
        liquidity_rate=rng.randrange(ref.RAY // 10),
        debt_index=ref.RAY + rng.choice([0, rng.randrange(3 * ref.RAY), rng.randrange(ref.RAY // 10)]),
        debt_rate=rng.randrange(ref.RAY // 5),
        updated_at=NOW - rng.choice([0, 1, 2, 3_600, 86_400 * 90]),
        active=not (gated and reserve_id == 63),
        paused=gated and reserve_id == 64,
        grace_until=rng.choice([NOW - 1, NOW, NOW + 1]) if gated and reserve_id in (2, 65) else 0,
        emode_category=rng.choice([0, 1, 2]) if revision <= 4 else 0,
    )


def _scaled(rng: random.Random, dollars: float, decimals: int, price: int, index: int) -> int:
    amount = int(dollars * 10**8 * 10**decimals / price) + rng.choice([0, 0, 1, 2])
    return amount * ref.RAY // index


def _account(rng: random.Random, market: ref.Market, prices: Mapping[str, int], ids: list[int]) -> ref.Account:
    """Draw collateral, then debts that put HF near a chosen value."""
    emode = rng.choice([0, 0, 1, 2])
    collateral, debt, stable = {}, {}, {}
    for reserve_id in rng.sample(ids, rng.choice([1, 1, 1, 2, 3])):
        reserve = market.reserves[reserve_id]
        dollars = rng.choice(_VALUES) * rng.choice([1.0, 1.0, rng.uniform(0.5, 2.0)])
        index = ref.income(reserve, NOW)
        collateral[reserve_id] = _scaled(rng, dollars, reserve.decimals, prices[str(reserve_id)], index)
        if rng.random() < 0.03:
            collateral[reserve_id] = rng.randrange(1, 20)
    bare = ref.account_data(ref.Account(collateral, {}, {}, emode), market, prices, NOW)
    power = bare.weighted / 10_000 / 10**8
    target = rng.choice([1.03, 0.999, 0.98, 0.97, 0.96, 0.951, 0.95, 0.949, 0.9, 0.6, 0.2])
    borrowed = rng.sample(ids, rng.choice([1, 1, 2, 2, 3]))
    weights = [rng.choice([1.0, 1.0, 0.1, 0.001]) for _ in borrowed]
    for reserve_id, weight in zip(borrowed, weights, strict=True):
        reserve = market.reserves[reserve_id]
        dollars = power / target * weight / sum(weights)
        index = ref.debt_index(market, reserve, NOW)
        scaled = max(1, _scaled(rng, dollars, reserve.decimals, prices[str(reserve_id)], index))
        kind = rng.random() if market.revision <= 4 else 1.0
        if kind < 0.3:
            share = rng.choice([1, 2, 10])
            since = NOW - rng.choice([0, 1, 2, 86_400])
            stable[reserve_id] = (max(1, scaled // share), rng.randrange(ref.RAY // 10), since)
            scaled -= scaled // share
        if scaled:
            debt[reserve_id] = scaled
    return ref.Account(collateral, debt, stable, emode)
