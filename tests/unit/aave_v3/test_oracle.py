"""From getters to expressions, names and graphs; ``tests/chain/test_oracle_map.py`` has the real contracts."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from scanner.protocols.aave_v3.oracle import stub_code
from scanner.protocols.aave_v3.oracle_graph import OracleReading, build_graph
from scanner.protocols.aave_v3.oracle_names import base_name, name_factors, stable_factors
from scanner.protocols.aave_v3.oracle_proof import tried
from scanner.protocols.aave_v3.oracle_wiring import Leaf, Source, expression
from scanner.risk.pricing import Cap, CapRatio, Constant, FeedAnswer, Quotient

NOW = 1_760_000_000


def feed(address: str, description: str, answer: int, updated_at: int | None = NOW) -> Source:
    return Source(address, {"latestAnswer": answer, "decimals": 8}, {}, description, updated_at)


def adapter(address: str, answer: int, links: Mapping[str, str], **numbers: int) -> Source:
    return Source(address, {"latestAnswer": answer, **numbers}, links, "adapter", None)


ETH = feed("eth", "ETH / USD", 2000)
USDC = feed("usdc", "USDC / USD", 100)
CAPO = {"getRatio": 12, "RATIO_DECIMALS": 1, "getSnapshotRatio": 20, "getSnapshotTimestamp": NOW - 10}
GROWTH = {"getMaxRatioGrowthPerSecondScaled": 7, "SCALING_FACTOR": 10}


def reading(prices: Mapping[str, int], tops: Mapping[str, str | None], *sources: Source, **more: Any) -> OracleReading:
    return OracleReading(
        oracle="oracle",
        timestamp=NOW,
        decimals=8,
        assets={key: f"asset of {key}" for key in prices},
        symbols={key: f"T{key}" for key in prices} | more.get("symbols", {}),
        prices=prices,
        tops=tops,
        sources={source.address: source for source in sources},
    )


def test_the_scaled_growth_wins_and_the_plain_one_serves() -> None:
    links = {"BASE_TO_USD_AGGREGATOR": "eth", "RATIO_PROVIDER": "token"}
    scaled = adapter("a", 1, links, **CAPO, **GROWTH, getMaxRatioGrowthPerSecond=5)
    plain = adapter("a", 1, links, **CAPO, getMaxRatioGrowthPerSecond=5)

    base = (FeedAnswer("eth"), Constant(12), 1, 20, NOW - 10)
    assert expression({"a": scaled, "eth": ETH}, "a", ())[0] == CapRatio(*base, 7, 10)
    assert expression({"a": plain, "eth": ETH}, "a", ())[0] == CapRatio(*base, 5, 1)


@pytest.mark.parametrize(("answer", "followed"), [(12, True), (13, False)])
def test_a_ratio_provider_is_followed_when_it_answers_the_ratio(answer: int, followed: bool) -> None:
    links = {"BASE_TO_USD_AGGREGATOR": "eth", "RATIO_PROVIDER": "ratio"}
    sources = {"a": adapter("a", 1, links, **CAPO, **GROWTH), "eth": ETH, "ratio": feed("ratio", "X / ETH", answer)}

    found, leaves = expression(sources, "a", ())

    assert found.feeds() == ({"eth", "ratio"} if followed else {"eth"})
    assert found.base_feed() == "eth"
    assert [leaves[a].role for a in sorted(leaves)] == (["base", "ratio"] if followed else ["base"])


@pytest.mark.parametrize(
    "numbers",
    [
        {"RATIO_DECIMALS": 10**6},
        {"getSnapshotRatio": -1},
        {"getSnapshotTimestamp": 2**200},
        {"SCALING_FACTOR": 0},
    ],
)
def test_nonsense_from_an_adapter_makes_it_unknown(numbers: dict[str, int]) -> None:
    links = {"BASE_TO_USD_AGGREGATOR": "eth", "RATIO_PROVIDER": "token"}
    source = adapter("a", 1, links, **{**CAPO, **GROWTH, **numbers})

    found, leaves = expression({"a": source, "eth": ETH}, "a", ())

    assert found == FeedAnswer("a")
    assert not leaves["a"].known


def test_adapters_in_a_circle_end_at_an_unknown_source() -> None:
    circle = {
        "a": adapter("a", 5, {"ASSET_TO_USD_AGGREGATOR": "b"}, getPriceCap=9),
        "b": adapter("b", 5, {"ASSET_TO_USD_AGGREGATOR": "a"}, getPriceCap=9),
    }

    found, leaves = expression(circle, "a", ())

    assert found == Cap(Cap(FeedAnswer("a"), 9), 9)
    assert not leaves["a"].known


def test_a_source_that_disagrees_with_its_getters_is_taken_as_it_answers() -> None:
    liar = adapter("liar", 77, {"ASSET_TO_USD_AGGREGATOR": "usdc"}, getPriceCap=90)
    graph = build_graph(reading({"0": 77, "1": 100}, {"0": "liar", "1": "usdc"}, liar, USDC), {})

    assert graph.prices == {"0": FeedAnswer("liar"), "1": FeedAnswer("usdc")}
    assert graph.reserve_factors() == {"0": "T0", "1": "USDC"}
    assert len(graph.warnings) == 1
    assert "liar" in graph.warnings[0]


def test_prices_without_a_source_of_their_own_are_held() -> None:
    dead = feed("dead", "DEAD / USD", 0)
    graph = build_graph(reading({"0": 55, "1": 10**8}, {"0": "dead", "1": None}, dead), {})

    assert graph.prices == {"0": Constant(55), "1": Constant(10**8)}
    assert graph.feeds == {}
    assert graph.reserve_factors() == {}
    assert [("dead" in w, "held fixed" in w) for w in graph.warnings] == [(True, True)]


def test_a_quotient_of_one_factor_becomes_its_own() -> None:
    links = {"ASSET_TO_PEG": "weth", "BASE_TO_PEG": "eth"}
    quotient = adapter("q", 100, links, DECIMALS=2)
    sources = (quotient, ETH, feed("weth", "WETH / USD", 2000))
    graph = build_graph(reading({"0": 100, "1": 2000}, {"0": "q", "1": "eth"}, *sources), {})

    assert expression({s.address: s for s in sources}, "q", ())[0] == Quotient(
        FeedAnswer("weth"), FeedAnswer("eth"), 100
    )
    assert graph.prices["0"] == FeedAnswer("q")
    assert graph.two_way() == []
    assert "both ways" in graph.warnings[0]


def test_the_reference_feed_is_the_factors_own_and_the_most_used() -> None:
    feeds = (feed("a", "WETH / USD", 2000), feed("b", "ETH / USD", 2001), feed("c", "ETH / USD", 2002))
    prices = {"0": 2000, "1": 2001, "2": 2002, "3": 2002}
    graph = build_graph(reading(prices, {"0": "a", "1": "b", "2": "c", "3": "c"}, *feeds), {})

    assert [f.address for f in graph.factors()["ETH"]] == ["c", "b", "a"]


def names(*leaves: tuple[str, str, bool, str], owners: Mapping[str, str] | None = None) -> list[str]:
    found = name_factors(
        [Leaf(address, "ratio" if role == "ratio" else "base", known) for address, _, known, role in leaves],
        {address: description for address, description, _, _ in leaves},
        owners or {},
    )
    return [found[address].factor for address, *_ in leaves]


def test_descriptions_name_factors() -> None:
    assert names(
        ("1", "ETH / USD", True, "base"),
        ("2", "weth / USD", True, "base"),
        ("3", "cbBTC / USD", True, "base"),
        ("4", "BTC/USD", True, "base"),
        ("5", "stETH / ETH", True, "ratio"),
        ("6", "STETH / USD", True, "base"),
    ) == ["ETH", "ETH", "BTC", "BTC", "stETH/ETH", "STETH"]


def test_an_unknown_source_never_joins_a_factor() -> None:
    first, second, third = names(
        ("0x1111111111", "ETH / USD", False, "base"),
        ("0x2222222222", "", True, "base"),
        ("0x3333333333", "ETH / USD", True, "base"),
        owners={"0x1111111111": "ETH", "0x2222222222": "eth"},
    )

    assert third == "ETH"
    assert len({first.casefold(), second.casefold(), "eth"}) == 3


def test_names_from_contracts_are_made_printable_and_short() -> None:
    assert base_name("\x1b[31mEVIL\x07\u202e / USD").isprintable()
    assert len(base_name("A" * 10_000)) <= 32
    assert base_name(" / USD") == ""


def test_stablecoins_are_a_group() -> None:
    assert stable_factors(["ETH", "USDC", "crvUSD"]) == ("USDC", "crvUSD")


def test_a_stub_jumps_to_its_blocks_and_holds_negative_answers() -> None:
    code = stub_code(-3, 8, NOW)
    targets = [int.from_bytes(code[i + 8 : i + 10], "big") for i in range(6, 6 + 5 * 11, 11)]

    assert [code[target] for target in targets] == [0x5B] * 5
    assert (2**256 - 3).to_bytes(32, "big") in code


@pytest.mark.parametrize(
    ("answer", "answers"),
    [(1, (1, 1, 1, 1, 2)), (3, (1, 2, 2, 3, 6)), (10**30, tuple(n * 10**28 for n in (50, 90, 99, 110, 200)))],
)
def test_a_feed_is_tried_near_and_far_both_ways_and_stays_positive(answer: int, answers: tuple[int, ...]) -> None:
    assert tried(answer) == answers
