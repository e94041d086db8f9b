"""The borrower index: which positions ever had debt, and up to which block that is known.

One SQLite file (WAL) per market. Positions and the cursor move in one transaction, so a process may be killed at any
moment and the next one goes on from the last step. Only final blocks are persisted: there is nothing to roll back.
"""

from __future__ import annotations

import contextlib
import re
import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

import msgspec

from scanner.errors import ConfigError, DecodeError, IndexFileError

__all__ = ["BorrowerIndex", "IndexStatus"]

FORMAT: Final = "liqbands-index-1"

_TABLES: Final = (
    "CREATE TABLE IF NOT EXISTS meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID",
    # found_block: newest block with a log that gave it debt, 0 when imported, -1 when the log is of another chain.
    # idle_block: block at which a complete scan saw it without debt.
    "CREATE TABLE IF NOT EXISTS positions (position TEXT PRIMARY KEY, owner TEXT NOT NULL, "
    "found_block INTEGER NOT NULL, idle_block INTEGER) WITHOUT ROWID",
    # positions that a list gave, whatever logs gave since
    "CREATE TABLE IF NOT EXISTS imported (position TEXT PRIMARY KEY) WITHOUT ROWID",
)
_ADDRESS: Final = re.compile(r"0x[0-9a-fA-F]{40}")
_OF_THIS_CHAIN: Final = (
    "'covered_to', 'imported_to', 'twice_to', 'anchor_number', 'anchor_hash', 'idle_number', 'idle_hash'"
)


@dataclass(frozen=True, slots=True)
class IndexStatus:
    """What an index knows."""

    path: Path
    position_count: int
    idle_count: int
    first_block: int
    covered_to: int  # last block whose logs are in; first_block - 1 when none


