"""Processes that are killed at any moment: what they left is sound, tells the truth, and the next one goes on."""

from __future__ import annotations

import random
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import pytest

from scanner.config import child_environment
from scanner.devchain import DevMarket
from tests.chain import test_index
from tests.chain.indexes import Slow, assert_learned_is_whole, assert_truthful, borrowed, same_accounts
from tests.chain.peers import invoke, where
from tests.chain.proxy import proxy

pytestmark = pytest.mark.chain

Capture = pytest.CaptureFixture[str]

market = test_index.market  # the fixture: borrowers over a hundred blocks

PAUSE = 0.004  # seconds for each request of the run that is killed


@dataclass(frozen=True)
class Undisturbed:
    """What a run that nobody killed gives, and in how many requests."""

    document: Any
    requests: Mapping[str, int]  # by command
    first_log: Mapping[str, int]


def command(name: str, market: DevMarket, index: Path, url: str) -> list[str]:
    more = [] if name == "index" else ["--format", "json"]
    return [name, *where(market, index, url), *more]


@pytest.fixture(scope="module")
def undisturbed(market: DevMarket, tmp_path_factory: pytest.TempPathFactory) -> Undisturbed:
    folder, requests = tmp_path_factory.mktemp("whole"), {}
    environment = child_environment(LIQBANDS_DATA_DIR=str(folder))
    for name in ("index", "accounts"):
        slow = Slow(0.0)
        with proxy(market.anvil.url, slow) as url:
            arguments = [*command(name, market, folder / f"{name}.sqlite", url), "-q"]
            ran = subprocess.run(
                [sys.executable, "-m", "scanner", *arguments], env=environment, capture_output=True, check=True
            )
        requests[name] = slow.count
    document = msgspec.json.decode(ran.stdout)
    assert document["snapshot"]["complete"]
    return Undisturbed(document, requests, borrowed(market, market.chain.block_number()))


def kill(market: DevMarket, whole: Undisturbed, index: Path, seed: int) -> int | None:
    """Kill a cold run at a moment that the seed chooses; give the block that its index says it covers."""
    rng = random.Random(seed)
    name = rng.choice(("index", "accounts"))
    after = rng.randrange(whole.requests[name])
    slow = Slow(PAUSE)
    with proxy(market.anvil.url, slow) as url:
        arguments = [sys.executable, "-m", "scanner", *command(name, market, index, url), "-q"]
        with subprocess.Popen(
            arguments, env=child_environment(), stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
        ) as process:
            deadline = time.monotonic() + 60
            while slow.count < after and process.poll() is None and time.monotonic() < deadline:
                time.sleep(0.0005)
            time.sleep(rng.uniform(0.0, 0.02))
            process.send_signal(signal.SIGKILL)
        assert process.returncode in (-signal.SIGKILL, 0), process.returncode  # 0: it was done a moment before
    assert_learned_is_whole()
    return assert_truthful(index, whole.first_log)


def check(capfd: Capture, market: DevMarket, whole: Undisturbed, folder: Path, seed: int) -> int | None:
    """Kill a run, then see that the next one is complete and finds what an undisturbed one does."""
    index = folder / f"{seed}.sqlite"
    reached = kill(market, whole, index, seed)
    outcome = invoke(capfd, "accounts", *where(market, index), "--format", "json", "-q")
    assert outcome.code == 0, outcome.err
    assert same_accounts(outcome.document, whole.document)
    after = assert_truthful(index, whole.first_log)
    assert after is not None
    assert after >= (reached or 0)
    return reached


def test_a_run_killed_at_any_moment_leaves_the_truth(
    market: DevMarket, undisturbed: Undisturbed, tmp_path: Path, capfd: Capture
) -> None:
    reached = [check(capfd, market, undisturbed, tmp_path, seed) for seed in range(5)]
    print(f"killed 5 times; covered to {reached}")


@pytest.mark.soak
@pytest.mark.timeout(1800)
def test_fifty_runs_killed_at_any_moment_leave_the_truth(
    market: DevMarket, undisturbed: Undisturbed, tmp_path: Path, capfd: Capture
) -> None:
    reached = [check(capfd, market, undisturbed, tmp_path, 100 + seed) for seed in range(50)]
    print(f"killed 50 times; covered to {sorted(str(block) for block in reached)}")
    assert len(set(reached)) >= 10, "the moments did not differ"
