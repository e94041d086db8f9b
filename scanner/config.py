"""Configuration: the only module that reads the environment.

Order for the RPC URL: ``--rpc-url``, ``<CHAIN>_RPC_URL`` when a chain is named, ``LIQBANDS_RPC_URL``, ``ETH_RPC_URL``,
``WEB3_PROVIDER_URI``, the configuration file. A variable may hold several, separated by commas. A ``.env`` file in the
working directory fills in what the environment does not set.
"""

from __future__ import annotations

import io
import os
import re
import tomllib
from collections.abc import Collection, Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any, Final

import msgspec

from scanner.errors import ConfigError, suggest, type_words

__all__ = [
    "CHAINS",
    "VARIABLES",
    "EndpointConfig",
    "FileConfig",
    "cache_dir",
    "child_environment",
    "config_file",
    "data_dir",
    "expected_chain",
    "load_file",
    "on_github",
    "resolve_endpoints",
    "step_summary",
    "text_columns",
    "variable",
]

CHAINS: Final[Mapping[str, int]] = {
    "ethereum": 1,
    "optimism": 10,
    "polygon": 137,
    "base": 8453,
    "arbitrum": 42161,
    "anvil": 31337,
}

VARIABLES: Final[Mapping[str, str]] = {
    "LIQBANDS_RPC_URL": "RPC URL of the node to scan; here and below, several are separated by commas",
    "ETH_RPC_URL": "RPC URL, as foundry and cryo name it; read when LIQBANDS_RPC_URL is not set",
    "WEB3_PROVIDER_URI": "RPC URL, as web3.py names it; read last",
    "ETHEREUM_RPC_URL": "RPC URL used with --chain ethereum",
    "OPTIMISM_RPC_URL": "RPC URL used with --chain optimism",
    "POLYGON_RPC_URL": "RPC URL used with --chain polygon",
    "BASE_RPC_URL": "RPC URL used with --chain base",
    "ARBITRUM_RPC_URL": "RPC URL used with --chain arbitrum",
    "ANVIL_RPC_URL": "RPC URL used with --chain anvil",
    "LIQBANDS_CONFIG": "configuration file; default ./liqbands.toml when it exists",
    "LIQBANDS_DATA_DIR": "where the borrower index is kept, and what was learned of endpoints",
    "COLUMNS": "width of text written to a file or a pipe; default 100",
    "LIQBANDS_CACHE_DIR": "where the devchain keeps anvil, contract packages and compiled contracts",
}


