"""`accounts --follow`: lines of JSON, block after block, until somebody ends it."""

from __future__ import annotations

import os
import select
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import TimeoutError as NotYet
from contextlib import closing, contextmanager, suppress
from itertools import chain
from typing import Final

import polars as pl

from scanner.beside import beside
from scanner.cli.commands import INCOMPLETE, connecting
from scanner.cli.curtain import hide
from scanner.cli.faults import tell_faults
from scanner.cli.files import check_file
from scanner.cli.gather import scan_options
from scanner.cli.options import Output, Reading, Risk, Talk, WhatIfs
from scanner.cli.quote import quotes_of
from scanner.cli.stream_options import Following
from scanner.errors import ConfigError
from scanner.export.rows import account_rows
from scanner.export.stream import Ledger, parse_change, reorg_line
from scanner.follow import Step, follow, parse_pace
from scanner.options import ScanOptions
from scanner.render.progress import Progress
from scanner.render.words import clean
from scanner.results import ScanResult
from scanner.views import eip55

__all__ = ["check_following", "run_follow"]

_TO_END_A_LINE: Final = 0.5  # seconds that an interrupt leaves to a consumer who reads

Write = Callable[[bytes], None]


def check_following(following: Following, form: str, limit: int | None, whatifs: WhatIfs) -> None:
    """Refuse what a stream cannot do. Raises ConfigError."""
    if not following.follow:
        given = [f"--{name.replace('_', '-')}" for name, value in vars(following).items() if value]
        raise ConfigError(f"{' and '.join(given)}: only with --follow --format ndjson")
    if form != "ndjson":
        raise ConfigError(f"--follow writes a line for each change: give --format ndjson, not {form}")
    if limit is not None:
        raise ConfigError("--limit is for the table: --follow gives all accounts")
    if whatifs != WhatIfs():
        raise ConfigError("--follow tells what is: leave out the what-ifs")


def run_follow(
    reading: Reading, risk: Risk, output: Output, talk: Talk, following: Following, *, quotes: bool = False
) -> int:
    """Write what changes, block after block; with quotes of what is liquidatable.

    Ends with the consumer, on Ctrl-C, after ``--blocks``, on an error.
    """
    check_file(output.output)
    pace, least = parse_pace(following.every, following.poll), parse_change(following.min_change)
    options = scan_options(reading, risk)
    ledger, talker = Ledger(least), _Talker(options, talk)
    progress = Progress(enabled=talk.progress and not talk.quiet)
    steps = follow(
        options,
        pace=pace,
        since=following.since,
        blocks=following.blocks,
        listener=progress,
        told=talker.tell,
        idle=_heed_closed_pipe if output.output == "-" else lambda: None,
    )
    with closing(steps):
        with progress:  # of the first scan; what follows is told in lines
            connecting(options, progress)
            first = next(steps)
        with _opened(output.output, append=following.since is not None) as write:
            for step in chain((first,), steps):
                count = 0
                for lines in _lines(ledger, step, quotes_of(step.scanned, options)[0] if quotes else None):
                    write(lines)
                    count += lines.count(b"\n")
                talker.step(step, count)
    return 0 if talker.trustworthy or risk.allow_incomplete else INCOMPLETE


def _lines(ledger: Ledger, step: Step, quotes: pl.DataFrame | None) -> Iterator[bytes]:
    result = step.scanned.result
    rows = account_rows(result, quotes=quotes)
    if step.undone is not None:
        void = step.undone
        yield reorg_line(result.snapshot.chain_id, void.first_block, void.number, void.block_hash)
    write = {"start": ledger.start, "base": ledger.base, "block": ledger.block}[step.kind]
    yield from write(result, rows)


class _Talker:
    """What is said on stderr: once each, as the same is true of block after block."""

    def __init__(self, options: ScanOptions, talk: Talk) -> None:
        self._options = options
        self._talk = talk
        self._warned: set[str] = set()
        self._sound = True
        self.trustworthy = True

    def tell(self, line: str) -> None:
        """Say what is waited for."""
        print(f"liqbands: {clean(hide(line), 2000)}", file=sys.stderr, flush=True)

    def step(self, step: Step, lines: int) -> None:
        """Say what is wrong with a block, when it was not before."""
        result = step.scanned.result
        if not self._talk.quiet:
            for warning in result.warnings:
                if warning not in self._warned:
                    print(f"warning: {eip55(warning)}", file=sys.stderr)
            self._warned = set(result.warnings)
        self._judge(result)
        if self._talk.verbose:
            spent = sum(result.snapshot.seconds.values())
            print(f"block {result.snapshot.block_number}: {lines} lines, {spent:.2f} s", file=sys.stderr)

    def _judge(self, result: ScanResult) -> None:
        if not result.trustworthy and self._sound:
            tell_faults(result, self._options)
        if result.trustworthy and not self._sound:
            self.tell(f"complete again from block {result.snapshot.block_number} on")
        self._sound = result.trustworthy
        self.trustworthy = self.trustworthy and result.trustworthy


@contextmanager
def _opened(path: str, *, append: bool) -> Iterator[Write]:
    """Give a function that writes whole lines, waiting for who reads them; a file that goes on is added to."""
    if path == "-":
        sys.stdout.flush()
        yield _writer(sys.stdout.fileno())
        return
    try:
        file = open(path, "ab" if append else "wb", buffering=0)  # noqa: SIM115 (closed below)
    except OSError as error:
        raise ConfigError(f"cannot write {path}: {error.strerror or error}") from error
    with file:
        yield _writer(file.fileno())


def _heed_closed_pipe() -> None:
    """End with the consumer also where there is nothing to write, hence nothing that fails. Raises BrokenPipeError.

    Windows has no such question to ask.
    """
    if hasattr(select, "poll"):
        poll = select.poll()
        poll.register(sys.stdout.fileno(), 0)
        if any(event & select.POLLERR for _, event in poll.poll(0)):
            raise BrokenPipeError


def _writer(descriptor: int) -> Write:
    """Write in a thread of its own: an interrupt then finds a line at its end, if the consumer still reads."""

    def put(lines: bytes) -> None:
        rest = memoryview(lines)
        while rest:
            rest = rest[os.write(descriptor, rest) :]

    def write(lines: bytes) -> None:
        written = beside(lambda: put(lines))
        try:
            written.result()
        except KeyboardInterrupt:
            with suppress(NotYet, OSError):
                written.result(_TO_END_A_LINE)
            raise

    return write
