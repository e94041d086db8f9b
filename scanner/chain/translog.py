"""A log of every HTTP request of a run, for bug reports: NDJSON without keys and without what was read."""

from __future__ import annotations

import logging
import os
import platform
import threading
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, Final

import msgspec

from scanner.chain.options import Options
from scanner.chain.spec import EndpointSpec
from scanner.errors import ConfigError

__all__ = ["Attempt", "TransportLog", "batch_summary", "summary"]

_log = logging.getLogger(__name__)
_TAGS: Final = frozenset({"latest", "safe", "finalized", "earliest", "pending"})


class Attempt(msgspec.Struct, omit_defaults=True):
    """One HTTP request and how it ended. at, seconds: since the start of the log, and taken."""

    at: float
    host: str
    method: str
    params: Any
    sent_bytes: int
    status: int
    received_bytes: int
    seconds: float
    attempt: int
    batch: int = 1
    hedged: bool = False
    failure: str | None = None
    message: str | None = None


class TransportLog:
    """A new file, readable by its owner only, with one line for each attempt. It never fails a scan.

    Shared by the endpoints of a run, in any thread; a line is one write. Raises ConfigError when it cannot be made.
    """

    def __init__(self, path: Path | str) -> None:
        self._started = time.monotonic()
        self._guard = threading.RLock()  # a number of a file that is closed may be another file's a moment later
        self._fd: int | None = None
        reason = ""
        try:
            self._fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND, 0o600)
        except FileExistsError:
            reason = "it exists already; name a new file"
        except OSError as error:
            reason = error.strerror or type(error).__name__
        if self._fd is None:
            raise ConfigError(f"the transport log {path} cannot be written: {reason}")
        self._path = path
        self._write(
            {
                "log": "liqbands transport",
                "tool_version": _tool_version(),
                "python": platform.python_version(),
                "started_at": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
            }
        )

    def opened(self, host: str, spec: EndpointSpec, options: Options, time_limit: float | None) -> None:
        """Say how an endpoint is used."""
        self._write(
            {
                "endpoint": host,
                "roles": sorted(spec.roles),
                "requests_per_second": spec.requests_per_second,
                "compute_units_per_second": spec.compute_units_per_second,
                "concurrency": spec.concurrency,
                "options": asdict(options),
                "time_limit": time_limit,
            }
        )

    def since_start(self) -> float:
        """Give the seconds since the log was opened."""
        return round(time.monotonic() - self._started, 6)

    def add(self, attempt: Attempt) -> None:
        """Write one line. The caller has taken keys out of its message."""
        self._write(attempt)

    def close(self) -> None:
        """Close the file."""
        with self._guard:
            if self._fd is not None:
                os.close(self._fd)
                self._fd = None

    def _write(self, line: object) -> None:
        text = msgspec.json.encode(line) + b"\n"
        with self._guard:
            if self._fd is None:
                return
            try:
                os.write(self._fd, text)
            except OSError as error:
                _log.warning(
                    "the transport log %s ends here: %s; the scan goes on", self._path, error.strerror or "write failed"
                )
                self.close()


def _tool_version() -> str:
    try:
        return version("liqbands")
    except PackageNotFoundError:  # run from a source tree
        return "unknown"


def summary(method: str, params: Sequence[Any]) -> dict[str, Any]:
    """Say what a request is about, without its calldata or anything longer than an address or a hash."""
    about: dict[str, Any] = {}
    for param in params:
        if isinstance(param, Mapping):
            about |= _of_object(method, param)
        elif isinstance(param, str) and (param in _TAGS or _is_short_hex(param)):
            about["address" if len(param) == 42 else "block"] = param
        elif isinstance(param, list):
            about["items"] = len(param)
    return about


def batch_summary(methods: Sequence[str]) -> dict[str, int]:
    """Say what a batch is about: how many requests of each method."""
    return dict(Counter(methods))


def _of_object(method: str, param: Mapping[str, Any]) -> dict[str, Any]:
    about: dict[str, Any] = {}
    if method == "eth_call" and "to" in param:
        about = {"to": param["to"], "data_bytes": max(len(str(param.get("data", ""))) // 2 - 1, 0)}
        if "gas" in param:
            about["gas"] = param["gas"]
    elif "fromBlock" in param:
        addresses = param.get("address", [])
        about = {"from": param["fromBlock"], "to": param.get("toBlock")}
        about["addresses"] = len(addresses) if isinstance(addresses, list) else 1
    elif "blockHash" in param:
        about = {"block": param["blockHash"]}
    elif method == "eth_call" and param and all(isinstance(value, Mapping) for value in param.values()):
        about = {"overrides": len(param)}
    elif method == "eth_call":
        about = {"data_bytes": max(len(str(param.get("data", ""))) // 2 - 1, 0)}
    return about


def _is_short_hex(text: str) -> bool:
    return text.startswith("0x") and len(text) <= 66
