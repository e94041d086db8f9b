"""The faults of an honest endpoint that pass, or that are the chain's own."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

from scanner.chain.failures import Kind
from tests.chaos.proxy import Asked, Fault, Reply, Site, error
from tests.chaos.words import PAGE_HEADERS, as_reply, said, span_of, spoken

__all__ = [
    "Cut",
    "Forgetful",
    "Html",
    "Lag",
    "RateLimit",
    "Reorg",
    "Reset",
    "ServerError",
    "Shuffled",
    "Slow",
    "WrongId",
]

_PAGE: Final = b"<html><head><title>502 Bad Gateway</title></head><body><center>nginx</center></body></html>"


@dataclass(frozen=True)
class RateLimit(Fault):
    """429 in one of its clothes; ``item`` is the one inside an HTTP 200, of one request of a batch."""

    how: str = "plain"  # plain | after | date | infura | item
    rate: float = 0.15

    @property
    def name(self) -> str:
        return f"429 {self.how}"

    def refuse(self, asked: Sequence[Asked], key: str, number: int, site: Site) -> Reply | None:
        if self.how == "item" or not site.strikes(self, key, self.rate):
            return None
        if self.how == "after":
            return Reply(b"slow down", 429, {"Retry-After": "0.05"})
        if self.how == "date":
            return Reply(b"", 429, {"Retry-After": "Wed, 21 Oct 2015 07:28:00 GMT"})
        if self.how == "infura":
            data = {"rate": {"current_rps": 12.0, "allowed_rps": 10.0, "backoff_seconds": 0.05}}
            return as_reply(error("project ID request rate exceeded", -32005, data), asked, 429)
        return Reply(b"", 429)

    def before(self, asked: Asked, site: Site) -> None:
        if self.how == "item" and site.strikes(self, asked.key, self.rate):
            asked.answer = spoken(_ITEM)


_ITEM: Final = next(seen for seen in said(Kind.RATE_LIMITED) if seen.code == 429)


@dataclass(frozen=True)
class ServerError(Fault):
    """5xx with a page, or -32603 in an HTTP 200 where ``status`` is 200."""

    status: int = 503
    rate: float = 0.15

    @property
    def name(self) -> str:
        return f"server error {self.status}"

    def refuse(self, asked: Sequence[Asked], key: str, number: int, site: Site) -> Reply | None:
        if not site.strikes(self, key, self.rate):
            return None
        return (
            as_reply(error("Internal error", -32603), asked)
            if self.status == 200
            else Reply(_PAGE, self.status, PAGE_HEADERS)
        )


@dataclass(frozen=True)
class Reset(Fault):
    """The connection is reset, before the node heard of the request or after."""

    rate: float = 0.12
    late: bool = False

    @property
    def name(self) -> str:
        return "reset"

    def refuse(self, asked: Sequence[Asked], key: str, number: int, site: Site) -> Reply | None:
        return Reply(b"", reset=True) if not self.late and site.strikes(self, key, self.rate) else None

    def wire(self, asked: Sequence[Asked], reply: Reply, key: str, site: Site) -> Reply:
        return replace(reply, reset=True) if self.late and site.strikes(self, key, self.rate) else reply


@dataclass(frozen=True)
class Cut(Fault):
    """Half an answer: the connection breaks off (``whole`` False), or the text ends early and says it is whole."""

    rate: float = 0.12
    whole: bool = False

    @property
    def name(self) -> str:
        return "half answer, whole length" if self.whole else "half answer"

    def wire(self, asked: Sequence[Asked], reply: Reply, key: str, site: Site) -> Reply:
        if not site.strikes(self, key, self.rate):
            return reply
        half = len(reply.body) // 2
        return replace(reply, body=reply.body[:half]) if self.whole else replace(reply, cut=half)


@dataclass(frozen=True)
class Slow(Fault):
    """An answer that takes a while, or longer than anybody waits."""

    rate: float = 0.1
    seconds: float = 0.1

    @property
    def name(self) -> str:
        return "slow answer" if self.seconds < 1 else "no answer"

    def wire(self, asked: Sequence[Asked], reply: Reply, key: str, site: Site) -> Reply:
        return replace(reply, pause=self.seconds) if site.strikes(self, key, self.rate) else reply


@dataclass(frozen=True)
class Html(Fault):
    """A page instead of an answer, with HTTP 200."""

    rate: float = 0.1

    @property
    def name(self) -> str:
        return "HTML"

    def refuse(self, asked: Sequence[Asked], key: str, number: int, site: Site) -> Reply | None:
        return Reply(_PAGE, 200, PAGE_HEADERS) if site.strikes(self, key, self.rate) else None


@dataclass(frozen=True)
class WrongId(Fault):
    """An answer to another question: its id is not that of the request, or there is none."""

    rate: float = 0.1
    how: str = "other"  # other | missing | null | swapped

    @property
    def name(self) -> str:
        return f"id {self.how}"

    def wire(self, asked: Sequence[Asked], reply: Reply, key: str, site: Site) -> Reply:
        if not site.strikes(self, key, self.rate):
            return reply
        decoded = json.loads(reply.body)
        if isinstance(decoded, list):
            return replace(reply, body=json.dumps([self._spoilt(answer) for answer in decoded]).encode())
        return replace(reply, body=json.dumps(self._spoilt(decoded)).encode())

    def _spoilt(self, answer: dict[str, Any]) -> dict[str, Any]:
        known = answer.get("id")
        if self.how == "missing":
            return {name: value for name, value in answer.items() if name != "id"}
        if self.how == "null":
            return {**answer, "id": None}
        spoilt = {**answer, "id": known + 10_000 if isinstance(known, int) else "x"}
        if self.how == "swapped":  # what a mixed-up gateway does: the answer is another one's, too
            spoilt["result"] = "0x" + 64 * "7"
        return spoilt


@dataclass(frozen=True)
class Shuffled(Fault):
    """The answers of a batch in another order, one of them twice, or one missing."""

    how: str = "order"  # order | twice | missing
    rate: float = 1.0

    @property
    def name(self) -> str:
        return f"batch {self.how}"

    def wire(self, asked: Sequence[Asked], reply: Reply, key: str, site: Site) -> Reply:
        if len(asked) < 2:
            return reply
        if self.how == "missing" and not site.strikes(self, key, self.rate):
            return reply
        decoded = json.loads(reply.body)
        if not isinstance(decoded, list):
            return reply
        if self.how != "missing":
            site.note(self)
        decoded = decoded[::-1]
        if self.how == "twice":
            decoded.append(decoded[0])
        elif self.how == "missing":
            decoded = decoded[1:]
        return replace(reply, body=json.dumps(decoded).encode())


@dataclass(frozen=True)
class Forgetful(Fault):
    """Behind a balancer, some nodes miss the block or its state: eth_call fails in a node's own words."""

    kind: Kind = Kind.BLOCK_UNKNOWN
    words: int = 0
    rate: float = 0.12

    @property
    def name(self) -> str:
        return "header not found" if self.kind is Kind.BLOCK_UNKNOWN else "missing trie node"

    def before(self, asked: Asked, site: Site) -> None:
        if asked.method in ("eth_call", "eth_getBalance", "eth_getProof") and site.strikes(self, asked.key, self.rate):
            words = said(self.kind, "eth_call")
            asked.answer = spoken(words[self.words % len(words)])


