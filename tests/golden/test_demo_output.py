"""What ``liqbands demo`` prints, byte for byte. ``UPDATE_GOLDEN=1`` writes the files anew."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import time
from pathlib import Path

import pytest
from jsonschema import Draft202012Validator

from scanner.export.schemas import load

FOLDER = Path(__file__).parent / "demo"
PLAIN = {"PATH": "/usr/bin:/bin", "HOME": "/nowhere", "PYTHONHASHSEED": "0"}


def liqbands(*arguments: str, folder: Path | None = None) -> subprocess.CompletedProcess[bytes]:
    command = [sys.executable, "-m", "scanner", *arguments]
    return subprocess.run(command, cwd=folder, env=PLAIN, capture_output=True, check=False)


def assert_golden(name: str, text: str) -> None:
    path = FOLDER / name
    if os.environ.get("UPDATE_GOLDEN") == "1":
        FOLDER.mkdir(exist_ok=True)
        path.write_text(text, encoding="utf-8")
    assert path.read_text(encoding="utf-8") == text, f"{path.name} differs; if that is meant: UPDATE_GOLDEN=1"


@pytest.fixture(scope="module")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> tuple[subprocess.CompletedProcess[bytes], float]:
    """Give what ``liqbands demo`` does, and the seconds that it took."""
    begun = time.monotonic()
    done = liqbands("demo", folder=tmp_path_factory.mktemp("demo"))
    return done, time.monotonic() - begun


def test_the_heatmap_is_the_golden_one_and_says_that_it_is_recorded(
    drawn: tuple[subprocess.CompletedProcess[bytes], float],
) -> None:
    done, spent = drawn

    assert done.returncode == 0, done.stderr
    assert b"recorded block of a local market" in done.stderr
    text = done.stdout.decode()
    assert "\x1b" not in text
    assert max(map(len, text.splitlines())) <= 100
    assert_golden("heatmap.txt", text)
    assert spent < 15  # five seconds on an idle machine


def test_a_dense_band_is_where_it_should_be(drawn: tuple[subprocess.CompletedProcess[bytes], float]) -> None:
    text = drawn[0].stdout.decode()
    (row,) = [line for line in text.splitlines() if re.search(r"50 %\s+\$", line)]
    low, high = (float(price.replace(",", "")) for price in re.findall(r"\$([\d,]+\.\d\d)", row)[:2])
    assert 1_781 <= low < high <= 1_863


def test_the_scan_document_is_the_golden_one(tmp_path: Path) -> None:
    done = liqbands("demo", "--format", "json", folder=tmp_path)
    assert done.returncode == 0, done.stderr
    document = json.loads(done.stdout)
    Draft202012Validator(load("scan")).validate(document)
    assert document["snapshot"]["source"] == "recording"
    document["snapshot"]["seconds"] = {}
    document["snapshot"]["tool_version"] = ""
    document["factors"] = [factor for factor in document["factors"] if factor["factor"] == "ETH"]
    assert_golden("scan.json", json.dumps(document, indent=1) + "\n")


@pytest.mark.parametrize("form", ["csv", "svg"])
def test_other_forms_are_written(form: str, tmp_path: Path) -> None:
    done = liqbands("demo", "--format", form, "-o", f"demo.{form}", folder=tmp_path)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / f"demo.{form}").stat().st_size > 1_000


def test_another_factor_and_other_steps(tmp_path: Path) -> None:
    done = liqbands("demo", "--factor", "BTC", "--bands", "2%", folder=tmp_path)
    assert done.returncode == 0, done.stderr
    assert_golden("heatmap-btc.txt", done.stdout.decode())
