"""Documents for programs: what `--format json` and `ndjson` write. `docs/json.md` describes every field."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

import msgspec
import polars as pl

from scanner.errors import ConfigError
from scanner.export.rows import account_rows, addresses_outside, no_infinity, seconds
from scanner.results import ContractAnswer, FactorInfo, MarketSummary, ProofReport, ScanResult, Snapshot
from scanner.views import STATUSES, StatusTotal, eip55, pick_account, status_totals

__all__ = [
    "SCHEMA_VERSION",
    "account_document",
    "account_json",
    "accounts_json",
    "accounts_json_parts",
    "accounts_ndjson",
    "scan_document",
    "scan_json",
    "snapshot_document",
    "snapshot_fields",
]

SCHEMA_VERSION: Final = "1.0"
_LINES_AT_ONCE: Final = 5_000
_BAND: Final = (
    "direction",
    "band",
    "lower_bps",
    "upper_bps",
    "lower_price_usd",
    "upper_price_usd",
    "at_risk_collateral_usd",
    "seizable_collateral_usd",
    "beside_collateral_usd",
    "blocked_collateral_usd",
    "debt_to_repay_usd",
    "account_count",
    "largest_account",
    "largest_account_usd",
    "cumulative_seizable_usd",
    "cumulative_account_count",
)

Document = dict[str, Any]


def snapshot_document(result: ScanResult) -> Document:
    """Say where and when the numbers were read."""
    return snapshot_fields(result.snapshot)


def snapshot_fields(one: Snapshot) -> Document:
    """Say where and when numbers were read, of a snapshot alone."""
    return {
        "chain_id": one.chain_id,
        "block_number": one.block_number,
        "block_hash": one.block_hash,
        "block_timestamp": one.block_timestamp,
        "complete": one.complete,
        "tool_version": one.tool_version,
        "rpc_hosts": list(one.rpc_hosts),
        "source": one.source,
        "reading": one.reading,
        "quorum": None if one.assurance is None else {"endpoints": one.quorum, "assurance": one.assurance},
        "what_if": [eip55(text) for text in one.what_if],
        "seconds": {stage: round(spent, 6) for stage, spent in one.seconds.items()},
    }


def scan_document(result: ScanResult) -> Document:
    """Build the scan document: markets, reserves, factors with their bands, totals per status, what was skipped."""
    totals = status_totals(result)
    return {
        **_head(result, "scan"),
        "markets": [_market(market) for market in result.markets],
        "reserves": _reserves(result),
        "selected_factor": result.selected_factor,
        "factors": [_factor(result, info) for info in result.factors],
        **{status: _total(totals[status]) for status in STATUSES},
        "skipped": _skipped(result),
        "warnings": [eip55(text) for text in result.warnings],
    }


def scan_json(result: ScanResult) -> bytes:
    """Write the scan document."""
    return _pretty(scan_document(result))


def accounts_json(result: ScanResult, quotes: pl.DataFrame | None = None) -> bytes:
    """Write the accounts document, an account a line."""
    return b"".join(accounts_json_parts(result, quotes))


def accounts_json_parts(result: ScanResult, quotes: pl.DataFrame | None = None) -> Iterator[bytes]:
    """Write the accounts document in chunks: as a whole it takes more memory than the scan.

    With a frame ``quotes.QUOTES`` each account has its quotes.
    """
    head = {**_head(result, "accounts"), "selected_factor": result.selected_factor, "skipped": _skipped(result)}
    yield msgspec.json.encode(head)[:-1] + b',"accounts":['
    end = "\n"
    for part in account_rows(result, quotes=quotes).iter_slices(_LINES_AT_ONCE):
        if lines := _lines(part):
            yield (end + ",\n".join(lines)).encode()
            end = ",\n"
    yield b"\n]}\n"


def accounts_ndjson(result: ScanResult, quotes: pl.DataFrame | None = None) -> Iterator[bytes]:
    """Write a snapshot line, then a line per account (with its quotes, if given); chunks end at line ends."""
    yield msgspec.json.encode(_head(result, "snapshot")) + b"\n"
    rows = account_rows(result, quotes=quotes).select(pl.lit("upsert").alias("event"), pl.all())
    for part in rows.iter_slices(_LINES_AT_ONCE):
        yield ("\n".join(_lines(part)) + "\n").encode()


def account_document(result: ScanResult, account: str, contract: ContractAnswer | None = None) -> Document:
    """Build the document of one account, the contract's own answer beside; raises ConfigError when it is not there."""
    found = pick_account(result, account)
    if found.is_empty():
        raise ConfigError(f"account {account} holds nothing in this market at this block")
    rows: list[Document] = [msgspec.json.decode(line) for line in _lines(account_rows(result, found))]
    return {
        **_head(result, "account"),
        "account": rows[0],
        "other_positions": rows[1:],
        "contract": None if contract is None else _contract(rows[0], contract),
    }


