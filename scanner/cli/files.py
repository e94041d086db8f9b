"""Files that a command reads or writes, with - for the standard streams."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable
from pathlib import Path

from scanner.errors import ConfigError
from scanner.writing import part_of, write_whole

__all__ = ["check_file", "load_text", "save"]


def check_file(path: str) -> None:
    """Refuse a file that cannot be written before work is spent on it; raises ConfigError."""
    if path == "-":
        return
    folder = Path(path).parent
    if not folder.is_dir():
        raise ConfigError(f"cannot write {path}: there is no folder {folder}")
    target = Path(path).resolve()
    if target.is_dir():
        raise ConfigError(f"cannot write {path}: it is a folder; name a file in it")
    if target.exists() and not os.access(target, os.W_OK):
        raise ConfigError(f"cannot write {path}: it is write-protected; name another file")
    if target.is_file() or not target.exists():
        part = part_of(target)
        try:
            part.touch()
            part.unlink()
        except OSError as error:
            raise ConfigError(f"cannot write {path}: {error.strerror or error}; name another file") from error


def save(path: str, data: bytes | Iterable[bytes]) -> None:
    """Write a document, whole or in parts, to a file or, for ``-``, to stdout; a file is replaced whole or not at all.

    What is no ordinary file (a pipe, a device) is written to. Raises ConfigError when that is not possible.
    """
    parts = [data] if isinstance(data, bytes) else data
    if path == "-":
        sys.stdout.buffer.writelines(parts)
        sys.stdout.buffer.flush()
        return
    try:
        write_whole(Path(path), parts)
    except BrokenPipeError:
        raise
    except OSError as error:
        raise ConfigError(f"cannot write {path}: {error.strerror or error}") from error


def load_text(path: str) -> str:
    """Read a text file or, for ``-``, stdin; raises ConfigError that names the file."""
    if path == "-":
        return sys.stdin.read()
    try:
        return Path(path).read_text(encoding="utf-8-sig")
    except OSError as error:
        raise ConfigError(f"cannot read {path}: {error.strerror or error}") from error
    except UnicodeDecodeError as error:
        raise ConfigError(f"cannot read {path}: it is not UTF-8 text") from error
