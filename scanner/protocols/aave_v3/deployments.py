"""Listed Aave v3 markets; where the facts come from is in ``abis/SOURCES.md``. Data only."""

from __future__ import annotations

from typing import Final

from scanner.protocols.interface import Deployment

__all__ = ["DEPLOYMENTS"]

_ETHEREUM: Final = 16_291_071
"""Block of the core market's provider; the later Ethereum markets start no earlier."""

DEPLOYMENTS: Final = (
    Deployment(1, "ethereum", "ethereum-core", "0x2f39d218133afab8f2b819b1066c7e434ad94e9e", _ETHEREUM),
    Deployment(1, "ethereum", "ethereum-lido", "0xcfbf336fe147d643b9cb705648500e101504b16d", _ETHEREUM),
    Deployment(1, "ethereum", "ethereum-etherfi", "0xeba440b438ad808101d1c451c1c5322c90befcda", _ETHEREUM),
    Deployment(1, "ethereum", "ethereum-horizon", "0x5d39e06b825c1f2b80bf2756a73e28efaa128ba0", _ETHEREUM),
    Deployment(1, "ethereum", "spark", "0x02c3ea4e34c0cbd694d2adfa2c690eecbc1793ee", 16_776_389),
    Deployment(42161, "arbitrum", "arbitrum", "0xa97684ead0e402dc232d5a977953df7ecbab3cdb", 7_736_680),
    Deployment(8453, "base", "base", "0xe20fcbdbffc4dd138ce8b2e6fbb6cb49777ad64d", 2_357_105),
    Deployment(10, "optimism", "optimism", "0xa97684ead0e402dc232d5a977953df7ecbab3cdb", 4_365_470),
    Deployment(137, "polygon", "polygon", "0xa97684ead0e402dc232d5a977953df7ecbab3cdb", 25_824_394),
)
