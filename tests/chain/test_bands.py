"""Bands against the pool: the running total at an edge is what the feeds at exactly that edge make liquidatable."""

from __future__ import annotations

import math
import random
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import islice
from typing import Any

import polars as pl
import pytest

import scanner
from scanner.devchain import DevMarket
from scanner.devchain.toolchain import Toolchain
from scanner.results import ScanResult
from tests.chain.loops import make_account, make_loops
from tests.chain.peers import options_of
from tests.chain.seen import Seen, look
from tests.chain.stubs import BELOW, HEALTHY, REVERTED

pytestmark = pytest.mark.chain

LOOPS = 18
FACTORS = ("ETH", "LINK", "DAI", "stables")
ODD = {"ETH": 12_345_679, "LINK": 1_237, "DAI": 41, "BTC": 98_765_431}  # so that edges in basis points are no integers
MILLIONTH = 1e-6  # dollars per account are rounded to that, so that a sum does not depend on its order
WAY = {"down": -1, "up": 1}


@pytest.fixture(scope="module", params=["3.6", "3.0"])
def seen(
    request: pytest.FixtureRequest, toolchain: Toolchain, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Seen]:
    market: DevMarket = request.getfixturevalue("market36" if request.param == "3.6" else "market30")
    before = market.snapshot()
    for feed, more in ODD.items():
        market.set_price(feed, market.answer(feed) + more)
    loops = make_loops(market, LOOPS, seed=2)
    if market.kind == "3.0":  # the category's own feed prices the dollars, not the ether
        for debt in (2_700, 2_900, 3_100):
            make_account(market, f"e-mode priced {debt}", {"WETH": 3_000, "USDC": 1_000}, {"DAI": debt}, emode=2)
        for debt in (2_480, 2_500):  # most of what is seized is priced by the category too
            make_account(market, f"e-mode seized {debt}", {"WETH": 300, "USDC": 2_500}, {"DAI": debt}, emode=2)
    # The price of USDC is capped on one market only; either way a hedge on several dollars breaks both ways.
    make_account(market, "both ways", {"USDC": 10_000}, {"DAI": 5_000, "WETH": 1_050})
    index = tmp_path_factory.mktemp("index") / "borrowers.sqlite"
    yield look(market, toolchain, index, loops, extent="factors")
    market.revert(before)


def result_for(seen: Seen, factor: str) -> ScanResult:
    return seen.stables if factor == "stables" else seen.result


def bands_of(result: ScanResult, factor: str, direction: str) -> pl.DataFrame:
    return result.frames["bands"].filter((pl.col("factor") == factor) & (pl.col("direction") == direction))


def triggers(result: ScanResult, factor: str, direction: str) -> dict[str, int]:
    points = result.frames["liquidation_points"].filter(
        (pl.col("factor") == factor) & (pl.col("direction") == direction) & pl.col("trigger_answer").is_not_null()
    )
    return {who: int(answer) for who, answer in points.select("position", "trigger_answer").iter_rows()}


def limit(edge: Fraction, direction: str) -> int:
    """Give the last answer on the way to an edge: a fall ends at its ceiling, a rise at its floor."""
    return math.ceil(edge) if direction == "down" else math.floor(edge)


def below(seen: Seen, factor: str, asked: Sequence[tuple[str, int]]) -> list[str]:
    """Give the accounts that the pool itself calls liquidatable, each at its answer of the factor's feed."""
    accounts = [account for account, _ in asked]
    probes = [(i, answer) for i, (_, answer) in enumerate(asked)]
    verdicts = seen.prober.ask(seen.paths[factor], accounts, probes).verdicts
    assert REVERTED not in verdicts
    return [account for account, verdict in zip(accounts, verdicts, strict=True) if verdict == BELOW]


@dataclass
class Judge:
    """Compares running totals of one factor and direction with the pool."""

    seen: Seen
    factor: str
    direction: str

    def __post_init__(self) -> None:
        result = result_for(self.seen, self.factor)
        self.known = triggers(result, self.factor, self.direction)
        self.solvent = self.seen.solvent(self.factor)
        self.broken: dict[int, set[str]] = {}  # by answer

    def check(self, edge: Fraction, total: int) -> int:
        """See that a running total is right at an edge; count the accounts that are healthy again there."""
        at = limit(edge, self.direction)
        if at not in self.broken:
            self.broken[at] = set(below(self.seen, self.factor, [(who, at) for who in self.solvent]))
        passed = {who for who, answer in self.known.items() if (answer - at) * WAY[self.direction] <= 0}
        assert total == len(passed)
        assert self.broken[at] <= passed
        back = sorted(passed - self.broken[at])
        assert set(below(self.seen, self.factor, [(who, self.known[who]) for who in back])) == set(back)
        return len(back)


