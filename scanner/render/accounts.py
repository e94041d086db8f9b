"""Tables with a row per account or index."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Protocol

import polars as pl

from scanner.frames import POSITION_KEY
from scanner.render.header import Header, warning_lines
from scanner.render.ink import Ink
from scanner.render.lines import Column, Drawing, Grid, Line
from scanner.render.words import clean, count, factor_move, money, price, short_address
from scanner.results import ScanResult
from scanner.views import eip55, nearest_first, nearest_points

__all__ = ["AccountsTable", "IndexState", "index_table", "status_role"]

Cell = tuple[str, str]
_ROLES = {"liquidatable": "bad", "blocked": "warn", "unpriced": "warn", "no_debt": "dim", "healthy": "good"}
_FULL_ADDRESS = 140  # columns from which addresses are written in full


def status_role(status: str) -> str:
    return _ROLES.get(status, "")


class AccountsTable(Drawing):
    """Accounts with debt, nearest to liquidation first, with their trigger on the selected factor."""

    def __init__(self, result: ScanResult, *, now: int, limit: int | None = 40) -> None:
        self.header = Header(result, now=now)
        self.result = result
        owing = nearest_first(result.frames["accounts"].filter(pl.col("status") != "no_debt"))
        self.hidden = owing.height - (owing.height if limit is None else min(limit, owing.height))
        shown = owing.head(owing.height - self.hidden)
        self.rows = shown.join(
            nearest_points(result), on=POSITION_KEY, how="left", validate="1:1", maintain_order="left"
        ).to_dicts()
        self.holdings = _holdings(result.frames["legs"], shown)

    def lines(self, ink: Ink, width: int) -> Iterable[Line]:
        yield from self.header.lines(ink, width)
        yield Line()
        factor = clean(self.result.selected_factor, 12)
        columns = [
            Column("account", "left"),
            Column("health factor"),
            Column("status", "left"),
            Column("collateral", rank=1),
            Column("debt"),
            Column("leverage", rank=3),
            Column(f"{factor} at", rank=1),
            Column("move", rank=1),
            Column("e-mode", rank=4),
            Column("holds", "left", rank=2),
            Column("owes", "left", rank=2),
        ]
        full = width >= _FULL_ADDRESS
        yield from Grid(columns, [self._row(row, full=full) for row in self.rows]).lines(ink, width)
        if not self.rows:
            yield Line((" no account has debt", ink.dim))
        if self.hidden:
            yield Line((f" and {count(self.hidden)} more, farther from liquidation", ink.dim))
        yield from warning_lines(self.result.warnings, ink, width)

    def _row(self, row: Mapping[str, Any], *, full: bool) -> list[Cell]:
        health, role = row["health_factor"], status_role(row["status"])
        owner = eip55(clean(row["owner"], 66))
        held = self.holdings.get((row["market_id"], row["position"]), {})
        ratio = row["lower_ratio"]
        words = {"never": ("never", "dim"), "now": ("now", "bad")}
        return [
            (owner if full else short_address(owner), ""),
            ("?" if health is None else _health(health), role if role != "good" else "bold"),
            (row["status"] + (f" ({clean(row['blocked_by'], 24)})" if row["blocked_by"] else ""), role),
            (money(row["collateral_usd"]), ""),
            (money(row["debt_usd"]), ""),
            ("" if row["leverage"] is None else f"{row['leverage']:.2f}", "dim"),
            words.get(row["direction"] or "", (price(row["price_usd"]) if row["price_usd"] is not None else "", "")),
            ("" if ratio is None else factor_move(ratio), "short" if row["direction"] == "up" else ""),
            (str(row["emode_category"] or ""), "dim"),
            (held.get("collateral", ""), "dim"),
            (held.get("debt", ""), "dim"),
        ]


def _health(value: float) -> str:
    """Write a health factor; just below one never shows as one."""
    if value >= 1000:
        return f"{value:,.0f}" if value < 1e9 else f"{value:.1e}"
    return "0.99999" if 0.999995 <= value < 1 else f"{value:.5f}"


def _holdings(legs: pl.DataFrame, accounts: pl.DataFrame) -> dict[tuple[str, str], dict[str, str]]:
    """Name what each account holds and owes, largest first."""
    mine = legs.join(accounts.select(POSITION_KEY), on=POSITION_KEY, how="semi")
    found: dict[tuple[str, str], dict[str, list[str]]] = {}
    for row in mine.sort("value_quote", descending=True, nulls_last=True, maintain_order=True).iter_rows(named=True):
        side = "collateral" if row["side"] == "collateral" else "debt"
        names = found.setdefault((row["market_id"], row["position"]), {}).setdefault(side, [])
        if (name := clean(row["symbol"], 12)) not in names:
            names.append(name)
    return {key: {side: _some(names) for side, names in sides.items()} for key, sides in found.items()}


def _some(names: Sequence[str]) -> str:
    return "+".join(names[:3]) + (f"+{len(names) - 3}" if len(names) > 3 else "")


class IndexState(Protocol):
    """What the index of one market knows; ``scanner.store.index.IndexStatus`` is one."""

    @property
    def position_count(self) -> int: ...
    @property
    def idle_count(self) -> int: ...
    @property
    def first_block(self) -> int: ...
    @property
    def covered_to(self) -> int: ...


def index_table(markets: Sequence[tuple[str, IndexState]]) -> Drawing:
    """Draw what the index of each (named) market holds."""
    columns = [
        Column("market", "left"),
        Column("accounts"),
        Column("without debt"),
        Column("first block"),
        Column("covered to"),
    ]
    rows = [
        [
            (eip55(clean(name, 60)), "bold"),
            (count(state.position_count), ""),
            (count(state.idle_count), "dim"),
            (count(state.first_block), ""),
            (count(state.covered_to) if state.covered_to >= state.first_block else "nothing yet", ""),
        ]
        for name, state in markets
    ]
    return Grid(columns, rows)
