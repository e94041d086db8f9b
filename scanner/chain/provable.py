"""What a reader has to offer so that storage can be proven. Nothing that it gives is trusted."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol, runtime_checkable

from scanner.chain.interface import Block

__all__ = ["Answered", "Provable", "SlotsAnswered", "Wanted"]

Wanted = Mapping[str, Sequence[int]]
"""Contract (lower case, 0x) to the storage slots of it."""


@dataclass(frozen=True, slots=True)
class Answered:
    """What an endpoint said, undecoded and unproven."""

    host: str
    result: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class SlotsAnswered(Answered):
    """The answer to eth_getProof for some slots of a contract."""

    address: str
    slots: tuple[int, ...]


@runtime_checkable
class Provable(Protocol):
    """A reader whose endpoint can be asked for proofs; a recording cannot."""

    @property
    def block(self) -> Block: ...

    @property
    def hosts(self) -> tuple[str, ...]: ...

    def header(self) -> Answered:
        """Give the pinned block as the endpoint describes it."""
        ...

    def proofs(self, wanted: Wanted) -> Iterator[SlotsAnswered]:
        """Ask for proofs of slots; answers come in any order and together cover every slot once.

        Raises ChainError when the endpoint offers none, or not at this block.
        """
        ...