@pytest.mark.parametrize("direction", WAY)
def test_the_running_total_is_what_the_pool_calls_liquidatable_at_an_edge(seen: Seen, direction: str) -> None:
    rng = random.Random(5)
    fractional = 0
    factors = {**dict.fromkeys(FACTORS, 20), "EMODE": 3} if seen.market.kind == "3.0" else dict.fromkeys(FACTORS, 20)
    for factor, least in factors.items():
        result, start, judge = result_for(seen, factor), seen.paths[factor].start, Judge(seen, factor, direction)
        assert len(judge.known) >= least or (factor, direction) == ("EMODE", "down")
        rows = bands_of(result, factor, direction).select(
            "lower_bps" if direction == "down" else "upper_bps", "cumulative_account_count"
        )
        laid = [(bps, total) for bps, total in rows.iter_rows() if bps is not None and bps > -10_000]
        for bps, total in [laid[-1], *rng.sample(laid[:-1], 2)]:
            edge = Fraction(start * (10_000 + bps), 10_000)
            fractional += edge.denominator > 1
            judge.check(edge, total)
    assert fractional >= 5


def test_what_breaks_both_ways_counts_on_both_sides(seen: Seen) -> None:
    both = set(triggers(seen.stables, "stables", "down")) & set(triggers(seen.stables, "stables", "up"))
    assert both
    calls = seen.stables.frames["seizures"].filter(pl.col("position").is_in(list(both)), factor="stables", best=True)
    assert {(who, way) for who in both for way in WAY} >= set(calls.select("position", "direction").iter_rows())
    assert set(calls["direction"]) == set(WAY)
    assert not seen.stables.frames["skipped"].filter(what="trigger").height


def returning(seen: Seen, known: Mapping[str, int], direction: str) -> Iterator[int]:
    """Give answers beyond a hedged loop's trigger at which the pool calls it healthy again."""
    for loop in seen.loops:
        if loop.kind == "hedged" and loop.feed == "ETH" and loop.address in known:
            answers = [known[loop.address] + WAY[direction] * i for i in range(200)]
            said = seen.prober.ask(seen.paths["ETH"], [loop.address], [(0, answer) for answer in answers]).verdicts
            yield from [answer for answer, verdict in zip(answers, said, strict=True) if verdict == HEALTHY][:1]


@pytest.mark.parametrize("direction", WAY)
def test_edges_at_and_half_a_unit_beside_a_trigger(seen: Seen, direction: str) -> None:
    judge, start = Judge(seen, "ETH", direction), seen.paths["ETH"].start
    near = sorted(set(judge.known.values()), key=lambda answer: abs(answer - start))[1:60:20]
    wanted = {answer + Fraction(half, 2) for answer in near for half in (-1, 0, 1)}
    again = {Fraction(answer) for answer in islice(returning(seen, judge.known, direction), 3)}
    outwards = sorted(wanted | again, key=lambda edge: abs(edge - start))
    bands = ",".join(f"{float(edge / 10**8):.9f}" for edge in outwards)
    result = scanner.scan(options_of(seen.market, seen.index, extent="factor", factor="ETH", bands=bands))
    assert result.frames["accounts"]["position"].equals(seen.result.frames["accounts"]["position"])
    totals = bands_of(result, "ETH", direction)["cumulative_account_count"].to_list()
    back = [judge.check(edge, total) for edge, total in zip(outwards, totals, strict=False)]
    assert len(back) >= len(wanted) == 9
    assert sum(back) >= len(again)
    assert again or (seen.market.kind, direction) == ("3.0", "up")  # there loops of ether only fall