class EndpointConfig(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """An ``[[endpoint]]`` of a configuration file; the fields after the URL as in ``EndpointSpec``.

    ``url`` may hold ``${NAME}``, ``url_env`` is the name of a variable: so that no key need be in the file.
    """

    url: str | None = None
    url_env: str | None = None
    roles: list[str] | None = None
    requests_per_second: float | None = None
    compute_units_per_second: float | None = None
    concurrency: int | None = None

    def __repr__(self) -> str:
        return "EndpointConfig(…)"  # the URL may hold a key

    def rpc_url(self) -> str:
        """Give the URL with its variables filled in. Raises ConfigError that names a variable which is not set."""
        if (self.url is None) == (self.url_env is None):
            raise ConfigError("an [[endpoint]] has either url or url_env")
        if self.url_env is not None:
            return _named(self.url_env)
        return re.sub(r"\$\{([^}]*)\}", lambda match: _named(match[1]), self.url or "")


class FileConfig(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """What a configuration file may say."""

    rpc_url: str | list[str] | None = None
    endpoint: list[EndpointConfig] = []
    quorum: int | None = None
    chain: str | None = None
    market: list[str] = []
    factor: str | None = None
    bands: str | None = None
    factors: dict[str, list[str]] = {}  # factor name to symbols, reserve ids or assets that move with it
    check: dict[str, Any] = {}  # limits of `liqbands check`; ``limits.parse_limits`` reads them


def _dotenv() -> Mapping[str, str]:
    path = Path(".env")
    if not path.is_file():
        return {}
    state = path.stat()
    return _read_dotenv(path.absolute(), state.st_mtime_ns, state.st_size)


@lru_cache(maxsize=1)
def _read_dotenv(path: Path, changed: int, size: int) -> Mapping[str, str]:
    """Read a file of NAME=value lines; raises ConfigError that names the line. ``changed`` and ``size`` tell versions.

    python-dotenv would only log a line that it cannot read, and go on without its value.
    """
    from dotenv import dotenv_values
    from dotenv.parser import parse_stream

    try:
        text = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        line = error.object[: error.start].count(b"\n") + 1
        raise ConfigError(f".env, line {line}: not UTF-8 text; save the file as UTF-8 ({path})") from error
    except OSError as error:
        raise ConfigError(f".env cannot be read: {error.strerror or error} ({path})") from error
    for statement in parse_stream(io.StringIO(text)):
        if statement.error:
            written = statement.original.string  # with the blank lines before it
            line = statement.original.line + written[: len(written) - len(written.lstrip())].count("\n")
            raise ConfigError(f".env, line {line}: not NAME=value; is a quotation mark missing? ({path})")
    return {name: value for name, value in dotenv_values(stream=io.StringIO(text)).items() if value}


def variable(name: str) -> str | None:
    """Give one of ``VARIABLES`` from the environment or ``.env``, or None when it is unset or empty."""
    if name not in VARIABLES:
        raise ConfigError(f"{name} is not a variable of liqbands; {suggest(name, VARIABLES)}")
    return os.environ.get(name) or _dotenv().get(name) or None


def _named(name: str) -> str:
    """Give a variable that a configuration file names."""
    value = os.environ.get(name) or _dotenv().get(name)
    if not value:
        raise ConfigError(f"the configuration file wants the variable {name}, which is not set")
    return value.strip()


def child_environment(**extra: str) -> dict[str, str]:
    """Give the environment for a program that we start."""
    return {**os.environ, **extra}


def on_github() -> bool:
    """Say whether this is a step of a GitHub workflow."""
    return os.environ.get("GITHUB_ACTIONS") == "true"


def step_summary() -> Path | None:
    """Give the file that GitHub reads a step's summary from; None elsewhere."""
    named = os.environ.get("GITHUB_STEP_SUMMARY")
    return Path(named) if named else None


def text_columns() -> int | None:
    """Give the width for text that does not go to a terminal; None when it is not set."""
    chosen = variable("COLUMNS")
    if chosen is None:
        return None
    if not chosen.isdigit() or not 20 <= int(chosen) <= 1000:
        raise ConfigError(f"COLUMNS={chosen}: a width is a number from 20 to 1000")
    return int(chosen)


def _directory(name: str, default: str) -> Path:
    chosen = variable(name)
    if chosen and "://" in chosen:
        raise ConfigError(f"{name} is a URL, and has to be a folder")
    if chosen:
        return Path(chosen).expanduser()
    import platformdirs

    finder = platformdirs.user_cache_path if default == "cache" else platformdirs.user_data_path
    return finder("liqbands", appauthor=False)


def cache_dir() -> Path:
    """Give the folder for what can be made again."""
    return _directory("LIQBANDS_CACHE_DIR", "cache")


def data_dir() -> Path:
    """Give the folder for what took long to gather: the borrower index, what endpoints take, what scans ask."""
    return _directory("LIQBANDS_DATA_DIR", "data")


def config_file(chosen: str | None) -> Path | None:
    """Find the configuration file: the one named, the variable's, or ./liqbands.toml."""
    named = chosen or variable("LIQBANDS_CONFIG")
    if named:
        path = Path(named).expanduser()
        if not path.is_file():
            raise ConfigError(f"no configuration file {named}")
        return path
    default = Path("liqbands.toml")
    return default if default.is_file() else None


def load_file(path: Path | None) -> FileConfig:
    """Read a configuration file; unknown keys and wrong types are errors that name the key."""
    if path is None:
        return FileConfig()
    try:
        content = tomllib.loads(path.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: not valid TOML: {error}") from error
    except OSError as error:
        raise ConfigError(f"{path} cannot be read: {error.strerror or error}") from error
    _check_keys(path, content, FileConfig.__struct_fields__)
    tables = content.get("endpoint", [])
    if isinstance(tables, dict):
        raise ConfigError(f"{path}: write [[endpoint]], with two brackets on each side: there may be several")
    for order, table in enumerate(tables if isinstance(tables, list) else [], 1):
        if isinstance(table, dict):
            _check_keys(path, table, EndpointConfig.__struct_fields__, " in [[endpoint]]")
            if not isinstance(roles := table.get("roles", []), list):
                raise ConfigError(
                    f"{path}: roles of [[endpoint]] {order} is not a list; write {_as_list(roles)}, or leave it out "
                    "for all"
                )
    try:
        return msgspec.convert(content, FileConfig)
    except msgspec.ValidationError as error:
        raise ConfigError(f"{path}: {type_words(error)}") from error


def _as_list(roles: object) -> str:
    named = re.findall(r"archive|logs|calls", str(roles)) or ["logs"]
    return "roles = [" + ", ".join(f'"{role}"' for role in named) + "]"


def _check_keys(path: Path, table: Mapping[str, Any], known: Collection[str], where: str = "") -> None:
    for key in table:
        if key not in known:
            raise ConfigError(f"{path}: unknown key {key!r}{where}; {suggest(key, known)}")


def expected_chain(chain: str | None) -> int | None:
    """Give the chain id of a chain name, None without one; raises ConfigError for an unknown name."""
    if chain is None:
        return None
    if chain not in CHAINS:
        raise ConfigError(f"no chain {chain!r}; {suggest(chain, CHAINS)}")
    return CHAINS[chain]


def resolve_endpoints(chosen: Sequence[str], chain: str | None, file: FileConfig) -> tuple[str | EndpointConfig, ...]:
    """Decide which endpoints to use: URLs, and what the file describes. Raises ConfigError saying how to give one."""
    expected_chain(chain)
    if chosen:
        return tuple(chosen)
    names = [f"{chain.upper()}_RPC_URL"] if chain else []
    for name in (*names, "LIQBANDS_RPC_URL", "ETH_RPC_URL", "WEB3_PROVIDER_URI"):
        urls = variable(name)
        if urls:
            # a comma may be part of a URL, but then no other URL begins after it
            return tuple(url.strip() for url in re.split(r",\s*(?=[a-z]+://)", urls.strip().rstrip(",")))
    urls_of_file = [file.rpc_url] if isinstance(file.rpc_url, str) else file.rpc_url or []
    if urls_of_file or file.endpoint:
        return (*urls_of_file, *file.endpoint)
    raise ConfigError(
        "no RPC URL: give --rpc-url URL, or set LIQBANDS_RPC_URL (or ETH_RPC_URL). "
        "To look around without a node: liqbands demo. For a local node with a real market: liqbands devchain"
    )
