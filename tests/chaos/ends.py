"""What nothing cures."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from scanner.chain.failures import Kind
from tests.chaos.proxy import Asked, Fault, Reply, Site, error
from tests.chaos.words import PAGE_HEADERS, as_reply, said, spoken

__all__ = ["Amnesia", "Answers", "Denied", "Gone"]


@dataclass(frozen=True)
class Denied(Fault):
    """From the nth HTTP request on, one answer to everything, or to one method. ``seconds`` before it."""

    label: str
    message: str | None = None
    code: int | None = -32000
    status: int = 200
    page: bytes = b""
    since: int = 1
    method: str | None = None
    seconds: float = 0.0
    retry_after: str | None = None

    @property
    def name(self) -> str:
        return self.label

    def refuse(self, asked: Sequence[Asked], key: str, number: int, site: Site) -> Reply | None:
        if number < self.since or (self.method and all(one.method != self.method for one in asked)):
            return None
        site.note(self)
        if self.message is not None:
            reply = as_reply(error(self.message, self.code), asked, self.status)
        else:
            reply = Reply(self.page, self.status, PAGE_HEADERS)
        if self.retry_after is not None:
            reply = replace(reply, headers={**reply.headers, "Retry-After": self.retry_after})
        return replace(reply, pause=self.seconds)


@dataclass(frozen=True)
class Gone(Fault):
    """The node dies in the middle: connections are reset, then refused."""

    since: int = 10

    @property
    def name(self) -> str:
        return "node dies"

    def refuse(self, asked: Sequence[Asked], key: str, number: int, site: Site) -> Reply | None:
        if number < self.since:
            return None
        if site.once(self):
            site.note(self)
            site.shut()
        return Reply(b"", reset=True)


@dataclass(frozen=True)
class Amnesia(Fault):
    """The state of the block is gone for good, from the nth request on, in a node's own words."""

    words: int = 0
    since: int = 1
    kind: Kind = Kind.STATE_MISSING

    @property
    def name(self) -> str:
        return "state missing" if self.kind is Kind.STATE_MISSING else "block gone"

    def before(self, asked: Asked, site: Site) -> None:
        if site.requests < self.since:
            return
        words = said(self.kind, "eth_call")
        if asked.method in ("eth_call", "eth_getBalance", "eth_getCode", "eth_getProof"):
            site.note(self)
            asked.answer = spoken(words[self.words % len(words)])
        elif self.kind is Kind.BLOCK_UNKNOWN and asked.method == "eth_getBlockByHash":
            asked.answer = {"jsonrpc": "2.0", "result": None}


@dataclass(frozen=True)
class Answers(Fault):
    """Every answer of a method is this."""

    label: str
    method: str
    result: object

    @property
    def name(self) -> str:
        return self.label

    def before(self, asked: Asked, site: Site) -> None:
        if asked.method == self.method:
            site.note(self)
            asked.answer = {"jsonrpc": "2.0", "result": self.result}
