"""The borrower index as users meet it: built, killed, resumed, imported, exported, on a real chain."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import msgspec
import pytest

import scanner
from scanner.config import child_environment
from scanner.devchain import Anvil, DevMarket, deploy_market, populate
from scanner.devchain.toolchain import Toolchain
from tests.chain.peers import Outcome, invoke, small_market, where
from tests.chain.proxy import Request, Say, proxy, refuse

pytestmark = pytest.mark.chain

ROUNDS, EACH, APART = 8, 12, 14  # borrowers come in rounds, blocks apart
WIDEST = 4  # blocks that the endpoint allows in one eth_getLogs


@pytest.fixture(scope="module")
def market(toolchain: Toolchain) -> Iterator[DevMarket]:
    """Give a market whose borrowers came over a hundred blocks, all final by now."""
    with Anvil(toolchain.anvil) as anvil:
        market = deploy_market(anvil, "3.6", toolchain=toolchain)
        for turn in range(ROUNDS):
            populate(market, EACH, seed=turn + 1, settle=turn == ROUNDS - 1)
            anvil.rpc("anvil_mine", hex(APART))
        anvil.rpc("anvil_mine", hex(70))
        yield market


class Narrow:
    """An endpoint that gives logs of few blocks at a time, and takes a while; it notes where each request began."""

    def __init__(self, pause: float = 0.0) -> None:
        self.pause = pause
        self.starts: list[int] = []
        self.others = 0

    def __call__(self, request: Request) -> Say | None:
        if request["method"] != "eth_getLogs":
            self.others += 1
            return None
        (query,) = request["params"]
        first, last = int(query["fromBlock"], 16), int(query["toBlock"], 16)
        if last - first >= WIDEST:
            return refuse(f"query exceeds max block range of {WIDEST}", -32600)
        time.sleep(self.pause)
        self.starts.append(first)
        return None


def rows(index: Path) -> list[tuple[object, ...]]:
    with closing(sqlite3.connect(index)) as connection:
        return connection.execute("SELECT position, owner, found_block FROM positions ORDER BY position").fetchall()


def covered(index: Path) -> int:
    with closing(sqlite3.connect(index)) as connection:
        found = connection.execute("SELECT value FROM meta WHERE key = 'covered_to'").fetchone()
    return int(found[0]) if found else 0


def indebted(market: DevMarket) -> set[str]:
    data = market.account_data([member.address for member in market.members if member.kind not in FRAGILE])
    names = [member.address for member in market.members if member.kind not in FRAGILE]
    return {name for name, one in zip(names, data, strict=True) if one.debt}


FRAGILE = ("fragile", "fragile_debt", "no_debt")


def scan(capfd: pytest.CaptureFixture[str], market: DevMarket, index: Path, *more: str) -> Outcome:
    return invoke(capfd, "scan", *where(market, index), "--verify", "none", "-q", *more)


# -- built, killed, resumed -------------------------------------------------------------------------------------------


def test_an_index_holds_every_borrower(market: DevMarket, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    index = tmp_path / "index.sqlite"
    outcome = invoke(capfd, "index", *where(market, index))
    status = invoke(capfd, "index", *where(market, index), "--status")

    found = {str(position) for position, _, _ in rows(index)}
    assert outcome.code == 0
    assert found >= indebted(market)
    assert len({block for _, _, block in rows(index)}) == ROUNDS
    assert covered(index) == market.chain.block_number() - 64
    assert f" {len(found)} " in outcome.out
    assert status.out == outcome.out
    assert (status.code, status.err) == (0, "")
    quorum = invoke(capfd, "index", *where(market, index), "--status", "--quorum", "2")
    assert (quorum.code, quorum.out, quorum.err) == (0, status.out, "")
    assert invoke(capfd, "index", *where(market, index), "--quorum", "2").code == 2


@pytest.mark.parametrize("after", [4, 24])
def test_a_killed_run_goes_on_where_it_was(
    market: DevMarket, tmp_path: Path, capfd: pytest.CaptureFixture[str], after: int
) -> None:
    whole, index = tmp_path / "whole.sqlite", tmp_path / "killed.sqlite"
    invoke(capfd, "index", *where(market, whole))
    narrow = Narrow(pause=0.03)
    with proxy(market.anvil.url, narrow) as url:
        command = [sys.executable, "-m", "scanner", "index", *where(market, index, url)]
        with subprocess.Popen(command, env=child_environment(), stderr=subprocess.PIPE) as process:
            deadline = time.monotonic() + 20
            while len(narrow.starts) < after and time.monotonic() < deadline:
                time.sleep(0.005)
            process.kill()
        assert len(narrow.starts) < 50, "the run ended before it was killed"
        kept, reached = len(rows(index)), covered(index)
        assert reached < covered(whole)
        assert kept < len(rows(whole))

        narrow.pause, narrow.starts = 0.0, []
        outcome = invoke(capfd, "index", *where(market, index, url))

    assert outcome.code == 0
    assert min(narrow.starts) == max(reached + 1, market.first_block)
    assert rows(index) == rows(whole)
    assert covered(index) == covered(whole)


def test_a_warm_index_costs_few_requests(market: DevMarket, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    index, narrow = tmp_path / "index.sqlite", Narrow()
    with proxy(market.anvil.url, narrow) as url:
        at = [*where(market, index, url), "--verify", "none", "-q"]
        first = invoke(capfd, "scan", *at)
        cold, narrow.others, narrow.starts = len(narrow.starts), 0, []
        second = invoke(capfd, "scan", *at)

    assert (first.code, second.code) == (0, 0)
    assert min(narrow.starts) == covered(index) + 1
    assert len(narrow.starts) <= 64 / WIDEST + 1 < cold
    assert narrow.others < 44


# -- lists of addresses -----------------------------------------------------------------------------------------------


def exported(capfd: pytest.CaptureFixture[str], market: DevMarket, index: Path) -> list[str]:
    outcome = invoke(capfd, "index", *where(market, index), "--no-discover", "--export", "-")
    assert outcome.code == 0
    return outcome.out.splitlines()


def lines(owners: list[str]) -> str:
    return "# borrowers\n\n" + "\n".join(owners) + "\n"


def csv(owners: list[str]) -> str:
    return "rank,borrower,note\n" + "".join(
        f'{i},{owner.upper().replace("0X", "0x")},"x"\n' for i, owner in enumerate(owners)
    )


def json_array(owners: list[str]) -> str:
    return msgspec.json.encode(owners).decode()


def json_lines(owners: list[str]) -> str:
    return msgspec.json.format(json_array(owners))


@pytest.mark.parametrize("form", [lines, csv, json_array, json_lines])
def test_a_list_comes_back_as_it_went(
    market: DevMarket, tmp_path: Path, capfd: pytest.CaptureFixture[str], form: object
) -> None:
    assert callable(form)
    index, file = tmp_path / "index.sqlite", tmp_path / "borrowers.txt"
    owners = sorted(indebted(market))
    file.write_text(form(owners))

    outcome = invoke(capfd, "index", *where(market, index), "--import", file)

    assert outcome.code == 0
    assert f"imported {len(owners)} addresses" in outcome.err
    assert exported(capfd, market, index) == owners
    assert covered(index) == 0, "a list says nothing of blocks"


def test_an_export_of_a_new_index_finds_borrowers_first(
    market: DevMarket, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    outcome = invoke(capfd, "index", *where(market, tmp_path / "index.sqlite"), "--export", "-")

    assert (outcome.code, outcome.err) == (0, "")
    assert set(outcome.out.splitlines()) >= indebted(market)


def test_a_first_block_that_cannot_be_is_refused_and_does_no_harm(
    market: DevMarket, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    index = tmp_path / "index.sqlite"
    at = where(market, index)
    begin = at.index("--from-block") + 1
    for known in (False, True):
        for first, words in (("-1", "--from-block -1"), ("999999", "first block, 999999, is after block")):
            for command in (["scan", "--verify", "none", "-q"], ["index"], ["index", "--status"]):
                outcome = invoke(capfd, *command, *at[:begin], first, *at[begin + 1 :])
                assert (outcome.code, outcome.out) == (2, ""), (known, first, command, outcome.err)
                assert words in outcome.err
        assert scan(capfd, market, index).code == 0


def test_a_list_cannot_cover_what_is_still_to_come(
    market: DevMarket, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    index, file = tmp_path / "index.sqlite", tmp_path / "borrowers.txt"
    file.write_text(market.members[0].address)

    for block in (market.chain.block_number() + 1, -1):
        outcome = invoke(capfd, "index", *where(market, index), "--import", file, "--covered-to", str(block))
        assert (outcome.code, outcome.out) == (2, "")
        assert f"--covered-to {block}" in outcome.err
    assert not index.exists()


def test_a_list_that_is_not_complete_is_mended_by_a_rebuild(
    market: DevMarket, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    index, file = tmp_path / "index.sqlite", tmp_path / "borrowers.txt"
    file.write_text(market.of_kind("whale")[0])
    head = str(market.chain.block_number())
    assert invoke(capfd, "index", *where(market, index), "--import", file, "--covered-to", head).code == 0

    short = scan(capfd, market, index)
    rebuilt = invoke(capfd, "index", *where(market, index), "--rebuild")
    whole = scan(capfd, market, index)

    assert short.code == 4
    assert f"imported list as complete up to block {head}: `liqbands index --rebuild`" in short.err.splitlines()[-1]
    assert (rebuilt.code, whole.code, whole.err) == (0, 0, "")
    assert {str(position) for position, _, _ in rows(index)} >= indebted(market)


@pytest.mark.parametrize("part", ["topics", "address"])
def test_a_log_of_another_shape_is_refused_and_does_no_harm(
    market: DevMarket, tmp_path: Path, capfd: pytest.CaptureFixture[str], part: str
) -> None:
    index = tmp_path / "index.sqlite"

    def short(request: Request) -> Say | None:
        if request["method"] != "eth_getLogs":
            return None
        logs = market.anvil.rpc(request["method"], *request["params"])
        for log in logs:
            log[part] = [topic[:40] for topic in log["topics"]] if part == "topics" else log["address"][:40]
        return Say({"jsonrpc": "2.0", "id": 1, "result": logs})

    with proxy(market.anvil.url, short) as url:
        refused = invoke(capfd, "scan", *where(market, index, url), "--verify", "none", "-q")
    assert refused.code == 3
    assert "eth_getLogs: unexpected result" in refused.err
    assert scan(capfd, market, index).code == 0


class Lagging:
    """A chain whose newest block is final, and logs of a node that has not come to the last ones; notes the ranges."""

    def __init__(self, market: DevMarket, lacking: int) -> None:
        self._anvil, self._lacking = market.anvil, lacking
        self.asked: list[tuple[int, int]] = []

    def __call__(self, request: Request) -> Say | None:
        method, params = request["method"], request["params"]
        if method == "eth_getBlockByNumber" and params[0] == "finalized":
            return Say({"jsonrpc": "2.0", "id": 1, "result": self._anvil.rpc(method, "latest", False)})
        if method != "eth_getLogs":
            return None
        self.asked.append((int(params[0]["fromBlock"], 16), int(params[0]["toBlock"], 16)))
        logs = [log for log in self._anvil.rpc(method, *params) if int(log["blockNumber"], 16) < self._lacking]
        return Say({"jsonrpc": "2.0", "id": 1, "result": logs})


def test_logs_that_a_lagging_node_left_out_are_read_again(
    market: DevMarket, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    whole, index = tmp_path / "whole.sqlite", tmp_path / "index.sqlite"
    assert scan(capfd, market, whole).code == 0
    lagging = Lagging(market, max(int(str(block)) for _, _, block in rows(whole)))
    with proxy(market.anvil.url, lagging) as url:
        cold = invoke(capfd, "scan", *where(market, index, url), "--verify", "none", "-q")
    head = market.chain.block_number()
    assert (cold.code, covered(index)) == (4, head)
    assert len(lagging.asked) == 1, "what was just read is not read again"

    mended = scan(capfd, market, index)
    assert (mended.code, mended.err) == (0, "")
    assert {row[0] for row in rows(index)} == {row[0] for row in rows(whole)}


def test_logs_are_read_again_once_and_no_more(
    market: DevMarket, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """A market that is never complete would cost double for ever."""
    whole, index = tmp_path / "whole.sqlite", tmp_path / "index.sqlite"
    assert scan(capfd, market, whole).code == 0
    lagging = Lagging(market, max(int(str(block)) for _, _, block in rows(whole)))
    head, reads = market.chain.block_number(), []
    with proxy(market.anvil.url, lagging) as url:
        for _ in range(4):
            assert invoke(capfd, "scan", *where(market, index, url), "--verify", "none", "-q").code == 4
            reads.append(lagging.asked[:])
            lagging.asked.clear()
    assert reads == [[(market.first_block, head)], [(market.first_block, head)], [], []]
    assert scan(capfd, market, index).code == 4
    assert invoke(capfd, "index", *where(market, index), "--rebuild").code == 0
    assert scan(capfd, market, index).code == 0


def test_an_export_goes_to_a_file(market: DevMarket, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    index, file = tmp_path / "index.sqlite", tmp_path / "out.txt"
    invoke(capfd, "index", *where(market, index))

    outcome = invoke(capfd, "index", *where(market, index), "--export", file)

    assert outcome.code == 0
    assert file.read_text().splitlines() == [position for position, _, _ in rows(index)]


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("{0}\n{1}\nhello\n", 3),
        ("{0}\n0x1234\n", 2),
        ("{0}\n{1}00\n", 2),
        ("address\n{0}\n0xzz\n", 3),
        ("0x12\n{0}\n", 1),
        ('["{0}",\n"{1}",\n"0x12"]\n', 3),
    ],
)
def test_a_bad_line_is_named_and_imports_nothing(
    market: DevMarket, tmp_path: Path, capfd: pytest.CaptureFixture[str], text: str, line: int
) -> None:
    index, file = tmp_path / "index.sqlite", tmp_path / "borrowers.txt"
    file.write_text(text.format(*market.of_kind("whale")[:2]))

    outcome = invoke(capfd, "index", *where(market, index), "--import", file)

    assert (outcome.code, outcome.out) == (2, "")
    assert f"{file}, line {line}: " in outcome.err
    assert "nothing imported" in outcome.err
    assert not index.exists()


def test_a_list_that_is_not_there_is_said_so(
    market: DevMarket, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    outcome = invoke(capfd, "index", *where(market, tmp_path / "i.sqlite"), "--import", tmp_path / "none.txt")

    assert outcome.code == 2
    assert "none.txt" in outcome.err


def test_without_logs_the_proof_says_what_a_list_lacks(
    market: DevMarket, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    index, file = tmp_path / "index.sqlite", tmp_path / "borrowers.txt"
    file.write_text("\n".join(member.address for member in market.members))

    empty = scan(capfd, market, index, "--no-discover")
    invoke(capfd, "index", *where(market, index), "--import", file)
    full = scan(capfd, market, index, "--no-discover")

    assert empty.code == 4
    *told, advice = empty.err.splitlines()
    assert "run again without --no-discover" in advice
    assert len(told) >= 9
    assert all("of debt missing (100.0000%, " in line for line in told)
    assert (full.code, full.err) == (0, "")


# -- which index is whose ---------------------------------------------------------------------------------------------


def test_two_markets_do_not_share_an_index(
    toolchain: Toolchain, tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LIQBANDS_DATA_DIR", str(tmp_path / "data"))
    with Anvil(toolchain.anvil) as anvil:
        markets = [small_market(anvil, toolchain, kind, 30) for kind in ("3.6", "3.0")]
        anvil.rpc("anvil_mine", hex(70))
        for market in markets:
            at = ["--rpc-url", anvil.url, "--market", market.root, "--no-progress"]
            assert invoke(capfd, "scan", *at, "--verify", "none").code == 0
        files = {file.name: file for file in (tmp_path / "data" / "index").glob("*.sqlite")}
        assert len(files) == 2
        for market in markets:
            (file,) = (file for name, file in files.items() if market.root in name)
            assert {str(position) for position, _, _ in rows(file)} >= indebted(market)
            assert {str(position) for position, _, _ in rows(file)} <= {m.address for m in market.members}

        before = file.read_bytes()
        outcome = invoke(capfd, "scan", *where(markets[0], file))

    assert outcome.code == 4
    assert f"{file} belongs to another market" in outcome.err
    assert file.read_bytes() == before


def test_another_chain_with_the_same_genesis_is_read_anew(toolchain: Toolchain, tmp_path: Path) -> None:
    """Two runs of a local node share chain id, genesis and market root, as a fork does with its origin."""
    index, roots = tmp_path / "index.sqlite", set()
    for seed in (1, 2):
        with Anvil(toolchain.anvil) as anvil:
            market = deploy_market(anvil, "3.6", seed, toolchain=toolchain)
            populate(market, 60, seed)
            anvil.rpc("anvil_mine", hex(90))
            options = {"rpc_urls": [anvil.url], "markets": [market.root], "from_block": 1, "index_file": index}
            for _ in ("cold", "warm"):
                result = scanner.scan(**options, verify="none", extent="points")
                assert result.snapshot.complete
            roots.add(market.root)
    assert len(roots) == 1
