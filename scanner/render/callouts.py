"""The lines below a heatmap: dense bands, what is liquidatable now, what is blocked, warnings, the legend."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from scanner.render.bandrows import MAIN_SHARE, HeatRows
from scanner.render.header import warning_lines
from scanner.render.ink import Ink, Scale
from scanner.render.lines import Line, flow
from scanner.render.words import accounts, blocker, clean, money, price, short_address, some
from scanner.results import ScanResult
from scanner.views import StatusTotal, factor_info, status_totals

__all__ = ["callouts"]

_BY = {"asset": "collateral asset", "protocol": "protocol", "debt": "debt asset", "size": "account size"}


def callouts(
    result: ScanResult,
    rows: HeatRows,
    scale: Scale,
    dense: Sequence[Mapping[str, Any]],
    by: str | None,
    ink: Ink,
    width: int,
) -> Iterable[Line]:
    """Give the lines below the table, the most urgent last but for the legend."""
    yield from _dense_lines(dense, ink, width)
    yield from _status_lines(result, ink, width)
    yield from warning_lines(result.warnings, ink, width)
    yield from _legend(result, rows, scale, by, ink, width)


def _dense_lines(dense: Sequence[Mapping[str, Any]], ink: Ink, width: int) -> Iterable[Line]:
    if not dense:
        return
    badge, meaning = " dense bands ".ljust(18), " narrowest range that holds a share of all within −20 %"
    if len(badge) + len(meaning) > width:
        meaning = " narrowest ranges within −20 %"
    yield Line((badge, ink.badge("wall")), (meaning, ink.dim))
    edges = [f"{price(band['lower_price_usd'], 2)} – {price(band['upper_price_usd'], 2)}" for band in dense]
    widest = max(len(text) for text in edges)
    for band, text in zip(dense, edges, strict=True):
        main = band["share"] == MAIN_SHARE
        line = Line(
            ("▐ " if main else "  ", ink.role("wall", bold=True)), (f"{band['share'] * 100:3.0f} %  ", ink.bold)
        )
        line.add(text.rjust(widest), ink.bold if main else ink.plain)
        line.add(f"  ${money(band['seizable_collateral_usd'])}".ljust(9), ink.bold if main else ink.plain)
        line.add(accounts(band["account_count"]).rjust(16), ink.plain)
        if band["largest_account"] is not None:
            who, size = short_address(band["largest_account"]), money(band["largest_account_usd"])
            for words in (f"  largest {who} ${size}", f"  {who} ${size}", f"  {who}"):
                if line.width + len(words) <= width:
                    line.add(words, ink.dim)
                    break
        yield line


def _status_lines(result: ScanResult, ink: Ink, width: int) -> Iterable[Line]:
    totals = status_totals(result)
    now = totals["liquidatable"]
    if now.account_count:
        badge = (" liquidatable now ", ink.badge("bad"))
        yield from flow([badge, *((words, ink.role("bad", bold=True)) for words in _words(now))], width)
    else:
        yield Line((" liquidatable now: nothing", ink.role("good")))
    if (blocked := totals["blocked"]).account_count:
        reasons = result.frames["accounts"]["blocked_by"].drop_nulls().unique().sort().to_list()
        chunks = [*_words(blocked), *(["by " + ", ".join(map(blocker, reasons))] if reasons else [])]
        badge = (" blocked ".ljust(18), ink.badge("warn"))
        yield from flow([badge, *((words, ink.role("warn")) for words in chunks)], width)
    if (unpriced := totals["unpriced"]).account_count:
        badge = (" unpriced ".ljust(18), ink.badge("warn"))
        held = accounts(unpriced.account_count)
        text = f"{held} with an asset that the oracle does not price: nobody can liquidate them"
        short = f"{held} without an oracle price"
        yield from flow([badge, (text if len(text) + 20 <= width else short, ink.role("warn"))], width)


def _words(total: StatusTotal) -> list[str]:
    words = [accounts(total.account_count)]
    for value, what in ((total.debt_usd, "debt"), (total.seizable_collateral_usd, "seizable")):
        words.append(f"${money(value)} {what}" if value is not None else f"{what} unknown")
    return words


def _legend(result: ScanResult, rows: HeatRows, scale: Scale, by: str | None, ink: Ink, width: int) -> Iterable[Line]:
    if rows.rows:
        split = "" if by is None else f" by {_BY.get(by, by)}"
        painted = ink.depth is not None
        line = Line((f" {'colour' if painted else 'cells'}: seizable dollars a row{split}", ink.dim))
        if painted and width >= 80:
            line.add(f", log  {money(scale.low)} ", ink.dim).extend(_ramp(ink, short=False))
            line.add(f" {money(scale.high)}", ink.dim)
            if rows.above and line.width + 17 <= width:
                line.add("  shorts ", ink.dim).extend(_ramp(ink, short=True))
        yield line
    info = factor_info(result)
    if info is not None and info.members:
        members = [clean(name, 16) for name in info.members]
        chunks = [some(f"{clean(info.factor, 20)} moves ", members, width - 1)]
        others = [clean(other.factor, 16) for other in result.factors if other.factor != info.factor]
        chunks += [some("other factors ", others, width - 1)] if others else []
        yield from flow([(words, ink.dim) for words in chunks], width, indent=1)


def _ramp(ink: Ink, *, short: bool) -> Line:
    cells = min(ink.steps(short=short), 12 if not short else 8)
    return Line(*((" ", ink.cell(place / max(cells - 1, 1), short=short)) for place in range(cells)))