def account_json(result: ScanResult, account: str, contract: ContractAnswer | None = None) -> bytes:
    """Write the document of one account."""
    return _pretty(account_document(result, account, contract))


def _head(result: ScanResult, kind: str) -> Document:
    return {"schema_version": SCHEMA_VERSION, "kind": kind, "snapshot": snapshot_document(result)}


def _pretty(document: Document) -> bytes:
    return msgspec.json.format(msgspec.json.encode(document), indent=2) + b"\n"


def _lines(rows: pl.DataFrame) -> list[str]:
    """Encode each row as one JSON object, columns in order."""
    if rows.is_empty():
        return []
    return rows.select(pl.struct(pl.all()).struct.json_encode().alias("json"))["json"].to_list()


def _objects(frame: pl.DataFrame) -> list[Document]:
    return no_infinity(addresses_outside(frame)).to_dicts()


def _market(market: MarketSummary) -> Document:
    return {
        "protocol": market.protocol,
        "market_id": eip55(market.market_id),
        "name": market.name,
        "revision": market.revision,
        "account_count": market.account_count,
        "collateral_usd": market.collateral_usd,
        "debt_usd": market.debt_usd,
        "base_unit": str(market.base_unit),
        "complete": market.complete,
        "unread": market.unread,
        "completeness": [
            {
                "reserve": proof.reserve,
                "symbol": proof.symbol,
                "proof": proof.proof,
                "scaled_total": str(proof.scaled_total),
                "scaled_read": str(proof.scaled_read),
                "missing": str(proof.missing),
                "complete": proof.complete,
                "debt_index": str(proof.debt_index),
                "decimals": proof.decimals,
            }
            for proof in market.completeness
        ],
        "verified": {"accounts": market.verified_accounts, "mismatches": [eip55(name) for name in market.mismatches]},
        "proven": None if market.proven is None else _proven(market.proven),
    }


def _proven(report: ProofReport) -> Document:
    return {
        "how": report.how,
        "accounts": report.accounts,
        "of": report.of,
        "values": report.values,
        "detection": report.detection,
    }


def _reserves(result: ScanResult) -> list[Document]:
    frame = result.frames["reserves"].with_columns(seconds("answer_at"), seconds("next_at"))
    return _objects(frame)


def _factor(result: ScanResult, info: FactorInfo) -> Document:
    mine = pl.col("factor") == info.factor
    by: dict[tuple[str, int], list[Document]] = {}
    for row in result.frames["bands_by"].filter(mine).to_dicts():
        keys = ("key", "seizable_collateral_usd", "account_count")
        by.setdefault((row["direction"], row["band"]), []).append({key: row[key] for key in keys})
    bands = _objects(result.frames["bands"].filter(mine).select(_BAND))
    dense = result.frames["dense_bands"].filter(mine).drop("factor")
    return {
        "factor": info.factor,
        "reference_feed": {
            "address": eip55(info.feed_address),
            "description": info.description,
            "decimals": info.decimals,
            "answer": str(info.answer),
            "answer_at": info.answer_at,
        },
        "price_usd": info.price_usd,
        "members": list(info.members),
        "bands": [band | {"by": by.get((band["direction"], band["band"]), [])} for band in bands],
        "dense_bands": _objects(
            dense.select("lower_price_usd", "upper_price_usd", pl.exclude("lower_price_usd", "upper_price_usd"))
        ),
    }


def _total(total: StatusTotal) -> Document:
    return {
        "account_count": total.account_count,
        "collateral_usd": total.collateral_usd,
        "debt_usd": total.debt_usd,
        "seizable_collateral_usd": total.seizable_collateral_usd,
    }


def _skipped(result: ScanResult) -> list[Document]:
    return _objects(result.frames["skipped"])


def _contract(row: Document, contract: ContractAnswer) -> Document:
    theirs = {
        "collateral_base": str(contract.collateral_base),
        "debt_base": str(contract.debt_base),
        "health_factor_wad": None if contract.health_factor_wad is None else str(contract.health_factor_wad),
    }
    return theirs | {"equal": all(row[name] == value for name, value in theirs.items())}
