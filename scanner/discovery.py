"""Find every position that ever had debt: from the index, then from the logs that it does not cover yet."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from scanner.chain.interface import LogQuery, Reader
from scanner.errors import BlockUnavailable, ConfigError
from scanner.protocols.interface import LogDiscovery
from scanner.store.index import BorrowerIndex

__all__ = ["Candidates", "check_start", "discover"]


@dataclass(frozen=True)
class Candidates:
    """Owners to read, and those that the last complete scan saw without debt.

    doubtful: logs that an earlier scan read may lack some, as nothing but that scan's node says that they were all.
    """

    active: list[str]
    idle: list[str]
    doubtful: bool = False


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
    blocks in all). Raises ConfigError when the market begins after the pinned block.
    """
    pinned = chain.block.number
    check_start(index.asked_first, pinned)
    tail: dict[str, str] = {}
    start, trusted = _start(chain, index)
    doubtful = read_logs and trusted and start > index.read_once_from
    marks_hold = _check_idle(chain, index)
    if read_logs and start <= pinned:
        final = chain.finalized_number() if trusted else -1
        if start <= final:
            _anchor(chain, index, final)
        query = LogQuery(discovery.addresses, discovery.topics, start, pinned)
        first = start
        for last, logs in chain.logs(query):
            found = discovery.decode(logs)
            persist = [(item.position, item.owner, item.block_number) for item in found if item.block_number <= final]
            if start <= final:
                index.add(persist, min(last, final), first)
            first = last + 1
            tail.update((item.position, item.owner) for item in found if item.block_number > final)
            if progress is not None:
                progress(last - start + 1, pinned - start + 1)
    active, idle = index.active(pinned), index.idle(pinned)
    if not marks_hold:
        active, idle = [*active, *idle], []
    if tail:
        active.extend(sorted(set(tail.values()).difference(active)))
    return Candidates(active, [owner for owner in idle if owner not in tail], doubtful)


def check_start(first_block: int, pinned: int) -> None:
    """Refuse to look for borrowers in blocks that are still to come: nobody would be found, without a word."""
    if first_block > pinned:
        raise ConfigError(
            f"the market's first block, {first_block}, is after block {pinned}, which is read: give a lower "
            "--from-block or a later --block"
        )


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


def _check_idle(chain: Reader, index: BorrowerIndex) -> bool:
    """Say whether those marked idle may be left out. Marks made at a block that was undone since are forgotten."""
    if index.idle_anchor is None:
        return True
    number, known = index.idle_anchor
    seen = chain.block_hash(number)
    if seen is not None and seen != known:
        index.forget_idle()
    return seen == known


def _anchor(chain: Reader, index: BorrowerIndex, final: int) -> None:
    seen = chain.block_hash(final)
    if seen is None:
        raise BlockUnavailable(f"the node does not know its own final block {final}; try again, or another endpoint")
    index.set_anchor(final, seen)