class BorrowerIndex:
    """An open index file of one market.

    Raises IndexFileError when the file is damaged or belongs to another market; nothing is ever deleted by that.
    Raises ConfigError when its folder cannot be made, and for a first block below zero. ``asked_first`` is the first
    block of this opening; ``first_block`` is lower where an earlier opening asked for more.
    """

    def __init__(
        self, path: Path, *, chain_id: int, genesis_hash: str, protocol: str, market_id: str, first_block: int
    ) -> None:
        if first_block < 0:  # it would be kept, and no node has logs from there
            raise ConfigError(f"the first block of a market is not below zero: --from-block {first_block}")
        self.path = path
        self.asked_first = self.first_block = first_block
        identity = {
            "format": FORMAT,
            "chain_id": str(chain_id),
            "genesis_hash": genesis_hash,
            "protocol": protocol,
            "market_id": market_id,
        }
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise ConfigError(
                f"the index cannot be kept in {path.parent} ({error.strerror}): name a file with --index-file, or "
                "another folder with LIQBANDS_DATA_DIR"
            ) from error
        with self._damage_named():
            self._db = sqlite3.connect(path, timeout=30, isolation_level=None)
            try:
                self._open(identity)
            except BaseException:
                self._db.close()
                raise

    @contextlib.contextmanager
    def _damage_named(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.DatabaseError as error:
            raise IndexFileError(
                f"{self.path} is not a readable index ({error}). It was left as it is: move it away and run "
                "`liqbands index` to build a new one, or restore a copy"
            ) from error

    def _rows(self, query: str, *values: int) -> list[tuple[Any, ...]]:
        with self._damage_named():
            return self._db.execute(query, values).fetchall()

    def _open(self, identity: dict[str, str]) -> None:
        self._db.execute("PRAGMA journal_mode=WAL")
        self._db.execute("PRAGMA synchronous=NORMAL")
        tables = {name for (name,) in self._db.execute("SELECT name FROM sqlite_master WHERE type='table'")}
        if tables and "meta" not in tables:
            raise IndexFileError(f"{self.path} is an SQLite file of something else, not an index of liqbands")
        with self._transaction():
            for statement in _TABLES:
                self._db.execute(statement)
            known = dict(self._db.execute("SELECT key, value FROM meta"))
            if not known:
                rows = [*identity.items(), ("first_block", str(self.first_block))]
                self._db.executemany("INSERT INTO meta VALUES (?, ?)", rows)
                known = dict(rows)
        wrong = [key for key, value in identity.items() if known.get(key) != value]
        if wrong:
            raise IndexFileError(
                f"{self.path} belongs to another market: its {wrong[0]} is {known.get(wrong[0])!r}, "
                f"not {identity[wrong[0]]!r}"
            )
        if self.first_block < int(known["first_block"]):
            # A smaller first block means that logs before the indexed range are wanted: read them again from there.
            with self._transaction():
                self._set("first_block", self.first_block)
                self._db.execute("DELETE FROM meta WHERE key IN ('covered_to', 'imported_to', 'twice_to')")
        else:
            self.first_block = int(known["first_block"])

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        self._db.close()

    @contextlib.contextmanager
    def _transaction(self) -> Iterator[None]:
        with self._damage_named():
            self._db.execute("BEGIN IMMEDIATE")
            try:
                yield
            except BaseException:
                self._db.execute("ROLLBACK")
                raise
            self._db.execute("COMMIT")

    def _set(self, key: str, value: int | str) -> None:
        self._db.execute(
            "INSERT INTO meta VALUES (?, ?) ON CONFLICT (key) DO UPDATE SET value = excluded.value", (key, str(value))
        )

    @property
    def covered_to(self) -> int:
        """Last block whose logs are all in the index."""
        known = dict(self._rows("SELECT key, value FROM meta WHERE key IN ('covered_to', 'first_block')"))
        # another process may have asked for earlier blocks since this one opened the file
        return int(known["covered_to"]) if "covered_to" in known else int(known["first_block"]) - 1

    @property
    def anchor(self) -> tuple[int, str] | None:
        """Number and hash of a final block at or after the cursor; None before the first discovery.

        Two chains can share chain id and genesis: a fork and its origin, or two runs of a local node.
        """
        known = dict(self._rows("SELECT key, value FROM meta WHERE key IN ('anchor_number', 'anchor_hash')"))
        return (int(known["anchor_number"]), known["anchor_hash"]) if known else None

    def set_anchor(self, number: int, block_hash: str) -> None:
        """Note the newest final block, before logs up to it are added."""
        with self._transaction():
            self._set("anchor_number", number)
            self._set("anchor_hash", block_hash)

    def rewind(self) -> None:
        """Forget what was covered and who was idle, of another chain. Positions stay, they do no harm."""
        with self._transaction():
            self._rewind()

    def rebuild(self) -> None:
        """Forget everything but the imported positions: logs give the others again, as far as they are true."""
        with self._transaction():
            self._rewind()
            self._db.execute(
                "DELETE FROM positions WHERE (found_block <> 0 AND position NOT IN (SELECT position FROM imported)) "
                "OR length(owner) <> 42 OR owner NOT GLOB '0x*' OR substr(owner, 3) GLOB '*[^0-9a-fA-F]*'"
            )

    def _rewind(self) -> None:
        self._db.execute(f"DELETE FROM meta WHERE key IN ({_OF_THIS_CHAIN})")  # noqa: S608 (our own words)
        self._db.execute("UPDATE positions SET found_block = -1 WHERE found_block > 0")
        self._db.execute("UPDATE positions SET idle_block = NULL")

    @property
    def read_once_from(self) -> int:
        """First block whose logs were read only once as yet: no list stands for them, and no scan doubted them."""
        known = dict(self._rows("SELECT key, value FROM meta WHERE key IN ('imported_to', 'twice_to')"))
        return max([self.first_block, *(int(block) + 1 for block in known.values())])

    def doubt(self) -> None:
        """Move the cursor back before the blocks that were read once, so that their logs are read again."""
        with self._transaction():
            self._set("covered_to", min(self.read_once_from - 1, self.covered_to))

    def settle(self) -> None:
        """Note that the logs of all covered blocks were read twice: whatever is missing, they do not give it."""
        with self._transaction():
            self._set("twice_to", self.covered_to)

    @property
    def idle_anchor(self) -> tuple[int, str] | None:
        """Number and hash of the newest block at which somebody was marked idle; it need not have been final."""
        known = dict(self._rows("SELECT key, value FROM meta WHERE key IN ('idle_number', 'idle_hash')"))
        return (int(known["idle_number"]), known["idle_hash"]) if known else None

    def forget_idle(self) -> None:
        """Take everybody for active again: what was seen at a block that was undone tells nothing."""
        with self._transaction():
            self._db.execute("DELETE FROM meta WHERE key IN ('idle_number', 'idle_hash')")
            self._db.execute("UPDATE positions SET idle_block = NULL")

    def add(
        self, found: Iterable[tuple[str, str, int]], covered_to: int | None = None, first: int | None = None
    ) -> None:
        """Insert (position, owner, block of the log) and move the cursor, in one transaction.

        ``first``: the block from which on these are all, where it is not the one after the cursor. Two processes may
        share an index: the cursor never moves backwards, nor over blocks that the other one wants read again.
        """
        with self._transaction():
            self._insert(found)
            reached = self.covered_to
            if covered_to is not None and covered_to > reached and (first is None or first <= reached + 1):
                self._set("covered_to", covered_to)

    def import_list(self, owners: Iterable[str], covered_to: int | None = None) -> None:
        """Insert owners that no log gave; with ``covered_to`` they stand for the logs up to there, which is noted."""
        with self._transaction():
            listed = list(owners)
            self._insert((owner, owner, 0) for owner in listed)
            self._db.executemany("INSERT OR IGNORE INTO imported VALUES (?)", ((owner,) for owner in listed))
            if covered_to is not None and covered_to > self.covered_to:
                self._set("covered_to", covered_to)
                self._set("imported_to", covered_to)

    def _insert(self, found: Iterable[tuple[str, str, int]]) -> None:
        self._db.executemany(
            "INSERT INTO positions (position, owner, found_block) VALUES (?, ?, ?) "
            "ON CONFLICT (position) DO UPDATE SET found_block = max(found_block, excluded.found_block)",
            map(_checked, found),
        )

    def active(self, block: int) -> list[str]:
        """List owners that may have debt at a block, in a stable order."""
        return self._owners("idle_block IS NULL OR idle_block > ? OR found_block > idle_block", block)

    def idle(self, block: int) -> list[str]:
        """List owners left out of ``active``."""
        return self._owners("idle_block <= ? AND found_block <= idle_block", block)

    def _owners(self, condition: str, block: int) -> list[str]:
        """List owners in the order of positions, in one row: other threads run while SQLite makes it."""
        query = f"SELECT owner FROM positions WHERE {condition} ORDER BY position"  # noqa: S608 (our own words)
        ((owners,),) = self._rows(f"SELECT json_group_array(owner) FROM ({query})", block)  # noqa: S608
        return msgspec.json.decode(owners, type=list[str])

    def mark_idle(self, positions: Sequence[str], block: int, block_hash: str) -> None:
        """Note that a complete scan saw these positions without debt at a block."""
        with self._transaction():
            if self.idle_anchor is None or block >= self.idle_anchor[0]:
                self._set("idle_number", block)
                self._set("idle_hash", block_hash)
            self._db.executemany(
                "UPDATE positions SET idle_block = max(ifnull(idle_block, 0), ?) WHERE position = ?",
                [(block, position) for position in positions],
            )

    def owners(self) -> list[str]:
        """List every owner, for export."""
        return [owner for (owner,) in self._rows("SELECT DISTINCT owner FROM positions ORDER BY owner")]

    def status(self) -> IndexStatus:
        """Count what the index holds."""
        query = "SELECT count(*), count(CASE WHEN found_block <= idle_block THEN 1 END) FROM positions"
        ((total, idle),) = self._rows(query)
        return IndexStatus(self.path, total, idle, self.first_block, self.covered_to)


def _checked(found: tuple[str, str, int]) -> tuple[str, str, int]:
    """Refuse what would be kept, and would end every scan from then on."""
    if not _ADDRESS.fullmatch(found[1]):
        raise DecodeError(f"the owner of a position is no address, and is not kept: {found[1][:80]!r}")
    return found
