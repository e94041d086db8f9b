"""Logs of many blocks from an endpoint that is far away and takes few blocks at once."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final

from benchmarks.slow_link import slow_link
from benchmarks.timing import Times, timed
from scanner.chain.interface import Log, LogQuery, Reader
from scanner.chain.options import Options
from scanner.chain.reader import open_reader
from scanner.config import cache_dir
from scanner.devchain import Anvil, install
from scanner.devchain.artifact import Artifact
from scanner.devchain.toolchain import Say
from scanner.devchain.tx import Chain

__all__ = ["LogFigures", "measure_logs"]

BLOCKS: Final = 3_000
LOGS: Final = 20_000
WIDEST: Final = 30
DELAY: Final = 0.05
_TOPIC: Final = "0xa1bc8a78067c9b2688cf7baada8b7e8fb76a9082bb0107d82ae6745c44642744"
_SOURCE: Final = Path(__file__).with_name("Emitter.sol")


@dataclass(frozen=True)
class LogFigures:
    """Logs read from a cold start: the first request is too wide, and its refusal tells the limit."""

    logs: int
    blocks: int
    widest: int
    delay: float
    concurrency: int
    times: Times
    requests: int  # eth_getLogs, refused ones among them
    refused: int

    @property
    def least_requests(self) -> int:
        return -(-self.blocks // self.widest)

    @property
    def least(self) -> float:
        """Seconds that the fewest requests take when as many as allowed are always in flight."""
        return self.least_requests * self.delay / self.concurrency

    @property
    def ratio(self) -> float:
        return self.times.median / self.least


def measure_logs(runs: int, say: Say) -> LogFigures:
    """Time ``Reader.logs``, each run with a reader that knows nothing. Raises RuntimeError when a log is missing."""
    toolchain = install(cache_dir(), say)
    with Anvil(toolchain.anvil) as anvil:
        say(f"emitting {LOGS:,} logs in {BLOCKS:,} blocks")
        sources = {_SOURCE.name: _SOURCE.read_text(encoding="utf-8")}
        (emitter,) = toolchain.compile(sources, [f"{_SOURCE.name}:Emitter"]).values()
        address, first, expected = _emit(Chain(anvil), emitter)
        query = LogQuery((address,), (_TOPIC,), first, first + BLOCKS - 1)
        seconds: list[float] = []
        with slow_link(anvil.url, DELAY, WIDEST) as link:
            for _ in range(runs):
                with open_reader(link.url) as reader:
                    link.traffic()
                    once, found = timed(partial(_read, reader, query), 1)
                    traffic = link.traffic()
                seconds += once.seconds
                _check(found, expected)
    return LogFigures(
        len(found),
        BLOCKS,
        WIDEST,
        DELAY,
        Options().concurrency,
        Times(tuple(seconds)),
        traffic.requests,
        traffic.refused,
    )


def _read(reader: Reader, query: LogQuery) -> list[Log]:
    return [log for _, logs in reader.logs(query) for log in logs]


def _emit(chain: Chain, emitter: Artifact) -> tuple[str, int, list[tuple[int, int]]]:
    """Give the emitter, its first block, and block and place of every log that it emitted."""
    address = chain.deploy(emitter)
    first = chain.flush() + 1
    counts = [(at + 1) * LOGS // BLOCKS - at * LOGS // BLOCKS for at in range(BLOCKS)]
    for count in counts:
        chain.send_data(address, count.to_bytes(32, "big"))
        last = chain.flush()
    if last != first + BLOCKS - 1:
        raise RuntimeError(f"{last - first + 1} blocks were mined for {BLOCKS} transactions")
    return address, first, [(first + at, place) for at, n in enumerate(counts) for place in range(n)]


def _check(found: list[Log], expected: list[tuple[int, int]]) -> None:
    if [(log.block_number, int.from_bytes(log.data, "big")) for log in found] != expected:
        raise RuntimeError("other logs came than were emitted")
