"""What tests judge a borrower index by: the node's own logs, read by web3.py, and the file, read by sqlite3."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path
from typing import Any

import msgspec
from web3 import Web3

from scanner.config import data_dir
from scanner.devchain import DevMarket
from tests.chain.peers import Peer
from tests.chain.proxy import Request, Say, refuse

__all__ = ["Slow", "assert_learned_is_whole", "assert_truthful", "borrowed", "covered", "same_accounts"]

TRANSFER = "0x" + Web3.keccak(text="Transfer(address,address,uint256)").hex().removeprefix("0x")
NOBODY = "0x" + 64 * "0"


class Slow:
    """An endpoint that gives logs of few blocks at a time and takes a while for anything; counts the requests."""

    def __init__(self, pause: float, blocks: int = 4) -> None:
        self.pause, self.blocks, self.count = pause, blocks, 0

    def __call__(self, request: Request) -> Say | None:
        self.count += 1
        time.sleep(self.pause)
        if request["method"] == "eth_getLogs":
            (query,) = request["params"]
            if int(query["toBlock"], 16) - int(query["fromBlock"], 16) >= self.blocks:
                return refuse(f"query exceeds max block range of {self.blocks}", -32600)
        return None


def borrowed(market: DevMarket, block: int) -> Mapping[str, int]:
    """Give the block of the first log that gave an account debt: a debt token that is minted, by any event's name."""
    peer = Peer(market, block)
    addresses: list[Any] = list(peer.debt_tokens.values())
    topics: list[Any] = [TRANSFER, NOBODY]
    first: dict[str, int] = {}
    for log in peer.web3.eth.get_logs({"address": addresses, "topics": topics, "fromBlock": 0, "toBlock": block}):
        first.setdefault("0x" + log["topics"][2].hex()[-40:], log["blockNumber"])
    return first


def _look(index: Path, query: str) -> list[tuple[Any, ...]]:
    with closing(sqlite3.connect(index)) as connection:
        return connection.execute(query).fetchall()


def covered(index: Path) -> int | None:
    """Give the block up to which a file says that it holds every log; None where it says nothing, or is not there."""
    if not index.exists() or not _look(index, "SELECT 1 FROM sqlite_master WHERE name = 'meta'"):
        return None
    found = _look(index, "SELECT value FROM meta WHERE key = 'covered_to'")
    return int(found[0][0]) if found else None


def assert_truthful(index: Path, first_log: Mapping[str, int]) -> int | None:
    """Assert that a file is sound and holds every account with a log up to the block that it names; give that block."""
    reached = covered(index)
    if index.exists():
        assert _look(index, "PRAGMA integrity_check") == [("ok",)]
    if reached is not None:
        held = {owner for (owner,) in _look(index, "SELECT owner FROM positions")}
        lacking = {account for account, block in first_log.items() if block <= reached} - held
        assert not lacking, f"covered to {reached}, but lacks {len(lacking)} borrowers"
    return reached


def assert_learned_is_whole() -> int:
    """Assert that what was learned of endpoints can be read; give the number of files."""
    files = list((data_dir() / "endpoints").glob("*.json"))
    for file in files:
        assert isinstance(msgspec.json.decode(file.read_bytes()), dict), file
    return len(files)


def same_accounts(document: Any, other: Any) -> bool:
    """Compare two documents of accounts but for how they were read."""
    one, two = ({key: value for key, value in d.items() if key != "snapshot"} for d in (document, other))
    return one == two
