"""Many calls in one: our injected aggregator and the canonical Multicall3. Pure encoding."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from importlib.resources import files
from typing import Final

from eth_abi.abi import decode, encode
from eth_abi.exceptions import DecodingError

from scanner.chain.interface import Call, Reverted
from scanner.errors import DecodeError

__all__ = [
    "AGGREGATOR",
    "MULTICALL3",
    "Outcome",
    "aggregator_code",
    "gas_proof",
    "is_gas_proof",
    "pack",
    "pack_multicall3",
    "time_call",
    "unpack",
    "unpack_multicall3",
]

AGGREGATOR: Final = "0x" + b"liqbands.aggregator.".hex()
"""Where the aggregator is put for the length of a call: text, so no key and no contract can own it."""

MULTICALL3: Final = "0xca11bde05977b3631167028862be2a173976ca11"

_AGGREGATE3: Final = bytes.fromhex("82ad56cb")

_PAIRING: Final = "0x" + "08".rjust(40, "0")
_PAIRING_GAS: Final = 45_000  # EIP-1108
_PAIR_GAS: Final = 34_000
_PAIR_BYTES: Final = 192

_WORD: Final = 32
_TIME: Final = bytes.fromhex("0f28c97d")  # getCurrentBlockTimestamp() of Multicall3

Outcome = bytes | Reverted | None
"""None: nothing certain is known, ask this call alone."""


@cache
def aggregator_code() -> bytes:
    """Read the runtime code of ``aggregator.sol``, which a test recompiles."""
    return bytes.fromhex((files("scanner.chain") / "aggregator.hex").read_text().strip())


def pack(calls: Sequence[Call]) -> bytes:
    """Write calls as the aggregator reads them: address, length (4 bytes), calldata."""
    return b"".join(
        part for call in calls for part in (bytes.fromhex(call.to[2:]), len(call.data).to_bytes(4, "big"), call.data)
    )


def unpack(answer: bytes, count: int) -> list[Outcome]:
    """Read the aggregator's answer to ``count`` calls: the outcomes of the first ones, at least one.

    The word behind them, which has the block's time in its upper half, is for ``Ladder.run`` to check.

    Raises DecodeError when the answer has another shape.
    """
    outcomes: list[Outcome] = []
    position, end = 0, len(answer) - _WORD
    if end < 0 or any(answer[end : end + 8]) or any(answer[end + 16 :]):
        raise DecodeError(f"aggregated answer of {len(answer)} bytes does not end in a time")
    while position < end and len(outcomes) < count:
        start = position + 5
        position = start + int.from_bytes(answer[position + 1 : start], "big")
        if start > end or position > end:
            break
        data = answer[start:position]
        match answer[start - 5]:
            case 0:
                outcomes.append(Reverted(data))
            case 1:
                outcomes.append(data)
            case 2 if not data:
                outcomes.append(None)
            case _:
                break
    if position != end or not outcomes:
        raise DecodeError(f"aggregated answer of {end} bytes does not fit {count} calls")
    return outcomes


def pack_multicall3(calls: Sequence[Call]) -> bytes:
    """Write calls as ``aggregate3((address,bool,bytes)[])`` that lets every call fail."""
    return _AGGREGATE3 + encode(["(address,bool,bytes)[]"], [[(call.to, True, call.data) for call in calls]])


def time_call() -> Call:
    """Make the call that asks Multicall3 for the time of the block."""
    return Call(MULTICALL3, _TIME)


def unpack_multicall3(answer: bytes, count: int) -> list[Outcome]:
    """Read ``(bool,bytes)[]``, ``count`` outcomes.

    Raises DecodeError when the answer has another shape.
    """
    try:
        (rows,) = decode(["(bool,bytes)[]"], answer)
    except (DecodingError, OverflowError) as error:
        raise DecodeError("Multicall3 answered in another shape than its ABI says") from error
    if len(rows) != count:
        raise DecodeError(f"Multicall3 answered {len(rows)} of {count} calls")
    if len(answer) != 64 + sum(128 + -(-len(data) // 32) * 32 for _, data in rows):
        raise DecodeError(f"Multicall3 answered {len(answer)} bytes, not as many as its {count} outcomes take")
    return [data if success else Reverted(data) for success, data in rows]


def gas_proof(gas: int) -> Call:
    """Make a call that fails where less than ``gas`` is left: the last of a batch through Multicall3.

    Multicall3 gives each call all gas that is left, and contracts may hide that it ran out somewhere inside them:
    they answer as if what they asked had failed. Whatever burns all it is given leaves a 64th at each level of calls
    (EIP-150), so that far less than a quarter of the gas is left at the end. The pairing of points that are all zero
    has a price and hardly any work.
    """
    pairs = max(-(-(gas - _PAIRING_GAS) // _PAIR_GAS), 1)
    return Call(_PAIRING, bytes(pairs * _PAIR_BYTES))


def is_gas_proof(outcome: Outcome) -> bool:
    """Tell whether a ``gas_proof`` found its gas."""
    return outcome == (1).to_bytes(32, "big")
