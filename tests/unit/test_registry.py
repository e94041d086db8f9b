"""The registry and the listed markets."""

from __future__ import annotations

from typing import Any

import pytest

from scanner.errors import UnknownProtocolError
from scanner.protocols.aave_v3.protocol import AaveV3
from scanner.protocols.registry import REGISTRY, by_slug, find_protocol
from tests.unit.aave_v3.shared import recorded


def test_a_protocol_is_found_by_its_slug() -> None:
    assert find_protocol("aave-v3").slug == "aave-v3"
    with pytest.raises(UnknownProtocolError, match="did you mean 'aave-v3'"):
        find_protocol("aave-v4")


def test_two_protocols_with_one_slug_are_refused() -> None:
    with pytest.raises(ValueError, match="two protocols"):
        by_slug([AaveV3(), AaveV3()])


@pytest.mark.parametrize("slug", list(REGISTRY))
def test_listed_markets_are_well_formed(slug: str) -> None:
    deployments = REGISTRY[slug].deployments

    assert len({d.name for d in deployments}) == len(deployments)
    assert len({(d.chain_id, d.root) for d in deployments}) == len(deployments)
    for deployment in deployments:
        assert deployment.root == "0x" + bytes.fromhex(deployment.root[2:]).hex()
        assert len(deployment.root) == 42
        assert deployment.first_block > 0


def test_listed_markets_are_those_of_the_address_books() -> None:
    book = recorded("addresses.json")
    listed = {d.name: d for d in AaveV3().deployments}
    chains: dict[str, Any] = book["aave_v3"]["markets"]
    expected = {name: (m["chainId"], m["poolAddressesProvider"], m["providerBlock"]) for name, m in chains.items()}
    expected["ethereum-core"] = expected.pop("ethereum")
    for name, market in book["aave_v3"]["other_ethereum_markets"].items():
        short = name.removeprefix("AaveV3Ethereum").lower()
        expected[f"ethereum-{short}"] = (1, market["poolAddressesProvider"], chains["ethereum"]["providerBlock"])
    spark = book["spark"]["ethereum"]
    expected["spark"] = (1, spark["poolAddressesProvider"], spark["providerBlock"])

    assert {name: (d.chain_id, d.root, d.first_block) for name, d in listed.items()} == {
        name: (chain, root.lower(), block) for name, (chain, root, block) in expected.items()
    }
