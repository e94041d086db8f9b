"""What the pages say is so."""

from __future__ import annotations

import dataclasses
import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import pytest

from scanner import ScanOptions
from scanner.cli.commands import DEMO
from scanner.sources import Source, open_source
from tests import docs_check, frames_page

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")
GOLDEN = [
    line.rstrip()
    for line in (ROOT / "tests" / "golden" / "demo" / "heatmap.txt").read_text(encoding="utf-8").splitlines()
]
BIN = Path(sys.executable).parent


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", README, re.MULTILINE | re.DOTALL)


DEMOS = [line for block in blocks("sh") for line in block.splitlines() if line.startswith("liqbands demo")]


def test_links_commands_variables_and_help_are_right() -> None:
    assert docs_check.problems() == []


def test_the_page_of_frames_is_made_from_the_schemas() -> None:
    assert frames_page.PAGE.read_text(encoding="utf-8") == frames_page.page()


def test_the_page_of_the_api_lists_every_option() -> None:
    page = (ROOT / "docs" / "python.md").read_text(encoding="utf-8")
    table = page.split("## Options")[1].split("## Result")[0]
    listed = [
        name
        for line in table.splitlines()
        if line.startswith("| `")
        for name in re.findall(r"`(\w+)`", line.split("|")[1])
    ]
    assert listed == [field.name for field in dataclasses.fields(ScanOptions)]


def test_the_snippets_of_the_api_run(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """One after the other, as they are read; the node is a recording."""
    page = (ROOT / "docs" / "python.md").read_text(encoding="utf-8")
    snippets = re.findall(r"^```python\n(.*?)^```", page, re.MULTILINE | re.DOTALL)
    assert len(snippets) > 1
    opened = []

    def demo(rpc_urls: Sequence[str], **options: Any) -> AbstractContextManager[Source]:
        opened.append((*rpc_urls, options["replay"]))
        return open_source((), chain=None, block="latest", record=None, replay=options["replay"] or DEMO)

    monkeypatch.setattr("scanner.pipeline.open_source", demo)
    monkeypatch.chdir(tmp_path)
    shutil.copy(DEMO, tmp_path / "scan.rec")
    names: dict[str, Any] = {}
    for snippet in snippets:
        exec(snippet, names)  # noqa: S102 - our own page
    assert opened == [("http://127.0.0.1:8545", None), (Path("scan.rec"),), (Path("scan.rec"),)]
    assert len(names["after"].result.snapshot.what_if) == 5
    assert names["broken"].height


def test_the_output_in_the_readme_is_that_of_the_demo() -> None:
    (excerpt,) = blocks("text")
    lines = [line for line in excerpt.splitlines() if line.strip()]
    assert len(lines) > 8
    assert [line for line in lines if line.rstrip() not in GOLDEN] == []


@pytest.mark.parametrize("command", ["liqbands demo", *DEMOS])
def test_the_demo_commands_of_the_readme_work(command: str, tmp_path: Path) -> None:
    environment = {"PATH": f"{BIN}{os.pathsep}/usr/bin{os.pathsep}/bin", "HOME": str(tmp_path)}
    done = subprocess.run(shlex.split(command), cwd=tmp_path, env=environment, capture_output=True, check=False)
    assert done.returncode == 0, done.stderr
    target = re.search(r" -o (\S+)", command)
    assert len((tmp_path / target[1]).read_bytes() if target else done.stdout) > 1_000


def test_the_listed_markets_of_the_readme_are_those_of_the_program() -> None:
    from scanner.protocols.registry import REGISTRY

    sentence = README.split("Listed markets: ")[1].split(". ")[0]
    names = {d.name for protocol in REGISTRY.values() for d in protocol.deployments}
    assert set(re.findall(r"`([a-z-]+)`", sentence)) == names


def test_nothing_of_the_makers_machine_is_in_the_pages() -> None:
    for page in docs_check.pages():
        assert not re.search(r"/(work|root|home|tmp)/", page.read_text(encoding="utf-8")), page
