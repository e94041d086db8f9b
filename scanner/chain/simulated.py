"""eth_simulateV1: transactions that have not happened, then a call, in one request that leaves nothing behind."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Final, NoReturn

import msgspec

from scanner.chain.blocks import quantity
from scanner.chain.failures import Kind, RpcFailure, classify, revert_data
from scanner.chain.interface import Block, Log, Overrides
from scanner.errors import OverridesRefused, ScannerError

if TYPE_CHECKING:
    from scanner.chain.endpoint import Endpoint
    from scanner.chain.pinned import PinnedCalls

__all__ = ["Simulation", "Stage", "Unsent"]

_METHOD: Final = "eth_simulateV1"
_WORD: Final = 32
_BLOCK_GAS: Final = 10**12  # more than any node gives: what a call gets is then what the node gives to calls
_LEAST_GAS: Final = 3_000_000  # for what is read after the payload
_CALL_BYTES: Final = 400  # of JSON around a transaction's calldata
_PROBE: Final = "0x" + b"liqbands.simulation.".hex()
"""Where the probe is put: text, so no key and no contract can own it."""
_PROBE_CODE: Final = bytes.fromhex("3d5b80361460135780353b81526020016001565b" + "423652602036013df3")
"""Returns the size of the code at each address of its calldata, a word each, and the time."""
_NOT_TAKEN: Final = frozenset(
    {
        *(Kind.OVERRIDES_REFUSED, Kind.INVALID_PARAMS, Kind.NO_METHOD, Kind.OTHER, Kind.PLAN_EXHAUSTED),
        *(Kind.REVERTED, Kind.OUT_OF_GAS, Kind.GAS_REFUSED),
    }
)
_ABSENT: Final = frozenset({Kind.NO_METHOD, Kind.PLAN_EXHAUSTED})
_ADVICE: Final = "run the payload on a fork of your own instead: --fork"


class _RawFailure(msgspec.Struct):
    message: str = ""
    code: int | None = None
    data: Any = None


class _RawLog(msgspec.Struct):
    address: str
    topics: list[str]
    data: str


class _RawCall(msgspec.Struct, rename="camel"):
    status: str
    gas_used: str
    return_data: str = "0x"
    error: _RawFailure | None = None
    logs: list[_RawLog] = []


class _RawBlock(msgspec.Struct):
    calls: list[_RawCall]


_decoder = msgspec.json.Decoder(list[_RawBlock])


@dataclass(frozen=True, slots=True)
class Unsent:
    """A transaction as the method takes it."""

    sender: str
    to: str | None
    data: bytes
    value: int

    def parameter(self) -> dict[str, str]:
        """Give it as JSON-RPC has it. No gas is said: it gets what the node gives."""
        said = {"from": self.sender, "input": "0x" + self.data.hex(), "value": hex(self.value)}
        return said if self.to is None else {**said, "to": self.to}


@dataclass(frozen=True, slots=True)
class Stage:
    """A block of transactions, and its time."""

    timestamp: int
    transactions: tuple[Unsent, ...]


class Simulation:
    """What calls assume: that transactions have happened after the block. ``World`` is the other such.

    Each call is a request of its own: the transactions in blocks of theirs, then one more block, at ``timestamp``, with
    the call; codes that it brings are put in place in that last block, so the transactions never meet them.
    ``refused`` makes the error for a transaction by its position, from words and what it reverted with (None: it was
    not executed). ``logs``: those of the transactions, from the first endpoint that was checked.
    """

    def __init__(
        self,
        block: Block,
        stages: Sequence[Stage],
        timestamp: int,
        refused: Callable[[int, str, bytes | None], ScannerError],
    ) -> None:
        """Take blocks whose times increase, each one's over the other's and ``block``'s, as the method asks for."""
        times = [block.timestamp, *(stage.timestamp for stage in stages), timestamp]
        if any(after <= before for before, after in pairwise(times)):
            raise ValueError("the times of simulated blocks increase")
        self.timestamp = timestamp
        self.head = replace(block, number=block.number + len(stages) + 1, timestamp=timestamp)
        """The block that calls see; it has no hash of its own, and is given that of the block before all."""
        self.logs: tuple[Log, ...] = ()
        self._base = block
        self._refused = refused
        self._stages = tuple(stages)
        self._transactions = tuple(one for stage in stages for one in stage.transactions)
        self._blocks = [
            {
                "blockOverrides": self._place(number, stage.timestamp),
                "calls": [one.parameter() for one in stage.transactions],
            }
            for number, stage in enumerate(stages, block.number + 1)
        ]
        self.size = sum(len(one.data) + _CALL_BYTES for one in self._transactions) + _CALL_BYTES

    @staticmethod
    def _place(number: int, timestamp: int) -> dict[str, str]:
        return {"number": hex(number), "time": hex(timestamp), "gasLimit": hex(_BLOCK_GAS)}

    def request(self, pin: object, message: dict[str, str], overrides: Overrides) -> tuple[str, list[Any]]:
        """Give the method and its parameters for a call."""
        call = {"input" if key == "data" else key: value for key, value in message.items()}
        last: dict[str, Any] = {"blockOverrides": self._place(self.head.number, self.timestamp), "calls": [call]}
        if overrides:
            last["stateOverrides"] = {address: {"code": "0x" + code.hex()} for address, code in overrides.items()}
        return _METHOD, [{"blockStateCalls": [*self._blocks, last], "validation": False}, pin]

    def returned(self, endpoint: Endpoint, result: msgspec.Raw, message: Mapping[str, str]) -> bytes:
        """Give what the call returned.

        Raises RpcFailure, of kind REVERTED when the contract refused; what ``refused`` makes when a transaction did.
        """
        *_, last = self._calls(endpoint, result)
        try:
            if quantity(last.status) == 1:
                return bytes.fromhex(last.return_data.removeprefix("0x"))
            used = quantity(last.gas_used)
        except ValueError as error:
            raise endpoint.malformed(_METHOD, result) from error
        data, said = _data(last), last.error or _RawFailure()
        kind = Kind.REVERTED if data else classify(said.message)
        if kind not in (Kind.OUT_OF_GAS, Kind.REVERTED):
            # anvil says the same of all that goes wrong: what has taken all its gas ran out of it
            kind = Kind.OUT_OF_GAS if used >= int(message.get("gas", "0x0"), 16) > 0 else Kind.REVERTED
        words = "out of gas" if kind is Kind.OUT_OF_GAS else "execution reverted"
        raise RpcFailure(f"{endpoint.host}: {_METHOD}: {words}", kind, code=said.code, data=data)

    def _calls(self, endpoint: Endpoint, result: msgspec.Raw) -> list[_RawCall]:
        """Decode the outcomes of all transactions, which succeeded, and of the call after them."""
        try:
            blocks = _decoder.decode(result)
            counts = [len(block.calls) for block in blocks]
            calls = [call for block in blocks for call in block.calls]
            if counts != [*(len(stage.transactions) for stage in self._stages), 1]:
                raise ValueError("another number of calls")
            statuses = [quantity(call.status) for call in calls[:-1]]
        except ValueError as error:
            raise endpoint.malformed(_METHOD, result) from error
        for position, (call, status) in enumerate(zip(calls, statuses, strict=False)):
            if status != 1:
                data, words = _data(call), (call.error.message if call.error else "")
                raise self._refused(position, words, data)
        return calls

    async def check(self, pinned: PinnedCalls) -> None:
        """See that an endpoint simulates what it should, and learn what gas and which logs the transactions take.

        Raises OverridesRefused where it does not, what ``refused`` makes for a transaction that cannot be executed or
        calls what is no contract; RpcFailure where asking in another way would not help.
        """
        host = pinned.endpoint.host
        called = [(at, one.to) for at, one in enumerate(self._transactions) if one.to is not None and one.data]
        words = b"".join(bytes.fromhex(to[2:]).rjust(_WORD, b"\0") for _, to in called)
        result = await self._probed(pinned, words)
        try:
            calls = self._calls(pinned.endpoint, result)
            answer = self.returned(pinned.endpoint, result, {})
        except RpcFailure as failure:
            raise OverridesRefused(
                f"{host}: {_METHOD} does not answer as it should ({failure.plain}); {_ADVICE}"
            ) from failure
        seen = [int.from_bytes(answer[at : at + _WORD], "big") for at in range(0, len(answer), _WORD)]
        if len(seen) != len(called) + 1 or seen[-1] != self.timestamp:
            what = "codes" if len(seen) != len(called) + 1 else "times"
            raise OverridesRefused(f"{host}: {_METHOD} ignores the {what} that it is given; {_ADVICE}")
        for (at, to), size in zip(called, seen, strict=False):
            if not size:
                raise self._refused(at, f"{to} is no contract, and has nothing to call", None)
        taken = sum(quantity(call.gas_used) for call in calls[:-1])
        if pinned.gas is not None and pinned.gas - taken < _LEAST_GAS:
            raise OverridesRefused(
                f"{host}: the payload takes {taken:,} of the {pinned.gas:,} gas that the endpoint gives to a request, "
                f"and leaves too little to read anything; {_ADVICE}"
            )
        pinned.taken = taken
        self.logs = self.logs or self._logs(pinned.endpoint, result, calls[:-1])

    async def _probed(self, pinned: PinnedCalls, words: bytes) -> msgspec.Raw:
        """Ask the probe, by the block's number where its hash is not taken; ``finish`` compares the hash then."""
        try:
            return await self._probe(pinned, words)
        except RpcFailure as failure:
            if failure.kind not in _NOT_TAKEN:
                raise
            if failure.kind in _ABSENT or isinstance(pinned.pin, str):
                await self._blame(pinned, failure)
            by_hash, pinned.pin = pinned.pin, hex(self._base.number)
            try:
                return await self._probe(pinned, words)
            except RpcFailure:
                pinned.pin = by_hash
                await self._blame(pinned, failure)

    async def _probe(self, pinned: PinnedCalls, words: bytes) -> msgspec.Raw:
        """Ask past ``pinned.call``, which would take a refusal for doubts about the pin."""
        message = {"to": _PROBE, "input": "0x" + words.hex()}
        return await pinned.endpoint.request(*self.request(pinned.pin, message, {_PROBE: _PROBE_CODE}))

    async def _blame(self, pinned: PinnedCalls, failure: RpcFailure) -> NoReturn:
        """Tell an endpoint that does not simulate from a transaction that cannot be sent, by simulating without it."""
        host = pinned.endpoint.host
        told = failure.plain.removeprefix(f"{host}: {_METHOD}: ")
        refusal = OverridesRefused(f"{host}: {_METHOD} is not offered ({told}); {_ADVICE}")
        if failure.kind in _ABSENT:
            raise refusal from failure
        for count in range(len(self._transactions) + 1):
            part = self._first(count)
            try:
                result = await part._probe(pinned, b"")
            except RpcFailure as again:
                if again.kind not in _NOT_TAKEN:
                    raise
                if not count:
                    raise refusal from again
                told = again.plain.removeprefix(f"{host}: {_METHOD}: ")
                if self._transactions[count - 1].to is None:
                    raise OverridesRefused(f"{host}: {_METHOD} creates no contract ({told}); {_ADVICE}") from again
                raise self._refused(count - 1, told, None) from again
            part._calls(pinned.endpoint, result)
        raise failure

    def _first(self, count: int) -> Simulation:
        """Give the simulation of the first transactions only, in the same blocks."""
        stages, left = [], count
        for stage in self._stages:
            stages.append(replace(stage, transactions=stage.transactions[: max(left, 0)]))
            left -= len(stage.transactions)
        return Simulation(self._base, stages, self.timestamp, self._refused)

    def _logs(self, endpoint: Endpoint, result: msgspec.Raw, calls: Sequence[_RawCall]) -> tuple[Log, ...]:
        numbers = [at for at, stage in enumerate(self._stages, self._base.number + 1) for _ in stage.transactions]
        try:
            return tuple(
                Log(
                    address=log.address.lower(),
                    topics=tuple(bytes.fromhex(topic[2:]) for topic in log.topics),
                    data=bytes.fromhex(log.data[2:]),
                    block_number=number,
                    log_index=index,
                )
                for number, call in zip(numbers, calls, strict=True)
                for index, log in enumerate(call.logs)
            )
        except ValueError as error:
            raise endpoint.malformed(_METHOD, result) from error


def _data(call: _RawCall) -> bytes:
    """Give what a call reverted with: geth has it in the error, anvil where an answer would be."""
    return revert_data(call.error.data if call.error else None) or revert_data(call.return_data)
