"""One HTTP request of an endpoint: within its budget and time, sent twice when slow, and logged."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final, Generic, TypeVar

import aiohttp

from scanner.chain import spent
from scanner.chain.answers import Answers
from scanner.chain.deadline import Deadline
from scanner.chain.failures import TRANSIENT, Kind, RpcFailure
from scanner.chain.hedge import Hedges
from scanner.chain.options import Options
from scanner.chain.rate import NamedWait, Rate
from scanner.chain.translog import Attempt, TransportLog, batch_summary, summary
from scanner.chain.transport import HttpAnswer, Provider
from scanner.errors import ConfigError

__all__ = ["CLOSED", "Ask", "Wire"]

T = TypeVar("T")

CLOSED: Final = "the endpoint was closed"
"""What a failure says of a request that nobody waits for any more."""

_CANCELLED: Final = "CANCELLED"  # in the log, for the slower of two copies, and for what an interrupt ended
_WORTH_TELLING: Final = 1.0  # seconds of waiting
_HOLDING: Final = frozenset({Kind.RATE_LIMITED, Kind.SERVER})


@dataclass(slots=True)
class Ask(Generic[T]):
    """What is asked in one HTTP request, and how its answer is read. params: of each method in turn."""

    methods: tuple[str, ...]
    params: tuple[list[Any], ...]
    body: bytes
    read: Callable[[HttpAnswer], T | RpcFailure]
    attempt: int = 1

    @property
    def name(self) -> str:
        """Give the method, or "batch"."""
        return self.methods[0] if len(self.methods) == 1 else "batch"


class Wire:
    """Sends for one endpoint. A failure is a value here: nothing is raised that may hold the URL."""

    def __init__(
        self,
        provider: Provider,
        answers: Answers,
        rate: Rate,
        options: Options,
        deadline: Deadline,
        log: TransportLog | None,
        told: Callable[[str], None] | None = None,
    ) -> None:
        self._told = told
        self._provider = provider
        self._answers = answers
        self._rate = rate
        self._options = options
        self._deadline = deadline
        self._log = log
        self.hedges = Hedges(options.hedge_after if options.hedge else None)
        self.sent = 0
        self.closed = False

    async def exchange(self, ask: Ask[T]) -> T | RpcFailure:
        """Wait for a turn, send, and read the answer. Raises ConfigError for a URL that cannot be used."""
        try:
            await self._rate.enter(ask.methods, self._options.patience, self._deadline)
        except NamedWait as wait:
            seconds = wait.seconds
        except TimeoutError:
            return self._out_of_time(ask)
        else:
            return await self._in_turn(ask)
        note = f"it asked to be left alone for another {seconds:.3g} s, longer than a request may wait"
        return self._answers.failure(ask.name, note, Kind.RATE_LIMITED, retry_after=seconds)

    async def _in_turn(self, ask: Ask[T]) -> T | RpcFailure:
        try:
            after = self.hedges.after(ask.name)
            if after is None:
                return await self._send(ask)
            return await self._race(ask, after)
        finally:
            self._rate.leave()

    async def _race(self, ask: Ask[T], after: float) -> T | RpcFailure:
        """Send, and once more when that is slow; the first answer that is one counts."""
        sending = self._send(ask)
        first = asyncio.create_task(sending)
        second: asyncio.Task[T | RpcFailure] | None = None
        try:
            done, pending = await asyncio.wait({first}, timeout=after)
            if done or not (self.hedges.allowed and self._rate.try_enter(ask.methods)):
                return await first
            self.hedges.sent += 1
            copy = self._send(ask, hedged=True)
            second = asyncio.create_task(copy)
            # not in a finally inside it: what is cancelled before its first step never gets there
            second.add_done_callback(lambda _: self._rate.leave())
            pending = {first, second}
            while pending:
                done, pending = await asyncio.wait(pending, return_when=asyncio.FIRST_COMPLETED)
                for task in done:
                    outcome = task.result()
                    if not isinstance(outcome, RpcFailure) or outcome.kind not in TRANSIENT | {Kind.NOT_RPC}:
                        return outcome
            return first.result()
        finally:
            first.cancel()
            if second is not None:
                second.cancel()

    async def _send(self, ask: Ask[T], *, hedged: bool = False) -> T | RpcFailure:
        deadline = self._deadline
        if self.closed:
            return self._answers.failure(ask.name, CLOSED, Kind.OUT_OF_TIME)
        if deadline.over:
            return self._out_of_time(ask)
        loop = asyncio.get_running_loop()
        began = loop.time()
        left = None if deadline.limit is None else deadline.left()
        answer: HttpAnswer | None = None
        outcome: T | RpcFailure
        self.sent += 1
        try:
            answer = await self._provider.post(ask.body, left)
        except asyncio.CancelledError:
            if self._log is not None:
                self._note(self._log, ask, None, None, loop.time() - began, hedged=hedged, failure=_CANCELLED)
            raise
        except (aiohttp.InvalidURL, UnicodeError):  # the latter for hosts that are no names
            invalid = True
        except (TimeoutError, aiohttp.ClientError, OSError, ValueError) as error:
            invalid = False
            if deadline.over:
                outcome = self._out_of_time(ask)
            else:
                outcome = self._answers.broken(ask.name, error, self._options.timeout)
        else:
            invalid = False
            outcome = self._read(ask, answer)
        if invalid:  # raised out here, because the error that was caught holds the URL
            raise ConfigError(f"{self._answers.host}: the RPC URL is not valid; write it as https://host/path")
        seconds = loop.time() - began
        spent.note(seconds)
        if isinstance(outcome, RpcFailure):
            self._refused(outcome, began)
        else:
            if isinstance(outcome, list):
                for item in outcome:
                    if isinstance(item, RpcFailure):
                        self._refused(item, began)
            self.hedges.answered(ask.name, seconds)
        if self._log is not None:
            self._note(self._log, ask, answer, outcome, seconds, hedged=hedged)
        return outcome

    def _read(self, ask: Ask[T], answer: HttpAnswer) -> T | RpcFailure:
        try:
            return ask.read(answer)
        except RecursionError:
            return self._answers.failure(ask.name, "the answer is nested too deeply", Kind.NOT_RPC)

    def _refused(self, failure: RpcFailure, sent_at: float) -> None:
        if failure.kind is Kind.RATE_LIMITED:
            self._rate.refused(sent_at)
        if failure.retry_after and failure.kind in _HOLDING:
            self._rate.hold(failure.retry_after)
            if self._told is not None and failure.retry_after >= _WORTH_TELLING:
                self._told(f"{self._answers.host} asks to wait {failure.retry_after:.0f} s")

    def _out_of_time(self, ask: Ask[T]) -> RpcFailure:
        limit = self._deadline.limit
        return self._answers.failure(ask.name, f"the time limit of {limit:g} s is over", Kind.OUT_OF_TIME)

    def _note(
        self,
        log: TransportLog,
        ask: Ask[T],
        answer: HttpAnswer | None,
        outcome: object,
        seconds: float,
        *,
        hedged: bool,
        failure: str | None = None,
    ) -> None:
        failures = [
            item for item in (outcome if isinstance(outcome, list) else [outcome]) if isinstance(item, RpcFailure)
        ]
        name = ask.name
        log.add(
            Attempt(
                at=round(log.since_start() - seconds, 6),
                host=self._answers.host,
                method=name,
                params=batch_summary(ask.methods) if name == "batch" else summary(name, ask.params[0]),
                sent_bytes=len(ask.body),
                status=0 if answer is None else answer.status,
                received_bytes=0 if answer is None else len(answer.body),
                seconds=round(seconds, 6),
                attempt=ask.attempt,
                batch=len(ask.methods),
                hedged=hedged,
                failure=failures[0].kind.name if failures else failure,
                message=str(failures[0]) if failures else None,
            )
        )
