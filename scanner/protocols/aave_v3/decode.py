"""Answers of Aave v3 contracts to Python values. Pure; protocol spellings stop here."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from scanner.chain.interface import Log, Reverted
from scanner.errors import DecodeError
from scanner.protocols.abi import Contract, load_contract
from scanner.protocols.interface import Found

__all__ = [
    "ADDRESSES_PROVIDER",
    "FEED",
    "ORACLE",
    "POOL",
    "PRICE_REVERTED",
    "PRICE_TOO_LARGE",
    "PRICE_ZERO",
    "SENTINEL",
    "STABLE_DEBT_TOKEN",
    "TOKEN",
    "ZERO_ADDRESS",
    "Answer",
    "Configuration",
    "ReserveData",
    "address",
    "configuration",
    "found",
    "integer",
    "label",
    "price",
    "reserve_data",
    "round_time",
    "short_address",
    "symbol",
    "values",
]

ADDRESSES_PROVIDER: Final = load_contract("aave_v3", "addresses_provider")
FEED: Final = load_contract("aave_v3", "feed")
ORACLE: Final = load_contract("aave_v3", "oracle")
POOL: Final = load_contract("aave_v3", "pool")
SENTINEL: Final = load_contract("aave_v3", "sentinel")
STABLE_DEBT_TOKEN: Final = load_contract("aave_v3", "stable_debt_token")
TOKEN: Final = load_contract("aave_v3", "token")

Answer = bytes | Reverted

ZERO_ADDRESS: Final = "0x" + "00" * 20

PRICE_REVERTED: Final = "unpriced: oracle reverted"
PRICE_ZERO: Final = "unpriced: oracle answered 0"
PRICE_TOO_LARGE: Final = "unpriced: oracle answered more than 2^126"
_LARGEST_PRICE: Final = 2**126  # columns hold less than 2^127

_SYMBOL_LENGTH: Final = 32
_LABEL_LENGTH: Final = 64
_NO_TIME: Final = 2**35
"""Beyond this (the year 3058) a word is no Unix time."""


@dataclass(frozen=True, slots=True)
class Configuration:
    """Fields of a reserve's configuration word."""

    ltv_bps: int
    threshold_bps: int
    bonus_bps: int
    decimals: int
    active: bool
    frozen: bool
    borrowable: bool
    paused: bool
    protocol_fee_bps: int
    emode_category: int  # meaningful up to v3.1


@dataclass(frozen=True, slots=True)
class ReserveData:
    """Fields of ``getReserveData`` that are used; the layout is the same in every revision."""

    configuration: Configuration
    liquidity_index: int
    liquidity_rate: int
    debt_index: int
    debt_rate: int
    updated_at: int
    id: int
    atoken: str
    stoken: str  # zero address where there is none
    vtoken: str


def values(contract: Contract, function: str, answer: Answer) -> tuple[Any, ...]:
    """Read an answer; raises DecodeError on a revert or another shape."""
    if isinstance(answer, Reverted):
        raise DecodeError(f"{contract.name}.{function}() reverted (0x{answer.data[:4].hex()})")
    return contract.functions[function].decode(answer)


def integer(contract: Contract, function: str, answer: Answer) -> int:
    """Read an answer that is one integer or bool."""
    return int(values(contract, function, answer)[0])


def address(contract: Contract, function: str, answer: Answer) -> str:
    """Read an answer that is one address, in lower case."""
    return str(values(contract, function, answer)[0]).lower()


def price(answer: Answer) -> int | str:
    """Give an oracle answer, or the reason why there is none."""
    if isinstance(answer, Reverted):
        return PRICE_REVERTED
    value = integer(ORACLE, "getAssetPrice", answer)
    return PRICE_TOO_LARGE if value > _LARGEST_PRICE else value or PRICE_ZERO


def round_time(answer: Answer) -> int | None:
    """Give the Unix time of a feed's ``latestRoundData``; None for adapters, which have no rounds."""
    if isinstance(answer, Reverted):
        return None
    try:
        updated_at = int(FEED.functions["latestRoundData"].decode(answer)[3])
    except DecodeError:
        return None
    return updated_at if 0 < updated_at < _NO_TIME else None


def configuration(word: int) -> Configuration:
    """Take a configuration word apart (ReserveConfiguration.sol)."""
    return Configuration(
        ltv_bps=word & 0xFFFF,
        threshold_bps=word >> 16 & 0xFFFF,
        bonus_bps=word >> 32 & 0xFFFF,
        decimals=word >> 48 & 0xFF,
        active=bool(word >> 56 & 1),
        frozen=bool(word >> 57 & 1),
        borrowable=bool(word >> 58 & 1),
        paused=bool(word >> 60 & 1),
        protocol_fee_bps=word >> 152 & 0xFFFF,
        emode_category=word >> 168 & 0xFF,
    )


def reserve_data(answer: Answer) -> ReserveData:
    """Read ``getReserveData``; raises DecodeError."""
    (fields,) = values(POOL, "getReserveData", answer)
    (word,), liquidity_index, liquidity_rate, debt_index, debt_rate, _, updated_at, reserve_id = fields[:8]
    atoken, stoken, vtoken = (text.lower() for text in fields[8:11])
    return ReserveData(
        configuration=configuration(word),
        liquidity_index=liquidity_index,
        liquidity_rate=liquidity_rate,
        debt_index=debt_index,
        debt_rate=debt_rate,
        updated_at=updated_at,
        id=reserve_id,
        atoken=atoken,
        stoken=stoken,
        vtoken=vtoken,
    )


def symbol(answer: Answer, asset: str) -> str:
    """Read a token's symbol, string or bytes32, made safe for a terminal; a short address when it has none."""
    if isinstance(answer, Reverted):
        return short_address(asset)
    try:
        text = str(TOKEN.functions["symbol"].decode(answer)[0])
    except DecodeError:
        text = answer[:32].rstrip(b"\0").decode("utf-8", "replace") if len(answer) == 32 else ""
    return label(text, _SYMBOL_LENGTH) or short_address(asset)


def label(text: str, length: int = _LABEL_LENGTH) -> str:
    """Replace what cannot be printed (control and bidirectional characters), drop outer blanks, cut to a length."""
    return "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in text[:length]).strip()


def short_address(address: str) -> str:
    """Abbreviate an address for display."""
    return f"{address[:6]}\N{HORIZONTAL ELLIPSIS}{address[-4:]}"


def found(logs: Sequence[Log]) -> list[Found]:
    """Name the accounts that took debt in ``Borrow`` logs: ``onBehalfOf``, never the caller."""
    result = []
    for log in logs:
        if len(log.topics) != 4:
            raise DecodeError(
                f"Borrow log {log.log_index} of block {log.block_number} has {len(log.topics)} topics, not 4"
            )
        account = "0x" + log.topics[2][12:].hex()
        result.append(Found(account, account, log.block_number))
    return result
