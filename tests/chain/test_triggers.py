"""Trigger prices against the pool: below one at the trigger, and not at any answer between it and today's."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cache
from itertools import groupby, pairwise
from operator import attrgetter
from typing import Any, get_args

import polars as pl
import pytest
from eth_utils.crypto import keccak

import scanner
from scanner.devchain import DevMarket
from scanner.devchain.catalog import Wiring
from scanner.devchain.market import ReserveInfo
from scanner.devchain.toolchain import Toolchain
from scanner.devchain.tx import calldata
from scanner.units import WAD
from tests.chain.conftest import Rollback
from tests.chain.loops import make_loops
from tests.chain.peers import options_of
from tests.chain.seen import Seen, Trigger, look, spread
from tests.chain.stubs import BELOW, HEALTHY
from tests.chain.test_liquidations import CALL, LIQUIDATOR, MAX, assert_refused, equip, execute, refusal

pytestmark = pytest.mark.chain

LOOPS = 60
RANDOM = 200
EMODES, FACTORS, RESERVES = 50, 250, 220  # accounts, one trigger each
BEYOND = 250
LIQUIDATIONS = 16  # on each kind of market
BLOCKED = 4  # by each reason
HEALTHY_ERROR = {"3.6": "HealthFactorNotBelowThreshold()", "3.0": "45"}
WINDOW = 300  # units; most of the noise of a hedged loop


@pytest.fixture(scope="module", params=["3.6", "3.0"])
def seen(
    request: pytest.FixtureRequest, toolchain: Toolchain, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Seen]:
    market: DevMarket = request.getfixturevalue("market36" if request.param == "3.6" else "market30")
    before = market.snapshot()
    index = tmp_path_factory.mktemp("index") / "borrowers.sqlite"
    yield look(market, toolchain, index, make_loops(market, LOOPS))
    market.revert(before)


def ask(seen: Seen, wanted: Mapping[Trigger, Sequence[int]]) -> dict[Trigger, tuple[bytes, Sequence[int]]]:
    """Ask for the account of each trigger at answers of its path; give verdicts and average thresholds."""
    found = {}
    for path, group in groupby(sorted(wanted, key=attrgetter("path")), key=attrgetter("path")):
        triggers = list(group)
        probes = [(i, answer) for i, trigger in enumerate(triggers) for answer in wanted[trigger]]
        said = seen.prober.ask(seen.paths[path], [trigger.account for trigger in triggers], probes)
        first = 0
        for trigger in triggers:
            last = first + len(wanted[trigger])
            found[trigger] = (said.verdicts[first:last], said.averages[first:last])
            first = last
    return found


def assert_healthy(seen: Seen, wanted: Mapping[Trigger, Sequence[int]]) -> None:
    for trigger, (verdicts, _) in ask(seen, wanted).items():
        assert set(verdicts) == {HEALTHY}, (trigger, [a for a, v in zip(wanted[trigger], verdicts, strict=True) if v])


def between(seen: Seen, trigger: Trigger, count: int, rng: random.Random) -> list[int]:
    """Draw answers on the safe side, today's and the trigger's neighbour included."""
    start, last = seen.paths[trigger.path].start, trigger.answer - trigger.step
    return [start, last, *(rng.randint(*sorted((start, last))) for _ in range(count))]


def sample(seen: Seen) -> list[Trigger]:
    """Take a factor's trigger of some accounts and a single reserve's of others."""
    taken: set[str] = set()
    in_emode = seen.in_emode()
    of_factors = [trigger for trigger in seen.triggers() if not trigger.path.startswith("reserve:")]
    of_reserves = [trigger for trigger in seen.triggers() if trigger.path.startswith("reserve:")]
    return [
        *spread([trigger for trigger in of_factors if trigger.account in in_emode], EMODES, taken),
        *spread(of_factors, FACTORS, taken),
        *spread(of_reserves, RESERVES, taken),
    ]


def crossings(average: Callable[[int], int], low: int, high: int) -> Iterator[int]:
    """Give both answers of each step of the average that a bisection of the range finds."""
    if average(low) == average(high):
        return
    if high - low == 1:
        yield from (low, high)
        return
    middle = (low + high) // 2
    yield from crossings(average, low, middle)
    yield from crossings(average, middle, high)


def ends(seen: Seen, trigger: Trigger, answers: Sequence[int]) -> list[int]:
    """Give the ends of the segments of one average threshold between some answers, and a few units around each."""
    average = cache(seen.average(trigger.account, trigger.path))
    found = {end for low, high in pairwise(sorted(answers)) for end in crossings(average, low, high)}
    around = {end + d for end in found for d in (-1, 0, 1)}
    return sorted(answer for answer in around if min(answers) <= answer <= max(answers))


def test_every_trigger_is_the_edge_of_health(seen: Seen) -> None:
    triggers = seen.triggers()
    assert_healthy(seen, {t: (seen.paths[t.path].start, t.answer - t.step) for t in triggers})
    for trigger, (verdicts, _) in ask(seen, {t: (t.answer,) for t in triggers}).items():
        assert verdicts[0] == BELOW, trigger
    assert len(triggers) > 6_000
    assert min(sum(t.step == step for t in triggers) for step in (-1, 1)) > 2_000
    assert {t.path for t in triggers} >= {"ETH", "BTC", "LINK", "stables", "cbETH/ETH", "XAUt", "osETH"}


def test_nothing_breaks_between_today_and_the_trigger(seen: Seen) -> None:
    rng = random.Random(3)
    wanted: dict[Trigger, Sequence[int]] = {t: between(seen, t, RANDOM, rng) for t in sample(seen)}
    if seen.market.kind == "3.0":
        wanted = {t: sorted({*answers, *ends(seen, t, answers)}) for t, answers in wanted.items()}
    found = ask(seen, wanted)
    for trigger, (verdicts, averages) in found.items():
        assert set(verdicts) == {HEALTHY}, trigger
        if seen.market.kind == "3.0":  # no step of the pool's average lies between two answers that are no neighbours
            steps = zip(pairwise(wanted[trigger]), pairwise(averages), strict=True)
            assert all(high - low == 1 for (low, high), (before, after) in steps if before != after), trigger
    accounts = {trigger.account for trigger in wanted}
    assert len(accounts) >= 500
    falls = {t.account for t in wanted if t.step < 0}
    assert min(len(falls), len(accounts - falls), len(accounts & seen.in_emode())) >= 50
    for lst in ("wstETH", "weETH", "cbETH"):
        assert len(accounts & seen.holders(lst)) >= 20, lst


def test_what_never_breaks_does_not(seen: Seen) -> None:
    rng = random.Random(4)
    wanted = {}
    for account, path in seen.never():
        start = seen.paths[path].start
        answers = [round(start * 10 ** rng.uniform(-1, 1)) for _ in range(20)]
        wanted[Trigger(account, path, 0, 0)] = [start, start // 10 + 1, start * 10, *answers]
    assert len(wanted) > 100
    assert_healthy(seen, wanted)


def test_the_first_of_many_crossings_is_found(seen: Seen) -> None:
    known = {(t.account, t.path): t for t in seen.triggers()}
    safe: dict[Trigger, Sequence[int]] = {}
    beyond: dict[Trigger, Sequence[int]] = {}
    for loop in seen.loops:
        trigger = known[loop.address, loop.feed]
        at, step, start = trigger.answer, trigger.step, seen.paths[loop.feed].start
        safe[trigger] = [at - step * i for i in range(1, WINDOW) if (at - step * i - start) * step > 0]
        beyond[trigger] = [at + step * i for i in range(BEYOND)]
        if loop.kind == "mixed":
            safe[trigger] = ends(seen, trigger, [start, at - step])
            beyond[trigger] = [at, *ends(seen, trigger, [at, at + step * start // 50])]
    assert_healthy(seen, safe)
    found = ask(seen, beyond)
    assert all(verdicts[0] == BELOW for verdicts, _ in found.values())
    returned = {trigger.account for trigger, (verdicts, _) in found.items() if HEALTHY in verdicts}
    assert len(returned) >= 50


def prices(market: DevMarket, overrides: Mapping[str, Mapping[str, Any]] | None = None) -> dict[str, int]:
    """Ask the market's oracle for every reserve that it prices, by key."""
    priced = [info for info in market.reserves.values() if info.spec.wiring not in ("zero", "revert")]
    asked = [(market.oracle, calldata("getAssetPrice(address)", info.asset), "uint256") for info in priced]
    answers = market.chain.calls(asked, overrides=overrides)
    return {info.key: answer for info, (answer,) in zip(priced, answers, strict=True)}


