"""The picture of a scan: price runs down, value and colour in one cell, the wall in the bar."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from rich.cells import cell_len

from scanner.render.bandrows import MAIN_SHARE, OTHER, Fold, Row, heat_rows, shown_keys
from scanner.render.callouts import callouts
from scanner.render.header import Header
from scanner.render.ink import Ink, Scale
from scanner.render.lines import Drawing, Line, bar
from scanner.render.words import accounts, age, clean, count, fit, money, move, price, price_places, short_address
from scanner.results import ScanResult
from scanner.views import factor_info

__all__ = ["Heatmap"]

_TOTAL: Final = 8
_BAR: Final = (10, 44)
_CUMULATIVE: Final = 10
_ACCOUNTS: Final = 9
_LARGEST: Final = 20
_CELL: Final = (8, 11)
_OPEN: Final = 10  # times spot: the upper edge of an open band, which is its highest trigger, says no more from here


@dataclass(frozen=True)
class _Layout:
    """Columns that fit a width."""

    label: int
    move: int
    keys: tuple[str, ...]
    cells: tuple[int, ...]  # widths, the last for what the keys leave over if ``other``
    other: bool
    bar: int
    accounts: bool
    largest: bool

    @property
    def width(self) -> int:
        fixed = 2 + self.label + 2 + self.move + 2 + _TOTAL + 1 + self.bar + _CUMULATIVE
        return fixed + sum(self.cells) + len(self.cells) + _ACCOUNTS * self.accounts + _LARGEST * self.largest


class Heatmap(Drawing):
    """The heatmap of a scan's selected factor, as wide as the console allows."""

    def __init__(
        self, result: ScanResult, *, now: int, by: str = "asset", long_rows: int = 20, short_rows: int = 4
    ) -> None:
        """Take a scan, the current unix time for ages, what the columns are, and how many lines to draw a side."""
        self.result = result
        self.now = now
        self.by = by
        self.rows = heat_rows(result, by=by, long_rows=long_rows, short_rows=short_rows)
        edges = [row.band for row in self.rows.rows]
        spread = min((band["upper_price_usd"] - band["lower_price_usd"] for band in edges), default=None)
        self.places = price_places(self.rows.spot_usd, spread)
        dense = result.frames["dense_bands"]
        self.dense = [
            row
            for row in dense.iter_rows(named=True)
            if row["factor"] == result.selected_factor and row["account_count"]
        ]

    def lines(self, ink: Ink, width: int) -> Iterable[Line]:
        layout = self._layout(width)
        scale = self._scale(layout)
        highest = max((row.total for row in self.rows.rows), default=0.0)
        yield from Header(self.result, now=self.now).lines(ink, width)
        yield Line()
        yield self._head(layout, ink)
        yield from self._shorts(layout, scale, highest, ink, width)
        yield self._spot(layout, width, ink)
        if merged := _merged(self.rows.below_step):
            yield Line((f"  {merged}", ink.dim))
        for item in self.rows.below:
            yield self._item(item, layout, scale, highest, ink)
        if not self.rows.below:
            yield Line(("  no bands below the spot price", ink.dim))
        yield Line()
        yield from callouts(self.result, self.rows, scale, self.dense, self.by if layout.keys else None, ink, width)

    def _layout(self, width: int) -> _Layout:
        """Fill the width: the fixed columns, then keys by size, accounts, the largest account, a longer bar."""
        bands = [row.band for row in self.rows.rows]
        label = max((cell_len(self._edges(b["lower_price_usd"], b["upper_price_usd"])) for b in bands), default=21)
        moves = max((cell_len(self._move(row)) for row in self.rows.rows), default=4)
        bare = _Layout(label, max(moves, 4), (), (), other=False, bar=_BAR[0], accounts=False, largest=False)
        room = width - bare.width
        wide = room >= 5 * (_CELL[0] + 1) + _ACCOUNTS
        accounts = wide and bool(self.rows.keys)
        room -= _ACCOUNTS * accounts
        many = room >= 5 * (_CELL[0] + 1) + _LARGEST
        room -= _LARGEST * many
        keys, cells, other = self._columns(room - 4) if room >= 2 * (_CELL[0] + 1) else ((), (), False)
        room -= sum(cells) + len(cells)
        return _Layout(
            bare.label, bare.move, keys, cells, other, min(max(_BAR[0] + room, 4), _BAR[1]), accounts, largest=many
        )

    def _columns(self, room: int) -> tuple[tuple[str, ...], tuple[int, ...], bool]:
        """Take the largest keys while they fit; what is left over goes into one column of its own."""
        widths = [_cell_width(key) for key in self.rows.keys]
        taken = 0
        while taken < len(widths):
            others = _CELL[0] + 1 if taken + 1 < len(widths) else 0
            if sum(widths[: taken + 1]) + taken + 1 + others > room:
                break
            taken += 1
        other = 0 < taken < len(widths)
        keys = shown_keys(self.rows.keys[:taken], self.by)
        return tuple(keys), (*map(_cell_width, keys), *([_CELL[0]] if other else [])), other

    def _scale(self, layout: _Layout) -> Scale:
        if not layout.keys:
            return Scale.over([row.total for row in self.rows.rows])
        return Scale.over([value for row in self.rows.rows for value in self._values(row, layout)])

    def _values(self, row: Row, layout: _Layout) -> list[float]:
        values = [row.parts.get(key, 0.0) for key in layout.keys]
        if layout.other:
            values.append(sum(value for key, value in row.parts.items() if key not in layout.keys))
        return values

    def _head(self, layout: _Layout, ink: Ink) -> Line:
        line = Line(("  price band".ljust(layout.label + 4), ink.dim), ("move".rjust(layout.move) + "  ", ink.dim))
        for name, cell in zip([*layout.keys, OTHER], layout.cells, strict=False):
            shown = fit(clean(name), cell - 1)
            line.add(" " * (cell - 1 - cell_len(shown)) + shown + "  ", ink.dim)
        line.add("seizable".rjust(_TOTAL - 1) + " " * (layout.bar + 1), ink.dim)
        line.add("cumulative".rjust(_CUMULATIVE), ink.dim)
        line.add("accounts".rjust(_ACCOUNTS) if layout.accounts else "", ink.dim)
        return line.add("largest account".rjust(_LARGEST) if layout.largest else "", ink.dim)

    def _shorts(self, layout: _Layout, scale: Scale, highest: float, ink: Ink, width: int) -> Iterable[Line]:
        rows = self.rows
        if not rows.short_accounts:
            yield Line(("  no shorts above the spot price", ink.dim))
            return
        text = f"  shorts above the spot price: ${money(rows.shorts_usd)}, {accounts(rows.short_accounts)}"
        if rows.first_short_usd is not None:
            first = f", first at {price(rows.first_short_usd, self.places)}"
            text += first if cell_len(text) + cell_len(first) <= width else ""
        merged = _merged(rows.above_step)
        if merged and cell_len(text) + cell_len(merged) + 2 <= width:
            text, merged = f"{text}, {merged}", ""
        yield Line((text, ink.role("short")))
        if merged:
            yield Line((f"  {merged}", ink.dim))
        for item in rows.above:
            yield self._item(item, layout, scale, highest, ink, short=True)

    def _item(
        self, item: Row | Fold, layout: _Layout, scale: Scale, highest: float, ink: Ink, *, short: bool = False
    ) -> Line:
        if isinstance(item, Fold):
            return self._fold(item, layout, ink)
        return self._row(item, layout, scale, highest, ink, short=short)

    def _spot(self, layout: _Layout, width: int, ink: Ink) -> Line:
        style = ink.role("spot")
        line = Line(("─ ", style), (f"spot {price(self.rows.spot_usd, self.places)}", ink.role("spot", bold=True)))
        full = min(layout.width, width)
        info = factor_info(self.result)
        if info is not None:
            updated = "" if info.answer_at is None else f", updated {age(self.now - info.answer_at)}"
            source = f"{clean(info.description, 30)}{updated}"
            if line.width + cell_len(source) + 12 <= full:
                line.add(" " + "─" * (full - line.width - cell_len(source) - 4) + " ", style).add(source, ink.dim)
                return line.add(" ─", style)
        return line.add(" " + "─" * max(full - line.width - 1, 0), style)

    def _row(self, row: Row, layout: _Layout, scale: Scale, highest: float, ink: Ink, *, short: bool = False) -> Line:
        band = row.band
        edges = self._edges(band["lower_price_usd"], band["upper_price_usd"])
        dense = not short and self._dense(band["lower_price_usd"], band["upper_price_usd"])
        text = ink.plain if row.total > 0 else ink.dim
        line = Line(("▐ " if dense else "  ", ink.role("wall", bold=True)), (edges.rjust(layout.label), text))
        line.add("  " + self._move(row).rjust(layout.move) + "  ", text)
        for value, cell in zip(self._values(row, layout), layout.cells, strict=False):
            self._cell(line, value, cell, scale, ink, short=short)
            line.add(" ", ink.plain)
        if layout.keys or row.total <= 0:
            shown = money(row.total) if row.total > 0 else ""
            line.add((shown + " ").rjust(_TOTAL), ink.bold)
        else:
            self._cell(line, row.total, _TOTAL, scale, ink, short=short)
        role = "short_bar" if short else "wall" if dense else "bar"
        line.add(" ", ink.plain).add(bar(row.total, highest, layout.bar), ink.role(role))
        line.pad(layout.width - _CUMULATIVE - _ACCOUNTS * layout.accounts - _LARGEST * layout.largest, ink.plain)
        return self._tail(line, row, layout, ink)

    def _tail(self, line: Line, row: Row, layout: _Layout, ink: Ink) -> Line:
        band = row.band
        text = ink.plain if row.total > 0 else ink.dim
        line.add(money(row.cumulative).rjust(_CUMULATIVE), text)
        accounts = count(band["account_count"]) if band["account_count"] else ""
        line.add(accounts.rjust(_ACCOUNTS) if layout.accounts else "", text)
        if layout.largest and band["largest_account"] is not None:
            size = money(band["largest_account_usd"])
            line.add(f"{short_address(band['largest_account'])} {size.rjust(6)}".rjust(_LARGEST), ink.dim)
        return line

    def _cell(self, line: Line, value: float, width: int, scale: Scale, ink: Ink, *, short: bool) -> None:
        if value <= 0:
            line.add(" " * width, ink.plain)
            return
        place = scale.position(value)
        line.add((money(value) + " ").rjust(width), ink.cell(place, short=short, bold=place > 0.9))

    def _dense(self, lower: float, upper: float) -> bool:
        return any(
            lower < band["upper_price_usd"] and band["lower_price_usd"] < upper
            for band in self.dense
            if band["share"] == MAIN_SHARE
        )

    def _fold(self, fold: Fold, layout: _Layout, ink: Ink) -> Line:
        edges = self._edges(fold.lower_usd, fold.upper_usd)
        what = "nothing" if not fold.accounts else f"${money(fold.total)}, {accounts(fold.accounts)}"
        text = f"  {edges.rjust(layout.label)}  {what} in {count(fold.bands)} bands"
        moves = [move(bps) for bps in sorted((b for b in (fold.lower_bps, fold.upper_bps) if b is not None), key=abs)]
        words = f", {'beyond ' if len(moves) == 1 else ''}{' to '.join(moves)}" if moves else ""
        return Line((text + (words if cell_len(text) + cell_len(words) <= layout.width else ""), ink.dim))

    def _edges(self, lower: float, upper: float) -> str:
        if self._open(upper):
            return f"above {price(lower, self.places)}"
        return f"{price(lower, self.places)} – {price(upper, self.places)}"

    def _open(self, upper: float) -> bool:
        return self.rows.spot_usd is not None and upper > self.rows.spot_usd * _OPEN

    def _move(self, row: Row) -> str:
        """Write the move to the edge that is farther from spot; of an open band, to the other."""
        down = row.band["direction"] == "down"
        if self._open(row.band["upper_price_usd"]):
            return ">" + move(row.band["lower_bps"], row.band["lower_price_usd"] / (self.rows.spot_usd or 1.0))
        bps = row.band["lower_bps" if down else "upper_bps"]
        far = row.band["lower_price_usd" if down else "upper_price_usd"]
        return move(bps, far / self.rows.spot_usd if self.rows.spot_usd else None)


def _cell_width(key: str) -> int:
    return min(max(cell_len(clean(key)) + 1, _CELL[0]), _CELL[1])


def _merged(step: int) -> str:
    """Say that rows are not bands, where it is so."""
    return f"each row {count(step)} bands" if step > 1 else ""
