"""What ``liquidationCall`` moves, vectorised over debt × collateral pairs, by the revision's rounding. Pure.

Pairs are rows of a frame with the columns PAIRS. All arithmetic is exact: see ``scanner.exact``.
Source: LiquidationLogic of each release; steps as in ``executeLiquidationCall``.
"""

from __future__ import annotations

from typing import Final

import polars as pl

from scanner.exact import INT128_MAX, mul_div_down, mul_div_half_up, mul_div_up, to_int128
from scanner.units import BPS, RAY, WAD

__all__ = ["CLOSE_FACTOR_HEALTH", "MIN_LEFTOVER", "PAIRS", "SMALL_POSITION", "Liquidations", "debt_value"]

CLOSE_FACTOR_HEALTH: Final = 95 * WAD // 100
"""Health factor at and below which all of a reserve's debt may be repaid."""
SMALL_POSITION: Final = 2_000 * 10**8
"""Base units below which a reserve's debt or collateral lifts the close factor to one (from v3.3)."""
MIN_LEFTOVER: Final = 1_000 * 10**8
"""Base units that a partial liquidation must leave of both (from v3.3)."""

PAIRS: Final = pl.Schema(
    {
        "health": pl.Int128,  # wad
        "total_debt": pl.Int128,  # base units, of the position
        "total_collateral": pl.Int128,
        "owed": pl.Int128,  # debt in this reserve, token units
        "owed_variable": pl.Int128,
        "owed_value": pl.Int128,  # base units
        "least_burn": pl.Int128,  # smallest repayment that burns a scaled unit
        "debt_price": pl.Int128,
        "debt_unit": pl.Int128,
        "balance": pl.Int128,  # collateral in this reserve, token units
        "scaled_balance": pl.Int128,
        "income": pl.Int128,
        "least_received": pl.Int128,  # smallest amount that burns a scaled aToken
        "collateral_price": pl.Int128,
        "collateral_unit": pl.Int128,
        "bonus_bps": pl.Int128,  # 10500 means 105 %, never 0
        "fee_bps": pl.Int128,  # the protocol's share of the bonus
    }
)

_HUGE: Final = 2.0**122
_ONE: Final = to_int128(1)


def debt_value(revision: int, amount: pl.Series, price: pl.Series, unit: pl.Series) -> pl.Series:
    """Value debt in base units: rounded up from v3.5, down before."""
    return mul_div_up(amount, price, unit) if revision >= 9 else mul_div_down(amount, price, unit)


