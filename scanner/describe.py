"""Put keys, names and dollars to what was computed of a market's positions. Pure."""

from __future__ import annotations

import polars as pl

from scanner.frames import ACCOUNTS, FRAMES, conform
from scanner.protocols.interface import Market
from scanner.risk.pricing import OracleGraph
from scanner.risk.rules import Positions

__all__ = ["Describer", "quote_usd"]


def quote_usd(market: Market) -> float | None:
    """Give the dollars of a market's unit of account; None when unknown."""
    value: float | None = market.frame["quote_usd"][0]
    return value


class Describer:
    """Makes the frames of one market. Rows are those of its positions."""

    def __init__(self, market: Market, graph: OracleGraph, positions: Positions) -> None:
        self._market, self._positions = market, positions
        self._usd = pl.lit(quote_usd(market), pl.Float64)
        self._factors = graph.reserve_factors()
        self._key = [
            pl.lit(market.chain_id, pl.Int64).alias("chain_id"),
            pl.lit(market.protocol).alias("protocol"),
            pl.lit(market.market_id).alias("market_id"),
        ]

    def frame(self, frame: pl.DataFrame, name: str) -> pl.DataFrame:
        """Put the key of each row's position in place of its number. Gives the frame ``name``."""
        names = self._positions.accounts["position"].gather(frame["row"]).alias("position")
        return conform(frame.with_columns(*self._key, names).select(list(FRAMES[name])), name)

    def reserves(self) -> pl.DataFrame:
        """Fill in each reserve's factor. Gives frame RESERVES."""
        reserves = self._market.reserves
        column = pl.Series("factor", [self._factors.get(reserve) for reserve in reserves["reserve"]], pl.String)
        return conform(reserves.with_columns(column), "reserves")

    def legs(self, legs: pl.DataFrame) -> pl.DataFrame:
        """Describe and value every leg of ``Rules.legs``. Gives frame LEGS."""
        reserves, answers = self._market.reserves, self._market.answers
        own = reserves["reserve"].to_list()
        keys = list(dict.fromkeys([*own, *answers]))  # with those of e-modes that have a price of their own
        reserve, key = (legs[name].cast(pl.Enum(keys)).to_physical() for name in ("reserve", "price_key"))
        prices = [answers[k] / self._market.base_unit if k in answers else None for k in keys]
        factors, units = [self._factors.get(k) for k in keys], [10.0**digits for digits in reserves["decimals"]]
        frame = legs.with_columns(
            *(reserves[name].gather(reserve).alias(name) for name in ("asset", "symbol")),
            pl.Series("price_quote", prices, pl.Float64).gather(key),
            pl.Series("factor", factors, pl.String).gather(key),
            pl.Series("unit", units, pl.Float64).gather(reserve),
        )
        frame = frame.with_columns(
            (pl.col("amount_raw").cast(pl.Float64) / pl.col("unit")).alias("amount_tokens"),
            (pl.col("value_raw").cast(pl.Float64) / self._market.base_unit).alias("value_quote"),
        )
        return self.frame(frame.with_columns((pl.col("value_quote") * self._usd).alias("value_usd")), "legs")

    def accounts(self, health: pl.DataFrame, status: pl.DataFrame) -> pl.DataFrame:
        """Put exact totals, health factor and status of each account side by side. Gives frame ACCOUNTS."""
        frame = (
            self._positions.accounts.join(health, on="row", how="left", validate="1:1", maintain_order="left")
            .join(status, on="row", how="left", validate="1:1", maintain_order="left")
            .with_columns(
                *self._key,
                (pl.col("collateral_raw").cast(pl.Float64) / self._market.base_unit).alias("collateral_quote"),
                (pl.col("debt_raw").cast(pl.Float64) / self._market.base_unit).alias("debt_quote"),
            )
        )
        collateral, equity = pl.col("collateral_quote"), pl.col("collateral_quote") - pl.col("debt_quote")
        frame = frame.with_columns(
            (collateral * self._usd).alias("collateral_usd"),
            (pl.col("debt_quote") * self._usd).alias("debt_usd"),
            pl.when(equity > 0).then(collateral / equity).alias("leverage"),
        )
        return conform(frame.select(list(ACCOUNTS)), "accounts")

    def triggers(self, solved: pl.DataFrame, timestamp: int) -> pl.DataFrame:
        """Price triggers (row, reserve, direction, answer) on reserves' own answers. Gives frame TRIGGERS."""
        about = self._market.reserves.select("reserve", "asset", "symbol")
        frame = solved.join(about, on="reserve", how="left", validate="m:1", maintain_order="left")
        frame = frame.with_columns(
            pl.col("answer").cast(pl.String).alias("trigger_price"),
            (pl.col("answer").cast(pl.Float64) * (self._usd / self._market.base_unit)).alias("price_usd"),
            pl.lit(timestamp, pl.Int64).alias("for_timestamp"),
        )
        return self.frame(frame, "triggers")
