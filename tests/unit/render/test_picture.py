"""Pictures name no remote host and fail clearly."""

from __future__ import annotations

import importlib
import re
import struct
import sys
import types
from xml.etree import ElementTree

import pytest

from scanner.errors import ConfigError
from scanner.render.heatmap import Heatmap
from scanner.render.picture import png, svg
from tests.unit.render import sample

MAP = Heatmap(sample.scan(120), now=sample.NOW)


def test_svg_is_xml_and_loads_nothing() -> None:
    text = svg(MAP, width=100)

    ElementTree.fromstring(text)  # noqa: S314 - our own text
    assert set(re.findall(r"https?://[^\"' )]+", text)) == {"http://www.w3.org/2000/svg"}
    assert "@font-face" not in text
    assert "Fira Code" not in text
    assert "spot" in text


def test_svg_is_the_same_each_time_and_knows_both_themes() -> None:
    assert svg(MAP, width=90) == svg(MAP, width=90)
    assert svg(MAP, width=90, theme="light") != svg(MAP, width=90)


def test_svg_escapes_symbols() -> None:
    text = svg(Heatmap(sample.hostile(sample.scan(120), "<script>&"), now=sample.NOW), width=120)

    ElementTree.fromstring(text)  # noqa: S314 - our own text
    assert "<script>" not in text


def test_png_is_a_picture() -> None:
    pytest.importorskip("resvg_py")
    data = png(MAP, width=80, zoom=0.5)

    assert data.startswith(b"\x89PNG")
    width, height = struct.unpack(">II", data[16:24])
    assert width > 300
    assert height > 300


def test_png_without_the_library_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "resvg_py", None)

    with pytest.raises(ConfigError, match="pip install resvg-py"):
        png(MAP)


def test_png_without_a_font_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    resvg = importlib.import_module("resvg_py")
    blind = types.SimpleNamespace(svg_to_bytes=lambda **options: resvg.svg_to_bytes(**options, skip_system_fonts=True))
    monkeypatch.setitem(sys.modules, "resvg_py", blind)

    with pytest.raises(ConfigError, match="monospace font"):
        png(MAP)
