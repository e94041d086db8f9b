"""What the rest of the program sees of a chain: one block, calls, logs, lenses."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, Literal, Protocol, get_args

__all__ = ["Block", "Call", "Lens", "LensChunk", "Log", "LogQuery", "Overrides", "Reader", "Reverted", "Way", "lowest"]

Overrides = Mapping[str, bytes]
"""Address (lower case, 0x) to the runtime code it has for the length of a call."""

Way = Literal["override", "deployless", "multicall3", "single"]
"""How many reads are put into one call: code injected by a state override, or as a contract being created; the
deployed Multicall3; not at all. Each is taken where those before it are not."""

_WAYS: Final[tuple[Way, ...]] = get_args(Way)


@dataclass(frozen=True, slots=True)
class Block:
    """A block that a scan is pinned to."""

    number: int
    hash: str  # 0x, lower case
    timestamp: int


@dataclass(frozen=True, slots=True)
class Call:
    """One read: who is asked and with which calldata."""

    to: str  # 0x, lower case
    data: bytes


@dataclass(frozen=True, slots=True)
class Reverted:
    """The contract's own refusal. Not an error of the node."""

    data: bytes = b""


@dataclass(frozen=True, slots=True)
class LogQuery:
    """Logs of some addresses with one of some first topics, in a block range (both ends included)."""

    addresses: tuple[str, ...]
    topics: tuple[str, ...]  # alternatives for topic 0
    first_block: int
    last_block: int


@dataclass(frozen=True, slots=True)
class Log:
    """One event, undecoded."""

    address: str
    topics: tuple[bytes, ...]
    data: bytes
    block_number: int
    log_index: int


@dataclass(frozen=True, slots=True)
class Lens:
    """A program that is injected for one call and answers for many items at once.

    Calldata is ``header`` followed by the items, ``item_bytes`` each. The answer is any number of 32-byte
    records whose first four bytes are the item's position in the calldata (big-endian), then one last word: the
    block's time (16 bytes) and the gas used (16). Items without a record answered "nothing". ``overrides`` are in
    place beside ``code``. ``start`` is how many items the first request may have, where one of them costs much.
    ``check`` raises DecodeError for the records of a chunk where no items can have them: the next endpoint is asked.
    ``timeless``: the records do not depend on the block's time or number.
    """

    name: str
    code: bytes
    header: bytes
    item_bytes: int = 20
    overrides: Overrides = field(default_factory=dict)
    start: int | None = None
    check: Callable[[bytes], None] | None = field(default=None, compare=False, repr=False)
    timeless: bool = False


@dataclass(frozen=True, slots=True)
class LensChunk:
    """The records of ``count`` items starting at item ``first`` of the sequence asked for.

    The first four bytes of a record count from ``first``.
    """

    first: int
    count: int
    records: bytes = field(repr=False)


def lowest(ways: Iterable[Way | None]) -> Way | None:
    """Give the last of some ways; None where there is none."""
    return max((way for way in ways if way is not None), key=_WAYS.index, default=None)


class Reader(Protocol):
    """The chain, frozen at one block.

    Nothing else takes a provider or a block number, so no read can slip to another block.
    """

    @property
    def chain_id(self) -> int: ...

    @property
    def genesis_hash(self) -> str: ...

    @property
    def block(self) -> Block: ...

    @property
    def hosts(self) -> tuple[str, ...]:
        """Endpoint hosts, without path, user or key."""
        ...

    @property
    def way(self) -> Way | None:
        """How many reads were put into one call: the last of the ways that had to be taken; None before the first."""
        ...

    def finalized_number(self) -> int:
        """Give the number of the newest block that cannot be undone, at most the pinned block."""
        ...

    def block_hash(self, number: int) -> str | None:
        """Give the hash of a block of the same chain; None when the node does not know that number."""
        ...

    def call(self, calls: Sequence[Call], *, overrides: Overrides | None = None) -> list[bytes | Reverted]:
        """Answer calls in order, batched into few requests.

        Raises RpcError when the node failed, OverridesRefused when ``overrides`` are not taken.
        """
        ...

    def lens(self, lens: Lens, items: Sequence[bytes]) -> Iterator[LensChunk]:
        """Run a lens over items; chunks come in any order and together cover every item once.

        Raises OverridesRefused when the endpoint takes neither overrides nor, for a lens without any of its own, a
        contract that is created for the length of a call.
        """
        ...

    def logs(self, query: LogQuery) -> Iterator[tuple[int, list[Log]]]:
        """Give logs in block order as ``(last block covered, logs)``, a step each, so that a cursor can be saved."""
        ...
