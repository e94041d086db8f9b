"""Accounts without debt are left out of later scans only as long as that is known to hold."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

import scanner
from scanner.chain.reader import open_reader
from scanner.devchain import DevMarket
from scanner.discovery import discover
from scanner.protocols.aave_v3.protocol import AaveV3
from scanner.reading import open_index
from scanner.targets import Target
from tests.chain.conftest import Rollback
from tests.chain.peers import options_of
from tests.chain.proxy import Request, Say, proxy

pytestmark = pytest.mark.chain


def candidates(market: DevMarket, url: str, index: Path) -> tuple[set[str], set[str]]:
    target = Target(AaveV3(), market.root, "devchain", market.first_block)
    with open_reader(url) as reader, open_index(reader, target, index) as borrowers:
        found = discover(reader, target.protocol.discovery(reader, market.root), borrowers)
    return set(found.active), set(found.idle)


def test_marks_fall_when_their_block_is_undone(small: DevMarket, rollback: Rollback, tmp_path: Path) -> None:
    market, index = rollback(small), tmp_path / "index.sqlite"
    before = market.snapshot()
    market.advance(5)
    result = scanner.scan(options_of(market, index, extent="points"))
    assert result.snapshot.complete
    indebted = set(result.frames["accounts"].filter(result.frames["accounts"]["status"] != "no_debt")["position"])
    active, idle = candidates(market, market.anvil.url, index)
    assert len(idle) >= 5
    assert idle.isdisjoint(indebted)

    number = hex(result.snapshot.block_number)

    def lag(request: Request) -> Say | None:
        unknown = request["method"] == "eth_getBlockByNumber" and request["params"][0] == number
        return Say({"jsonrpc": "2.0", "id": 1, "result": None}) if unknown else None

    market.advance(5)
    with proxy(market.anvil.url, lag) as url:  # a node that does not know that block tells nothing about it
        assert candidates(market, url, index) == (active | idle, set())
    assert candidates(market, market.anvil.url, index) == (active, idle)

    market.revert(before)
    market.advance(7)  # another block of that number
    assert candidates(market, market.anvil.url, index) == (active | idle, set())


def forget(index: Path, owner: str) -> None:
    with closing(sqlite3.connect(index)) as db, db:
        db.execute("DELETE FROM positions WHERE owner = ?", (owner,))


def test_an_incomplete_scan_marks_nobody(small: DevMarket, rollback: Rollback, tmp_path: Path) -> None:
    market, index = rollback(small), tmp_path / "index.sqlite"
    active, idle = candidates(market, market.anvil.url, index)
    assert not idle
    options = options_of(market, index, extent="points")
    accounts = scanner.scan(options, index_file=tmp_path / "another.sqlite").frames["accounts"]
    whale = accounts.sort("debt_quote", descending=True, nulls_last=True)["position"][0]
    assert whale in active
    forget(index, whale)
    assert not scanner.scan(options, discover=False).snapshot.complete
    assert candidates(market, market.anvil.url, index) == (active - {whale}, set())


def test_an_index_is_not_trusted_by_a_node_that_lags(small: DevMarket, rollback: Rollback, tmp_path: Path) -> None:
    """Whether the index is of this chain cannot be told then: all logs are read, and nothing is saved."""
    market, index = rollback(small), tmp_path / "index.sqlite"
    active, _ = candidates(market, market.anvil.url, index)
    lost = sorted(active)[0]
    forget(index, lost)
    assert candidates(market, market.anvil.url, index)[0] == active - {lost}
    with closing(sqlite3.connect(index)) as db:
        ((anchor,),) = db.execute("SELECT value FROM meta WHERE key = 'anchor_number'")

    def lag(request: Request) -> Say | None:
        unknown = request["method"] == "eth_getBlockByNumber" and request["params"][0] in (
            hex(int(anchor)),
            "finalized",
        )
        return Say({"jsonrpc": "2.0", "id": 1, "result": None}) if unknown else None

    with proxy(market.anvil.url, lag) as url:
        assert candidates(market, url, index)[0] == active
    assert candidates(market, market.anvil.url, index)[0] == active - {lost}
