"""Limits of a check: what ``[check]`` of a configuration file and the command line say. Pure."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Any, Final

import msgspec

from scanner.errors import ConfigError, suggest, type_words

__all__ = [
    "NOW",
    "QUANTITIES",
    "Allowed",
    "At",
    "AtLimit",
    "Limits",
    "Tolerance",
    "limits_of",
    "merged",
    "parse_limits",
]

NOW: Final = "now"
QUANTITIES: Final = ("accounts", "collateral", "debt", "liquidatable", "seizable", "unpriced")
"""What a baseline is compared by: accounts, dollars, accounts liquidatable now, dollars seizable now, unpriced ones."""

_SCALES: Final = {"": 1, "k": 10**3, "m": 10**6, "b": 10**9}
_AMOUNT: Final = re.compile(r"\$?\s*([0-9]{1,3}(?:[_,][0-9]{3})+|[0-9]+)(\.[0-9]+)?\s*([kmb]?)", re.IGNORECASE)
_SHARE: Final = re.compile(r"([0-9]+(?:\.[0-9]+)?)\s*%")
_MOVE: Final = re.compile(r"([+\-−])([0-9]+(?:\.[0-9]+)?)\s*%")


@dataclass(frozen=True, slots=True)
class Allowed:
    """The most that is allowed: dollars, or a share (0.02) of all collateral."""

    usd: float | None = None
    share: float | None = None

    def __str__(self) -> str:
        return _shown(self.share, self.usd)


@dataclass(frozen=True, slots=True)
class At:
    """Where a limit looks: at the prices of the block, or after a factor moved: ``ETH`` by ``-5%``."""

    factor: str | None = None
    move: str = ""

    @property
    def shock(self) -> str:
        """Give the move as ``--shock`` takes it."""
        return f"{self.factor}={self.move}"

    @property
    def ratio(self) -> float:
        """Give the price ratio: 0.95 for -5%."""
        return 1 + float(self.move.rstrip("%") or 0) / 100

    def __str__(self) -> str:
        return NOW if self.factor is None else f"{self.factor}:{self.move}"


def _shown(share: float | None, number: float | None) -> str:
    return f"{number:.15g}" if number is not None else f"{(share or 0) * 100:.10g}%"


@dataclass(frozen=True, slots=True)
class AtLimit:
    at: At
    allowed: Allowed


@dataclass(frozen=True, slots=True)
class Tolerance:
    """How far a quantity may be from the baseline's: by a share of it, or by a number (accounts or dollars)."""

    quantity: str
    share: float | None = None
    number: float | None = None

    def __str__(self) -> str:
        return _shown(self.share, self.number)


@dataclass(frozen=True)
class Limits:
    """What has to hold. None and empty: no such limit."""

    max_new_liquidatable: int | None = None
    max_liquidatable: int | None = None
    max_seizable: tuple[AtLimit, ...] = ()
    max_largest_account: tuple[AtLimit, ...] = ()
    max_bad_debt: tuple[AtLimit, ...] = ()
    max_unpriced_debt: Allowed | None = None
    require_complete: bool = True
    require_verified: int | None = None  # accounts; -1: every one
    baseline: tuple[Tolerance, ...] = ()

    def __bool__(self) -> bool:
        return replace(self, require_complete=True) != Limits()

    @property
    def places(self) -> tuple[At, ...]:
        """Give the moves that have to be computed, each once."""
        every = (*self.max_seizable, *self.max_largest_account, *self.max_bad_debt)
        return tuple(dict.fromkeys(limit.at for limit in every if limit.at.factor is not None))


_Table = dict[str, int | float | str]


class _Check(msgspec.Struct, forbid_unknown_fields=True):
    """The table ``[check]`` as it is written."""

    max_new_liquidatable: int | None = None
    max_liquidatable: int | None = None
    max_seizable: _Table = {}
    max_largest_account: _Table = {}
    max_bad_debt: _Table = {}
    max_unpriced_debt: int | float | str | None = None
    require_complete: bool = True
    require_verified: int | str | None = None
    baseline: _Table = {}


_AT_KEYS: Final = ("max_seizable", "max_largest_account", "max_bad_debt")


def parse_limits(table: Mapping[str, Any], where: str = "liqbands.toml") -> Limits:
    """Read the table ``[check]``; ``where`` names the file in errors.

    Raises ConfigError for unknown keys, wrong types and limits that nothing could keep or break.
    """
    _known(table, _Check.__struct_fields__, where, "[check]")
    for key in _AT_KEYS:
        if key in table and not isinstance(table[key], dict):
            raise ConfigError(f'{where}: {key} is a table: write [check.{key}] and below it "ETH:-5%" = "50M"')
    if isinstance(table.get("baseline"), dict):
        _known(table["baseline"], QUANTITIES, where, "[check.baseline]")
    elif "baseline" in table:
        raise ConfigError(f'{where}: baseline is a table: write [check.baseline] and below it debt = "5%"')
    try:
        read = msgspec.convert(dict(table), _Check)
    except msgspec.ValidationError as error:
        raise ConfigError(f"{where}: [check]: {type_words(error)}") from error
    try:
        return Limits(
            max_new_liquidatable=_count("max_new_liquidatable", read.max_new_liquidatable),
            max_liquidatable=_count("max_liquidatable", read.max_liquidatable),
            max_seizable=_at_limits("max_seizable", read.max_seizable),
            max_largest_account=_at_limits("max_largest_account", read.max_largest_account),
            max_bad_debt=_at_limits("max_bad_debt", read.max_bad_debt),
            max_unpriced_debt=_allowed("max_unpriced_debt", read.max_unpriced_debt),
            require_complete=read.require_complete,
            require_verified=_verified(read.require_verified),
            baseline=_tolerances(read.baseline),
        )
    except ConfigError as error:
        raise ConfigError(f"{where}: [check]: {error}") from error


