"""Read accounts with banteg's multicall; run by the interpreter of its own environment, with the task on stdin."""

from __future__ import annotations

import asyncio
import json
import logging
import sys
import time
from collections.abc import Sequence
from typing import Any

import multicall
from multicall.constants import MULTICALL3_ADDRESSES
from multicall.multicall import batcher
from peer_task import OUTPUTS, Question, read
from web3 import HTTPProvider, Web3

_SIGNATURES = {name: f"{name}(address)({','.join(types)})" for name, types in OUTPUTS.items()}


def _asker(task: dict[str, Any]) -> Any:
    web3 = Web3(HTTPProvider(task["url"]))

    def ask(questions: list[Question]) -> Sequence[Sequence[int]]:
        calls = [
            multicall.Call(
                contract,
                [_SIGNATURES[name], account],
                [[(place, word), None] for word in range(len(OUTPUTS[name]))],
            )
            for place, (contract, name, account) in enumerate(questions)
        ]
        found = multicall.Multicall(calls, block_id=task["block"], _w3=web3)()
        return [
            [found[place, word] for word in range(len(OUTPUTS[name]))] for place, (_, name, _) in enumerate(questions)
        ]

    return ask


def main() -> None:
    """Read once; give the seconds and the answers."""
    logging.disable(logging.WARNING)
    task = json.load(sys.stdin)
    MULTICALL3_ADDRESSES[task["chain"]] = task["multicall3"]
    asyncio.set_event_loop(asyncio.new_event_loop())
    batcher.step = task["setting"]  # it shrinks by itself where a request runs out of gas
    start = time.perf_counter()
    answers = read(_asker(task), task)
    seconds = time.perf_counter() - start
    json.dump({"seconds": seconds, "answers": answers}, sys.stdout)


if __name__ == "__main__":
    main()
