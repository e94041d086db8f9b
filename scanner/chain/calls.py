"""Answer many calls with few requests, keeping apart what reverted, what failed and what was answered."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from scanner.chain.aggregate import (
    AGGREGATOR,
    MULTICALL3,
    Outcome,
    aggregator_code,
    gas_proof,
    is_gas_proof,
    pack,
    pack_multicall3,
    time_call,
    unpack,
    unpack_multicall3,
)
from scanner.chain.failures import SHRINKABLE, TRANSIENT, Kind, RpcFailure
from scanner.chain.interface import Call, Overrides, Reverted, Way
from scanner.chain.ladder import Ladder, Program
from scanner.chain.options import Options
from scanner.chain.pinned import PinnedCalls
from scanner.chain.sizing import BatchSize
from scanner.chain.spent import measured
from scanner.chain.sweep import sweep
from scanner.errors import DecodeError, OverridesRefused, RpcError

__all__ = ["Caller"]


_WORD: Final = 32
_GAS_LEFT: Final = 4
"""A quarter of the gas has to be left when Multicall3 is done; see ``gas_proof``."""

_CALL_BYTES: Final = 24
"""What the aggregator is told of a call beside its calldata."""


@dataclass(frozen=True, slots=True)
class _Job:
    indices: list[int]
    alone: bool = False


class Caller:
    """Calls at one block, by the best way that the endpoint offers.

    Our own aggregator where the ladder gets it there, else Multicall3 where it is deployed at that block, else one by
    one.
    """

    def __init__(self, pinned: PinnedCalls, options: Options) -> None:
        self._pinned = pinned
        self._options = options
        self.ladder = Ladder(pinned)
        self._multicall3: bool | None = None

    async def answer(self, calls: Sequence[Call], overrides: Overrides | None) -> list[bytes | Reverted]:
        """Answer calls in order. Raises RpcFailure, or OverridesRefused when ``overrides`` are not taken."""
        if overrides:
            return await self._sweep(_Injected(self._pinned, calls, overrides, self._options, self.ladder))
        if self._pinned.world is not None:  # other ways do not show whether its changes are in place
            return await self._sweep(_Injected(self._pinned, calls, {}, self._options, self.ladder))
        if len(calls) <= 1:
            return await self._sweep(_Singly(self._pinned, calls, None, self._options))
        try:
            return await self._sweep(_Injected(self._pinned, calls, {}, self._options, self.ladder))
        except OverridesRefused:
            pass  # neither way of injecting code is left
        if self._multicall3 is None:
            self._multicall3 = await self._offers_multicall3()
        way: type[_Singly] = _ByMulticall3 if self._multicall3 else _Singly
        answers = await self._sweep(way(self._pinned, calls, None, self._options))
        self.ladder.note("multicall3" if self._multicall3 else "single")
        return answers

    @property
    def way(self) -> Way | None:
        """How many reads were put into one call: the last of the ways that had to be taken; None before the first."""
        return self.ladder.way

    async def _offers_multicall3(self) -> bool:
        """See that Multicall3 is there and does what it should, with as much gas left as has to be proven."""
        if await self._pinned.code(MULTICALL3) == "0x":
            return False
        proof = gas_proof((self._pinned.gas or self._options.gas) // _GAS_LEFT)
        try:
            answer = await self._pinned.call(MULTICALL3, pack_multicall3([proof]))
            return is_gas_proof(unpack_multicall3(answer, 1)[0])
        except DecodeError:
            return False
        except RpcFailure as failure:
            if failure.kind not in SHRINKABLE or failure.kind in TRANSIENT:
                raise
            return False

    async def _sweep(self, work: _Singly) -> list[bytes | Reverted]:
        options = self._options
        at_once = options.concurrency * (options.batch_http if type(work) is _Singly else 1)
        async for job, outcomes in sweep(work, at_once):
            work.settle(job, outcomes)
        return work.answers()


class _Singly:
    """Calls one by one. The aggregating ways inherit what happens to a call that has to be asked alone."""

    def __init__(
        self, pinned: PinnedCalls, calls: Sequence[Call], overrides: Overrides | None, options: Options
    ) -> None:
        self._pinned = pinned
        self._calls = calls
        self._overrides = overrides
        self._outcomes: list[Outcome] = [None] * len(calls)
        self._alone: deque[int] = deque(range(len(calls)))

    def take(self) -> _Job | None:
        return _Job([self._alone.popleft()], alone=True) if self._alone else None

    async def ask(self, job: _Job) -> list[Outcome]:
        call = self._calls[job.indices[0]]
        try:
            if self._overrides:
                return [await self._pinned.call(call.to, call.data, self._overrides)]
            return [await self._pinned.call_among_others(call.to, call.data)]
        except RpcFailure as failure:
            if failure.kind is Kind.REVERTED:
                return [Reverted(failure.data)]
            raise

    def failed(self, job: _Job, failure: RpcFailure) -> None:
        if failure.kind not in SHRINKABLE:
            raise failure
        call = self._calls[job.indices[0]]
        raise RpcError(f"call of 0x{call.data[:4].hex()} to {call.to}: {failure}", code=failure.code) from failure

    def settle(self, job: _Job, outcomes: list[Outcome]) -> None:
        for index, outcome in zip(job.indices, outcomes, strict=False):
            self._outcomes[index] = outcome

    def answers(self) -> list[bytes | Reverted]:
        answers = [outcome for outcome in self._outcomes if outcome is not None]
        if len(answers) != len(self._calls):
            raise AssertionError("a call was left without an answer")
        return answers


class _ByMulticall3(_Singly):
    """Calls in batches through the deployed Multicall3."""

    def __init__(
        self, pinned: PinnedCalls, calls: Sequence[Call], overrides: Overrides | None, options: Options
    ) -> None:
        super().__init__(pinned, calls, overrides, options)
        self._pending = deque(self._alone)
        self._alone.clear()
        self._proof = gas_proof((pinned.gas or options.gas) // _GAS_LEFT)
        self._bytes = (options.request_bytes - len(self._proof.data)) // 2
        self._size = BatchSize(start=self._start(options), most=options.batch_most, seconds=options.seconds)

    def _start(self, options: Options) -> int:
        return options.batch_start

    def take(self) -> _Job | None:
        if self._alone or not self._pending:
            return super().take()
        indices = [self._pending.popleft()]
        room = self._room() - len(self._calls[indices[0]].data) - _CALL_BYTES
        while self._pending and len(indices) < self._size.size:
            room -= len(self._calls[self._pending[0]].data) + _CALL_BYTES
            if room < 0:
                break
            indices.append(self._pending.popleft())
        return _Job(indices)

    async def ask(self, job: _Job) -> list[Outcome]:
        if job.alone:
            return await super().ask(job)
        with measured() as spent:
            outcomes = await self._aggregate([self._calls[index] for index in job.indices])
        self._size.learn(len(job.indices), len(outcomes), spent.seconds)
        return outcomes

    def _room(self) -> int:
        """Say how many bytes the calls of a batch may have together."""
        return self._bytes

    async def _aggregate(self, calls: Sequence[Call]) -> list[Outcome]:
        data = pack_multicall3([*calls, time_call(), self._proof])
        answer = await self._pinned.call(MULTICALL3, data, shrinkable=len(calls) > 1)
        *outcomes, time_, proof = unpack_multicall3(answer, len(calls) + 2)
        if not is_gas_proof(proof):
            raise RpcFailure(f"{self._pinned.endpoint.host}: Multicall3 ran short of gas", Kind.OUT_OF_GAS)
        if isinstance(time_, bytes) and len(time_) == _WORD:  # a copy of it may not have the function
            await self._pinned.check_time(int.from_bytes(time_, "big"))
        return outcomes

    def failed(self, job: _Job, failure: RpcFailure) -> None:
        if job.alone:
            super().failed(job, failure)
        if len(job.indices) == 1:
            self._alone.append(job.indices[0])
            return
        self._size.shrink(len(job.indices), failure)
        self._pending.extendleft(reversed(job.indices))

    def settle(self, job: _Job, outcomes: list[Outcome]) -> None:
        super().settle(job, outcomes)
        answered = len(outcomes)
        self._alone.extend(i for i, outcome in zip(job.indices, outcomes, strict=False) if outcome is None)
        self._pending.extendleft(reversed(job.indices[answered:]))


class _Injected(_ByMulticall3):
    """Calls in batches through our aggregator, put on the chain for the length of the call."""

    def __init__(
        self, pinned: PinnedCalls, calls: Sequence[Call], overrides: Overrides, options: Options, ladder: Ladder
    ) -> None:
        super().__init__(pinned, calls, overrides, options)
        self._ladder = ladder
        self._program = Program(AGGREGATOR, aggregator_code(), overrides)

    def _start(self, options: Options) -> int:
        return options.injected_start  # what the gas does not reach for comes back unanswered, so that nothing fails

    def _room(self) -> int:
        return min(self._bytes, self._ladder.room(self._program) or self._bytes)

    async def _aggregate(self, calls: Sequence[Call]) -> list[Outcome]:
        answer = await self._ladder.run(self._program, pack(calls), shrinkable=len(calls) > 1)
        return unpack(answer, len(calls))
