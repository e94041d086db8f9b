"""Write a file beside its place and put it there whole: who reads it finds the old one or the new one."""

from __future__ import annotations

import contextlib
import itertools
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Final

__all__ = ["part_of", "write_whole"]

_PRIVATE: Final = 0o600
_numbers = itertools.count()


def part_of(path: Path) -> Path:
    """Name a file beside ``path`` that no other process or thread writes: ``.name.process.number.part``."""
    return path.with_name(f".{path.name}.{os.getpid()}.{next(_numbers)}.part")


def write_whole(path: Path, parts: Iterable[bytes], *, private: bool = False) -> None:
    """Write a file whole or not at all, also when the process is killed; what a link names is what is replaced.

    What is no ordinary file (a pipe, a device) is written to. private: only its owner may read it; else as any new
    file. Raises OSError.
    """
    target = path.resolve()
    if target.exists() and not target.is_file():
        with target.open("wb") as file:
            file.writelines(parts)
        return
    part = part_of(target)
    mode = _PRIVATE if private else 0o666

    def create(name: str, flags: int) -> int:
        return os.open(name, flags, mode)

    try:
        with open(part, "xb", opener=create) as file:
            file.writelines(parts)
            file.flush()
            os.fsync(file.fileno())
        part.replace(target)
    except BaseException:
        with contextlib.suppress(OSError):
            part.unlink()
        raise
