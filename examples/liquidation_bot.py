"""Liquidate everybody who can be liquidated, with the calls that the stream quotes. For a devchain: it mints its money.

liqbands accounts --follow --quotes --format ndjson --for-timestamp +1s ... | python examples/liquidation_bot.py URL
"""

from __future__ import annotations

import argparse
import json
import sys
from collections import Counter
from collections.abc import Iterable, Iterator
from typing import Any

from web3 import HTTPProvider, Web3

KEY = "0x59c6995e998f97a5a0044966f0945389dc9e86dae88c7a8412f4603b6b78690d"  # the second of every anvil
TOKEN = [
    {"type": "function", "name": name, "inputs": [{"type": "address"}, {"type": "uint256"}], "outputs": []}
    for name in ("mint", "approve")
]


def calls(lines: Iterable[str]) -> Iterator[tuple[int, dict[str, Any]]]:
    """Give, after each block, its number and the best call for every account that can be liquidated at once."""
    best: dict[str, Any] = {}
    sound = False
    for line in map(json.loads, lines):
        if line.get("event") in ("upsert", "remove"):
            key = line["market_id"] + line["position"]
            best.pop(key, None)
            for quote in line.get("quotes", ()):
                if quote["best"] and quote["blocked_by"] is None:
                    best[key] = quote
        elif line.get("kind") in ("snapshot", "block"):
            sound = line["snapshot"]["complete"] and not line["mismatches"]
            if line["kind"] == "snapshot":
                best.clear()
        elif line.get("kind") == "end" and sound:
            yield line["block_number"], dict(best)


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("url", help="RPC URL of the devchain that the stream follows")
    web3 = Web3(HTTPProvider(parser.parse_args().url))
    me = web3.eth.account.from_key(KEY)
    tried: Counter[str] = Counter()
    mined, nonce, done = 0, web3.eth.get_transaction_count(me.address), 0

    def send(to: str, data: str) -> Any:
        nonlocal nonce
        call = {"to": to, "data": data, "nonce": nonce, "gas": 10**7, "gasPrice": web3.eth.gas_price}
        signed = me.sign_transaction({**call, "chainId": web3.eth.chain_id})
        nonce += 1
        return web3.eth.send_raw_transaction(signed.raw_transaction)

    for block, best in calls(sys.stdin):
        if block < mined:
            continue  # quoted before our last calls were mined
        todo = {key: quote for key, quote in best.items() if tried[key] < 3}
        if not todo:
            print(f"{done} liquidations; {len(best)} accounts are left that could not be liquidated", flush=True)
            return 1 if best else 0
        sent = {}
        for key, quote in todo.items():
            token = web3.eth.contract(quote["debt_asset"], abi=TOKEN)
            send(token.address, token.encode_abi("mint", [me.address, 2 * int(quote["most_repay_raw"])]))
            send(token.address, token.encode_abi("approve", [quote["to"], 2**256 - 1]))
            sent[key] = send(quote["to"], quote["data"])
        for key, sending in sent.items():
            receipt = web3.eth.wait_for_transaction_receipt(sending)
            mined, done = max(mined, receipt["blockNumber"]), done + receipt["status"]
            tried[key] += not receipt["status"]
    return 1  # the stream has ended


if __name__ == "__main__":
    sys.exit(main())
