"""Exact shocks: who is liquidatable when a factor's reference feed answers exactly this. Pure."""

from __future__ import annotations

import polars as pl

from scanner.risk.pricing import OracleGraph
from scanner.risk.rules import Answers, Positions, Rules

__all__ = ["shock", "shocked_answers"]


def shocked_answers(graph: OracleGraph, factor: str, answer: int, timestamp: int) -> Answers:
    """Give the oracle's answers with a factor's reference feed at ``answer``, its other feeds in the same ratio."""
    path = graph.factor_path(factor, timestamp)
    return Answers(graph.answers_at(path.feed_answers(answer), timestamp))


def shock(rules: Rules, positions: Positions, graph: OracleGraph, factor: str, answer: int) -> pl.Series:
    """List the rows (UInt32) that are liquidatable at an exact answer of a factor and are not today.

    Where the health factor crosses one several times, this may leave out positions whose trigger lies between.
    """
    today = rules.health(positions, Answers(graph.answers_at({}, rules.timestamp)))
    then = rules.health(positions, shocked_answers(graph, factor, answer, rules.timestamp))
    newly = then["liquidatable"].fill_null(False) & ~today["liquidatable"].fill_null(False)
    return then["row"].filter(newly)
