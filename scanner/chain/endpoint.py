"""One JSON-RPC endpoint: requests in, undecoded results or classified failures out, retried where it helps."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import Any, cast

import msgspec
from tenacity import AsyncRetrying
from tenacity.asyncio import retry_if_result

from scanner.chain.answers import Answers
from scanner.chain.batches import Batcher, Outcome, Request
from scanner.chain.deadline import Deadline
from scanner.chain.failures import Kind, RpcFailure
from scanner.chain.learned import Learned
from scanner.chain.options import Options
from scanner.chain.rate import Rate
from scanner.chain.redact import Redactor, host_of
from scanner.chain.retry import Lag, Retry
from scanner.chain.spec import EndpointSpec
from scanner.chain.translog import TransportLog
from scanner.chain.transport import Provider
from scanner.chain.wire import CLOSED, Ask, Wire

__all__ = ["Endpoint"]


class Endpoint:
    """A node behind a URL. Nothing that leaves this class shows more of the URL than its host.

    told: hears, in the loop's thread, what is waited for. deadline: shared with other endpoints; without one there is
    no limit to the time of everything together.
    """

    def __init__(
        self,
        spec: EndpointSpec,
        options: Options,
        learned: Learned | None = None,
        deadline: Deadline | None = None,
        log: TransportLog | None = None,
        told: Callable[[str], None] | None = None,
    ) -> None:
        """Open nothing yet. Raises ConfigError for a URL that is not http(s)."""
        self.host = host_of(spec.url)
        self.spec = spec
        self.learned = learned or Learned()
        self._answers = Answers(self.host, Redactor(spec.url), tls=spec.url.lower().startswith("https:"))
        self._provider = Provider(spec.url, self.host, timeout=options.timeout)
        self._deadline = deadline or Deadline()
        self._options = options
        # several parts of a scan, each with its own requests in flight, share an endpoint
        rate = Rate(spec, 3 * options.concurrency)
        self._wire = Wire(self._provider, self._answers, rate, options, self._deadline, log, told)
        self._batcher = self.batcher(self.learned, options.batch_http)
        self._ids = itertools.count(1)
        self._lag = Lag(options.lag_patience)
        self._gathered: list[tuple[Request, asyncio.Future[Outcome]]] = []
        self._sending: set[asyncio.Task[list[Outcome]]] = set()
        self.doubt: Callable[[], Awaitable[bool]] | None = None
        """Asked when a block is said to be unknown: whether to wait for it. May raise what it found out."""
        if log is not None:
            log.opened(self.host, spec, options, self._deadline.limit)

    @property
    def sent(self) -> int:
        """Give the HTTP requests sent, retries and copies included."""
        return self._wire.sent

    @property
    def hedged(self) -> int:
        """Give how many of them were second copies of a slow one."""
        return self._wire.hedges.sent

    async def request(self, method: str, params: list[Any], *, shrinkable: bool = False) -> msgspec.Raw:
        """Give the result as undecoded JSON, after retries of what may pass.

        ``shrinkable``: the caller can ask for less, so a timeout is raised at once. Raises RpcFailure.
        """
        outcome = await self._outcome((method, params), shrinkable=shrinkable)
        if isinstance(outcome, RpcFailure):
            raise outcome
        return outcome

    async def batch(self, requests: Sequence[Request], *, shrinkable: bool = False) -> list[Outcome]:
        """Ask for several results in few HTTP requests; give each one's result or its final failure, in their order.

        Where the endpoint refuses batches they are asked one by one, and ``learned`` remembers it. ``shrinkable``: the
        caller can ask for less, so a timeout is given at once.
        """
        return await self._batcher.ask(requests, shrinkable=shrinkable)

    def batcher(self, learned: Learned, most: int) -> Batcher:
        """Make a sender of batches of up to ``most`` that learns for itself, within the budget of this endpoint."""
        return Batcher(learned, most, self._post_batch, self._outcome, self._retry)

    async def together(self, method: str, params: list[Any]) -> msgspec.Raw:
        """Do as ``request`` does, in one HTTP request with what else is asked this moment. Raises RpcFailure."""
        if self._wire.closed:
            raise self._closed(method)
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[Outcome] = loop.create_future()
        self._gathered.append(((method, params), answer))
        if len(self._gathered) == 1:
            loop.call_soon(self._send_gathered)
        outcome = await answer
        if isinstance(outcome, RpcFailure):
            raise outcome
        return outcome

    async def text(self, method: str, params: list[Any]) -> str:
        """Give a result that is a string. Raises RpcFailure when it is something else."""
        result = await self.request(method, params)
        try:
            return msgspec.json.decode(result, type=str)
        except ValueError as error:  # of another shape, or no UTF-8
            raise self.malformed(method, result) from error

    def malformed(self, method: str, result: msgspec.Raw) -> RpcFailure:
        """Make the failure for a result of another shape than the method has."""
        return self._answers.malformed(method, result)

    async def close(self) -> None:
        """Close the connections. What is asked from now on, by a thread that does not know it yet, fails at once.

        So does what was asked and has no answer yet.
        """
        self._wire.closed = True
        unsent, self._gathered = self._gathered, []
        for (method, _), answer in unsent:
            if not answer.done():
                answer.set_result(self._closed(method))
        for sending in (under_way := list(self._sending)):
            sending.cancel()
        await asyncio.gather(*under_way, return_exceptions=True)
        await self._provider.close()

    def _send_gathered(self) -> None:
        gathered, self._gathered = self._gathered, []
        size = self._options.batch_http
        pieces = [gathered[at : at + size] for at in range(0, len(gathered), size)]
        for piece, sending in [(p, asyncio.ensure_future(self.batch([request for request, _ in p]))) for p in pieces]:
            self._sending.add(sending)  # the loop itself would not keep it
            sending.add_done_callback(partial(self._hand_out, piece))

    def _hand_out(
        self, asked: Sequence[tuple[Request, asyncio.Future[Outcome]]], sent: asyncio.Task[list[Outcome]]
    ) -> None:
        self._sending.discard(sent)
        waiting = [(at, method, answer) for at, ((method, _), answer) in enumerate(asked) if not answer.done()]
        error = None if sent.cancelled() else sent.exception()
        for at, method, answer in waiting:
            if sent.cancelled():
                answer.set_result(self._closed(method))
            elif error is not None:
                answer.set_exception(error)
            else:
                answer.set_result(sent.result()[at])

    def _closed(self, method: str) -> RpcFailure:
        return self._answers.failure(method, CLOSED, Kind.OUT_OF_TIME)

    async def _outcome(self, request: Request, *, shrinkable: bool = False) -> Outcome:
        method, params = request
        asked = next(self._ids)
        ask = Ask[msgspec.Raw](
            (method,),
            (params,),
            msgspec.json.encode({"jsonrpc": "2.0", "id": asked, "method": method, "params": params}),
            lambda http: self._answers.single(method, asked, http),
        )
        retry = self._retry(shrinkable=shrinkable)
        wait: float | RpcFailure = 0.0

        async def attempt() -> Outcome:
            outcome = await self._wire.exchange(ask)
            ask.attempt += 1
            return outcome

        async def again(outcome: Outcome) -> bool:
            nonlocal wait
            if not isinstance(outcome, RpcFailure):
                return False
            wait = retry.pause(outcome)
            if isinstance(wait, RpcFailure):
                return False
            return outcome.kind is not Kind.BLOCK_UNKNOWN or self.doubt is None or await self.doubt()

        retrying = AsyncRetrying(retry=retry_if_result(again), wait=lambda _: cast("float", wait))
        outcome: Outcome = await retrying(attempt)
        if isinstance(outcome, RpcFailure):
            return wait if isinstance(wait, RpcFailure) else outcome
        retry.answered()
        return outcome

    async def _post_batch(self, requests: Sequence[Request], attempt: int) -> list[Outcome] | RpcFailure:
        first = next(self._ids)
        numbered = [{"jsonrpc": "2.0", "id": first, "method": requests[0][0], "params": requests[0][1]}]
        numbered += [{"jsonrpc": "2.0", "id": next(self._ids), "method": m, "params": p} for m, p in requests[1:]]
        methods = tuple(method for method, _ in requests)
        return await self._wire.exchange(
            Ask[list[Outcome]](
                methods,
                tuple(params for _, params in requests),
                msgspec.json.encode(numbered),
                lambda http: self._answers.batch(methods, first, http),
                attempt,
            )
        )

    def _retry(self, *, shrinkable: bool = True) -> Retry:
        return Retry(self._options, self._deadline, self._lag, shrinkable=shrinkable)
