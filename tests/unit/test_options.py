"""Options from Python: what stands for what, and what cannot be meant."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import scanner
from scanner import ScanOptions
from scanner.errors import ConfigError
from scanner.options import parse_duration, parse_timestamp

ACCOUNT = "0x" + "aB" * 20
BLOCK = 1_760_000_000


def test_texts_stand_for_paths() -> None:
    options = ScanOptions(index_file="i", record="a.rec", replay=Path("b.rec"))

    assert (options.index_file, options.record, options.replay) == (Path("i"), Path("a.rec"), Path("b.rec"))
    assert ScanOptions().replay is None


def test_no_url_is_shown() -> None:
    assert "k3y" not in repr(ScanOptions(rpc_urls=["http://node/k3y"]))


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
        ({"rpc_urls": ["http://a/k", "http://a/k"]}, "a is given twice with the same RPC URL"),
        ({"quorum": 0}, "quorum 0: at least one endpoint has to answer"),
        ({"prove": "most"}, "prove='most': known: all, none, sample"),
        ({"time_limit": "soon"}, "--time-limit soon: give a time such as 90s, 10m or 1h"),
    ],
)
def test_what_cannot_be_meant_is_refused(wrong: dict[str, Any], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        scanner.scan(**wrong)


@pytest.mark.parametrize(
    ("text", "wanted"),
    [(None, BLOCK), ("+12s", BLOCK + 12), ("+5m", BLOCK + 300), ("+30d", BLOCK + 2_592_000), ("1760000001", BLOCK + 1)],
)
def test_times_are_read(text: str | None, wanted: int) -> None:
    assert parse_timestamp(text, BLOCK) == wanted


@pytest.mark.parametrize("text", ["12s", "+12", "-5m", "²", "+²d", "+99999999999d", "99999999999999", "1759999999", ""])
def test_times_that_mean_nothing_are_refused(text: str) -> None:
    with pytest.raises(ConfigError, match="--for-timestamp"):
        parse_timestamp(text, BLOCK)


@pytest.mark.parametrize(
    ("text", "seconds"), [(None, None), ("90s", 90), ("10m", 600), ("1h", 3600), ("1.5h", 5400), ("45", 45), (2.5, 2.5)]
)
def test_durations_are_read(text: str | float | None, seconds: float | None) -> None:
    assert parse_duration(text) == seconds


@pytest.mark.parametrize("text", ["", "0", "0s", "-5m", "+5m", "5d", "five", "5 m", "inf", "nan", "1e9", "²s"])
def test_durations_that_mean_nothing_are_refused(text: str) -> None:
    with pytest.raises(ConfigError, match="--time-limit"):
        parse_duration(text)
