"""Schemas of the frames that cross a layer, and the one gate they pass through.

Suffixes carry the unit: ``_raw`` smallest unit, ``_tokens`` whole tokens, ``_quote`` the market's unit of
account, ``_usd`` US dollars (null when unknown), ``_bps`` basis points, ``_at`` UTC. No suffix: a fraction of one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

import polars as pl

from scanner.errors import SchemaError

__all__ = [
    "ACCOUNTS",
    "BANDS",
    "BANDS_BY",
    "DENSE_BANDS",
    "EXPOSURES",
    "FRAMES",
    "KEYS",
    "LEGS",
    "LIQUIDATION_POINTS",
    "MARKETS",
    "RAW",
    "RESERVES",
    "SEIZURES",
    "SKIPPED",
    "TIME",
    "TRIGGERS",
    "FrameSchema",
    "conform",
    "empty",
]

RAW: Final = pl.Decimal(38, 0)
TIME: Final = pl.Datetime("us", "UTC")

FrameSchema = Mapping[str, pl.DataType | type[pl.DataType]]

MARKET_KEY: Final = ("chain_id", "protocol", "market_id")
POSITION_KEY: Final = (*MARKET_KEY, "position")

_M: Final[FrameSchema] = {"chain_id": pl.Int64, "protocol": pl.String, "market_id": pl.String}
_P: Final[FrameSchema] = {**_M, "position": pl.String}

MARKETS: Final[FrameSchema] = {
    **_M,
    "name": pl.String,
    "revision": pl.Int64,
    "base_unit": RAW,
    "quote_usd": pl.Float64,  # dollars per unit of account; null when unknown
    "quote_usd_source": pl.String,
}

RESERVES: Final[FrameSchema] = {
    **_M,
    "reserve": pl.String,
    "asset": pl.String,
    "symbol": pl.String,
    "decimals": pl.Int64,
    "price_source": pl.String,  # null when the oracle has none
    "answer": pl.String,  # integer answer of the market's oracle; null when it has none
    "answer_at": TIME,
    "next_answer": pl.String,
    "next_at": TIME,
    "price_quote": pl.Float64,
    "price_usd": pl.Float64,
    "factor": pl.String,
    "liquidation_threshold": pl.Float64,
    "liquidation_bonus": pl.Float64,  # 0.05 means the liquidator receives 105 %
    "flags": pl.List(pl.String),  # active, frozen, paused, collateral, borrowable, grace, ...
    "liquidity_index": RAW,  # normalised to the block's timestamp
    "debt_index": RAW,
}

LEGS: Final[FrameSchema] = {
    **_P,
    "reserve": pl.String,
    "side": pl.String,  # collateral | debt | stable_debt
    "price_key": pl.String,  # what prices the leg: its reserve, or "emode:1" where an e-mode has a price of its own
    "asset": pl.String,
    "symbol": pl.String,
    "scaled_raw": RAW,
    "amount_raw": RAW,
    "amount_tokens": pl.Float64,
    "value_raw": RAW,  # in the market's base unit
    "value_quote": pl.Float64,
    "value_usd": pl.Float64,
    "price_quote": pl.Float64,
    "liquidation_threshold": pl.Float64,  # effective (e-mode applied); null on debt
    "liquidation_bonus": pl.Float64,
    "factor": pl.String,
}

ACCOUNTS: Final[FrameSchema] = {
    **_P,
    "owner": pl.String,
    "emode_category": pl.Int64,
    "collateral_raw": RAW,  # base unit; null when unpriced
    "debt_raw": RAW,
    "collateral_quote": pl.Float64,
    "debt_quote": pl.Float64,
    "collateral_usd": pl.Float64,
    "debt_usd": pl.Float64,
    "health_factor_wad": pl.String,  # exact; null without debt
    "health_factor": pl.Float64,
    "leverage": pl.Float64,
    "status": pl.String,  # no_debt | healthy | liquidatable | blocked | unpriced
    "blocked_by": pl.String,
    "blocked_until": TIME,
}

EXPOSURES: Final[FrameSchema] = {
    **_P,
    "factor": pl.String,
    "outside_collateral": pl.Float64,  # A, threshold weighted, in quote
    "inside_collateral": pl.Float64,  # B
    "outside_debt": pl.Float64,  # C
    "inside_debt": pl.Float64,  # D
}

LIQUIDATION_POINTS: Final[FrameSchema] = {
    **_P,
    "factor": pl.String,
    "direction": pl.String,  # down | up | now | never
    "lower_ratio": pl.Float64,  # x*, null unless down or up
    "upper_ratio": pl.Float64,
    "price_usd": pl.Float64,  # trigger_answer in dollars when it is exact, else x* times the reference price
    "trigger_answer": pl.String,  # of the factor's reference feed
    "for_timestamp": pl.Int64,
    "recovery_ratio": pl.Float64,
}

TRIGGERS: Final[FrameSchema] = {
    **_P,
    "reserve": pl.String,
    "asset": pl.String,
    "symbol": pl.String,
    "direction": pl.String,  # down | up
    "trigger_price": pl.String,  # the answer of the market's oracle for this reserve
    "price_usd": pl.Float64,
    "for_timestamp": pl.Int64,
}

SEIZURES: Final[FrameSchema] = {
    **_P,
    "factor": pl.String,  # the path on which the trigger lies; "now" at today's answers
    "direction": pl.String,  # down | up | now
    "debt_reserve": pl.String,
    "collateral_reserve": pl.String,
    "repay_raw": RAW,  # what the contract takes when offered the most
    "seize_raw": RAW,  # fee included
    "fee_raw": RAW,
    "bad_debt_raw": RAW,  # in base units
    "repay_value_raw": RAW,  # base units
    "seize_value_raw": RAW,
    "branch": pl.String,  # half | all | collateral | dust
    "best": pl.Boolean,
    "blocked_by": pl.String,
    "blocked_until": TIME,
}

BANDS: Final[FrameSchema] = {
    "factor": pl.String,
    "direction": pl.String,  # down | up
    "band": pl.Int64,  # 1 is nearest to spot
    "lower_bps": pl.Int64,  # signed move of the edge, null for price edges
    "upper_bps": pl.Int64,
    "lower_price_usd": pl.Float64,
    "upper_price_usd": pl.Float64,
    "at_risk_collateral_usd": pl.Float64,
    "seizable_collateral_usd": pl.Float64,
    "beside_collateral_usd": pl.Float64,  # seizable outside the factor
    "blocked_collateral_usd": pl.Float64,
    "debt_to_repay_usd": pl.Float64,
    "account_count": pl.Int64,
    "largest_account": pl.String,
    "largest_account_usd": pl.Float64,
    "cumulative_seizable_usd": pl.Float64,
    "cumulative_account_count": pl.Int64,
}

BANDS_BY: Final[FrameSchema] = {
    "factor": pl.String,
    "direction": pl.String,
    "band": pl.Int64,
    "key": pl.String,  # what --by names: a symbol, a protocol, a debt symbol, a size class
    "seizable_collateral_usd": pl.Float64,
    "account_count": pl.Int64,
}

DENSE_BANDS: Final[FrameSchema] = {
    "factor": pl.String,
    "share": pl.Float64,  # 0.25, 0.5, 0.75 of what is seizable within -20 %
    "lower_price_usd": pl.Float64,
    "upper_price_usd": pl.Float64,
    "seizable_collateral_usd": pl.Float64,
    "account_count": pl.Int64,
    "largest_account": pl.String,
    "largest_account_usd": pl.Float64,
}

SKIPPED: Final[FrameSchema] = {
    **_M,
    "position": pl.String,  # one of position and reserve is set
    "reserve": pl.String,
    "what": pl.String,  # position | reserve | debt | trigger
    "reason": pl.String,  # unread: ... | unpriced: ... | too large: ... | gave up: ...
}

FRAMES: Final[Mapping[str, FrameSchema]] = {
    "markets": MARKETS,
    "reserves": RESERVES,
    "legs": LEGS,
    "accounts": ACCOUNTS,
    "exposures": EXPOSURES,
    "liquidation_points": LIQUIDATION_POINTS,
    "triggers": TRIGGERS,
    "seizures": SEIZURES,
    "bands": BANDS,
    "bands_by": BANDS_BY,
    "dense_bands": DENSE_BANDS,
    "skipped": SKIPPED,
}

KEYS: Final[Mapping[str, Sequence[str]]] = {
    "markets": MARKET_KEY,
    "reserves": (*MARKET_KEY, "reserve"),
    "legs": (*POSITION_KEY, "reserve", "side"),
    "accounts": POSITION_KEY,
    "exposures": (*POSITION_KEY, "factor"),
    "liquidation_points": (*POSITION_KEY, "factor", "direction"),
    "triggers": (*POSITION_KEY, "reserve", "direction"),
    "seizures": (*POSITION_KEY, "factor", "direction", "debt_reserve", "collateral_reserve"),
    "bands": ("factor", "direction", "band"),
    "bands_by": ("factor", "direction", "band", "key"),
    "dense_bands": ("factor", "share"),
    "skipped": (),
}

# Columns that may be null: everything else in a value column must be known.
NULLABLE: Final[Mapping[str, frozenset[str]]] = {
    name: frozenset(columns.split())
    for name, columns in {
        "markets": "quote_usd quote_usd_source",
        "reserves": "price_source answer answer_at next_answer next_at price_quote price_usd factor",
        "legs": "value_raw value_quote value_usd price_quote liquidation_threshold liquidation_bonus factor",
        "accounts": "collateral_raw debt_raw collateral_quote debt_quote collateral_usd debt_usd health_factor_wad "
        "health_factor leverage blocked_by blocked_until",
        "exposures": "",
        "liquidation_points": "lower_ratio upper_ratio price_usd trigger_answer for_timestamp recovery_ratio",
        "triggers": "price_usd",
        "seizures": "blocked_by blocked_until",
        "bands": "lower_bps upper_bps largest_account largest_account_usd",
        "bands_by": "",
        "dense_bands": "largest_account largest_account_usd",
        "skipped": "position reserve",
    }.items()
}


def empty(name: str) -> pl.DataFrame:
    """Give the frame ``name`` without rows."""
    return pl.DataFrame(schema=dict(FRAMES[name]))


def conform(frame: pl.DataFrame, name: str) -> pl.DataFrame:
    """Check a frame against its schema and give it back with columns in order.

    Refuses missing or extra columns, other dtypes, duplicate keys, NaN anywhere, and nulls outside the
    columns that may be unknown: polars sums skip nulls, so one unpriced debt would make an account look safer.
    """
    schema = FRAMES[name]
    if set(frame.columns) != set(schema):
        missing, extra = sorted(set(schema) - set(frame.columns)), sorted(set(frame.columns) - set(schema))
        raise SchemaError(f"frame {name}: missing columns {missing}, unexpected columns {extra}")
    frame = frame.select(list(schema))
    wrong = {c: str(frame.schema[c]) for c, dtype in schema.items() if frame.schema[c] != dtype}
    if wrong:
        raise SchemaError(f"frame {name}: wrong dtypes {wrong}")
    if frame.height and (floats := [c for c, dtype in schema.items() if dtype == pl.Float64]):
        nan = frame.select(pl.col(floats).is_nan().any()).row(0, named=True)
        if any(nan.values()):
            raise SchemaError(f"frame {name}: NaN in {sorted(c for c, bad in nan.items() if bad)}")
    nulls = frame.null_count().row(0, named=True)
    bad = sorted(c for c, count in nulls.items() if count and c not in NULLABLE[name])
    if bad:
        raise SchemaError(f"frame {name}: nulls in {bad}")
    if (key := list(KEYS[name])) and _repeats(frame.select(key)):
        raise SchemaError(f"frame {name}: duplicate keys {key}")
    return frame


def _repeats(keys: pl.DataFrame) -> bool:
    """Say whether rows repeat. Hashes that all differ prove that none does, at a quarter of the time of comparing."""
    keys = keys.select([c for c in keys.columns if not (keys[c] == keys[c].head(1)).all()] or keys.columns[:1])
    return keys.hash_rows().n_unique() < keys.height and bool(keys.is_duplicated().any())
