"""Small files that spare work next time and that nothing depends on."""

from __future__ import annotations

import contextlib
import time
from hashlib import sha256
from pathlib import Path
from typing import Final, TypeVar

import msgspec

from scanner.writing import write_whole

__all__ = ["kept_path", "load_kept", "save_kept"]

T = TypeVar("T")

_ABANDONED: Final = 3_600.0  # age in seconds at which a file that a killed process was writing is removed


def kept_path(folder: Path, *about: str) -> Path:
    """Name a file by the digest of what it is about, which shows neither the host nor the key of an RPC URL."""
    return folder / f"{sha256(chr(0).join(about).encode()).hexdigest()[:32]}.json"


def load_kept(path: Path, kind: type[T]) -> T | None:
    """Read a file; None where there is none, or none of this kind that can be read."""
    try:
        return msgspec.json.decode(path.read_bytes(), type=kind)
    except (OSError, ValueError, RecursionError):  # bytes that are no UTF-8 are a ValueError of another kind
        return None


def save_kept(path: Path, content: object) -> bool:
    """Write a file that only its owner may read, whole or not at all; say whether it could be written.

    A process may be killed at any moment, and several may write, each in a file of its own first: the last one stays.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        _clear(path)
        write_whole(path, [msgspec.json.encode(content)], private=True)
    except OSError:
        return False
    return True


def _clear(path: Path) -> None:
    """Remove what killed processes left half written."""
    for part in path.parent.glob(f".{path.name}.*.part"):
        with contextlib.suppress(OSError):
            if time.time() - part.stat().st_mtime > _ABANDONED:
                part.unlink()
