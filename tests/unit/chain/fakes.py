"""Endpoints without a node: each answers from what it is told to know, and notes what it was asked."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from scanner.chain.failures import Kind, RpcFailure
from scanner.chain.interface import Block, Call, Lens, LensChunk, Log, LogQuery, Overrides, Reverted, Way
from scanner.chain.members import Member, Members
from scanner.chain.provable import Answered, SlotsAnswered, Wanted
from scanner.chain.spec import EndpointSpec, Role

LENS = Lens("probe", b"\x00", b"")
BLOCK = Block(100, "0x" + "11" * 32, 1_700_000_000)


def failure(kind: Kind = Kind.PLAN_EXHAUSTED, host: str = "node") -> RpcFailure:
    return RpcFailure(f"{host}: eth_call: {kind.value}", kind)


@dataclass
class FakeReader:
    """Answers a call with its calldata and a lens with the item, in chunks of ``chunk``, until ``fails``.

    fails: what is raised once ``good`` chunks, steps or calls were answered. wrong: items, calldata and blocks that are
    lied about.
    """

    host: str = "node"
    fails: Exception | None = None
    good: int = 0
    wrong: frozenset[object] = frozenset()
    chunk: int = 2
    order: Sequence[int] = ()
    by_hash: bool = True
    final: int = 90
    head: int | None = None
    chain_id: int = 1
    genesis_hash: str = "0x00"
    block: Block = BLOCK
    way: Way | None = "override"
    asked: list[object] = field(default_factory=list)
    closed: int = 0
    finished: Exception | None = None

    @property
    def hosts(self) -> tuple[str, ...]:
        return (self.host,)

    def finalized_number(self) -> int:
        self._work("finalized")
        return self.final

    def block_hash(self, number: int) -> str | None:
        self._work(number)
        return None if number > self.final else f"0x{number + (number in self.wrong):064x}"

    def call(self, calls: Sequence[Call], *, overrides: Overrides | None = None) -> list[bytes | Reverted]:
        self._work([call.data for call in calls])
        return [Reverted(b"lie") if call.data in self.wrong else call.data for call in calls]

    def lens(self, lens: Lens, items: Sequence[bytes]) -> Iterator[LensChunk]:
        starts = list(range(0, len(items), self.chunk))
        for at in self.order or range(len(starts)):
            if at >= len(starts):
                continue
            part = items[starts[at] : starts[at] + self.chunk]
            self._work(list(part))
            rows = (
                place.to_bytes(4, "big") + item.rjust(27, b"\x00") + bytes([item in self.wrong])
                for place, item in enumerate(part)
            )
            yield LensChunk(starts[at], len(part), b"".join(rows))

    def logs(self, query: LogQuery) -> Iterator[tuple[int, list[Log]]]:
        for first in range(query.first_block, query.last_block + 1, self.chunk):
            last = min(first + self.chunk - 1, query.last_block)
            self._work((first, last))
            blocks = [number for number in range(first, last + 1) if number not in self.wrong]
            yield last, [Log("0xaa", (), b"", number, 0) for number in blocks]

    def header(self) -> Answered:
        self._work("header")
        return Answered(self.host, b"{}")

    def proofs(self, wanted: Wanted) -> Iterator[SlotsAnswered]:
        for address, slots in wanted.items():
            for slot in slots:
                self._work((address, slot))
                yield SlotsAnswered(self.host, b"{}", address, (slot,))

    def finish(self) -> None:
        if self.finished is not None:
            raise self.finished

    def close(self) -> None:
        self.closed += 1

    def _work(self, what: object) -> None:
        if self.fails is not None and len(self.asked) >= self.good:
            raise self.fails
        self.asked.append(what)


def members(*readers: FakeReader, roles: Sequence[frozenset[Role]] = (), old: bool = False) -> Members:
    """Put readers together, each with the roles at its place, else with all."""
    every: frozenset[Role] = frozenset({"archive", "logs", "calls"})
    return Members(
        (
            Member(reader, EndpointSpec(f"http://{reader.host}/k3y", roles[at] if at < len(roles) else every))
            for at, reader in enumerate(readers)
        ),
        old=old,
    )