def test_the_factor_map_is_what_moves_when_a_source_is_replaced(seen: Seen) -> None:
    market, today = seen.market, prices(seen.market)
    symbols = {key: info.symbol for key, info in market.reserves.items()}
    of_wiring: dict[str, list[ReserveInfo]] = {}
    for info in market.reserves.values():
        of_wiring.setdefault(info.spec.wiring, []).append(info)
    secret = {info.symbol for info in of_wiring["hidden"]}
    known = {factor.feed_address.lower(): factor for factor in seen.result.factors}
    mentioned = " ".join(seen.result.warnings)

    assert of_wiring.keys() == set(get_args(Wiring))
    roots = {address.lower() for address in market.feeds.values()} - {
        market.feeds[info.spec.base].lower() for wiring in ("zero", "revert") for info in of_wiring[wiring]
    }
    own = {info.source.lower() for wiring in ("unknown", "hidden") for info in of_wiring[wiring]}
    assert known.keys() == roots | own
    for address, factor in known.items():
        moved = prices(market, seen.prober.fixed(address, factor.answer * 99 // 100))
        changed = {symbols[key] for key, price in moved.items() if price != today[key]}
        of_assets = {name for name in factor.members if not name.startswith("emode:")}
        assert changed == of_assets | (secret if factor.factor == "ETH" else set()), factor
        assert factor.factor != "EMODE" or factor.members == ("emode:2",)
    named = {factor for row in seen.result.frames["reserves"].select("factor").iter_rows() for factor in row if factor}
    assert named <= {factor.factor for factor in seen.result.factors}
    for info in (*of_wiring["fixed"], *of_wiring["constant"], *of_wiring["zero"], *of_wiring["revert"]):
        row = seen.result.frames["reserves"].row(by_predicate=pl.col("reserve") == str(info.id), named=True)
        assert row["factor"] is None
        assert (row["answer"] is None) == (info.spec.wiring in ("zero", "revert"))
    for info in (*of_wiring["unknown"], *of_wiring["hidden"]):
        assert info.source.lower() in mentioned


def call_for(market: DevMarket, pair: Mapping[str, Any]) -> dict[str, str]:
    """Offer all that a pair takes; where dust may be left behind, exactly what the scan says."""
    assets = {str(info.id): info.asset for info in market.reserves.values()}
    offer = int(pair["repay_raw"]) if pair["branch"] == "dust" else MAX
    pairing = (assets[pair["collateral_reserve"]], assets[pair["debt_reserve"]])
    data = calldata(CALL, *pairing, pair["position"], offer, False)
    return {"from": LIQUIDATOR, "to": market.pool, "data": "0x" + data.hex(), "gas": hex(10**8), "gasPrice": "0x0"}


def move(seen: Seen, path: str, answer: int) -> None:
    """Really set the feeds of a path, the reference to this answer."""
    names = {address.lower(): name for name, address in seen.market.feeds.items()}
    start = seen.paths[path].start
    for feed, today in seen.paths[path].feeds.items():
        seen.market.set_price(names[feed], today * answer // start)
    assert seen.market.timestamp == seen.prober.timestamp


def movable(seen: Seen, pairs: pl.DataFrame) -> list[tuple[Trigger, list[dict[str, Any]]]]:
    """Put the triggers of factors that can really be set, account by account, beside their pairs among ``pairs``.

    Without the holders of what follows a feed in secret: the scan holds it, the chain does not.
    """
    feeds, hidden = set(seen.market.feeds.values()), seen.holders("osETH")
    by_key: dict[tuple[str, str], list[dict[str, Any]]] = {}
    for pair in pairs.rows(named=True):
        by_key.setdefault((pair["position"], pair["factor"]), []).append(pair)
    found = [t for t in seen.triggers() if (t.account, t.path) in by_key and t.account not in hidden]
    found = [t for t in found if feeds.issuperset(seen.paths[t.path].feeds)]
    return [(t, by_key[t.account, t.path]) for t in spread(found, len(found), set())]


def status_of(market: DevMarket, account: str) -> tuple[str, str | None]:
    """Scan one account at the newest block; give status and blocked_by."""
    result = scanner.scan(options_of(market, None, only=[account], verify="all", extent="factor"))
    status: tuple[str, str | None] = result.frames["accounts"].select("status", "blocked_by").row(0)
    return status


def is_healthy(market: DevMarket, account: str) -> bool:
    return market.account_data([account])[0].health_factor >= WAD


def assert_says(market: DevMarket, call: dict[str, str], error: str) -> None:
    said = refusal(market, call)
    assert (f": {error} " if market.kind == "3.0" else keccak(text=error)[:4].hex()) in said, said


def test_a_liquidation_passes_at_the_trigger_and_not_a_unit_before(seen: Seen, rollback: Rollback) -> None:
    market = rollback(seen.market)
    equip(market)
    pairs = seen.seizures().filter(pl.col("best") & pl.col("blocked_by").is_null())
    chosen = movable(seen, pairs)[:LIQUIDATIONS]
    for trigger, (pair,) in chosen:
        before, call = market.snapshot(), call_for(market, pair)
        move(seen, trigger.path, trigger.answer - trigger.step)
        assert is_healthy(market, trigger.account)
        assert_says(market, call, HEALTHY_ERROR[market.kind])
        assert int(execute(market, [call])[0]["status"], 16) == 0
        move(seen, trigger.path, trigger.answer)
        assert not is_healthy(market, trigger.account)
        assert int(execute(market, [call])[0]["status"], 16) == 1, trigger
        market.revert(before)
        market.hold_clock(held=True)
    assert len(chosen) == LIQUIDATIONS
    assert min(sum(t.step == step for t, _ in chosen) for step in (-1, 1)) >= 3


def test_blocked_accounts_are_refused_on_both_sides_and_shown_blocked(seen: Seen, rollback: Rollback) -> None:
    market = rollback(seen.market)
    equip(market)
    stopped = seen.seizures().filter(pl.col("blocked_by").is_not_null().all().over("position", "factor"))
    reasons: Counter[str] = Counter()
    for trigger, pairs in movable(seen, stopped):
        expected = next(pair["blocked_by"] for pair in pairs if pair["best"])
        if reasons[expected] == BLOCKED:
            continue
        before = market.snapshot()
        move(seen, trigger.path, trigger.answer - trigger.step)
        assert is_healthy(market, trigger.account)
        assert all(refusal(market, call_for(market, pair)) for pair in pairs)
        move(seen, trigger.path, trigger.answer)
        assert status_of(market, trigger.account) == ("blocked", expected)
        for pair in pairs:
            assert_refused(market, call_for(market, pair), pair["blocked_by"])
            assert int(execute(market, [call_for(market, pair)])[0]["status"], 16) == 0
        reasons[expected] += 1
        market.revert(before)
        market.hold_clock(held=True)
    assert reasons == dict.fromkeys(("paused", "grace") if market.kind == "3.6" else ("paused",), BLOCKED)


def test_a_fallen_sentinel_refuses_on_both_sides(seen: Seen, rollback: Rollback) -> None:
    market = rollback(seen.market)
    equip(market)
    market.set_sentinel(down=True)
    free = seen.seizures().filter(pl.col("blocked_by").is_null().all().over("position", "factor"))
    for trigger, (pair,) in movable(seen, free.filter("best"))[:BLOCKED]:
        before, call = market.snapshot(), call_for(market, pair)
        move(seen, trigger.path, trigger.answer - trigger.step)
        assert is_healthy(market, trigger.account)
        assert int(execute(market, [call])[0]["status"], 16) == 0
        move(seen, trigger.path, trigger.answer)
        assert status_of(market, trigger.account) == ("blocked", "sentinel")
        assert_refused(market, call, "sentinel")
        assert int(execute(market, [call])[0]["status"], 16) == 0
        market.revert(before)
        market.hold_clock(held=True)
