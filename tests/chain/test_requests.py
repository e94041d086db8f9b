"""How few requests a warm scan makes, and that it fits a smaller gas cap without a refusal."""

from __future__ import annotations

import asyncio
import json
import time
from pathlib import Path
from typing import Any, Final

import pytest

from scanner.chain.endpoint import Endpoint
from scanner.chain.lenses import LENS
from scanner.chain.options import Options
from scanner.chain.spec import EndpointSpec
from scanner.chain.spent import measured
from scanner.devchain import Anvil, DevMarket, deploy_market, populate
from scanner.devchain.toolchain import Toolchain
from scanner.export.documents import accounts_json
from scanner.pipeline import scan
from scanner.protocols import aave_v3
from scanner.results import ScanResult
from tests.chain.peers import options_of
from tests.chain.proxy import Request, Say, proxy, refuse

pytestmark = pytest.mark.chain

GETH_CAP: Final = 50_000_000
SMALL_CAP: Final = 10_000_000
ACCOUNT_LENS: Final = "0x" + Path(aave_v3.__file__).with_name("lens.hex").read_text(encoding="ascii").strip()
FINALITY: Final = 65
"""Blocks after which all of a market's logs are final, and kept in the index."""


class _Counting:
    """Caps the gas of calls without a word, as geth does; counts HTTP requests, and lens calls for accounts."""

    def __init__(self, cap: int) -> None:
        self._cap = cap
        self.lenses = 0

    def __call__(self, request: Request) -> Say | None:
        if request["method"] == "eth_call":
            call, *rest = request["params"]
            call["gas"] = hex(min(int(call.get("gas", hex(GETH_CAP)), 16), self._cap))
            self.lenses += len(rest) > 1 and rest[1].get(LENS, {}).get("code") == ACCOUNT_LENS
        return None


def _scan(market: DevMarket, folder: Path, url: str, run: str) -> tuple[ScanResult, list[dict[str, Any]]]:
    """Scan, and give the lines of the transport log that stand for requests."""
    log = folder / f"{run}.ndjson"
    result = scan(options_of(market, folder / "index", url, verify="sample", extent="factor", transport_log=log))
    lines = [json.loads(line) for line in log.read_text().splitlines()]
    return result, [line for line in lines if "method" in line]


def _warm(market: DevMarket, folder: Path, cap: int) -> tuple[_Counting, ScanResult, list[dict[str, Any]]]:
    """Scan three times through a gas cap: the second knows the endpoint, the third which accounts are idle."""
    counting = _Counting(cap)
    with proxy(market.anvil.url, counting) as url:
        for run in range(3):
            counting.lenses = 0
            result, requests = _scan(market, folder, url, f"{cap}-{run}")
    return counting, result, requests


def _accounts(result: ScanResult) -> dict[str, Any]:
    document: dict[str, Any] = json.loads(accounts_json(result))
    del document["snapshot"]
    return document


def _holds(market: DevMarket, folder: Path) -> None:
    market.anvil.rpc("anvil_mine", hex(FINALITY))
    counting, wide, requests = _warm(market, folder, GETH_CAP)
    assert counting.lenses <= 5
    assert len(requests) <= 12
    assert not [request for request in requests if request.get("failure")]
    assert wide.trustworthy
    narrow_counting, narrow, requests = _warm(market, folder, SMALL_CAP)
    assert not [request for request in requests if request.get("failure")]
    assert narrow_counting.lenses >= counting.lenses
    assert _accounts(narrow) == _accounts(wide)


def test_what_an_endpoint_lets_wait_is_not_taken_for_its_work(small: DevMarket) -> None:
    refused: list[Request] = []

    def busy(request: Request) -> Say | None:
        refused.append(request)
        return refuse("rate limit exceeded", 429, 429, Retry_After="1") if len(refused) == 1 else None

    heard: list[str] = []

    async def ask(url: str) -> tuple[float, float]:
        endpoint = Endpoint(EndpointSpec(url), Options(), told=heard.append)
        began = time.perf_counter()
        with measured() as spent:
            await endpoint.request("eth_chainId", [])
        whole = time.perf_counter() - began
        await endpoint.close()
        return spent.seconds, whole

    with proxy(small.anvil.url, busy) as url:
        worked, whole = asyncio.run(ask(url))
    assert len(refused) == 2
    assert worked < whole - 0.4
    assert [text.split(" ", 1)[1] for text in heard] == ["asks to wait 1 s"]


@pytest.mark.parametrize("borrowers", [1_000, pytest.param(10_000, marks=pytest.mark.soak)])
def test_a_warm_scan_makes_few_requests_and_fits_a_small_gas_cap(
    toolchain: Toolchain, borrowers: int, tmp_path: Path
) -> None:
    with Anvil(toolchain.anvil, extra=("--prune-history=4",)) as anvil:
        market = deploy_market(anvil, "3.6", toolchain=toolchain)
        populate(market, borrowers)
        _holds(market, tmp_path)
