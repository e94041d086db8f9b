"""Small files that spare work next time and that nothing depends on."""

from __future__ import annotations

import contextlib
import itertools
import os
import time
from hashlib import sha256
from pathlib import Path
from typing import Final, TypeVar

import msgspec

__all__ = ["kept_path", "load_kept", "save_kept"]

T = TypeVar("T")

_ABANDONED: Final = 3_600.0  # age in seconds at which a file that a killed process was writing is removed
_numbers = itertools.count()


def kept_path(folder: Path, *about: str) -> Path:
    """Name a file by the digest of what it is about, which shows neither the host nor the key of an RPC URL."""
    return folder / f"{sha256(chr(0).join(about).encode()).hexdigest()[:32]}.json"


def load_kept(path: Path, kind: type[T]) -> T | None:
    """Read a file; None where there is none, or none of this kind that can be read."""
    try:
        return msgspec.json.decode(path.read_bytes(), type=kind)
    except (OSError, msgspec.MsgspecError, RecursionError):
        return None


def save_kept(path: Path, content: object) -> bool:
    """Write a file that only its owner may read, whole or not at all; say whether it could be written.

    A process may be killed at any moment, and several may write, each in a file of its own first: the last one stays.
    """
    part = path.with_name(f".{path.name}.{os.getpid()}.{next(_numbers)}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        _clear(path)
        with os.fdopen(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            file.write(msgspec.json.encode(content))
            file.flush()
            os.fsync(file.fileno())
        part.replace(path)
    except OSError:
        with contextlib.suppress(OSError):
            part.unlink()
        return False
    return True


def _clear(path: Path) -> None:
    """Remove what killed processes left half written."""
    for part in path.parent.glob(f".{path.name}.*.part"):
        with contextlib.suppress(OSError):
            if time.time() - part.stat().st_mtime > _ABANDONED:
                part.unlink()
