"""Quoted movements against the big-integer reference, for every revision."""

from __future__ import annotations

from collections import Counter
from typing import Any

import polars as pl
import pytest

from scanner.protocols.aave_v3.amounts import leg_amounts
from scanner.protocols.aave_v3.quotes import PAIR_QUOTES, quotes
from scanner.protocols.aave_v3.valuation import valued
from scanner.risk.rules import Answers
from tests.reference import aave_v3 as ref
from tests.reference.aave_v3_random import NOW, World, world
from tests.reference.convert import detail_of, positions_of
from tests.unit.aave_v3.seizure_judge import health_of, ours

MAX = 2**256 - 1


def quoted(made: World) -> pl.DataFrame:
    detail, answers, positions = detail_of(made.market), Answers(dict(made.prices)), positions_of(made.accounts)
    legs = valued(leg_amounts(positions, detail, NOW), detail, answers)
    health = health_of(made.accounts, made.market, [made.prices] * len(made.accounts))
    return quotes(detail, NOW, positions, legs, answers, health)


def executed(made: World, pair: dict[str, Any], offer: int) -> ref.Liquidation:
    where = (int(pair["collateral_reserve"]), int(pair["debt_reserve"]))
    return ref.liquidation(made.accounts[pair["row"]], made.market, made.prices, NOW, *where, offer)


def burned(made: World, pair: dict[str, Any], done: ref.Liquidation) -> int:
    """Give by how much the debt in the reserve falls, of the scaled units that the reference burns."""
    account, market, reserve = made.accounts[pair["row"]], made.market, done.debt_id
    scaled = account.debt.get(reserve, 0)
    left = ref.variable_debt(market, market.reserves[reserve], scaled - done.debt_burnt_scaled, NOW)
    return ref.variable_debt(market, market.reserves[reserve], scaled, NOW) - left + done.stable_burnt


@pytest.mark.parametrize("revision", range(1, 12))
def test_every_quote_moves_what_the_reference_moves(revision: int) -> None:
    seen: Counter[str] = Counter()
    for seed in range(4):
        made = world(revision, seed, 90)
        frame = quoted(made)
        assert frame.schema == PAIR_QUOTES
        assert frame.select("row", "repay_raw", "seize_raw", "fee_raw", "blocked_by").equals(
            ours(made.accounts, made.market, made.prices).select(
                "row", "repay_raw", "seize_raw", "fee_raw", "blocked_by"
            )
        )
        for pair in frame.filter(pl.col("blocked_by").is_null()).to_dicts():
            done = executed(made, pair, int(pair["debt_to_cover"]))
            assert (pair["repay_raw"], pair["receive_raw"]) == (done.repaid, done.received), pair
            assert pair["treasury_scaled_raw"] == done.treasury_scaled, pair
            assert pair["debt_burned_raw"] == burned(made, pair, done), pair
            seen[pair["over_maximum"]] += 1
            seen["short treasury"] += pair["treasury_raw"] < pair["fee_raw"]
            seen["bad debt"] += pair["bad_debt_raw"] > 0
    assert seen["clamped"] >= 100
    assert seen["short treasury"] >= 5
    assert seen["bad debt"] >= 5
    assert (seen["reverts"] > 0) == (revision >= 7)


@pytest.mark.parametrize("revision", range(1, 12))
def test_no_amount_repays_more_than_the_most(revision: int) -> None:
    more = 0
    for seed in range(4):
        made = world(revision, seed, 90)
        for pair in quoted(made).filter(pl.col("blocked_by").is_null()).to_dicts():
            repaid, most = int(pair["repay_raw"]), int(pair["most_repay_raw"])
            assert most >= repaid
            exact = most > repaid or pair["branch"] != "collateral"  # else the amount itself may leave a unit: dust
            assert executed(made, pair, most if exact else MAX).repaid == most
            more += most > repaid
            for offer in (most + 1, most + 2, most + most // 10**6 + 3, 2 * most + 1, MAX):
                try:
                    assert executed(made, pair, offer).repaid <= most, (pair, offer)
                except ref.Reverted as reverted:
                    assert reverted.name == "MustNotLeaveDust", (pair, offer)  # noqa: PT017
                    assert pair["over_maximum"] == "reverts" or offer < MAX
    assert more >= 5


def test_bad_debt_before_3_3_is_what_is_still_owed_afterwards() -> None:
    count = 0
    for revision in (1, 4, 6):
        made = world(revision, 0, 120)
        for pair in quoted(made).filter((pl.col("bad_debt_raw") > 0) & pl.col("blocked_by").is_null()).to_dicts():
            account, done = made.accounts[pair["row"]], executed(made, pair, MAX)
            owed = 0
            for reserve in ref.debt_ids(account):
                amount = sum(ref.reserve_debt(made.market, account, reserve, NOW))
                amount -= burned(made, pair, done) if reserve == done.debt_id else 0
                price = ref.asset_price(made.market, account, reserve, made.prices)
                owed += ref.debt_value(made.market, amount, price, 10 ** made.market.reserves[reserve].decimals)
            assert pair["bad_debt_raw"] == owed, pair
            count += 1
    assert count >= 10


def test_a_pair_that_takes_no_amount_has_no_call() -> None:
    frame = quoted(world(10, 1, 200))
    never = frame.filter(pl.col("blocked_by").is_in(["dust", "zero_threshold", "unpriced"]))
    assert never.height >= 3
    assert never.select(pl.col("to", "data", "debt_to_cover", "over_maximum").is_null().all()).row(0) == (True,) * 4
    assert never["receive_raw"].sum() == never["treasury_raw"].sum() == never["most_repay_raw"].sum() == 0
    held = frame.filter(pl.col("blocked_by") == "paused")
    assert held.filter(pl.col("data").is_not_null()).height >= 1  # what it will be once it is allowed