def members(known: Mapping[str, int], row: Mapping[str, Any], start: int) -> list[str]:
    """Give the accounts with a trigger in a band: falls lower <= trigger < upper, rises lower < trigger <= upper."""
    low, high = (
        None if row[name] is None else Fraction(start * (10_000 + row[name]), 10_000)
        for name in ("lower_bps", "upper_bps")
    )
    if row["direction"] == "down":
        return [who for who, at in known.items() if low is not None and high is not None and low <= at < high]
    return [who for who, at in known.items() if low is not None and low < at and (high is None or at <= high)]


def sums(pairs: Sequence[Mapping[str, Any]], inside: set[tuple[str, str]]) -> dict[str, Fraction]:
    """Add up the best calls of a band's accounts, in dollars; ``inside`` is the collateral that the factor moves."""

    def total(kept: Iterable[Mapping[str, Any]], value: str) -> Fraction:
        return Fraction(sum(int(pair[value]) for pair in kept), 10**8)

    def moved(pair: Mapping[str, Any]) -> bool:
        return (pair["position"], pair["collateral_reserve"]) in inside

    free = [pair for pair in pairs if pair["blocked_by"] is None]
    return {
        "seizable_collateral_usd": total((p for p in free if moved(p)), "seize_value_raw"),
        "beside_collateral_usd": total((p for p in free if not moved(p)), "seize_value_raw"),
        "blocked_collateral_usd": total((p for p in pairs if p["blocked_by"] is not None), "seize_value_raw"),
        "debt_to_repay_usd": total(free, "repay_value_raw"),
    }


def test_every_account_is_in_one_band_with_all_that_is_seized(seen: Seen) -> None:
    placed = 0
    legs = seen.result.frames["legs"].filter(side="collateral")
    for factor in [*(info.factor for info in seen.result.factors), "stables"]:
        result = result_for(seen, factor)
        symbols = next(info.members for info in result.factors if info.factor == factor)
        priced = pl.col("price_key").str.starts_with("emode:")
        name = pl.when(priced).then("price_key").otherwise("symbol")
        inside = set(legs.filter(name.is_in(symbols)).select("position", "reserve").iter_rows())
        chosen = result.frames["seizures"].filter((pl.col("factor") == factor) & pl.col("best"))
        best = {(pair["position"], pair["direction"]): pair for pair in chosen.rows(named=True)}
        everything = sums(list(best.values()), inside)
        found = dict.fromkeys(everything, 0.0)
        for direction in WAY:
            known = triggers(result, factor, direction)
            for row in bands_of(result, factor, direction).rows(named=True):
                held = [(who, direction) for who in members(known, row, seen.paths[factor].start)]
                assert row["account_count"] == len(held)
                placed += len(held)
                for column, exact in sums([best[who] for who in held if who in best], inside).items():
                    rounding = MILLIONTH * max(len(held), 1)
                    assert row[column] == pytest.approx(float(exact), rel=1e-12, abs=rounding), (factor, column)
                    found[column] += row[column]
        total, rounding = {column: float(exact) for column, exact in everything.items()}, MILLIONTH * max(len(best), 1)
        assert found == pytest.approx(total, rel=1e-12, abs=rounding)
    assert placed == sum(not trigger.path.startswith("reserve:") for trigger in seen.triggers()) > 2_000


def test_a_category_with_a_price_of_its_own_moves_what_it_prices(seen: Seen) -> None:
    """Collateral that the pool values at the category's own feed belongs to that feed's factor, not to the asset's."""
    if seen.market.kind != "3.0":
        assert not seen.result.frames["legs"]["price_key"].str.starts_with("emode:").any()
        return
    frames = seen.result.frames
    members = frames["accounts"].filter(emode_category=2).select("position")
    dollars = frames["legs"].join(members, on="position").filter(pl.col("symbol").is_in(["USDC", "DAI"]))
    assert dollars.height >= 6
    assert set(dollars["price_key"]) == {"emode:2"}
    assert set(dollars["factor"]) == {"EMODE"}
    answer = seen.market.answer("EMODE") if "EMODE" in seen.market.feeds else seen.prices["emode:2"]
    assert set(dollars["price_quote"]) == {answer / 10**8}
    info = next(info for info in seen.result.factors if info.factor == "EMODE")
    assert info.members == ("emode:2",)
    banded = frames["bands"].filter(factor="EMODE")
    assert banded["at_risk_collateral_usd"].sum() > 0
    assert min(banded["seizable_collateral_usd"].sum(), banded["beside_collateral_usd"].sum()) > 0
