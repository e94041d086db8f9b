"""Find the limits of an endpoint: batches, request sizes, log ranges, old state. Few requests, never an error."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any, Final

import msgspec

from scanner.chain.endpoint import Endpoint
from scanner.chain.failures import Kind, RpcFailure, suggested_width
from scanner.chain.learned import Learned
from scanner.chain.pinning import NOBODY, PROBE

__all__ = [
    "PASSING",
    "UNCAPPED",
    "Trait",
    "Value",
    "attempt",
    "refusal",
    "sound_archive",
    "sound_batch",
    "sound_body",
    "sound_logs",
    "unknown",
]

UNCAPPED: Final = "no cap was met"
"""The note of a limit that is only how far was tried."""

Value = bool | int | float | str | None

PASSING: Final = frozenset(
    {Kind.RATE_LIMITED, Kind.TIMEOUT, Kind.DISCONNECTED, Kind.SERVER, Kind.UNREACHABLE, Kind.OUT_OF_TIME}
)
"""Kinds that say nothing about what an endpoint can do."""

_NO_LOGS: Final = frozenset({Kind.UNAUTHORIZED, Kind.NO_METHOD, Kind.STATE_MISSING, Kind.PLAN_EXHAUSTED}) | PASSING
_RANGES: Final = (10_000, 2_000, 1_000, 500, 100, 50, 10, 5, 1)
_DEPTHS: Final = (1, 64, 128, 1_024)
_BATCHES: Final = (4, 20, 100)
_BODIES: Final = (1_000_000, 500_000, 125_000)  # bytes of a request
_RESULTS: Final = re.compile(r"\b(\d[\d,]*k?) (?:results|logs|events)", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Trait:
    """What was found. value None: it could not be found out; note: why, or why not; kind: of the failure behind it."""

    value: Value = None
    note: str = ""
    kind: Kind | None = None


def refusal(failure: RpcFailure) -> Trait:
    """Take a failure for a no, or for nothing where it may pass."""
    return Trait(None if failure.kind in PASSING else False, str(failure), failure.kind)


def unknown(failure: RpcFailure) -> Trait:
    """Take a failure for nothing but the reason why it is not known."""
    return Trait(None, str(failure), failure.kind)


async def sound_batch(endpoint: Endpoint) -> Trait:
    """Find how many requests one HTTP request may have: the largest of a few sizes, or what a refusal names."""
    found = Trait(False)
    for size in _BATCHES:
        learned = Learned()
        answers = await endpoint.batcher(learned, size).ask([("eth_chainId", []) for _ in range(size)])
        failed = next((answer for answer in answers if isinstance(answer, RpcFailure)), None)
        if failed is not None:
            found = found if found.value else refusal(failed)
            break
        if learned.batch is not None:
            most = max(learned.batch, 0 if found.value is False else int(found.value or 0))
            found = Trait(most or False, f"{size} were refused")
            break
        found = Trait(size)
    whole = found.value is not False and found.value == _BATCHES[-1]
    endpoint.learned.batch = None if whole or found.value is None else int(found.value)
    return Trait(found.value, UNCAPPED) if whole else found


async def sound_body(endpoint: Endpoint, pin: object) -> Trait:
    """Find how large a request may be, up to 1 MB."""
    note = ""
    for size in _BODIES:
        data = "0x" + "00" * ((size - 400) // 2)
        answer = await attempt(endpoint, "eth_call", [{"to": PROBE, "data": data}, pin])
        # that the gas does not pay for so many bytes is not what is asked here
        if not isinstance(answer, RpcFailure) or answer.kind in (Kind.OUT_OF_GAS, Kind.REVERTED):
            endpoint.learned.request_bytes = size if note else None
            return Trait(size, note or UNCAPPED)
        if answer.kind in PASSING - {Kind.DISCONNECTED, Kind.TIMEOUT, Kind.SERVER}:
            return refusal(answer)
        note = note or str(answer)
    return Trait(None, note)


async def sound_logs(endpoint: Endpoint, head: int) -> tuple[Trait, Trait]:
    """Find the widest range of eth_getLogs, from wide to narrow, and how many results it gives if a refusal says so."""
    note, results = "", Trait(None, "no refusal told one")
    ranges = sorted({min(width, head + 1) for width in _RANGES}, reverse=True)
    while ranges:
        width = ranges.pop(0)
        asked = {"address": PROBE, "fromBlock": hex(head - width + 1), "toBlock": hex(head)}
        answer = await attempt(endpoint, "eth_getLogs", [asked])
        if not isinstance(answer, RpcFailure):
            endpoint.learned.log_blocks = width if note else None
            return Trait(width, note or UNCAPPED), results
        if told := _RESULTS.search(str(answer)):
            results = Trait(_count(told[1]))
            endpoint.learned.log_results = _count(told[1])
        if answer.kind in _NO_LOGS:
            return refusal(answer), results
        note = note or str(answer)
        suggested = suggested_width(str(answer))
        if suggested is not None and suggested < width:
            ranges = [suggested, *(narrower for narrower in ranges if narrower < suggested)]
    return Trait(False, note), results


async def sound_archive(endpoint: Endpoint, head: int) -> Trait:
    """Find how many blocks behind the head have their state, by halving: all, or down to one of a few depths."""
    if head <= 1:
        return Trait(head) if (now := await _state(endpoint, head)) is None else refusal(now)
    refused = await _state(endpoint, 1)
    if refused is None:
        return Trait(head)
    if refused.kind in PASSING:
        return refusal(refused)
    depths = sorted({depth for depth in (*_DEPTHS, head // 2) if depth < head - 1})
    low, high = 0, len(depths)  # the state at depths[low - 1] is there, at depths[high] it is not
    while low < high:
        middle = (low + high) // 2
        failure = await _state(endpoint, head - depths[middle])
        if failure is None:
            low = middle + 1
        elif failure.kind in PASSING:  # no word about the state
            return refusal(failure)
        else:
            refused, high = failure, middle
    if low == 0 and (now := await _state(endpoint, head)) is not None:
        return refusal(now)
    return Trait(depths[low - 1] if low else 0, str(refused))


async def _state(endpoint: Endpoint, number: int) -> RpcFailure | None:
    answer = await attempt(endpoint, "eth_getBalance", [NOBODY, hex(number)])
    return answer if isinstance(answer, RpcFailure) else None


async def attempt(endpoint: Endpoint, method: str, params: list[Any]) -> msgspec.Raw | RpcFailure:
    """Ask for something that may be refused: give the refusal as a value. What took too long is not asked again."""
    try:
        return await endpoint.request(method, params, shrinkable=True)
    except RpcFailure as failure:
        return failure


def _count(text: str) -> int:
    digits = text.replace(",", "")
    return int(digits[:-1]) * 1_000 if digits[-1] in "kK" else int(digits)
