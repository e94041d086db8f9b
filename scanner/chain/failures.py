"""Tell the failures of nodes and providers apart: by message first, code second, HTTP status third.

The same code means opposite things at different providers (-32005 is a result cap and a rate limit), so the
text decides wherever it is known.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

from scanner.chain.kinds import SHRINKABLE, TRANSIENT, Kind, Remedy, remedy
from scanner.errors import RpcError

__all__ = [
    "LONGEST",
    "SHRINKABLE",
    "TRANSIENT",
    "Kind",
    "Remedy",
    "RpcFailure",
    "batch_limit",
    "classify",
    "clean",
    "remedy",
    "revert_data",
    "suggested_wait",
    "suggested_width",
]


LONGEST: Final = 2_000
"""Characters of a message that are looked at. A node may send megabytes, and a search takes the square of it."""

_ADVICE: Final[Mapping[Kind, str]] = {
    Kind.UNAUTHORIZED: "check the API key in the RPC URL and what its plan allows",
    Kind.UNREACHABLE: "is the node running, and are host and port of the RPC URL right?",
    Kind.NOT_RPC: "does the RPC URL point to a JSON-RPC endpoint?",
    Kind.RATE_LIMITED: "wait, or use an endpoint with a higher limit",
    Kind.PLAN_EXHAUSTED: "waiting does not help: use another endpoint or plan",
    Kind.STATE_MISSING: "the node has pruned that state: use an archive node or a newer block",
    Kind.TIMEOUT: "the node is slow or overloaded",
    Kind.BLOCK_UNKNOWN: "the node may lag behind: use another endpoint",
    Kind.SERVER: "the node, or a gateway before it, has a fault: try again later, or use another endpoint",
    Kind.DISCONNECTED: "try again, or use another endpoint",
    Kind.OUT_OF_TIME: "allow more (--time-limit), use a faster endpoint, or scan less",
}

_RULES: Final = tuple(
    (kind, re.compile(pattern, re.IGNORECASE))
    for kind, pattern in (
        # a contract chooses the words after "reverted", so this rule comes first
        (Kind.REVERTED, r"^(vm )?execution reverted|^(vm execution error\W*)?reverted\b|^vm exception.{0,200}\brevert"),
        (
            Kind.GAS_REFUSED,
            r"gas (limit )?(is )?too high|gas limit exceed(s|ed)|exceeds (the )?(block|rpc) gas (limit|cap)",
        ),
        (Kind.OUT_OF_GAS, r"out ?of ?gas|oog\b|gas required exceeds|intrinsic gas too low|gas uint64 overflow"),
        (
            Kind.REVERTED,
            r"evm error (invalid|opcode|stack|badjump|outofoffset|notactivated|call|create|nonce)|invalid opcode"
            r"|invalid jump|bad ?instruction|bad ?jump|stack ?(under|over)flow|stack limit|write protection"
            r"|state ?change ?during ?static|not ?allowed ?inside ?static|return data out of bounds",
        ),
        (
            Kind.BATCH_REFUSED,
            r"\bbatch(ed|es|ing)?\b.{0,40}\b(not (supported|allowed|available|permitted)|unsupported|disabled"
            r"|too (large|big|long|many)|exceed\w*|limit\w*)|(calls|requests) (in|per) (1|one|a|single|the) batch"
            r"|(many|requests) in batch|max(imum)? batch|batch of more than",
        ),
        # a node behind the others, not a range that is too wide
        (Kind.BLOCK_UNKNOWN, r"block range extends beyond|beyond (the )?current head"),
        (
            Kind.RANGE_TOO_WIDE,
            r"try with this block range|block range should work|range (is )?too (wide|large|big|high)|exceeds the range"
            r"|max(imum)? block range|range limit exceeded|range \d+ exceeds|limit(ed)? to .{0,200}\bblocks?\b"
            r"|blocks distance|ranges? over \d+ blocks|up to an? [\d,]+ block range|eth_getLogs is limited"
            r"|limit the query to|exceed(s|ed)? max(imum)? (block )?range|range exceeds",
        ),
        (Kind.TOO_MANY_ADDRESSES, r"max addresses|specify less number of address"),
        (
            Kind.TOO_MANY_RESULTS,
            r"returned more than|exceeds max results|query exceeds limit|too many (results|logs)|try paginating"
            r"|logs over more|query timeout exceeded",
        ),
        (
            Kind.PAYLOAD_TOO_LARGE,
            r"response (is |size )?(is )?(too big|too large|should not|exceeded)|result is too big"
            r"|exceeded max limit of|entity too large|payload too large|body (is )?too large|length limit exceeded"
            r"|log response size|request too large|content too large|max (code|initcode) size",
        ),
        (
            Kind.STATE_MISSING,
            r"missing trie node|historical state|state (is )?(not available|unavailable|pruned)|pruned|archive"
            r"|distance to target block exceeds|layer stale|state histories|metadata is not found|no state available"
            r"|state .{0,200}not found|state already discarded|old data not available|world state unavailable",
        ),
        (
            Kind.BLOCK_UNKNOWN,
            r"header not found|header for hash not found|not currently canonical|hash is not canonical|unknown block"
            r"|block (\S{1,80} )?(is |was )?not found|could not find (the )?(block|header)"
            r"|(block|header) could not be found|block is not canonical|block ?out ?of ?range|resource not found"
            r"|cannot find block|unfinalized data|block does not exist|future block",
        ),
        (
            Kind.PLAN_EXHAUSTED,
            r"(daily|monthly) (request|capacity|credit|usage)|free (tier|plan)|current plan|upgrade your (tier|plan)"
            r"|quota|payment required|billing",
        ),
        (
            Kind.RATE_LIMITED,
            r"rate.?limit|too many requests|request limit|limit reached|capacity (limit|exceeded)|requests? per second"
            r"|request rate exceeded|throttl|compute units|limited to \d+/sec|limit for your",
        ),
        (
            Kind.UNAUTHORIZED,
            r"unauthori[sz]ed|invalid (api|project|access) ?-?_?(key|id|token)|api key|forbidden|authenticat"
            r"|must be authorized|personal token",
        ),
        (Kind.TIMEOUT, r"time(d)? ?-?out|execution aborted|deadline exceeded|took too long"),
        (
            Kind.OVERRIDES_REFUSED,
            r"override|too many (arguments|param)|(at most|expected|want) (\S{1,80} )?(2|two)\b"
            r"|(2|two) params? expected",
        ),
        (Kind.NO_METHOD, r"method .{0,200}(not (found|supported|available|allowed|exist|whitelisted)|does not exist)"),
        (
            Kind.INVALID_PARAMS,
            r"invalid (argument|param|type|block)|cannot unmarshal|missing value for required|hex string",
        ),
    )
)

_CODES: Final[Mapping[int, Kind]] = {
    3: Kind.REVERTED,
    429: Kind.RATE_LIMITED,
    1015: Kind.RATE_LIMITED,
    -32001: Kind.BLOCK_UNKNOWN,
    -32005: Kind.RATE_LIMITED,
    -32007: Kind.RATE_LIMITED,
    -32009: Kind.RATE_LIMITED,
    -32600: Kind.INVALID_PARAMS,
    -32601: Kind.NO_METHOD,
    -32602: Kind.INVALID_PARAMS,
    -32603: Kind.SERVER,
    -32614: Kind.RANGE_TOO_WIDE,
}

_STATUSES: Final[Mapping[int, Kind]] = {
    401: Kind.UNAUTHORIZED,
    402: Kind.PLAN_EXHAUSTED,
    403: Kind.UNAUTHORIZED,
    408: Kind.TIMEOUT,
    413: Kind.PAYLOAD_TOO_LARGE,
    429: Kind.RATE_LIMITED,
    504: Kind.TIMEOUT,
}

_HEX_PAIR = re.compile(r"\[\s{0,9}(0x[0-9a-f]{1,16})\s{0,9},\s{0,9}(0x[0-9a-f]{1,16})\s{0,9}\]", re.IGNORECASE)
_WIDTH = re.compile(
    r"(?:limit of|up to an?|over|maximum allowed is|limited to(?: an?)?|blocks distance:"
    r"|max(?:imum)?(?: block range)?(?: is| of|:| =)?)\s{0,9}(?:0 - )?(\d[\d,]{0,14})",
    re.IGNORECASE,
)
_BATCH = re.compile(
    r"maximum (?:of )?(\d{1,9}) (?:calls|requests)|more than (\d{1,9}) (?:calls|requests)|up to (\d{1,9})"
    r"|(?:limit|size|length|max(?:imum)?)(?: size| batch| length){0,3}(?: of| is| to|:| =)? ?(\d{1,9})",
    re.IGNORECASE,
)
_WAIT = re.compile(
    r"\b(?:try again|retry|wait|reset)\b\D{0,24}?(\d{1,9}(?:\.\d{1,9})?)\s{0,9}"
    r"(ms|milliseconds?|seconds?|secs?|s|minutes?|min|m)\b",
    re.IGNORECASE,
)


class RpcFailure(RpcError):
    """A failed request with what it means; leaves ``chain`` only as its base class ``RpcError``.

    advice: what to do about it, in place of what is said to everything of its kind.
    """

    def __init__(
        self,
        message: str,
        kind: Kind,
        *,
        code: int | None = None,
        data: bytes = b"",
        retry_after: float | None = None,
        status: int = 200,
        advice: str | None = None,
    ) -> None:
        self.kind = kind
        self.data = data
        self.retry_after = retry_after
        self.status = status
        self._message = message
        self._advice = advice
        advice = advice or _ADVICE.get(kind)
        super().__init__(f"{message}; {advice}" if advice else message, code=code)

    @property
    def plain(self) -> str:
        """What happened, without advice."""
        return self._message

    def noted(self, note: str, kind: Kind | None = None) -> RpcFailure:
        """Give the same failure with something more to say, perhaps as one of another kind."""
        return self._again(f"{self._message}; {note}", kind)

    def of(self, method: str) -> RpcFailure:
        """Give the failure of a whole batch as that of one method in it."""
        host, _, rest = self._message.partition(": ")
        return self._again(f"{host}: {method}: {rest.partition(': ')[2]}")

    def _again(self, message: str, kind: Kind | None = None) -> RpcFailure:
        return RpcFailure(
            message,
            kind or self.kind,
            code=self.code,
            data=self.data,
            retry_after=self.retry_after,
            status=self.status,
            advice=self._advice if kind is None else None,
        )


def classify(message: str, code: int | None = None, status: int = 200) -> Kind:
    """Say what a failure means. ``message`` may have textual error data appended."""
    message = message[: 2 * LONGEST]
    for kind, pattern in _RULES:
        if pattern.search(message):
            return kind
    if code is not None and code in _CODES:
        return _CODES[code]
    if status in _STATUSES:
        return _STATUSES[status]
    if status >= 500:
        return Kind.SERVER
    return Kind.OTHER


def clean(text: str, limit: int = 300) -> str:
    """Cut foreign text to ``limit`` characters on one line, without control characters."""
    line = " ".join("".join(c if c.isprintable() else " " for c in text[: 4 * limit]).split())
    return line if len(line) <= limit else line[: limit - 1] + "…"


def revert_data(data: object) -> bytes:
    """Take the returned bytes out of the ``data`` of an error; empty where there are none.

    Nodes give a hex string, "Reverted 0x…", or an object with one of the two inside.
    """
    if isinstance(data, Mapping):
        return revert_data(data.get("data", data.get("result")))
    if not isinstance(data, str):
        return b""
    text = data.removeprefix("Reverted ").strip()
    if not re.fullmatch(r"0x(?:[0-9a-fA-F]{2})*", text):
        return b""
    return bytes.fromhex(text[2:])


def suggested_width(message: str) -> int | None:
    """Read the number of blocks that a provider says it would answer for; None where it names none."""
    message = message[:LONGEST]
    if pair := _HEX_PAIR.search(message):
        return max(int(pair[2], 16) - int(pair[1], 16) + 1, 1)
    if width := _WIDTH.search(message):
        return max(int(width[1].replace(",", "")), 1)
    return None


def batch_limit(message: str) -> int:
    """Read how many requests a provider takes in one batch, from its refusal of one; 0 where it names no number."""
    found = _BATCH.search(message[:LONGEST])
    return next((int(number) for number in found.groups() if number), 0) if found else 0


def suggested_wait(message: str) -> float | None:
    """Read the seconds that a provider asks to wait for; None where it names none."""
    if (found := _WAIT.search(message[:LONGEST])) is None:
        return None
    unit = found[2].lower()
    return float(found[1]) * (0.001 if unit.startswith("mil") or unit == "ms" else 60 if unit.startswith("m") else 1)
