"""Options from Python: what stands for what, and what cannot be meant."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import scanner
from scanner import ScanOptions
from scanner.errors import ConfigError

ACCOUNT = "0x" + "aB" * 20


def test_texts_stand_for_paths() -> None:
    options = ScanOptions(index_file="i", record="a.rec", replay=Path("b.rec"))

    assert (options.index_file, options.record, options.replay) == (Path("i"), Path("a.rec"), Path("b.rec"))
    assert ScanOptions().replay is None


def test_a_single_text_stands_for_a_list_of_one() -> None:
    options = ScanOptions(rpc_urls="http://node", markets="spark", only=ACCOUNT, factors={"ETH": "WETH"})

    assert (options.rpc_urls, options.markets) == (("http://node",), ("spark",))
    assert options.factors == {"ETH": ("WETH",)}
    assert options.only == (ACCOUNT.lower(),)
    assert ScanOptions(only=[ACCOUNT, ACCOUNT.lower()]).only == (ACCOUNT.lower(),)


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"verify": "sampel"}, "verify='sampel': did you mean 'sample'?"),
        ({"extent": "all"}, "extent='all': known: accounts, factor, factors, points"),
        ({"by": "assets"}, "did you mean 'asset'?"),
        ({"from_block": -1}, "no negative number: --from-block -1"),
        ({"only": ["0x12"]}, "0x12 is not an address"),
        ({"bands": "5"}, "a bare number may mean anything"),
        ({"for_timestamp": "soon"}, "give [+]12s"),
        ({"market": "spark"}, "no option 'market'; did you mean 'markets'?"),
        ({}, "no RPC URL: give rpc_urls="),
        ({"rpc_urls": ["http://a", "http://b"]}, "2 RPC URLs were given"),
    ],
)
def test_what_cannot_be_meant_is_refused(wrong: dict[str, Any], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        scanner.scan(**wrong)
