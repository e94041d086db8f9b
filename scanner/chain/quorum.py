"""A reader over several endpoints that believes none of them alone."""

from __future__ import annotations

import math
import secrets
import threading
from collections.abc import Generator, Iterable, Iterator, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass, field, replace
from itertools import zip_longest
from typing import Final

from scanner.chain.agreement import Agreement, Question, contrast
from scanner.chain.interface import Call, Lens, LensChunk, Log, LogQuery, Overrides, Reverted
from scanner.chain.members import Member, Members
from scanner.chain.pool import PoolReader
from scanner.errors import BlockUnavailable, ChainError, DecodeError, EndpointQuarantined, OverridesRefused, QuorumLost

__all__ = ["QuorumReader"]

_WORD: Final = 32
_POSITION: Final = 4
_LEAST: Final = 50  # items of a lens that are compared, where it has so many
_TRIED: Final = 4  # items by which an endpoint shows that it runs a lens

Records = tuple[tuple[bytes, ...], ...]
"""The records of each item, without their positions. One that answered "nothing" has none."""


class QuorumReader(PoolReader):
    """Several endpoints at one block, of which ``quorum`` have to give the same answers.

    Calls, logs and hashes are compared in full. Of what a lens answers, a ``share`` of the items is, at least 50: which
    ones is drawn when they have been answered, so that nobody can know before. A share of 1 compares all.
    Everything is of one block that is named by its hash, so that no two honest endpoints differ.
    """

    def __init__(self, members: Members, quorum: int, share: float = 0.05) -> None:
        super().__init__(members)
        self._quorum = quorum
        self._share = share
        self._agreement = Agreement(members, quorum)
        self._confirmations = quorum
        self._counting = threading.Lock()
        self._able: set[tuple[str, bool, tuple[Member, ...]]] = set()
        self._items = 0
        self._compared = 0

    @property
    def assurance(self) -> str:
        """Say what was compared, and how probably a change is found where it was not everything."""
        said = f"{self._quorum} endpoints ({', '.join(self.hosts)}) agree on every call and log"
        if not self._items:
            return said
        if self._compared == self._items:
            return f"{said} and on all {self._items:,} accounts and prices that lenses read"
        chances = ", ".join(f"{k} with {1 - (1 - self._share) ** k:.1%}" for k in (1, 10, 100))
        return (
            f"{said} and on {self._compared:,} of {self._items:,} answers of lenses, drawn at random: k changed ones "
            f"are found with a probability of at least 1 - (1 - {self._share:g})^k ({chances})"
        )

    def finalized_number(self) -> int:
        """Give the lowest number that so many endpoints take for final."""
        self._agreement.check()
        work = self._members.work("calls")
        numbers: list[int] = []
        while len(numbers) < self._quorum:
            member = work.next()
            if member is None:
                raise self._agreement.too_few("give the number of their final block", len(numbers), work)
            try:
                numbers.append(member.reader.finalized_number())
            except (ChainError, DecodeError) as error:
                work.failed(member, error)
        return min(numbers)

    def block_hash(self, number: int) -> str | None:
        """Give the hash of a block; None when too few endpoints know the number, though none knows another."""

        def ask(member: Member) -> str:
            found = member.reader.block_hash(number)
            if found is None:
                raise BlockUnavailable(f"{member.host}: the node does not know block {number}")
            return found

        def differ(ours: str, theirs: str) -> tuple[str, str, str]:
            return f"the hash of block {number}", ours, theirs

        known: list[tuple[Member, str]] = []
        for member in self._members.order("calls"):
            with suppress(ChainError, DecodeError):
                known.append((member, ask(member)))
        if len(known) < self._quorum and len({found for _, found in known}) < 2:
            return None
        return self._agreement.settle(Question("calls", ask, differ), known)

    def call(self, calls: Sequence[Call], *, overrides: Overrides | None = None) -> list[bytes | Reverted]:
        """Answer calls in order. Raises as ``Agreement.settle`` does."""
        if not calls:
            return []

        def differ(ours: list[bytes | Reverted], theirs: list[bytes | Reverted]) -> tuple[str, str, str]:
            at = next(i for i, pair in enumerate(zip(ours, theirs, strict=True)) if pair[0] != pair[1])
            return f"the call of 0x{calls[at].data[:4].hex()} to {calls[at].to}", *contrast(ours[at], theirs[at])

        def ask(member: Member) -> list[bytes | Reverted]:
            return member.reader.call(calls, overrides=overrides)

        return self._agreement.settle(Question("calls", ask, differ))

    def _chunks(self, lens: Lens, items: Sequence[bytes]) -> Iterator[tuple[Member, LensChunk]]:
        """Give chunks that are compared when all are there.

        Raises OverridesRefused, by which a caller reads what it has not got in another way, only before the first one:
        nothing that it keeps then is left uncompared.
        """
        self._agreement.check()
        answered: list[tuple[Member, LensChunk]] = []
        if len(items) <= _LEAST:
            answered += self._read(lens, items)
            self._compare(lens, items, answered)
            yield from answered
            return
        self._try_out(lens, items[:_TRIED])
        try:
            with closing(self._read(lens, items)) as chunks:
                for member, chunk in chunks:
                    answered.append((member, chunk))
                    yield member, chunk
            self._compare(lens, items, answered)
        except OverridesRefused as refused:
            if not answered:
                raise
            done = f"what was read by lens {lens.name} cannot be compared any more"
            raise self._agreement.lose(QuorumLost(f"{done}: {refused}; run it again")) from refused

    def _read(self, lens: Lens, items: Sequence[bytes]) -> Generator[tuple[Member, LensChunk], None, None]:
        """Give chunks of endpoints that nobody has found out meanwhile."""
        for member, chunk in super()._chunks(lens, items):
            self._agreement.trust(member)
            yield member, chunk

    def _try_out(self, lens: Lens, items: Sequence[bytes]) -> None:
        """Find out whether so many endpoints run a lens. Raises OverridesRefused, and as ``Agreement.settle`` does."""
        able = (lens.name, bool(lens.overrides), tuple(self._members.all()))
        if able not in self._able:
            self._agreement.settle(_lens_question(lens, items))
            self._able.add(able)

    def _compare(self, lens: Lens, items: Sequence[bytes], answered: Sequence[tuple[Member, LensChunk]]) -> None:
        """Hold some items against what others answer, those of each endpoint that answered on their own."""
        count = len(items) if self._share >= 1 else min(len(items), max(_LEAST, math.ceil(self._share * len(items))))
        drawn = set(secrets.SystemRandom().sample(range(len(items)), count))
        for member in dict.fromkeys(member for member, _ in answered):
            chunks = [chunk for by, chunk in answered if by is member]
            mine = [at for chunk in chunks for at in range(chunk.first, chunk.first + chunk.count) if at in drawn]
            self._agreement.trust(member)
            if mine:
                given = _records(chunks, mine)
                agreed = self._agreement.settle(_lens_question(lens, [items[at] for at in mine]), [(member, given)])
                self._agreement.trust(member)
                if agreed != given:
                    reason = f"others agree on something else about lens {lens.name}"
                    raise self._agreement.lose(EndpointQuarantined(member.host, reason))
        with self._counting:
            self._items += len(items)
            self._compared += count

    def logs(self, query: LogQuery) -> Iterator[tuple[int, list[Log]]]:
        """Give logs in block order, each step when so many endpoints gave the same."""
        work = self._members.work("logs")
        streams: list[_Stream] = []
        first = query.first_block
        try:
            while first <= query.last_block:
                self._agreement.check()
                while len(streams) < self._quorum:
                    member = work.next()
                    if member is None:
                        raise self._agreement.too_few("give logs", len(streams), work)
                    streams.append(_Stream(member, member.reader.logs(replace(query, first_block=first)), first - 1))
                behind = next((stream for stream in streams if stream.covered < first), None)
                if behind is not None:
                    try:
                        behind.step()
                    except (ChainError, DecodeError) as error:
                        streams.remove(behind)
                        work.failed(behind.member, error)
                    continue
                last = min(stream.covered for stream in streams)
                given = [(stream.member, stream.take(last)) for stream in streams]
                logs = self._agreement.settle(_logs_question(replace(query, first_block=first, last_block=last)), given)
                using = self._members.all()
                for stream in [stream for stream in streams if stream.member not in using]:
                    stream.stop()
                    streams.remove(stream)
                yield last, logs
                first = last + 1
        finally:
            for stream in streams:
                stream.stop()

    def finish(self) -> None:
        """Check that so many endpoints still have the block. Raises what was raised before, and as the pool does."""
        self._agreement.check()
        super().finish()


