"""Lines of styled spans that never wrap, and tables of them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final, Literal

from rich.cells import cell_len, set_cell_size
from rich.console import Console, ConsoleOptions, RenderResult
from rich.segment import Segment
from rich.style import Style

from scanner.render.ink import Ink
from scanner.render.words import fit

__all__ = ["Column", "Drawing", "Grid", "Line", "bar", "flow", "style_of", "wrap"]

_EIGHTHS: Final = " ▏▎▍▌▋▊▉█"
_HANG: Final = 2  # columns before wrapped lines whose words need the room below their label
# One character for one, so that widths stay.
_ASCII: Final = str.maketrans(
    {"–": "-", "—": "-", "−": "-", "…": "~", "─": "-", "·": ".", "×": "x", "≥": ">", "≤": "<", "▐": "|"}
    | dict.fromkeys("▏▎▍", ".")
    | dict.fromkeys("▌▋▊▉█", "#")
)


class Line:
    """One line of text, span after span."""

    __slots__ = ("spans", "width")

    def __init__(self, *spans: tuple[str, Style]) -> None:
        self.spans: list[tuple[str, Style]] = []
        self.width = 0
        for text, style in spans:
            self.add(text, style)

    def add(self, text: str, style: Style) -> Line:
        if text:
            self.spans.append((text, style))
            self.width += cell_len(text)
        return self

    def extend(self, other: Line) -> Line:
        self.spans += other.spans
        self.width += other.width
        return self

    def pad(self, width: int, style: Style) -> Line:
        """Fill up to a width."""
        return self.add(" " * (width - self.width), style)

    def segments(self, width: int, *, ascii_only: bool) -> list[Segment]:
        """Give the line cropped to a width, without blanks at its end."""
        out: list[Segment] = []
        room = width
        for text, style in self.spans:
            part = text if cell_len(text) <= room else set_cell_size(text, room)
            room -= cell_len(part)
            if part:
                out.append(Segment(_to_ascii(part) if ascii_only else part, style))
        while out and out[-1].style is not None and not out[-1].style.bgcolor:
            last = out.pop()
            if text := last.text.rstrip(" "):
                out.append(Segment(text, last.style))
                break
        return out


def _to_ascii(text: str) -> str:
    """Put plain characters in place of others, keeping the width."""
    plain = text.translate(_ASCII)
    if plain.isascii():
        return plain
    return "".join(char if char.isascii() else "?" * cell_len(char) for char in plain)


class Drawing:
    """A renderable that lays out its lines for the console it is printed on."""

    def lines(self, ink: Ink, width: int) -> Iterable[Line]:
        raise NotImplementedError

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        for line in self.lines(Ink(console), options.max_width):
            yield from line.segments(options.max_width, ascii_only=options.ascii_only)
            yield Segment.line()


def bar(value: float, highest: float, width: int) -> str:
    """Draw a bar in eighths of a cell; what is not nothing is seen."""
    if value <= 0 or highest <= 0:
        return ""
    eighths = max(round(value / highest * width * 8), 1)
    return "█" * (eighths // 8) + (_EIGHTHS[eighths % 8] if eighths % 8 else "")


def flow(
    chunks: Sequence[tuple[str, Style]], width: int, *, gap: int = 2, indent: int = 0, hang: int = 1
) -> list[Line]:
    """Set chunks side by side, on a next line (indented by ``hang``) where one would not fit whole."""
    lines = [Line((" " * indent, Style()))]
    for text, style in chunks:
        shown = fit(text, width - max(indent, hang))
        line = lines[-1]
        empty = line.width == (indent if len(lines) == 1 else hang)
        if not empty and line.width + gap + cell_len(shown) > width:
            line = Line((" " * hang, Style()))
            lines.append(line)
        elif not empty:
            line.add(" " * gap, Style())
        line.add(shown, style)
    return lines


def wrap(text: str, style: Style, width: int, *, head: tuple[str, Style] | None = None) -> list[Line]:
    """Break text between words, after a label, the lines below it indented: less where a word needs the room."""
    first = Line(*([head, (" ", Style())] if head else []))
    longest = max((cell_len(word) for word in text.split()), default=0)
    indent = first.width if first.width + longest <= width else min(first.width, _HANG)
    lines = [first]
    start = first.width
    for word in text.split():
        line = lines[-1]
        blank = int(line.width > start)
        if line.width > indent and line.width + blank + cell_len(word) > width:
            line, start, blank = Line((" " * indent, Style())), indent, 0
            lines.append(line)
        line.add(" " * blank + fit(word, width - indent), style)
    return lines


@dataclass(frozen=True, slots=True)
class Column:
    """A column of a table. Those of the highest ``rank`` go first when there is no room; rank 0 stays."""

    name: str
    align: Literal["left", "right"] = "right"
    rank: int = 0


class Grid(Drawing):
    """A plain table: aligned, no frame, columns left out by rank when they do not fit."""

    def __init__(
        self, columns: Sequence[Column], rows: Sequence[Sequence[tuple[str, str]]], *, indent: int = 1
    ) -> None:
        """Take rows of (text, role), where a role is "", "dim", "bold" or one of the ink's."""
        self.columns = columns
        self.rows = rows
        self.indent = indent

    def lines(self, ink: Ink, width: int) -> Iterable[Line]:
        widths = [
            max([cell_len(column.name), *(cell_len(row[place][0]) for row in self.rows)])
            for place, column in enumerate(self.columns)
        ]
        shown = self._shown(widths, width)
        yield self._line([(column.name, ink.dim) for column in self.columns], widths, shown, ink)
        for row in self.rows:
            yield self._line([(text, style_of(ink, role)) for text, role in row], widths, shown, ink)

    def _shown(self, widths: Sequence[int], width: int) -> list[int]:
        shown = list(range(len(self.columns)))
        while sum(widths[place] + 2 for place in shown) - 2 + self.indent > width:
            place = max(shown, key=lambda place: (self.columns[place].rank, place))
            if self.columns[place].rank == 0:
                break
            shown.remove(place)
        return shown

    def _line(self, cells: Sequence[tuple[str, Style]], widths: Sequence[int], shown: Sequence[int], ink: Ink) -> Line:
        line = Line((" " * self.indent, ink.plain))
        for order, place in enumerate(shown):
            text, style = cells[place]
            fill = " " * (widths[place] - cell_len(text))
            left = self.columns[place].align == "left"
            line.add("  " if order else "", ink.plain)
            line.add("" if left else fill, ink.plain).add(text, style).add(fill if left else "", ink.plain)
        return line


def style_of(ink: Ink, role: str) -> Style:
    """Give the style that a role name means."""
    if role == "":
        return ink.plain
    if role == "dim":
        return ink.dim
    if role == "bold":
        return ink.bold
    return ink.role(role)
