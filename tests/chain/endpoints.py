"""Several endpoints in front of one node, some of which fail or lie, and a scan that reads them."""

from __future__ import annotations

import json
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.request import Request as HttpRequest
from urllib.request import urlopen

from scanner import ScanOptions
from scanner.chain.options import Options
from scanner.chain.redact import host_of
from scanner.chain.spec import EndpointSpec
from scanner.devchain import DevMarket
from scanner.errors import EndpointQuarantined
from scanner.pipeline import scan_source
from scanner.results import ScanResult
from scanner.sources import Session, Source, open_source
from tests.chain.peers import options_of
from tests.chain.proxy import Request, Rule, Say, proxy

__all__ = ["QUICK", "Endpoint", "Liar", "Lie", "endpoints", "same", "scan_with"]

QUICK = Options(
    attempts=2,
    patience=2,
    first_pause=0.01,
    lag_patience=0.1,
    lag_pause=0.02,
    hedge=False,
    lens_start=30,
    range_start=40,
)
"""Small sizes, so that there is a middle to fail in, and short pauses."""


def passing(request: Request) -> Say | None:
    return None


@dataclass
class Endpoint:
    """A proxy: its URL, and what it was asked and answered itself; ``rule`` may be changed."""

    rule: Rule = passing
    url: str = ""
    seen: list[Request] = field(default_factory=list)
    refused: int = 0
    guard: Any = field(default_factory=threading.Lock)

    @property
    def host(self) -> str:
        return host_of(self.url)

    def __call__(self, request: Request) -> Say | None:
        said = self.rule(request)
        with self.guard:
            self.seen.append(request)
            self.refused += said is not None
        return said

    def count(self) -> Counter[str]:
        """Count what was asked, by method."""
        return Counter(request["method"] for request in self.seen)

    def firsts(self) -> list[str]:
        """List the first block of each range of logs that was asked for."""
        return [request["params"][0]["fromBlock"] for request in self.seen if request["method"] == "eth_getLogs"]


@contextmanager
def endpoints(upstream: str, *rules: Rule) -> Iterator[list[Endpoint]]:
    """Give an endpoint for each rule, all of the same node."""
    with ExitStack() as stack:
        opened = [Endpoint(rule) for rule in rules]
        for endpoint in opened:
            endpoint.url = stack.enter_context(proxy(upstream, endpoint))
        yield opened


Lie = Callable[[Request, Any], Any]
"""Takes a request and its honest result; gives what is said instead."""


class Liar:
    """A rule that asks the node and changes what it says."""

    def __init__(self, upstream: str, lie: Lie) -> None:
        self._upstream = upstream
        self._lie = lie
        self.lies = 0

    def __call__(self, request: Request) -> Say | None:
        body = json.dumps(request).encode()
        with urlopen(HttpRequest(self._upstream, body, {"Content-Type": "application/json"})) as answer:  # noqa: S310
            honest = json.load(answer)
        if "result" not in honest:
            return Say(honest)
        told = self._lie(request, honest["result"])
        self.lies += told != honest["result"]
        return Say(honest | {"result": told})


def scan_with(
    market: DevMarket, index: Path, urls: Sequence[str | EndpointSpec], quorum: int = 1, **changes: Any
) -> tuple[ScanResult, Source]:
    """Scan as the pipeline does, quick to give up; an endpoint that lied is left out of the next try."""
    share = changes.pop("share", 1.0)
    session: Session = changes.pop("session", None) or Session()
    options: ScanOptions = options_of(market, index, extent="points", **changes)
    while True:
        try:
            with open_source(
                urls,
                chain=None,
                block=options.block,
                record=None,
                replay=None,
                quorum=quorum,
                share=share,
                session=session,
                limits=QUICK,
            ) as source:
                return scan_source(source, options).result, source
        except EndpointQuarantined as wrong:
            if wrong.host in session.quarantined:
                raise
            session.quarantined[wrong.host] = wrong.reason


def same(one: ScanResult, other: ScanResult) -> bool:
    """Tell whether two scans saw the same in everything."""
    frames = one.frames.keys() == other.frames.keys()
    return frames and all(one.frames[name].equals(other.frames[name]) for name in one.frames)
