"""The limits of an honest endpoint: they hold for good, and less is answered."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

from scanner.chain.failures import Kind
from tests.chaos.proxy import Asked, Fault, Reply, Site, error
from tests.chaos.words import PAGE_HEADERS, as_reply, said, span_of, spoken
from tests.unit.chain.provider_answers import Seen

__all__ = [
    "Compressed",
    "FewAddresses",
    "FewBlocks",
    "FewResults",
    "GasCap",
    "NoBatch",
    "NoHashes",
    "NoOverrides",
    "SmallAnswers",
    "SmallRequests",
    "Standing",
]


class Standing(Fault):
    """A limit that holds for good: no stroke of bad luck, which would be over after some."""

    def meet(self, asked: Asked, site: Site, answer: dict[str, Any]) -> None:
        site.note(self)
        asked.answer = answer


@dataclass(frozen=True)
class FewBlocks(Standing):
    """A cap on the range of eth_getLogs, in one provider's words: its numbers fitted to the cap, or verbatim."""

    limit: int = 20
    words: int = 0
    verbatim: bool = False

    @property
    def name(self) -> str:
        return f"log range cap: {self.seen.provider}"

    @property
    def seen(self) -> Seen:
        words = said(Kind.RANGE_TOO_WIDE)
        return words[self.words % len(words)]

    def before(self, asked: Asked, site: Site) -> None:
        span = span_of(asked)
        if asked.answer is None and span is not None and span[1] - span[0] >= self.limit:
            message = self.seen.message if self.verbatim else self._fitted(span[0])
            self.meet(asked, site, error(message, self.seen.code))

    def _fitted(self, first: int) -> str:
        pair = f"[{first:#x}, {first + self.limit - 1:#x}]"
        message = re.sub(r"\[0x[0-9a-fA-F]+, 0x[0-9a-fA-F]+\]", pair, self.seen.message)
        return message if self.seen.width is None else re.sub(rf"\b{self.seen.width}\b", str(self.limit), message)


@dataclass(frozen=True)
class FewResults(Standing):
    """A cap on the logs that one eth_getLogs may bring."""

    limit: int = 30
    words: int = 0

    @property
    def name(self) -> str:
        return "log result cap"

    def after(self, asked: Asked, site: Site) -> None:
        found = (asked.answer or {}).get("result")
        if asked.method == "eth_getLogs" and isinstance(found, list) and len(found) > self.limit:
            words = said(Kind.TOO_MANY_RESULTS)
            self.meet(asked, site, spoken(words[self.words % len(words)]))


@dataclass(frozen=True)
class FewAddresses(Standing):
    """A cap on the addresses of one eth_getLogs."""

    limit: int = 2

    @property
    def name(self) -> str:
        return "log address cap"

    def before(self, asked: Asked, site: Site) -> None:
        if asked.method != "eth_getLogs" or asked.answer is not None:
            return
        addresses = asked.params[0].get("address", [])
        if isinstance(addresses, list) and len(addresses) > self.limit:
            self.meet(asked, site, spoken(said(Kind.TOO_MANY_ADDRESSES)[0]))


@dataclass(frozen=True)
class SmallAnswers(Standing):
    """A cap on the bytes of one answer."""

    limit: int = 12_000
    words: int = 0

    @property
    def name(self) -> str:
        return "response size cap"

    def after(self, asked: Asked, site: Site) -> None:
        if asked.method in ("eth_call", "eth_getLogs") and len(str(asked.answer)) > self.limit:
            words = said(Kind.PAYLOAD_TOO_LARGE)
            self.meet(asked, site, spoken(words[self.words % len(words)]))


@dataclass(frozen=True)
class SmallRequests(Standing):
    """HTTP 413 for a request of too many bytes."""

    limit: int = 12_000

    @property
    def name(self) -> str:
        return "request size cap (413)"

    def refuse(self, asked: Sequence[Asked], key: str, number: int, site: Site) -> Reply | None:
        if sum(len(str(one.params)) for one in asked) <= self.limit:
            return None
        site.note(self)
        return Reply(b"<html>413 Request Entity Too Large</html>", 413, PAGE_HEADERS)


