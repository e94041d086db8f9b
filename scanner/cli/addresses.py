"""Addresses that people give: one on the command line, or a list of them."""

from __future__ import annotations

import csv
import re
from collections.abc import Iterable, Sequence
from typing import Final

from scanner.errors import ConfigError
from scanner.units import ADDRESS
from scanner.views import eip55

__all__ = ["parse_address", "parse_addresses"]

_COLUMNS: Final = ("account", "owner", "address", "position")  # of a CSV file, in the order of preference


def parse_address(text: str) -> str:
    """Read an address; give it in lower case. Raises ConfigError, also for a broken EIP-55 checksum."""
    if not ADDRESS.fullmatch(text):
        raise ConfigError(f"{text[:60]!r} is not an address: 0x and 40 hex digits")
    lower = text.lower()
    if text[2:] not in (lower[2:], lower[2:].upper()) and eip55(lower) != text:
        raise ConfigError(
            f"{text} is not an address: its capitals are no EIP-55 checksum, so a letter is wrong. Check it against "
            "where it comes from; in lower case it is taken as it is"
        )
    return lower


def parse_addresses(text: str, name: str) -> list[str]:
    """Read addresses from lines, CSV or JSON; raises ConfigError that names the first line without one.

    A first line without an address is taken for a header: where it names a column of accounts, the others are not
    looked at. Blank lines and lines that start with # are skipped.
    """
    lines = text.splitlines()
    found: dict[str, None] = {}
    for number, words in _columns(lines) or _words(lines):
        try:
            found.update((parse_address(word), None) for word in words)
        except ConfigError as error:
            raise ConfigError(f"{name}, line {number}: {error}; nothing imported") from error
    if not found:
        raise ConfigError(f"{name} has no address in it; nothing imported")
    return list(found)


def _words(lines: Sequence[str]) -> Iterable[tuple[int, list[str]]]:
    """Give whatever looks like an address, or else the whole line, with the line's number."""
    for number, line in enumerate(lines, 1):
        content = line.strip().strip("[],")
        if not content or content.startswith("#"):
            continue
        addresses = re.findall(r"0x\w*", content)
        if addresses or number > 1:
            yield number, addresses or [content]


def _columns(lines: Sequence[str]) -> list[tuple[int, list[str]]] | None:
    """Give the cells of a CSV file's column of accounts; None when its header names none."""
    header = [cell.strip().strip('"').lower() for cell in lines[0].split(",")] if lines else []
    column = next((header.index(wanted) for wanted in _COLUMNS if wanted in header), None)
    if column is None:
        return None
    rows = csv.reader(lines)
    next(rows)
    return [
        (rows.line_num, [row[column].strip() if column < len(row) else ""])
        for row in rows
        if row and not row[0].startswith("#")
    ]
