"""The examples run, on the demo's recording."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from scanner import scan
from scanner.cli.commands import DEMO
from scanner.export.documents import scan_document

ROOT = Path(__file__).parent.parent
EXAMPLES = ROOT / "examples"
BIN = Path(sys.executable).parent


def run(*command: str | Path, text: str | None = None) -> subprocess.CompletedProcess[str]:
    path = f"{BIN}{os.pathsep}/usr/bin{os.pathsep}/bin"
    words = [str(word) for word in command]
    return subprocess.run(
        words, input=text, capture_output=True, text=True, check=False, env={"PATH": path, "HOME": "/"}
    )


@pytest.fixture(scope="module")
def ndjson() -> str:
    done = run(BIN / "liqbands", "accounts", "--replay", DEMO, "--format", "ndjson", "--no-progress")
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_every_example_is_listed_and_tested() -> None:
    names = {path.name for path in EXAMPLES.iterdir() if path.suffix in (".py", ".sh")}
    readme = (EXAMPLES / "README.md").read_text(encoding="utf-8")
    assert set(re.findall(r"\]\((\w+\.\w+)\)", readme)) == names
    assert all(name in Path(__file__).read_text(encoding="utf-8") for name in names)


def test_scan_to_frames() -> None:
    done = run(sys.executable, EXAMPLES / "scan_to_frames.py", "--replay", DEMO)
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert len(lines) == 7
    assert "ETH at $2,100.00" in lines[0]
    assert re.fullmatch(r"down to \$1,890\.00: \d+ accounts, \$[\d,]+ seizable", lines[-1])
    document = scan_document(scan(replay=DEMO, verify="none", extent="factor", factor="ETH"))
    (eth,) = [factor for factor in document["factors"] if factor["factor"] == "ETH"]
    falls = [band for band in eth["bands"] if band["direction"] == "down" and band["lower_price_usd"] >= 1_890]
    assert sum(band["account_count"] for band in falls) == int(lines[-1].split()[3])


def test_bot_candidates(ndjson: str) -> None:
    done = run(sys.executable, EXAMPLES / "bot_candidates.py", "--within", "3", text=ndjson)
    assert done.returncode == 0, done.stderr
    calls = [json.loads(line) for line in done.stdout.splitlines()]
    assert {call["when"] for call in calls} >= {"now", "ETH"}
    assert all(int(call["receive_raw"]) > 0 and int(call["repay_raw"]) > 0 for call in calls)


def test_bot_candidates_refuses_an_incomplete_scan(ndjson: str) -> None:
    broken = ndjson.replace('"complete":true', '"complete":false', 1)
    done = run(sys.executable, EXAMPLES / "bot_candidates.py", text=broken)
    assert done.returncode == 1
    assert "incomplete" in done.stderr


@pytest.mark.parametrize(("limit", "code"), [("10000000", 0), ("1000", 1)])
def test_ci_fork_check(limit: str, code: int) -> None:
    done = run(EXAMPLES / "ci_fork_check.sh", limit, "--replay", DEMO)
    assert done.returncode == code, done.stderr
    assert re.search(r"block \d+: \d+ accounts, \$[\d,]+ of at most", done.stdout)


def test_bot_candidates_says_when_nothing_came() -> None:
    done = run(sys.executable, EXAMPLES / "bot_candidates.py", text="")
    assert done.returncode == 1
    assert "nothing came in" in done.stderr


@pytest.mark.parametrize("arguments", [(), ("1,000,000",), ("--replay",)])
def test_ci_fork_check_refuses_a_limit_that_is_no_number(arguments: tuple[str, ...]) -> None:
    done = run(EXAMPLES / "ci_fork_check.sh", *arguments)
    assert done.returncode == 2
    assert "usage" in done.stderr


def test_ci_fork_check_keeps_the_exit_codes_apart() -> None:
    dead = run(EXAMPLES / "ci_fork_check.sh", "1000", "--rpc-url", "http://127.0.0.1:9", "--market", "0x" + "11" * 20)
    assert dead.returncode == 3
    wrong = run(EXAMPLES / "ci_fork_check.sh", "1000", "--replay", DEMO, "--bands", "5")
    assert wrong.returncode == 2
