"""A recorded block: every answer a scan got, addressed by content, in one small file.

The file is gzip of two lines of JSON: a header with the format version and the SHA-256 of the second line, and the
body. It holds no URL. How the answers were batched leaves no trace, so any chunking gives the same file.

To change a recording on purpose (tests do): ``recording = load(path)``, edit ``recording.calls`` or
``recording.lenses``, ``recording.save(path)``; saving seals it anew.
"""

from __future__ import annotations

import gzip
import hashlib
import zlib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import msgspec

from scanner.chain.interface import Block, Call, Lens, Log, LogQuery, Overrides, Reverted, Way
from scanner.errors import ConfigError, RecordingError
from scanner.writing import write_whole

__all__ = ["CallKey", "LensKey", "LogKey", "LogsFound", "Recording", "call_key", "lens_key", "load", "log_key"]

FORMAT: Final = 1

CallKey = tuple[str, bytes, str]
"""Target, calldata, digest of the overrides ("" for none)."""

LensKey = tuple[str, str]
"""Name of the lens and digest of its code, header and overrides."""

LogKey = tuple[tuple[str, ...], tuple[str, ...]]
"""Addresses and first topics, each sorted."""


class _Body(msgspec.Struct):
    chain_id: int
    genesis_hash: str
    block: Block
    finalized: int
    hosts: list[str]
    command: str
    notes: dict[str, Any]
    calls: list[tuple[str, str, str, bool, str]]
    lenses: list[tuple[str, str, dict[str, str]]]
    logs: list[tuple[list[str], list[str], list[tuple[int, int]], list[tuple[str, list[str], str, int, int]]]]
    takes_overrides: bool = True
    way: Way | None = None


class _Header(msgspec.Struct):
    format: int
    sha256: str


@dataclass(slots=True)
class LogsFound:
    """Logs of one address and topic set: the block ranges that were asked for, and what was in them."""

    ranges: list[tuple[int, int]] = field(default_factory=list)
    logs: dict[tuple[int, int], Log] = field(default_factory=dict)  # by block number and log index

    def add(self, first: int, last: int, logs: list[Log]) -> None:
        """Add a range, both ends included, and all logs in it."""
        merged: list[tuple[int, int]] = []
        for start, end in sorted([*self.ranges, (first, last)]):
            if merged and start <= merged[-1][1] + 1:
                merged[-1] = (merged[-1][0], max(merged[-1][1], end))
            else:
                merged.append((start, end))
        self.ranges = merged
        self.logs.update(((log.block_number, log.log_index), log) for log in logs)

    def between(self, first: int, last: int) -> list[Log] | None:
        """Give the logs of a range in block order; None where the range was not recorded in full."""
        if not any(start <= first and last <= end for start, end in self.ranges):
            return None
        return [log for (number, _), log in sorted(self.logs.items()) if first <= number <= last]


@dataclass(slots=True)
class Recording:
    """What was recorded. The dictionaries may be edited; ``save`` seals what is in them.

    ``lenses`` maps an item to its records one after the other, 32 bytes each, with a position of zero. An item
    that answered "nothing" has no bytes; one that was not asked for is absent. ``command`` re-records the file.
    ``notes`` is JSON of whoever records: what was scanned, so that a replay needs no arguments. ``takes_overrides`` is
    false where the endpoint refused to run a program, as the replay then has to. ``way`` is how many reads were put
    into one call.
    """

    chain_id: int
    genesis_hash: str
    block: Block
    finalized: int
    hosts: tuple[str, ...]
    command: str
    calls: dict[CallKey, bytes | Reverted] = field(default_factory=dict)
    lenses: dict[LensKey, dict[bytes, bytes]] = field(default_factory=dict)
    logs: dict[LogKey, LogsFound] = field(default_factory=dict)
    notes: dict[str, Any] = field(default_factory=dict)
    takes_overrides: bool = True
    way: Way | None = None

    def save(self, path: Path) -> None:
        """Write the recording, the same bytes for the same content. Raises ConfigError when that is not possible."""
        body = msgspec.json.encode(_to_body(self))
        header = msgspec.json.encode(_Header(FORMAT, hashlib.sha256(body).hexdigest()))
        content = gzip.compress(header + b"\n" + body, compresslevel=9, mtime=0)
        try:
            write_whole(path, [content])
        except OSError as error:
            raise ConfigError(f"cannot write the recording {path}: {error.strerror or error}") from error


