"""Tell the failures of nodes and providers apart: by message first, code second, HTTP status third.

The same code means opposite things at different providers (-32005 is a result cap and a rate limit), so the
text decides wherever it is known.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from enum import Enum
from typing import Final

from scanner.errors import RpcError

__all__ = [
    "SHRINKABLE",
    "TRANSIENT",
    "Kind",
    "Remedy",
    "RpcFailure",
    "classify",
    "clean",
    "remedy",
    "revert_data",
    "suggested_width",
]


class Kind(Enum):
    """What a failure means for the one who asked."""

    REVERTED = "the contract refused"
    OUT_OF_GAS = "out of gas"
    GAS_REFUSED = "the gas asked for is refused"
    RANGE_TOO_WIDE = "block range too wide"
    TOO_MANY_RESULTS = "too many results"
    TOO_MANY_ADDRESSES = "too many addresses in one query"
    PAYLOAD_TOO_LARGE = "request or answer too large"
    TIMEOUT = "timeout"
    RATE_LIMITED = "rate limited"
    PLAN_EXHAUSTED = "the endpoint's plan does not allow it"
    STATE_MISSING = "state pruned"
    BLOCK_UNKNOWN = "block unknown"
    OVERRIDES_REFUSED = "state overrides refused"
    INVALID_PARAMS = "parameters refused"
    NO_METHOD = "method not offered"
    UNAUTHORIZED = "not authorised"
    UNREACHABLE = "unreachable"
    DISCONNECTED = "connection lost"
    SERVER = "server error"
    NOT_RPC = "no JSON-RPC answer"
    OTHER = "error"


class Remedy(Enum):
    """What helps against a failure."""

    SPLIT_RANGE = "ask for fewer blocks"
    SPLIT_BATCH = "ask for less in one call"
    SPLIT_ADDRESSES = "ask for fewer addresses"
    BACK_OFF = "wait and ask again"
    SWITCH = "ask another endpoint"
    GIVE_UP = "nothing"
    ANSWER = "it is the contract's answer"


_REMEDIES: Final[Mapping[Kind, Remedy]] = {
    Kind.REVERTED: Remedy.ANSWER,
    Kind.OUT_OF_GAS: Remedy.SPLIT_BATCH,
    Kind.GAS_REFUSED: Remedy.SPLIT_BATCH,
    Kind.RANGE_TOO_WIDE: Remedy.SPLIT_RANGE,
    Kind.TOO_MANY_RESULTS: Remedy.SPLIT_RANGE,
    Kind.TOO_MANY_ADDRESSES: Remedy.SPLIT_ADDRESSES,
    Kind.PAYLOAD_TOO_LARGE: Remedy.SPLIT_BATCH,
    Kind.TIMEOUT: Remedy.SPLIT_BATCH,
    Kind.RATE_LIMITED: Remedy.BACK_OFF,
    Kind.DISCONNECTED: Remedy.BACK_OFF,
    Kind.SERVER: Remedy.BACK_OFF,
    Kind.PLAN_EXHAUSTED: Remedy.SWITCH,
    Kind.STATE_MISSING: Remedy.SWITCH,
    Kind.BLOCK_UNKNOWN: Remedy.SWITCH,
    Kind.OVERRIDES_REFUSED: Remedy.SWITCH,
    Kind.UNREACHABLE: Remedy.SWITCH,
}

TRANSIENT: Final = frozenset(
    {Kind.TIMEOUT, Kind.RATE_LIMITED, Kind.BLOCK_UNKNOWN, Kind.DISCONNECTED, Kind.SERVER},
)
"""Kinds that may go away when the same request is sent again. An unknown block may be a node that lags."""

SHRINKABLE: Final = frozenset(
    {Kind.REVERTED, Kind.OUT_OF_GAS, Kind.PAYLOAD_TOO_LARGE, Kind.TOO_MANY_RESULTS, Kind.TIMEOUT, Kind.DISCONNECTED},
)
"""Kinds that a smaller request may not meet. A lens that reverts may have run out of gas in an inner call."""

_ADVICE: Final[Mapping[Kind, str]] = {
    Kind.UNAUTHORIZED: "check the API key in the RPC URL and what its plan allows",
    Kind.UNREACHABLE: "is the node running, and are host and port of the RPC URL right?",
    Kind.NOT_RPC: "does the RPC URL point to a JSON-RPC endpoint?",
    Kind.RATE_LIMITED: "wait, or use an endpoint with a higher limit",
    Kind.PLAN_EXHAUSTED: "waiting does not help: use another endpoint or plan",
    Kind.STATE_MISSING: "the node has pruned that state: use an archive node or a newer block",
    Kind.TIMEOUT: "the node is slow or overloaded",
}

_RULES: Final = tuple(
    (kind, re.compile(pattern, re.IGNORECASE))
    for kind, pattern in (
        # a contract chooses the words after "reverted", so this rule comes first
        (Kind.REVERTED, r"^(vm )?execution reverted|^(vm execution error\W*)?reverted\b|^vm exception.*\brevert"),
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
            Kind.RANGE_TOO_WIDE,
            r"try with this block range|block range should work|range (is )?too (wide|large|big|high)|exceeds the range"
            r"|max(imum)? block range|range limit exceeded|range \d+ exceeds|limit(ed)? to .*\bblocks?\b"
            r"|blocks distance|ranges? over \d+ blocks|up to an? [\d,]+ block range|eth_getLogs is limited"
            r"|limit the query to|exceed(s|ed)? max(imum)? (block )?range|block range extends|range exceeds",
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
            r"|state .*not found|state already discarded|old data not available|world state unavailable",
        ),
        (
            Kind.BLOCK_UNKNOWN,
            r"header not found|header for hash not found|not currently canonical|hash is not canonical|unknown block"
            r"|block (\S+ )?not found|block ?out ?of ?range|resource not found|cannot find block|unfinalized data"
            r"|block does not exist|future block",
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
            r"override|too many (arguments|param)|(at most|expected|want) (\S+ )?(2|two)\b|(2|two) params? expected",
        ),
        (Kind.NO_METHOD, r"method .*(not (found|supported|available|allowed|exist|whitelisted)|does not exist)"),
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

_HEX_PAIR = re.compile(r"\[\s*(0x[0-9a-f]+)\s*,\s*(0x[0-9a-f]+)\s*\]", re.IGNORECASE)
_WIDTH = re.compile(
    r"(?:limit of|up to an?|over|maximum allowed is|limited to(?: an?)?|blocks distance:"
    r"|max(?:imum)?(?: block range)?(?: is| of|:| =)?)\s*(?:0 - )?(\d[\d,]*)",
    re.IGNORECASE,
)


class RpcFailure(RpcError):
    """A failed request with what it means; leaves ``chain`` only as its base class ``RpcError``."""

    def __init__(
        self,
        message: str,
        kind: Kind,
        *,
        code: int | None = None,
        data: bytes = b"",
        retry_after: float | None = None,
    ) -> None:
        self.kind = kind
        self.data = data
        self.retry_after = retry_after
        advice = _ADVICE.get(kind)
        super().__init__(f"{message}; {advice}" if advice else message, code=code)


def classify(message: str, code: int | None = None, status: int = 200) -> Kind:
    """Say what a failure means. ``message`` may have textual error data appended."""
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


def remedy(kind: Kind, method: str) -> Remedy:
    """Say what helps against a failure of a method; what is too much of eth_getLogs is too many blocks."""
    found = _REMEDIES.get(kind, Remedy.GIVE_UP)
    return Remedy.SPLIT_RANGE if found is Remedy.SPLIT_BATCH and method == "eth_getLogs" else found


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
    if pair := _HEX_PAIR.search(message):
        return max(int(pair[2], 16) - int(pair[1], 16) + 1, 1)
    if width := _WIDTH.search(message):
        return max(int(width[1].replace(",", "")), 1)
    return None
