"""Every failure that a caller may treat differently.

    ScannerError
    ├── ConfigError            wrong usage or configuration              exit 2
    │   ├── UnknownProtocolError
    │   ├── UnknownMarketError     not a market root on this chain
    │   ├── PayloadFailed          a transaction to be tried on a fork reverts there
    │   └── WrongChainError        the endpoint serves another chain
    ├── ChainError             the node or the chain failed              exit 3
    │   ├── RpcError               the endpoint answered with an error, or not at all
    │   │   └── OverridesRefused   the endpoint takes no state overrides
    │   ├── BlockUnavailable       unknown or pruned block
    │   │   └── BlockUndone            it was there before: reorganised away, or the node fell behind
    │   ├── NoProofs               the endpoint offers no proofs, or none at this block
    │   ├── ProofMismatch          what was read is not what the block's state root proves
    │   ├── QuorumLost             too few endpoints give the same answer
    │   ├── EndpointQuarantined    an endpoint that was read from is in the minority: read again without it
    │   └── DevchainError          the local node or its market did not start
    ├── DataError              data is incomplete, corrupt or mismatched exit 4
    │   ├── DecodeError            an answer has another shape than its ABI says
    │   ├── SchemaError            a frame breaks its schema
    │   ├── RecordingError         a recording is corrupt or lacks a call
    │   └── IndexFileError         an index file is foreign or damaged
    └── ProtocolError          the protocol is in a state we do not know exit 4
        └── UnknownRevisionError

A reverted call is a value, not an error; a broken limit is a verdict.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from difflib import get_close_matches
from typing import Final

__all__ = [
    "BlockUnavailable",
    "BlockUndone",
    "ChainError",
    "ConfigError",
    "DataError",
    "DecodeError",
    "DevchainError",
    "EndpointQuarantined",
    "IndexFileError",
    "NoProofs",
    "OverridesRefused",
    "PayloadFailed",
    "ProofMismatch",
    "ProtocolError",
    "QuorumLost",
    "RecordingError",
    "RpcError",
    "ScannerError",
    "SchemaError",
    "UnknownMarketError",
    "UnknownProtocolError",
    "UnknownRevisionError",
    "WrongChainError",
    "suggest",
    "type_words",
]

_TYPES: Final = {
    "int": "a whole number",
    "float": "a number",
    "str": "text",
    "bool": "true or false",
    "array": "a list",
    "object": "a table",
}


def suggest(name: str, known: Collection[str]) -> str:
    """Say which known name was probably meant, or list them all."""
    near = [one for one in known if one.casefold() == name.casefold()] or get_close_matches(name, known, n=1)
    return f"did you mean {near[0]!r}?" if near else f"known: {', '.join(sorted(known))}"


def type_words(error: Exception) -> str:
    """Say in words what msgspec says of a value of another type: "Expected `int | null`, got `str` - at `$.limit`"."""
    found = re.fullmatch(r"Expected `([^`]+)`, got `([^`]+)`(?: - at `\$\.?([^`]*)`)?", str(error))
    if found is None:
        return str(error)
    names = [name for name in found[1].split(" | ") if name != "null"]
    wanted = [_TYPES.get(name, name) for name in names if name != "int" or "float" not in names]
    place = found[3].replace("[...]", "") if found[3] else "it"
    return f"{place}: give {' or '.join(wanted)}, not {_TYPES.get(found[2], found[2])}"


class ScannerError(Exception):
    """Root of every error that this package raises on purpose."""

    exit_code = 4


class ConfigError(ScannerError):
    """Wrong usage or configuration."""

    exit_code = 2


class UnknownProtocolError(ConfigError):
    """No protocol is registered under this slug."""

    def __init__(self, slug: str, known: Collection[str]) -> None:
        self.slug = slug
        super().__init__(f"no protocol {slug!r}; {suggest(slug, known)}")


class UnknownMarketError(ConfigError):
    """The address or name is not a market root on this chain."""


class PayloadFailed(ConfigError):
    """A transaction of the payload cannot be executed: nothing can be said of what comes after it.

    Wrong usage, since it fails the same way each time, whatever node is asked.
    """


class WrongChainError(ConfigError):
    """The endpoint serves another chain than the one asked for."""


class ChainError(ScannerError):
    """The node or the chain failed."""

    exit_code = 3


class RpcError(ChainError):
    """The endpoint answered with an error, or did not answer."""

    def __init__(self, message: str, *, code: int | None = None) -> None:
        self.code = code
        super().__init__(message)


class OverridesRefused(RpcError):
    """The endpoint takes no state overrides in eth_call, or does not simulate."""


class BlockUnavailable(ChainError):
    """The block is unknown to the node, or its state is pruned."""


class BlockUndone(BlockUnavailable):
    """The block that a scan stands at is not there any more; a scan of another block may go through."""


class QuorumLost(ChainError):
    """Fewer endpoints than the quorum asks for give the same answer, or give one at all."""


class EndpointQuarantined(ChainError):
    """An endpoint that was read from gave another answer than the majority; what it served is not to be used."""

    def __init__(self, host: str, reason: str) -> None:
        self.host = host
        self.reason = reason
        super().__init__(f"{host} was read from and is not to be believed: {reason}; leave it out")


class NoProofs(ChainError):
    """The endpoint offers no proofs of storage, or none at this block."""

    def __init__(self, reason: str, remedy: str) -> None:
        self.reason = reason
        super().__init__(f"{reason}; {remedy}")


class ProofMismatch(ChainError):
    """What an endpoint said is not what the block's state root proves, or what it gave as a proof is none."""


class DevchainError(ChainError):
    """The local node, its compiler or its market did not come up."""


class DataError(ScannerError):
    """Data is incomplete, corrupt or in conflict."""


class DecodeError(DataError):
    """An answer has another shape than its ABI says."""


class SchemaError(DataError):
    """A frame breaks its schema."""


class RecordingError(DataError):
    """A recording is corrupt, or lacks a call that the program made."""


class IndexFileError(DataError):
    """An index file belongs to another market, or is damaged."""


class ProtocolError(ScannerError):
    """The protocol is in a state that this version does not know."""


class UnknownRevisionError(ProtocolError):
    """No rules are known for this protocol revision."""