@dataclass(eq=False)
class _Stream:
    """The logs of one endpoint, as far as it has come."""

    member: Member
    steps: Iterator[tuple[int, list[Log]]]
    covered: int
    logs: list[Log] = field(default_factory=list)

    def step(self) -> None:
        self.covered, logs = next(self.steps)
        self.logs += logs

    def stop(self) -> None:
        if isinstance(self.steps, Generator):
            self.steps.close()  # cancels what it asks ahead

    def take(self, last: int) -> list[Log]:
        """Give the logs up to a block, and keep those after it."""
        taken = [log for log in self.logs if log.block_number <= last]
        self.logs = self.logs[len(taken) :]
        return taken


def _logs_question(query: LogQuery) -> Question[list[Log]]:
    def ask(member: Member) -> list[Log]:
        return [log for _, logs in member.reader.logs(query) for log in logs]

    def differ(ours: list[Log], theirs: list[Log]) -> tuple[str, str, str]:
        what = f"logs of blocks {query.first_block}-{query.last_block}"
        if len(ours) != len(theirs):
            return what, f"{len(ours)}", f"{len(theirs)} logs"
        one, other = next(pair for pair in zip(ours, theirs, strict=True) if pair[0] != pair[1])
        where = f"log {one.log_index} of block {one.block_number}"
        return what, where, f"another one at its place (log {other.log_index} of block {other.block_number})"

    return Question("logs", ask, differ)


def _lens_question(lens: Lens, items: Sequence[bytes]) -> Question[Records]:
    def ask(member: Member) -> Records:
        return _records(member.reader.lens(lens, items), range(len(items)))

    def differ(ours: Records, theirs: Records) -> tuple[str, str, str]:
        wrong = [at for at in range(len(items)) if ours[at] != theirs[at]]
        first = items[wrong[0]].hex()
        what = f"{len(wrong)} of {len(items)} compared answers of lens {lens.name}, the first for 0x{first}"
        one, other = next(
            pair for pair in zip_longest(ours[wrong[0]], theirs[wrong[0]], fillvalue=b"") if pair[0] != pair[1]
        )
        return what, *contrast(one, other)

    return Question("calls", ask, differ)


def _records(chunks: Iterable[LensChunk], wanted: Iterable[int]) -> Records:
    """Take the records of some items, by position, out of chunks."""
    found: dict[int, list[bytes]] = {at: [] for at in wanted}
    for chunk in chunks:
        for at in range(0, len(chunk.records), _WORD):
            position = chunk.first + int.from_bytes(chunk.records[at : at + _POSITION], "big")
            if position in found:
                found[position].append(chunk.records[at + _POSITION : at + _WORD])
    return tuple(tuple(records) for records in found.values())
