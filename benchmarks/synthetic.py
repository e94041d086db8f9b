"""200,000 accounts for the arithmetic alone: copies of a real market's borrowers, each in another size."""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import Final

import polars as pl

from benchmarks.bands import closed_bands
from benchmarks.timing import Times, timed
from scanner.protocols.interface import Market, MarketRead
from scanner.risk.exposures import exposures, members
from scanner.risk.points import points
from scanner.risk.pricing import OracleGraph
from scanner.risk.rules import Answers, Positions, Rules
from scanner.risk.triggers import solve_triggers

__all__ = ["Arithmetic", "measure", "tiled"]

_SEED: Final = 1


@dataclass(frozen=True)
class Arithmetic:
    """Times over one set of positions."""

    accounts: int
    legs: int
    closed: Times  # health, legs, exposures, points and bands of the factor
    triggers: Times  # exact triggers on the factor
    solved: int  # positions with a trigger


def tiled(positions: Positions, accounts: int) -> Positions:
    """Repeat positions up to a number of accounts; sizes vary from 0.5 to 2, debt by 3 % more."""
    rng = random.Random(_SEED)
    height = positions.accounts.height
    copies = -(-accounts // height)
    people, state = [], []
    for copy in range(copies):
        shift = pl.lit(copy * height, pl.UInt32)
        size = pl.Series([rng.randrange(500_000, 2_000_000) for _ in range(height)], dtype=pl.Int128)
        debt = pl.Series([rng.randrange(970_000, 1_000_000) for _ in range(height)], dtype=pl.Int128)
        million = pl.lit(10**6, pl.Int128)
        row = positions.state["row"]
        own = positions.state.with_columns(size.gather(row).alias("size"), debt.gather(row).alias("debt"))
        scaled = pl.col("scaled") * pl.col("size") // million
        scaled = pl.when(pl.col("side") == 0).then(scaled).otherwise(scaled * pl.col("debt") // million)
        state.append(
            own.with_columns(scaled.alias("scaled"), (pl.col("row") + shift).alias("row")).drop("size", "debt")
        )
        name = pl.format("{}-{}", "position", pl.lit(copy))
        people.append(
            positions.accounts.with_columns(
                (pl.col("row") + shift).alias("row"), name.alias("position"), name.alias("owner")
            )
        )
    every = Positions(pl.concat(people).head(accounts), pl.concat(state), positions.skipped)
    return Positions(every.accounts, every.state.filter(pl.col("row") < accounts), every.skipped)


def measure(read: MarketRead, factor: str, accounts: int, runs: int) -> Arithmetic:
    """Time the arithmetic on ``accounts`` accounts made of those of a market."""
    positions = tiled(read.positions, accounts)
    rules, market, graph = read.rules, read.market, read.graph
    closed, points_found = timed(lambda: _closed(rules, market, graph, positions, factor), runs, warm=2)
    answers = Answers(market.answers)
    path = graph.factor_path(factor, market.timestamp)
    on_path = points_found.with_columns(pl.lit(0, pl.UInt32).alias("path"))
    triggers, crossings = timed(lambda: solve_triggers(rules, positions, [path], answers, on_path), 3, warm=1)
    solved = crossings["answer"].drop_nulls().len()
    return Arithmetic(positions.accounts.height, positions.state.height, closed, triggers, solved)


def _closed(rules: Rules, market: Market, graph: OracleGraph, positions: Positions, factor: str) -> pl.DataFrame:
    answers = Answers(market.answers)
    health, legs = rules.health(positions, answers), rules.legs(positions, answers)
    moved = members(graph, market.timestamp, [factor])
    found = points(exposures(legs, moved, market.base_unit), health)
    closed_bands(found, legs, moved[factor], "row", "value_raw")
    return found