def limits_of(
    max_new_liquidatable: int | None = None,
    max_liquidatable: int | None = None,
    max_seizable: Sequence[str] = (),
    max_largest_account: Sequence[str] = (),
    max_bad_debt: Sequence[str] = (),
    max_unpriced_debt: str | None = None,
) -> Limits:
    """Read limits as the command line takes them, ``ETH:-5%=50M``. Raises ConfigError."""
    return Limits(
        max_new_liquidatable=_count("--max-new-liquidatable", max_new_liquidatable),
        max_liquidatable=_count("--max-liquidatable", max_liquidatable),
        max_seizable=_at_limits("--max-seizable", _split("--max-seizable", max_seizable)),
        max_largest_account=_at_limits("--max-largest-account", _split("--max-largest-account", max_largest_account)),
        max_bad_debt=_at_limits("--max-bad-debt", _split("--max-bad-debt", max_bad_debt)),
        max_unpriced_debt=_allowed("--max-unpriced-debt", max_unpriced_debt),
    )


def merged(file: Limits, given: Limits) -> Limits:
    """Let the command line's limits stand in for the file's, each place of a factor for itself."""
    changes: dict[str, Any] = {}
    for name in ("max_new_liquidatable", "max_liquidatable", "max_unpriced_debt"):
        if getattr(given, name) is not None:
            changes[name] = getattr(given, name)
    for name in _AT_KEYS:
        both = {limit.at: limit for limit in (*getattr(file, name), *getattr(given, name))}
        changes[name] = tuple(both.values())
    return replace(file, **changes)


def _known(table: Mapping[str, Any], known: Sequence[str], where: str, name: str) -> None:
    for key in table:
        if key not in known:
            raise ConfigError(f"{where}: unknown key {key!r} in {name}; {suggest(key, known)}")


def _split(option: str, texts: Sequence[str]) -> dict[str, int | float | str]:
    found: dict[str, int | float | str] = {}
    for text in texts:
        place, sign, amount = text.rpartition("=")
        if not sign:
            raise ConfigError(f"{option} {text}: write where, = and how much, such as ETH:-5%=50M or now=500k")
        if place in found:
            raise ConfigError(f"{option}: {place} is given twice")
        found[place] = amount
    return found


def _count(name: str, value: int | None) -> int | None:
    if value is not None and value < 0:
        raise ConfigError(f"{name} = {value}: no number of accounts is below 0; 0 allows none")
    return value


def _at_limits(name: str, table: Mapping[str, int | float | str]) -> tuple[AtLimit, ...]:
    limits: dict[At, AtLimit] = {}
    for place, amount in table.items():
        at, allowed = _at(name, place), _allowed(f"{name} {place}", amount)
        if allowed is None:
            continue
        if at in limits:
            raise ConfigError(f"{name}: {at} is there twice; keep one")
        if allowed.share is not None and name.endswith("debt"):
            raise ConfigError(f"{name} {place}: bad debt is limited in dollars, such as 0 or 100k")
        limits[at] = AtLimit(at, allowed)
    return tuple(limits.values())


def _at(name: str, text: str) -> At:
    if text.strip() == NOW:
        return At()
    factor, colon, move = text.strip().rpartition(":")
    found = _MOVE.fullmatch(move.strip())
    if not colon or not factor.strip() or not found:
        raise ConfigError(f"{name} {text}: write a factor and its move with a sign, such as ETH:-5%, or now")
    sign, size = "+" if found[1] == "+" else "-", Decimal(found[2])
    if not size:
        raise ConfigError(f"{name} {text}: a move of nothing; for today's prices write now")
    if sign == "-" and size >= 100:
        raise ConfigError(f"{name} {text}: a price falls by less than 100 %")
    return At(factor.strip(), f"{sign}{size.normalize():f}%")


def _allowed(name: str, value: float | str | None) -> Allowed | None:
    """Read dollars (50000000, "50M", "$500k") or a share ("2%")."""
    if value is None:
        return None
    share, number = _amount(name, value)
    if share is not None and share >= 1:
        raise ConfigError(f"{name} = {value}: 100 % of collateral or more can never be broken; give less")
    return Allowed(number, share)


def _amount(name: str, value: float | str) -> tuple[float | None, float | None]:
    """Give a share (0.02 for "2%") or a number."""
    if isinstance(value, bool):
        raise ConfigError(f'{name} = {value}: give a number, such as 0 or "50M"')
    if not isinstance(value, str):
        if not math.isfinite(value) or value < 0:
            raise ConfigError(f"{name} = {value}: give a finite number of 0 or more")
        return None, float(value)
    if found := _SHARE.fullmatch(value.strip()):
        return float(Decimal(found[1]) / 100), None
    if found := _AMOUNT.fullmatch(value.strip()):
        number = re.sub("[_,]", "", found[1]) + (found[2] or "")
        return None, float(Decimal(number) * _SCALES[found[3].lower()])
    comma = "; a comma stands between thousands only" if "," in value else ""
    raise ConfigError(f"{name} = {value}: give dollars such as 0, 500k, 50M or 1.5B, or a share such as 2%{comma}")


def _verified(value: int | str | None) -> int | None:
    if value is None or (isinstance(value, int) and value >= 0):
        return int(value) if value is not None else None
    if value == "all":
        return -1
    raise ConfigError(f'require_verified = {value}: give a number of accounts, such as 200, or "all"')


def _tolerances(table: _Table) -> tuple[Tolerance, ...]:
    return tuple(Tolerance(name, *_amount(f"baseline.{name}", table[name])) for name in QUANTITIES if name in table)
