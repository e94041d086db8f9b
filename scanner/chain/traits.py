"""Find out what an endpoint can do, with few requests; what cannot be found out is unknown, never an error."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import msgspec

from scanner.chain.blocks import block_by_number, quantity
from scanner.chain.deadline import Deadline
from scanner.chain.endpoint import Endpoint
from scanner.chain.failures import RpcFailure
from scanner.chain.interface import Block
from scanner.chain.learned import Learned
from scanner.chain.options import Options
from scanner.chain.pinning import NOBODY, REFUSALS, pin_by_hash, probe_deployless, probe_override
from scanner.chain.soundings import (
    UNCAPPED,
    Trait,
    Value,
    attempt,
    refusal,
    sound_archive,
    sound_batch,
    sound_body,
    sound_logs,
    unknown,
)
from scanner.chain.spec import EndpointSpec
from scanner.chain.spent import measured
from scanner.chain.translog import TransportLog
from scanner.chain.transport import loop_thread

__all__ = ["DOCTOR", "NAMES", "Traits", "probe"]

NAMES: Final = (
    "chain_id",
    "client",
    "head",
    "head_age",
    "syncing",
    "finalized",
    "safe",
    "latency",
    "latency_median",
    "overrides",
    "by_hash",
    "deployless",
    "gas_cap",
    "batch",
    "request_bytes",
    "log_blocks",
    "log_results",
    "archive",
    "block_seconds",
    "proofs",
)

DOCTOR: Final = Options(timeout=20.0, patience=30.0, lag_patience=1.0, hedge=False)
"""How an endpoint is probed: asked again as in a scan where it throttles, but not for as long."""

_LATENCIES: Final = 5
_MOST: Final = 2**53
"""More than any chain id; JSON has room for it."""


@dataclass(frozen=True, slots=True)
class Traits:
    """What one endpoint can do: a trait for each of ``NAMES``, empty where nothing was asked.

    seconds: spent on each part of the probing, all waiting included. requests: HTTP requests that were sent.
    """

    host: str
    found: Mapping[str, Trait]
    seconds: Mapping[str, float] = field(default_factory=dict)
    requests: int = 0

    def __getitem__(self, name: str) -> Trait:
        return self.found.get(name, Trait())

    def number(self, name: str) -> int | None:
        """Give a whole number; None where it is not known."""
        value = self[name].value
        return value if isinstance(value, int) and not isinstance(value, bool) else None


def probe(
    endpoint: EndpointSpec | str,
    *,
    options: Options = DOCTOR,
    learned: Learned | None = None,
    heard: Callable[[str], None] | None = None,
    clock: Callable[[], float] = time.time,
    deadline: Deadline | None = None,
    log: TransportLog | None = None,
) -> Traits:
    """Probe an endpoint and write into ``learned`` what a scan can use. Raises ConfigError for a URL that is none.

    heard: is told what is looked at, and what is waited for. What a deadline leaves no time for stays unknown.
    """
    thread = loop_thread()
    spec = EndpointSpec(endpoint) if isinstance(endpoint, str) else endpoint
    told = heard or (lambda what: None)
    opened = Endpoint(spec, options, learned if learned is not None else Learned(), deadline, log, told)
    probing = _Probing(opened, options, told, clock)
    try:
        thread.run(probing.run())
    finally:
        thread.run(opened.close())
    return Traits(opened.host, probing.found, probing.seconds, opened.sent)


class _Probing:
    def __init__(
        self, endpoint: Endpoint, options: Options, heard: Callable[[str], None], clock: Callable[[], float]
    ) -> None:
        self._endpoint = endpoint
        self._options = options
        self._told = heard
        self._clock = clock
        self._part, self._began = "", 0.0
        self._pin: object = "latest"
        self.found: dict[str, Trait] = {}
        self.seconds: dict[str, float] = {}

    async def run(self) -> None:
        try:
            await self._run()
        finally:
            self._heard("")

    def _heard(self, part: str) -> None:
        """Begin a part of the probing, and end the one before."""
        now = time.perf_counter()
        if self._part:
            self.seconds[self._part] = now - self._began
        self._part, self._began = part, now
        if part:
            self._told(part)

    async def _run(self) -> None:
        self._heard("chain")
        if not isinstance(await self._quantity("chain_id", "eth_chainId", []), int):
            return  # nobody is there: the other answers would only take long
        await self._text("client", "web3_clientVersion", [])
        self._heard("latency")
        await self._latency()
        self._heard("head")
        head = await self._head()
        await self._syncing()
        for tag in ("finalized", "safe"):
            await self._tag(tag)
        if head is None:
            return
        self._heard("calls")
        await self._calls(head)
        self._heard("batches and sizes")
        self.found["batch"] = await sound_batch(self._endpoint)
        self.found["request_bytes"] = await sound_body(self._endpoint, self._pin)
        self._heard("logs")
        self.found["log_blocks"], self.found["log_results"] = await sound_logs(self._endpoint, head.number)
        self._heard("old state")
        self.found["archive"] = await sound_archive(self._endpoint, head.number)
        await self._block_seconds(head)
        self._heard("proofs")
        await self._offered("proofs", "eth_getProof", [NOBODY, [], self._pin])

    async def _ask(self, method: str, params: list[Any]) -> msgspec.Raw | RpcFailure:
        return await attempt(self._endpoint, method, params)

    async def _block(self, block: int | str) -> Block | RpcFailure | None:
        try:
            return await block_by_number(self._endpoint, block)
        except RpcFailure as failure:
            return failure

    async def _text(self, name: str, method: str, params: list[Any]) -> None:
        try:
            self.found[name] = Trait(await self._endpoint.text(method, params))
        except RpcFailure as failure:
            self.found[name] = unknown(failure)

    async def _quantity(self, name: str, method: str, params: list[Any]) -> Value:
        try:
            result = await self._endpoint.request(method, params)
            try:
                self.found[name] = Trait(quantity(msgspec.json.decode(result, type=str), _MOST))
            except (msgspec.MsgspecError, ValueError):
                raise self._endpoint.malformed(method, result) from None
        except RpcFailure as failure:
            self.found[name] = unknown(failure)
        return self.found[name].value

    async def _offered(self, name: str, method: str, params: list[Any]) -> None:
        answer = await self._ask(method, params)
        self.found[name] = refusal(answer) if isinstance(answer, RpcFailure) else Trait(True)

    async def _latency(self) -> None:
        seconds = []
        for _ in range(_LATENCIES):
            with measured() as spent:  # without our own pacing, and what it asked to wait
                if isinstance(await self._ask("eth_blockNumber", []), RpcFailure):
                    break
                seconds.append(spent.seconds)
        if seconds:
            self.found["latency"] = Trait(min(seconds))
            self.found["latency_median"] = Trait(statistics.median(seconds))

    async def _head(self) -> Block | None:
        head = await self._block("latest")
        if isinstance(head, Block):
            self.found["head"] = Trait(head.number, head.hash)
            self.found["head_age"] = Trait(round(self._clock() - head.timestamp, 1))
            return head
        self.found["head"] = unknown(head) if head else Trait(None, "the node has no newest block")
        return None

    async def _syncing(self) -> None:
        answer = await self._ask("eth_syncing", [])
        if isinstance(answer, RpcFailure):
            self.found["syncing"] = unknown(answer)
            return
        self.found["syncing"] = Trait(bytes(answer).strip() not in (b"false", b"null"))

    async def _tag(self, tag: str) -> None:
        block = await self._block(tag)
        if isinstance(block, Block):
            self.found[tag] = Trait(block.number)
        elif block is None:
            self.found[tag] = Trait(False, "the node names none")
        else:
            self.found[tag] = refusal(block)

    async def _calls(self, head: Block) -> None:
        learned = self._endpoint.learned
        learned.overrides = learned.by_hash = learned.deployless = learned.gas_cap = None
        for pin, by_hash in ((pin_by_hash(head), True), (hex(head.number), False)):
            refused = await self._override(pin)
            if refused is None or (by_hash and not isinstance(await self._balance(pin), RpcFailure)):
                self._pin, learned.by_hash = pin, by_hash
                self.found.setdefault("by_hash", Trait(by_hash))
                break
            self._pin = pin
            self.found.setdefault("by_hash", _told(refused))
        self.found["overrides"] = _told(refused) if refused else Trait(learned.overrides)
        if refused is None and not learned.overrides:
            self.found["overrides"] = Trait(False, "they are ignored")
        for name in ("overrides", "by_hash"):
            value = self.found[name].value
            setattr(learned, name, value if isinstance(value, bool) else None)
        try:
            reason = await probe_deployless(self._endpoint, self._pin, self._options)
        except RpcFailure as failure:
            reason = str(failure)
        self.found["deployless"] = Trait(learned.deployless, reason or "")
        capped = learned.gas_cap is not None and learned.gas_cap < self._options.gas
        self.found["gas_cap"] = Trait(learned.gas_cap, "" if capped else UNCAPPED)

    async def _override(self, pin: object) -> RpcFailure | None:
        try:
            return await probe_override(self._endpoint, pin, self._options)
        except RpcFailure as failure:
            return failure

    async def _balance(self, pin: object) -> msgspec.Raw | RpcFailure:
        return await self._ask("eth_getBalance", [NOBODY, pin])

    async def _block_seconds(self, head: Block) -> None:
        before = await self._block(max(head.number - 1_000, 0))
        if isinstance(before, Block) and before.number < head.number:
            self.found["block_seconds"] = Trait(
                round((head.timestamp - before.timestamp) / (head.number - before.number), 3)
            )


def _told(failure: RpcFailure) -> Trait:
    """Take a failure of a call for a no only where it is the way of asking that was refused."""
    return refusal(failure) if failure.kind in REFUSALS else unknown(failure)
