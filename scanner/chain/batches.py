"""JSON-RPC batches: several requests in one HTTP request, each with an answer or a failure of its own."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import Any, Final, Protocol

import msgspec

from scanner.chain.failures import TRANSIENT, Kind, RpcFailure, batch_limit
from scanner.chain.learned import Learned
from scanner.chain.retry import Retry

__all__ = ["Batcher", "Outcome", "Request"]

Request = tuple[str, list[Any]]
Outcome = msgspec.Raw | RpcFailure

_SMALLER: Final = frozenset({Kind.BATCH_REFUSED, Kind.PAYLOAD_TOO_LARGE, Kind.TIMEOUT})
_DOUBTFUL: Final = frozenset({Kind.SERVER, Kind.DISCONNECTED, Kind.NOT_RPC})
"""Kinds that are a hiccup, or how an endpoint behaves that knows no batches."""
_TELLING: Final = _DOUBTFUL | {
    *(Kind.BATCH_REFUSED, Kind.INVALID_PARAMS, Kind.NO_METHOD, Kind.UNAUTHORIZED, Kind.PLAN_EXHAUSTED, Kind.OTHER)
}
"""Kinds that a batch as a whole may be refused with where single requests go through."""
_GENERAL: Final = _DOUBTFUL | {Kind.UNAUTHORIZED, Kind.PLAN_EXHAUSTED}
"""Those of them that say nothing about batches once a batch was answered, or where a single request meets them too."""
_NEVER = re.compile(r"\bnot (supported|allowed|available|permitted)|unsupported|disabled", re.IGNORECASE)


class _Single(Protocol):
    def __call__(self, request: Request, *, shrinkable: bool) -> Awaitable[Outcome]: ...


class Batcher:
    """Sends the batches of an endpoint in pieces that it takes, and asks one by one where it takes none.

    post sends one batch, once; single asks for one request with its retries, ``shrinkable`` or not; retry makes the
    patience for a batch.
    """

    def __init__(
        self,
        learned: Learned,
        most: int,
        post: Callable[[Sequence[Request], int], Awaitable[list[Outcome] | RpcFailure]],
        single: _Single,
        retry: Callable[[], Retry],
    ) -> None:
        self._learned = learned
        self._most = most
        self._post = post
        self._single = single
        self._retry = retry
        self._taken = False  # whether a batch ever came back with answers

    async def ask(self, requests: Sequence[Request], *, shrinkable: bool = False) -> list[Outcome]:
        """Give an answer or a final failure for each request, in their order.

        ``shrinkable``: the caller can ask for less, so a timeout is given at once.
        """
        if not self._taken and len(requests) > (size := self._size()) > 1:
            # the first batch shows what the endpoint takes, so that only one is refused
            first = await self._piece(requests[:size], shrinkable)
            return [*first, *await self.ask(requests[size:], shrinkable=shrinkable)]
        return await self._pieces(requests, self._size(), shrinkable)

    def _size(self) -> int:
        learned = self._learned.batch
        return max(self._most if learned is None else min(learned, self._most), 1)

    async def _pieces(self, requests: Sequence[Request], size: int, shrinkable: bool) -> list[Outcome]:
        pieces = [requests[at : at + size] for at in range(0, len(requests), size)]
        answered = await asyncio.gather(*(self._piece(piece, shrinkable) for piece in pieces))
        return [outcome for piece in answered for outcome in piece]

    async def _piece(self, requests: Sequence[Request], shrinkable: bool) -> list[Outcome]:
        found: dict[int, Outcome] = {}
        waiting = list(range(len(requests)))
        retry = self._retry()
        while len(waiting) > 1:
            sent = await self._post([requests[at] for at in waiting], retry.failures + 1)
            if isinstance(sent, RpcFailure):
                failure, doubted = sent, not self._taken and sent.kind in _DOUBTFUL and retry.failures > 0
            else:
                found.update(zip(waiting, sent, strict=True))
                self._taken = self._taken or not all(isinstance(outcome, RpcFailure) for outcome in sent)
                left = {at: outcome for at in waiting if (outcome := _repeatable(found[at])) is not None}
                if not left:
                    retry.answered()
                    break
                waiting, failure, doubted = list(left), _worst(left.values()), False
            wait = failure if doubted or failure.kind is Kind.BATCH_REFUSED else retry.pause(failure)
            if not isinstance(wait, RpcFailure):
                await asyncio.sleep(wait)
                continue
            # of what hangs in its first batch ever it is not known whether it takes any
            given_up = shrinkable and self._taken and wait.kind is Kind.TIMEOUT
            if not given_up and self._worth_parting(wait, whole=isinstance(sent, RpcFailure)):
                apart = await self._apart([requests[at] for at in waiting], wait, shrinkable)
                found.update(zip(waiting, apart, strict=True))
            else:
                lost = [at for at in waiting if found.get(at, failure) is failure]
                found.update((at, wait.of(requests[at][0])) for at in lost)
            return [found[at] for at in range(len(requests))]
        for at in waiting if len(waiting) == 1 else ():
            found[at] = await self._single(requests[at], shrinkable=shrinkable)
        return [found[at] for at in range(len(requests))]

    def _worth_parting(self, failure: RpcFailure, *, whole: bool) -> bool:
        if failure.kind in (Kind.BATCH_REFUSED, Kind.NOT_RPC, Kind.TIMEOUT):
            return True
        if not whole or (self._taken and failure.kind in _GENERAL):
            return False
        return failure.kind in _SMALLER or failure.kind in _TELLING

    async def _apart(self, requests: Sequence[Request], failure: RpcFailure, shrinkable: bool) -> list[Outcome]:
        """Ask in smaller batches, else one by one, and remember what the endpoint takes."""
        half = len(requests) // 2
        if failure.kind is Kind.BATCH_REFUSED:
            limit = batch_limit(str(failure))
            if limit == 0 and not _NEVER.search(str(failure)):
                limit = half
            size = min(limit, half) if limit >= len(requests) else limit
            self._learned.batch = size if size > 1 else 0
        elif failure.kind in _SMALLER:
            size = half
            if failure.kind is Kind.PAYLOAD_TOO_LARGE and half > 1:
                self._learned.batch = half
        else:
            size = 1
        if size > 1:
            return await self._pieces(requests, size, shrinkable)
        found = [await self._single(requests[0], shrinkable=shrinkable)]
        if _kind(found[0]) is failure.kind and failure.kind in _GENERAL:
            return found + [failure.of(method) for method, _ in requests[1:]]
        found += await asyncio.gather(*(self._single(request, shrinkable=shrinkable) for request in requests[1:]))
        if failure.kind not in _SMALLER and any(map(_answered, found)):
            self._learned.batch = 0
        return found


def _repeatable(outcome: Outcome) -> RpcFailure | None:
    """Give a failure that may pass when its request is sent again."""
    if not isinstance(outcome, RpcFailure):
        return None
    return outcome if outcome.kind in TRANSIENT or outcome.kind in (Kind.NOT_RPC, Kind.BATCH_REFUSED) else None


def _worst(failures: Iterable[RpcFailure]) -> RpcFailure:
    """Choose the failure that decides for all: a refused batch, else the longest wait."""
    return max(failures, key=lambda failure: (failure.kind is Kind.BATCH_REFUSED, failure.retry_after or 0.0))


def _kind(outcome: Outcome) -> Kind | None:
    return outcome.kind if isinstance(outcome, RpcFailure) else None


def _answered(outcome: Outcome) -> bool:
    return not isinstance(outcome, RpcFailure) or outcome.kind is Kind.REVERTED
