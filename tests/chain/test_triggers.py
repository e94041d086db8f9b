"""Trigger prices against the pool: below one at the trigger, and not at any answer between it and today's."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cache
from itertools import groupby, pairwise
from operator import attrgetter

import pytest

from scanner.devchain import DevMarket
from scanner.devchain.toolchain import Toolchain
from tests.chain.loops import make_loops
from tests.chain.seen import Seen, Trigger, look, spread
from tests.chain.stubs import BELOW, HEALTHY

pytestmark = pytest.mark.chain

LOOPS = 60
RANDOM = 200
FACTORS, RESERVES = 300, 220  # accounts, one trigger each
BEYOND = 250
WINDOW = 1500  # units; the noise of a hedged loop spans a few hundred to a few thousand


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
    alone = [trigger.path.startswith("reserve:") for trigger in seen.triggers()]
    pairs = list(zip(seen.triggers(), alone, strict=True))
    chosen = spread([t for t, one in pairs if not one], FACTORS, taken)
    return chosen + spread([t for t, one in pairs if one], RESERVES, taken)


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
    return sorted({end + d for end in found for d in range(-2, 3)} & set(range(min(answers), max(answers) + 1)))


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
    print(seen.market.kind, sum(map(len, wanted.values())), len(wanted))
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
    print(seen.market.kind, len(returned), sum(map(len, safe.values())), sum(map(len, beyond.values())), [l.kind for l in seen.loops if l.address not in returned])
    assert len(returned) >= 50
