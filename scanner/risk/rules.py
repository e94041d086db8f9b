"""What risk asks of a protocol's arithmetic. Pure; risk never imports a protocol."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import polars as pl

__all__ = ["Answers", "Changes", "HealthProbe", "Positions", "PricePath", "Rules", "Terms"]


@dataclass(frozen=True)
class Positions:
    """Exact state of a market's positions at one block.

    ``accounts``: row UInt32 (0..n-1, in order), position String, owner String, emode_category Int64.
    ``state``: what the protocol's rules compute on, in order of row; names ``row`` UInt32 and ``reserve`` String, the
    rest is the protocol's own.
    ``skipped``: frame SKIPPED, what could not be read or is too large.
    """

    accounts: pl.DataFrame
    state: pl.DataFrame
    skipped: pl.DataFrame

    def take(self, rows: pl.Series) -> Positions:
        """Keep some positions; rows are renumbered in the order of the original."""
        kept = self.accounts.filter(pl.col("row").is_in(rows.implode()))
        kept = kept.with_columns(pl.int_range(pl.len(), dtype=pl.UInt32).alias("_new"))
        state = self.state.join(kept.select("row", "_new"), on="row", how="inner", maintain_order="left")
        return Positions(
            kept.with_columns(pl.col("_new").alias("row")).drop("_new"),
            state.with_columns(pl.col("_new").alias("row")).drop("_new"),
            self.skipped.clear(),
        )

    def pick(self, rows: pl.Series) -> Positions:
        """Give positions in the order of ``rows``, which may name one several times; they are renumbered."""
        row = self.state["row"]
        ends = pl.DataFrame(
            {"first": row.search_sorted(rows, side="left"), "last": row.search_sorted(rows, side="right")}
        )
        listed = ends.with_row_index("new").select("new", pl.int_ranges("first", "last", dtype=pl.UInt32).alias("at"))
        listed = listed.explode("at")
        number = pl.int_range(rows.len(), dtype=pl.UInt32, eager=True)
        return Positions(
            self.accounts[rows].with_columns(number.alias("row")),
            self.state[listed["at"]].with_columns(listed["new"].alias("row")),
            self.skipped.clear(),
        )


@dataclass(frozen=True)
class Answers:
    """Oracle answers to value positions at.

    ``market``: reserve to answer; a reserve that is absent has no price and leaves its holders unpriced.
    ``moved``: frame (row UInt32, reserve String, answer Int128) of answers that differ for single positions.
    """

    market: Mapping[str, int]
    moved: pl.DataFrame | None = None


@dataclass(frozen=True)
class Changes:
    """A what-if on parameters: fractions in basis points, per reserve or e-mode category.

    A bonus is what the liquidator receives, as the contract keeps it: 10500 for 5 %.
    """

    timestamp: int | None = None
    liquidation_threshold_bps: Mapping[str, int] = field(default_factory=dict)
    liquidation_bonus_bps: Mapping[str, int] = field(default_factory=dict)
    emode_threshold_bps: Mapping[int, int] = field(default_factory=dict)
    emode_bonus_bps: Mapping[int, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Terms:
    """Parameters of a reserve or an e-mode category, in basis points; the bonus as ``Changes`` has it, 0: none."""

    threshold_bps: int
    bonus_bps: int
    label: str = ""


class PricePath(Protocol):
    """How the oracle's answers follow one moving integer, all else held."""

    @property
    def name(self) -> str:
        """Factor name, or reserve id for a single-reserve path."""
        ...

    @property
    def start(self) -> int:
        """Today's value of the moving integer."""
        ...

    @property
    def reserves(self) -> frozenset[str]:
        """Reserves whose answer moves."""
        ...

    def answer(self, reserve: str, moving: pl.Series) -> pl.Series:
        """Give the oracle's answers (Int128) for a moved reserve at each value (Int128), exactly."""
        ...

    def increasing(self, reserve: str) -> bool:
        """Say whether the answer never falls when the moving integer rises (else it never rises)."""
        ...


