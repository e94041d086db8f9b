"""Which quote is the best, what it earns, what a what-if changes of it, and how quotes are written and drawn."""

from __future__ import annotations

import json
from dataclasses import replace
from functools import lru_cache

import polars as pl
import pytest

from scanner.cli import run
from scanner.cli.commands import DEMO
from scanner.export.documents import accounts_json, accounts_ndjson
from scanner.export.quotes import quotes_json, quotes_ndjson
from scanner.export.tables import quotes_csv
from scanner.pipeline import Scanned, ScanOptions, rescanned, scan_read
from scanner.quotes import QUOTES, quotes
from scanner.render.quotes import QuotesTable
from scanner.whatif import WhatIf, parse_whatif
from tests.unit.export.test_documents import strict
from tests.unit.render.draw import draw

ACCOUNT = ["market_id", "position"]


@lru_cache(maxsize=1)
def scanned() -> Scanned:
    return scan_read(ScanOptions(replay=DEMO, extent="points", verify="none"))


@lru_cache(maxsize=8)
def after(*shocks: str) -> Scanned:
    return rescanned(scanned(), parse_whatif(shock=shocks), ScanOptions(extent="points"))


def at(*shocks: str) -> pl.DataFrame:
    return quotes(after(*shocks).reads)


def test_the_best_pair_earns_most_of_those_that_are_open() -> None:
    frame = at("ETH=-25%")
    assert frame.schema == QUOTES
    several = 0
    for _, pairs in frame.group_by(ACCOUNT):
        (best,) = pairs.filter("best").to_dicts()
        open_ = pairs.filter(pl.col("blocked_by").is_null())
        if open_.height:
            assert best["blocked_by"] is None
            top = open_.filter(pl.col("profit_base") == open_["profit_base"].max())
            ids = sorted((int(one["collateral_reserve"]), int(one["debt_reserve"])) for one in top.to_dicts())
            assert (int(best["collateral_reserve"]), int(best["debt_reserve"])) == ids[0]
        several += pairs.height > 1
    assert several >= 50


def test_profit_is_what_is_received_less_what_is_paid_and_may_be_a_loss() -> None:
    frame = at("ETH=-25%")
    difference = frame["receive_value_base"].cast(pl.Int128) - frame["repay_value_base"].cast(pl.Int128)
    assert (frame["profit_base"].cast(pl.Int128) == difference).all()
    assert (frame["profit_usd"] - frame["profit_base"].cast(pl.Float64) / 1e8).abs().max() == pytest.approx(0)
    # where the fee is all of the bonus, nothing is earned but by rounding, which is the protocol's
    read = after("ETH=-25%").reads[0]
    greedy = frame.with_columns(pl.col("seize_raw") - pl.col("fee_raw") - pl.col("receive_raw"))
    assert greedy["seize_raw"].abs().max() == 0
    assert read.rules.timestamp == frame["for_timestamp"][0]


def test_more_than_the_maximum_reverts_where_dust_would_be_left() -> None:
    frame = pl.concat([at("ETH=-25%"), at("ETH=-15%")])
    dust = frame.filter(pl.col("dust_limited") & pl.col("blocked_by").is_null())
    assert dust.height >= 3
    assert (dust["over_maximum"] == "reverts").all()
    assert (dust["debt_to_cover"] == dust["repay_raw"].cast(pl.String)).all()
    rest = frame.filter(~pl.col("dust_limited") & pl.col("blocked_by").is_null())
    assert (rest["over_maximum"] == "clamped").all()
    assert (rest["debt_to_cover"] == str(2**256 - 1)).all()


def test_a_what_if_at_todays_prices_changes_no_quote() -> None:
    same = quotes(rescanned(scanned(), WhatIf(), ScanOptions(extent="points")).reads)
    assert quotes(scanned().reads).equals(same)
    assert quotes(scanned().reads).equals(at("ETH=-0%"))
    assert same.height >= 10


def test_quotes_are_for_the_time_asked_for() -> None:
    block = scanned().result.snapshot.block_timestamp
    later = quotes(scanned().reads, block + 365 * 86_400)
    assert later["for_timestamp"].unique().to_list() == [block + 365 * 86_400]
    assert later["position"].n_unique() > quotes(scanned().reads)["position"].n_unique()  # interest
    with pytest.raises(ValueError, match="no quotes for"):
        quotes(scanned().reads, block - 1)


def test_profitable_accounts_come_first_and_blocked_ones_last() -> None:
    best = at("ETH=-15%").filter("best")
    blocked = best["blocked_by"].is_not_null()
    assert blocked.any()
    assert blocked.is_sorted()
    assert best.filter(~blocked)["profit_usd"].is_sorted(descending=True)


