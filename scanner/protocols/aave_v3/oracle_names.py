"""Names of price factors, from the descriptions of feeds. Pure."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from scanner.protocols.aave_v3.decode import label, short_address
from scanner.protocols.aave_v3.oracle_wiring import Leaf

__all__ = ["STABLES", "Named", "base_name", "name_factors", "stable_factors"]

# A wrapped token is redeemable one to one, so its feed moves with that of what it wraps.
_WRAPPED: Final[Mapping[str, str]] = {
    "weth": "ETH",
    "wbtc": "BTC",
    "cbbtc": "BTC",
    "wavax": "AVAX",
    "wbnb": "BNB",
    "wmatic": "MATIC",
    "wpol": "POL",
    "ws": "S",
}

STABLES: Final = frozenset(
    {"busd", "crvusd", "dai", "dola", "fdusd", "frax", "frxusd", "gho", "gusd", "lusd", "mai", "musd", "pyusd", "rlusd"}
    | {
        "susd",
        "tusd",
        "usd0",
        "usd1",
        "usd₮0",
        "usdbc",
        "usdc",
        "usdc.e",
        "usdd",
        "usde",
        "usdg",
        "usdp",
        "usds",
        "usdt",
    }
    | {"usdt0", "usdtb", "xdai"}
)
"""Names of dollar stablecoins, lower case: each is a factor, and together they are the group ``stables``."""

_LENGTH: Final = 24


@dataclass(frozen=True, slots=True)
class Named:
    """A feed's factor, and whether that is the feed's own name rather than what it wraps."""

    factor: str
    exact: bool


def base_name(description: str) -> str:
    """Take the asset out of a description such as ``ETH / USD``; empty when there is none."""
    return label(description.partition("/")[0], _LENGTH)


def name_factors(
    leaves: Sequence[Leaf], descriptions: Mapping[str, str], owners: Mapping[str, str]
) -> dict[str, Named]:
    """Name the factor of each feed; ``owners`` gives the symbol of a reserve that hangs on it.

    Feeds whose descriptions have one base form one factor; a ratio is named by both sides (``stETH/ETH``). A feed of
    unknown wiring, or without a description, gets a name that nothing else has.
    """
    named: dict[str, Named] = {}
    spellings: dict[str, str] = {}
    for leaf in leaves:
        base = base_name(descriptions[leaf.address])
        if leaf.known and base:
            name = base if leaf.role == "base" else _ratio_name(descriptions[leaf.address])
            wrapped = _WRAPPED.get(name.casefold())
            factor = spellings.setdefault((wrapped or name).casefold(), wrapped or name)
            named[leaf.address] = Named(factor, wrapped is None)
    for leaf in leaves:
        if leaf.address not in named:
            name = label(owners.get(leaf.address, ""), _LENGTH) or short_address(leaf.address)
            if name.casefold() in spellings:
                name = f"{name} {short_address(leaf.address)}"
            named[leaf.address] = Named(spellings.setdefault(name.casefold(), name), True)
    return named


def stable_factors(factors: Collection[str]) -> tuple[str, ...]:
    """Pick the factors that are stablecoins."""
    return tuple(name for name in factors if name.casefold() in STABLES)


def _ratio_name(description: str) -> str:
    sides = [label(side, _LENGTH) for side in description.split("/")[:2]]
    return "/".join(side for side in sides if side)
