"""Limits: what a file and a command line say, and what is refused."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Any

import pytest

from scanner.config import load_file
from scanner.errors import ConfigError
from scanner.limits import Allowed, At, AtLimit, Limits, Tolerance, limits_of, merged, parse_limits

DOCS = Path(__file__).parent.parent.parent / "docs" / "checks.md"
FALL = At("ETH", "-5%")


def test_the_example_of_the_docs_is_what_the_program_reads(tmp_path: Path) -> None:
    alone, more = re.findall(r"```toml\n(.*?)```", DOCS.read_text(encoding="utf-8"), re.DOTALL)
    text = more.replace("[check.baseline]", alone.removeprefix("[check]\n") + "[check.baseline]")
    file = tmp_path / "liqbands.toml"
    file.write_text(text)
    limits = parse_limits(load_file(file).check)
    assert limits.max_new_liquidatable == 0
    assert limits.max_liquidatable == 25
    assert limits.max_unpriced_debt == Allowed(usd=10_000.0)
    assert limits.require_verified == 200
    assert limits.max_seizable == (
        AtLimit(At(), Allowed(usd=1e6)),
        AtLimit(FALL, Allowed(usd=5e7)),
        AtLimit(At("BTC", "-5%"), Allowed(share=0.02)),
    )
    assert limits.max_bad_debt == (AtLimit(At("ETH", "-30%"), Allowed(usd=0.0)),)
    assert limits.baseline[0] == Tolerance("accounts", share=0.1)
    assert limits.baseline[3] == Tolerance("liquidatable", number=10.0)
    assert set(limits.places) == {FALL, At("BTC", "-5%"), At("ETH", "-30%")}
    table = tomllib.loads(text)["check"]
    assert set(table) >= set(Limits.__dataclass_fields__) - {"require_complete"}
    assert all(f"`{name}`" in DOCS.read_text() for name in table if name != "require_complete")


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ({"max_new_liquidatible": 0}, "unknown key 'max_new_liquidatible'.*did you mean 'max_new_liquidatable'"),
        ({"max_new_liquidatable": -1}, "no number of accounts is below 0"),
        ({"max_new_liquidatable": "0"}, "max_new_liquidatable: give a whole number, not text"),
        ({"max_seizable": "50M"}, r"write \[check.max_seizable\]"),
        ({"max_seizable": {"ETH": "50M"}}, "a factor and its move with a sign"),
        ({"max_seizable": {"ETH:5%": "50M"}}, "a factor and its move with a sign"),
        ({"max_seizable": {"ETH:-0%": "50M"}}, "a move of nothing"),
        ({"max_seizable": {"ETH:-100%": "50M"}}, "less than 100 %"),
        ({"max_seizable": {"ETH:-5%": "100%"}}, "can never be broken"),
        ({"max_seizable": {"ETH:-5%": -1}}, "0 or more"),
        ({"max_seizable": {"ETH:-5%": float("nan")}}, "finite"),
        ({"max_seizable": {"ETH:-5%": float("inf")}}, "finite"),
        ({"max_seizable": {"ETH:-5%": True}}, "max_seizable: give a number or text, not true"),
        ({"max_seizable": {"ETH:-5%": "50 apples"}}, "give dollars"),
        ({"max_seizable": {"ETH:-5%": 1, "ETH: -5.0%": 2}}, "is there twice"),
        ({"max_bad_debt": {"ETH:-30%": "1%"}}, "in dollars"),
        ({"require_verified": "some"}, "a number of accounts"),
        ({"require_verified": -3}, "a number of accounts"),
        ({"baseline": {"debts": "5%"}}, "unknown key 'debts'.*did you mean 'debt'"),
        ({"baseline": 5}, r"write \[check.baseline\]"),
        ({"baseline": {"debt": "-5%"}}, "give dollars"),
    ],
)
def test_impossible_limits_are_refused_with_what_to_write(table: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message) as told:
        parse_limits(table, "my.toml")
    assert str(told.value).startswith("my.toml: ")


@pytest.mark.parametrize(
    ("text", "usd"), [("0", 0.0), ("$1,500", 1500.0), ("2.5k", 2500.0), ("50M", 5e7), ("1b", 1e9), ("1_000", 1000.0)]
)
def test_amounts(text: str, usd: float) -> None:
    assert limits_of(max_unpriced_debt=text).max_unpriced_debt == Allowed(usd=usd)


def test_a_limit_is_written_as_it_can_be_read_again() -> None:
    for text in ("ETH:-5%=50M", "now=0", "ETH+LST:+2.5%=1.5%", "wstETH/ETH:-2.85%=1234.5"):
        (limit,) = limits_of(max_seizable=[text]).max_seizable
        assert limits_of(max_seizable=[f"{limit.at}={limit.allowed}"]).max_seizable == (limit,)
    assert limits_of(max_seizable=["ETH:−5%=1"]).places == (FALL,)
    assert FALL.shock == "ETH=-5%"
    assert FALL.ratio == pytest.approx(0.95)


def test_the_command_line_stands_in_for_the_file() -> None:
    file = parse_limits({"max_liquidatable": 5, "max_seizable": {"ETH:-5%": 1, "now": 2}, "baseline": {"debt": 1}})
    both = merged(file, limits_of(max_liquidatable=0, max_seizable=["ETH:-5%=9"]))
    assert both.max_liquidatable == 0
    assert both.max_seizable == (AtLimit(FALL, Allowed(usd=9.0)), AtLimit(At(), Allowed(usd=2.0)))
    assert both.baseline == file.baseline
    assert not Limits()
    assert not Limits(require_complete=False)
    assert both


def test_a_place_without_an_amount_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"ETH:-5%=50M"):
        limits_of(max_seizable=["ETH:-5%"])


@pytest.mark.parametrize("places", [["now=1M", "now=2M"], ["ETH:-5%=1", "ETH: -5.0%=2"]])
def test_a_place_that_is_given_twice_is_refused(places: list[str]) -> None:
    with pytest.raises(ConfigError, match="twice"):
        limits_of(max_seizable=places)


@pytest.mark.parametrize("text", ["1,5M", "0,5M", "2,5", "1_00k", "1,0000", "12,34,567"])
def test_a_comma_is_no_decimal_point(text: str) -> None:
    with pytest.raises(ConfigError, match="give dollars such as"):
        limits_of(max_seizable=[f"now={text}"])
    assert limits_of(max_seizable=["now=1,234,567.5"]).max_seizable[0].allowed.usd == 1_234_567.5
