"""The chains that scenarios run on: a small real market each, what can happen to it, and the truth about its blocks."""

from __future__ import annotations

import os
import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any, Final
from unittest.mock import patch

import msgspec

import scanner
from scanner.devchain import Anvil, DevMarket, deploy_market, populate
from scanner.devchain.market import Kind
from scanner.devchain.toolchain import Toolchain
from scanner.devchain.tx import calldata
from scanner.export.documents import accounts_json
from tests.chain.peers import MULTICALL3, multicall3_code
from tests.chaos.lies import FalseState
from tests.chaos.scenarios import Lie

__all__ = ["ChaosWorld", "bare", "open_world"]

_ROUNDS: Final = 4
_EACH: Final = 9
_VARIABLE: Final = 2


def bare(result: scanner.ScanResult) -> bytes:
    """Give the accounts document without its snapshot; everything else stays byte for byte."""
    document = accounts_json(result)
    start = document.index(b'"snapshot":')
    raw = msgspec.json.decode(document, type=dict[str, msgspec.Raw])["snapshot"]
    end = start + len(b'"snapshot":') + len(bytes(raw)) + 1
    if document[start + len(b'"snapshot":') : end - 1] != bytes(raw):
        raise AssertionError("the snapshot is not where it was expected")
    return document[:start] + document[end:]


