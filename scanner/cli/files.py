"""Files that a command reads or writes, with - for the standard streams."""

from __future__ import annotations

import os
import sys
import tempfile
from pathlib import Path

from scanner.errors import ConfigError

__all__ = ["load_text", "save"]


def save(path: str, data: bytes) -> None:
    """Write a document to a file or, for ``-``, to stdout; a file is replaced whole or not at all."""
    if path == "-":
        sys.stdout.buffer.write(data)
        sys.stdout.buffer.flush()
        return
    target = Path(path)
    if not target.parent.is_dir():
        raise ConfigError(f"cannot write {path}: there is no folder {target.parent}")
    descriptor, name = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name}.")
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
        os.replace(name, target)
    except BaseException:
        os.unlink(name)
        raise


def load_text(path: str) -> str:
    """Read a text file or, for ``-``, stdin; raises ConfigError that names the file."""
    if path == "-":
        return sys.stdin.read()
    try:
        return Path(path).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"cannot read {path}: {error}") from error
