"""Run a scenario and judge what came of it."""

from __future__ import annotations

import re
import time
import traceback
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, fields, replace
from enum import Enum
from typing import Any, Final
from unittest.mock import patch

import scanner
from scanner import pipeline
from scanner.chain import quorum, rate
from scanner.chain.options import Options
from scanner.errors import BlockUnavailable, ScannerError
from scanner.sources import open_source
from tests.chaos.proxy import SECRETS, Proxy, chaos_proxy
from tests.chaos.scenarios import Scenario
from tests.chaos.worlds import ChaosWorld, bare

__all__ = ["Outcome", "Verdict", "quick", "run", "table"]


class Outcome(Enum):
    """What came of a scenario."""

    RIGHT = "right"  # exit 0, the same document
    FAILED = "exit 3"  # and the message names what it must
    DOUBTED = "exit 4"  # an error, or a result that says it is not to be trusted
    UNNAMED = "unnamed"  # the right exit code, but the message does not name the cause, or the liar
    WRONG = "WRONG"  # exit 0, another document
    USAGE = "exit 2"
    CRASH = "CRASH"  # an error that is not ours
    LEAK = "LEAK"  # a secret of the URL in what is said
    SPOILT = "SPOILT"  # the index was left lacking what it says it covers
    HARMLESS = "harmless"  # a lie that nothing hung on, or that nobody asked for: exit 0, the same document
    OUTVOTED = "outvoted"  # the others agree, and the liar is named: exit 0, the same document
    MISSED = "MISSED"  # a lie that matters was not noticed, although nothing came of it


GOOD: Final[Mapping[str, frozenset[Outcome]]] = {
    "recoverable": frozenset({Outcome.RIGHT, Outcome.FAILED, Outcome.DOUBTED}),
    "unrecoverable": frozenset({Outcome.FAILED, Outcome.DOUBTED}),
    "liar": frozenset({Outcome.FAILED, Outcome.OUTVOTED, Outcome.HARMLESS}),
}


@dataclass(frozen=True)
class Verdict:
    """One scenario's outcome."""

    seed: int
    sort: str
    names: tuple[str, ...]  # of the faults
    outcome: Outcome
    said: str
    seconds: float
    requests: int
    struck: Mapping[str, int]

    @property
    def good(self) -> bool:
        """Whether this may happen; of recoverable scenarios, 98 % must be right as well."""
        enough = self.outcome is Outcome.RIGHT and "too little gas" in self.names  # for each call alone, at the most
        return enough or self.outcome in GOOD[self.sort]

    def __str__(self) -> str:
        faults = ", ".join(f"{name} x{self.struck.get(name, 0)}" for name in self.names) or "none"
        return f"seed {self.seed} ({self.sort}: {faults}; {self.requests} requests): {self.outcome.value}: {self.said}"


_QUICK: Final = Options(timeout=2.0, patience=20.0, first_pause=0.01, lag_patience=2.0, lag_pause=0.02, hedge_after=0.3)


@contextmanager
def quick(**changes: float) -> Iterator[None]:
    """Let scan() open its endpoints with short pauses."""
    limits = replace(_QUICK, **changes)  # type: ignore[arg-type]

    def opened(*urls: Any, **more: Any) -> Any:
        return open_source(*urls, **{**more, "limits": limits})

    with ExitStack() as stack:
        stack.enter_context(patch.object(pipeline, "open_source", opened))
        # a proxy that says 429 by lot says so at any speed: slowing down for real would only take time
        stack.enter_context(patch.object(rate, "_FIRST_CUT", 1_000.0))
        stack.enter_context(patch.object(rate, "_GUESSED_SLOWEST", 300.0))
        yield


def run(scenario: Scenario, world: ChaosWorld) -> Verdict:
    """Run one scenario on a world of its revision."""
    started = time.perf_counter()
    reorg = scenario.reorganises
    with world.visit(reorg.depth if reorg else 0), ExitStack() as stack:
        endpoints = list(scenario.endpoints)
        if scenario.lie is not None:
            endpoints[scenario.liar] = (*endpoints[scenario.liar], world.lie(scenario.lie))
        proxies = [
            stack.enter_context(
                chaos_proxy(
                    world.anvil.url, scenario.seed * 10 + place, faults, world, "localhost" if place else "127.0.0.1"
                )
            )
            for place, faults in enumerate(endpoints)
        ]
        stack.enter_context(quick(**scenario.options))
        stack.enter_context(world.data(f"seed-{scenario.seed}", warm=scenario.warm))
        if scenario.sampled:
            stack.enter_context(patch.object(quorum, "_LEAST", 1))
        outcome, said = _outcome(scenario, world, proxies)
    struck: Counter[str] = Counter()
    for proxy in proxies:
        struck.update(proxy.site.struck)
    requests = sum(proxy.site.requests for proxy in proxies)
    seconds = time.perf_counter() - started
    return Verdict(scenario.seed, scenario.sort, scenario.names, outcome, said, seconds, requests, dict(struck))


