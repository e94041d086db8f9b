"""The table of what each change does, at any width: nothing that counts is cut off."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from rich.cells import cell_len

from scanner.findings import tame
from scanner.render.ink import Ink
from scanner.render.lines import Column, Drawing, Grid, Line, flow, wrap
from scanner.render.words import clean

__all__ = ["ImpactTable"]

_NAME: Final = 16  # columns below which a name is not folded: the table is stacked then
_PAIRS: Final = (("LT", "current LT", "new LT"), ("bonus", "current bonus", "new bonus"))
_LEFT_OUT: Final = ("debt repaid", "bad debt")  # in this order
_COUNT: Final = "accounts liquidated"
_VALUE: Final = "value liquidated"  # a row without a count says here why it could not be computed


class ImpactTable(Drawing):
    """Rows of column to text, as ``cli.impacts.impact_words`` gives them; all rows have the same columns.

    Where there is no room, current and new become one column, then debt repaid and bad debt are left out, which is
    said, then each change has lines of its own. Names are folded.
    """

    def __init__(self, table: Sequence[Mapping[str, Any]]) -> None:
        self.rows = [{name: clean(tame(str(text)), 400) for name, text in row.items()} for row in table]

    def lines(self, ink: Ink, width: int) -> Iterable[Line]:
        refusals = [row[_VALUE] if not row[_COUNT] else "" for row in self.rows]
        whole = [
            {**row, _VALUE: "" if refusal else row[_VALUE]} for row, refusal in zip(self.rows, refusals, strict=True)
        ]
        paired = [_paired(row) for row in whole]
        for rows, out in ((whole, 0), (paired, 0), (paired, 1), (paired, 2)):
            kept = [{name: text for name, text in row.items() if name not in _LEFT_OUT[:out]} for row in rows]
            room = _room(kept, width)
            if room >= min(_NAME, max(cell_len(row["asset"]) for row in kept)):
                yield from _grid(kept, refusals, room, ink, width)
                if out:
                    words = " and ".join(_LEFT_OUT[:out])
                    yield from wrap(
                        f"left out for want of room: {words}; --format json has all", ink.dim, width, head=("", ink.dim)
                    )
                return
        yield from _stacked(paired, refusals, ink, width)


def _paired(row: Mapping[str, str]) -> dict[str, str]:
    """Put current and new side by side in one column."""
    told: dict[str, str] = {"asset": row["asset"]}
    for name, current, new in _PAIRS:
        if current in row:
            told[name] = f"{row[current]} → {row[new]}" if row[current] else ""
    pairs = {name for _, *both in _PAIRS for name in both}
    return told | {name: text for name, text in row.items() if name not in pairs}


def _room(rows: Sequence[Mapping[str, str]], width: int) -> int:
    """Give what the other columns leave to the names."""
    others = [max(cell_len(name), *(cell_len(row[name]) for row in rows)) for name in list(rows[0])[1:]]
    return width - 1 - sum(others) - 2 * len(others)


def _grid(
    rows: Sequence[Mapping[str, str]], refusals: Sequence[str], room: int, ink: Ink, width: int
) -> Iterable[Line]:
    names = list(rows[0])
    cells: list[list[tuple[str, str]]] = []
    ends = {}
    for row, refusal in zip(rows, refusals, strict=True):
        first, *more = _folded(row["asset"], room)
        cells.append([(first, "bold"), *((row[name], "") for name in names[1:])])
        cells += [[(text, "bold"), *[("", "")] * (len(names) - 1)] for text in more]
        ends[len(cells)] = refusal
    columns = [Column(name, "right" if at else "left") for at, name in enumerate(names)]
    for at, line in enumerate(Grid(columns, cells).lines(ink, width)):
        yield line
        if ends.get(at):
            yield from _refusal(ends[at], ink, width)


def _stacked(rows: Sequence[Mapping[str, str]], refusals: Sequence[str], ink: Ink, width: int) -> Iterable[Line]:
    for row, refusal in zip(rows, refusals, strict=True):
        yield from wrap(row["asset"], ink.bold, width, head=("", ink.plain))
        told = [(f"{name} {text}", ink.plain) for name, text in row.items() if text and name != "asset"]
        yield from flow(told, width, indent=3, hang=3)
        if refusal:
            yield from _refusal(refusal, ink, width)


def _refusal(text: str, ink: Ink, width: int) -> Iterable[Line]:
    yield from wrap(text, ink.role("warn"), width, head=("  ", ink.plain))


def _folded(text: str, room: int) -> list[str]:
    """Break a name between words, and a word that is longer than the room."""
    lines = [""]
    for word in text.split():
        longer = f"{lines[-1]} {word}".strip()
        if cell_len(longer) <= room:
            lines[-1] = longer
            continue
        while cell_len(word) > room:
            at = next(at for at in range(len(word), 0, -1) if cell_len(word[:at]) <= max(room, 2))
            lines.append(word[:at])
            word = word[at:]
        lines.append(word)
    return [line for line in lines if line] or [""]
