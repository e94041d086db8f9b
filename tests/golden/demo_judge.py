"""The demo's accounts document, computed anew from the recording's raw answers by the big-integer reference."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from typing import Any, Final

from tests.reference import aave_v3 as ref
from tests.reference.recorded import Recorded

__all__ = ["Judge"]

Json = dict[str, Any]
Prices = Mapping[str, int]
NO_THRESHOLD: Final = "CollateralCannotBeLiquidated"

_BLOCKED: Final = {
    "ReserveInactive": "inactive",
    "ReservePaused": "paused",
    "PriceOracleSentinelCheckFailed": "sentinel",
    "LiquidationGraceSentinelCheckFailed": "grace",
    NO_THRESHOLD: "zero_threshold",
    "": "zero_threshold",  # a bonus of zero: the contract divides by it
    "MustNotLeaveDust": "dust",
    "InvalidBurnAmount": "dust",
}


class Judge:
    """Says what each account's entry has to be."""

    def __init__(self, recorded: Recorded) -> None:
        self.recorded, self.market, self.now = recorded, recorded.market, recorded.timestamp
        reserves = {i: replace(r, active=True, paused=False, grace_until=0) for i, r in self.market.reserves.items()}
        self.opened = replace(self.market, reserves=reserves, sentinel_down=False)

    def health(self, account: ref.Account, prices: Prices) -> ref.AccountData:
        return ref.account_data(account, self.market, prices, self.now)

    def totals(self, account: ref.Account) -> Json:
        """Give the exact numbers and the status of an account."""
        prices = self.recorded.prices
        try:
            data = self.health(account, prices)
        except ref.Reverted:
            return dict.fromkeys(("collateral_base", "debt_base", "health_factor_wad")) | {"status": "unpriced"}
        found = {"collateral_base": str(data.collateral_base), "debt_base": str(data.debt_base)}
        if data.health_factor == ref.MAX_UINT:
            return found | {"health_factor_wad": None, "status": "no_debt"}
        status = "healthy"
        if data.health_factor < ref.WAD:
            open_now = ref.best(account, self.market, prices, self.now) is not None
            status = "liquidatable" if open_now else "blocked"
        return found | {"health_factor_wad": str(data.health_factor), "status": status}

    def legs(self, account: ref.Account) -> tuple[list[Json], list[Json]]:
        """Give collateral and debt legs by reserve id, with thresholds and bonuses as the contract applies them."""
        collateral, debt = [], []
        for i, scaled in sorted(account.collateral.items()):
            reserve = self.market.reserves[i]
            terms = self.market.emodes[account.emode] if ref.in_emode(self.market, account, i) else reserve
            amount = ref.atoken_balance(self.market, reserve, scaled, self.now)
            collateral.append(self._leg(i, amount) | {"threshold": terms.threshold, "bonus": terms.bonus})
        for i, scaled in sorted(account.debt.items()):
            debt.append(self._leg(i, ref.variable_debt(self.market, self.market.reserves[i], scaled, self.now)))
        return collateral, debt

    def _leg(self, reserve_id: int, amount: int) -> Json:
        return {"reserve": str(reserve_id), "asset": self.recorded.assets[reserve_id], "amount_raw": str(amount)}

    def seizures(self, account: ref.Account, prices: Prices) -> list[Json]:
        """Give the largest call of every pair at some prices, the best one marked."""
        rows = list(self._pairs(account, prices))
        open_rows = [row for row in rows if row["blocked_by"] is None] or rows
        best = max(open_rows, key=lambda row: (row["value"], -rows.index(row)), default=None)
        return [{name: v for name, v in row.items() if name != "value"} | {"best": row is best} for row in rows]

    def _pairs(self, account: ref.Account, prices: Prices) -> Iterator[Json]:
        for i, scaled in sorted(account.collateral.items()):
            if ref.atoken_balance(self.market, self.market.reserves[i], scaled, self.now) == 0:
                continue
            for j in ref.debt_ids(account):
                blocked, done = self._call(account, prices, i, j)
                yield {
                    "debt_reserve": str(j),
                    "collateral_reserve": str(i),
                    "repay_raw": str(done.repaid if done else 0),
                    "seize_raw": str(done.seized if done else 0),
                    "fee_raw": str(done.fee if done else 0),
                    "bad_debt_raw": str(done.bad_debt_base if done else 0),
                    "blocked_by": blocked,
                    "value": done.seized_base if done else 0,
                }

    def _call(self, account: ref.Account, prices: Prices, i: int, j: int) -> tuple[str | None, ref.Liquidation | None]:
        """Give what blocks a pair, and what it moves or would move."""
        try:
            return None, ref.largest(account, self.market, prices, self.now, i, j)
        except ref.Reverted as reverted:
            dead = self.market.reserves[i].bonus == 0 and not ref.in_emode(self.market, account, i)
            blocked = "zero_threshold" if dead and _BLOCKED[reverted.name] == "dust" else _BLOCKED[reverted.name]
        if blocked in ("dust", "zero_threshold"):
            return blocked, None
        try:
            return blocked, ref.largest(account, self.opened, prices, self.now, i, j)
        except ref.Reverted:
            return blocked, None

    def path(self, *, feed: str | None = None, reserve: str | None = None) -> tuple[int, Callable[[int], Prices]]:
        """Give today's answer of a feed, or of the oracle for a reserve, and all prices when it moves alone."""
        prices = self.recorded.prices
        if feed is not None:
            start = self.recorded.known(feed, "latestAnswer()")
            return start, lambda answer: self.recorded.prices_at({feed: answer})
        assert reserve is not None
        return prices[reserve], lambda answer: {**prices, reserve: answer}

    def liquidatable(self, account: ref.Account, prices: Prices) -> bool:
        return ref.liquidatable(account, self.market, prices, self.now)
