"""What-ifs: how they are written, what they refuse, and that nothing changes where nothing is changed."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from fractions import Fraction
from functools import cache
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from scanner.cli import run
from scanner.compare import changed_accounts, impact_of, impact_table
from scanner.errors import ConfigError
from scanner.export.schemas import load
from scanner.options import ScanOptions
from scanner.pipeline import Scanned, rescanned, scan_read
from scanner.protocols.aave_v3.detail import AaveDetail
from scanner.protocols.aave_v3.rules import AaveRules
from scanner.whatif import Setting, Shock, WhatIf, changed, changed_all, parse_whatif
from scanner.whatif_parts import said

ROOT = Path(__file__).parents[2]
RECORDINGS = {"3.6": ROOT / "scanner/demo/aave-v3.6.rec", "3.0": ROOT / "tests/recordings/aave-v3.0.rec"}
OPTIONS = ScanOptions(replay=RECORDINGS["3.6"], verify="none", extent="factor", factor="LINK")


@cache
def scanned(kind: str = "3.6") -> Scanned:
    return scan_read(replace(OPTIONS, replay=RECORDINGS[kind]))


def test_what_ifs_are_read_as_they_are_written() -> None:
    what = parse_whatif(
        ["ETH=-10%,BTC=+6.5%", "wstETH / ETH=-2.85%", "LINK=12.5usd"],
        ["USDC=76%, LINK=-1.25%"],
        ["0xA0b86991c6218b36c1d19D4a2e9Eb0cE3606eB48=5%"],
        ["1:lt=92%,2:bonus=+0.5%"],
        "+30d",
    )

    assert what == WhatIf(
        shocks=(
            Shock("ETH", Fraction(9, 10)),
            Shock("BTC", Fraction(1065, 1000)),
            Shock("wstETH/ETH", Fraction(9715, 10_000)),
            Shock("LINK", price_usd=Fraction(25, 2)),
        ),
        thresholds=(Setting("USDC", 7600), Setting("LINK", -125, relative=True)),
        bonuses=(Setting("0xA0b86991c6218b36c1d19D4a2e9Eb0cE3606eB48", 500),),
        emode_thresholds=(Setting("1", 9200),),
        emode_bonuses=(Setting("2", 50, relative=True),),
        seconds=30 * 86_400,
    )
    assert not parse_whatif()
    assert [shock.text for shock in what.shocks] == ["ETH=-10%", "BTC=+6.5%", "wstETH/ETH=-2.85%", "LINK=12.5usd"]


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"shock": ["ETH"]}, "give it as ETH=-10%"),
        ({"shock": ["ETH=10%"]}, "Give ETH=-10% or ETH=\\+10%"),
        ({"shock": ["ETH=-10"]}, "a unit is missing"),
        ({"shock": ["ETH=-100%"]}, "less than 100%"),
        ({"shock": ["ETH=+20000%"]}, "at most"),
        ({"shock": ["ETH=0usd"]}, "no price"),
        ({"shock": ["ETH=-5%,"]}, "give it as"),
        ({"shock": ["ETH=-5%", "ETH=-6%"]}, "ETH is given twice"),
        ({"set_lt": ["USDC"]}, "USDC=76%"),
        ({"set_lt": ["USDC=76"]}, "percentage"),
        ({"set_lt": ["USDC=76.123%"]}, "basis points"),
        ({"set_lt": ["USDC=76%,USDC=+1%"]}, "given twice"),
        ({"set_bonus": ["USDC=1e9%"]}, "percentage"),
        ({"set_emode": ["lt=92%"]}, "1:lt=92%"),
        ({"set_emode": ["1:ltv=92%"]}, "1:lt=92%"),
        ({"time": "30d"}, "\\+30d"),
        ({"time": "+4000d"}, "ten years"),
    ],
)
def test_what_is_no_what_if_says_what_to_give(given: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        parse_whatif(**given)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"shock": ["ETHH=-5%"]}, "did you mean 'ETH'"),
        ({"shock": ["eth=-5%"]}, "did you mean 'ETH'"),
        ({"shock": ["WETH=-5%"]}, "follows ETH, give that"),
        ({"shock": ["EURF=-5%"]}, "fixed"),
        ({"shock": ["WETH/ETH=-5%"]}, "no ratio 'WETH/ETH'"),
        ({"shock": ["wstETH/BTC=-5%"]}, "wstETH/ETH=-5%"),
        ({"shock": ["wstETH/ETH=1usd"]}, "no price in dollars"),
        ({"shock": ["stables=-1%,USDC=-2%"]}, "two shocks move the feed 'USDC / USD'"),
        ({"shock": ["wstETH/ETH=-1%,1/ETH=-2%"]}, "two shocks move the ratio of 'wstETH'"),
        ({"shock": ["USDC=-99.9999999%"]}, "would be zero"),
        ({"set_lt": ["USDCC=76%"]}, "did you mean 'USDC'"),
        ({"set_lt": ["LDO=40%"]}, "reserves 20 and 21"),
        ({"set_lt": ["USDC=76%,6=75%"]}, "set twice"),
        ({"set_lt": ["USDC=96%"]}, "may not be above 100 %"),
        ({"set_lt": ["USDC=101%"]}, "up to 100 %"),
        ({"set_lt": ["USDC=0%"]}, "while anybody supplies it"),
        ({"set_lt": ["USDC=-90%"]}, "threshold of -12 %"),
        ({"set_bonus": ["USDC=0%"]}, "above 0 %"),
        ({"set_bonus": ["GHO=5%"]}, "set both"),
        ({"set_emode": ["9:lt=92%"]}, "known: 1, 2, 3"),
    ],
)
def test_what_cannot_be_names_the_rule_or_what_was_meant(given: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        rescanned(scanned(), parse_whatif(**given), OPTIONS)


def test_up_to_v31_a_category_stays_above_its_reserves() -> None:
    what = parse_whatif(set_lt=["WETH=95%"], set_emode=["1:lt=95%"])
    with pytest.raises(ConfigError, match="95 % that is not above the 95 % of its reserve 'WETH'"):
        changed(scanned("3.0").reads[0], what)


@pytest.mark.parametrize("kind", RECORDINGS)
def test_no_change_is_the_scan_itself(kind: str) -> None:
    before, options = scanned(kind), replace(OPTIONS, replay=RECORDINGS[kind])
    read = before.reads[0]
    symbol = read.market.reserves["symbol"][0]
    same = WhatIf(
        shocks=(Shock("ETH", Fraction(1)), Shock("wstETH/ETH", Fraction(1))), thresholds=(Setting(symbol, 0, True),)
    )

    for what in (WhatIf(), same):
        after = rescanned(before, what, options)
        for name, frame in before.result.frames.items():
            assert frame.equals(after.result.frames[name]), name
        assert after.result.factors == before.result.factors
        assert after.result.warnings == before.result.warnings
        assert after.result.markets == before.result.markets
        assert impact_of(before.result, after.result).accounts == 0
    assert changed(read, WhatIf()) is read


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.integers(-6000, 6000), st.integers(-6000, 6000), st.integers(0, 400 * 86_400))
def test_prices_follow_feeds_and_time_as_the_oracle_would(eth: int, ratio: int, seconds: int) -> None:
    read = scanned().reads[0]
    what = WhatIf(
        (Shock("ETH", 1 + Fraction(eth, 10_000)), Shock("wstETH/ETH", 1 + Fraction(ratio, 10_000))), seconds=seconds
    )

    after = changed(read, what)

    answer = read.graph.members("ETH")[0].answer * (10_000 + eth) // 10_000
    growth = read.graph.prices["1"]
    moved, time = 121 * 10**16 * (10_000 + ratio) // 10_000, read.market.timestamp + seconds
    assert after.market.answers["0"] == answer
    assert after.market.answers["1"] == answer * min(moved, growth.cap(time)) // 10**18  # type: ignore[attr-defined]
    assert after.market.answers.keys() == read.market.answers.keys()
    assert after.market.timestamp == after.rules.timestamp == after.graph.timestamp == time
    assert after.positions is read.positions
    assert after.totals is read.totals


def test_a_what_if_says_so_and_claims_no_verification() -> None:
    before = scanned()
    marked = replace(before.result.markets[0], verified_accounts=9, mismatches=("0xdead",))
    before = replace(before, result=replace(before.result, markets=(marked,)))
    what = parse_whatif(["ETH=-10%"], ["USDC=76%"], set_emode=["1:lt=94%"], time="+30d")

    result = rescanned(before, what, OPTIONS).result

    assert [line.partition(" (2025")[0] for line in result.snapshot.what_if] == [
        "ETH -10% (2,100 → 1,890)",
        "USDC liquidation threshold 78% → 76%",
        "e-mode 1 (ETH correlated) liquidation threshold 95% → 94%",
        "time +30d",
    ]
    assert result.snapshot.block_hash == before.result.snapshot.block_hash
    assert result.markets[0].verified_accounts == 1
    assert not result.trustworthy  # what differed from the contract before differs after
    assert rescanned(scanned(), what, OPTIONS).result.markets[0].verified_accounts == 0


def test_a_time_asked_for_counts_from_that_of_the_what_if() -> None:
    what, block = parse_whatif(time="+30d"), scanned().result.snapshot.block_timestamp

    def until(text: str) -> int:
        result = rescanned(scanned(), what, replace(OPTIONS, for_timestamp=text)).result
        return int(result.frames["liquidation_points"]["for_timestamp"].drop_nulls()[0])

    assert until("+12s") == block + 30 * 86_400 + 12
    assert until(str(block + 31 * 86_400)) == block + 31 * 86_400
    with pytest.raises(ConfigError, match="is before the time that is computed at"):
        until(str(block + 86_400))


def test_two_markets_share_shocks_and_no_parameters() -> None:
    one = scanned().reads[0]
    other = replace(one, market=replace(one.market, name="other", reserves=one.market.reserves.head(0)))

    both = changed_all([one, one], parse_whatif(["ETH=-10%"]))
    assert [read.market.answers["0"] for read in both] == [1_890 * 10**8] * 2
    with pytest.raises(ConfigError, match="in 2 of the 2 markets"):
        changed_all([one, one], parse_whatif(set_lt=["USDC=76%"]))
    with pytest.raises(ConfigError, match="in none of the 2 markets"):
        changed_all([one, one], parse_whatif(set_lt=["FOO=76%"]))
    assert said([one, other], parse_whatif(set_lt=["USDC=76%"])) == ("USDC liquidation threshold 78% → 76%",)
    with pytest.raises(ConfigError, match="did you mean 'ETH'"):
        changed_all([one, one], parse_whatif(["ETHH=-10%"]))


def rows(compare: Callable[[pl.DataFrame], pl.DataFrame], result: Any) -> set[str]:
    return set(compare(result.frames["accounts"])["position"])


def test_accounts_are_compared_by_what_they_were_and_are() -> None:
    before = scanned()
    after = rescanned(before, parse_whatif(["ETH=-10%"]), OPTIONS)

    table = changed_accounts(before.result, after.result)

    hurt = [
        rows(lambda f: f.filter(pl.col("status").is_in(["liquidatable", "blocked"])), one.result)
        for one in (before, after)
    ]
    by = {name: set(part["position"]) for (name,), part in table.partition_by("change", as_dict=True).items()}
    assert by["newly"] == hurt[1] - hurt[0]
    assert by["still"] == hurt[0] & hurt[1]
    assert by.get("no_longer", set()) == hurt[0] - hurt[1]
    assert len(by["newly"]) > 50
    newly = table.filter(change="newly")
    assert newly["debt_usd"].is_sorted(descending=True)
    assert (newly["health_factor_before"] >= 1).all()
    assert (newly["health_factor"] < 1).all()
    total = impact_of(before.result, after.result)
    assert total.accounts == newly.height
    assert total.seized_usd == pytest.approx(newly["seize_usd"].sum())
    assert total.seized_usd > total.repaid_usd > 0  # type: ignore[operator]


def test_the_table_has_each_change_alone_and_all_together() -> None:
    what = parse_whatif(["ETH=-5%"], ["WETH=-1%", "USDC=76%"], ["USDC=5%"], ["1:lt=94%"], "+30d")

    table = impact_table(scanned(), what, OPTIONS)

    assert [row.name.partition(" (2")[0] for row in table] == [
        "ETH -5%",
        "WETH",
        "USDC",
        "e-mode 1 (ETH correlated)",
        "time +30d",
        "all together",
    ]
    usdc = table[2].part
    assert usdc is not None
    assert (usdc.threshold, usdc.bonus, usdc.reserve) == ((7800, 7600), (450, 500), "6")
    counts = [row.impact.accounts for row in table if row.impact is not None]
    assert counts[-1] >= max(counts)
    assert len(impact_table(scanned(), parse_whatif(set_lt=["WETH=-1%"]), OPTIONS)) == 1
    assert impact_table(scanned(), WhatIf(), OPTIONS) == ()


def test_a_change_that_cannot_be_alone_says_why() -> None:
    """On v3.0 a category's threshold has to be above those of its reserves."""
    before = scanned("3.0")
    read = before.reads[0]
    detail = read.market.detail
    assert isinstance(detail, AaveDetail)
    modes = {**detail.emodes, 1: replace(detail.emodes[1], ltv_bps=7000)}
    rules = AaveRules(replace(detail, emodes=modes), read.market.timestamp)
    before = replace(before, reads=(replace(read, rules=rules),))
    what = parse_whatif(set_lt=["WETH=81%"], set_emode=["1:lt=82%"])

    alone, refused, together = impact_table(before, what, replace(OPTIONS, replay=RECORDINGS["3.0"]))

    assert "not above the 83 % of its reserve 'WETH'" in refused.refused
    assert refused.impact is None
    assert alone.impact is not None
    assert together.impact is not None
    assert together.impact.accounts > alone.impact.accounts


