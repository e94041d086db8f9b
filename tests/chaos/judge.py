"""What the scenarios of one test must come to."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from tests.chaos.run import Outcome, Verdict, plain, run
from tests.chaos.scenarios import scenario
from tests.chaos.worlds import ChaosWorld

__all__ = ["judge"]

_RIGHT_PERCENT = 98
_SPARE = 1  # that may fail of few: of twenty, one that meets a fault at every attempt is more than two in a hundred


def judge(seeds: Iterable[int], world: ChaosWorld, record: Callable[[str, object], None]) -> None:
    """Run the scenarios of these seeds; fail with a line for each that came out as it must not."""
    verdicts: list[Verdict] = []
    for seed in seeds:
        verdicts.append(run(scenario(seed), world))
        world.clean()
    record("chaos", [plain(one) for one in verdicts])
    bad = [f"{one}\n    again: python -m tests.chaos -v --seeds {one.seed}" for one in verdicts if not one.good]
    asked = [one for one in verdicts if one.sort == "recoverable"]
    short = [one for one in asked if one.outcome is not Outcome.RIGHT]
    if len(short) > _SPARE and 100 * (len(asked) - len(short)) < _RIGHT_PERCENT * len(asked):
        bad += [f"of {len(asked)} recoverable scenarios {len(short)} gave no document:", *map(str, short)]
    assert not bad, "\n".join(bad)