def test_documents_of_quotes_keep_their_schema() -> None:
    result, frame = after("ETH=-25%").result, pl.concat([at("ETH=-25%").head(15), at("ETH=-25%").tail(15)])
    document = json.loads(quotes_json(result, frame, int(frame["for_timestamp"][0])))
    assert len(document["skipped"]) == result.frames["skipped"].height
    strict("quotes").validate({**document, "skipped": document["skipped"][:5]})
    assert len(document["quotes"]) == frame.height
    lines = [json.loads(line) for line in b"".join(quotes_ndjson(result, frame)).splitlines()]
    validator = strict("quote_line")
    for line in lines:
        validator.validate(line)
    assert lines[1:] == document["quotes"]
    first = document["quotes"][0]
    assert (first["repay_raw"], first["profit_base"]) == (str(frame["repay_raw"][0]), str(frame["profit_base"][0]))
    assert quotes_csv(result, frame).count(b"\n") == frame.height + 1
    assert json.loads(quotes_json(result, frame.clear(), 1))["quotes"] == []


def test_accounts_have_their_quotes_where_asked_for() -> None:
    whole, frame = after("ETH=-25%").result, at("ETH=-25%").head(20)
    some = whole.frames["accounts"].filter(
        pl.col("position").is_in(frame["position"].unique().to_list()) | (pl.col("status") == "healthy")
    )
    result = replace(whole, frames={**whole.frames, "accounts": some.sort("status", descending=True).head(30)})
    document = json.loads(accounts_json(result, frame))
    strict("accounts").validate({**document, "skipped": []})
    assert sum(len(account["quotes"]) for account in document["accounts"]) == frame.height
    validator = strict("ndjson")
    for line in b"".join(accounts_ndjson(result, frame)).splitlines():
        validator.validate(json.loads(line))
    assert "quotes" not in json.loads(accounts_json(result))["accounts"][0]


def test_the_table_says_when_quotes_hold_and_what_blocks() -> None:
    result, frame = scanned().result, quotes(scanned().reads)
    block = result.snapshot.block_timestamp
    text = draw(QuotesTable(result, frame.filter("best"), timestamp=block, now=block), 120)
    assert "exact at the block's own time" in text
    assert "paused" in text
    later = draw(QuotesTable(result, frame, timestamp=block + 12, now=block, limit=3), 120)
    assert "exact at +12 s (2025-10-12 08:53:46 UTC)" in later
    assert f"and {frame.height - 3} more quotes" in later
    assert "no account can be liquidated" in draw(QuotesTable(result, frame.clear(), timestamp=block, now=block), 80)


def test_a_hostile_symbol_draws_no_escape_code() -> None:
    frame = quotes(scanned().reads).with_columns(pl.lit("\x1b[31mEVIL\n=1+1").alias("debt_symbol"))
    text = draw(QuotesTable(scanned().result, frame, timestamp=0, now=0), 120)
    assert "\x1b" not in text
    assert b"\n'" not in quotes_csv(scanned().result, frame)


def said(capfd: pytest.CaptureFixture[str], *arguments: object) -> tuple[int, str, str]:
    capfd.readouterr()
    code = run([*map(str, arguments), "--replay", str(DEMO), "--no-progress"])
    captured = capfd.readouterr()
    return code, captured.out, captured.err


def test_the_command_says_why_an_account_has_no_quote(capfd: pytest.CaptureFixture[str]) -> None:
    accounts = scanned().result.frames["accounts"]
    healthy = accounts.filter(pl.col("status") == "healthy")["owner"][0]
    code, out, err = said(capfd, "quote", healthy, "--format", "json")
    assert (code, json.loads(out)["quotes"]) == (0, [])
    assert "healthy, health factor" in err
    hurt = accounts.filter(pl.col("status") == "liquidatable")["owner"][0]
    code, out, err = said(capfd, "quote", hurt, "--pairs", "all", "--format", "json")
    assert (code, "nothing to liquidate" in err) == (0, False)
    assert {quote["account"].lower() for quote in json.loads(out)["quotes"]} == {hurt}


def test_the_command_leaves_out_what_earns_too_little(capfd: pytest.CaptureFixture[str]) -> None:
    arguments = ("quote", "--at", "ETH=-25%", "--for-timestamp", "+12s", "--format", "json")
    whole = json.loads(said(capfd, *arguments)[1])["quotes"]
    code, out, err = said(capfd, *arguments, "--min-profit", "5000")
    some = json.loads(out)["quotes"]
    assert code == 0
    assert some == [quote for quote in whole if quote["profit_usd"] >= 5_000]
    assert f"{len(whole) - len(some)} accounts left out" in err
    assert {quote["for_timestamp"] for quote in some} == {scanned().result.snapshot.block_timestamp + 12}


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("quote", "--format", "json", "--limit", "5"), "--limit is for the table"),
        (("quote", "--at", "EHT=-10%"), "did you mean 'ETH'"),
        (("quote", "0x12"), "0x12"),
        (("accounts", "--quotes"), "liqbands quote has a table"),
    ],
)
def test_what_cannot_be_meant_is_refused(
    capfd: pytest.CaptureFixture[str], arguments: tuple[str, ...], told: str
) -> None:
    code, out, err = said(capfd, *arguments)
    assert (code, out) == (2, "")
    assert told in err
