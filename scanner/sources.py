"""Open the chain that a command reads: an RPC endpoint, recorded or not, or a recording."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from scanner.chain.interface import Reader
from scanner.config import expected_chain
from scanner.errors import ConfigError, WrongChainError

__all__ = ["Source", "open_source"]


@dataclass
class Source:
    """A reader, and the notes of its recording: read from a replay, written to a new recording."""

    reader: Reader
    replayed: bool = False
    notes: dict[str, Any] = field(default_factory=dict)


@contextmanager
def open_source(
    rpc_urls: Sequence[str],
    *,
    chain: str | None,
    block: str | int,
    record: str | Path | None,
    replay: str | Path | None,
) -> Iterator[Source]:
    """Open an endpoint at a block, or a recording, which has its own block.

    A recording is written only when the block ends without an error. Raises ConfigError, WrongChainError, ChainError
    or RecordingError.
    """
    expected = expected_chain(chain)
    if replay is not None:
        if record is not None:
            raise ConfigError("--record and --replay cannot go together")
        from scanner.chain.replay import ReplayReader

        with ReplayReader(Path(replay)) as replayed:
            if expected is not None and replayed.chain_id != expected:
                raise WrongChainError(f"{replay} was recorded on chain {replayed.chain_id}, not on {chain}")
            yield Source(replayed, replayed=True, notes=dict(replayed.recording.notes))
        return
    target = None if record is None else Path(record)
    if target is not None and not target.parent.is_dir():
        raise ConfigError(f"cannot record to {target}: there is no folder {target.parent}")
    from scanner.chain.reader import open_reader

    if not rpc_urls:
        raise ConfigError("no RPC URL: give rpc_urls='http://...' (the environment is not read here), or replay=FILE")
    if len(rpc_urls) != 1:
        raise ConfigError(f"{len(rpc_urls)} RPC URLs were given; this version reads from one")
    with open_reader(rpc_urls[0], block, expected_chain_id=expected) as reader:
        if target is None:
            yield Source(reader)
            return
        from scanner.chain.replay import RecordingReader

        recorder = RecordingReader(reader)
        source = Source(recorder)
        yield source
        recorder.recording.notes = source.notes
        recorder.save(target)
