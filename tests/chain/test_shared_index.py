"""Processes that share an index file at the same time."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import msgspec
import pytest

import scanner
from scanner.chain.reader import open_reader
from scanner.config import child_environment
from scanner.devchain import DevMarket
from scanner.discovery import discover
from scanner.protocols.aave_v3.protocol import AaveV3
from scanner.reading import open_index
from scanner.targets import Target
from tests.chain import test_index
from tests.chain.indexes import Slow, assert_truthful, borrowed, covered, same_accounts
from tests.chain.peers import invoke, options_of, where
from tests.chain.proxy import proxy

pytestmark = pytest.mark.chain

market = test_index.market  # the fixture: borrowers over a hundred blocks


@pytest.fixture(scope="module")
def first_log(market: DevMarket) -> Mapping[str, int]:
    return borrowed(market, market.chain.block_number())


def start(market: DevMarket, index: Path, url: str, out: Path) -> subprocess.Popen[bytes]:
    more = ["accounts", *where(market, index, url), "--format", "json", "-q", "-o", str(out)]
    return subprocess.Popen([sys.executable, "-m", "scanner", *more], env=child_environment(), stderr=subprocess.PIPE)


def run_all(
    market: DevMarket, index: Path, folder: Path, pauses: Sequence[float], kill_after: int | None = None
) -> list[Any]:
    """Run cold scans at once, one for each pause of its endpoint; the first may be killed. Give the documents."""
    with ExitStack() as stack:
        slow = [Slow(pause, blocks=3 + turn) for turn, pause in enumerate(pauses)]
        urls = [stack.enter_context(proxy(market.anvil.url, one)) for one in slow]
        files = [folder / f"{index.stem}.{turn}.json" for turn in range(len(pauses))]
        running = [stack.enter_context(start(market, index, *each)) for each in zip(urls, files, strict=True)]
        if kill_after is not None:
            deadline = time.monotonic() + 60
            while slow[0].count < kill_after and time.monotonic() < deadline:
                time.sleep(0.001)
            running[0].kill()
            assert running[0].wait() == -9, "it was done before it was killed"
        lasting = list(zip(running, files, strict=True))[0 if kill_after is None else 1 :]
        for process, _ in lasting:
            _, told = process.communicate(timeout=120)
            assert (process.returncode, told) == (0, b"")
    return [msgspec.json.decode(file.read_bytes()) for _, file in lasting]


@pytest.mark.parametrize(
    ("pauses", "kill_after"),
    [((0.0, 0.006), None), ((0.004, 0.002, 0.0), None), ((0.004, 0.004), 30)],
)
def test_cold_scans_at_once_are_complete_and_equal(
    market: DevMarket,
    first_log: Mapping[str, int],
    tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
    pauses: Sequence[float],
    kill_after: int | None,
) -> None:
    alone = invoke(capfd, "accounts", *where(market, tmp_path / "alone.sqlite"), "--format", "json", "-q").document
    index = tmp_path / "shared.sqlite"
    documents = run_all(market, index, tmp_path, pauses, kill_after)
    assert len(documents) == len(pauses) - (kill_after is not None)
    for document in documents:
        assert document["snapshot"]["complete"]
        assert same_accounts(document, alone)
    assert assert_truthful(index, first_log) == covered(tmp_path / "alone.sqlite")


@pytest.mark.parametrize("how", ["rebuild", "earlier", "earlier from the start"])
def test_a_cursor_is_not_moved_over_blocks_that_another_process_wants_read(
    market: DevMarket, first_log: Mapping[str, int], tmp_path: Path, how: str
) -> None:
    """One is about to read logs, or in the middle of it, when another wants them read anew, and is then killed."""
    index, middle = tmp_path / "shared.sqlite", sorted(first_log.values())[len(first_log) // 2]
    late = Target(AaveV3(), market.root, "devchain", market.first_block if how == "rebuild" else middle)
    early = Target(AaveV3(), market.root, "devchain", market.first_block)
    came: list[int] = []
    with proxy(market.anvil.url, Slow(0.0)) as url, open_reader(url) as reader:

        def another() -> None:
            came.append(1)
            with open_index(reader, early, index) as other:
                if how == "rebuild":
                    other.rewind()

        def heard(done: int, total: int) -> None:
            if done >= 12 and not came:
                another()

        with open_index(reader, late, index) as borrowers:
            if how == "earlier from the start":
                another()
            discover(reader, late.protocol.discovery(reader, market.root), borrowers, progress=heard)
    assert came
    assert_truthful(index, first_log)
    assert scanner.scan(options_of(market, index, extent="points")).snapshot.complete
    assert_truthful(index, first_log)
