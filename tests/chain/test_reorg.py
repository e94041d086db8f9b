"""A block that is undone in mid-scan."""

from __future__ import annotations

from pathlib import Path

import pytest

import scanner
from scanner.chain.interface import Call
from scanner.chain.reader import open_reader
from scanner.devchain import DevMarket
from scanner.errors import BlockUndone
from tests.chain.conftest import Rollback
from tests.chain.peers import options_of
from tests.chain.proxy import proxy
from tests.chain.test_opening import no_hashes

pytestmark = pytest.mark.chain


class Undo:
    """Undoes some blocks while the first scans compute, and mines others in their place."""

    def __init__(self, market: DevMarket, blocks: int, times: int = 1) -> None:
        self.market, self.blocks, self.times = market, blocks, times
        self.restarts = 0
        self.undone = False  # in the scan that is going on
        self.prepare()

    def prepare(self) -> None:
        self.before = self.market.snapshot()
        for _ in range(self.blocks):
            self.market.advance(3)

    def stage(self, name: str, total: int = 0) -> None:
        if "starting again" in name:
            self.restarts += 1
            self.undone = False
        if name == "computing" and self.times and not self.undone:
            self.times -= 1
            self.undone = True
            self.market.revert(self.before)
            self.market.set_price("ETH", self.market.answer("ETH") * 99 // 100)
            self.prepare()

    def update(self, done: int, total: int = 0) -> None:
        pass


def options(market: DevMarket, path: Path) -> scanner.ScanOptions:
    return options_of(market, path / "index.sqlite", extent="factor", verify="sample")


@pytest.mark.parametrize(("blocks", "times"), [(1, 1), (4, 3), (20, 1)])
def test_a_scan_starts_again_at_a_new_block(
    small: DevMarket, rollback: Rollback, tmp_path: Path, blocks: int, times: int
) -> None:
    market = rollback(small)
    undo = Undo(market, blocks, times)
    result = scanner.scan(options(market, tmp_path), listener=undo)
    assert undo.restarts == times
    head = market.anvil.rpc("eth_getBlockByNumber", "latest", False)
    assert result.snapshot.block_hash == head["hash"]
    assert result.trustworthy
    fresh = scanner.scan(options(market, tmp_path), index_file=tmp_path / "another.sqlite")
    for name in ("accounts", "liquidation_points", "seizures", "bands"):
        assert result.frames[name].equals(fresh.frames[name]), name


def test_a_block_asked_for_by_number_or_too_often_undone_is_an_error(
    small: DevMarket, rollback: Rollback, tmp_path: Path
) -> None:
    market = rollback(small)
    undo = Undo(market, 2)
    number = str(int(market.anvil.rpc("eth_blockNumber"), 16))
    with pytest.raises(BlockUndone, match="reorganised"):
        scanner.scan(options(market, tmp_path), listener=undo, block=number)
    restless = Undo(market, 1, times=100)
    with pytest.raises(BlockUndone, match="reorganised"):
        scanner.scan(options(market, tmp_path), listener=restless)
    assert restless.restarts == 3


def test_an_answer_of_the_block_that_came_instead_is_no_lie(small: DevMarket, rollback: Rollback) -> None:
    market = rollback(small)
    before = market.snapshot()
    market.advance(3)
    calls = [Call(market.root, b"\xfe\x4c\x6e\x1e"), Call(market.root, b"\x02\x6b\x1d\x5f")]  # any two that it answers
    with proxy(market.anvil.url, no_hashes) as url:
        reader = open_reader(url)
        try:
            assert not reader.by_hash
            assert len(reader.call(calls)) == 2
            market.revert(before)
            market.advance(5)
            with pytest.raises(BlockUndone, match="reorganised away"):
                reader.call(calls)
        finally:
            reader.close()
