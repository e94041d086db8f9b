"""Where borrower indexes are, and what can be told of a file without opening it as an index."""

from __future__ import annotations

import contextlib
import sqlite3
from pathlib import Path

__all__ = ["find_indexes", "imported_to", "index_path"]


def index_path(folder: Path, chain_id: int, genesis_hash: str, protocol: str, market_id: str) -> Path:
    """Name the file of a market's index. The genesis hash keeps two local chains with one chain id apart."""
    return folder / "index" / f"{chain_id}-{genesis_hash[2:10]}-{protocol}-{market_id}.sqlite"


def find_indexes(folder: Path, chain_id: int, protocol: str, market_id: str) -> list[Path]:
    """List the files of a market, of any chain with this id."""
    return sorted((folder / "index").glob(f"{chain_id}-????????-{protocol}-{market_id}.sqlite"))


def imported_to(path: Path) -> int | None:
    """Give the block up to which an imported list stands for logs; None where all logs were read, or nothing can be."""
    if not path.is_file():
        return None
    try:
        with contextlib.closing(sqlite3.connect(path, timeout=30)) as db:
            row = db.execute("SELECT value FROM meta WHERE key = 'imported_to'").fetchone()
    except sqlite3.Error:
        return None
    return int(row[0]) if row else None
