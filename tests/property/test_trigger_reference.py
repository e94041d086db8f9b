"""Triggers of whole random markets against the big-integer reference: e-modes, gates, indexes, stable debt."""

from __future__ import annotations

import random

import polars as pl
import pytest

from scanner.protocols.aave_v3.rules import AaveRules
from scanner.risk.pricing import ReservePath
from scanner.risk.rules import Answers
from scanner.risk.triggers import SEARCHES, first_crossings
from tests.reference import aave_v3 as ref
from tests.reference.aave_v3_random import NOW, World, world
from tests.reference.aave_v3_triggers import first_trigger
from tests.reference.convert import detail_of, positions_of


def relieved(rng: random.Random, account: ref.Account, made: World) -> ref.Account | None:
    """Shrink debt until the account is healthy; None where that takes all of it."""
    for _ in range(40):
        state = ref.account_data(account, made.market, made.prices, NOW)
        if state.debt_base and state.health_factor >= ref.WAD:
            return account
        factor = rng.randint(80, 97)
        debt = {i: s * factor // 100 for i, s in account.debt.items() if s * factor // 100}
        stable = {i: (p * factor // 100, *rest) for i, (p, *rest) in account.stable.items() if p * factor // 100}
        account = ref.Account(account.collateral, debt, stable, account.emode)  # type: ignore[arg-type]
    return None


@pytest.mark.parametrize("revision", [1, 4, 5, 8, 9, 10, 11])
def test_reserve_triggers_equal_the_reference(revision: int) -> None:
    rng = random.Random(revision)
    made = world(revision, 2, 40)
    accounts = [healthy for a in made.accounts if (healthy := relieved(rng, a, made)) is not None]
    held, market = positions_of(accounts), detail_of(made.market)
    rows = pl.Series(range(len(accounts)), dtype=pl.UInt32)
    compared = 0
    for key, start in made.prices.items():
        path = ReservePath(key, start, frozenset({key}))
        zeros = pl.zeros(len(accounts), dtype=pl.UInt32, eager=True)
        items = pl.DataFrame({"path": zeros, "row": rows})
        probe = AaveRules(market, NOW).probe(held, [path], items, Answers(made.prices))
        for down, limit in ((True, max(start // 3, 1)), (False, start * 2)):
            searches = items.select(item="row", path="path", down=pl.lit(down), limit=pl.lit(limit, pl.Int128))
            found = first_crossings(probe, [path], searches.select(list(SEARCHES)))
            assert found["solved"].all()
            for account, answer in zip(accounts, found["answer"].to_list(), strict=True):
                at = lambda x, key=key: {**made.prices, key: x}  # noqa: E731
                if answer is None:
                    end = ref.account_data(account, made.market, at(limit), NOW)
                    assert end.debt_base == 0 or end.health_factor >= ref.WAD
                    continue
                compared += 1
                side = 1 if down else -1
                assert ref.account_data(account, made.market, at(answer), NOW).health_factor < ref.WAD
                before = abs(answer - start) - 1  # answers between today's and the trigger
                close = answer + side * min(before, 200)
                assert not before or first_trigger(account, made.market, at, close, answer + side, NOW) is None
                for x in (answer + side * rng.randint(1, before) for _ in range(40 if before else 0)):
                    assert ref.account_data(account, made.market, at(x), NOW).health_factor >= ref.WAD
    assert compared >= 20
