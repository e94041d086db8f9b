"""Hold accounts against proven storage: configuration and e-mode, then the balances of the flags that are set."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Final, NamedTuple

import polars as pl

from scanner.chain.proofs import Comparison, ProvenState
from scanner.errors import ProofMismatch
from scanner.protocols.aave_v3.detail import COLLATERAL, DEBT, STABLE_DEBT, AaveDetail, AaveReserve
from scanner.protocols.aave_v3.positions import too_large
from scanner.protocols.aave_v3.records import RECORDS
from scanner.protocols.aave_v3.storage import PoolStorage, TokenStorage, balance
from scanner.protocols.interface import Market
from scanner.risk.rules import Positions

__all__ = ["compare_accounts", "compare_skipped"]

_Legs = dict[tuple[int, int], tuple[int, int, int]]
"""By reserve id and side: what was read of scaled amount, rate and time of update."""

_PARTS: Final[Mapping[str, Callable[[int], int]]] = {
    "scaled collateral": balance,
    "scaled debt": balance,
    "stable debt": lambda word: word % 2**128,
    "stable rate": lambda word: word >> 128,
    "time of stable debt": lambda word: word % 2**40,
}
"""What of a word is compared."""
_AMOUNT: Final = {
    COLLATERAL: _PARTS["scaled collateral"],
    DEBT: _PARTS["scaled debt"],
    STABLE_DEBT: _PARTS["stable debt"],
}


class _Leg(NamedTuple):
    """A word of an account in a token, and what was read of it."""

    what: str
    reserve: AaveReserve
    account: str
    token: str
    slot: int
    read: int


def compare_accounts(
    state: ProvenState,
    compared: Comparison,
    detail: AaveDetail,
    pool: PoolStorage,
    tokens: Mapping[str, TokenStorage],
    positions: Positions,
) -> None:
    """Compare positions with what is proven.

    Raises ProofMismatch naming accounts, tokens and both values, ChainError when there are no proofs.
    """
    accounts = positions.accounts["position"].to_list()
    legs: list[_Legs] = [{} for _ in accounts]
    columns = ("row", "reserve_id", "side", "scaled", "rate", "updated")
    for row, number, side, scaled, rate, updated in positions.state.select(columns).iter_rows():
        if (number, side) in legs[row]:
            raise ProofMismatch(
                f"account {accounts[row]} has side {side} of reserve {number} twice: nothing proves that"
            )
        legs[row][number, side] = (scaled, rate, updated)
    slots = [pool.user(account) for account in accounts]
    words = state.words({detail.pool: [slot for own in slots for slot in own]})[detail.pool]
    known = sum(3 << 2 * reserve.id for reserve in detail.reserves)
    modes = positions.accounts["emode_category"].to_list()
    for account, own, mode, (flags_at, mode_at) in zip(accounts, legs, modes, slots, strict=True):
        flags = 0
        for number, side in own:
            flags |= (2 if side == COLLATERAL else 1) << 2 * number
        compared.same("configuration", account, f"{flags:#x}", f"{words[flags_at] & known:#x}")
        compared.same("e-mode", account, mode, words[mode_at])
    compared.settle()
    _balances(state, compared, detail, tokens, dict(zip(accounts, legs, strict=True)))


def compare_skipped(
    state: ProvenState,
    compared: Comparison,
    market: Market,
    detail: AaveDetail,
    pool: PoolStorage,
    tokens: Mapping[str, TokenStorage],
    accounts: Sequence[str],
) -> None:
    """Prove of accounts that were skipped as too large that they are. Raises as ``compare_accounts`` does."""
    flags_at = [pool.user(account)[0] for account in accounts]
    flags = state.words({detail.pool: flags_at})[detail.pool]
    legs: list[tuple[int, int, int, str, int]] = []
    wanted: dict[str, list[int]] = {}
    for row, account in enumerate(accounts):
        for reserve in detail.reserves:
            own = flags[flags_at[row]] >> 2 * reserve.id
            kinds = ((2, COLLATERAL, reserve.atoken), (1, DEBT, reserve.vtoken), (1, STABLE_DEBT, reserve.stoken))
            for side, token in ((side, token) for flag, side, token in kinds if own & flag and token):
                legs.append((row, reserve.id, side, token, tokens[token].user(account)))
                wanted.setdefault(token, []).append(legs[-1][-1])
    words = state.words(wanted)
    proven = [(row, 0, number, side, 0, _AMOUNT[side](words[token][slot])) for row, number, side, token, slot in legs]
    records = pl.DataFrame(proven, RECORDS, orient="row")
    large = set(too_large(market, detail, records))
    for row, account in enumerate(accounts):
        compared.same("amounts", f"account {account}", "too large", "too large" if row in large else "smaller ones")
    compared.settle()


def _balances(
    state: ProvenState,
    compared: Comparison,
    detail: AaveDetail,
    tokens: Mapping[str, TokenStorage],
    accounts: Mapping[str, _Legs],
) -> None:
    reserves = {reserve.id: reserve for reserve in detail.reserves}
    words_of: list[_Leg] = []
    for account, own in accounts.items():
        for number in dict.fromkeys(number for number, _ in own):
            words_of += _words(reserves[number], account, own, tokens)
        for number, side in own:
            if side not in (COLLATERAL, DEBT) and not (side == STABLE_DEBT and reserves[number].stoken):
                raise ProofMismatch(
                    f"account {account} has side {side} in {reserves[number].symbol}, which no contract keeps: nothing "
                    "proves that"
                )
    wanted: dict[str, list[int]] = {}
    for leg in words_of:
        wanted.setdefault(leg.token, []).append(leg.slot)
    words = state.words(wanted)
    for leg in words_of:
        word = words[leg.token][leg.slot]
        proven = _PARTS[leg.what](word)
        compared.same(leg.what, f"account {leg.account} in {leg.reserve.symbol} ({leg.token})", leg.read, proven)
    compared.settle()


def _words(reserve: AaveReserve, account: str, own: _Legs, tokens: Mapping[str, TokenStorage]) -> list[_Leg]:
    """List the words behind an account's legs in one reserve; with a borrow flag, those of either kind of debt."""
    found = []

    def word(what: str, token: str, slot: int, read: int) -> None:
        found.append(_Leg(what, reserve, account, token, slot, read))

    nothing = (0, 0, 0)
    if (reserve.id, COLLATERAL) in own:
        slot = tokens[reserve.atoken].user(account)
        word("scaled collateral", reserve.atoken, slot, own[reserve.id, COLLATERAL][0])
    if (reserve.id, DEBT) in own or (reserve.id, STABLE_DEBT) in own:
        word(
            "scaled debt", reserve.vtoken, tokens[reserve.vtoken].user(account), own.get((reserve.id, DEBT), nothing)[0]
        )
        if reserve.stoken:
            stable = tokens[reserve.stoken]
            principal, rate, updated = own.get((reserve.id, STABLE_DEBT), nothing)
            word("stable debt", reserve.stoken, stable.user(account), principal)
            if principal:
                word("stable rate", reserve.stoken, stable.user(account), rate)
                word("time of stable debt", reserve.stoken, stable.stable_since(account), updated)
    return found
