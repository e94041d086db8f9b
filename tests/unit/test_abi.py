"""ABI fragments: selectors, types, and where they are found."""

from __future__ import annotations

from pathlib import Path

import pytest

from scanner.chain.interface import Call
from scanner.errors import DecodeError
from scanner.protocols.abi import load_contract

TARGET = "0x" + "ab" * 20


def test_calldata_is_selector_and_words() -> None:
    call = load_contract("aave_v3", "token").call(TARGET, "scaledBalanceOf", TARGET)

    assert call == Call(TARGET, bytes.fromhex("1da24f3e" + "00" * 12 + "ab" * 20))


def test_structs_are_written_as_their_components() -> None:
    reserve = load_contract("aave_v3", "pool").functions["getReserveData"]

    assert reserve.selector.hex() == "35ea6a75"
    assert reserve.outputs[0].startswith("((uint256),uint128,")


def test_the_borrow_topic_is_that_of_aave_v3() -> None:
    topic = "0xb3d084820fb1a9decffb176436bd02558d15fac9b0ddfed8c465bc7359d7dce0"

    assert load_contract("aave_v3", "pool").topics == {"Borrow": topic}


def test_an_answer_of_another_shape_is_refused() -> None:
    with pytest.raises(DecodeError, match=r"scaledTotalSupply\(\) is not uint256: 31 bytes"):
        load_contract("aave_v3", "token").functions["scaledTotalSupply"].decode(bytes(31))


def test_a_missing_fragment_is_named() -> None:
    with pytest.raises(FileNotFoundError, match=r"abis/aave_v3/nothing\.json"):
        load_contract("aave_v3", "nothing")


def test_every_fragment_loads_and_has_its_source() -> None:
    folder = Path(__file__).parents[2] / "abis"
    sources = (folder / "SOURCES.md").read_text(encoding="utf-8")

    for path in folder.glob("*/*.json"):
        assert load_contract(path.parent.name, path.stem).functions
        assert path.name in sources
