"""Colours: roles for words, palettes for cells, for every colour depth.

rich caches the escape code of the first console inside a Style and shares combined styles, so an Ink makes its own
and is made anew for each rendering.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from rich.color import Color, ColorType
from rich.color_triplet import ColorTriplet
from rich.console import Console
from rich.style import Style

__all__ = ["Ink", "Scale"]

# Perceptually even, dark to bright. The ends stop short of black and of white, so that a cell stands off
# a dark terminal at one end and off a light one at the other.
_LONGS: Final = ("1f0c48", "420a68", "6a176e", "932667", "bc3754", "dd513a", "f37819", "fca50a", "f9d83c")
_SHORTS: Final = ("2c2450", "37336a", "3d437f", "3a6396", "35819f", "36a0a8", "50beab", "92dcb4")
# The same by number where there are only 256: nearest colours would leave the order of lightness.
_LONGS_256: Final = (17, 53, 89, 125, 161, 166, 202, 208, 214, 220, 227)
_SHORTS_256: Final = (17, 24, 31, 37, 79, 158)
# (background, text) by number where there are only sixteen, whose shades are the terminal's own.
_LONGS_16: Final = ((4, 15), (5, 15), (1, 15), (3, 0), (11, 0))
_SHORTS_16: Final = ((4, 15), (6, 0), (14, 0))

# Words must be read on black and on white alike: middle luminance. The sixteen have no amber of that kind: None
# leaves the terminal's own colour.
_ROLES: Final[dict[str, tuple[str, int, int | None]]] = {
    "good": ("7a9a01", 64, 2),
    "warn": ("bf8700", 136, None),
    "bad": ("dc322f", 160, 1),
    "spot": ("bf8700", 136, None),
    "short": ("268bd2", 32, 6),
    "bar": ("d97706", 172, 3),
    "wall": ("e8500e", 202, 1),
    "short_bar": ("268bd2", 32, 6),
}
# Background, and whether the text on it is black.
_BADGES: Final[dict[str, tuple[str, int, int, bool]]] = {
    "brand": ("f2c230", 220, 11, True),
    "wall": ("e8500e", 202, 11, True),
    "bad": ("c81e1e", 160, 1, False),
    "warn": ("f2a900", 214, 3, True),
}
_BLACK: Final = ("000000", 16, 0)
_WHITE: Final = ("ffffff", 231, 15)
_BLACK_IS_CLEARER: Final = 0.179  # relative luminance of a background


@dataclass(frozen=True, slots=True)
class Scale:
    """A logarithmic scale of dollars."""

    low: float
    high: float

    @classmethod
    def over(cls, values: list[float], decades: float = 4.0) -> Scale:
        """Span the positive values, at most so many decades down from the highest."""
        positive = [value for value in values if value > 0]
        high = max(positive, default=1.0)
        return cls(max(min(positive, default=1.0), high / 10**decades), high)

    def position(self, value: float) -> float:
        """Give where a value lies, 0 to 1."""
        if self.high <= self.low:
            return 1.0
        return min(max(math.log(value / self.low) / math.log(self.high / self.low), 0.0), 1.0)


class Ink:
    """Styles for one rendering on one console."""

    def __init__(self, console: Console) -> None:
        system = None if console.no_color else console.color_system
        self.depth = "standard" if system == "windows" else system
        self.plain = Style()
        self.bold = Style(bold=True)
        self.dim = Style(dim=True)
        self._made: dict[tuple[str, bool, int], Style] = {}

    def role(self, name: str, *, bold: bool = False) -> Style:
        """Give the style of words with a meaning: good, warn, bad, spot, short, bar, wall."""
        return self._keep((name, bold, -1), lambda: Style(color=self._color(*_ROLES[name]), bold=bold or None))

    def badge(self, name: str) -> Style:
        """Give a painted label; without colour it is bold."""
        hexadecimal, eight_bit, ansi, black = _BADGES[name]
        text = self._color(*(_BLACK if black else _WHITE))
        back = self._color(hexadecimal, eight_bit, ansi)
        return self._keep((name, True, -2), lambda: Style(color=text, bgcolor=back, bold=True))

    def cell(self, position: float, *, short: bool = False, bold: bool = False) -> Style:
        """Paint a cell by its place on the scale: background by value, text black or white by luminance."""
        steps = self.steps(short=short)
        step = min(int(position * steps), steps - 1)
        return self._keep(("short" if short else "long", bold, step), lambda: self._cell(step, short=short, bold=bold))

    def steps(self, *, short: bool = False) -> int:
        """Say how many colours a palette has at this depth."""
        if self.depth == "standard":
            return len(_SHORTS_16 if short else _LONGS_16)
        if self.depth == "256":
            return len(_SHORTS_256 if short else _LONGS_256)
        return 48

    def _cell(self, step: int, *, short: bool, bold: bool) -> Style:
        if self.depth == "standard":
            back, text = (_SHORTS_16 if short else _LONGS_16)[step]
            return Style(color=_ansi(text), bgcolor=_ansi(back), bold=bold or None)
        if self.depth == "256":
            color = Color.from_ansi((_SHORTS_256 if short else _LONGS_256)[step])
        else:
            color = Color.from_triplet(_blend(_SHORTS if short else _LONGS, step / (self.steps(short=short) - 1)))
        black = _luminance(color.get_truecolor()) > _BLACK_IS_CLEARER
        return Style(color=self._color(*(_BLACK if black else _WHITE)), bgcolor=color, bold=bold or None)

    def _color(self, hexadecimal: str, eight_bit: int, ansi: int | None) -> Color | None:
        if self.depth == "standard":
            return None if ansi is None else _ansi(ansi)
        return Color.from_ansi(eight_bit) if self.depth == "256" else Color.from_triplet(_triplet(hexadecimal))

    def _keep(self, key: tuple[str, bool, int], make: Callable[[], Style]) -> Style:
        if key not in self._made:
            self._made[key] = make()
        return self._made[key]


def _ansi(number: int) -> Color:
    return Color(f"color{number}", ColorType.STANDARD, number)


def _triplet(hexadecimal: str) -> ColorTriplet:
    return ColorTriplet(int(hexadecimal[:2], 16), int(hexadecimal[2:4], 16), int(hexadecimal[4:], 16))


def _blend(stops: tuple[str, ...], position: float) -> ColorTriplet:
    place = position * (len(stops) - 1)
    index = min(int(place), len(stops) - 2)
    left, right, share = _triplet(stops[index]), _triplet(stops[index + 1]), place - index
    red, green, blue = (round(a + (b - a) * share) for a, b in zip(left, right, strict=True))
    return ColorTriplet(red, green, blue)


def _luminance(color: ColorTriplet) -> float:
    """Relative luminance of sRGB (WCAG 2): above 0.179 black text has the higher contrast, below it white."""
    red, green, blue = (
        value / 12.92 if value <= 0.04045 else ((value + 0.055) / 1.055) ** 2.4 for value in color.normalized
    )
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue
