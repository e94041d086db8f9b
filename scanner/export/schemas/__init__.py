"""JSON Schemas (2020-12) of the documents, one file per kind."""

from __future__ import annotations

from importlib import resources
from typing import Any, Final

import msgspec

from scanner.errors import ConfigError, suggest

__all__ = ["KINDS", "load"]

KINDS: Final = ("scan", "accounts", "account", "ndjson", "stream", "doctor", "quotes", "quote_line", "check", "diff")


def load(kind: str) -> dict[str, Any]:
    """Give the schema of a document kind, of one line for ``ndjson`` and ``stream``. Raises ConfigError for others."""
    if kind not in KINDS:
        raise ConfigError(f"no schema {kind!r}; {suggest(kind, KINDS)}")
    schema: dict[str, Any] = msgspec.json.decode(resources.files(__name__).joinpath(f"{kind}.json").read_bytes())
    return schema
