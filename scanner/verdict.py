"""What a check found: findings, accounts that a change makes liquidatable, the exit code. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

import polars as pl

from scanner.errors import ConfigError
from scanner.facts import HURT, Facts, Fault
from scanner.frames import POSITION_KEY
from scanner.limits import At

__all__ = ["Finding", "Outcome", "Span", "Verdict", "largest_first", "named", "newly_hurt", "newly_unpriced"]

Outcome = Literal["holds", "broken", "unjudged"]

_EXIT: Final = {"broken": 1, "unjudged": 4}


@dataclass(frozen=True, slots=True)
class Span:
    """The price band of a factor that a limit is about, from where it moved to today's price."""

    factor: str
    lower_price_usd: float
    upper_price_usd: float


@dataclass(frozen=True)
class Finding:
    """How one limit fared. ``accounts``: those that make the value, largest first, with ``amount_usd``.

    ``allowed`` is a number of accounts or dollars; ``limit`` and ``written`` are the limit as a file states it.
    """

    limit: str
    outcome: Outcome
    unit: Literal["accounts", "usd"]
    value: float | None
    allowed: float | None
    written: str
    reason: str
    at: At | None = None
    span: Span | None = None
    accounts: pl.DataFrame | None = None
    reproduce: str = ""

    @property
    def name(self) -> str:
        """Name the limit with the move that it looks at."""
        return self.limit if self.at is None else f"{self.limit} {self.at}"


@dataclass(frozen=True)
class Verdict:
    """What a check found. ``forgiven`` faults are told and do not count."""

    after: Facts
    before: Facts | None
    baseline: Facts | None
    findings: tuple[Finding, ...]
    faults: tuple[Fault, ...]
    forgiven: tuple[Fault, ...] = ()
    newly: pl.DataFrame | None = None  # accounts that become liquidatable; None without anything to compare with
    newly_unpriced: int = 0

    def of(self, outcome: Outcome) -> tuple[Finding, ...]:
        """Give the findings of one outcome."""
        return tuple(finding for finding in self.findings if finding.outcome == outcome)

    @property
    def exit_code(self) -> int:
        """Say 4 where data is incomplete or leaves a limit open, else 1 where a limit is broken, else 0."""
        if self.faults or self.of("unjudged"):
            return _EXIT["unjudged"]
        return _EXIT["broken"] if self.of("broken") else 0


def newly_hurt(before: Facts, after: Facts) -> pl.DataFrame:
    """List accounts whose health factor is below one, and was not before, or was not known.

    Gives the columns of ``facts.ACCOUNTS``, ``health_before`` (wad; null without debt) and ``amount_usd`` (debt),
    largest debt first.
    """
    then, now = named(before), named(after)
    was = then.select(*POSITION_KEY, pl.col("status").alias("was"), pl.col("health_factor_wad").alias("health_before"))
    joined = now.filter(pl.col("status").is_in(HURT)).join(was, on=POSITION_KEY, how="left", validate="1:1")
    rows = joined.filter(~pl.col("was").fill_null("").is_in(HURT)).drop("was")
    return largest_first(rows.with_columns(pl.col("debt_usd").alias("amount_usd")))


def newly_unpriced(before: Facts, after: Facts) -> int:
    """Count accounts that cannot be valued, and could be before."""
    then, now = named(before), named(after)
    lost = then.filter(pl.col("status") == "unpriced")
    return now.filter(pl.col("status") == "unpriced").join(lost, on=POSITION_KEY, how="anti").height


def named(facts: Facts) -> pl.DataFrame:
    """Give the accounts of a scan; raises ConfigError for a document that names none."""
    if facts.accounts is None:
        raise ConfigError(
            f"{facts.name} is a scan document, which names no accounts: give one of liqbands accounts --format json"
        )
    return facts.accounts


def largest_first(rows: pl.DataFrame, size: str | pl.Expr = "amount_usd") -> pl.DataFrame:
    """Order accounts by a size, largest first, unknown ones last."""
    return rows.sort(size, *POSITION_KEY, descending=[True, False, False, False, False], nulls_last=True)
