"""The reserves and e-modes of the local market: plain data, the same for every revision.

Prices have eight decimals, ratios are basis points. ``fate`` is what happens to a reserve once accounts hold it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal

from scanner.errors import DevchainError

__all__ = ["BASE_COUNT", "EMODES", "MAX_RESERVES", "EModeSpec", "Fate", "ReserveSpec", "Wiring", "reserves"]

Wiring = Literal[
    "feed",  # a settable feed behind a proxy
    "ratio_cap",  # base feed times a capped ratio
    "stable_cap",  # own feed, capped
    "peg_to_base",  # asset/ETH feed times ETH feed
    "principal",  # USDC's feed less a discount that melts away with time
    "unknown",  # an answer of its own
    "hidden",  # follows a feed and does not say so
    "fixed",
    "constant",
    "zero",  # a feed that ends up answering zero
    "revert",  # a feed that ends up reverting
]
Fate = Literal["none", "frozen", "paused", "grace", "ltv0"]


@dataclass(frozen=True, slots=True)
class ReserveSpec:
    """One reserve as it is listed."""

    key: str  # unique; the symbol unless two reserves share one
    symbol: str  # what the token answers
    decimals: int
    price: int  # the oracle's answer at the start, about; positions are sized by it
    wiring: Wiring
    base: str  # name of the feed it hangs on; own name for an own feed
    ltv: int
    threshold: int  # 0: no collateral outside e-mode
    bonus: int  # 10500 gives the liquidator 105 %; 0 with threshold 0
    borrowable: bool = True
    fate: Fate = "none"
    reserve_factor: int = 1500
    protocol_fee: int = 1000  # share of the bonus
    bytes32_symbol: bool = False
    slope1: int = 400  # borrow rate at the optimal usage of 80 %


@dataclass(frozen=True, slots=True)
class EModeSpec:
    """One e-mode category; ``collateral`` and ``borrowable`` are reserve keys."""

    id: int
    label: str
    ltv: int
    threshold: int
    bonus: int
    collateral: tuple[str, ...]
    borrowable: tuple[str, ...]


ETH: Final = 2_100 * 10**8
BTC: Final = 64_000 * 10**8
USD: Final = 10**8

_BASE: Final = (
    ReserveSpec("WETH", "WETH", 18, ETH, "feed", "ETH", 8050, 8300, 10500),
    ReserveSpec("wstETH", "wstETH", 18, ETH * 121 // 100, "ratio_cap", "ETH", 7850, 8100, 10600, slope1=150),
    ReserveSpec("weETH", "weETH", 18, ETH * 107 // 100, "ratio_cap", "ETH", 7750, 8000, 10700, slope1=150),
    ReserveSpec("cbETH", "cbETH", 18, ETH * 111 // 100, "peg_to_base", "cbETH / ETH", 7500, 7900, 10750),
    ReserveSpec("WBTC", "WBTC", 8, BTC, "feed", "BTC", 7300, 7800, 10500),
    ReserveSpec("cbBTC", "cbBTC", 8, BTC, "feed", "BTC", 7300, 7800, 10500),
    ReserveSpec("USDC", "USDC", 6, USD, "stable_cap", "USDC", 7500, 7800, 10450, slope1=550),
    ReserveSpec("USDT", "USDT", 6, USD, "stable_cap", "USDT", 7500, 7800, 10450, slope1=550),
    ReserveSpec("DAI", "DAI", 18, USD, "feed", "DAI", 6300, 7700, 10500, slope1=550),
    ReserveSpec("LINK", "LINK", 18, 14 * USD, "feed", "LINK", 6600, 7100, 10700),
    ReserveSpec("GHO", "GHO", 18, USD, "constant", "", 0, 0, 0, slope1=550),
    ReserveSpec("PT-sUSDE", "PT-sUSDE", 18, 98 * USD // 100, "principal", "USDe", 7000, 7500, 10600, False),
    ReserveSpec("XAUt", "XAUt", 6, 2_650 * USD, "unknown", "", 7000, 7500, 10600),
    ReserveSpec("osETH", "osETH", 18, ETH * 103 // 100, "hidden", "ETH", 7250, 7500, 10750),
    ReserveSpec("EURF", "EURF", 6, 108 * USD // 100, "fixed", "", 7000, 7500, 10600),
    ReserveSpec("ZRO", "ZRO", 18, 5 * USD, "zero", "ZRO", 5500, 6000, 10800),
    ReserveSpec("RVT", "\x1b[31;5mRVT\x1b[0m\x07", 8, 9 * USD, "revert", "RVT", 5500, 6000, 10800),
    ReserveSpec("AAVE", "AAVE", 18, 150 * USD, "feed", "AAVE", 6600, 7300, 10750, fate="frozen"),
    ReserveSpec("MKR", "MKR", 18, 1_500 * USD, "feed", "MKR", 6500, 7000, 10850, fate="paused", bytes32_symbol=True),
    ReserveSpec("CRV", "CRV", 18, USD // 2, "feed", "CRV", 3500, 4100, 10830, fate="ltv0"),
    ReserveSpec("LDO", "LDO", 18, USD, "feed", "LDO", 4000, 5000, 10900, fate="grace"),
    ReserveSpec("LDO.b", "LDO", 8, USD, "feed", "LDO", 4000, 5000, 10900, protocol_fee=0),
    ReserveSpec("ezETH", "ezETH", 18, ETH * 105 // 100, "ratio_cap", "ETH", 0, 0, 0, borrowable=False),
)

BASE_COUNT: Final = len(_BASE)
MAX_RESERVES: Final = 128

EMODES: Final = (
    EModeSpec(1, "ETH correlated", 9300, 9500, 10100, ("WETH", "wstETH", "weETH", "cbETH"), ("WETH", "wstETH")),
    EModeSpec(2, "Stablecoins", 9000, 9300, 10200, ("USDC", "USDT", "DAI", "PT-sUSDE"), ("USDC", "USDT", "DAI", "GHO")),
    EModeSpec(3, "ezETH against ETH", 8800, 9000, 10400, ("ezETH",), ("WETH", "wstETH", "USDC")),
)


def _extra(id_: int) -> ReserveSpec:
    """Make up a reserve: eight feeds and three sizes of decimals take turns."""
    feed = id_ % 8
    price = USD * (1 + 3 * feed)
    return ReserveSpec(f"T{id_:03}", f"T{id_:03}", (18, 8, 6)[id_ % 3], price, "feed", f"T{feed}", 6500, 7500, 10600)


def reserves(count: int = BASE_COUNT) -> Sequence[ReserveSpec]:
    """Give ``count`` reserves in the order of their ids; beyond the hand-made ones they are generated."""
    if not BASE_COUNT <= count <= MAX_RESERVES:
        raise DevchainError(f"a market has {BASE_COUNT} to {MAX_RESERVES} reserves, not {count}")
    return (*_BASE, *(_extra(i) for i in range(BASE_COUNT, count)))