class Liquidations:
    """Outcome of each pair when the liquidator offers the most that the contract accepts.

    ``repay``, ``seize`` (fee included), ``fee`` Int128 in token units, ``branch`` String, ``accepted`` Boolean (False:
    no amount is; all amounts are then 0), ``none_left`` Boolean (the position keeps no collateral; all its
    other debt turns bad).
    """

    def __init__(self, revision: int, pairs: pl.DataFrame) -> None:
        self._revision = revision
        self._down = mul_div_down if revision >= 11 else mul_div_half_up
        most, half = self._close_factor(pairs)
        self._most = most
        self.repay, self.seize, clamped = self._exchange(pairs, most)
        self.fee = self._fee(pairs, self.seize)
        branch = pl.DataFrame({"clamped": clamped, "half": half}).select(
            pl.when("clamped").then(pl.lit("collateral")).when("half").then(pl.lit("half")).otherwise(pl.lit("all"))
        )
        self.branch = branch.to_series().alias("branch")
        if revision >= 7:
            self._leave_no_dust(pairs, most, half & ~clamped)
        self.none_left = self._none_left(pairs)
        self.accepted = self._burns_something(pairs)
        nothing = pl.zeros(pairs.height, dtype=pl.Int128, eager=True)
        self.repay, self.seize, self.fee = (
            amount.zip_with(self.accepted, nothing) for amount in (self.repay, self.seize, self.fee)
        )
        self.none_left = self.none_left & self.accepted

    def _close_factor(self, p: pl.DataFrame) -> tuple[pl.Series, pl.Series]:
        """Give the debt that may be repaid, and whether the close factor of one half limits it."""
        above = p["health"] > CLOSE_FACTOR_HEALTH
        if self._revision <= 6:
            return mul_div_half_up(p["owed"], 5_000, BPS).zip_with(above, p["owed"]), above
        collateral_value = mul_div_down(p["balance"], p["collateral_price"], p["collateral_unit"])
        total_half = mul_div_half_up(p["total_debt"], 5_000, BPS)
        large = (collateral_value >= SMALL_POSITION) & (p["owed_value"] >= SMALL_POSITION)
        half = large & above & (p["owed_value"] > total_half)
        rows = half.arg_true()
        limited = p["owed"].clone()
        if rows.len():
            some = p[rows]
            limit = mul_div_down(total_half.gather(rows), some["debt_unit"], some["debt_price"])
            limited = limited.scatter(rows, limit)
        return limited, half

    def _exchange(self, p: pl.DataFrame, offer: pl.Series) -> tuple[pl.Series, pl.Series, pl.Series]:
        """Give repaid debt, seized collateral, and whether all collateral was not enough for the offer."""
        top, bottom = _rate(p)
        estimate = offer.cast(pl.Float64) * top.cast(pl.Float64) / bottom.cast(pl.Float64)
        # More than the balance by orders of magnitude: no need for a quotient that may not fit.
        beyond = (estimate > _HUGE) & (p["balance"].cast(pl.Float64) < _HUGE / 2)
        nothing = pl.zeros(p.height, dtype=pl.Int128, eager=True)
        seize = self._down(mul_div_down(nothing.zip_with(beyond, offer), top, bottom), p["bonus_bps"], BPS)
        clamped = beyond | (seize > p["balance"])
        seize = p["balance"].zip_with(clamped, seize)
        rows = clamped.arg_true()
        if not rows.len():
            return offer, seize, clamped
        some = p[rows]
        worth = mul_div_down(some["balance"], bottom.gather(rows), top.gather(rows))
        divide = mul_div_up if self._revision >= 9 else mul_div_half_up
        return offer.clone().scatter(rows, divide(worth, BPS, some["bonus_bps"])), seize, clamped

    def _fee(self, p: pl.DataFrame, seize: pl.Series) -> pl.Series:
        """Give the protocol's share of the bonus, in collateral."""
        without = self._down(seize, BPS, p["bonus_bps"])
        multiply = mul_div_up if self._revision >= 11 else mul_div_half_up
        return multiply(seize - without, p["fee_bps"], BPS)

    def _leave_no_dust(self, p: pl.DataFrame, most: pl.Series, partial: pl.Series) -> None:
        """Lower the offers that would leave dust to the largest accepted ones; 0 where none is."""
        rows = partial.arg_true()
        some, seize = p[rows], self.seize.gather(rows)
        left = some["owed"] - most.gather(rows)
        kept = some["balance"] - seize
        debt_left = debt_value(self._revision, left, some["debt_price"], some["debt_unit"])
        collateral_left = mul_div_down(kept, some["collateral_price"], some["collateral_unit"])
        partial_here = (left > 0) & (kept > 0)
        dusty = partial_here & ((debt_left < MIN_LEFTOVER) | (collateral_left < MIN_LEFTOVER))
        rows = rows.filter(dusty)
        if not rows.len():
            return
        some = p[rows]
        offer = self._largest_clean(some, most.gather(rows))
        repay, seize, _ = self._exchange(some, offer)
        self.repay = self.repay.scatter(rows, repay)
        self.seize = self.seize.scatter(rows, seize)
        self.fee = self.fee.scatter(rows, self._fee(some, seize))
        self.branch = self.branch.scatter(rows, pl.repeat("dust", rows.len(), eager=True))

    def _largest_clean(self, p: pl.DataFrame, most: pl.Series) -> pl.Series:
        """Give the largest offer that leaves MIN_LEFTOVER of debt and collateral; 0 when there is none."""
        leftover = pl.repeat(MIN_LEFTOVER, p.height, dtype=pl.Int128, eager=True)
        if self._revision >= 9:
            keep = mul_div_down(leftover - _ONE, p["debt_unit"], p["debt_price"]) + _ONE
        else:
            keep = mul_div_up(leftover, p["debt_unit"], p["debt_price"])
        reserve = mul_div_up(leftover, p["collateral_unit"], p["collateral_price"])
        may_take = p["balance"] - reserve
        by_collateral = self._largest_for(p, may_take.clip(lower_bound=0))
        frame = pl.DataFrame({"a": most, "b": p["owed"] - keep, "c": by_collateral})
        offer = frame.select(pl.min_horizontal("a", "b", "c").clip(lower_bound=0)).to_series()
        return offer.zip_with(may_take >= 0, pl.zeros(p.height, dtype=pl.Int128, eager=True))

    def _largest_for(self, p: pl.DataFrame, collateral: pl.Series) -> pl.Series:
        """Give the largest offer for which no more than so much collateral is seized."""
        # The largest x with round(x * bonus / BPS) <= collateral, then the largest offer worth no more than x.
        slack = to_int128(BPS - 1 if self._revision >= 11 else BPS // 2 - 1)
        bonus = p["bonus_bps"]
        base = mul_div_down(collateral, BPS, bonus)
        base = base + (collateral * to_int128(BPS) - base * bonus + slack) // bonus
        top, bottom = _rate(p)
        return mul_div_up(base + _ONE, bottom, top) - _ONE

    def most_repaid(self, p: pl.DataFrame) -> pl.Series:
        """Give the largest debt that any offer repays; ``p`` are the pairs that this was made of.

        More than ``repay`` only where all collateral is taken: one unit of it may be worth many of debt, and an offer
        that falls among these, below the largest, is taken as it is.
        """
        rows = ((self.branch == "collateral") & self.accepted).arg_true()
        if not rows.len():
            return self.repay
        some = p[rows]
        offer = self._largest_for(some, some["balance"])
        offer = offer.zip_with(offer < self._most.gather(rows), self._most.gather(rows))
        repaid, seized, _ = self._exchange(some, offer)
        takes_all = seized == some["balance"]  # from v3.3 a unit that is left is dust: such an offer reverts
        least = self.repay.gather(rows)
        better = (repaid > least) & (takes_all if self._revision >= 7 else repaid.is_not_null())
        return self.repay.clone().scatter(rows, repaid.zip_with(better, least))

    def _none_left(self, p: pl.DataFrame) -> pl.Series:
        """Say whether the contract sees the position without collateral afterwards."""
        taken = self.seize
        if self._revision >= 11:
            received = mul_div_up(self.seize - self.fee, RAY, p["income"])
            consumed = received + mul_div_up(self.fee, RAY, p["income"])
            consumed = p["scaled_balance"].zip_with(consumed > p["scaled_balance"], consumed)
            taken = mul_div_down(consumed, p["income"], RAY)
        return mul_div_down(taken, p["collateral_price"], p["collateral_unit"]) == p["total_collateral"]

    def _burns_something(self, p: pl.DataFrame) -> pl.Series:
        """Say whether the call burns at least a scaled unit of debt and of collateral; else it reverts."""
        burnt = self.repay
        if self._revision >= 7:
            burnt = p["owed"].zip_with(self.none_left, burnt)
        enough = burnt >= p["least_burn"]
        if self._revision <= 4:
            enough = enough | (self.repay > p["owed_variable"])
        return enough & (self.seize - self.fee >= p["least_received"])


def _rate(p: pl.DataFrame) -> tuple[pl.Series, pl.Series]:
    """Give collateral units per debt unit as a fraction (debt_price · collateral_unit, collateral_price · debt_unit).

    Units are powers of ten, so the smaller divides the larger and cancels.
    """
    common = p.select(pl.min_horizontal("debt_unit", "collateral_unit")).to_series()
    return _product(p["debt_price"], p["collateral_unit"] // common), _product(
        p["collateral_price"], p["debt_unit"] // common
    )


def _product(price: pl.Series, unit: pl.Series) -> pl.Series:
    largest_price, largest_unit = price.max(), unit.max()
    if isinstance(largest_price, int) and isinstance(largest_unit, int) and largest_price * largest_unit > INT128_MAX:
        raise OverflowError("a price times a token's unit needs more than 127 bits")
    return price * unit
