"""Deploy the tokens, the price feeds and the adapters in front of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from scanner.devchain.artifact import Artifact
from scanner.devchain.catalog import ReserveSpec
from scanner.devchain.core import Listing
from scanner.devchain.toolchain import CONTRACTS, Toolchain
from scanner.devchain.tx import DEPLOYER, Chain

__all__ = ["Assets", "compile_assets", "deploy_assets"]

_UNITS: Final[Mapping[str, tuple[str, ...]]] = {
    "Tokens.sol": ("Token", "Bytes32Token"),
    "Feeds.sol": ("PriceFeed", "FeedProxy"),
    "Adapters.sol": (
        "ConstantDollar",
        "FeedRatioCapAdapter",
        "FixedPriceAdapter",
        "HiddenAdapter",
        "PegToBaseAdapter",
        "PlainRatioCapAdapter",
        "PrincipalDiscountAdapter",
        "PrincipalToken",
        "RatioCapAdapter",
        "RatioProvider",
        "StableCapAdapter",
        "UnknownAdapter",
    ),
}
_RATIO_CAP: Final = "(address,address,uint8,uint104,uint48,uint16,string)"
_STABLE_CAP: Final = 104 * 10**6
_DAY: Final = 24 * 3600

# feeds that are no reserve's own price: answer and decimals
_OTHER_FEEDS: Final[Mapping[str, tuple[int, int]]] = {
    "cbETH / ETH": (111 * 10**16, 18),
    "ezETH / ETH": (105 * 10**16, 18),
    "USDe": (10**8, 8),
}

# adapter, ratio now, ratio at the snapshot, growth per year in basis points; weETH stands above its cap
_RATIOS: Final[Mapping[str, tuple[str, int, int, int]]] = {
    "wstETH": ("RatioCapAdapter", 121 * 10**16, 1205 * 10**15, 968),
    "weETH": ("PlainRatioCapAdapter", 107 * 10**16, 1062 * 10**15, 875),
    "ezETH": ("FeedRatioCapAdapter", 0, 104 * 10**16, 1089),
}


@dataclass(frozen=True, slots=True)
class Assets:
    """Tokens ready for listing and the feeds that move their prices."""

    listings: tuple[Listing, ...]
    feeds: Mapping[str, str]  # feed name to proxy
    aggregators: Mapping[str, str]  # feed name to the settable feed behind the proxy


def compile_assets(toolchain: Toolchain) -> dict[str, Artifact]:
    """Compile our own tokens, feeds and adapters."""
    sources = {unit: (CONTRACTS / unit).read_text(encoding="utf-8") for unit in _UNITS}
    wanted = [f"{unit}:{name}" for unit, names in _UNITS.items() for name in names]
    return toolchain.compile(sources, wanted, what="tokens, feeds and adapters")


def deploy_assets(chain: Chain, toolchain: Toolchain, specs: Sequence[ReserveSpec]) -> Assets:
    """Deploy a token and a price source for each spec; the reserve ids are the positions in ``specs``."""
    return _AssetMaker(chain, compile_assets(toolchain)).make(specs)


class _AssetMaker:
    def __init__(self, chain: Chain, artifacts: Mapping[str, Artifact]) -> None:
        self.chain = chain
        self.artifacts = artifacts
        self.feeds: dict[str, str] = {}
        self.aggregators: dict[str, str] = {}
        self.now = int(chain.anvil.rpc("eth_getBlockByNumber", "latest", False)["timestamp"], 16)

    def make(self, specs: Sequence[ReserveSpec]) -> Assets:
        for spec in specs:
            if spec.wiring in ("feed", "stable_cap", "zero", "revert") and spec.base not in self.feeds:
                self._feed(spec.base, spec.price, 8, f"{spec.base} / USD")
        for name, (answer, decimals) in _OTHER_FEEDS.items():
            self._feed(name, answer, decimals, name if " / " in name else f"{name} / USD")
        listings = tuple(Listing(i, spec, self._token(spec), self._source(spec)) for i, spec in enumerate(specs))
        self.chain.flush()
        return Assets(listings, self.feeds, self.aggregators)

    def _deploy(self, name: str, types: str = "", *args: Any) -> str:
        return self.chain.deploy(self.artifacts[name], types, *args)

    def _feed(self, name: str, answer: int, decimals: int, description: str) -> None:
        self.aggregators[name] = self._deploy("PriceFeed", "int256,uint8,string", answer, decimals, description)
        self.feeds[name] = self._deploy("FeedProxy", "address", self.aggregators[name])

    def _token(self, spec: ReserveSpec) -> str:
        if spec.bytes32_symbol:
            return self._deploy("Bytes32Token", "bytes32,uint8", spec.symbol.encode().ljust(32, b"\0"), spec.decimals)
        return self._deploy("Token", "string,uint8", spec.symbol, spec.decimals)

    def _source(self, spec: ReserveSpec) -> str:
        if spec.wiring == "ratio_cap":
            return self._ratio_cap(spec)
        if spec.wiring == "principal":
            return self._principal(spec)
        description = f"{spec.key} / USD"
        match spec.wiring:
            case "stable_cap":
                terms = (self.feeds[spec.base], _STABLE_CAP, f"Capped {description}")
                return self._deploy("StableCapAdapter", "address,int256,string", *terms)
            case "peg_to_base":
                peg = (self.feeds["ETH"], self.feeds[spec.base], 8, description)
                return self._deploy("PegToBaseAdapter", "address,address,uint8,string", *peg)
            case "unknown":
                return self._deploy("UnknownAdapter", "int256", spec.price)
            case "hidden":
                return self._deploy("HiddenAdapter", "address,int256", self.feeds[spec.base], 10_300)
            case "fixed":
                fixed = (DEPLOYER, 8, spec.price, f"Fixed {description}")
                return self._deploy("FixedPriceAdapter", "address,uint8,int256,string", *fixed)
            case "constant":
                return self._deploy("ConstantDollar")
            case _:
                return self.feeds[spec.base]

    def _ratio_cap(self, spec: ReserveSpec) -> str:
        adapter, ratio, snapshot, growth = _RATIOS[spec.key]
        provider = self._deploy("RatioProvider", "uint256", ratio) if ratio else self.feeds[f"{spec.key} / ETH"]
        description = f"Capped {spec.key} / ETH / USD"
        terms = (self.feeds[spec.base], provider, 18, snapshot, self.now - 30 * _DAY, growth, description)
        return self._deploy(adapter, _RATIO_CAP, terms)

    def _principal(self, spec: ReserveSpec) -> str:
        token = self._deploy("PrincipalToken", "uint256", self.now + 49 * _DAY)
        terms = (token, self.feeds[spec.base], 15 * 10**16, 40 * 10**16, f"{spec.key} linear discount")
        return self._deploy("PrincipalDiscountAdapter", "address,address,uint64,uint64,string", *terms)
