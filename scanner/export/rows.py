"""Accounts as nested rows, built by polars so that a hundred thousand take a second."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Final

import polars as pl

from scanner.frames import POSITION_KEY
from scanner.results import ScanResult
from scanner.views import nearest_first, spell_addresses

__all__ = ["account_rows", "addresses_outside", "no_infinity", "quote_rows", "seconds"]

_ADDRESS_COLUMNS: Final = (
    "market_id",
    "position",
    "account",
    "owner",
    "asset",
    "largest_account",
    "price_source",
    "debt_asset",
    "collateral_asset",
    "to",
)
_LEG: Final = (
    "reserve",
    "asset",
    "symbol",
    "amount_raw",
    "amount",
    "value_usd",
    "liquidation_threshold",
    "liquidation_bonus",
)
_POINT: Final = ("factor", "direction", "ratio", "price_usd", "trigger_answer", "for_timestamp", "recovery_ratio")
_TRIGGER: Final = ("reserve", "asset", "symbol", "direction", "trigger_price", "price_usd", "for_timestamp")
_SEIZURE: Final = (
    "factor",
    "direction",
    "debt_reserve",
    "collateral_reserve",
    "repay_raw",
    "seize_raw",
    "fee_raw",
    "bad_debt_raw",
    "branch",
    "best",
    "blocked_by",
)
_QUOTE: Final = (
    "revision",
    "for_timestamp",
    "debt_reserve",
    "debt_asset",
    "debt_symbol",
    "collateral_reserve",
    "collateral_asset",
    "collateral_symbol",
    "best",
    "blocked_by",
    "blocked_until",
    "to",
    "data",
    "debt_to_cover",
    "over_maximum",
    "repay_raw",
    "most_repay_raw",
    "receive_raw",
    "seize_raw",
    "fee_raw",
    "treasury_scaled_raw",
    "treasury_raw",
    "debt_burned_raw",
    "repay",
    "receive",
    "liquidation_bonus",
    "protocol_fee",
    "branch",
    "dust_limited",
    "repay_value_base",
    "receive_value_base",
    "profit_base",
    "bad_debt_base",
    "repay_value_usd",
    "receive_value_usd",
    "profit_usd",
    "bad_debt_usd",
)
_ACCOUNT: Final = (
    *POSITION_KEY,
    "account",
    "emode_category",
    "collateral_base",
    "debt_base",
    "collateral_usd",
    "debt_usd",
    "health_factor_wad",
    "health_factor",
    "leverage",
    "status",
    "blocked_by",
    "blocked_until",
)


def account_rows(
    result: ScanResult, accounts: pl.DataFrame | None = None, quotes: pl.DataFrame | None = None
) -> pl.DataFrame:
    """Put each account in one row with its legs, liquidation points, triggers, seizures and quotes, nearest first.

    Without a frame ``quotes.QUOTES`` there is no column for quotes.

    Raw integers stay Decimal(38, 0), which polars writes into JSON as text. Addresses are EIP-55.
    """
    frames = result.frames
    kept = nearest_first(frames["accounts"] if accounts is None else accounts)
    rows = kept.rename({"owner": "account", "collateral_raw": "collateral_base", "debt_raw": "debt_base"})
    rows = _outside(rows.with_columns(seconds("blocked_until")).select(_ACCOUNT))
    legs = frames["legs"].rename({"amount_tokens": "amount"})
    rate = pl.when(pl.col("side") == "stable_debt").then(pl.lit("stable")).otherwise(pl.lit("variable"))
    parts = {
        "collateral": (legs.filter(pl.col("side") == "collateral"), _LEG),
        "debt": (
            legs.filter(pl.col("side") != "collateral").with_columns(rate.alias("rate_mode")),
            (*_LEG, "rate_mode"),
        ),
        "liquidation_points": (frames["liquidation_points"].rename({"lower_ratio": "ratio"}), _POINT),
        "triggers": (frames["triggers"], _TRIGGER),
        "seizures": (frames["seizures"], _SEIZURE),
    }
    if quotes is not None:
        parts["quotes"] = (quotes.with_columns(seconds("blocked_until")), _QUOTE)
    order = kept.select(POSITION_KEY).with_row_index("row")
    lists = [_lists(frame, columns, name, order) for name, (frame, columns) in parts.items()]
    return pl.concat([rows, *lists], how="horizontal")


def quote_rows(quotes: pl.DataFrame) -> pl.DataFrame:
    """Spell a frame ``quotes.QUOTES`` as documents do."""
    return _outside(quotes.with_columns(seconds("blocked_until")))


def _lists(frame: pl.DataFrame, columns: Sequence[str], name: str, order: pl.DataFrame) -> pl.DataFrame:
    """Gather the rows of ``frame`` into a list per account, in the order of accounts; none gives an empty list."""
    known = frame.join(order, on=POSITION_KEY, how="inner", validate="m:1", maintain_order="left")
    items = _outside(known.select("row", *columns))
    gathered = items.group_by("row", maintain_order=True).agg(pl.struct(columns).alias(name))
    nothing = pl.lit([], dtype=pl.List(pl.Struct({column: items.schema[column] for column in columns})))
    joined = order.select("row").join(gathered, on="row", how="left", validate="1:1", maintain_order="left")
    return joined.select(pl.col(name).fill_null(nothing))


def _outside(frame: pl.DataFrame) -> pl.DataFrame:
    return no_infinity(addresses_outside(frame))


def addresses_outside(frame: pl.DataFrame, columns: Iterable[str] = _ADDRESS_COLUMNS) -> pl.DataFrame:
    """Spell address columns as EIP-55."""
    present = [column for column in columns if column in frame.columns]
    found: set[str] = set()
    for column in present:
        found.update(frame[column].drop_nulls().unique().to_list())
    spelling: Mapping[str, str] = spell_addresses(found)
    if not spelling:
        return frame
    table = pl.DataFrame(
        {"_raw": list(spelling), "_told": list(spelling.values())}, schema={"_raw": pl.String, "_told": pl.String}
    )
    for column in present:
        told = frame.select(column).join(
            table, left_on=column, right_on="_raw", how="left", maintain_order="left", validate="m:1"
        )["_told"]
        frame = frame.with_columns(told.fill_null(frame[column]).alias(column))
    return frame


def no_infinity(frame: pl.DataFrame) -> pl.DataFrame:
    """Make what is not a finite number null: JSON has no word for it."""
    floats = [column for column, dtype in frame.schema.items() if dtype == pl.Float64]
    return frame.with_columns(
        pl.when(pl.col(column).is_finite()).then(pl.col(column)).alias(column) for column in floats
    )


def seconds(column: str) -> pl.Expr:
    """Turn a time into whole unix seconds."""
    return (pl.col(column).dt.timestamp("ms") // 1000).alias(column)
