"""Rules of the code that a linter does not know."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
MODULES = sorted((ROOT / "scanner").rglob("*.py"))


def name(path: Path) -> str:
    return str(path.relative_to(ROOT))


@pytest.mark.parametrize("path", MODULES, ids=name)
def test_modules_stay_small(path: Path) -> None:
    assert len(path.read_text(encoding="utf-8").splitlines()) <= 300


@pytest.mark.parametrize("path", MODULES, ids=name)
def test_only_config_reads_the_environment(path: Path) -> None:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    reads = [
        node.lineno
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute)
        and node.attr in {"environ", "getenv", "environb"}
        and isinstance(node.value, ast.Name)
        and node.value.id == "os"
    ]
    assert not reads or path.name == "config.py"


@pytest.mark.parametrize("path", MODULES, ids=name)
def test_public_names_are_listed_and_exist(path: Path) -> None:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    defined = [
        node.name
        for node in tree.body
        if isinstance(node, ast.FunctionDef | ast.ClassDef) and not node.name.startswith("_")
    ]
    if not defined:
        return
    listed = [
        ast.literal_eval(node.value)
        for node in tree.body
        if isinstance(node, ast.Assign) and any(getattr(t, "id", None) == "__all__" for t in node.targets)
    ]
    assert listed, "a module with public names has an __all__"
    assert set(defined) <= set(listed[0])


PURE = [p for p in MODULES if p.parts[-2] == "risk" or p.name in {"frames.py", "results.py", "exact.py", "units.py"}]
IMPURE = {"time", "random", "os", "io", "socket", "pathlib", "secrets", "subprocess", "urllib", "requests", "datetime"}


@pytest.mark.parametrize("path", PURE, ids=name)
def test_the_core_is_pure(path: Path) -> None:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    imported = {alias.name.split(".")[0] for n in ast.walk(tree) if isinstance(n, ast.Import) for alias in n.names}
    imported |= {(n.module or "").split(".")[0] for n in ast.walk(tree) if isinstance(n, ast.ImportFrom)}
    assert not imported & IMPURE


def test_importing_the_package_does_nothing_heavy() -> None:
    program = (
        "import scanner, sys; print([m for m in ('web3', 'polars', 'pydantic', 'rich', 'aiohttp') if m in sys.modules])"
    )
    answer = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert answer.stdout.strip() == "[]"


def test_help_imports_nothing_heavy() -> None:
    program = (
        "import sys, scanner.cli as c, contextlib, io\n"
        "with contextlib.redirect_stdout(io.StringIO()): code = c.run(['--help'])\n"
        "print(code, [m for m in ('web3', 'polars', 'pydantic', 'aiohttp', 'eth_abi') if m in sys.modules])"
    )
    answer = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert answer.stdout.strip() == "0 []"
