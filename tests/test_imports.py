"""Help must not wait for what only a scan needs: which modules each help text loads."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from scanner.cli.app import COMMANDS

HEAVY = {"web3", "polars", "pydantic", "aiohttp", "eth_abi", "eth_account", "tenacity", "requests", "websockets"}
HEAVY |= {"sqlite3", "matplotlib", "resvg_py"}

PROGRAM = """
import contextlib, io, json, sys
from scanner.cli import run
with contextlib.redirect_stdout(io.StringIO()) as shown:
    code = run(sys.argv[1:])
print(json.dumps([code, len(shown.getvalue()), sorted(sys.modules)]))
"""


def loaded(program: str, *arguments: str) -> list[object]:
    """Run a program in a new interpreter; it prints a list."""
    done = subprocess.run([sys.executable, "-c", program, *arguments], capture_output=True, text=True, check=True)
    found: list[object] = json.loads(done.stdout)
    return found


def heavy(modules: object) -> set[str]:
    assert isinstance(modules, list)
    return {name.split(".")[0] for name in modules} & HEAVY


def test_importing_the_package_loads_nothing_heavy() -> None:
    modules = loaded("import json, sys, scanner; print(json.dumps(sorted(sys.modules)))")
    assert "scanner" in modules
    assert heavy(modules) | {"rich", "cyclopts", "asyncio"}.intersection(map(str, modules)) == set()


@pytest.mark.parametrize(
    "arguments", [["--help"], ["--version"], *([name, "--help"] for name in COMMANDS)], ids=" ".join
)
def test_help_loads_nothing_heavy(arguments: list[str]) -> None:
    code, shown, modules = loaded(PROGRAM, *arguments)
    assert code == 0
    assert isinstance(shown, int)
    assert shown > 0
    assert heavy(modules) == set()
