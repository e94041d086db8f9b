"""One account: legs, exact health factor, liquidation prices, and the contract's own answer beside."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

import polars as pl

from scanner.errors import ConfigError
from scanner.frames import POSITION_KEY
from scanner.render.accounts import status_role
from scanner.render.header import Header, warning_lines
from scanner.render.ink import Ink
from scanner.render.lines import Column, Drawing, Grid, Line, flow, style_of
from scanner.render.words import blocker, clean, factor_move, money, price, tokens
from scanner.results import ContractAnswer, ScanResult
from scanner.views import eip55, pick_account

__all__ = ["AccountDetail"]

Cell = tuple[str, str]


class AccountDetail(Drawing):
    """Everything about one account of a scan."""

    def __init__(self, result: ScanResult, account: str, *, now: int, contract: ContractAnswer | None = None) -> None:
        """Take the account's address. Raises ConfigError when the scan does not have it."""
        self.header = Header(result, now=now)
        self.result = result
        self.contract = contract
        self.rows = pick_account(result, account)
        if self.rows.is_empty():
            raise ConfigError(f"account {clean(account)} holds nothing in this market at this block")

    def lines(self, ink: Ink, width: int) -> Iterable[Line]:
        yield from self.header.lines(ink, width)
        for row in self.rows.iter_rows(named=True):
            yield Line()
            yield from self._summary(row, ink, width)
            yield from self._verdict(row, ink, width)
            for title, grid in self._tables(row):
                yield Line()
                yield Line((f" {title}", ink.bold))
                yield from grid.lines(ink, width)
        yield from warning_lines(self.result.warnings, ink, width)

    def _mine(self, frame: str, row: Mapping[str, Any]) -> list[dict[str, Any]]:
        same = [pl.col(key) == row[key] for key in POSITION_KEY]
        return self.result.frames[frame].filter(*same).to_dicts()

    def _summary(self, row: Mapping[str, Any], ink: Ink, width: int) -> Iterable[Line]:
        status = style_of(ink, status_role(row["status"]))
        yield from flow([(eip55(clean(row["owner"], 66)), ink.bold), (row["status"], status)], width, indent=1)
        wad = row["health_factor_wad"]
        health = "no health factor" if wad is None else f"health factor {_decimal(wad, 18)}"
        chunks = [(health, ink.bold), (f"${money(row['collateral_usd'])} collateral", ink.plain)]
        chunks.append((f"${money(row['debt_usd'])} debt", ink.plain))
        if row["leverage"] is not None:
            chunks.append((f"leverage {row['leverage']:.2f}", ink.plain))
        if row["emode_category"]:
            chunks.append((f"e-mode {row['emode_category']}", ink.plain))
        yield from flow(chunks, width, indent=1)
        if row["blocked_by"]:
            until = f" until {row['blocked_until']:%Y-%m-%d %H:%M:%S} UTC" if row["blocked_until"] else ""
            yield from flow(
                [(f"liquidation is blocked by {blocker(row['blocked_by'])}{until}", ink.role("warn"))], width, indent=1
            )

    def _verdict(self, row: Mapping[str, Any], ink: Ink, width: int) -> Iterable[Line]:
        """Put our integers beside the contract's."""
        if self.contract is None or self.rows.height != 1:
            return
        theirs = self.contract
        pairs = (
            ("health factor", row["health_factor_wad"], theirs.health_factor_wad),
            ("collateral", row["collateral_raw"], theirs.collateral_base),
            ("debt", row["debt_raw"], theirs.debt_base),
        )
        differs = [(what, ours, its) for what, ours, its in pairs if _integer(ours) != its]
        if not differs:
            yield from flow([("the contract says the same, to the last unit", ink.role("good"))], width, indent=1)
        for what, ours, its in differs:
            words = [f"the contract says {what} {'none' if its is None else its}", f"we say {_integer(ours)}"]
            yield from flow([(text, ink.role("bad", bold=True)) for text in words], width, indent=1)

    def _tables(self, row: Mapping[str, Any]) -> Iterable[tuple[str, Grid]]:
        legs = self._mine("legs", row)
        if legs:
            columns = [
                Column("side", "left"),
                Column("asset", "left"),
                Column("amount"),
                Column("value"),
                Column("price", rank=2),
                Column("threshold", rank=1),
                Column("bonus", rank=1),
                Column("factor", "left", rank=3),
            ]
            yield "legs", Grid(columns, [_leg(leg) for leg in legs])
        points = self._mine("liquidation_points", row)
        triggers = self._mine("triggers", row)
        if points:
            columns = [
                Column("factor", "left"),
                Column("liquidated at"),
                Column("move"),
                Column("answer of its feed", rank=1),
            ]
            yield "liquidation price, all else held", Grid(columns, [_point(point) for point in points])
        if triggers:
            columns = [
                Column("asset", "left"),
                Column("when", "left"),
                Column("price"),
                Column("answer of the oracle", rank=1),
                Column("", "left", rank=2),
            ]
            capped = _capped(legs, points)
            yield "one asset alone", Grid(columns, [_trigger(one, capped=one["reserve"] in capped) for one in triggers])
        seizures = [one for one in self._mine("seizures", row) if one["best"]]
        if seizures:
            names = {(leg["reserve"]): clean(leg["symbol"], 16) for leg in legs}
            units = {
                leg["reserve"]: leg["amount_tokens"] / float(leg["amount_raw"]) for leg in legs if leg["amount_raw"]
            }
            columns = [
                Column("at", "left"),
                Column("repay"),
                Column("", "left"),
                Column("seize"),
                Column("", "left"),
                Column("branch", "left", rank=2),
                Column("blocked by", "left", rank=1),
            ]
            yield "best liquidation call", Grid(columns, [_seizure(one, names, units) for one in seizures])


