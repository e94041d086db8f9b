"""The kinds of borrowers of the local market, as data."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

__all__ = ["TEMPLATES", "WIDE", "Template"]

Keys = tuple[tuple[str, ...], ...]
Size = tuple[float, float, float, float]

_COMMON: Final[Size] = (60, 25_000, 4_000_000, 1.6)  # dollars of collateral: least, median, most, spread of the log
_WHALE: Final[Size] = (9_000_000, 22_000_000, 55_000_000, 0.6)
_LARGE: Final[Size] = (700_000, 2_200_000, 8_000_000, 0.8)
_DUST: Final[Size] = (0.05, 2, 20, 1.5)
_SMALL: Final[Size] = (100, 3_000, 100_000, 1.2)

_BORROW, _STABLE, _DELEGATED, _FLASH = 2, 3, 5, 6

_DOLLARS: Final[Keys] = (("USDC",), ("USDC",), ("USDT",), ("DAI",), ("GHO",), ("USDC", "USDT"))
_BACKING: Final[Keys] = (("USDC",), ("USDT",), ("DAI",), ("USDC", "DAI"))


@dataclass(frozen=True, slots=True)
class Template:
    """A kind of account: one of ``collateral`` and one of ``debts`` are drawn for each.

    ``same`` borrows the first collateral itself. ``debt_units`` borrows a few of the token's smallest units. The last
    ``switched_off`` collaterals stop being collateral. Weight 0: never drawn, only placed.
    """

    kind: str
    weight: int
    collateral: Keys
    debts: Keys = ((),)
    emode: int = 0
    op: int = _BORROW
    size: Size = _COMMON
    least_health: int = 0
    switched_off: int = 0
    same: bool = False
    debt_units: bool = False
    kinds: Literal["both", "3.0", "3.6"] = "both"


TEMPLATES: Final = (
    Template("whale", 0, (("WETH",), ("WETH",), ("wstETH",), ("WETH", "wstETH")), _DOLLARS, size=_WHALE),
    Template(
        "whale_few_units", 0, (("WETH",), ("WBTC", "wstETH")), (("WETH",), ("USDC",)), size=_WHALE, debt_units=True
    ),
    Template("long_eth", 240, (("WETH",),), _DOLLARS),
    Template("long_lst", 140, (("wstETH",), ("weETH",), ("cbETH",), ("osETH",), ("wstETH", "weETH")), _DOLLARS),
    Template(
        "large_eth", 80, (("WETH",), ("wstETH",), ("weETH",), ("cbETH",), ("WETH", "WBTC")), _DOLLARS, size=_LARGE
    ),
    Template("loop", 130, (("wstETH",), ("weETH",), ("cbETH",), ("wstETH", "weETH")), (("WETH",),), emode=1),
    Template("short_eth", 80, _BACKING, (("WETH",), ("wstETH",), ("WETH", "LINK"))),
    Template("short_other", 30, _BACKING, (("WBTC",), ("cbBTC",), ("LINK",))),
    Template("long_btc", 60, (("WBTC",), ("cbBTC",), ("WBTC", "cbBTC")), _DOLLARS),
    Template(
        "multi",
        70,
        (
            ("WETH", "WBTC", "USDC"),
            ("wstETH", "LINK", "DAI"),
            ("WETH", "wstETH", "weETH", "cbBTC", "XAUt"),
            ("USDC", "cbETH", "EURF", "LDO.b"),
        ),
        (("USDC",), ("USDT", "WETH"), ("DAI", "GHO", "LINK"), ("WETH", "WBTC")),
    ),
    Template("link_and_eth", 40, (("LINK", "WETH"), ("LINK", "wstETH")), (("USDC",), ("USDT",))),
    Template("same_asset", 30, (("WETH",), ("USDC",), ("WBTC",), ("wstETH",), ("LINK",), ("DAI", "WETH")), same=True),
    Template("same_feed", 20, (("wstETH",), ("weETH", "osETH"), ("WETH",)), (("WETH",), ("wstETH",))),
    Template(
        "stable_emode", 40, (("USDC",), ("DAI", "USDT"), ("USDC", "DAI")), (("USDT",), ("GHO",), ("DAI",)), emode=2
    ),
    Template("principal", 20, (("PT-sUSDE",), ("PT-sUSDE", "USDC")), (("USDT",), ("GHO",)), emode=2),
    Template("emode_only", 20, (("ezETH",), ("ezETH", "WETH")), (("WETH",), ("USDC",)), emode=3, kinds="3.6"),
    Template(
        "exotic",
        40,
        (("AAVE",), ("MKR",), ("CRV",), ("LDO",), ("LDO.b",), ("XAUt",), ("EURF",), ("LDO", "LDO.b"), ("MKR", "WETH")),
        (("USDC",), ("DAI",), ("XAUt",)),
    ),
    Template("exotic_debt", 20, _BACKING, (("AAVE",), ("MKR",), ("LDO",), ("XAUt",), ("EURF",), ("CRV", "LDO.b"))),
    Template("fragile", 6, (("ZRO",), ("RVT",), ("WETH", "ZRO"), ("RVT", "USDC")), _DOLLARS, size=_SMALL),
    Template("fragile_debt", 2, _BACKING, (("ZRO",), ("RVT",)), size=_SMALL),
    Template(
        "dust",
        30,
        (("WETH",), ("USDC",), ("WBTC",), ("LINK", "USDT")),
        (("USDC",), ("WETH",), ("DAI",)),
        size=_DUST,
        least_health=16_000,
    ),
    Template("no_debt", 60, (("WETH",), ("USDC", "WBTC"), ("GHO",), ("wstETH",), ("DAI",), ("LDO", "LDO.b"))),
    Template("collateral_off", 30, (("WETH", "USDC"), ("wstETH", "WBTC"), ("DAI", "LINK")), _DOLLARS, switched_off=1),
    Template("delegated", 30, (("WETH",), ("wstETH",), ("USDC",)), (("USDT",), ("LINK",), ("DAI",)), op=_DELEGATED),
    Template("flash", 30, (("WETH",), ("weETH",), ("WBTC",)), (("USDC",), ("DAI",)), op=_FLASH),
    Template(
        "stable_rate",
        60,
        (("WETH",), ("wstETH",), ("LINK",)),
        (("USDC",), ("USDT",), ("DAI",)),
        op=_STABLE,
        size=_SMALL,
        kinds="3.0",
    ),
)

WIDE: Final = (
    Template(
        "wide",
        60,
        (("WETH", "T064"), ("T063", "T065", "T127"), ("T127",), ("T064", "T063"), ("WETH", "T127", "T065")),
        (("T063",), ("T064", "WETH"), ("T065", "T127"), ("T127",), ("T063", "T064", "T065", "T127", "WETH")),
    ),
    Template("spread", 250, ()),
)
"""Kinds for markets with generated reserves; the ids around 64 and the last one are where bitmaps break."""
