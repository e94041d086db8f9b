"""Read logs by block ranges that fit the endpoint, in block order, never skipping a block."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Sequence
from typing import Final, cast

import msgspec

from scanner.chain.blocks import block_question, quantity, read_block
from scanner.chain.endpoint import Endpoint
from scanner.chain.failures import SHRINKABLE, Kind, RpcFailure, suggested_width
from scanner.chain.interface import Block, Log, LogQuery
from scanner.chain.lag import await_block
from scanner.chain.options import Options
from scanner.chain.sizing import RangeSize, Span, Spans
from scanner.chain.spent import measured
from scanner.chain.sweep import sweep
from scanner.errors import BlockUndone, DecodeError, RpcError

__all__ = ["read_logs"]

_ADDRESS_BYTES: Final = 20
_TOPIC_BYTES: Final = 32
_SETTLED: Final = 64  # blocks behind the pinned one that every node of an endpoint is taken to have


class _RawLog(msgspec.Struct, rename="camel"):
    address: str
    topics: list[str]
    data: str
    block_number: str
    log_index: str


_decoder = msgspec.json.Decoder(list[_RawLog])


class _LogWork:
    def __init__(self, endpoint: Endpoint, query: LogQuery, options: Options, pinned: Block) -> None:
        self._endpoint = endpoint
        self._query = query
        self._options = options
        self._pinned = pinned
        self._spans = Spans(max(query.last_block - query.first_block + 1, 0))
        learned = endpoint.learned
        self._size = RangeSize(
            start=options.range_start,
            logs=min(options.range_logs, learned.log_results or options.range_logs),
            seconds=options.seconds,
            ceiling=learned.log_blocks,
        )
        self._most_ahead = 4 * options.concurrency
        self._addresses = min(max(len(query.addresses), 1), learned.log_addresses or len(query.addresses))
        self._tried: dict[int, int] = {}  # addresses at once, by the first block of each range in flight
        self.ahead = 0  # ranges taken and not yet given to the consumer

    def take(self) -> Span | None:
        # what came back goes first whatever is ahead: the consumer waits for it
        if self.ahead >= self._most_ahead and not self._spans.returned:
            return None
        span = self._spans.take(self._size.size)
        self.ahead += span is not None
        return span

    async def ask(self, job: Span) -> list[Log]:
        first, asked, at_once = self._query.first_block + job.first, self._query.addresses, self._addresses
        logs: list[Log] = []
        self._tried[job.first] = at_once
        with measured() as spent:
            for start in range(0, max(len(asked), 1), at_once):
                logs += await self._logs(asked[start : start + at_once], first, job.count)
        self._size.learn(job.count, len(logs), spent.seconds)
        return sorted(logs, key=lambda log: (log.block_number, log.log_index))

    async def _logs(self, addresses: Sequence[str], first: int, count: int) -> list[Log]:
        filters: dict[str, object] = {
            "address": list(addresses),
            "fromBlock": hex(first),
            "toBlock": hex(first + count - 1),
        }
        topics = {"topics": [list(self._query.topics)]} if self._query.topics else {}
        if first + count - 1 > self._pinned.number - _SETTLED:
            result = await self._at_the_tip(filters | topics, shrinkable=count > 1)
        else:
            result = await self._endpoint.request("eth_getLogs", [filters | topics], shrinkable=count > 1)
        try:
            logs = [_log(raw) for raw in _decoder.decode(result)]
        except (msgspec.MsgspecError, ValueError) as error:
            raise self._endpoint.malformed("eth_getLogs", result) from error
        self._check(logs, first, first + count - 1)
        return logs

    async def _at_the_tip(self, filters: dict[str, object], *, shrinkable: bool) -> msgspec.Raw:
        """Ask for logs together with the pinned block: a node that has not come so far gives none, without a word.

        Behind one URL are nodes of different heights, and what is asked together is answered by one of them as a rule.
        """
        loop, limits = asyncio.get_running_loop(), self._options
        deadline = loop.time() + 2 * limits.lag_patience
        question = block_question(self._pinned.number)
        while True:
            logs, header = await self._endpoint.batch([("eth_getLogs", [filters]), question], shrinkable=shrinkable)
            for outcome in (logs, header):
                if isinstance(outcome, RpcFailure):
                    raise outcome
            block = read_block(self._endpoint, question[0], cast("msgspec.Raw", header))
            if block is not None and block.hash == self._pinned.hash:
                return cast("msgspec.Raw", logs)
            if loop.time() >= deadline:
                raise BlockUndone(
                    f"{self._endpoint.host}: the nodes behind the endpoint differ in height, and logs up to block "
                    f"{self._pinned.number} cannot be had; use --block finalized or another endpoint"
                )
            await await_block(self._endpoint, self._pinned, limits, reading=True)
            await asyncio.sleep(limits.lag_pause)

    def failed(self, job: Span, failure: RpcFailure) -> None:
        if failure.kind is Kind.TOO_MANY_ADDRESSES and (tried := self._tried[job.first]) > 1:
            self._addresses = min(self._addresses, tried // 2)
            self._endpoint.learned.log_addresses = self._addresses
            self.ahead -= 1
            self._spans.put_back([job])
            return
        try:
            parts = self._size.shrink(job, failure, suggested_width(str(failure)))
        except RpcFailure as last:
            if job.count > 1 or last.kind not in SHRINKABLE:
                raise
            block = self._query.first_block + job.first
            raise RpcError(f"cannot read the logs of block {block}: {last}", code=last.code) from last
        self._endpoint.learned.log_blocks = self._size.ceiling
        self.ahead -= 1
        self._spans.put_back(parts)

    def _check(self, logs: list[Log], first: int, last: int) -> None:
        addresses = set(self._query.addresses)
        topics = {bytes.fromhex(topic[2:]) for topic in self._query.topics}
        for log in logs:
            if not first <= log.block_number <= last or log.address not in addresses:
                raise DecodeError(f"{self._endpoint.host}: eth_getLogs gave a log that was not asked for")
            if topics and (not log.topics or log.topics[0] not in topics):
                raise DecodeError(f"{self._endpoint.host}: eth_getLogs gave a log of another event")


def _log(raw: _RawLog) -> Log:
    topics = tuple(bytes.fromhex(topic[2:]) for topic in raw.topics)
    if len(bytes.fromhex(raw.address[2:])) != _ADDRESS_BYTES or any(len(topic) != _TOPIC_BYTES for topic in topics):
        raise ValueError("a log with an address or a topic of another length")
    return Log(
        address=raw.address.lower(),
        topics=topics,
        data=bytes.fromhex(raw.data[2:]),
        block_number=quantity(raw.block_number),
        log_index=quantity(raw.log_index),
    )


async def read_logs(
    endpoint: Endpoint, query: LogQuery, options: Options, pinned: Block
) -> AsyncGenerator[tuple[int, list[Log]], None]:
    """Give ``(last block covered, logs)`` in block order, from nodes that have the pinned block.

    Raises RpcError naming a block that cannot be read, BlockUndone.
    """
    work = _LogWork(endpoint, query, options, pinned)
    waiting: dict[int, tuple[Span, list[Log]]] = {}
    covered = 0
    async for job, logs in sweep(work, options.concurrency):
        waiting[job.first] = (job, logs)
        while covered in waiting:
            span, found = waiting.pop(covered)
            covered += span.count
            work.ahead -= 1
            yield query.first_block + covered - 1, found
    if covered != max(query.last_block - query.first_block + 1, 0):
        raise AssertionError("a range of blocks was left unread")
