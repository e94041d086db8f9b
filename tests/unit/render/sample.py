"""A scan made up from a seed: the size and shape of a real one, every frame conforming."""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any, Final

import polars as pl

from scanner import frames
from scanner.results import FactorInfo, MarketSummary, ReserveProof, ScanResult, Snapshot

ROOT: Final = "0x2f39d218133afab8f2b819b1066c7e434ad94e9e"
TIME: Final = 1_774_000_000
NOW: Final = TIME + 14
MARKET: Final[dict[str, Any]] = {"chain_id": 1, "protocol": "aave-v3", "market_id": ROOT}
ETH, BTC = 2104.55, 71_234.5
SYMBOLS: Final = ("WETH", "wstETH", "weETH", "rETH", "cbETH", "osETH", "ETHx", "WBTC", "cbBTC", "USDC", "USDT", "LINK")
PRICES: Final = (
    ETH,
    ETH * 1.22,
    ETH * 1.07,
    ETH * 1.14,
    ETH * 1.1,
    ETH * 1.05,
    ETH * 1.06,
    BTC,
    BTC,
    1.0,
    0.9998,
    13.37,
)
DECIMALS: Final = (18, 18, 18, 18, 18, 18, 18, 8, 8, 6, 6, 18)
WEIGHTS: Final = (30, 22, 16, 7, 3, 2, 1)


@dataclass(frozen=True)
class Account:
    address: str
    collateral: int
    debt: int
    collateral_usd: float
    debt_usd: float
    ratio: float  # of the ETH price at liquidation
    direction: str
    emode: int


def scan(accounts: int = 600, *, seed: int = 7) -> ScanResult:
    """Make a scan of one market with a wall of ETH longs at 12 to 16 % below spot, some shorts, and others."""
    people = _people(random.Random(seed), accounts)
    bands, by, dense = _bands(people)
    made = {
        "markets": _frame("markets", [MARKET | _market()]),
        "reserves": _frame("reserves", [_reserve(i) for i in range(len(SYMBOLS))]),
        "legs": _frame("legs", [row for one in people for row in _legs(one)]),
        "accounts": _frame("accounts", [_account(one) for one in people]),
        "exposures": frames.empty("exposures"),
        "liquidation_points": _frame("liquidation_points", [row for one in people for row in _points(one)]),
        "triggers": _frame("triggers", [_trigger(one) for one in people if one.direction in ("down", "up")]),
        "seizures": _frame("seizures", [_seizure(one) for one in people if one.direction in ("now", "blocked")]),
        "bands": bands,
        "bands_by": by,
        "dense_bands": dense,
        "skipped": _frame(
            "skipped", [MARKET | {"reserve": "11", "what": "reserve", "reason": "unpriced: oracle reverted"}]
        ),
    }
    frames_ = {name: frames.conform(made[name], name) for name in frames.FRAMES}
    return ScanResult(
        snapshot=Snapshot(
            chain_id=1,
            block_number=24_720_899,
            block_hash="0x3f9a" + "5d" * 28 + "c41e",
            block_timestamp=TIME,
            complete=True,
            tool_version="0.1.0",
            rpc_hosts=("rpc.example.org",),
            seconds={"discovery": 1.25, "positions": 0.75, "risk": 0.125},
        ),
        markets=(_summary(people),),
        factors=(
            _factor("ETH", ETH, SYMBOLS[:7]),
            _factor("BTC", BTC, SYMBOLS[7:9]),
            _factor("LINK", None, SYMBOLS[11:]),
        ),
        frames=frames_,
        warnings=(),
        selected_factor="ETH",
    )


