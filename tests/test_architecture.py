"""Rules of the code that a linter does not know."""

from __future__ import annotations

import ast
import subprocess
import sys
import tomllib
from importlib import import_module
from pathlib import Path

import pytest

from scanner.protocols.registry import REGISTRY

ROOT = Path(__file__).parent.parent
MODULES = sorted((ROOT / "scanner").rglob("*.py"))


ENVIRONMENT = {"environ", "environb", "getenv", "getenvb"}


def name(path: Path) -> str:
    return str(path.relative_to(ROOT))


@pytest.mark.parametrize("path", MODULES, ids=name)
def test_modules_stay_small(path: Path) -> None:
    assert len(path.read_text(encoding="utf-8").splitlines()) <= 300


@pytest.mark.parametrize("path", MODULES, ids=name)
def test_only_config_reads_the_environment(path: Path) -> None:
    assert not environment_reads(path.read_text(encoding="utf-8")) or path == ROOT / "scanner" / "config.py"


def environment_reads(source: str) -> list[int]:
    """Give the lines that reach for the environment, as attributes or names of the module os."""
    return [
        node.lineno
        for node in ast.walk(ast.parse(source))
        if (isinstance(node, ast.Attribute) and node.attr in ENVIRONMENT)
        or (
            isinstance(node, ast.ImportFrom)
            and node.module == "os"
            and ENVIRONMENT & {alias.name for alias in node.names}
        )
    ]


@pytest.mark.parametrize(
    "source",
    [
        "import os\nos.environ['A']",
        "import os as o\no.getenv('A')",
        "from os import environ",
        "from os import getenv as g",
    ],
)
def test_reads_of_the_environment_are_seen(source: str) -> None:
    assert environment_reads(source)


@pytest.mark.parametrize("path", MODULES, ids=name)
def test_public_names_are_listed_and_exist(path: Path) -> None:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    defined = [
        node.name
        for node in tree.body
        if isinstance(node, ast.FunctionDef | ast.ClassDef) and not node.name.startswith("_")
    ]
    listed = [
        ast.literal_eval(node.value)
        for node in tree.body
        if isinstance(node, ast.Assign) and any(getattr(t, "id", None) == "__all__" for t in node.targets)
    ]
    assert listed or not defined, "a module with public names has an __all__"
    names = listed[0] if listed else []
    assert set(defined) <= set(names)
    module = import_module(".".join(path.with_suffix("").relative_to(ROOT).parts).removesuffix(".__init__"))
    assert [public for public in names if not hasattr(module, public)] == []


CONTRACTS = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["importlinter"]["contracts"]
ALLOWED = {
    "web3, aiohttp and tenacity only where the node is spoken to": {"chain", "devchain"},
    "eth_abi only in chain, protocols, devchain": {"chain", "devchain", "protocols"},
    "rich only in render and cli": {"cli", "render"},
}


@pytest.mark.parametrize("contract", ALLOWED)
def test_no_module_is_left_out_of_an_import_rule(contract: str) -> None:
    (bound,) = [rule["source_modules"] for rule in CONTRACTS if rule["name"] == contract]
    modules = {path.relative_to(ROOT / "scanner").with_suffix("").parts[0] for path in MODULES}
    modules -= {"__init__", "__main__", "demo", "_abis"}
    assert {module.removeprefix("scanner.") for module in bound} == modules - ALLOWED[contract]


# ``beside`` is allowed: that two functions without side effects run at once is nothing that a result can tell.
CORE = {"frames.py", "results.py", "exact.py", "units.py", "assess.py", "combine.py", "describe.py", "views.py"}
PURE = [p for p in MODULES if p.parts[-2] == "risk" or (p.parts[-2] == "scanner" and p.name in CORE)]
IMPURE = {"time", "random", "os", "io", "socket", "pathlib", "secrets", "subprocess", "urllib", "requests", "datetime"}
IMPURE |= {"threading", "concurrent", "asyncio", "multiprocessing", "sqlite3"}


@pytest.mark.parametrize("path", PURE, ids=name)
def test_the_core_is_pure(path: Path) -> None:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    imported = {alias.name.split(".")[0] for n in ast.walk(tree) if isinstance(n, ast.Import) for alias in n.names}
    imported |= {(n.module or "").split(".")[0] for n in ast.walk(tree) if isinstance(n, ast.ImportFrom)}
    assert not imported & IMPURE


def test_only_a_protocol_knows_what_its_root_is_called() -> None:
    own = {"protocols", "devchain", "cli"}
    others = [path for path in MODULES if path.relative_to(ROOT / "scanner").parts[0] not in own]
    words = {protocol.root_name.removeprefix("the ") for protocol in REGISTRY.values()}
    assert [name(path) for path in others for word in words if word in path.read_text(encoding="utf-8")] == []


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
