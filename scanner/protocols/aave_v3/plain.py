"""What the lens answers, asked by plain calls: for endpoints that take no state overrides."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

from scanner.chain.interface import Call, Reader
from scanner.protocols.aave_v3.decode import POOL, STABLE_DEBT_TOKEN, TOKEN, Answer, integer, values
from scanner.protocols.aave_v3.detail import COLLATERAL, DEBT, STABLE_DEBT, AaveDetail, AaveReserve
from scanner.protocols.aave_v3.records import NO_FLAGS, STABLE_RATE, encode_record

__all__ = ["read_records"]

_STABLE_FUNCTIONS: Final = ("principalBalanceOf", "getUserLastUpdated", "getUserStableRate")

Leg = tuple[AaveReserve, bool, bool]
"""A reserve with the collateral and the borrow flag of an account."""


def read_records(chain: Reader, detail: AaveDetail, items: Sequence[bytes], indexes: Sequence[int]) -> bytes:
    """Give the lens's records for some of the items, each record naming its item's index.

    Two rounds: flags and e-modes, then the balances of the flags that are set. Raises DecodeError when a call
    reverts.
    """
    accounts = ["0x" + items[index].hex() for index in indexes]
    names = ("getUserConfiguration", "getUserEMode")
    answers = chain.call([POOL.call(detail.pool, name, account) for account in accounts for name in names])
    legs = [_legs(detail, answer) for answer in answers[::2]]
    emodes = [integer(POOL, "getUserEMode", answer) for answer in answers[1::2]]
    calls = [call for account, own in zip(accounts, legs, strict=True) for leg in own for call in _calls(leg, account)]
    balances = iter(chain.call(calls))
    records = []
    for index, emode, own in zip(indexes, emodes, legs, strict=True):
        for leg in own:
            records += [encode_record(index, emode, *fields) for fields in _fields(leg, balances)]
        if emode and not own:
            records.append(encode_record(index, emode, 0, NO_FLAGS, 0, 0))
    return b"".join(records)


def _legs(detail: AaveDetail, answer: Answer) -> list[Leg]:
    """Name the reserves whose flags are set; ids that are not in use are passed over, as the pool does."""
    flags = values(POOL, "getUserConfiguration", answer)[0][0]
    pairs = ((reserve, flags >> 2 * reserve.id & 3) for reserve in detail.reserves)
    return [(reserve, bool(bits & 2), bool(bits & 1)) for reserve, bits in pairs if bits]


def _calls(leg: Leg, account: str) -> Iterator[Call]:
    reserve, collateral, debt = leg
    if collateral:
        yield TOKEN.call(reserve.atoken, "scaledBalanceOf", account)
    if debt:
        yield TOKEN.call(reserve.vtoken, "scaledBalanceOf", account)
    if debt and reserve.stoken:
        for name in _STABLE_FUNCTIONS:
            yield STABLE_DEBT_TOKEN.call(reserve.stoken, name, account)


def _fields(leg: Leg, balances: Iterator[Answer]) -> Iterator[tuple[int, int, int, int]]:
    """Give reserve id, side, extra and value of each record of a leg, taking the answers to its calls."""
    reserve, collateral, debt = leg
    if collateral:
        yield reserve.id, COLLATERAL, 0, integer(TOKEN, "scaledBalanceOf", next(balances))
    if not debt:
        return
    scaled = integer(TOKEN, "scaledBalanceOf", next(balances))
    principal = 0
    if reserve.stoken:
        principal, updated_at, rate = (integer(STABLE_DEBT_TOKEN, n, next(balances)) for n in _STABLE_FUNCTIONS)
        if principal:
            yield reserve.id, STABLE_DEBT, updated_at, principal
            yield reserve.id, STABLE_RATE, 0, rate
    if scaled or not principal:
        yield reserve.id, DEBT, 0, scaled