def load(path: Path) -> Recording:
    """Read a recording.

    Raises ConfigError when there is no such file, RecordingError when it is truncated, corrupt or of a newer format.
    """
    try:
        content = gzip.decompress(path.read_bytes())
    except gzip.BadGzipFile as error:
        raise RecordingError(f"{path}: cannot be read as a recording ({error})") from error
    except OSError as error:
        raise ConfigError(f"cannot read the recording {path}: {error.strerror or error}") from error
    except (EOFError, zlib.error) as error:
        raise RecordingError(f"{path}: the recording is truncated or damaged; fetch or record it again") from error
    head, _, body = content.partition(b"\n")
    try:
        header = msgspec.json.decode(head, type=_Header)
    except msgspec.MsgspecError as error:
        raise RecordingError(f"{path}: this is no recording of liqbands") from error
    if header.format != FORMAT:
        raise RecordingError(
            f"{path}: the recording has format {header.format}, this version reads {FORMAT}; record it again"
        )
    if hashlib.sha256(body).hexdigest() != header.sha256:
        raise RecordingError(f"{path}: the recording does not match its checksum; fetch or record it again")
    try:
        return _from_body(msgspec.json.decode(body, type=_Body))
    except (msgspec.MsgspecError, ValueError) as error:
        raise RecordingError(f"{path}: the recording's content has an unknown shape ({error})") from error


def call_key(call: Call, overrides: Overrides | None) -> CallKey:
    """Address a call by its content."""
    digest = hashlib.sha256(_packed(overrides)).hexdigest() if overrides else ""
    return call.to.lower(), call.data, digest


def lens_key(lens: Lens) -> LensKey:
    """Address a lens by its name, code, header and overrides."""
    overrides = hashlib.sha256(_packed(lens.overrides)).digest() if lens.overrides else b""
    digest = hashlib.sha256(len(lens.code).to_bytes(8, "big") + lens.code + overrides + lens.header)
    return lens.name, digest.hexdigest()


def log_key(query: LogQuery) -> LogKey:
    """Address a log query by what it filters."""
    return tuple(sorted(query.addresses)), tuple(sorted(query.topics))


def _to_body(recording: Recording) -> _Body:
    calls = [
        (to, data.hex(), overrides, isinstance(answer, Reverted), _bytes(answer).hex())
        for (to, data, overrides), answer in sorted(recording.calls.items(), key=lambda entry: entry[0])
    ]
    lenses = [
        (name, digest, {item.hex(): records.hex() for item, records in sorted(items.items())})
        for (name, digest), items in sorted(recording.lenses.items())
    ]
    logs = [
        (
            list(addresses),
            list(topics),
            found.ranges,
            [
                (log.address, [topic.hex() for topic in log.topics], log.data.hex(), log.block_number, log.log_index)
                for _, log in sorted(found.logs.items())
            ],
        )
        for (addresses, topics), found in sorted(recording.logs.items(), key=lambda entry: entry[0])
    ]
    return _Body(
        chain_id=recording.chain_id,
        genesis_hash=recording.genesis_hash,
        block=recording.block,
        finalized=recording.finalized,
        hosts=list(recording.hosts),
        command=recording.command,
        notes=recording.notes,
        calls=calls,
        lenses=lenses,
        logs=logs,
        takes_overrides=recording.takes_overrides,
        way=recording.way,
    )


def _from_body(body: _Body) -> Recording:
    recording = Recording(
        chain_id=body.chain_id,
        genesis_hash=body.genesis_hash,
        block=body.block,
        finalized=body.finalized,
        hosts=tuple(body.hosts),
        command=body.command,
        notes=body.notes,
        takes_overrides=body.takes_overrides,
        way=body.way or ("override" if body.takes_overrides else "single"),  # older ones do not say
    )
    for to, data, overrides, reverted, answer in body.calls:
        value = bytes.fromhex(answer)
        recording.calls[to, bytes.fromhex(data), overrides] = Reverted(value) if reverted else value
    for name, digest, items in body.lenses:
        recording.lenses[name, digest] = {bytes.fromhex(i): bytes.fromhex(records) for i, records in items.items()}
    for addresses, topics, ranges, rows in body.logs:
        found = LogsFound(ranges=[(first, last) for first, last in ranges])
        for address, log_topics, data, number, index in rows:
            decoded = tuple(bytes.fromhex(topic) for topic in log_topics)
            found.logs[number, index] = Log(address, decoded, bytes.fromhex(data), number, index)
        recording.logs[tuple(addresses), tuple(topics)] = found
    return recording


def _packed(overrides: Overrides) -> bytes:
    parts = ((bytes.fromhex(a[2:]), len(code).to_bytes(8, "big"), code) for a, code in sorted(overrides.items()))
    return b"".join(part for parts_of_one in parts for part in parts_of_one)


def _bytes(answer: bytes | Reverted) -> bytes:
    return answer.data if isinstance(answer, Reverted) else answer