@dataclass(frozen=True)
class Lag(Fault):
    """A node that is some blocks behind: always (a stale endpoint), or now and then (one of those behind a balancer).

    One node answers a whole HTTP request. Logs after its head: an error in new geth's words, or as old nodes do, none
    and no word (``silent``).
    """

    blocks: int = 2
    rate: float = 1.0
    silent: bool = False

    @property
    def name(self) -> str:
        if self.rate == 1.0:
            return "stale endpoint"
        return "lag, logs silently short" if self.silent else "lag"

    def refuse(self, asked: Sequence[Asked], key: str, number: int, site: Site) -> Reply | None:
        site.local.lags = self.rate == 1.0 or site.draw(self, key) < self.rate
        site.local.key, site.local.met = key, False
        return None

    def before(self, asked: Asked, site: Site) -> None:
        if asked.answer is not None or not asked.method.startswith("eth_") or not site.local.lags:
            return
        head = site.head() - self.blocks
        method, params = asked.method, asked.params
        if method == "eth_blockNumber":
            if self._meets(asked, site):
                asked.answer = {"jsonrpc": "2.0", "result": hex(head)}
        elif method == "eth_getLogs":
            self._logs(asked, site, head)
        elif method in ("eth_getBlockByNumber", "eth_getBlockByHash"):
            if params[0] == "latest":
                if self._meets(asked, site):
                    asked.ask_instead(hex(head), *params[1:])
            elif (self._number(params[0], site) or 0) > head and self._meets(asked, site):
                asked.answer = {"jsonrpc": "2.0", "result": None}
        elif method not in ("eth_chainId",):
            place = 2 if method in ("eth_getProof", "eth_getStorageAt") else 1
            if len(params) > place and (self._number(params[place], site) or 0) > head and self._meets(asked, site):
                asked.answer = error("header not found")

    def _logs(self, asked: Asked, site: Site, head: int) -> None:
        span = span_of(asked)
        query = asked.params[0]
        if span is None:
            number = self._number(query.get("blockHash"), site)
            if number is not None and number > head and self._meets(asked, site):
                asked.answer = error("unknown block")
        elif span[1] > head and self._meets(asked, site):
            if not self.silent:
                asked.answer = error("block range extends beyond current head block", -32602)
            elif span[0] > head:
                asked.answer = {"jsonrpc": "2.0", "result": []}
            else:
                asked.ask_instead({**query, "toBlock": hex(head)})

    def _meets(self, asked: Asked, site: Site) -> bool:
        if self.rate == 1.0:
            site.note(self)
            return True
        if not site.local.met:  # one stroke of bad luck for the whole request
            site.local.met = site.local.lags = site.strike(self, site.local.key)
        return bool(site.local.met)

    def _number(self, block: object, site: Site) -> int | None:
        if isinstance(block, dict):
            block = block.get("blockHash", block.get("blockNumber"))
        if not isinstance(block, str) or not block.startswith("0x"):
            return None
        return site.number_of(block) if len(block) == 66 else int(block, 16)


@dataclass(frozen=True)
class Reorg(Fault):
    """The newest blocks are undone at a scan's nth request, and others take their place."""

    at: int = 8
    depth: int = 3
    how: str = "revert"  # revert | reorg | rollback

    @property
    def name(self) -> str:
        return f"reorg ({self.how})"

    def refuse(self, asked: Sequence[Asked], key: str, number: int, site: Site) -> Reply | None:
        if number >= self.at and site.world is not None and site.once(self):
            site.world.reorganise(self.depth, self.how)
            site.note(self)
        return None
