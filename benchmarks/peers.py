"""What a user of web3.py would write to get collateral, debt and health factor of many accounts."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

import aiohttp
from cchecksum import to_checksum_address
from web3 import AsyncHTTPProvider, AsyncWeb3, HTTPProvider, Web3

from benchmarks.local_market import LocalMarket

__all__ = ["Account", "Peer", "peers"]

Account = tuple[int, int, int | None]
"""Collateral and debt in base units, health factor in wad; None without debt."""

_NO_DEBT: Final = 2**256 - 1
_POOL_ABI: Final = [
    {
        "type": "function",
        "name": "getUserAccountData",
        "stateMutability": "view",
        "inputs": [{"name": "user", "type": "address"}],
        "outputs": [
            {"name": name, "type": "uint256"}
            for name in ("collateral", "debt", "available", "threshold", "ltv", "healthFactor")
        ],
    }
]
_AGGREGATE3_ABI: Final = [
    {
        "type": "function",
        "name": "aggregate3",
        "stateMutability": "payable",
        "inputs": [
            {
                "name": "calls",
                "type": "tuple[]",
                "components": [
                    {"name": "target", "type": "address"},
                    {"name": "allowFailure", "type": "bool"},
                    {"name": "callData", "type": "bytes"},
                ],
            }
        ],
        "outputs": [
            {
                "name": "results",
                "type": "tuple[]",
                "components": [{"name": "success", "type": "bool"}, {"name": "returnData", "type": "bytes"}],
            }
        ],
    }
]
_ANSWER: Final = ["uint256"] * 6
_AT_ONCE: Final = 100
_IN_FLIGHT: Final = 4


@dataclass(frozen=True)
class Peer:
    """One way to read, and how many accounts it is measured on at most."""

    name: str
    most: int
    read: Callable[[Sequence[str]], list[Account]]


def peers(market: LocalMarket, block: int) -> list[Peer]:
    """Give the ways to read at a block. The validation middleware, which triples the requests, is off for all."""
    web3 = Web3(HTTPProvider(market.url, request_kwargs={"timeout": 120}))
    web3.middleware_onion.remove("validation")
    pool: Any = web3.eth.contract(address=to_checksum_address(market.pool), abi=_POOL_ABI)
    aggregator: Any = web3.eth.contract(address=to_checksum_address(market.aggregator), abi=_AGGREGATE3_ABI)

    def one_by_one(accounts: Sequence[str]) -> list[Account]:
        ask = pool.functions.getUserAccountData
        return [_account(ask(account).call(block_identifier=block)) for account in accounts]

    def batched(accounts: Sequence[str]) -> list[Account]:
        found: list[Account] = []
        for part in _parts(accounts, 500):
            with web3.batch_requests() as batch:
                for account in part:
                    batch.add(pool.functions.getUserAccountData(account).call(block_identifier=block))
                answers: Any = batch.execute()
                found += [_account(answer) for answer in answers]
        return found

    def multicall(size: int) -> Callable[[Sequence[str]], list[Account]]:
        def read(accounts: Sequence[str]) -> list[Account]:
            found: list[Account] = []
            for part in _parts(accounts, size):
                results = aggregator.functions.aggregate3(_calls(pool, part)).call(block_identifier=block)
                found += _decoded(web3, results)
            return found

        return read

    return [
        Peer("web3.py, one call each", 1_000, one_by_one),
        Peer(f"web3.py async, gather of {_AT_ONCE}", 2_000, lambda a: asyncio.run(_gathered(market, a, block))),
        Peer("web3.py batch_requests \N{MULTIPLICATION SIGN}500", 5_000, batched),
        Peer("web3.py contract, Multicall3 \N{MULTIPLICATION SIGN}500", 20_000, multicall(500)),
        Peer("web3.py contract, Multicall3 \N{MULTIPLICATION SIGN}1000", 20_000, multicall(1_000)),
        Peer(
            f"web3.py async, Multicall3 \N{MULTIPLICATION SIGN}500, {_IN_FLIGHT} at once",
            20_000,
            lambda a: asyncio.run(_multicalled(market, a, block)),
        ),
    ]


async def _gathered(market: LocalMarket, accounts: Sequence[str], block: int) -> list[Account]:
    async with _async_web3(market.url) as web3:
        pool: Any = web3.eth.contract(address=to_checksum_address(market.pool), abi=_POOL_ABI)
        found: list[Account] = []
        for part in _parts(accounts, _AT_ONCE):
            asked = [pool.functions.getUserAccountData(account).call(block_identifier=block) for account in part]
            found += [_account(answer) for answer in await asyncio.gather(*asked)]
        return found


async def _multicalled(market: LocalMarket, accounts: Sequence[str], block: int) -> list[Account]:
    async with _async_web3(market.url) as web3:
        pool: Any = web3.eth.contract(address=to_checksum_address(market.pool), abi=_POOL_ABI)
        aggregator: Any = web3.eth.contract(address=to_checksum_address(market.aggregator), abi=_AGGREGATE3_ABI)
        found: list[Account] = []
        for group in _parts(list(_parts(accounts, 500)), _IN_FLIGHT):
            asked = [aggregator.functions.aggregate3(_calls(pool, part)).call(block_identifier=block) for part in group]
            for results in await asyncio.gather(*asked):
                found += _decoded(web3, results)
        return found


class _async_web3:  # noqa: N801 (used like a function)
    """An AsyncWeb3 on a session that keeps its connections, which the default one does not."""

    def __init__(self, url: str) -> None:
        self._provider = AsyncHTTPProvider(url, request_kwargs={"timeout": aiohttp.ClientTimeout(total=120)})

    async def __aenter__(self) -> AsyncWeb3[Any]:
        self._session = aiohttp.ClientSession(raise_for_status=True, connector=aiohttp.TCPConnector(limit=32))
        await self._provider.cache_async_session(self._session)
        web3: AsyncWeb3[Any] = AsyncWeb3(self._provider)
        web3.middleware_onion.remove("validation")
        return web3

    async def __aexit__(self, *_: object) -> None:
        await self._session.close()


def _parts(items: Sequence[Any], size: int) -> Iterator[Sequence[Any]]:
    return (items[at : at + size] for at in range(0, len(items), size))


def _calls(pool: Any, accounts: Sequence[str]) -> list[tuple[str, bool, str]]:
    return [(pool.address, True, pool.encode_abi("getUserAccountData", [account])) for account in accounts]


def _decoded(web3: Any, results: Sequence[tuple[bool, bytes]]) -> list[Account]:
    return [_account(web3.codec.decode(_ANSWER, data)) for _, data in results]


def _account(answer: Sequence[int]) -> Account:
    collateral, debt, *_, health = answer
    return collateral, debt, None if health == _NO_DEBT else health
