"""What the command line refuses before any work, and which value wins. No node is asked."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType

import pytest

from scanner.cli import commands, run
from scanner.cli.commands import scan_options
from scanner.cli.files import check_file
from scanner.cli.options import Reading, Risk
from scanner.config import VARIABLES
from scanner.errors import ConfigError
from scanner.options import ScanOptions
from tests.chain.peers import invoke

Capture = pytest.CaptureFixture[str]
NODE = ("--rpc-url", "http://127.0.0.1:9")
ACCOUNT = "0x" + "11" * 20


@pytest.fixture(autouse=True)
def bare_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in {*VARIABLES} - {"COLUMNS"}:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("scan", *NODE, "--from-block", "-1"), "--from-block -1"),
        (("index", *NODE, "--import", "list", "--covered-to", "-1"), "--covered-to -1"),
        (("index", *NODE, "--import", "list", "--status"), "cannot go together with --import"),
        (("index", *NODE, "--import", "list", "--rebuild"), "cannot go together with --import"),
        (("index", *NODE, "--rebuild", "--status"), "cannot go together with --status"),
        (("index", *NODE, "--rebuild", "--no-discover"), "cannot go together with --no-discover"),
        (("index", *NODE, "--import", "/dev/null"), "/dev/null has no address in it"),
        (("index", *NODE, "--record", "x"), "--record"),
        (("index", *NODE, "--replay", "x"), "--replay"),
        (("account", ACCOUNT, *NODE, "--verify", "none"), "--verify"),
        (("account", ACCOUNT, *NODE, "--by", "debt"), "--by"),
        (("account", ACCOUNT, *NODE, "--bands", "1%"), "--bands"),
        (("account", ACCOUNT.replace("1", "a", 1).replace("1", "A", 1), *NODE), "EIP-55"),
        (("accounts", *NODE, "--by", "debt"), "--by"),
        (("accounts", *NODE, "--bands", "1%"), "--bands"),
        (("accounts", *NODE, "--limit", "0"), "Must be >= 1"),
        (("accounts", *NODE, "--limit", "-3"), "Must be >= 1"),
        (("accounts", *NODE, "--limit", "3", "--format", "csv"), "--limit is for the table"),
        (("devchain", "--borrowers", "-5"), "Must be >= 0"),
        (("devchain", "--reserves", "0"), "--reserves 0: a market has"),
        (("devchain", "--port", "70000"), "--port"),
        (("scan", "--replay", "none.rec"), "cannot read the recording none.rec: No such file"),
        (("scan", "--replay", "."), "cannot read the recording ."),
        *(
            (("scan", "--replay", "x", *option), f"leave out {option[0]}")
            for option in (
                NODE, ("--block", "5"), ("--block", "latest"), ("--from-block", "1"), ("--no-discover",),
                ("--index-file", "i"), ("--record", "r"),
            )
        ),
    ],
)  # fmt: skip
def test_what_cannot_be_meant_is_refused(capfd: Capture, arguments: Sequence[str], words: str) -> None:
    outcome = invoke(capfd, *arguments)

    assert (outcome.code, outcome.out) == (2, "")
    assert words in outcome.err
    assert "Traceback" not in outcome.err


# -- files ------------------------------------------------------------------------------------------------------------


@pytest.fixture
def no_scan(monkeypatch: pytest.MonkeyPatch) -> None:
    """Fail a test that comes as far as a scan."""
    monkeypatch.setattr(commands, "scan_read", lambda *_, **__: pytest.fail("the scan was begun"))


@pytest.mark.parametrize(
    ("option", "words"),
    [
        (("-o", "."), "cannot write .: it is a folder"),
        (("-o", "no/out"), "cannot write no/out: there is no folder no"),
        (("-o", "/proc/out"), "cannot write /proc/out"),
        (("--record", "."), "cannot write .: it is a folder"),
        (("--index-file", "no/index.sqlite"), "there is no folder no"),
        (("--index-file", "."), "--index-file .: it is a folder"),
    ],
)
@pytest.mark.usefixtures("no_scan")
def test_a_file_that_cannot_be_costs_no_scan(capfd: Capture, option: Sequence[str], words: str) -> None:
    outcome = invoke(capfd, "scan", *NODE, *option)

    assert (outcome.code, outcome.out) == (2, "")
    assert words in outcome.err
    assert list(Path().iterdir()) == []


def test_a_write_protected_file_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "out"
    file.write_text("yesterday's")
    check_file(str(file))
    assert [one.name for one in tmp_path.iterdir()] == ["out"]
    assert file.read_text() == "yesterday's"
    monkeypatch.setattr(os, "access", lambda *_: False)  # root may write everywhere
    with pytest.raises(ConfigError, match="write-protected"):
        check_file(str(file))


@pytest.mark.usefixtures("no_scan")
def test_a_picture_without_its_package_costs_no_scan(capfd: Capture, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "resvg_py", None)
    outcome = invoke(capfd, "scan", *NODE, "--format", "png", "-o", "out.png")

    assert outcome.code == 2
    for words in ("pip install resvg-py", "-e '.[png]'", "--format svg"):
        assert words in outcome.err


@pytest.mark.parametrize("command", ["scan", "accounts", "index"])
@pytest.mark.usefixtures("no_scan")
def test_a_bad_width_costs_no_scan(capfd: Capture, monkeypatch: pytest.MonkeyPatch, command: str) -> None:
    monkeypatch.setenv("COLUMNS", "7")
    outcome = invoke(capfd, command, *NODE)

    assert outcome.code == 2
    assert "COLUMNS=7: a width is a number from 20 to 1000" in outcome.err


# -- which value wins -------------------------------------------------------------------------------------------------


def test_the_command_line_wins_over_the_file_and_the_file_over_the_default() -> None:
    Path("liqbands.toml").write_text('bands = "25usd"\nfactor = "BTC"\nmarket = ["spark"]\nchain = "base"\n')

    def chosen(reading: Reading, risk: Risk) -> tuple[str, str | None, Sequence[str], str | None]:
        options = scan_options(reading, risk)
        return options.bands, options.factor, tuple(options.markets), options.chain

    node = Reading(rpc_url=("http://127.0.0.1:9",))
    named = Reading(rpc_url=node.rpc_url, market=("ethereum-core",), chain="ethereum")
    assert chosen(node, Risk()) == ("25usd", "BTC", ("spark",), "base")
    assert chosen(named, Risk(bands="1%", factor="ETH")) == ("1%", "ETH", ("ethereum-core",), "ethereum")
    Path("liqbands.toml").unlink()
    assert chosen(node, Risk()) == (ScanOptions.bands, None, (), None) == ("1%", None, (), None)


# -- talk -------------------------------------------------------------------------------------------------------------


def test_the_progress_begins_with_the_host_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    stages: list[str] = []
    monkeypatch.setattr(commands.Progress, "stage", lambda _, name, total=None: stages.append(name))
    run(["scan", "--rpc-url", "http://me:secret@127.0.0.1:9/key", "-q"])

    assert stages == ["connecting to 127.0.0.1:9"]


def test_the_demo_can_be_quiet(capfd: Capture) -> None:
    outcome = invoke(capfd, "demo", "-q")

    assert (outcome.code, outcome.err) == (0, "")
    assert "ETH" in outcome.out


class Interrupting(MetaPathFinder):
    """Ctrl-C while a module is imported."""

    def find_spec(self, name: str, path: object, target: ModuleType | None = None) -> ModuleSpec | None:
        if name == "scanner.cli.app":
            raise KeyboardInterrupt
        return None


def test_an_interrupt_during_the_start_is_no_traceback(capfd: Capture, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "scanner.cli.app", raising=False)
    monkeypatch.setattr(sys, "meta_path", [Interrupting(), *sys.meta_path])
    outcome = invoke(capfd, "--version")

    assert (outcome.code, outcome.err) == (130, "liqbands: interrupted\n")
