"""Read what the accounts of a local market hold: enough to decide what they could do next."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from scanner.devchain.market import AccountData, DevMarket, Member, ReserveInfo
from scanner.devchain.tx import calldata

__all__ = ["Sheet", "priced_members", "read_sheets"]

_BATCH: Final = 2_000
_UNPRICED: Final = ("zero", "revert")


@dataclass(slots=True)
class Sheet:
    """One account's state, amounts in token units by reserve key."""

    address: str
    kind: str
    emode: int
    data: AccountData
    collateral: dict[str, int] = field(default_factory=dict)
    idle: dict[str, int] = field(default_factory=dict)  # supplied, but no collateral; only where it was asked for
    variable: dict[str, int] = field(default_factory=dict)
    stable: dict[str, int] = field(default_factory=dict)

    @property
    def health(self) -> int:
        """Give the health factor (wad), 2^256 - 1 without debt."""
        return self.data.health_factor

    @property
    def debts(self) -> dict[str, int]:
        """Give the debt of both rate modes by reserve."""
        keys = dict.fromkeys((*self.variable, *self.stable))
        return {key: self.variable.get(key, 0) + self.stable.get(key, 0) for key in keys}


def priced_members(market: DevMarket, members: Sequence[Member]) -> list[Member]:
    """Leave out the members that hold a reserve whose feed may answer nothing."""
    unpriced = sum(0b11 << (2 * info.id) for info in market.reserves.values() if info.spec.wiring in _UNPRICED)
    bitmaps = _bitmaps(market, members)
    return [member for member, bits in zip(members, bitmaps, strict=True) if not bits & unpriced]


def read_sheets(market: DevMarket, members: Sequence[Member], idle_kinds: Sequence[str] = ()) -> list[Sheet]:
    """Read the members' states in their order; RpcError when the pool cannot price one.

    ``idle_kinds`` names the kinds of which aTokens that are no collateral are looked up too, in every reserve.
    """
    infos = {info.id: info for info in market.reserves.values()}
    bitmaps = _bitmaps(market, members)
    emodes = _ask(market, [(market.pool, "getUserEMode(address)", member.address) for member in members])
    data = market.account_data([member.address for member in members])
    sheets = [Sheet(m.address, m.kind, emode, d) for m, emode, d in zip(members, emodes, data, strict=True)]
    wanted = [
        (part, info.key, token, sheet.address)
        for sheet, bits in zip(sheets, bitmaps, strict=True)
        for part, info, token in _tokens(sheet, bits, infos, idle=sheet.kind in idle_kinds)
    ]
    balances = _ask(market, [(token, "balanceOf(address)", address) for _, _, token, address in wanted])
    for (part, key, _, _), balance in zip(wanted, balances, strict=True):
        if balance:
            part[key] = balance
    return sheets


def _tokens(
    sheet: Sheet, bits: int, infos: Mapping[int, ReserveInfo], *, idle: bool
) -> Iterator[tuple[dict[str, int], ReserveInfo, str]]:
    """Give the tokens that the account may hold: bit 2i of the bitmap is debt in reserve i, bit 2i + 1 collateral."""
    for i, info in infos.items():
        if bits >> (2 * i) & 1:
            yield sheet.variable, info, info.vtoken
            if info.stoken is not None:
                yield sheet.stable, info, info.stoken
        if bits >> (2 * i + 1) & 1:
            yield sheet.collateral, info, info.atoken
        elif idle:
            yield sheet.idle, info, info.atoken


def _bitmaps(market: DevMarket, members: Sequence[Member]) -> list[int]:
    return _ask(market, [(market.pool, "getUserConfiguration(address)", member.address) for member in members])


def _ask(market: DevMarket, questions: Sequence[tuple[str, str, str]]) -> list[int]:
    """Call getters of one address each that answer one word."""
    requests: list[tuple[str, bytes, str]] = [(to, calldata(getter, of), "uint256") for to, getter, of in questions]
    answers: list[tuple[Any, ...]] = []
    for start in range(0, len(requests), _BATCH):
        answers += market.chain.calls(requests[start : start + _BATCH])
    return [int(answer[0]) for answer in answers]