def _outcome(scenario: Scenario, world: ChaosWorld, proxies: Sequence[Proxy]) -> tuple[Outcome, str]:
    index = world.index(f"seed-{scenario.seed}", warm=scenario.warm)
    try:
        result = scanner.scan(
            rpc_urls=[proxy.url for proxy in proxies],
            markets=[world.market.root],
            from_block=world.market.first_block,
            index_file=index,
            block=scenario.block,
            verify=scenario.verify,
            quorum=scenario.quorum,
            prove=scenario.prove,
        )
    except ScannerError as error:
        shown = "".join(traceback.format_exception(error))
        found = _failed(scenario, error, shown, proxies)
    except Exception as error:  # noqa: BLE001 (whatever it is, it is a finding)
        found = Outcome.CRASH, "".join(traceback.format_exception(error))[-1500:]
    else:
        found = _answered(scenario, world, result, proxies)
    if found[0] in (Outcome.RIGHT, Outcome.FAILED, Outcome.DOUBTED) and (missing := world.missing_from(index)):
        return Outcome.SPOILT, f"the index lacks {', '.join(missing)}; {found[0].value}: {found[1]}"
    return found


def _failed(scenario: Scenario, error: ScannerError, shown: str, proxies: Sequence[Proxy]) -> tuple[Outcome, str]:
    text = f"{type(error).__name__}: {error}"
    if any(secret in shown for secret in SECRETS):
        return Outcome.LEAK, text
    if error.exit_code not in (3, 4):
        return Outcome.USAGE, text
    if scenario.words and not re.search(scenario.words, str(error)):
        return Outcome.UNNAMED, text
    if scenario.sort == "liar" and (error.exit_code != 3 or proxies[scenario.liar].host not in str(error)):
        return Outcome.UNNAMED, text
    return (Outcome.FAILED if error.exit_code == 3 else Outcome.DOUBTED), text


def _answered(
    scenario: Scenario, world: ChaosWorld, result: scanner.ScanResult, proxies: Sequence[Proxy]
) -> tuple[Outcome, str]:
    if not result.trustworthy:
        lacks = [
            f"{proof.symbol} {proof.missing}" for m in result.markets for proof in m.completeness if not proof.complete
        ]
        mismatches = [name for market in result.markets for name in market.mismatches]
        text = f"incomplete: {', '.join(lacks)}; mismatches: {', '.join(mismatches)}"
        return (Outcome.UNNAMED if scenario.sort == "liar" else Outcome.DOUBTED), text
    try:
        truth = world.block_truth(result.snapshot.block_hash)
    except BlockUnavailable as error:
        return Outcome.WRONG, f"a block that is gone: {error}"
    mine = bare(result)
    if mine == truth:
        if scenario.sort == "liar":
            told = [warning for warning in result.warnings if proxies[scenario.liar].host in warning]
            if told:
                return Outcome.OUTVOTED, told[0]
            idle = len(proxies) > scenario.quorum  # the others agreed, and it was in reserve
            return Outcome.HARMLESS if scenario.subtle or idle else Outcome.MISSED, "the document is right"
        return Outcome.RIGHT, f"block {result.snapshot.block_number}"
    at = next((i for i, (a, b) in enumerate(zip(mine, truth, strict=False)) if a != b), min(len(mine), len(truth)))
    near = slice(max(at - 80, 0), at + 80)
    return Outcome.WRONG, f"{mine[near]!r} is not {truth[near]!r}; warnings: {list(result.warnings)}"


def table(verdicts: Iterable[Verdict]) -> list[str]:
    """Count outcomes by sort and by fault, a line each. ``met``: scenarios in which the fault struck."""
    found = list(verdicts)
    met = Counter(f"{one.sort}/{name}" for one in found for name, times in one.struck.items() if times)
    columns = [one for one in Outcome if any(verdict.outcome is one for verdict in found)]
    rows: dict[str, Counter[Outcome]] = {}
    for sort in GOOD:
        mine = [verdict for verdict in found if verdict.sort == sort]
        if not mine:
            continue
        rows[sort] = Counter(verdict.outcome for verdict in mine)
        for name in sorted({name for verdict in mine for name in verdict.names}):
            rows[f"{sort}/{name}"] = Counter(verdict.outcome for verdict in mine if name in verdict.names)
    width = max((len(name.split("/", 1)[-1]) for name in rows), default=10) + 2
    lines = [" " * width + f"{'met':>9}" + "".join(f"{one.value:>9}" for one in columns)]
    for name, counts in rows.items():
        label = name.upper() if "/" not in name else "  " + name.split("/", 1)[1]
        strokes = met[name] if "/" in name else ""
        lines.append(f"{label:<{width}}{strokes:>9}" + "".join(f"{counts[one] or '·':>9}" for one in columns))
    recoverable = [one for one in found if one.sort == "recoverable"]
    if recoverable:
        right = sum(one.outcome is Outcome.RIGHT for one in recoverable)
        lines.append(f"recoverable scenarios with the right document: {right} of {len(recoverable)}")
    return lines


def plain(verdict: Verdict) -> dict[str, Any]:
    """Turn a verdict into what pytest can carry between processes."""
    return {name: getattr(verdict, name) for name in (one.name for one in fields(Verdict)) if name != "outcome"} | {
        "outcome": verdict.outcome.name,
        "names": list(verdict.names),
        "struck": dict(verdict.struck),
    }


def from_plain(record: Mapping[str, Any]) -> Verdict:
    """Read what ``plain`` wrote."""
    return replace(
        Verdict(**{**record, "outcome": Outcome[record["outcome"]]}),
        names=tuple(record["names"]),
    )
