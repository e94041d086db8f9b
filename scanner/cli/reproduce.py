"""The command that shows a finding again: what was given, at the block that was read."""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Iterator
from dataclasses import fields, replace
from pathlib import Path
from typing import Any, Final

from scanner.cli.check_options import Limiting
from scanner.cli.options import Reading
from scanner.verdict import Finding

__all__ = ["command_line", "limit_words"]

_LEFT_OUT: Final = frozenset({"record", "transport_log", "time_limit", "rpc_url"})


def command_line(reading: Reading, block: int, others: Iterable[Any], words: Iterable[str] = ()) -> str:
    """Write a `liqbands check` with the options that differ from their defaults, at a block by number.

    ``others``: option classes. URLs are left out, as they may hold keys: the variable of the shell stands for them.
    """
    parts = ["liqbands", "check"]
    if reading.replay is None:
        reading = replace(reading, block=str(block))
    for options in (reading, *others):
        parts += _words(options)
    line = shlex.join([*parts, *words])
    return f'{line} --rpc-url "$LIQBANDS_RPC_URL"' if reading.rpc_url else line


def limit_words(finding: Finding, given: Limiting) -> list[str]:
    """Write a limit as the command line takes it; one that only a file can state stays there."""
    words = ["--baseline", given.baseline] if given.baseline is not None else []
    if not finding.limit.startswith("max_"):
        return words
    value = finding.written if finding.at is None else f"{finding.at}={finding.written}"
    return [*words, f"--{finding.limit.replace('_', '-')}", value]


def _words(options: Any) -> Iterator[str]:
    for field in fields(options):
        value = getattr(options, field.name)
        if field.name in _LEFT_OUT or value == field.default:
            continue
        name = f"--{field.name.replace('_', '-')}"
        if isinstance(value, bool):
            yield name if value else f"--no-{field.name.replace('_', '-')}"
        else:
            for one in value if isinstance(value, tuple) else (value,):
                if "://" not in str(one):
                    yield from (name, _path(one))


def _path(value: object) -> str:
    return str(value) if not isinstance(value, Path) else value.as_posix()
