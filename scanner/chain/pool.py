"""A reader over several endpoints: when one fails, the next goes on where it was."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import TypeVar

from scanner.chain.interface import Block, Call, Lens, LensChunk, Log, LogQuery, Overrides, Reverted, Way, lowest
from scanner.chain.leaving import Leaving
from scanner.chain.members import Member, Members, Task, all_failed, reason_of
from scanner.chain.provable import Answered, SlotsAnswered, Wanted
from scanner.errors import BlockUndone, ChainError, DecodeError

__all__ = ["PoolReader"]

T = TypeVar("T")

Span = tuple[int, int]
"""First item, and the one after the last."""


class PoolReader(Leaving):
    """Several endpoints at one block, the first of them asked first. Made by ``open_several``; use it in ``with``.

    What an endpoint fails at goes to the next one: calls as a whole, a lens for the items that have no answer yet, logs
    after the last block covered. A contract's refusal is an answer. Closing closes all.
    """

    def __init__(self, members: Members) -> None:
        first = members.all()[0].reader
        self._members = members
        self.chain_id: int = first.chain_id
        self.genesis_hash: str = first.genesis_hash
        self.block: Block = first.block

    @property
    def hosts(self) -> tuple[str, ...]:
        """Hosts of all endpoints in use."""
        return tuple(dict.fromkeys(member.host for member in self._members.all()))

    @property
    def way(self) -> Way | None:
        """The last of the ways in which the endpoints are read."""
        return lowest(member.reader.way for member in self._members.all())

    @property
    def notes(self) -> tuple[str, ...]:
        """What a user should know of the endpoints: who was left out, who failed."""
        return tuple(self._members.notes)

    @property
    def assurance(self) -> str | None:
        """What was compared between endpoints; None where nothing was."""
        return None

    def finalized_number(self) -> int:
        """Give what the first endpoint that answers says."""
        return self._first("calls", lambda member: member.reader.finalized_number())

    def block_hash(self, number: int) -> str | None:
        """Give the hash of a block; None when no endpoint knows the number."""

        work = self._members.work("calls")
        answered = False
        while (member := work.next()) is not None:
            try:
                found = member.reader.block_hash(number)
            except (ChainError, DecodeError) as error:
                work.failed(member, error)
            else:
                if found is not None:
                    return found
                answered = True  # this one may lag
        if not answered:
            raise work.exhausted()
        return None

    def call(self, calls: Sequence[Call], *, overrides: Overrides | None = None) -> list[bytes | Reverted]:
        """Answer calls in order, all by the same endpoint.

        Raises ChainError that lists every endpoint's failure, OverridesRefused when nobody takes ``overrides``.
        """

        def ask(member: Member) -> list[bytes | Reverted]:
            answers = member.reader.call(calls, overrides=overrides)
            member.served = True
            return answers

        return self._first("calls", ask) if calls else []

    def lens(self, lens: Lens, items: Sequence[bytes]) -> Iterator[LensChunk]:
        """Run a lens; chunks come as they are answered. Raises as ``call`` does."""
        for _, chunk in self._chunks(lens, items):
            yield chunk

    def _chunks(self, lens: Lens, items: Sequence[bytes]) -> Iterator[tuple[Member, LensChunk]]:
        """Give the chunks of a lens with who answered each."""
        work = self._members.work("calls")
        left: list[Span] = [(0, len(items))] if items else []
        while left:
            member = work.one()
            try:
                while left:
                    first, end = left[0]
                    for chunk in member.reader.lens(lens, items[first:end]):
                        if lens.check is not None:
                            lens.check(chunk.records)
                        moved = LensChunk(first + chunk.first, chunk.count, chunk.records)
                        left = _without(left, moved.first, moved.first + moved.count)
                        member.served = True
                        yield member, moved
            except (ChainError, DecodeError) as error:
                work.failed(member, error)

    def logs(self, query: LogQuery) -> Iterator[tuple[int, list[Log]]]:
        """Give logs in block order. Raises as ``call`` does."""
        work = self._members.work("logs")
        first = query.first_block
        while first <= query.last_block:
            member = work.one()
            try:
                for last, logs in member.reader.logs(replace(query, first_block=first)):
                    first = last + 1
                    yield last, logs
            except (ChainError, DecodeError) as error:
                work.failed(member, error)

    def header(self) -> Answered:
        """Give the pinned block as an endpoint describes it, unproven."""
        return self._first("proofs", lambda member: member.reader.header())

    def proofs(self, wanted: Wanted) -> Iterator[SlotsAnswered]:
        """Ask for proofs of storage slots; the next endpoint is asked for those not given yet. Raises ChainError."""
        work = self._members.work("proofs")
        left = {address: dict.fromkeys(slots) for address, slots in wanted.items() if slots}
        while left:
            member = work.one()
            try:
                for answered in member.reader.proofs({address: tuple(slots) for address, slots in left.items()}):
                    for slot in answered.slots:
                        left[answered.address].pop(slot, None)
                    left = {address: slots for address, slots in left.items() if slots}
                    yield answered
            except (ChainError, DecodeError) as error:
                work.failed(member, error)

    def finish(self) -> None:
        """Check that the block is still on the chain.

        By an endpoint whose calls named it by hash, and by each one whose calls did not. Raises BlockUndone when it was
        reorganised away, ChainError when nobody can tell.
        """
        failures: list[tuple[str, ChainError]] = []
        confirmed = 0
        for member in sorted(self._members.all(), key=lambda one: not one.served):
            numbered = member.served and not member.reader.by_hash
            if confirmed >= self._confirmations and not numbered:
                continue
            try:
                member.reader.finish()
                confirmed += 1
            except ChainError as error:
                if isinstance(error, BlockUndone) and (numbered or self._confirmations == 1):
                    raise
                if numbered and not self._final():
                    raise ChainError(
                        f"{member.host} was read by block number and cannot say that block {self.block.number} is the "
                        f"same as before: {reason_of(member.host, error)}; run it again, or use --block finalized"
                    ) from error
                failures.append((member.host, error))
        if confirmed < self._confirmations:
            raise all_failed(failures)

    _confirmations = 1  # endpoints that have to say that the block is still there

    def close(self) -> None:
        """Close the connections to all endpoints."""
        self._members.close()

    def _final(self) -> bool:
        """Tell whether the block cannot be undone any more."""
        try:
            return self.finalized_number() >= self.block.number
        except ChainError:
            return False

    def _first(self, task: Task, ask: Callable[[Member], T]) -> T:
        """Give the answer of the first endpoint that has one."""
        work = self._members.work(task)
        while True:
            member = work.one()
            try:
                return ask(member)
            except (ChainError, DecodeError) as error:
                work.failed(member, error)


def _without(spans: Sequence[Span], first: int, end: int) -> list[Span]:
    """Take the items from ``first`` to before ``end`` out of spans."""
    parts = ((max(a, low), min(b, high)) for a, b in spans for low, high in ((a, first), (end, b)))
    return [(a, b) for a, b in parts if a < b]
