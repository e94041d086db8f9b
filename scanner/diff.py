"""What changed between two scans: accounts, bands, totals. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import polars as pl

from scanner.facts import BANDS, Facts
from scanner.frames import POSITION_KEY
from scanner.verdict import largest_first

__all__ = ["Difference", "Total", "as_limits", "compare_facts"]


@dataclass(frozen=True, slots=True)
class Total:
    """A quantity before and after; None is unknown. Dollars or accounts."""

    name: str
    before: float | None
    after: float | None

    @property
    def change(self) -> float | None:
        return None if self.before is None or self.after is None else self.after - self.before


@dataclass(frozen=True)
class Difference:
    """Two scans side by side.

    Frames of accounts have the columns of ``facts.ACCOUNTS`` and those of the earlier scan with ``_before``; None where
    a document names no accounts. ``came``, ``went`` and ``changed`` (status) are largest debt first, ``debt_moved``
    largest move of debt first, ``health_moved`` largest relative move of the health factor first.
    ``bands``: frame ``facts.BANDS`` with ``_before`` columns, bands whose dollars or accounts differ; None likewise.
    """

    before: Facts
    after: Facts
    totals: tuple[Total, ...]
    prices: tuple[Total, ...]
    came: pl.DataFrame | None = None
    went: pl.DataFrame | None = None
    changed: pl.DataFrame | None = None
    health_moved: pl.DataFrame | None = None
    debt_moved: pl.DataFrame | None = None
    bands: pl.DataFrame | None = None

    @property
    def parts(self) -> Mapping[str, pl.DataFrame | None]:
        """Give the frames of accounts by name."""
        names = ("came", "went", "changed", "health_moved", "debt_moved")
        return {name: getattr(self, name) for name in names}

    @property
    def different(self) -> bool:
        """Say whether anything that was compared differs; the block itself does not count."""
        frames = [frame for frame in (*self.parts.values(), self.bands) if frame is not None]
        totals = any(total.before != total.after for total in (*self.totals, *self.prices))
        return totals or any(frame.height for frame in frames)


def compare_facts(before: Facts, after: Facts) -> Difference:
    """Compare two scans of the same markets; what one of them does not say is left out."""
    return Difference(
        before=before,
        after=after,
        totals=_totals(before, after),
        prices=tuple(
            Total(name, before.prices[name], after.prices[name]) for name in before.prices if name in after.prices
        ),
        bands=_bands(before, after),
        **_accounts(before, after),
    )


def as_limits(difference: Difference) -> Iterator[Total]:
    """Give the totals with the number that limits count: accounts below a health factor of one, blocked or not."""
    found = {total.name: total for total in difference.totals}
    free, blocked = found["liquidatable_accounts"], found["blocked_accounts"]
    for total in difference.totals:
        if total is free:
            sums = (
                None if one is None or other is None else one + other
                for one, other in ((free.before, blocked.before), (free.after, blocked.after))
            )
            yield Total("liquidatable_or_blocked_accounts", *sums)
            yield Total("unblocked_liquidatable_accounts", free.before, free.after)
        else:
            yield total


def _totals(before: Facts, after: Facts) -> tuple[Total, ...]:
    def of(facts: Facts) -> dict[str, float | None]:
        values: dict[str, float | None] = {
            "accounts": facts.account_count,
            "collateral_usd": facts.collateral_usd,
            "debt_usd": facts.debt_usd,
        }
        for status, total in facts.totals.items():
            values[f"{status}_accounts"] = total.account_count
        values["liquidatable_debt_usd"] = facts.totals["liquidatable"].debt_usd
        values["seizable_usd"] = facts.totals["liquidatable"].seizable_collateral_usd
        return values

    old, new = of(before), of(after)
    return tuple(Total(name, old[name], new[name]) for name in old)


def _accounts(before: Facts, after: Facts) -> dict[str, pl.DataFrame]:
    if before.accounts is None or after.accounts is None:
        return {}
    old = before.accounts.rename(
        {name: f"{name}_before" for name in before.accounts.columns if name not in POSITION_KEY}
    )
    joined = after.accounts.join(old, on=POSITION_KEY, how="full", coalesce=True, validate="1:1", maintain_order="left")
    joined = joined.with_columns(pl.coalesce("account", "account_before"))
    both = joined.filter(pl.col("status").is_not_null() & pl.col("status_before").is_not_null())
    debt = pl.col("debt_usd") - pl.col("debt_usd_before")
    health = (pl.col("health_factor") - pl.col("health_factor_before")).abs() / pl.col("health_factor_before")
    return {
        "came": largest_first(joined.filter(pl.col("status_before").is_null()), pl.col("debt_usd")),
        "went": largest_first(joined.filter(pl.col("status").is_null()), pl.col("debt_usd_before")),
        "changed": largest_first(both.filter(pl.col("status") != pl.col("status_before")), pl.col("debt_usd")),
        "health_moved": largest_first(
            both.filter(pl.col("health_factor_wad") != pl.col("health_factor_wad_before")), health
        ),
        "debt_moved": largest_first(both.filter(pl.col("debt_usd") != pl.col("debt_usd_before")), debt.abs()),
    }


def _bands(before: Facts, after: Facts) -> pl.DataFrame | None:
    """Join bands of the same edges in percent: of a factor that both scans have."""
    if before.bands is None or after.bands is None:
        return None
    key = ["factor", "direction", "lower_bps", "upper_bps"]
    values = ["seizable_collateral_usd", "account_count"]
    common = {*before.bands["factor"]} & {*after.bands["factor"]}
    kept = [
        facts.filter(pl.col("factor").is_in(list(common)) & pl.col("lower_bps").is_not_null())
        for facts in (before.bands, after.bands)
    ]
    old = kept[0].select(*key, *(pl.col(name).alias(f"{name}_before") for name in values))
    joined = kept[1].join(old, on=key, how="full", coalesce=True, validate="1:1", nulls_equal=True)
    filled = joined.with_columns(
        pl.col(name).fill_null(0) for name in (*values, *(f"{name}_before" for name in values))
    )
    differ = pl.any_horizontal(pl.col(name) != pl.col(f"{name}_before") for name in values)
    order = pl.max_horizontal(pl.col("lower_bps").abs(), pl.col("upper_bps").abs())
    columns = [name for name in BANDS if name != "band"]
    return filled.filter(differ).sort("factor", "direction", order).select(*columns, *(f"{n}_before" for n in values))
