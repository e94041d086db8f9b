"""Read a market's parameters, indexes and prices at the reader's block, in five rounds of calls."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from dataclasses import dataclass
from typing import Final, TypeVar

from scanner.chain.interface import Call, Reader, Reverted
from scanner.errors import DecodeError, ProtocolError, UnknownMarketError, UnknownRevisionError
from scanner.protocols.aave_v3.decode import (
    ADDRESSES_PROVIDER,
    FEED,
    ORACLE,
    POOL,
    SENTINEL,
    TOKEN,
    ZERO_ADDRESS,
    Answer,
    address,
    integer,
    price,
    reserve_data,
    round_time,
    symbol,
    values,
)
from scanner.protocols.aave_v3.detail import KNOWN_REVISIONS, AaveDetail, AaveReserve
from scanner.protocols.aave_v3.emodes import category_calls, decode_categories, property_calls, with_properties
from scanner.protocols.aave_v3.tables import Prices, market_frame, reserves_frame, skipped_frame
from scanner.protocols.interface import Market

__all__ = ["ROOT_NAME", "read_market", "refusal"]

ROOT_NAME: Final = "the PoolAddressesProvider"

_MAX_DECIMALS: Final = 36
_MAX_RESERVES: Final = 128
_NEWEST: Final = max(KNOWN_REVISIONS)

Key = TypeVar("Key", bound=Hashable)


def refusal(chain: Reader, root: str) -> str | None:
    """Say why an address is no PoolAddressesProvider whose pool names it back; None when it is one.

    Reads getPool, getPriceOracle, getPriceOracleSentinel; then ADDRESSES_PROVIDER and POOL_REVISION of the pool. For
    a contract of a market, such as its Pool, reads ADDRESSES_PROVIDER to name the address to give.
    """
    root = root.lower()
    base = _read_root(chain, root)
    if base is None:
        return _advice(chain, root)
    if base.pool == ZERO_ADDRESS:
        return f"it has no pool yet: the market is not set up yet at block {chain.block.number}, give a later one"
    if base.parent != root:
        return f"it names a pool that belongs to {base.parent}: give that address"
    return None


def read_market(chain: Reader, root: str, name: str, slug: str, *, newest_for_unknown: bool = False) -> Market:
    """Read everything but positions.

    Reserves take their id from their own data: dropped ones leave holes in the list. A reserve whose price reverts
    or is 0 is unpriced and listed in ``skipped``. Raises UnknownMarketError when ``root`` is not a market root, and
    UnknownRevisionError for a revision without rules unless ``newest_for_unknown`` asks for the newest ones.
    """
    root = root.lower()
    base = _read_root(chain, root)
    if base is None or base.parent != root:
        raise UnknownMarketError(f"{root} is not a market root on chain {chain.chain_id}: {refusal(chain, root)}")
    known = base.revision in KNOWN_REVISIONS
    if not known and not newest_for_unknown:
        raise UnknownRevisionError(
            f"pool {base.pool} says POOL_REVISION {base.revision}; there are rules for"
            f" {min(KNOWN_REVISIONS)} to {_NEWEST}. --verify all tries the newest and compares every account with"
            " the contract"
        )
    revision = base.revision if known else _NEWEST
    terms = _read_terms(chain, base, revision)
    key = {"chain_id": chain.chain_id, "protocol": slug, "market_id": root}
    detail, prices, refused = _read_reserves(chain, base, terms, revision)
    return Market(
        chain_id=chain.chain_id,
        protocol=slug,
        market_id=root,
        name=name,
        revision=base.revision,
        base_unit=terms.base_unit,
        timestamp=chain.block.timestamp,
        frame=market_frame(key, name, base.revision, terms.base_unit, prices.quote_usd),
        reserves=reserves_frame(key, detail, prices),
        skipped=skipped_frame(key, refused),
        answers=prices.answers,
        detail=detail,
        warnings=() if known else (f"pool revision {base.revision} is unknown; the rules are those of {_NEWEST}",),
    )


@dataclass(frozen=True, slots=True)
class _Root:
    pool: str
    oracle: str
    sentinel: str
    parent: str  # whom the pool takes for its root
    revision: int


@dataclass(frozen=True, slots=True)
class _Terms:
    assets: tuple[str, ...]
    base_currency: str
    base_unit: int
    sentinel_down: bool


def _ask(chain: Reader, calls: Mapping[Key, Call]) -> dict[Key, Answer]:
    return dict(zip(calls, chain.call(list(calls.values())), strict=True))


def _read_root(chain: Reader, root: str) -> _Root | None:
    """Read what a root names, with a pool of zero and no parent while it names none; None for another contract."""
    names = ("getPool", "getPriceOracle", "getPriceOracleSentinel")
    answers = _ask(chain, {name: ADDRESSES_PROVIDER.call(root, name) for name in names})
    try:
        pool, oracle, sentinel = (address(ADDRESSES_PROVIDER, name, answers[name]) for name in names)
        if pool == ZERO_ADDRESS:
            return _Root(pool, oracle, sentinel, ZERO_ADDRESS, 0)
        about = _ask(chain, {name: POOL.call(pool, name) for name in ("ADDRESSES_PROVIDER", "POOL_REVISION")})
        parent = address(POOL, "ADDRESSES_PROVIDER", about["ADDRESSES_PROVIDER"])
        revision = integer(POOL, "POOL_REVISION", about["POOL_REVISION"])
    except DecodeError:
        return None
    return _Root(pool, oracle, sentinel, parent, revision)


def _advice(chain: Reader, other: str) -> str:
    """Say what to give instead of a contract that is no root."""
    try:
        answer = chain.call([POOL.call(other, "ADDRESSES_PROVIDER")])[0]
        root = address(POOL, "ADDRESSES_PROVIDER", answer)
        base = _read_root(chain, root)
    except DecodeError:
        base = None
    if base is None or base.parent != root:
        return (
            f"no contract answers there as {ROOT_NAME} does: check the address, the chain of the RPC URL, and that the"
            " block is not before the market"
        )
    what = "the Pool" if base.pool == other else "a contract"
    return f"it is {what} of the market {root}; give that address, {ROOT_NAME}"


def _read_terms(chain: Reader, base: _Root, revision: int) -> _Terms:
    """Read the list of reserves, the unit of account and the sentinel, which revisions before 11 obey."""
    calls = {
        "list": POOL.call(base.pool, "getReservesList"),
        "currency": ORACLE.call(base.oracle, "BASE_CURRENCY"),
        "unit": ORACLE.call(base.oracle, "BASE_CURRENCY_UNIT"),
    }
    if base.sentinel != ZERO_ADDRESS and revision < 11:
        calls["sentinel"] = SENTINEL.call(base.sentinel, "isLiquidationAllowed")
    answers = _ask(chain, calls)
    if any(answers[name] == b"" for name in ("list", "currency", "unit")):
        raise UnknownMarketError(
            f"pool {base.pool} is not set up yet at block {chain.block.number} (it or its price oracle has no code):"
            " give a later block"
        )
    base_unit = integer(ORACLE, "BASE_CURRENCY_UNIT", answers["unit"])
    if base_unit < 1:
        raise ProtocolError(f"oracle {base.oracle} says that its unit of account is {base_unit}")
    return _Terms(
        assets=tuple(str(asset).lower() for asset in values(POOL, "getReservesList", answers["list"])[0]),
        base_currency=address(ORACLE, "BASE_CURRENCY", answers["currency"]),
        base_unit=base_unit,
        sentinel_down="sentinel" in answers and not _allows(answers["sentinel"]),
    )


def _allows(answer: Answer) -> bool:
    """Read a sentinel; one that reverts makes the liquidation revert, like one that says no."""
    return not isinstance(answer, Reverted) and bool(integer(SENTINEL, "isLiquidationAllowed", answer))


def _read_reserves(
    chain: Reader, base: _Root, terms: _Terms, revision: int
) -> tuple[AaveDetail, Prices, dict[str, str]]:
    """Read reserves, e-modes and prices, each price in a call of its own; give those refused with their reasons."""
    calls = category_calls(base.pool, revision)
    for asset in terms.assets:
        calls |= {(name, asset): POOL.call(base.pool, name, asset) for name in _functions(revision)}
        calls |= {
            (name, asset): ORACLE.call(base.oracle, name, asset) for name in ("getSourceOfAsset", "getAssetPrice")
        }
        calls["symbol", asset] = TOKEN.call(asset, "symbol")
    answers = _ask(chain, calls)
    reserves = sorted((_reserve(asset, answers, revision) for asset in terms.assets), key=lambda r: r.id)
    modes = decode_categories(answers, revision, {reserve.emode_category for reserve in reserves} - {0})
    sources = {r.key: address(ORACLE, "getSourceOfAsset", answers["getSourceOfAsset", r.asset]) for r in reserves}
    sources = {key: source for key, source in sources.items() if source != ZERO_ADDRESS}

    rounds = {("latestRoundData", key): FEED.call(source, "latestRoundData") for key, source in sources.items()}
    more = _ask(chain, rounds | property_calls(base.pool, base.oracle, modes, revision))
    full_modes, own_prices = with_properties(modes, more)
    prices = {reserve.key: price(answers["getAssetPrice", reserve.asset]) for reserve in reserves} | own_prices
    detail = AaveDetail(
        pool=base.pool,
        oracle=base.oracle,
        revision=revision,
        base_unit=terms.base_unit,
        reserves=tuple(reserves),
        emodes=full_modes,
        sentinel_down=terms.sentinel_down,
        block_timestamp=chain.block.timestamp,
    )
    facts = Prices(
        sources=sources,
        answers={key: answer for key, answer in prices.items() if isinstance(answer, int)},
        updated_at={key: time for (_, key) in rounds if (time := round_time(more["latestRoundData", key])) is not None},
        quote_usd=1.0 if terms.base_currency == ZERO_ADDRESS else None,
    )
    return detail, facts, {key: reason for key, reason in prices.items() if isinstance(reason, str)}


def _functions(revision: int) -> tuple[str, ...]:
    always = ("getReserveData", "getReserveNormalizedIncome", "getReserveNormalizedVariableDebt")
    return (*always, "getLiquidationGracePeriod") if revision >= 4 else always


def _reserve(asset: str, answers: Mapping[tuple[str, str], Answer], revision: int) -> AaveReserve:
    data = reserve_data(answers["getReserveData", asset])
    config = data.configuration
    if config.decimals > _MAX_DECIMALS or data.id >= _MAX_RESERVES:
        raise ProtocolError(f"reserve {asset} has {config.decimals} decimals and id {data.id}: no rules for that")

    def number(name: str) -> int:
        return integer(POOL, name, answers[name, asset])

    return AaveReserve(
        id=data.id,
        asset=asset,
        symbol=symbol(answers["symbol", asset], asset),
        decimals=config.decimals,
        atoken=data.atoken,
        vtoken=data.vtoken,
        stoken=data.stoken if revision <= 4 and data.stoken != ZERO_ADDRESS else None,
        ltv_bps=config.ltv_bps,
        threshold_bps=config.threshold_bps,
        bonus_bps=config.bonus_bps,
        protocol_fee_bps=config.protocol_fee_bps,
        active=config.active,
        frozen=config.frozen,
        paused=config.paused,
        borrowable=config.borrowable,
        emode_category=config.emode_category if revision <= 4 else 0,
        liquidity_index=data.liquidity_index,
        liquidity_rate=data.liquidity_rate,
        debt_index=data.debt_index,
        debt_rate=data.debt_rate,
        updated_at=data.updated_at,
        income_now=number("getReserveNormalizedIncome"),
        debt_index_now=number("getReserveNormalizedVariableDebt"),
        grace_until=number("getLiquidationGracePeriod") if revision >= 4 else 0,
    )