class ChaosWorld:
    """A market whose borrowers came in rounds, the last of them in the newest blocks."""

    def __init__(self, market: DevMarket, folder: Path) -> None:
        self.market = market
        self.folder = folder
        self._newcomers = 0
        self._truths: dict[str, bytes] = {}
        self._warm = folder / f"warm-{market.kind}.sqlite"
        self._live()
        self._base = market.snapshot()
        self._before: str | None = None  # where a reorganisation goes back to
        self._undone = 0
        self.block_truth("latest", self._warm)

    @property
    def anvil(self) -> Anvil:
        """Give the node."""
        return self.market.anvil

    def _live(self) -> None:
        market = self.market
        if market.kind == "3.6":  # the other market is read without, where nothing can be injected
            self.anvil.rpc("anvil_setCode", MULTICALL3, multicall3_code(market.toolchain))
        for turn in range(_ROUNDS):
            populate(market, _EACH, seed=turn + 1, settle=turn == _ROUNDS - 1)
            if turn < _ROUNDS - 1:
                self.anvil.rpc("anvil_mine", hex(5 if turn < _ROUNDS - 2 else 70))
        self._borrow()
        self._borrow()

    def _borrow(self) -> None:
        """Let somebody new borrow, in one block."""
        self._newcomers += 1
        chain, market = self.market.chain, self.market
        name = "0x" + f"c4a05{self._newcomers:035x}"
        backing, debt = market.reserves["WETH"], market.reserves["USDC"]
        wanted = 10**17 * (10 + self._newcomers % 7)
        self.anvil.rpc("evm_setAutomine", False)
        try:
            sends = [
                (backing.asset, calldata("mint(address,uint256)", name, wanted)),
                (backing.asset, calldata("approve(address,uint256)", market.pool, 2**256 - 1)),
                (market.pool, calldata("supply(address,uint256,address,uint16)", backing.asset, wanted, name, 0)),
                (
                    market.pool,
                    calldata(
                        "borrow(address,uint256,uint256,uint16,address)",
                        debt.asset,
                        10**6 * (300 + self._newcomers % 11),
                        _VARIABLE,
                        0,
                        name,
                    ),
                ),
            ]
            requests = [
                {"from": name, "to": to, "data": "0x" + data.hex(), "gas": hex(10**8), "gasPrice": "0x0"}
                for to, data in sends
            ]
            hashes = self.anvil.batch([("eth_sendTransaction", [request]) for request in requests])
            self.anvil.rpc("evm_mine")
        finally:
            self.anvil.rpc("evm_setAutomine", True)
        mined = self.anvil.rpc("eth_getBlockReceipts", hex(chain.block_number()))
        if len(mined) != len(hashes) or any(int(receipt["status"], 16) != 1 for receipt in mined):
            raise AssertionError("a newcomer could not borrow")

    def _happen(self, blocks: int) -> None:
        """Mine blocks in which prices move and somebody borrows, in turn."""
        for turn in range(blocks):
            if turn % 3 == 1:
                self._borrow()
            else:
                self.market.set_price("ETH", self.market.answer("ETH") * 997 // 1000)

    @contextmanager
    def visit(self, undone: int = 0) -> Iterator[None]:
        """Open the chain for one scenario, then take back what happened. ``undone``: blocks for a reorganisation."""
        known = self._newcomers
        if undone:
            self._before = self.market.snapshot()
            self._happen(undone)
        try:
            yield
        finally:
            self.market.revert(self._base)
            self._base = self.market.snapshot()
            self._newcomers = known

    def reorganise(self, depth: int, how: str) -> None:
        """Undo the newest blocks of this visit and mine one more than that."""
        if how == "revert" and self._before is not None:
            self.market.revert(self._before)
        elif how == "rollback":
            self.anvil.rpc("anvil_rollback", depth)
        else:
            self.anvil.rpc("anvil_reorg", depth, [])
        if how != "reorg":
            self.market.set_price("ETH", self.market.answer("ETH") * 1009 // 1000)
            self._happen(depth)

    def block_truth(self, block: str, index: Path | None = None) -> bytes:
        """Scan a block undisturbed; give the accounts document without its snapshot."""
        if block in self._truths:
            return self._truths[block]
        self._count = getattr(self, "_count", 0) + 1
        file = index or self.folder / f"truth-{self.market.kind}-{self._count}.sqlite"
        with self.data(None):
            result = scanner.scan(
                rpc_urls=[self.anvil.url],
                markets=[self.market.root],
                from_block=self.market.first_block,
                index_file=file,
                block=block,
                verify="all",
            )
        if not result.trustworthy:
            raise AssertionError(f"the undisturbed scan of block {block} is not trustworthy")
        found = bare(result)
        self._truths[result.snapshot.block_hash] = found
        return found

    def index(self, name: str, *, warm: bool) -> Path:
        """Give a new index file, or a copy of one that a scan of this chain left."""
        path = self.folder / f"{name}.sqlite"
        if warm:
            with closing(sqlite3.connect(self._warm)) as source, closing(sqlite3.connect(path)) as copy:
                source.backup(copy)
        return path

    @contextmanager
    def data(self, name: str | None, *, warm: bool = False) -> Iterator[None]:
        """Let scans keep what they learn in a folder of this world: its own, a new one, or a copy of its own."""
        own = self.folder / f"data-{self.market.kind}"
        path = own if name is None else self.folder / name
        if warm:
            shutil.copytree(own, path)
        with patch.dict(os.environ, {"LIQBANDS_DATA_DIR": str(path)}):
            yield

    def missing_from(self, index: Path) -> list[str]:
        """List the positions that an index should know by its own cursor, and does not."""
        if not index.is_file():
            return []
        known = _rows(index, "SELECT position FROM positions")
        covered = _rows(index, "SELECT value FROM meta WHERE key = 'covered_to'")
        if not covered:
            return []
        query = "SELECT position FROM positions WHERE found_block <= ?"
        return sorted(set(_rows(self._warm, query, int(str(covered[0])))) - set(known))

    def lie(self, lie: Lie) -> FalseState:
        """Turn a changed balance into the storage slots that hold it, and the sum of all where that lies too."""
        holders = []
        for info in self.market.reserves.values():
            token = info.vtoken if lie.side == "debt" else info.atoken
            for member in self.market.members:
                if (amount := self._word(token, "scaledBalanceOf(address)", member.address)) > 10**4:
                    holders.append((token, member, amount))
        fit = [
            one for one in holders if one[1].kind in ("long_eth", "large_eth", "loop", "whale", "long_btc", "short_eth")
        ]
        token, member, amount = fit[int(lie.victim * len(fit))]
        false = amount * lie.percent // 100
        slots = [self._slot(token, amount, false, "scaledBalanceOf(address)", member.address)]
        if lie.totals:
            total = self._word(token, "scaledTotalSupply()")
            slots.append(self._slot(token, total, total - amount + false, "scaledTotalSupply()"))
        label = f"changed {lie.side}" + ("" if lie.totals else ", honest totals")
        return FalseState(label, tuple(slots))

    def _word(self, to: str, signature: str, *values: object) -> int:
        found: Any = self.anvil.rpc("eth_call", {"to": to, "data": "0x" + calldata(signature, *values).hex()}, "latest")
        return int(found, 16)

    def _slot(self, token: str, true: int, false: int, signature: str, *values: object) -> tuple[str, str, str]:
        """Find the slot that a getter reads ``true`` from, and give it with ``false`` in place."""
        call = {"to": token, "data": "0x" + calldata(signature, *values).hex()}
        for entry in self.anvil.rpc("eth_createAccessList", call, "latest")["accessList"]:
            for slot in entry["storageKeys"]:
                value = int(self.anvil.rpc("eth_getStorageAt", entry["address"], slot, "latest"), 16)
                if value & (2**120 - 1) == true:
                    return entry["address"].lower(), slot, f"0x{value - true + false:064x}"
        raise AssertionError(f"no slot of {token} holds {true}")

    def clean(self) -> None:
        """Remove what scenarios left."""
        for path in self.folder.glob("seed-*"):
            if path.is_dir():
                shutil.rmtree(path)
            else:
                path.unlink()


def _rows(path: Path, query: str, *values: int) -> list[Any]:
    with closing(sqlite3.connect(path)) as connection:
        try:
            return [row[0] for row in connection.execute(query, values)]
        except sqlite3.OperationalError:  # no tables yet
            return []


@contextmanager
def open_world(toolchain: Toolchain, kind: Kind, folder: Path) -> Iterator[ChaosWorld]:
    """Start a node with a market."""
    with Anvil(toolchain.anvil) as anvil:
        yield ChaosWorld(deploy_market(anvil, kind, toolchain=toolchain), folder)
