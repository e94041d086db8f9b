"""Peers that cannot live in our environment: installed once below the cache folder, never into the repository."""

from __future__ import annotations

import fcntl
import json
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

from scanner.config import cache_dir, child_environment
from scanner.devchain.toolchain import Say, find_node

__all__ = ["MULTICALL", "VIEM", "multicall_python", "viem_packages"]

# multicall 0.15 works with eth-typing 5 and so with web3.py 7 at most, we with 6 and web3.py 8
MULTICALL: Final[Mapping[str, str]] = {"multicall": "0.15.2", "web3": "7.16.0", "faster-eth-abi": "5.2.32"}
VIEM: Final[Mapping[str, str]] = {"viem": "2.57.20"}


def multicall_python(say: Say) -> Path:
    """Give the interpreter of an environment with banteg's multicall. Reads PyPI at the first run only."""

    def make(folder: Path) -> None:
        _run([sys.executable, "-m", "venv", str(folder)])
        wanted = [f"{name}=={version}" for name, version in MULTICALL.items()]
        pip = [str(folder / "bin" / "python"), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
        _run([*pip, *wanted])

    return _once("multicall", MULTICALL, make, say) / "bin" / "python"


def viem_packages(say: Say) -> Path:
    """Give a folder with viem below ``node_modules``. Reads the npm registry at the first run only."""

    def make(folder: Path) -> None:
        (folder / "package.json").write_text(json.dumps({"private": True, "dependencies": dict(VIEM)}))
        options = ["--no-package-lock", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error"]
        _run([*find_node().npm, "install", *options], folder)

    return _once("viem", VIEM, make, say)


def _once(name: str, packages: Mapping[str, str], make: Callable[[Path], None], say: Say) -> Path:
    home = cache_dir() / "benchmarks"
    home.mkdir(parents=True, exist_ok=True)
    target = home / "-".join([name, *packages.values()])
    done = target / "installed"
    with (home / f"{name}.lock").open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not done.is_file():
            say(f"installing {name} (once)")
            shutil.rmtree(target, ignore_errors=True)
            target.mkdir()  # a virtual environment cannot be moved afterwards
            make(target)
            done.touch()
    return target


def _run(command: list[str], folder: Path | None = None) -> None:
    path = f"{Path(find_node().node).parent}:{child_environment().get('PATH', '')}"
    done = subprocess.run(command, capture_output=True, text=True, cwd=folder, env=child_environment(PATH=path))
    if done.returncode:
        raise RuntimeError(f"{command[:4]} failed: {done.stderr[-2000:]}")
