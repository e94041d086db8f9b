"""Pictures of a drawing: SVG through rich, PNG through resvg."""

from __future__ import annotations

import importlib
import io
import re
from collections.abc import Callable
from typing import Final, Literal

from rich._export_format import CONSOLE_SVG_FORMAT
from rich.console import Console
from rich.terminal_theme import TerminalTheme

from scanner.errors import ConfigError
from scanner.render.lines import Drawing

__all__ = ["THEMES", "png", "svg"]

_FONTS: Final = "'DejaVu Sans Mono', 'Liberation Mono', Menlo, Consolas, 'Noto Sans Mono', monospace"
_FONT_FACE: Final = re.compile(r"\s*@font-face \{\{.*?\}\}", re.DOTALL)
_ANSI: Final = [
    (0x1D, 0x1F, 0x21), (0xC8, 0x28, 0x29), (0x71, 0x8C, 0x00), (0xB5, 0x89, 0x00),
    (0x42, 0x71, 0xAE), (0x89, 0x59, 0xA8), (0x3E, 0x99, 0x9F), (0xC5, 0xC8, 0xC6),
]  # fmt: skip
THEMES: Final = {
    "dark": TerminalTheme((0x17, 0x19, 0x1D), (0xDC, 0xDF, 0xE4), _ANSI, _ANSI),
    "light": TerminalTheme((0xFD, 0xFD, 0xFB), (0x24, 0x29, 0x2E), _ANSI, _ANSI),
}


def svg(
    drawing: Drawing, *, width: int = 120, theme: Literal["dark", "light"] = "dark", title: str = "liqbands"
) -> str:
    """Draw as SVG that names no remote host: fonts are those of the machine that shows it."""
    console = Console(
        width=width, record=True, file=io.StringIO(), force_terminal=True, color_system="truecolor", no_color=False,
        legacy_windows=False,
    )  # fmt: skip
    console.print(drawing)
    template = _FONT_FACE.sub("", CONSOLE_SVG_FORMAT).replace("Fira Code, monospace", _FONTS)
    template = template.replace("<!-- Generated with Rich https://www.textualize.io -->", "").replace(
        "arial", "sans-serif"
    )
    return console.export_svg(title=title, theme=THEMES[theme], code_format=template, unique_id="liqbands")


def png(
    drawing: Drawing,
    *,
    width: int = 120,
    theme: Literal["dark", "light"] = "dark",
    title: str = "liqbands",
    zoom: float = 1.5,
) -> bytes:
    """Draw as PNG with the machine's monospace font.

    Raises ConfigError when the drawing library is not installed or the machine has no font to draw with.
    """
    try:
        render: Callable[..., bytes] = importlib.import_module("resvg_py").svg_to_bytes
    except ModuleNotFoundError as error:
        raise ConfigError(
            "PNG needs the package resvg-py: `pip install resvg-py` into the same environment, or use --format svg"
        ) from error
    if not _has_font(render):
        raise ConfigError(
            "PNG needs a monospace font such as DejaVu Sans Mono (Debian: fonts-dejavu-core), "
            "none is installed; or use --format svg"
        )
    return bytes(render(svg_string=svg(drawing, width=width, theme=theme, title=title), zoom=zoom))


def _has_font(render: Callable[..., bytes]) -> bool:
    """Draw one letter: without a font resvg leaves text out and says nothing."""
    letter = '<svg xmlns="http://www.w3.org/2000/svg" width="20" height="20">{}</svg>'
    text = f'<text x="2" y="15" style="font-family: {_FONTS}" font-size="14">M</text>'
    return bytes(render(svg_string=letter.format(text))) != bytes(render(svg_string=letter.format("")))