def _leg(leg: Mapping[str, Any]) -> list[Cell]:
    threshold, bonus = leg["liquidation_threshold"], leg["liquidation_bonus"]
    return [
        (leg["side"].replace("_", " "), "" if leg["side"] == "collateral" else "short"),
        (clean(leg["symbol"], 20), "bold"),
        (tokens(leg["amount_tokens"]), ""),
        (money(leg["value_usd"]), "bold"),
        (price(leg["price_quote"]).lstrip("$"), ""),
        ("" if threshold is None else f"{threshold:.2%}", "dim"),
        ("" if bonus is None else f"{bonus:.2%}", "dim"),
        (clean(leg["factor"] or "", 20), "dim"),
    ]


def _point(point: Mapping[str, Any]) -> list[Cell]:
    factor = (clean(point["factor"], 20), "bold")
    if point["direction"] in ("never", "now"):
        recovery = point["recovery_ratio"]
        healed = f"healed at {factor_move(recovery)}" if recovery is not None else ""
        return [
            factor,
            (point["direction"], "dim" if point["direction"] == "never" else "bad"),
            (healed, "dim"),
            ("", ""),
        ]
    ratio = point["lower_ratio"]
    return [
        factor,
        (price(point["price_usd"]), "bold"),
        ("" if ratio is None else factor_move(ratio), "short" if point["direction"] == "up" else ""),
        (point["trigger_answer"] or "", "dim"),
    ]


def _capped(legs: Sequence[Mapping[str, Any]], points: Sequence[Mapping[str, Any]]) -> set[str]:
    """Give the reserves whose factor moves nothing else of the account, and yet never breaks it.

    What the reserve alone would need is then a price that its expression does not give: it is capped or fixed.
    """
    never = {point["factor"] for point in points if point["direction"] == "never"}
    held: dict[str, set[str]] = {}
    for leg in legs:
        held.setdefault(leg["factor"], set()).add(leg["reserve"])
    return {
        reserve for factor, reserves in held.items() if factor in never and len(reserves) == 1 for reserve in reserves
    }


def _trigger(trigger: Mapping[str, Any], *, capped: bool) -> list[Cell]:
    when = "falls to" if trigger["direction"] == "down" else "rises to"
    return [
        (clean(trigger["symbol"], 20), "bold"),
        (when, "short" if trigger["direction"] == "up" else ""),
        (price(trigger["price_usd"]), ""),
        (trigger["trigger_price"], "dim"),
        ("its feed cannot: capped or fixed" if capped else "", "dim"),
    ]


_MOVES: Final = {"down": "falls", "up": "rises"}


def _seizure(one: Mapping[str, Any], names: Mapping[str, str], units: Mapping[str, float]) -> list[Cell]:
    when = "now" if one["factor"] == "now" else f"{clean(one['factor'], 20)} {_MOVES[one['direction']]}"
    cells = [(when, "bold")]
    for amount, reserve in (("repay_raw", one["debt_reserve"]), ("seize_raw", one["collateral_reserve"])):
        whole = units.get(reserve)
        raw = int(one[amount])
        cells.append((tokens(raw * whole) if whole is not None else f"{raw} units", ""))
        cells.append((names.get(reserve, f"reserve {clean(reserve, 12)}"), "dim"))
    return [*cells, (one["branch"], "dim"), (clean(one["blocked_by"] or "", 40), "warn")]


def _integer(value: Any) -> int | None:
    return None if value is None else int(value)


def _decimal(digits: str, places: int) -> str:
    """Put the point into an integer: exact, no digit lost."""
    padded = digits.rjust(places + 1, "0")
    return f"{padded[:-places]}.{padded[-places:]}"
