"""How code that is not on the chain is run there: put in place by a state override, else as a contract being created.

What an endpoint refused is not tried again, and what worked may be refused later: then the next way is taken.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from scanner.chain.deployless import INITCODE_MOST, creation, creation_gas, room_for, unwrap
from scanner.chain.failures import Kind, RpcFailure
from scanner.chain.interface import Overrides, Way, lowest
from scanner.chain.pinned import PinnedCalls
from scanner.errors import DecodeError, OverridesRefused

__all__ = ["Ladder", "Program"]

_WORD: Final = 32
_TOO_MUCH = frozenset({Kind.OUT_OF_GAS, Kind.PAYLOAD_TOO_LARGE})
_NOT_OFFERED = frozenset({Kind.INVALID_PARAMS, Kind.OTHER, Kind.NO_METHOD, Kind.OVERRIDES_REFUSED})


@dataclass(frozen=True, slots=True)
class Program:
    """Runtime code, the address it is given for the length of a call, and what other addresses have meanwhile."""

    at: str
    code: bytes
    overrides: Overrides


class Ladder:
    """The ways of one reader. ``way`` is the last one that had to be taken, by programs without own overrides."""

    def __init__(self, pinned: PinnedCalls) -> None:
        self._pinned = pinned
        self._learned = pinned.endpoint.learned
        self._worked: set[Way] = set()
        self._refused: set[Way] = set()
        if self._learned.overrides is False:
            self._refused.add("override")
        if self._learned.deployless is False:
            self._refused.add("deployless")
        self.way: Way | None = None

    def room(self, program: Program) -> int | None:
        """Say how many bytes of calldata the program can be given, None where only the request's size counts."""
        return room_for(program.code) if self._is_created(program) else None

    def extra_gas(self, program: Program) -> int:
        """Give the gas that a call takes beside what the program uses."""
        return creation_gas(program.code) if self._is_created(program) else 0

    async def run(self, program: Program, data: bytes, *, shrinkable: bool) -> bytes:
        """Give what the program returned: at its end a word that has the block's time in its upper half.

        Raises RpcFailure, also where it saw another block's time, OverridesRefused where no way is left, DecodeError.
        """
        answer = await self._run(program, data, shrinkable=shrinkable)
        if len(answer) < _WORD:
            raise DecodeError(f"{self._pinned.endpoint.host}: an answer of {len(answer)} bytes to code of ours")
        await self._pinned.check_time(int.from_bytes(answer[-_WORD : -_WORD // 2], "big"))
        return answer

    async def _run(self, program: Program, data: bytes, *, shrinkable: bool) -> bytes:
        host = self._pinned.endpoint.host
        refusal = OverridesRefused(f"{host}: the endpoint took no state overrides in eth_call, as was seen before")
        if "override" not in self._refused:
            try:
                return await self._by_override(program, data, shrinkable)
            except OverridesRefused as refused:
                refusal = refused
        if program.overrides or self._pinned.world is not None:
            raise refusal
        self._refused.add("override")
        if "deployless" in self._refused:
            raise refusal
        try:
            return await self._created(program, data, shrinkable)
        except OverridesRefused as refused:
            self._refused.add("deployless")
            raise OverridesRefused(f"{refusal}; {refused}", code=refusal.code) from refused

    def note(self, way: Way) -> None:
        """Take in that a way worked, and so that those before it are refused for good reason."""
        self.way = lowest((self.way, way))
        self._worked.add(way)
        if "override" in self._refused:
            self._learned.overrides = False
        if "deployless" in self._refused:
            self._learned.deployless = False
        if way == "override":
            self._learned.overrides = True
        elif way == "deployless":
            self._learned.deployless = True

    def _is_created(self, program: Program) -> bool:
        return "override" in self._refused and not program.overrides and self._pinned.world is None

    async def _by_override(self, program: Program, data: bytes, shrinkable: bool) -> bytes:
        overrides = {**program.overrides, program.at: program.code}
        try:
            answer = await self._pinned.call(program.at, data, overrides, shrinkable=shrinkable)
        except RpcFailure as failure:
            unheard = failure.kind is Kind.INVALID_PARAMS and "override" not in self._worked
            if unheard or failure.kind is Kind.OVERRIDES_REFUSED:
                raise OverridesRefused(f"{failure}", code=failure.code) from failure
            raise
        if not answer:
            raise OverridesRefused(f"{self._pinned.endpoint.host}: the endpoint ignores state overrides in eth_call")
        if not program.overrides:
            self.note("override")
        return answer

    async def _created(self, program: Program, data: bytes, shrinkable: bool) -> bytes:
        host, new = self._pinned.endpoint.host, "deployless" not in self._worked
        if len(data) > room_for(program.code):
            words = f"{host}: eth_call: a contract's creation has at most {INITCODE_MOST} bytes"
            raise RpcFailure(words, Kind.PAYLOAD_TOO_LARGE)
        try:
            await self._pinned.create(creation(program.code, data), shrinkable=shrinkable)
        except RpcFailure as failure:
            try:
                ran = unwrap(failure.data)
            except DecodeError as error:
                if new:
                    raise OverridesRefused(f"{host}: the endpoint cuts the data of a revert ({error})") from error
                raise
            if ran is None:
                nothing_came = failure.kind is Kind.REVERTED
                too_large = failure.kind in _TOO_MUCH and not shrinkable
                if nothing_came or (new and (too_large or failure.kind in _NOT_OFFERED)):
                    reason = "the endpoint gives no answer from a contract's creation"
                    raise OverridesRefused(f"{host}: {reason} ({failure})", code=failure.code) from failure
                raise
            self.note("deployless")
            if ran.answered:
                return ran.returned
            kind = Kind.OUT_OF_GAS if ran.out_of_gas else Kind.REVERTED
            words = "out of gas" if ran.out_of_gas else "execution reverted"
            raise RpcFailure(f"{host}: eth_call: {words}", kind, data=ran.returned) from failure
        raise OverridesRefused(f"{host}: the endpoint answers a creation that can only revert")
