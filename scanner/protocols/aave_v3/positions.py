"""Read the exact state of many accounts: through the lens, or through plain calls where overrides are refused."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import cache
from pathlib import Path
from typing import Final

import polars as pl

from scanner.chain.interface import Lens, Reader
from scanner.errors import DataError, OverridesRefused, ProtocolError
from scanner.frames import SKIPPED
from scanner.protocols.aave_v3.amounts import STATE
from scanner.protocols.aave_v3.decode import ZERO_ADDRESS
from scanner.protocols.aave_v3.detail import COLLATERAL, DEBT, STABLE_DEBT, AaveDetail
from scanner.protocols.aave_v3.plain import read_records
from scanner.protocols.aave_v3.records import NO_FLAGS, OVERSIZE, STABLE_RATE, check_records, parse_records
from scanner.protocols.interface import Market
from scanner.risk.rules import Positions
from scanner.units import RAY

__all__ = ["lens_of", "read_positions", "too_large"]

_IDS: Final = 128
_NAMES: Final = pl.Series([str(number) for number in range(256)])  # of reserve ids
_ADDRESS_DIGITS: Final = 40
_PLAIN_ACCOUNTS: Final = 5_000
"""Accounts in one round of plain calls."""

_MAX_AMOUNT: Final = 9.9e37
"""Below 10^38 by what a year of interest may add before a leg leaves Decimal(38, 0)."""
_MAX_VALUE: Final = 10.0**30
"""In base units; leaves orders of magnitude for thresholds, sums and moved prices below 2^127."""


def read_positions(
    chain: Reader,
    market: Market,
    detail: AaveDetail,
    owners: Sequence[str],
    progress: Callable[[int], None] | None = None,
) -> Positions:
    """Read configuration, e-mode and scaled balances of accounts at the reader's block.

    Every account comes back: in ``accounts`` in the order asked for (duplicates once), also without balances, or in
    ``skipped`` as "too large" when an amount reaches 10^38 or is worth 10^30 base units. ``progress`` hears how many
    accounts have been read. Raises RpcError or DecodeError when one cannot be read: unread is never zero.
    """
    names = pl.Series(owners, dtype=pl.String).str.to_lowercase().unique(maintain_order=True)
    items = _addresses(names)
    parts: list[tuple[int, bytes]] = []
    done = 0
    for first, count, records in _chunks(chain, detail, items):
        parts.append((first, records))
        done += count
        if progress is not None:
            progress(done)
    if done != len(items):
        raise ProtocolError(f"the lens answered for {done} of {len(items)} accounts")
    return _positions(market, detail, names, _checked(detail, sorted(parts, key=lambda part: part[0])))


def _checked(detail: AaveDetail, parts: Sequence[tuple[int, bytes]]) -> pl.DataFrame:
    """Give records by row; raises DecodeError for those that no account can have."""
    records = parse_records(parts)
    if not records["row"].is_sorted():
        records = records.sort("row", maintain_order=True)
    stable = [reserve.id for reserve in detail.reserves if reserve.stoken]
    check_records(records, [reserve.id for reserve in detail.reserves], stable)
    return records


def _addresses(names: pl.Series) -> list[bytes]:
    """Give the 20 bytes of each lower-case address; raises DataError."""
    if not (names.str.starts_with("0x") & (names.str.len_bytes() == _ADDRESS_DIGITS + 2)).all():
        raise DataError("an account is no address: 0x and 40 hex digits are wanted")
    try:
        joined = bytes.fromhex(names.str.slice(2).str.join("").item())
    except ValueError as error:
        raise DataError(f"an account is no address: {error}") from error
    return [joined[at : at + 20] for at in range(0, len(joined), 20)]


def lens_of(detail: AaveDetail) -> Lens:
    """Give the lens for a market; ``lens.sol`` describes the header."""
    reserves = {reserve.id: reserve for reserve in detail.reserves}
    stable = any(reserve.stoken for reserve in detail.reserves)
    count = max(reserves, default=-1) + 1
    tokens = []
    for reserve in map(reserves.get, range(count)):
        tokens += [reserve.atoken, reserve.vtoken] if reserve else [ZERO_ADDRESS] * 2
        if stable:
            tokens.append((reserve and reserve.stoken) or ZERO_ADDRESS)
    header = bytes.fromhex(detail.pool[2:]) + bytes([stable, count])

    def check(records: bytes) -> None:
        _checked(detail, [(0, records)])

    header += b"".join(bytes.fromhex(token[2:]) for token in tokens)
    return Lens("aave-v3", _lens_code(), header, check=check, timeless=True)


@cache
def _lens_code() -> bytes:
    return bytes.fromhex(Path(__file__).with_name("lens.hex").read_text(encoding="ascii"))


def _chunks(chain: Reader, detail: AaveDetail, items: Sequence[bytes]) -> Iterator[tuple[int, int, bytes]]:
    """Give (first item, number of items, records that count from the first).

    When overrides turn out to be refused, what is left is asked by plain calls.
    """
    read: list[range] = []
    try:
        for chunk in chain.lens(lens_of(detail), items):
            read.append(range(chunk.first, chunk.first + chunk.count))
            yield chunk.first, chunk.count, chunk.records
    except OverridesRefused:
        rest = sorted(set(range(len(items))).difference(*read))
        for at in range(0, len(rest), _PLAIN_ACCOUNTS):
            part = rest[at : at + _PLAIN_ACCOUNTS]
            yield 0, len(part), read_records(chain, detail, items, part)


def _positions(market: Market, detail: AaveDetail, names: pl.Series, records: pl.DataFrame) -> Positions:
    emodes = pl.zeros(len(names), dtype=pl.Int64, eager=True).scatter(records["row"], records["emode"])
    rows = pl.int_range(len(names), dtype=pl.UInt32, eager=True)
    accounts = pl.DataFrame({"row": rows, "position": names, "owner": names, "emode_category": emodes})
    large = too_large(market, detail, records)
    nothing = pl.DataFrame(schema=dict(SKIPPED))
    if not large.len():
        return Positions(accounts, _state(records), nothing)
    is_large = pl.col("row").is_in(large.implode())
    kept = Positions(accounts, _state(records.filter(~is_large)), nothing).take(
        rows.filter(~rows.is_in(large.implode()))
    )
    skipped = accounts.filter(is_large).select(
        pl.lit(market.chain_id, pl.Int64).alias("chain_id"),
        pl.lit(market.protocol).alias("protocol"),
        pl.lit(market.market_id).alias("market_id"),
        "position",
        pl.lit(None, pl.String).alias("reserve"),
        pl.lit("position").alias("what"),
        pl.lit("too large: a leg of 10^38 or more, or worth 10^30 base units").alias("reason"),
    )
    return Positions(kept.accounts, kept.state, skipped)


def too_large(market: Market, detail: AaveDetail, records: pl.DataFrame) -> pl.Series:
    """Give the rows of accounts with a leg that the frames cannot hold.

    Float64 decides: within 1e-15 of the limit either side is right, since the limits leave room above.
    """
    growth, worth = [1.0] * 2 * _IDS, [0.0] * _IDS
    for reserve in detail.reserves:
        growth[reserve.id] = reserve.income_now / RAY
        growth[_IDS + reserve.id] = reserve.debt_index_now / RAY
        worth[reserve.id] = market.answers.get(reserve.key, 0) / reserve.unit
    value, side = records["value"].max(), records["side"].max()
    if not isinstance(value, int) or not isinstance(side, int):
        return records["row"]  # there are none
    most = value * max(growth)
    if side < OVERSIZE and most < _MAX_AMOUNT and most * max(worth) < _MAX_VALUE:
        return records["row"].clear()
    is_debt = (records["side"] != COLLATERAL).cast(pl.Int64)
    factor = pl.Series(growth, dtype=pl.Float64).gather(records["reserve_id"] % _IDS + is_debt * _IDS)
    amount = records["value"].cast(pl.Float64) * factor
    value = amount * pl.Series(worth, dtype=pl.Float64).gather(records["reserve_id"] % _IDS)
    large = (records["side"] >= OVERSIZE) | (amount >= _MAX_AMOUNT) | (value >= _MAX_VALUE)
    is_balance = (records["side"] % OVERSIZE) < STABLE_RATE
    return records["row"].filter(large & is_balance).unique()


def _state(records: pl.DataFrame) -> pl.DataFrame:
    """Make legs of records: a stable debt's rate joins its principal, markers fall away."""
    legs = records.filter(pl.col("side") != NO_FLAGS)
    is_stable, rate, updated = pl.col("side") == STABLE_DEBT, pl.lit(0, pl.Int128), pl.lit(0, pl.Int64)
    if (legs["side"] > DEBT).any():
        legs = legs.with_columns(pl.col("value").shift(-1).alias("next"))
        rate = pl.when(is_stable).then(pl.col("next")).otherwise(0).cast(pl.Int128)
        updated = pl.when(is_stable).then("extra").otherwise(0)
    names = pl.lit(_NAMES)
    return (
        legs.filter(pl.col("side") != STABLE_RATE)
        .select(
            "row",
            names.gather(pl.col("reserve_id")).alias("reserve"),
            "reserve_id",
            pl.col("side").cast(pl.UInt8),
            pl.col("value").cast(pl.Int128).alias("scaled"),
            rate.alias("rate"),
            updated.alias("updated"),
        )
        .match_to_schema(STATE)
    )
