"""Facts of the documents that an earlier scan wrote. Pure."""

from __future__ import annotations

from typing import Any, Final

import msgspec
import polars as pl

from scanner.errors import DataError
from scanner.facts import ACCOUNTS, BANDS, HURT, Facts, Fault, total_usd
from scanner.frames import POSITION_KEY
from scanner.results import Snapshot
from scanner.views import NOW, STATUSES, StatusTotal

__all__ = ["read_facts"]

_NO_LIST: Final = msgspec.Raw(b"[]")
_UNSAID: Final = msgspec.Raw(b"null")
_INCOMPLETE: Final = "debt is missing or accounts could not be read"


class _Snapshot(msgspec.Struct):
    chain_id: int
    block_number: int
    block_hash: str
    block_timestamp: int
    complete: bool | None
    tool_version: str
    rpc_hosts: list[str]
    source: str = "rpc"
    reading: str = "single"
    what_if: list[str] = []


class _Verified(msgspec.Struct):
    accounts: int
    mismatches: list[str]


class _Market(msgspec.Struct):
    protocol: str
    market_id: str
    name: str
    account_count: int
    collateral_usd: float | None
    debt_usd: float | None
    unread: int
    verified: _Verified


class _Band(msgspec.Struct):
    direction: str
    band: int
    lower_bps: int | None
    upper_bps: int | None
    lower_price_usd: float
    upper_price_usd: float
    seizable_collateral_usd: float
    account_count: int


class _Factor(msgspec.Struct):
    factor: str
    price_usd: float | None
    bands: list[_Band]


class _Account(msgspec.Struct):
    chain_id: int
    protocol: str
    market_id: str
    position: str
    account: str
    status: str
    health_factor_wad: str | None
    health_factor: float | None
    collateral_usd: float | None
    debt_usd: float | None
    collateral: msgspec.Raw = _NO_LIST  # this and the next are read of the few accounts that can be liquidated
    seizures: msgspec.Raw = _UNSAID


class _Leg(msgspec.Struct):
    reserve: str
    amount_raw: str
    value_usd: float | None


class _Seizure(msgspec.Struct):
    factor: str
    collateral_reserve: str
    seize_raw: str
    best: bool


class _Scan(msgspec.Struct):
    snapshot: _Snapshot
    markets: list[_Market]
    selected_factor: str
    factors: list[_Factor]
    liquidatable: StatusTotal
    blocked: StatusTotal
    unpriced: StatusTotal


class _Accounts(msgspec.Struct):
    snapshot: _Snapshot
    selected_factor: str
    accounts: list[_Account]
    skipped: list[dict[str, Any]]


class _Head(msgspec.Struct):
    schema_version: str
    kind: str


def read_facts(data: bytes, name: str) -> Facts:
    """Gather the facts of a scan or accounts document; ``name`` stands for it in messages.

    Raises DataError for what is damaged, cut short, of another kind, or of a version that this program does not know.
    """
    if not data.strip():
        raise DataError(f"{name} is empty: make it again with liqbands scan --format json -o FILE")
    try:
        head = msgspec.json.decode(data, type=_Head)
        if head.schema_version.split(".")[0] != "1":
            raise DataError(
                f"{name}: documents of version {head.schema_version} are not known, only 1: update liqbands"
            )
        if head.kind == "scan":
            return _of_scan(msgspec.json.decode(data, type=_Scan), name)
        if head.kind == "accounts":
            return _of_accounts(msgspec.json.decode(data, type=_Accounts), name)
    except msgspec.ValidationError as error:
        raise DataError(f"{name} is no whole document of liqbands: {error}; make it again") from error
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise DataError(f"{name} is damaged, or no JSON document: {error}; make it again") from error
    raise DataError(
        f"{name} is a document of kind {head.kind[:40]!r}: give one of liqbands scan --format json, or of "
        "liqbands accounts --format json"
    )


def _snapshot(read: _Snapshot) -> Snapshot:
    fields = {name: getattr(read, name) for name in _Snapshot.__struct_fields__}
    return Snapshot(**{**fields, "rpc_hosts": tuple(read.rpc_hosts), "what_if": tuple(read.what_if)})


