"""Legs of the positions that a price path moves, split into sums that stay and groups that move. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import polars as pl

from scanner.exact import mul_div_down, mul_div_up, sum_by
from scanner.protocols.aave_v3.detail import COLLATERAL
from scanner.risk.rules import Answers, PricePath
from scanner.units import BPS

__all__ = ["Group", "MovingLegs", "moving_legs"]

_TOO_LARGE: Final = 2.0**105  # base units; below it no sum of weighted values comes near 2^127
_ROUNDING: Final = 10.0  # units of noise beside that of the legs: the quotient of D, and float arithmetic


@dataclass(frozen=True)
class Group:
    """Moving legs of one price, unit and side; at most one per position."""

    key: str
    unit: int
    is_debt: bool
    rising: bool  # the price never falls when the moving integer rises
    at: pl.Series  # per position UInt32: index into the columns below, null without such a leg
    amount: pl.Series  # Int128
    threshold: pl.Series  # Int128, basis points; 0 on debt and on collateral that does not count


@dataclass(frozen=True)
class MovingLegs:
    """What a probe samples. All columns are per position; positions that no price moves hold zeros.

    ``value``, ``weighted``, ``debt``: sums over the legs that stay (Int128). ``noise``: what floors can take from a sum
    of weighted values (Int128; null: unknown). ``one_way``: the average threshold goes one way along the path.
    """

    groups: tuple[Group, ...]
    value: pl.Series
    weighted: pl.Series
    debt: pl.Series
    noise: pl.Series
    one_way: pl.Series
    too_large: pl.Series


def moving_legs(
    legs: pl.DataFrame,
    height: int,
    path: PricePath,
    answers: Answers,
    limit: int,
    errors: Mapping[str, float],
    debt_rounds_up: bool,
) -> MovingLegs:
    """Split the answer of ``leg_amounts``; ``errors`` as in ``risk.affine``, ``limit`` the largest moving value.

    Positions with a leg that stays and has no price hold zeros: the contract reverts. So do those that are too large.
    """
    touched = legs.filter(pl.col("price_key").is_in(list(path.reserves)))["row"].unique()
    legs = _prepared(legs.filter(_one_of(touched)), path, answers, limit)
    size = pl.col("amount").cast(pl.Float64) * pl.col("price").cast(pl.Float64) / pl.col("unit").cast(pl.Float64)
    judged = (
        legs.lazy()
        .group_by("row")
        .agg(pl.col("price").is_null().any().alias("unpriced"), (size.sum() >= _TOO_LARGE).alias("large"))
    )
    refused = judged.filter(pl.col("unpriced") | pl.col("large")).collect()
    if refused.height:
        legs = legs.filter(~_one_of(refused["row"]))
    large = refused.filter(~pl.col("unpriced"))["row"]
    value, weighted, debt = _fixed_sums(legs.filter(~pl.col("moves")), height, debt_rounds_up)
    moving = legs.filter("moves")
    noise, one_way = _per_position(moving, height, path, errors)
    return MovingLegs(
        tuple(_groups(moving, height, path)),
        value,
        weighted,
        debt,
        noise,
        one_way,
        _dense(height, large, pl.repeat(True, large.len(), eager=True), False, pl.Boolean),
    )


def _one_of(rows: pl.Series) -> pl.Expr:
    return pl.col("row").is_in(rows.implode())


def _dense(height: int, rows: pl.Series, values: pl.Series, default: Any, dtype: Any) -> pl.Series:
    """Spread values over all positions."""
    return pl.repeat(default, height, dtype=dtype, eager=True).scatter(rows, values.cast(dtype))


def _prepared(legs: pl.DataFrame, path: PricePath, answers: Answers, limit: int) -> pl.DataFrame:
    """Add moves, is_debt and price (the largest along the path where it moves); stable debt joins variable debt."""
    counted = pl.col("counts") & (pl.col("side") == COLLATERAL)
    is_debt = pl.col("side") != COLLATERAL
    zero = pl.lit(0, dtype=pl.Int128)
    legs = legs.select(
        "row",
        "reserve",
        "price_key",
        "unit",
        is_debt.alias("is_debt"),
        pl.when(is_debt | counted).then("amount").otherwise(zero).alias("amount"),
        pl.when(counted).then(pl.col("threshold_bps").cast(pl.Int128)).otherwise(zero).alias("threshold"),
        pl.col("price_key").is_in(list(path.reserves)).alias("moves"),
    )
    keys = ["row", "reserve", "is_debt"]
    if legs.select(pl.struct(keys).is_duplicated().any()).item():
        sums = sum_by(legs, keys, ["amount"])
        legs = legs.unique(keys, keep="first", maintain_order=True).drop("amount").join(sums, on=keys, how="left")
    ends = pl.Series([1, limit], dtype=pl.Int128)
    largest = {key: max(path.answer(key, ends).to_list()) for key in path.reserves}
    prices = {**answers.market, **largest}
    key_frame = pl.DataFrame({"price_key": list(prices), "price": pl.Series(list(prices.values()), dtype=pl.Int128)})
    legs = legs.join(key_frame, on="price_key", how="left", maintain_order="left")
    if answers.moved is None:
        return legs
    moved = answers.moved.select("row", pl.col("reserve").alias("price_key"), pl.col("answer").alias("own"))
    legs = legs.join(moved, on=["row", "price_key"], how="left", validate="m:1", maintain_order="left")
    price = pl.when("moves").then("price").otherwise(pl.coalesce("own", "price"))
    return legs.with_columns(price.alias("price")).drop("own")


def _fixed_sums(legs: pl.DataFrame, height: int, debt_rounds_up: bool) -> tuple[pl.Series, pl.Series, pl.Series]:
    divide = mul_div_up if debt_rounds_up else mul_div_down
    sums = []
    for side, rounded in ((~pl.col("is_debt"), mul_div_down), (pl.col("is_debt"), divide)):
        part = legs.filter(side)
        values = rounded(part["amount"], part["price"], part["unit"])
        part = part.select("row", value=values, weighted=values * part["threshold"])
        sums.append(sum_by(part, "row", ["value", "weighted"]))
    collateral, debt = sums
    return (
        _dense(height, collateral["row"], collateral["value"], 0, pl.Int128),
        _dense(height, collateral["row"], collateral["weighted"], 0, pl.Int128),
        _dense(height, debt["row"], debt["value"], 0, pl.Int128),
    )


def _per_position(
    moving: pl.DataFrame, height: int, path: PricePath, errors: Mapping[str, float]
) -> tuple[pl.Series, pl.Series]:
    """Give noise and one_way of ``MovingLegs``."""
    shape = pl.DataFrame(
        [(key, errors.get(key), path.increasing(key)) for key in path.reserves],
        schema={"price_key": pl.String, "error": pl.Float64, "rising": pl.Boolean},
        orient="row",
    )
    moving = moving.join(shape, on="price_key", how="left")
    noise = BPS * (1 + pl.col("error") * pl.col("amount").cast(pl.Float64) / pl.col("unit").cast(pl.Float64))
    counted = (pl.col("threshold") > 0) & (pl.col("amount") > 0)
    ways = pl.struct("threshold", "rising").filter(counted).n_unique() <= 1
    total = noise.sum() * 1.01 + _ROUNDING
    known = pl.col("error").is_not_null().all() & (total < _TOO_LARGE * BPS)
    per_row = (
        moving.lazy()
        .group_by("row")
        .agg(pl.when(known).then(total.ceil()).alias("noise"), ways.alias("one_way"))
        .collect()
    )
    return (
        _dense(height, per_row["row"], per_row["noise"], 0, pl.Int128),
        _dense(height, per_row["row"], per_row["one_way"], True, pl.Boolean),
    )


def _groups(moving: pl.DataFrame, height: int, path: PricePath) -> list[Group]:
    groups = []
    parts = moving.partition_by(["price_key", "reserve", "unit", "is_debt"], as_dict=True, maintain_order=True)
    for (key, _reserve, unit, is_debt), part in parts.items():
        index = pl.int_range(part.height, dtype=pl.UInt32, eager=True)
        groups.append(
            Group(
                key,
                unit,
                is_debt,
                path.increasing(key),
                _dense(height, part["row"], index, None, pl.UInt32),
                part["amount"],
                part["threshold"],
            )
        )
    return groups
