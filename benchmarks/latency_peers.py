"""The ways of the peers to read many accounts, each with the settings that are tried."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Final, Literal

import web3
from cchecksum import to_checksum_address

from benchmarks import peer_task
from benchmarks.environments import MULTICALL, VIEM, multicall_python, viem_packages
from benchmarks.local_market import LocalMarket
from benchmarks.peer_web3 import IN_FLIGHT, batches, batches_at_once, multicalls_at_once
from benchmarks.timing import timed
from scanner.devchain.toolchain import Say, find_node

__all__ = ["Answers", "PeerFailed", "Task", "Way", "What", "ways"]

_CHAIN: Final = 31337
_PATIENCE: Final = 180

What = Literal["positions", "health"]
Answers = list[str]
"""Of one account: collateral, debt, health factor; for positions also e-mode, and name and balance of each leg."""

Reading = tuple[float, list[Answers]]


@dataclass(frozen=True)
class Task:
    """What is read, and where."""

    market: LocalMarket
    block: int
    reserves: Sequence[Sequence[Any]]  # number, collateral token, debt token
    what: What = "positions"
    accounts: Sequence[str] = ()

    def plain(self) -> dict[str, Any]:
        """Give the task as the programs take it."""
        own = asdict(self)
        del own["market"]
        return own | {
            "url": self.market.url,
            "chain": _CHAIN,
            "pool": to_checksum_address(self.market.pool),
            "multicall3": self.market.aggregator,
            "reserves": [[n, to_checksum_address(a), to_checksum_address(v)] for n, a, v in self.reserves],
        }


@dataclass(frozen=True)
class Way:
    """A peer with a setting. The settings of a ``slow`` one are tried on fewer accounts."""

    peer: str
    setting: str
    read: Callable[[Task], Reading] = field(repr=False)
    python: bool = True
    slow: bool = False

    def __str__(self) -> str:
        return f"{self.peer}, {self.setting}"


class PeerFailed(Exception):
    """A peer did not manage with a setting."""


def ways(say: Say) -> list[Way]:
    """List every peer with every setting; install what is not there."""
    version = f"web3.py {web3.__version__}"
    banteg = [str(multicall_python(say)), str(Path(__file__).with_name("peer_multicall.py"))]
    viem = [find_node().node, str(Path(__file__).with_name("peer_viem.mjs")), str(viem_packages(say))]
    at_once = f"async, {IN_FLIGHT} at once"
    return [
        *(Way(f"{version} batch_requests", f"{n:,} calls", _own(batches, n), slow=True) for n in (100, 500, 2_000)),
        *(
            Way(f"{version} batch_requests", f"{n:,} calls, {at_once}", _own(batches_at_once, n), slow=True)
            for n in (100, 500)
        ),
        *(
            Way(f"{version} contract Multicall3", f"{n:,} calls, {at_once}", _own(multicalls_at_once, n), slow=True)
            for n in (250, 500)
        ),
        *(
            Way(f"multicall {MULTICALL['multicall']}", f"{n:,} calls", _program(banteg, n))
            for n in (250, 500, 750, 10_000)
        ),
        *(
            Way(f"viem {VIEM['viem']} multicall", f"batchSize {n:,}", _program(viem, n), python=False)
            for n in (1_024, 8_192, 32_768, 131_072)
        ),
    ]


def _own(make: Callable[..., peer_task.Ask], size: int) -> Callable[[Task], Reading]:
    def read(task: Task) -> Reading:
        plain = task.plain()
        extra = (plain["multicall3"],) if make is multicalls_at_once else ()
        ask = make(plain["url"], task.block, size, *extra)
        times, answers = timed(lambda: peer_task.read(ask, plain), 1)
        return times.median, answers

    return read


def _program(command: Sequence[str], setting: int) -> Callable[[Task], Reading]:
    """Give a task to another program, which takes the time itself: its start is not in it."""

    def read(task: Task) -> Reading:
        given = json.dumps(task.plain() | {"setting": setting})
        try:
            done = subprocess.run(command, input=given, capture_output=True, text=True, timeout=_PATIENCE)
        except subprocess.TimeoutExpired as error:
            raise PeerFailed(f"no end within {_PATIENCE} s") from error
        if done.returncode:
            lines = done.stderr.strip().splitlines() or ["it ended without a word"]
            raise PeerFailed(next((line for line in reversed(lines) if "rror" in line), lines[-1])[:200])
        answer = json.loads(done.stdout)
        return answer["seconds"], answer["answers"]

    return read
