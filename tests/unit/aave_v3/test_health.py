"""Health factors in polars against the big-integer reference, for every revision."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import replace

import polars as pl
import pytest

from scanner.errors import ConfigError
from scanner.protocols.aave_v3.amounts import leg_amounts
from scanner.protocols.aave_v3.detail import COLLATERAL, DEBT, KNOWN_REVISIONS
from scanner.protocols.aave_v3.rules import AaveRules
from scanner.protocols.aave_v3.valuation import HEALTH, health_of
from scanner.risk.rules import Answers, Changes
from tests.reference import aave_v3 as ref
from tests.reference.aave_v3_random import NOW, world
from tests.reference.convert import detail_of, positions_of

REVISIONS = sorted(KNOWN_REVISIONS)
AVERAGED, EXACT = [r for r in REVISIONS if r <= 8], [r for r in REVISIONS if r >= 9]

Row = tuple[int | None, int | None, str | None, bool | None, bool, bool]


def ours(
    accounts: Sequence[ref.Account], market: ref.Market, prices: Mapping[str, int], timestamp: int = NOW
) -> list[Row]:
    """Give (collateral, debt, health factor, liquidatable, has debt, unpriced) of each account."""
    positions, detail = positions_of(accounts), detail_of(market)
    frame = health_of(leg_amounts(positions, detail, timestamp), positions, detail, Answers(dict(prices)))
    assert dict(frame.schema) == dict(HEALTH)
    assert frame["row"].to_list() == list(range(len(accounts)))
    columns = ("collateral_raw", "debt_raw", "health_factor_wad", "liquidatable", "has_debt", "unpriced")
    return frame.select(columns).rows()


def theirs(account: ref.Account, market: ref.Market, prices: Mapping[str, int], timestamp: int = NOW) -> Row:
    try:
        data = ref.account_data(account, market, prices, timestamp)
    except ref.Reverted:
        return None, None, None, None, bool(account.debt or account.stable), True
    if data.debt_base == 0:
        return data.collateral_base, 0, None, False, False, False
    factor = data.health_factor
    return data.collateral_base, data.debt_base, str(factor), factor < ref.WAD, True, False


def agree(
    accounts: Sequence[ref.Account], market: ref.Market, prices: Mapping[str, int], timestamp: int = NOW
) -> list[Row]:
    rows = ours(accounts, market, prices, timestamp)
    assert rows == [theirs(account, market, prices, timestamp) for account in accounts]
    return rows


def plain(revision: int, **changes: int) -> ref.Market:
    """Give a market of two 18-decimal reserves with indexes of one."""
    reserves = {0: ref.Reserve(0, updated_at=NOW), 1: ref.Reserve(1, updated_at=NOW)}
    return ref.Market(revision, {i: replace(r, **changes) for i, r in reserves.items()})


@pytest.mark.parametrize("revision", REVISIONS)
@pytest.mark.parametrize("seed", range(4))
def test_health_equals_the_reference(revision: int, seed: int) -> None:
    drawn = world(revision, seed, 250)

    rows = agree(drawn.accounts, drawn.market, drawn.prices)

    assert {row[3] for row in rows} == {True, False}


@pytest.mark.parametrize("revision", REVISIONS)
def test_health_equals_the_reference_at_a_later_time(revision: int) -> None:
    drawn = world(revision, 7, 150)

    for seconds in (12, 3_600, 86_400 * 400):
        agree(drawn.accounts, drawn.market, drawn.prices, NOW + seconds)


def adversarial(market: ref.Market, prices: Mapping[str, int], rng: random.Random) -> ref.Account:
    """Draw balances of any magnitude, one wei to 10^26 base units, with long random digits."""

    def scaled(reserve_id: int) -> int:
        dearest = max(prices[str(reserve_id)], prices.get("emode:1", 0))
        most = 10**26 * 10 ** market.reserves[reserve_id].decimals // dearest
        return rng.randrange(min(most, 1 << rng.randrange(1, 100)) + 1)

    ids = list(market.reserves)
    collateral = {i: scaled(i) for i in rng.sample(ids, rng.randrange(5))}
    debt = {i: scaled(i) if rng.random() < 0.7 else rng.randrange(4) for i in rng.sample(ids, rng.randrange(5))}
    return ref.Account(collateral, debt, {}, rng.choice([0, 1, 2]))


@pytest.mark.parametrize("revision", REVISIONS)
def test_any_magnitude_is_exact(revision: int) -> None:
    drawn = world(revision, 1, 0)
    rng = random.Random(revision)
    prices = {key: max(1, rng.getrandbits(rng.randrange(1, 50))) for key in drawn.prices}
    accounts = [adversarial(drawn.market, prices, rng) for _ in range(800)]

    rows = agree(accounts, drawn.market, prices)

    assert max(len(row[2] or "") for row in rows) > 40  # beyond Int128: the big-integer path has been taken
    assert any(row[4] is False and account.debt for row, account in zip(rows, accounts, strict=True))


@pytest.mark.parametrize("revision", REVISIONS)
def test_a_whale_with_one_wei_of_debt(revision: int) -> None:
    prices = {"0": 10**14, "1": 10**18}  # one unit of debt is worth one base unit on any revision
    accounts = [ref.Account({0: 10**33}, {1: 1}), ref.Account({0: 10**18}, {1: 10**18})]

    rows = agree(accounts, plain(revision), prices)

    assert rows[0][2] == str(10**29 * 8_000 // 10_000 * 10**18)
    assert rows[0][3] is False


@pytest.mark.parametrize("revision", REVISIONS)
def test_dust_debt_is_no_debt_before_v35_and_one_unit_from_then(revision: int) -> None:
    (row,) = agree([ref.Account({0: 10**18}, {1: 1})], plain(revision), {"0": 10**8, "1": 10**8})

    assert row[4] is (revision >= 9)


@pytest.mark.parametrize("revision", REVISIONS)
@pytest.mark.parametrize(("debt", "factor"), [(8_000, 10**18), (8_001, 999_875_015_623_047_119), (7_999, None)])
def test_a_factor_of_exactly_one_is_not_liquidatable(revision: int, debt: int, factor: int | None) -> None:
    (row,) = agree([ref.Account({0: 10**22}, {1: debt * 10**18})], plain(revision), {"0": 10**8, "1": 10**8})

    assert factor is None or row[2] == str(factor)
    assert row[3] is (debt > 8_000)


def test_the_half_up_of_wad_div_decides() -> None:
    def last_digits(debt: int) -> tuple[int, bool]:
        quotient, rest = divmod(10**18, debt)
        return quotient % 10_000, 2 * rest >= debt

    debt = next(d for d in range(2, 10**7) if last_digits(d) == (9_999, True))
    market = replace(plain(10), reserves={0: ref.Reserve(0, threshold=1, updated_at=NOW), 1: plain(10).reserves[1]})

    (row,) = agree([ref.Account({0: 10**18}, {1: debt * 10**18})], market, {"0": 1, "1": 1})

    assert row[2] == str(10**18 // debt // 10_000 + 1)


@pytest.mark.parametrize("revision", [1, 2, 3, 4])
def test_stable_and_variable_debt_of_a_reserve_are_rounded_once(revision: int) -> None:
    market = plain(revision)
    unit, price = 10**18, 3
    half = 5 * unit // 30  # each alone is worth half a base unit
    account = ref.Account({0: 10**24}, {1: half + 1}, {1: (half + 1, 0, NOW)})

    (row,) = agree([account], market, {"0": 10**8, "1": price})

    assert row[1] == 1


def test_stable_debt_compounds_from_its_own_update() -> None:
    account = ref.Account({0: 10**24}, {}, {1: (10**21, 5 * 10**25, NOW - 86_400 * 365)})

    (row,) = agree([account], plain(3), {"0": 10**8, "1": 10**8})

    assert row[1] is not None
    assert 10**11 * 1.051 < row[1] < 10**11 * 1.052


@pytest.mark.parametrize("revision", REVISIONS)
def test_base_threshold_zero_gates_collateral_before_v36(revision: int) -> None:
    drawn = plain(revision)
    reserves = {0: ref.Reserve(0, threshold=0, updated_at=NOW, emode_category=1), 1: drawn.reserves[1]}
    market = replace(drawn, reserves=reserves, emodes={1: ref.EMode(1, 9_500, 10_100, collateral_bitmap=1)})
    account = ref.Account({0: 10**18}, {1: 10**17}, emode=1)

    (row,) = agree([account], market, {"0": 10**8, "1": 10**8})

    assert row[2] == (str(95 * 10**17) if revision >= 10 else "0")
    assert row[0] == (10**8 if revision >= 10 else 0)


@pytest.mark.parametrize("revision", REVISIONS)
def test_a_missing_price_makes_only_its_holders_unpriced(revision: int) -> None:
    drawn = world(revision, 0, 120)
    gone = drawn.accounts[0]
    missing = str(next(iter(gone.collateral)))
    prices = {key: answer for key, answer in drawn.prices.items() if key != missing}

    rows = agree(drawn.accounts, drawn.market, prices)

    assert rows[0][5]
    assert not all(row[5] for row in rows)


def test_a_flag_without_balance_asks_for_the_price_too() -> None:
    accounts = [ref.Account({0: 10**18, 1: 0}, {0: 10**17}), ref.Account({0: 10**18}, {0: 10**17})]

    rows = agree(accounts, plain(10), {"0": 10**8})

    assert [row[5] for row in rows] == [True, False]


@pytest.mark.parametrize("revision", [1, 4])
def test_a_category_with_a_reverting_price_makes_all_its_accounts_unpriced(revision: int) -> None:
    drawn = plain(revision)
    market = replace(drawn, emodes={1: ref.EMode(1, 9_500, 10_100, price_source=True)})
    inside, outside = ref.Account({0: 10**18}, {1: 10**17}, emode=1), ref.Account({0: 10**18}, {1: 10**17})

    rows = agree([inside, outside], market, {"0": 10**8, "1": 10**8})

    assert [row[5] for row in rows] == [True, False]


def test_accounts_without_legs_have_no_debt() -> None:
    rows = agree([ref.Account(), ref.Account({0: 10**18}, {1: 1}), ref.Account(emode=2)], plain(10), {"0": 1, "1": 1})

    assert [row[4] for row in rows] == [False, True, False]


@pytest.mark.parametrize("revision", [3, 8, 9, 11])
def test_moved_answers_count_for_their_position_alone(revision: int) -> None:
    drawn = world(revision, 0, 80)
    moved = {3: {"0": 7 * 10**9}, 5: {"63": 12345, "127": 99}}
    rows = [(row, key, answer) for row, keys in moved.items() for key, answer in keys.items()]
    frame = pl.DataFrame(rows, schema={"row": pl.UInt32, "reserve": pl.String, "answer": pl.Int128}, orient="row")
    positions, rules = positions_of(drawn.accounts), AaveRules(detail_of(drawn.market), NOW)

    found = rules.health(positions, Answers(dict(drawn.prices), frame))["health_factor_wad"].to_list()

    for row, account in enumerate(drawn.accounts):
        assert found[row] == theirs(account, drawn.market, {**drawn.prices, **moved.get(row, {})})[2]


@pytest.mark.parametrize("revision", [4, 8, 9, 10])
def test_legs_add_up_and_carry_effective_parameters(revision: int) -> None:
    drawn = world(revision, 2, 150)
    positions, rules = positions_of(drawn.accounts), AaveRules(detail_of(drawn.market), NOW)
    answers = Answers(dict(drawn.prices))

    legs = rules.legs(positions, answers)
    health = rules.health(positions, answers)

    stable = [principal for a in drawn.accounts for principal, _, _ in a.stable.values()]
    balances = [b for a in drawn.accounts for b in (*a.collateral.values(), *a.debt.values())] + stable
    assert legs.height == sum(balance > 0 for balance in balances)
    backing = legs.filter((pl.col("side") == "collateral") & (pl.col("liquidation_threshold") > 0))
    weighted = (backing["value_raw"].cast(pl.Float64) * backing["liquidation_threshold"]) / 10**8
    sums = backing.select("row", weighted.alias("w")).group_by("row").agg(pl.col("w").sum())
    both = health.join(sums, on="row", how="left", validate="1:1").with_columns(pl.col("w").fill_null(0.0))
    assert both.filter((pl.col("w") - pl.col("weighted_quote")).abs() > 1e-6 * pl.col("weighted_quote")).height == 0
    assert (
        legs.filter(pl.col("side") != "collateral")["liquidation_threshold"].null_count()
        == legs.filter(pl.col("side") != "collateral").height
    )
    for leg in legs.rows(named=True):
        account, reserve = drawn.accounts[leg["row"]], drawn.market.reserves[int(leg["reserve"])]
        if leg["side"] == "collateral":
            bonus = drawn.market.emodes[account.emode].bonus if ref.in_emode(drawn.market, account, reserve.id) else 0
            assert leg["liquidation_bonus"] == max((bonus or reserve.bonus) - 10_000, 0) / 10_000
            assert leg["amount_raw"] == ref.atoken_balance(drawn.market, reserve, account.collateral[reserve.id], NOW)
        elif leg["side"] == "debt":
            assert leg["amount_raw"] == ref.variable_debt(drawn.market, reserve, account.debt[reserve.id], NOW)
        else:
            assert leg["amount_raw"] == ref.stable_debt(drawn.market, account.stable[reserve.id], NOW)


def test_changes_move_thresholds_modes_and_time() -> None:
    drawn = world(10, 0, 100)
    detail = detail_of(drawn.market)
    lent = {category: replace(mode, ltv_bps=1) for category, mode in detail.emodes.items()}
    rules = AaveRules(replace(detail, emodes=lent), NOW)
    changes = Changes(timestamp=NOW + 600, liquidation_threshold_bps={"0": 1_000}, emode_threshold_bps={1: 5_000})
    reserves = {**drawn.market.reserves, 0: replace(drawn.market.reserves[0], threshold=1_000)}
    emodes = {**drawn.market.emodes, 1: replace(drawn.market.emodes[1], threshold=5_000)}
    market = replace(drawn.market, reserves=reserves, emodes=emodes)

    changed = rules.with_changes(changes)
    found = changed.health(positions_of(drawn.accounts), Answers(dict(drawn.prices)))["health_factor_wad"].to_list()

    assert changed.timestamp == NOW + 600
    assert found == [theirs(a, market, drawn.prices, NOW + 600)[2] for a in drawn.accounts]
    with pytest.raises(ConfigError, match="no reserve '999'"):
        rules.with_changes(Changes(liquidation_threshold_bps={"999": 1}))
    with pytest.raises(ConfigError, match="category 9"):
        rules.with_changes(Changes(emode_threshold_bps={9: 1}))


def test_a_leg_too_large_to_sum_is_refused_not_wrapped() -> None:
    with pytest.raises(OverflowError, match="too large"):
        ours([ref.Account({0: 10**37}, {1: 1})], plain(10), {"0": 10**14, "1": 1})


def test_sides_are_told_apart() -> None:
    positions = positions_of([ref.Account({0: 5}, {0: 7})])

    legs = leg_amounts(positions, detail_of(plain(10)), NOW)

    assert legs.select("side", "counts").rows() == [(COLLATERAL, True), (DEBT, False)]
