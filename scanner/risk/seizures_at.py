"""What is seized of each position at its own trigger. Pure."""

from __future__ import annotations

from collections.abc import Sequence

import polars as pl

from scanner.risk.rules import Answers, Positions, PricePath, Rules

__all__ = ["seizures_at"]


def seizures_at(
    rules: Rules, positions: Positions, answers: Answers, paths: Sequence[PricePath], crossings: pl.DataFrame
) -> pl.DataFrame:
    """Compute what is seized at the answers of ``crossings`` (path, an index into ``paths``; row; direction; answer).

    Gives the columns of ``Rules.seizures``, path and direction, row after row of ``crossings``.
    """
    at = crossings.select("path", "row", "direction", "answer").with_row_index("at")
    moved = [pl.DataFrame(schema={"row": pl.UInt32, "reserve": pl.String, "answer": pl.Int128})]
    for (index,), part in at.partition_by("path", as_dict=True, maintain_order=True).items():
        for key in sorted(paths[index].reserves):
            answer = paths[index].answer(key, part["answer"])
            moved.append(part.select(pl.col("at").alias("row"), pl.lit(key).alias("reserve"), answer.alias("answer")))
    seized = rules.seizures(positions.pick(at["row"]), Answers(answers.market, pl.concat(moved)))
    return seized.with_columns(at[name].gather(seized["row"]) for name in ("path", "direction", "row"))