def incomplete(result: ScanResult) -> ScanResult:
    """Take 3.1 % of the USDC debt away, and let two accounts differ from the contract."""
    proof = ReserveProof("9", "USDC", "exact", 10**15, 10**15 * 969 // 1000, 10**27, 6)
    market = replace(
        result.markets[0],
        completeness=(*result.markets[0].completeness[:9], proof),
        mismatches=("0x" + "ab" * 20,),
        unread=3,
    )
    return replace(result, snapshot=replace(result.snapshot, complete=False), markets=(market,))


def hostile(result: ScanResult, name: str = "\x1b[31mEVIL\x1b[0m[bold]\u202e\n=1+1") -> ScanResult:
    """Give the largest collateral a symbol that tries to steer the terminal."""
    made = dict(result.frames)
    swap = pl.col("symbol").replace({"WETH": name})
    for frame in ("reserves", "legs", "triggers"):
        made[frame] = made[frame].with_columns(swap)
    made["bands_by"] = made["bands_by"].with_columns(pl.col("key").replace({"WETH": name}))
    return replace(result, frames=made, warnings=(f"unknown adapter for {name}",))


def nothing(result: ScanResult) -> ScanResult:
    """Leave a market without accounts."""
    kept = ("markets", "reserves")
    made = {name: frame if name in kept else frames.empty(name) for name, frame in result.frames.items()}
    bands = result.frames["bands"].with_columns(
        pl.when(pl.col(c).is_not_null()).then(0).cast(result.frames["bands"].schema[c]).alias(c)
        for c in ("seizable_collateral_usd", "account_count", "cumulative_seizable_usd", "cumulative_account_count")
    )
    made["bands"] = bands.with_columns(
        pl.lit(None, pl.String).alias("largest_account"), pl.lit(None, pl.Float64).alias("largest_account_usd")
    )
    market = replace(result.markets[0], account_count=0, collateral_usd=0.0, debt_usd=0.0)
    return replace(result, markets=(market,), frames=made)


def _people(rng: random.Random, size: int) -> list[Account]:
    people = []
    for index in range(size):
        address = f"0x{rng.getrandbits(160):040x}"
        kind = rng.random()
        usd = rng.lognormvariate(11.5, 2.2)
        collateral = rng.choices(range(7), WEIGHTS)[0]
        ratio = rng.uniform(0.45, 1.0) if rng.random() < 0.75 else rng.uniform(0.845, 0.885)
        direction, debt = "down", rng.choice((9, 10))
        if index < 24:
            ratio, usd, collateral = rng.uniform(0.8464, 0.8847), rng.uniform(2e6, 3e7), index % 3
        elif kind < 0.05:
            ratio, collateral, debt, direction, usd = 1 + rng.expovariate(9), 9, 0, "up", usd * 0.7
        elif kind < 0.12:
            ratio, collateral, direction = 0.0, 7, "never"
        elif kind < 0.135:
            ratio, direction = 0.0, "now" if kind < 0.13 else "blocked"
        elif kind < 0.17:
            ratio, debt, direction = 0.0, -1, "no_debt"
        elif kind < 0.172:
            ratio, collateral, direction = 0.0, 11, "unpriced"
        debt_usd = (
            0.0
            if debt < 0
            else usd * 0.83 / (1.02 if direction in ("never", "up") else 1 / max(ratio, 0.99 if not ratio else 0))
        )
        people.append(Account(address, collateral, debt, usd, debt_usd, ratio, direction, index % 9 == 0))
    return people


def _health(one: Account) -> int | None:
    if one.direction in ("no_debt", "unpriced"):
        return None
    exact = {"now": 0.981, "blocked": 0.9931, "never": 1.52, "up": one.ratio}.get(one.direction)
    return int((exact or 1 / one.ratio) * 1e15) * 1000 + int(one.address[-2:], 16)


def _account(one: Account) -> dict[str, Any]:
    unpriced, wad = one.direction == "unpriced", _health(one)
    status = {"no_debt": "no_debt", "now": "liquidatable", "blocked": "blocked", "unpriced": "unpriced"}
    usd = None if unpriced else one.collateral_usd
    owed = None if unpriced else one.debt_usd
    return MARKET | {
        "position": one.address,
        "owner": one.address,
        "emode_category": int(one.emode),
        "collateral_raw": None if usd is None else Decimal(int(usd * 1e8)),
        "debt_raw": None if owed is None else Decimal(int(owed * 1e8)),
        "collateral_quote": usd,
        "debt_quote": owed,
        "collateral_usd": usd,
        "debt_usd": owed,
        "health_factor_wad": None if wad is None else str(wad),
        "health_factor": None if wad is None else wad / 1e18,
        "leverage": None if usd is None or owed is None else usd / (usd - owed) if usd > owed else None,
        "status": status.get(one.direction, "healthy"),
        "blocked_by": "grace" if one.direction == "blocked" else None,
        "blocked_until": datetime.fromtimestamp(TIME + 3600, UTC) if one.direction == "blocked" else None,
    }


def _legs(one: Account) -> list[dict[str, Any]]:
    return [
        _leg(one, side, reserve, usd)
        for side, reserve, usd in (("collateral", one.collateral, one.collateral_usd), ("debt", one.debt, one.debt_usd))
        if reserve >= 0
    ]


def _leg(one: Account, side: str, reserve: int, usd: float) -> dict[str, Any]:
    amount = usd / PRICES[reserve]
    known = one.direction != "unpriced" or side == "debt"
    raw = Decimal(int(amount * 10 ** DECIMALS[reserve]))
    return MARKET | {
        "position": one.address,
        "reserve": str(reserve),
        "side": side,
        "price_key": str(reserve),
        "asset": _asset(reserve),
        "symbol": SYMBOLS[reserve],
        "scaled_raw": raw,
        "amount_raw": raw,
        "amount_tokens": amount,
        "value_raw": Decimal(int(usd * 1e8)) if known else None,
        "value_quote": usd if known else None,
        "value_usd": usd if known else None,
        "price_quote": PRICES[reserve] if known else None,
        "liquidation_threshold": 0.83 if side == "collateral" else None,
        "liquidation_bonus": 0.05 if side == "collateral" else None,
        "factor": _factor_of(reserve),
    }


def _points(one: Account) -> list[dict[str, Any]]:
    if one.direction in ("no_debt", "unpriced"):
        return []
    moving = one.direction in ("down", "up")
    direction = "now" if one.direction == "blocked" else one.direction
    answer = int(one.ratio * ETH * 1e8)
    return [
        MARKET
        | {
            "position": one.address,
            "factor": "ETH",
            "direction": direction,
            "lower_ratio": one.ratio if moving else None,
            "upper_ratio": one.ratio if moving else None,
            "price_usd": answer / 1e8 if moving else None,
            "trigger_answer": str(answer) if moving else None,
            "for_timestamp": TIME if moving else None,
            "recovery_ratio": 1.02 if direction == "now" else None,
        }
    ]


def _trigger(one: Account) -> dict[str, Any]:
    reserve = one.collateral if one.direction == "down" else one.debt
    answer = int(one.ratio * PRICES[reserve] * 1e8)
    return MARKET | {
        "position": one.address,
        "reserve": str(reserve),
        "asset": _asset(reserve),
        "symbol": SYMBOLS[reserve],
        "direction": one.direction,
        "trigger_price": str(answer),
        "price_usd": answer / 1e8,
        "for_timestamp": TIME,
    }


def _seizure(one: Account) -> dict[str, Any]:
    repay = int(one.debt_usd / 2 * 1e8)
    return MARKET | {
        "position": one.address,
        "factor": "now",
        "direction": "now",
        "debt_reserve": str(one.debt),
        "collateral_reserve": str(one.collateral),
        "repay_raw": Decimal(repay // 100),
        "seize_raw": Decimal(int(repay * 1.05 / PRICES[one.collateral] * 1e10)),
        "fee_raw": Decimal(1000),
        "bad_debt_raw": Decimal(0),
        "repay_value_raw": Decimal(repay),
        "seize_value_raw": Decimal(int(repay * 1.05)),
        "branch": "half",
        "best": True,
        "blocked_by": "grace" if one.direction == "blocked" else None,
        "blocked_until": datetime.fromtimestamp(TIME + 3600, UTC) if one.direction == "blocked" else None,
    }


def _bands(people: Sequence[Account]) -> tuple[pl.DataFrame, pl.DataFrame, pl.DataFrame]:
    rows, by = [], []
    for direction, sign, number in (("down", -1, 60), ("up", 1, 60)):
        total, so_far = 0.0, 0
        for band in range(1, number + 1):
            near, far = 1 + sign * (band - 1) / 100, 1 + sign * band / 100
            inside = [p for p in people if p.direction == direction and min(near, far) <= p.ratio < max(near, far)]
            seized = {p.address: p.collateral_usd * 0.55 for p in inside}
            largest = max(seized, key=lambda a: (seized[a], a), default=None)
            total, so_far = total + sum(seized.values()), so_far + len(inside)
            rows.append(
                {
                    "factor": "ETH",
                    "direction": direction,
                    "band": band,
                    "lower_bps": min(sign * band, sign * (band - 1)) * 100,
                    "upper_bps": max(sign * band, sign * (band - 1)) * 100,
                    "lower_price_usd": min(near, far) * ETH,
                    "upper_price_usd": max(near, far) * ETH,
                    "at_risk_collateral_usd": sum(p.collateral_usd for p in inside),
                    "seizable_collateral_usd": sum(seized.values()),
                    "beside_collateral_usd": 0.0,
                    "blocked_collateral_usd": 0.0,
                    "debt_to_repay_usd": sum(seized.values()) / 1.05,
                    "account_count": len(inside),
                    "largest_account": largest,
                    "largest_account_usd": seized.get(largest or ""),
                    "cumulative_seizable_usd": total,
                    "cumulative_account_count": so_far,
                }
            )
            cells: dict[str, list[float]] = defaultdict(list)
            for person in inside:
                cells[SYMBOLS[person.collateral]].append(seized[person.address])
            by += [
                {
                    "factor": "ETH",
                    "direction": direction,
                    "band": band,
                    "key": key,
                    "seizable_collateral_usd": sum(values),
                    "account_count": len(values),
                }
                for key, values in sorted(cells.items())
            ]
    return _frame("bands", rows), _frame("bands_by", by), _frame("dense_bands", _dense(people))


def _dense(people: Sequence[Account]) -> list[dict[str, Any]]:
    falls = sorted((p for p in people if p.direction == "down" and p.ratio >= 0.8), key=lambda p: p.ratio)
    total = sum(p.collateral_usd for p in falls)
    rows = []
    for share in (0.25, 0.5, 0.75):
        best: tuple[float, int, int] | None = None
        for first in range(len(falls)):
            held = 0.0
            for last in range(first, len(falls)):
                held += falls[last].collateral_usd
                if held >= share * total:
                    span = falls[last].ratio - falls[first].ratio
                    if best is None or span <= best[0]:
                        best = (span, first, last)
                    break
        if best is None:
            continue
        inside = falls[best[1] : best[2] + 1]
        largest = max(inside, key=lambda p: p.collateral_usd)
        rows.append(
            {
                "factor": "ETH",
                "share": share,
                "lower_price_usd": round(inside[0].ratio * ETH, 2),
                "upper_price_usd": round(inside[-1].ratio * ETH + 0.01, 2),
                "seizable_collateral_usd": sum(p.collateral_usd for p in inside) * 0.55,
                "account_count": len(inside),
                "largest_account": largest.address,
                "largest_account_usd": largest.collateral_usd * 0.55,
            }
        )
    return rows


def _market() -> dict[str, Any]:
    return {
        "name": "ethereum-core",
        "revision": 10,
        "base_unit": Decimal(10**8),
        "quote_usd": 1.0,
        "quote_usd_source": "base currency",
    }


def _asset(reserve: int) -> str:
    return f"0x{(reserve + 1) * 0xA11CE0FFEE1234567890ABCDEF:040x}"


def _factor_of(reserve: int) -> str:
    return "ETH" if reserve < 7 else "BTC" if reserve < 9 else SYMBOLS[reserve]


def _reserve(reserve: int) -> dict[str, Any]:
    known = reserve != 11
    return MARKET | {
        "reserve": str(reserve),
        "asset": _asset(reserve),
        "symbol": SYMBOLS[reserve],
        "decimals": DECIMALS[reserve],
        "price_source": _asset(reserve + 50),
        "answer": str(int(PRICES[reserve] * 1e8)) if known else None,
        "answer_at": datetime.fromtimestamp(TIME - 41, UTC) if known else None,
        "next_answer": None,
        "next_at": None,
        "price_quote": PRICES[reserve] if known else None,
        "price_usd": PRICES[reserve] if known else None,
        "factor": _factor_of(reserve),
        "liquidation_threshold": 0.83,
        "liquidation_bonus": 0.05,
        "flags": ["active", "collateral", "borrowable"],
        "liquidity_index": Decimal(10**27 + reserve),
        "debt_index": Decimal(10**27 + 2 * reserve),
    }


def _factor(name: str, spot: float | None, members: Sequence[str]) -> FactorInfo:
    answer = int((spot or 13.37) * 1e8)
    return FactorInfo(name, _asset(99), f"{name} / USD", 8, answer, TIME - 41, spot, tuple(members))


def _summary(people: Sequence[Account]) -> MarketSummary:
    proofs = tuple(
        ReserveProof(str(i), SYMBOLS[i], "exact", 10**18, 10**18, 10**27, DECIMALS[i]) for i in range(len(SYMBOLS))
    )
    known = [p for p in people if p.direction != "unpriced"]
    return MarketSummary(
        "aave-v3",
        ROOT,
        "ethereum-core",
        10,
        len(people),
        sum(p.collateral_usd for p in known),
        sum(p.debt_usd for p in known),
        10**8,
        proofs,
        41,
        (),
    )


def _frame(name: str, rows: list[dict[str, Any]]) -> pl.DataFrame:
    schema = dict(frames.FRAMES[name])
    return pl.DataFrame([{column: row.get(column) for column in schema} for row in rows], schema=schema, orient="row")
