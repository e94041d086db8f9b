"""Find every position that ever had debt: from the index, then from the logs that it does not cover yet."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from scanner.chain.interface import LogQuery, Reader
from scanner.errors import BlockUnavailable
from scanner.protocols.interface import LogDiscovery
from scanner.store.index import BorrowerIndex

__all__ = ["Candidates", "discover"]


@dataclass(frozen=True)
class Candidates:
    """Owners to read, and those that the last complete scan saw without debt."""

    active: list[str]
    idle: list[str]


def discover(
    chain: Reader,
    discovery: LogDiscovery,
    index: BorrowerIndex,
    *,
    read_logs: bool = True,
    progress: Callable[[int, int], None] | None = None,
) -> Candidates:
    """Bring the index up to the newest final block and read the tail anew.

    Final blocks are saved step by step, so a killed run goes on where it was. Logs after the newest final block are
    read each time and kept in memory only, since a reorganisation may undo them. ``progress`` hears (blocks done,
    blocks in all).
    """
    pinned = chain.block.number
    tail: dict[str, str] = {}
    start, trusted = _start(chain, index)
    if read_logs and start <= pinned:
        final = chain.finalized_number() if trusted else -1
        if start <= final:
            _anchor(chain, index, final)
        query = LogQuery(discovery.addresses, discovery.topics, start, pinned)
        for last, logs in chain.logs(query):
            found = discovery.decode(logs)
            persist = [(item.position, item.owner, item.block_number) for item in found if item.block_number <= final]
            if start <= final:
                index.add(persist, min(last, final))
            tail.update((item.position, item.owner) for item in found if item.block_number > final)
            if progress is not None:
                progress(last - start + 1, pinned - start + 1)
    active = index.active(pinned)
    if tail:
        active.extend(sorted(set(tail.values()).difference(active)))
    idle = [owner for owner in index.idle(pinned) if owner not in tail]
    return Candidates(active, idle)


def _start(chain: Reader, index: BorrowerIndex) -> tuple[int, bool]:
    """Give the first block to read, and whether what is read may be saved.

    An index of another chain with the same genesis (a fork, an earlier run of a local node) starts anew. Where the
    node does not know the block that would tell, it may only lag: everything is read and nothing is saved.
    """
    if index.anchor is not None:
        number, known = index.anchor
        seen = chain.block_hash(number)
        if seen is None:
            return index.first_block, False
        if seen != known:
            index.rewind()
    return index.covered_to + 1, True


def _anchor(chain: Reader, index: BorrowerIndex, final: int) -> None:
    seen = chain.block_hash(final)
    if seen is None:
        raise BlockUnavailable(f"the node does not know its own final block {final}; try again, or another endpoint")
    index.set_anchor(final, seen)
