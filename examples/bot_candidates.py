"""Read accounts as NDJSON and list the liquidations that a bot would prepare.

liqbands accounts --chain ethereum --format ndjson | python examples/bot_candidates.py --within 2
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterable, Iterator
from typing import Any


def candidates(lines: Iterable[str], within: float) -> Iterator[dict[str, Any]]:
    """Give a call for each account that is open to liquidation now, or that a factor's move within a share makes so.

    Everything is decided on the strings, which are exact integers.
    """
    first = next(iter(lines), None)
    if first is None:
        raise SystemExit("nothing came in: did liqbands fail?")
    head = json.loads(first)
    if head["kind"] != "snapshot" or not head["snapshot"]["complete"]:
        raise SystemExit("the scan is incomplete: not acting on it")
    for line in lines:
        account = json.loads(line)
        if account["status"] not in ("healthy", "liquidatable"):
            continue
        wanted = {
            (point["factor"], point["direction"]): point
            for point in account["liquidation_points"]
            if point["ratio"] is not None and abs(point["ratio"] - 1) <= within
        }
        if account["status"] == "liquidatable":
            wanted["now", "now"] = {"trigger_answer": None}
        for call in account["seizures"]:
            point = wanted.get((call["factor"], call["direction"]))
            if call["best"] and call["blocked_by"] is None and point is not None:
                yield {
                    "account": account["account"],
                    "when": call["factor"],
                    "direction": call["direction"],
                    "trigger_answer": point["trigger_answer"],
                    "debt_reserve": call["debt_reserve"],
                    "collateral_reserve": call["collateral_reserve"],
                    "repay_raw": call["repay_raw"],
                    "receive_raw": str(int(call["seize_raw"]) - int(call["fee_raw"])),
                }


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--within", type=float, default=2.0, help="per cent of today's price")
    try:
        for call in candidates(iter(sys.stdin), parser.parse_args().within / 100):
            print(json.dumps(call), flush=True)
    except BrokenPipeError:  # the consumer has seen enough
        sys.stdout = None  # type: ignore[assignment]


if __name__ == "__main__":
    main()
