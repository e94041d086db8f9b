from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

import pytest

from scanner.chain.deadline import Deadline
from scanner.chain.rate import NamedWait, Rate, units_of
from scanner.chain.spec import EndpointSpec

T = TypeVar("T")


class Clock(asyncio.SelectorEventLoop):
    """An event loop whose time is not waited for: it jumps to the next timer."""

    now = 0.0

    def time(self) -> float:
        return self.now

    def _run_once(self) -> None:
        if not self._ready and self._scheduled:  # type: ignore[attr-defined]
            self.now = max(self.now, self._scheduled[0].when())  # type: ignore[attr-defined]
        super()._run_once()  # type: ignore[misc]


def run(work: Coroutine[Any, Any, T]) -> tuple[T, float]:
    """Give what the coroutine gives, and the seconds that it would have taken."""
    clock = Clock()
    try:
        return clock.run_until_complete(work), clock.now
    finally:
        clock.close()


def rate(concurrency: int = 4, **spec: Any) -> Rate:
    return Rate(EndpointSpec("http://node", **spec), concurrency)


async def spend(budget: Rate, count: int, method: str = "eth_chainId", patience: float = 60) -> None:
    for _ in range(count):
        await budget.enter([method], patience, Deadline())
        budget.leave()


def test_without_a_limit_nothing_waits() -> None:
    assert run(spend(rate(), 1000))[1] == 0


def test_requests_a_second_are_kept_after_a_small_burst() -> None:
    assert run(spend(rate(requests_per_second=20), 101))[1] == pytest.approx(100 / 20 - 0.25, abs=0.01)


def test_compute_units_a_second_are_kept() -> None:
    _, seconds = run(spend(rate(compute_units_per_second=330), 100, "eth_getLogs"))
    assert seconds == pytest.approx(99 * 75 / 330 - 0.25, abs=0.01)
    assert (units_of("eth_call"), units_of("eth_getProof"), units_of("net_version")) == (26, 20, 20)


def test_a_batch_costs_as_much_as_its_requests() -> None:
    async def two() -> None:
        budget = rate(requests_per_second=10)
        for _ in range(2):
            await budget.enter(["eth_call"] * 20, 60, Deadline())
            budget.leave()

    assert run(two())[1] == pytest.approx(2 - 0.25, abs=0.01)


def test_turns_come_in_order_and_survive_those_who_leave() -> None:
    async def work() -> list[int]:
        budget, done = rate(concurrency=2), []

        async def one(name: int) -> None:
            await budget.enter(["eth_call"], 60, Deadline())
            try:
                await asyncio.sleep(1)
                done.append(name)
            finally:
                budget.leave()

        tasks = [asyncio.create_task(one(name)) for name in range(8)]
        await asyncio.sleep(0.5)
        tasks[0].cancel()
        tasks[3].cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await asyncio.gather(one(8), one(9))
        return done

    done, seconds = run(work())
    assert done == [1, 2, 4, 5, 6, 7, 8, 9]
    assert seconds <= 5


def test_a_turn_that_comes_with_a_cancellation_is_given_on() -> None:
    async def work() -> None:
        budget = rate(concurrency=1)
        await budget.enter(["eth_call"], 60, Deadline())
        waiting = asyncio.create_task(budget.enter(["eth_call"], 60, Deadline()))
        await asyncio.sleep(0)
        budget.leave()
        waiting.cancel()
        await asyncio.gather(waiting, return_exceptions=True)
        await asyncio.wait_for(budget.enter(["eth_call"], 60, Deadline()), 1)

    run(work())


def test_a_refusal_slows_down_and_quiet_brings_the_speed_back() -> None:
    async def work() -> list[float]:
        budget, loop = rate(requests_per_second=100), asyncio.get_running_loop()
        seconds = []
        for pause in (0, 0, 60):
            await asyncio.sleep(pause)
            await spend(budget, 100)
            began = loop.time()
            await spend(budget, 100)
            seconds.append(loop.time() - began)
            for _ in range(5):
                budget.refused(began)  # all sent before the cut: one overload, one cut
        return seconds

    before, cut, after = run(work())[0]
    assert before == pytest.approx(1, abs=0.05)
    assert 1.2 < cut < 1 / 0.7 + 0.05
    assert after == pytest.approx(1, abs=0.05)


