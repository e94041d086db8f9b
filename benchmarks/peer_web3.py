"""The task of the peers in the ways of web3.py: in our own process, with the version that we use."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from functools import cache
from typing import Any, Final

import aiohttp
from cchecksum import to_checksum_address
from web3 import AsyncHTTPProvider, AsyncWeb3, HTTPProvider, Web3

from benchmarks.peer_task import OUTPUTS, Ask, Question

__all__ = ["IN_FLIGHT", "batches", "batches_at_once", "multicalls_at_once"]

IN_FLIGHT: Final = 4

_ABI: Final = [
    {
        "type": "function",
        "name": name,
        "stateMutability": "view",
        "inputs": [{"name": "user", "type": "address"}],
        "outputs": [{"name": f"word{place}", "type": kind} for place, kind in enumerate(outputs)],
    }
    for name, outputs in OUTPUTS.items()
]
_CALL: Final = [{"name": "target", "type": "address"}, {"name": "fails", "type": "bool"}]
_RESULT: Final = [{"name": "success", "type": "bool"}, {"name": "returnData", "type": "bytes"}]
_AGGREGATE3: Final = [
    {
        "type": "function",
        "name": "aggregate3",
        "stateMutability": "payable",
        "inputs": [{"name": "calls", "type": "tuple[]", "components": [*_CALL, {"name": "data", "type": "bytes"}]}],
        "outputs": [{"name": "results", "type": "tuple[]", "components": _RESULT}],
    }
]

Answers = list[Sequence[int]]


def batches(url: str, block: int, size: int) -> Ask:
    """Ask with ``batch_requests``, one batch after the other."""

    def ask(questions: list[Question]) -> Answers:
        web3 = Web3(HTTPProvider(url, request_kwargs={"timeout": 120}))
        web3.middleware_onion.remove("validation")  # it would triple the requests
        contract = _contracts(web3)
        found: Answers = []
        for part in _parts(questions, size):
            with web3.batch_requests() as batch:
                for target, name, account in part:
                    batch.add(contract(target).functions[name](account).call(block_identifier=block))
                found += map(_words, batch.execute())
        return found

    return ask


def batches_at_once(url: str, block: int, size: int) -> Ask:
    """Ask with ``batch_requests`` of AsyncWeb3, some batches in flight."""

    async def one(web3: AsyncWeb3[Any], contract: Callable[[str], Any], part: Sequence[Question]) -> Answers:
        async with web3.batch_requests() as batch:
            for target, name, account in part:
                batch.add(contract(target).functions[name](account).call(block_identifier=block))
            return [_words(answer) for answer in await batch.async_execute()]

    return lambda questions: asyncio.run(_at_once(url, questions, size, one))


def multicalls_at_once(url: str, block: int, size: int, multicall3: str) -> Ask:
    """Ask through the contract Multicall3 with AsyncWeb3, some requests in flight."""

    async def one(web3: AsyncWeb3[Any], contract: Callable[[str], Any], part: Sequence[Question]) -> Answers:
        calls = [(target, True, contract(target).encode_abi(name, [account])) for target, name, account in part]
        aggregator: Any = web3.eth.contract(address=to_checksum_address(multicall3), abi=_AGGREGATE3)
        results = await aggregator.functions.aggregate3(calls).call(block_identifier=block)
        return [web3.codec.decode(OUTPUTS[name], data) for (_, name, _), (_, data) in zip(part, results, strict=True)]

    return lambda questions: asyncio.run(_at_once(url, questions, size, one))


async def _at_once(url: str, questions: list[Question], size: int, one: Callable[..., Awaitable[Answers]]) -> Answers:
    room = asyncio.Semaphore(IN_FLIGHT)
    provider = AsyncHTTPProvider(url, request_kwargs={"timeout": aiohttp.ClientTimeout(total=120)})
    # the session that web3.py makes by default opens a connection for each request
    async with aiohttp.ClientSession(raise_for_status=True, connector=aiohttp.TCPConnector(limit=32)) as session:
        await provider.cache_async_session(session)
        web3: AsyncWeb3[Any] = AsyncWeb3(provider)
        web3.middleware_onion.remove("validation")
        contract = _contracts(web3)

        async def ask(part: Sequence[Question]) -> Answers:
            async with room:
                return await one(web3, contract, part)

        found = await asyncio.gather(*map(ask, _parts(questions, size)))
    return [answer for part in found for answer in part]


def _contracts(web3: Any) -> Callable[[str], Any]:
    return cache(lambda address: web3.eth.contract(address=to_checksum_address(address), abi=_ABI))


def _parts(items: Sequence[Question], size: int) -> list[Sequence[Question]]:
    return [items[at : at + size] for at in range(0, len(items), size)]


def _words(answer: Any) -> Sequence[int]:
    """A function with one output gives a bare number."""
    return [answer] if isinstance(answer, int) else answer