def _of_scan(read: _Scan, name: str) -> Facts:
    faults = [
        *([Fault("incomplete", _INCOMPLETE)] if read.snapshot.complete is False else []),
        *(
            Fault("mismatch", f"{market.name}: {len(market.verified.mismatches):,} accounts differ from the contract")
            for market in read.markets
            if market.verified.mismatches
        ),
    ]
    rows = [
        {"factor": factor.factor} | msgspec.structs.asdict(band) for factor in read.factors for band in factor.bands
    ]
    return Facts(
        name=name,
        snapshot=_snapshot(read.snapshot),
        markets=tuple(f"{market.protocol} {market.market_id.lower()}" for market in read.markets),
        account_count=sum(market.account_count for market in read.markets),
        collateral_usd=total_usd([market.collateral_usd for market in read.markets]),
        debt_usd=total_usd([market.debt_usd for market in read.markets]),
        totals={status: getattr(read, status) for status in STATUSES},
        faults=tuple(faults),
        verified=sum(market.verified.accounts for market in read.markets),
        prices={factor.factor: factor.price_usd for factor in read.factors},
        selected_factor=read.selected_factor,
        bands=pl.DataFrame(rows, schema=BANDS),
    )


def _of_accounts(read: _Accounts, name: str) -> Facts:
    calls = [_best_call(account) for account in read.accounts]
    rows = [
        msgspec.structs.asdict(account)
        | {key: getattr(account, key).lower() for key in ("market_id", "position", "account")}
        | {"seizable_usd": seized}
        for account, (_, seized) in zip(read.accounts, calls, strict=True)
    ]
    kept = [{name: row[name] for name in ACCOUNTS.names()} for row in rows]
    frame = pl.DataFrame(kept, schema=ACCOUNTS)
    if (twice := frame.filter(frame.select(POSITION_KEY).is_duplicated())).height:
        raise DataError(f"{name}: account {twice['position'][0]} is in it twice; make it again")
    held = frame.filter(pl.col("status") != "no_debt", pl.col("status") != "unpriced")
    unread = sum(row.get("what") == "position" for row in read.skipped)
    return Facts(
        name=name,
        snapshot=_snapshot(read.snapshot),
        markets=tuple(frame.select(pl.col("protocol") + " " + pl.col("market_id")).to_series().unique().sort()),
        account_count=frame.filter(pl.col("status") != "no_debt").height,
        collateral_usd=total_usd(held["collateral_usd"].to_list()),
        debt_usd=total_usd(held["debt_usd"].to_list()),
        totals={
            status: _status(
                frame.filter(pl.col("status") == status),
                [
                    seized
                    for account, (has, seized) in zip(read.accounts, calls, strict=True)
                    if has and account.status == status
                ],
            )
            for status in STATUSES
        },
        faults=(Fault("incomplete", _INCOMPLETE),) if read.snapshot.complete is False or unread else (),
        selected_factor=read.selected_factor,
        accounts=frame,
    )


def _best_call(account: _Account) -> tuple[bool, float | None]:
    """Say whether an account has a call now, and what its best one seizes in dollars: that share of its collateral.

    A document without ``seizures`` says nothing of it: an unknown call.
    """
    if account.status not in HURT:
        return account.status == "unpriced", None
    calls = msgspec.json.decode(account.seizures, type=list[_Seizure] | None)
    if calls is None:
        return True, None
    best = next((call for call in calls if call.best and call.factor == NOW), None)
    if best is None:
        return False, None
    legs = msgspec.json.decode(account.collateral, type=list[_Leg])
    leg = next((leg for leg in legs if leg.reserve == best.collateral_reserve), None)
    if leg is None or leg.value_usd is None:
        return True, None
    try:
        return True, leg.value_usd * (int(best.seize_raw) / int(leg.amount_raw))
    except (ValueError, ZeroDivisionError) as error:
        raise msgspec.ValidationError(f"amounts of {account.position} are no numbers above 0") from error


def _status(rows: pl.DataFrame, seized: list[float | None]) -> StatusTotal:
    """Total accounts of one status. ``seized``: dollars of each best call."""
    collateral, debt = (total_usd(rows[column].to_list()) for column in ("collateral_usd", "debt_usd"))
    return StatusTotal(rows.height, collateral, debt, total_usd(seized))
