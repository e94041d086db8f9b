"""What the failures of nodes and providers mean, and what helps against each."""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum
from typing import Final

__all__ = ["SHRINKABLE", "TRANSIENT", "Kind", "Remedy", "remedy"]


class Kind(Enum):
    """What a failure means for the one who asked."""

    REVERTED = "the contract refused"
    OUT_OF_GAS = "out of gas"
    GAS_REFUSED = "the gas asked for is refused"
    RANGE_TOO_WIDE = "block range too wide"
    TOO_MANY_RESULTS = "too many results"
    TOO_MANY_ADDRESSES = "too many addresses in one query"
    BATCH_REFUSED = "too many requests in one batch"
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
    OUT_OF_TIME = "out of time"
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
    Kind.BATCH_REFUSED: Remedy.SPLIT_BATCH,
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
    {
        Kind.REVERTED,
        Kind.OUT_OF_GAS,
        Kind.GAS_REFUSED,
        Kind.PAYLOAD_TOO_LARGE,
        Kind.TOO_MANY_RESULTS,
        Kind.TIMEOUT,
        Kind.DISCONNECTED,
    },
)
"""Kinds that a smaller request may not meet. A lens that reverts may have run out of gas in an inner call."""


def remedy(kind: Kind, method: str) -> Remedy:
    """Say what helps against a failure of a method; what is too much of eth_getLogs is too many blocks."""
    found = _REMEDIES.get(kind, Remedy.GIVE_UP)
    return Remedy.SPLIT_RANGE if found is Remedy.SPLIT_BATCH and method == "eth_getLogs" else found