def test_a_refusal_halves_what_is_in_flight_and_one_a_second_comes_back() -> None:
    async def work() -> list[int]:
        budget = rate(concurrency=8)

        async def at_once() -> int:
            count = 0
            while True:
                try:
                    await asyncio.wait_for(budget.enter(["eth_call"], 60, Deadline()), 0.5)
                except TimeoutError:
                    break
                count += 1
            for _ in range(count):
                budget.leave()
            return count

        counts = [await at_once()]
        budget.refused(asyncio.get_running_loop().time())
        counts.append(await at_once())
        for _ in range(8):
            await asyncio.sleep(1)
            await spend(budget, 1)
        return [*counts, await at_once()]

    assert run(work())[0] == [8, 4, 8]


def test_one_refusal_of_an_endpoint_without_a_known_limit_costs_little_and_is_forgotten() -> None:
    async def work() -> tuple[float, float]:
        budget, loop = rate(), asyncio.get_running_loop()
        await spend(budget, 1)
        budget.refused(loop.time())
        began = loop.time()
        await spend(budget, 20)
        slow = loop.time() - began
        await asyncio.sleep(120)
        began = loop.time()
        await spend(budget, 1000)
        return slow, loop.time() - began

    slow, fast = run(work())[0]
    assert 1 < slow < 2.5
    assert fast < 0.2


def test_refusals_by_lot_do_not_stop_an_endpoint_without_a_known_limit() -> None:
    async def work() -> list[float]:
        budget, loop = rate(), asyncio.get_running_loop()
        seconds = []
        for _ in range(4):
            began = loop.time()
            for _ in range(100):
                await spend(budget, 1)
                budget.refused(loop.time())  # each one, which is more than any lot
            seconds.append(loop.time() - began)
        for _ in range(10):
            budget.refused(loop.time())  # within half a second: one
        await asyncio.sleep(10)
        began = loop.time()
        await spend(budget, 46)
        return [*seconds, loop.time() - began]

    *cut, after = run(work())[0]
    assert all(seconds <= 100 / 5 + 0.5 for seconds in cut), "no slower than 5 a second"
    assert after < 2, "10 s of quiet are nine times the speed"


def test_refusals_of_half_a_second_are_one() -> None:
    async def work() -> float:
        budget, loop = rate(), asyncio.get_running_loop()
        await spend(budget, 1)
        for _ in range(6):
            budget.refused(loop.time())
            await asyncio.sleep(0.05)
        began = loop.time()
        await spend(budget, 21)
        return loop.time() - began

    assert run(work())[0] == pytest.approx(20 / 10 - 0.25, abs=0.4)


def test_a_named_wait_holds_everyone_and_is_raised_when_too_long() -> None:
    async def work() -> None:
        budget, loop = rate(), asyncio.get_running_loop()
        budget.hold(5)
        budget.hold(1)  # a shorter one does not end it
        assert not budget.try_enter(["eth_call"])
        await spend(budget, 1)
        assert loop.time() == 5
        budget.hold(61)
        with pytest.raises(NamedWait) as caught:
            await spend(budget, 1)
        assert (loop.time(), caught.value.seconds) == (5, 61)
        await asyncio.sleep(61)
        await spend(budget, 4)

    run(work())


def test_copies_are_sent_only_where_there_is_room() -> None:
    async def work() -> None:
        budget = rate(concurrency=1)
        assert budget.try_enter(["eth_call"])
        assert not budget.try_enter(["eth_call"])
        budget.leave()
        budget.refused(0)
        assert not budget.try_enter(["eth_call"])
        await asyncio.sleep(31)
        assert budget.try_enter(["eth_call"])
        tight = rate(requests_per_second=1)
        await tight.enter(["eth_call"], 60, Deadline())
        assert not tight.try_enter(["eth_call"])

    run(work())