@dataclass(frozen=True)
class GasCap(Standing):
    """A cap on the gas of eth_call.

    ``silent`` gives the cap instead of what was asked for, as geth does; ``error`` and ``revert`` do so too, and say
    "out of gas" in a node's words, or a revert without data, where the call ran out. ``refuse`` takes no more gas.
    """

    gas: int = 5_000_000
    how: str = "silent"  # silent | error | revert | refuse
    words: int = 0

    @property
    def name(self) -> str:
        return f"gas cap, {self.how}" if self.gas > 500_000 else "too little gas"

    def before(self, asked: Asked, site: Site) -> None:
        if asked.method != "eth_call" or asked.answer is not None:
            return
        message, *rest = asked.params
        wanted = int(message["gas"], 16) if "gas" in message else None
        if self.how == "refuse" and wanted is not None and wanted > self.gas:
            words = said(Kind.GAS_REFUSED)
            self.meet(asked, site, spoken(words[self.words % len(words)]))
        elif wanted is None or wanted > self.gas:
            asked.ask_instead({**message, "gas": hex(self.gas)}, *rest)
            site.note(self)

    def after(self, asked: Asked, site: Site) -> None:
        problem = (asked.answer or {}).get("error")
        if asked.method != "eth_call" or not problem or "OutOfGas" not in str(problem):
            return
        words = said(Kind.OUT_OF_GAS)
        if self.how == "revert":
            self.meet(asked, site, error("execution reverted", 3, "0x"))
        elif self.how == "error":
            self.meet(asked, site, spoken(words[self.words % len(words)]))
        else:
            site.note(self)


_NO_OVERRIDES: Final = (
    ("too many arguments, want at most 2", -32602),
    ("Invalid params: state override is not supported", -32602),
    ("Method parameters invalid: expected 2 params", -32602),
    ("eth_call state overrides are not available on your endpoint", -32601),
)


@dataclass(frozen=True)
class NoOverrides(Standing):
    """State overrides are refused in words, or silently ignored; ``bare`` refuses calls without a target as well."""

    ignored: bool = False
    words: int = 0
    bare: bool = False

    @property
    def name(self) -> str:
        return ("overrides ignored" if self.ignored else "overrides refused") + (", no deployless" if self.bare else "")

    def before(self, asked: Asked, site: Site) -> None:
        if asked.method != "eth_call" or asked.answer is not None:
            return
        if self.bare and not asked.params[0].get("to"):
            self.meet(asked, site, error("invalid argument 0: missing value for required field 'to'", -32602))
        elif len(asked.params) > 2 and self.ignored:
            asked.ask_instead(*asked.params[:2])
            site.note(self)
        elif len(asked.params) > 2:
            self.meet(asked, site, error(*_NO_OVERRIDES[self.words % len(_NO_OVERRIDES)]))


@dataclass(frozen=True)
class NoHashes(Standing):
    """Blocks are taken by number only (no EIP-1898), or without ``requireCanonical``."""

    flag_only: bool = False

    @property
    def name(self) -> str:
        return "no requireCanonical" if self.flag_only else "no EIP-1898"

    def before(self, asked: Asked, site: Site) -> None:
        if asked.answer is not None:
            return
        for value in asked.params:
            if isinstance(value, dict) and "blockHash" in value and asked.method != "eth_getLogs":
                if self.flag_only and "requireCanonical" not in value:
                    continue
                text = "invalid argument 1: json: cannot unmarshal object into Go value of type string"
                self.meet(asked, site, error(text, -32602))
                return


@dataclass(frozen=True)
class NoBatch(Standing):
    """JSON-RPC batches are refused, or only so many requests are taken in one."""

    limit: int = 1

    @property
    def name(self) -> str:
        return "no batches" if self.limit == 1 else "small batches"

    def refuse(self, asked: Sequence[Asked], key: str, number: int, site: Site) -> Reply | None:
        if len(asked) <= self.limit:
            return None
        site.note(self)
        text = "batch requests are not supported" if self.limit == 1 else f"batch too large, at most {self.limit}"
        return as_reply(error(text, -32600), asked[:1], 400 if self.limit == 1 else 200)


@dataclass(frozen=True)
class Compressed(Standing):
    """Answers are gzipped."""

    @property
    def name(self) -> str:
        return "gzip"

    def wire(self, asked: Sequence[Asked], reply: Reply, key: str, site: Site) -> Reply:
        site.note(self)
        return replace(reply, headers={**reply.headers, "Content-Encoding": "gzip"})