@pytest.mark.parametrize("command", ["scan", "accounts"])
def test_the_program_draws_and_writes_a_what_if(command: str, capfd: pytest.CaptureFixture[str]) -> None:
    what = ["--shock", "ETH=-10%,BTC=-6%", "--shock", "wstETH/ETH=-2.85%", "--set-lt", "LINK=-1%", "--time", "+1h"]
    at = [command, "--replay", str(RECORDINGS["3.6"]), "--verify", "none", "--no-progress", *what]

    assert run(at) == 0
    drawn = capfd.readouterr().out
    assert run([*at, "--format", "json"]) == 0
    document = json.loads(capfd.readouterr().out)

    Draft202012Validator(load(command)).validate(document)
    lines = document["snapshot"]["what_if"]
    assert [line.split()[0] for line in lines] == ["ETH", "BTC", "wstETH/ETH", "LINK", "time"]
    words = " ".join(drawn.split())
    assert "what if ETH -10% (2,100 → 1,890); BTC -6%" in words
    assert "ETH $1,890.00" in words


def test_a_wrong_what_if_is_told_before_anything_is_read(capfd: pytest.CaptureFixture[str]) -> None:
    assert run(["scan", "--rpc-url", "http://127.0.0.1:9", "--shock", "ETH=10%"]) == 2
    assert "up or down" in capfd.readouterr().err
