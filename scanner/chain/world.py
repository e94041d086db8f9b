"""What eth_call is told to assume instead of a block's state: what a payload changed, and when."""

from __future__ import annotations

import binascii
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, Protocol

import msgspec

from scanner.chain.failures import Kind, RpcFailure
from scanner.chain.interface import Overrides
from scanner.errors import OverridesRefused

if TYPE_CHECKING:
    from scanner.chain.endpoint import Endpoint
    from scanner.chain.pinned import PinnedCalls

__all__ = ["Assumed", "Change", "World", "returned_bytes"]

_WORD: Final = 32
_PROBE: Final = "0x" + b"liqbands.world......".hex()
"""Where the probe is put: text, so no key and no contract can own it."""
_PROBE_CODE: Final = bytes.fromhex("60005460005242602052604060" + "00f3")  # returns slot 0 and the time
_PROBE_VALUE: Final = int.from_bytes(b"liqbands", "big")
_NOT_TAKEN: Final = frozenset(
    {Kind.OVERRIDES_REFUSED, Kind.INVALID_PARAMS, Kind.NO_METHOD, Kind.OTHER, Kind.REVERTED, Kind.PLAN_EXHAUSTED}
)


class Assumed(Protocol):
    """What calls assume beside the block's state: ``World``, ``Simulation``."""

    @property
    def timestamp(self) -> int | None:
        """The time that calls see; None: the block's."""
        ...

    @property
    def size(self) -> int:
        """About how many bytes it adds to a request, which has each as two digits."""
        ...

    def request(self, pin: object, message: dict[str, str], overrides: Overrides) -> tuple[str, list[Any]]:
        """Give the method and its parameters for a call, with codes put in place for it."""
        ...

    def returned(self, endpoint: Endpoint, result: msgspec.Raw, message: Mapping[str, str]) -> bytes:
        """Read what the call ``message`` returned. Raises RpcFailure."""
        ...

    async def check(self, pinned: PinnedCalls) -> None:
        """See that an endpoint takes it. Raises OverridesRefused, or RpcFailure where no other way would help."""
        ...


@dataclass(frozen=True, slots=True)
class Change:
    """What is other at one address: code and balance (None: as they were), storage slots with their values."""

    code: bytes | None = None
    balance: int | None = None
    slots: Mapping[int, int] = field(default_factory=dict)

    def parameter(self) -> dict[str, Any]:
        """Give what a state override says of the address."""
        said: dict[str, Any] = {}
        if self.code is not None:
            said["code"] = "0x" + self.code.hex()
        if self.balance is not None:
            said["balance"] = hex(self.balance)
        if self.slots:
            said["stateDiff"] = {f"0x{slot:064x}": f"0x{value:064x}" for slot, value in self.slots.items()}
        return said


@dataclass(frozen=True)
class World:
    """Changes by address (lower case), and the time and number of the block that calls see; None: those of theirs."""

    changes: Mapping[str, Change]
    timestamp: int | None = None
    number: int | None = None
    _said: dict[str, dict[str, Any]] = field(init=False, repr=False, compare=False)
    size: int = field(init=False)

    def __post_init__(self) -> None:
        said = {address: change.parameter() for address, change in self.changes.items()}
        object.__setattr__(self, "_said", {address: parts for address, parts in said.items() if parts})
        words = sum(2 * len(change.slots) + 2 for change in self.changes.values())
        codes = sum(len(change.code or b"") for change in self.changes.values())
        object.__setattr__(self, "size", words * (_WORD + 3) + codes)

    def parameters(self, overrides: Overrides) -> list[Any]:
        """Give what follows the block in eth_call; the codes in ``overrides`` win over the world's."""
        state = dict(self._said)
        for address, code in overrides.items():
            state[address] = {**state.get(address, {}), "code": "0x" + code.hex()}
        if self.timestamp is None:
            return [state]
        block = {"time": hex(self.timestamp)}
        if self.number is not None:
            block["number"] = hex(self.number)
        return [state, block]

    def request(self, pin: object, message: dict[str, str], overrides: Overrides) -> tuple[str, list[Any]]:
        """Give the method and its parameters for a call."""
        return "eth_call", [message, pin, *self.parameters(overrides)]

    def returned(self, endpoint: Endpoint, result: msgspec.Raw, message: Mapping[str, str]) -> bytes:
        """Read what a call returned. Raises RpcFailure for an answer of another shape."""
        return returned_bytes(endpoint, result)

    async def check(self, pinned: PinnedCalls) -> None:
        """See that an endpoint takes changes to storage and, where there is one, another time: one call.

        Raises OverridesRefused, or RpcFailure where asking in another way would not help.
        """
        host = pinned.endpoint.host
        probing = World({_PROBE: Change(slots={0: _PROBE_VALUE})}, self.timestamp, self.number)
        wanted = [_PROBE_VALUE, self.timestamp or pinned.block.timestamp]
        before, pinned.world = pinned.world, probing
        try:
            answer = await pinned.call(_PROBE, b"", {_PROBE: _PROBE_CODE})
        except RpcFailure as failure:
            if failure.kind not in _NOT_TAKEN:
                raise
            raise OverridesRefused(f"{host}: eth_call takes no changes to storage or time ({failure})") from failure
        finally:
            pinned.world = before
        seen = [int.from_bytes(answer[at : at + _WORD], "big") for at in (0, _WORD)]
        if seen != wanted:
            what = "storage" if seen[0] != wanted[0] else "time"
            raise OverridesRefused(f"{host}: eth_call ignores changes to {what}")


def returned_bytes(endpoint: Endpoint, result: msgspec.Raw) -> bytes:
    """Read the result of an eth_call. Raises RpcFailure for one of another shape."""
    view = memoryview(result)
    try:
        if bytes(view[:3]) != b'"0x':
            raise ValueError
        return binascii.unhexlify(view[3:-1])
    except ValueError as error:
        raise endpoint.malformed("eth_call", result) from error
