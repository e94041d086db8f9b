"""What a stream writes of made-up results: whole lines, nothing lost, nothing removed that was only not read."""

from __future__ import annotations

import json
from dataclasses import replace
from fractions import Fraction
from typing import Any

import polars as pl
import pytest
from jsonschema import Draft202012Validator

from scanner.errors import ConfigError
from scanner.export import schemas
from scanner.export.stream import Ledger, parse_change, reorg_line
from scanner.results import ScanResult
from tests.unit.render import sample

SCAN = sample.scan()
INDEBTED = SCAN.frames["accounts"].filter(pl.col("status") != "no_debt")


def lines(parts: Any) -> list[dict[str, Any]]:
    text = b"".join(parts)
    assert text.endswith(b"\n")
    found = [json.loads(line) for line in text.splitlines()]
    validator = Draft202012Validator(schemas.load("stream"))
    for line in (*found[:4], *found[-4:]):
        validator.validate(line)
    return found


def kinds(parts: Any) -> list[str]:
    return [line.get("event") or line["kind"] for line in lines(parts)]


def with_accounts(accounts: pl.DataFrame, result: ScanResult = SCAN) -> ScanResult:
    return replace(result, frames={**result.frames, "accounts": accounts})


def moved(wad: int) -> ScanResult:
    """Give the first healthy account another health factor."""
    healthy = INDEBTED.filter(pl.col("status") == "healthy")["position"][0]
    new = pl.when(pl.col("position") == healthy).then(pl.lit(str(wad))).otherwise("health_factor_wad")
    return with_accounts(SCAN.frames["accounts"].with_columns(new.alias("health_factor_wad")))


def test_a_stream_starts_with_everything_and_goes_on_with_nothing() -> None:
    ledger = Ledger()
    assert kinds(ledger.start(SCAN)) == ["snapshot", *["upsert"] * INDEBTED.height, "end"]
    assert kinds(ledger.block(SCAN)) == ["block", "end"]
    assert lines(ledger.block(SCAN))[-1]["account_count"] == INDEBTED.height
    assert kinds(Ledger().base(SCAN)) == ["base", "end"]
    assert kinds(Ledger().start(sample.nothing(SCAN))) == ["snapshot", "end"]
    assert kinds([reorg_line(1, None, None, "0x" + "0" * 64)]) == ["reorg"]


def test_hostile_symbols_make_no_lines() -> None:
    parts = b"".join(Ledger().start(sample.hostile(SCAN)))
    assert b"\x1b" not in parts
    assert parts.count(b"\n") == len(lines([parts])) == INDEBTED.height + 2


def test_an_account_that_was_not_read_is_not_removed() -> None:
    ledger = Ledger()
    gone, unread = INDEBTED["position"][0], INDEBTED["position"][1]
    ledger_lines = lines(ledger.start(SCAN))
    skipped = SCAN.frames["skipped"].clear().to_dicts()
    row = dict.fromkeys(SCAN.frames["skipped"].columns) | INDEBTED.select("chain_id", "protocol", "market_id").row(
        1, named=True
    )
    skipped.append(row | {"position": unread, "what": "position", "reason": "too large"})
    left = with_accounts(SCAN.frames["accounts"].filter(~pl.col("position").is_in([gone, unread])))
    frames = {**left.frames, "skipped": pl.DataFrame(skipped, SCAN.frames["skipped"].schema)}
    after = lines(ledger.block(replace(left, frames=frames)))
    assert [line["position"].lower() for line in after if line.get("event") == "remove"] == [gone]
    assert after[-1]["account_count"] == len(ledger_lines) - 3
    assert [line["event"] for line in lines(ledger.block(SCAN))[1:-1]] == ["upsert"], "who had gone is back"


def test_moves_are_counted_from_what_was_written_last() -> None:
    before = 2 * 10**18
    ledger = Ledger(Fraction(1, 1000))
    b"".join(ledger.start(moved(before)))
    edge = before // 1000
    assert kinds(ledger.block(moved(before + edge - 1))) == ["block", "end"]
    assert kinds(ledger.block(moved(before - edge + 1))) == ["block", "end"]
    assert kinds(ledger.block(moved(before + edge))) == ["block", "upsert", "end"]
    assert kinds(ledger.block(moved(before))) == ["block", "end"], "now from the new value, of which it is less"
    status = pl.when(pl.col("health_factor_wad") == str(before)).then(pl.lit("blocked")).otherwise("status")
    assert kinds(
        ledger.block(with_accounts(moved(before).frames["accounts"].with_columns(status.alias("status"))))
    ) == [
        "block",
        "upsert",
        "end",
    ]


@pytest.mark.parametrize(("text", "share"), [(None, 0), ("0.1%", Fraction(1, 1000)), ("5%", Fraction(1, 20))])
def test_changes_are_per_cent(text: str | None, share: Fraction) -> None:
    assert parse_change(text) == share


@pytest.mark.parametrize("text", ["0.1", "-1%", "1e-3%", "%", "a%"])
def test_other_changes_are_refused(text: str) -> None:
    with pytest.raises(ConfigError, match="--min-change"):
        parse_change(text)


def test_after_a_base_whatever_differs_is_written_once() -> None:
    """What a consumer was not told before it stopped is not known any more."""
    ledger = Ledger(Fraction(1, 10))
    assert kinds(ledger.base(moved(2 * 10**18))) == ["base", "end"]
    assert kinds(ledger.block(moved(2 * 10**18))) == ["block", "end"]
    assert kinds(ledger.block(moved(2 * 10**18 + 1))) == ["block", "upsert", "end"]
    assert kinds(ledger.block(moved(2 * 10**18 + 2))) == ["block", "end"]
