"""What an endpoint was seen to take and to refuse, and where that is kept between runs."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import msgspec

from scanner.kept import kept_path, load_kept, save_kept

__all__ = ["MOST_LENSES", "Learned", "LearnedStore"]


class Learned(msgspec.Struct):
    """Limits of one endpoint, found by probing and by what it refused. Hints only: no answer depends on them.

    None: not known yet. gas_cap: gas that an eth_call really gets. by_hash: whether a block is taken by its hash
    (EIP-1898). overrides, deployless: ways to inject code. batch: calls in one HTTP request, 0 where none are taken.
    log_blocks, log_addresses: widest eth_getLogs. log_results: most logs in one answer. request_bytes: largest request.
    lens_gas: gas per item, by lens.
    """

    gas_cap: int | None = None
    by_hash: bool | None = None
    overrides: bool | None = None
    deployless: bool | None = None
    batch: int | None = None
    log_blocks: int | None = None
    log_addresses: int | None = None
    log_results: int | None = None
    request_bytes: int | None = None
    lens_gas: dict[str, float] = {}


_FORMAT: Final = "liqbands-endpoint-1"
_LIMIT_AGE: Final = 86_400.0  # a plan may be changed: limits and refusals are asked for again after a day
_FACT_AGE: Final = 30 * _LIMIT_AGE
_AHEAD: Final = 3_600.0  # seconds that a clock may have been wrong
_LEAST: Final = {"gas_cap": 100_000, "batch": 0, "request_bytes": 1_000}  # what is less was not learned but damaged
MOST_LENSES: Final = 16
"""Lenses whose gas is remembered of one endpoint: those used last."""


class _Fact(msgspec.Struct):
    value: msgspec.Raw
    learned_at: float


class _File(msgspec.Struct):
    format: str
    facts: dict[str, _Fact] = {}


class LearnedStore:
    """Keeps what was learned of each endpoint, a small file each, for the next run.

    A file is named by the digest of its URL, which shows neither host nor key; of a key that is worth anything
    nobody can try all. Limits and refusals are forgotten after a day, so that they are asked for again. A file is
    replaced whole, so a process may be killed at any moment, and several may write: of two limits the smaller stays.
    What cannot be read or written is done without.
    """

    def __init__(self, folder: Path, *, clock: Callable[[], float] = time.time) -> None:
        self.folder = folder
        self._clock = clock

    def path(self, url: str) -> Path:
        """Name the file of an endpoint."""
        return kept_path(self.folder, url)

    def load(self, url: str) -> Learned:
        """Give what is known of an endpoint and young enough; nothing where the file is foreign or damaged."""
        return _learned(self._fresh(url))

    def save(self, url: str, learned: Learned, *, anew: bool = False) -> bool:
        """Keep what was learned, beside what others learned meanwhile. Say whether it could be written.

        anew: all of it was probed just now, so it takes the place of the file, also where nothing was found.
        """
        known, now = self._fresh(url), self._clock()
        facts, changed = ({}, True) if anew else (dict(known), False)
        for name, value in msgspec.structs.asdict(learned).items():
            if isinstance(value, dict):
                value = _trimmed(value)
            if value is None or not _plausible(name, value):
                continue
            kept = _value(name, known[name]) if name in known else None
            wanted = value if anew else _merged(kept, value)
            if anew or kept is None or wanted != kept:
                facts[name] = _Fact(msgspec.Raw(msgspec.json.encode(wanted)), now)
                changed = True
        return not changed or save_kept(self.path(url), _File(_FORMAT, facts))

    def _fresh(self, url: str) -> dict[str, _Fact]:
        file = load_kept(self.path(url), _File)
        if file is None or file.format != _FORMAT:
            return {}
        return {name: fact for name, fact in file.facts.items() if self._young(name, fact)}

    def _young(self, name: str, fact: _Fact) -> bool:
        value = _value(name, fact)
        if value is None:
            return False
        limit = value is False or (isinstance(value, int) and value is not True)
        return -_AHEAD <= self._clock() - fact.learned_at < (_LIMIT_AGE if limit else _FACT_AGE)


def _value(name: str, fact: _Fact) -> Any:
    """Read a fact as the field that it is of; None where it cannot be."""
    if name not in Learned.__struct_fields__:
        return None
    try:
        one = msgspec.convert({name: msgspec.json.decode(fact.value)}, Learned)
    except (ValueError, RecursionError):  # also bytes that are no UTF-8
        return None
    value = getattr(one, name)
    if isinstance(value, dict):
        value = _trimmed(value)
    return value if _plausible(name, value) else None


def _trimmed(table: dict[str, float]) -> dict[str, float]:
    """Leave out what cannot be, and the oldest entries of a table that is too long."""
    sound = {name: gas for name, gas in table.items() if 0 < gas < math.inf}
    return dict(list(sound.items())[-MOST_LENSES:])


def _plausible(name: str, value: object) -> bool:
    if isinstance(value, bool):
        return True
    if isinstance(value, dict):
        return bool(value)
    return isinstance(value, int) and value >= _LEAST.get(name, 1)


def _learned(facts: dict[str, _Fact]) -> Learned:
    return Learned(**{name: _value(name, fact) for name, fact in facts.items()})


def _merged(kept: Any, value: Any) -> Any:
    """Take the smaller of two limits, all of two tables, the newer of two answers."""
    if isinstance(kept, dict):
        return _trimmed({name: gas for name, gas in kept.items() if name not in value} | value)
    if kept is None or isinstance(value, bool):
        return value
    return min(kept, value)