class HealthProbe(Protocol):
    """Exact health of items, each one position on one price path, at values of the path's moving integer.

    A sample is a frame of the protocol's own columns, one row per (item, value) asked for.
    """

    @property
    def breaks(self) -> Sequence[Sequence[int]]:
        """Values per path that have to be sampled, with the one before each: prices bend there."""
        ...

    @property
    def unsolved(self) -> pl.Series:
        """Say, per item, whether its numbers are too large to be sampled."""
        ...

    def sample(self, item: pl.Series, moving: pl.Series) -> pl.DataFrame:
        """Value items (UInt32) at values of the moving integer (Int128)."""
        ...

    def liquidatable(self, sample: pl.DataFrame) -> pl.Series:
        """Say, per row of a sample, whether the contract's health factor is below one."""
        ...

    def may_break(self, item: pl.Series, near: pl.DataFrame, far: pl.DataFrame) -> pl.Series:
        """Say, given samples at two values, whether the health factor may be below one anywhere between them.

        False is a proof, given that no break lies between the two; True need not be.
        """
        ...

    def may_hold(self, item: pl.Series, near: pl.DataFrame, far: pl.DataFrame) -> pl.Series:
        """Say, given samples at two values, whether an item may not be liquidatable somewhere between them.

        False is a proof, given that no break lies between the two; True need not be.
        """
        ...

    def guesses(
        self, item: pl.Series, near: pl.DataFrame, far: pl.DataFrame, width: pl.Series
    ) -> tuple[pl.Series, pl.Series]:
        """Guess where between two samples the first crossing is: distances from the near one (Float64, null: no idea).

        Before the first distance nothing should break, at the second the health factor should be below one.
        """
        ...


class Rules(Protocol):
    """A protocol's health and seizure arithmetic at one timestamp. Pure."""

    @property
    def timestamp(self) -> int: ...

    def health(self, positions: Positions, answers: Answers) -> pl.DataFrame:
        """Value positions exactly.

        Gives, in row order: row UInt32, collateral_raw Decimal, debt_raw Decimal (base units; null when unpriced),
        weighted_quote Float64 (threshold-weighted collateral, quote), health_factor_wad String (null without debt or
        unpriced), health_factor Float64, liquidatable Boolean (null when unpriced), has_debt Boolean, unpriced Boolean.
        """
        ...

    def legs(self, positions: Positions, answers: Answers) -> pl.DataFrame:
        """Value each leg.

        Gives row UInt32, ascending, reserve, price_key (key into ``Answers.market``: the reserve, but where something
        else prices the leg), side, scaled_raw, amount_raw, value_raw (null when unpriced), liquidation_threshold (whole
        basis points) and liquidation_bonus (effective; null on debt).
        """
        ...

    def probe(
        self, positions: Positions, paths: Sequence[PricePath], items: pl.DataFrame, answers: Answers
    ) -> HealthProbe:
        """Prepare exact health of ``items`` (path UInt32, an index into ``paths``; row UInt32)."""
        ...

    def seizures(self, positions: Positions, answers: Answers) -> pl.DataFrame:
        """List every debt × collateral pair of positions that are liquidatable at the answers.

        Gives row UInt32, debt_reserve, collateral_reserve, repay_raw, seize_raw, fee_raw, bad_debt_raw,
        repay_value_raw, seize_value_raw, branch, best, blocked_by, blocked_until as frame SEIZURES says.
        """
        ...

    def quotes(self, positions: Positions, answers: Answers) -> pl.DataFrame:
        """Quote every debt × collateral pair of positions that are liquidatable at the answers, for execution.

        Gives, in the order of ``seizures``, its columns but for best, and: debt_to_cover String (what to pass, the
        largest that is taken; null: nothing is), over_maximum (clamped, reverts), most_repay_raw (no amount repays
        more), debt_burned_raw, receive_raw, receive_value_raw, treasury_scaled_raw, treasury_raw, bonus_bps,
        protocol_fee_bps, to and data (of the call).
        """
        ...

    def with_changes(self, changes: Changes) -> Rules:
        """Give the rules after a change; raises ConfigError for unknown names and what the protocol would refuse."""
        ...

    @property
    def detail(self) -> object:
        """Give the protocol's own account of the market, as these rules have it."""
        ...

    def reserve_terms(self) -> Mapping[str, Terms]:
        """Give the parameters of each reserve."""
        ...

    def emode_terms(self) -> Mapping[int, Terms]:
        """Give the parameters of each e-mode category; none where the protocol has none."""
        ...

    def described(self, reserves: pl.DataFrame) -> pl.DataFrame:
        """Put what follows from parameters and time into a frame RESERVES: thresholds, bonuses, flags, indexes."""
        ...
