"""Answer many calls with few requests, keeping apart what reverted, what failed and what was answered."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass

from scanner.chain.aggregate import (
    AGGREGATOR,
    MULTICALL3,
    Outcome,
    aggregator_code,
    pack,
    pack_multicall3,
    unpack,
    unpack_multicall3,
)
from scanner.chain.failures import SHRINKABLE, Kind, RpcFailure
from scanner.chain.interface import Call, Overrides, Reverted
from scanner.chain.options import Options
from scanner.chain.pinned import PinnedCalls
from scanner.chain.sizing import BatchSize
from scanner.chain.sweep import sweep
from scanner.errors import OverridesRefused, RpcError

__all__ = ["Caller", "refuses_overrides"]


def refuses_overrides(failure: RpcFailure) -> bool:
    """Tell whether a first request with overrides failed because of them."""
    return failure.kind in (Kind.OVERRIDES_REFUSED, Kind.INVALID_PARAMS)


@dataclass(frozen=True, slots=True)
class _Job:
    indices: list[int]
    alone: bool = False


class Caller:
    """Calls at one block, by the best way that the endpoint offers.

    Injected aggregator, else Multicall3 where it is deployed at that block, else one by one.
    """

    def __init__(self, pinned: PinnedCalls, options: Options) -> None:
        self._pinned = pinned
        self._options = options
        self._takes_overrides: bool | None = None
        self._multicall3: bool | None = None

    async def answer(self, calls: Sequence[Call], overrides: Overrides | None) -> list[bytes | Reverted]:
        """Answer calls in order. Raises RpcFailure, or OverridesRefused when ``overrides`` are not taken."""
        if overrides:
            return await self._sweep(_Injected(self._pinned, calls, overrides, self._options, self))
        if len(calls) <= 1:
            return await self._sweep(_Singly(self._pinned, calls, None, self._options))
        if self._takes_overrides is not False:
            try:
                return await self._sweep(_Injected(self._pinned, calls, {}, self._options, self))
            except OverridesRefused:
                self._takes_overrides = False
        if self._multicall3 is None:
            self._multicall3 = await self._pinned.code(MULTICALL3) != "0x"
        way = _ByMulticall3 if self._multicall3 else _Singly
        return await self._sweep(way(self._pinned, calls, None, self._options))

    def prove_overrides(self, taken: bool) -> None:
        """Remember whether the endpoint takes overrides."""
        self._takes_overrides = taken

    @property
    def takes_overrides(self) -> bool | None:
        """Whether the endpoint takes overrides; None before the first try."""
        return self._takes_overrides

    async def _sweep(self, work: _Singly) -> list[bytes | Reverted]:
        async for job, outcomes in sweep(work, self._options.concurrency):
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
            return [await self._pinned.call(call.to, call.data, self._overrides)]
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
        self._bytes = options.request_bytes // 2
        self._size = BatchSize(start=options.batch_start, most=options.batch_most, seconds=options.seconds)

    def take(self) -> _Job | None:
        if self._alone or not self._pending:
            return super().take()
        indices = [self._pending.popleft()]
        room = self._bytes - len(self._calls[indices[0]].data)
        while self._pending and len(indices) < self._size.size:
            room -= len(self._calls[self._pending[0]].data) + 24
            if room < 0:
                break
            indices.append(self._pending.popleft())
        return _Job(indices)

    async def ask(self, job: _Job) -> list[Outcome]:
        if job.alone:
            return await super().ask(job)
        started = time.perf_counter()
        outcomes = await self._aggregate([self._calls[index] for index in job.indices])
        self._size.learn(len(job.indices), len(outcomes), time.perf_counter() - started)
        return outcomes

    async def _aggregate(self, calls: Sequence[Call]) -> list[Outcome]:
        answer = await self._pinned.call(MULTICALL3, pack_multicall3(calls), shrinkable=len(calls) > 1)
        return unpack_multicall3(answer, len(calls))

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
        self, pinned: PinnedCalls, calls: Sequence[Call], overrides: Overrides, options: Options, caller: Caller
    ) -> None:
        super().__init__(pinned, calls, overrides, options)
        self._caller = caller
        self._all_overrides = {**overrides, AGGREGATOR: aggregator_code()}

    async def _aggregate(self, calls: Sequence[Call]) -> list[Outcome]:
        try:
            answer = await self._pinned.call(AGGREGATOR, pack(calls), self._all_overrides, shrinkable=len(calls) > 1)
        except RpcFailure as failure:
            if not self._caller.takes_overrides and refuses_overrides(failure):
                raise OverridesRefused(f"{failure}", code=failure.code) from failure
            raise
        if not answer:
            raise OverridesRefused(f"{self._pinned.endpoint.host}: the endpoint ignores state overrides in eth_call")
        outcomes = unpack(answer, len(calls))
        self._caller.prove_overrides(True)
        return outcomes
