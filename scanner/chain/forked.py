"""Readers of what a payload leaves: of a fork, for what the endpoint it forked cannot tell; of a simulation."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Literal

from scanner.chain.interface import (
    Block,
    Call,
    Lens,
    LensChunk,
    Log,
    LogQuery,
    Overrides,
    Reader,
    Reverted,
    Way,
    lowest,
)
from scanner.chain.simulated import Simulation

__all__ = ["ForkReader", "SimulatedReader", "Through"]

Through = Literal["all", "timeless", "none"]
"""What is asked of the endpoint, under the fork's changes: everything, what does not depend on time, nothing."""


class ForkReader:
    """The head of a fork.

    ``upstream`` stands at the block that was forked, and answers under the fork's changes (``World``) as far as
    ``through`` says; ``fork`` stands at the fork's head, and answers the rest. Logs are of both.
    """

    def __init__(self, upstream: Reader, fork: Reader, through: Through) -> None:
        self._upstream = upstream
        self._fork = fork
        self._through = through
        self.chain_id: int = upstream.chain_id
        self.genesis_hash: str = upstream.genesis_hash
        self.block: Block = fork.block
        self.hosts: tuple[str, ...] = tuple(upstream.hosts)

    @property
    def way(self) -> Way | None:
        """Give the last way of both readers."""
        return lowest((self._upstream.way, self._fork.way))

    def finalized_number(self) -> int:
        """Give the newest final block of the endpoint: nothing of a fork is final."""
        return self._upstream.finalized_number()

    def block_hash(self, number: int) -> str | None:
        """Give the hash of a block, of the fork's own ones too."""
        return (self._upstream if number <= self._upstream.block.number else self._fork).block_hash(number)

    def call(self, calls: Sequence[Call], *, overrides: Overrides | None = None) -> list[bytes | Reverted]:
        """Answer calls at the fork's head. Raises what the readers raise."""
        reader = self._upstream if self._through == "all" else self._fork
        return reader.call(calls, overrides=overrides)

    def lens(self, lens: Lens, items: Sequence[bytes]) -> Iterator[LensChunk]:
        """Run a lens at the fork's head. Raises what the readers raise."""
        upstream = self._through == "all" or (self._through == "timeless" and lens.timeless)
        return (self._upstream if upstream else self._fork).lens(lens, items)

    def logs(self, query: LogQuery) -> Iterator[tuple[int, list[Log]]]:
        """Give logs in block order, those of the endpoint first."""
        base = self._upstream.block.number
        if query.first_block <= base:
            yield from self._upstream.logs(replace(query, last_block=min(query.last_block, base)))
        if query.last_block > base:
            yield from self._fork.logs(replace(query, first_block=max(query.first_block, base + 1)))


class SimulatedReader:
    """The block that a simulation ends with. ``upstream`` simulates, with every call; logs are of both."""

    def __init__(self, upstream: Reader, simulation: Simulation) -> None:
        self._upstream = upstream
        self._simulation = simulation
        self.chain_id: int = upstream.chain_id
        self.genesis_hash: str = upstream.genesis_hash
        self.block: Block = simulation.head
        self.hosts: tuple[str, ...] = tuple(upstream.hosts)

    @property
    def way(self) -> Way | None:
        """Give the last way of the endpoint's reader."""
        return self._upstream.way

    def finalized_number(self) -> int:
        """Give the newest final block of the endpoint: nothing of a simulation is final."""
        return self._upstream.finalized_number()

    def block_hash(self, number: int) -> str | None:
        """Give the hash of a block; a simulated one has none."""
        return self._upstream.block_hash(number) if number <= self._upstream.block.number else None

    def call(self, calls: Sequence[Call], *, overrides: Overrides | None = None) -> list[bytes | Reverted]:
        """Answer calls after the payload. Raises what the reader raises."""
        return self._upstream.call(calls, overrides=overrides)

    def lens(self, lens: Lens, items: Sequence[bytes]) -> Iterator[LensChunk]:
        """Run a lens after the payload. Raises what the reader raises."""
        return self._upstream.lens(lens, items)

    def logs(self, query: LogQuery) -> Iterator[tuple[int, list[Log]]]:
        """Give logs in block order, those of the endpoint first."""
        base = self._upstream.block.number
        if query.first_block <= base:
            yield from self._upstream.logs(replace(query, last_block=min(query.last_block, base)))
        if query.last_block > base:
            topics = {bytes.fromhex(topic[2:]) for topic in query.topics}
            yield (
                query.last_block,
                [
                    log
                    for log in self._simulation.logs
                    if query.first_block <= log.block_number <= query.last_block
                    and log.address in query.addresses
                    and (not topics or (log.topics and log.topics[0] in topics))
                ],
            )
