"""A stream of accounts: who applies every line holds what a fresh scan of the last block gives, whatever happened."""

from __future__ import annotations

import json
import random
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from fractions import Fraction
from functools import cache
from pathlib import Path
from typing import IO, Any

import pytest
from jsonschema import Draft202012Validator

from scanner.config import child_environment
from scanner.devchain import DevMarket, act
from scanner.errors import BlockUnavailable, RpcError
from scanner.export import schemas
from scanner.export.documents import accounts_json
from scanner.export.rows import account_rows
from scanner.export.stream import Ledger, reorg_line
from scanner.follow import Pace, Step, follow
from scanner.pipeline import scan_read
from scanner.quotes import quotes
from tests.chain.conftest import Rollback
from tests.chain.indexes import assert_learned_is_whole, assert_truthful, borrowed
from tests.chain.peers import invoke, options_of, where
from tests.chain.proxy import Request, Say, proxy

pytestmark = pytest.mark.chain

Account = dict[str, Any]
Key = tuple[str, str, str]

POLL = 0.01
NONE_LEFT = "0x" + "ab" * 32


@cache
def validator(kind: str) -> Draft202012Validator:
    """Make the validator of one kind of line; it refuses fields that the schema does not name."""
    schema = schemas.load("stream")
    (found,) = [
        part
        for part in schema["oneOf"]
        if kind in (part["properties"].get("kind", {}).get("const"), part["properties"].get("event", {}).get("const"))
    ]
    return Draft202012Validator({**found, "additionalProperties": False, "$defs": schema["$defs"]})


class Consumer:
    """Applies lines as docs/json.md says, and knows nothing else."""

    def __init__(self) -> None:
        self.accounts: dict[Key, Account] = {}
        self.seen: Counter[str] = Counter()
        self.reorgs: list[Account] = []
        self.head: Account = {}
        self.ends: list[tuple[int, str]] = []

    def apply(self, raw: bytes | str) -> str:
        line = json.loads(raw)
        kind = line.get("event") or line["kind"]
        validator(kind).validate(line)
        self.seen[kind] += 1
        key = (line.get("protocol"), line.get("market_id"), line.get("position"))
        if kind == "upsert":
            del line["event"]
            self.accounts[key] = line
        elif kind == "remove":
            del self.accounts[key]
        elif kind == "reorg":
            self.reorgs.append(line)
        elif kind == "end":
            assert len(self.accounts) == line["account_count"]
            assert self.head["snapshot"]["block_hash"] == line["block_hash"]
            self.ends.append((line["block_number"], line["block_hash"]))
        else:
            self.head = line
            if kind == "snapshot":
                self.accounts.clear()
        return kind


class Stream:
    """A stream in this process: a step at a time, between which anything may happen."""

    def __init__(self, steps: Iterator[Step], ledger: Ledger | None = None) -> None:
        self.steps, self.ledger, self.consumer = steps, ledger or Ledger(), Consumer()

    def next(self) -> Counter[str]:
        """Apply the lines of the next block; give how many there were of each kind."""
        step, before = next(self.steps), self.consumer.seen.copy()
        if step.undone is not None:
            self.consumer.apply(reorg_line(31337, step.undone.first_block, step.undone.number, step.undone.block_hash))
        rows = account_rows(step.scanned.result, quotes=quotes(step.scanned.reads))
        for part in getattr(self.ledger, step.kind)(step.scanned.result, rows):
            assert part.endswith(b"\n")
            for line in part.splitlines():
                self.consumer.apply(line)
        return self.consumer.seen - before


@contextmanager
def streaming(market: DevMarket, folder: Path, least: str = "0", **more: Any) -> Iterator[Stream]:
    options = options_of(market, folder / "followed.sqlite", more.pop("url", None))
    with closing(follow(options, pace=Pace(poll=POLL), **more)) as steps:
        yield Stream(steps, Ledger(Fraction(least)))


def key_of(account: Account) -> Key:
    return account["protocol"], account["market_id"], account["position"]


def fresh(market: DevMarket, block: str, index: Path) -> Mapping[Key, Account]:
    """Scan a block with an index of its own; give the accounts with debt."""
    index.unlink(missing_ok=True)
    scanned = scan_read(options_of(market, index, block=block))
    assert scanned.result.trustworthy
    accounts = json.loads(accounts_json(scanned.result, quotes(scanned.reads)))["accounts"]
    return {key_of(account): account for account in accounts if account["status"] != "no_debt"}


def head(market: DevMarket) -> tuple[int, str]:
    block = market.anvil.rpc("eth_getBlockByNumber", "latest", False)
    return int(block["number"], 16), block["hash"]


def assert_same(stream: Stream, market: DevMarket, folder: Path) -> None:
    number, block_hash = stream.consumer.ends[-1]
    assert (number, block_hash) == head(market)
    assert stream.consumer.accounts == fresh(market, block_hash, folder / "fresh.sqlite")


# -- what is said -----------------------------------------------------------------------------------------------------


def test_a_consumer_holds_what_a_fresh_scan_gives_whatever_happens(
    small: DevMarket, rollback: Rollback, tmp_path: Path
) -> None:
    market, rng = rollback(small), random.Random(11)

    def happen() -> None:
        what = rng.choice(("act", "price", "time", "blocks"))
        if what == "act":
            act(market, seed=rng.randrange(99), each=2)
        elif what == "price":
            feed = rng.choice(("ETH", "BTC", "USDC"))
            market.set_price(feed, market.answer(feed) * rng.randint(90, 108) // 100)
        else:
            for _ in range(1 if what == "time" else rng.randint(2, 6)):
                market.advance(rng.randint(1, 40))

    with streaming(market, tmp_path) as stream:
        assert stream.next()["upsert"] == len(stream.consumer.accounts)
        assert_same(stream, market, tmp_path)
        for _ in range(2):
            before, kept = market.snapshot(), stream.consumer.ends[-1]
            happen()
            stream.next()
            act(market, seed=rng.randrange(99), each=2)
            assert stream.next()["remove"], "an account without debt is removed"
            void = stream.consumer.ends[-1]
            market.revert(before)
            happen()
            if head(market)[0] == kept[0]:
                market.advance(2)
            assert stream.next()["reorg"] == 1
            said = stream.consumer.reorgs[-1]
            assert (said["block_number"], said["block_hash"]) == void
            assert said["first_block"] == kept[0] + 1
            assert_same(stream, market, tmp_path)
        last = market.snapshot()
        market.advance(3)
        stream.next()
        market.revert(last)  # a chain that became shorter: nothing comes in place of the blocks
        assert stream.next()["reorg"] == 1
        assert_same(stream, market, tmp_path)
        assert stream.consumer.seen["snapshot"] == 1


def test_small_moves_are_left_out_and_nothing_else(small: DevMarket, rollback: Rollback, tmp_path: Path) -> None:
    market = rollback(small)
    with streaming(market, tmp_path, least="0.001") as stream:
        stream.next()
        market.advance(12)
        counts = stream.next()
        assert counts["upsert"] < 25, "interest alone moves nobody by a thousandth"
        held = stream.consumer.accounts
        for change in (lambda: market.set_price("ETH", market.answer("ETH") * 97 // 100), lambda: act(market, 8, 2)):
            change()
            stream.next()
            true = fresh(market, stream.consumer.ends[-1][1], tmp_path / "fresh.sqlite")
            assert held.keys() == true.keys()
            for key, account in true.items():
                assert held[key]["status"] == account["status"]
                if account["status"] == "liquidatable":
                    assert held[key] == account
                for side in ("collateral", "debt"):  # interest of a few days, but no action
                    mine, theirs = (
                        {leg["reserve"]: leg["amount"] for leg in one[side]} for one in (held[key], account)
                    )
                    assert mine == pytest.approx(theirs, rel=0.01)
                if account["health_factor"] is not None:
                    assert held[key]["health_factor"] == pytest.approx(account["health_factor"], rel=0.001)


# -- going on ---------------------------------------------------------------------------------------------------------


def test_a_stream_goes_on_since_a_block(small: DevMarket, rollback: Rollback, tmp_path: Path) -> None:
    market = rollback(small)
    with streaming(market, tmp_path) as stream:
        stream.next()
    number, block_hash = stream.consumer.ends[-1]
    act(market, seed=21, each=2)
    for since in (block_hash, str(number)):
        with streaming(market, tmp_path, since=since, blocks=1) as second:
            second.consumer.accounts = dict(stream.consumer.accounts)
            assert second.next() == {"base": 1, "end": 1}
            assert second.next()["remove"]
            assert next(second.steps, None) is None
    assert_same(second, market, tmp_path)


def test_a_block_that_was_undone_is_no_base(small: DevMarket, rollback: Rollback, tmp_path: Path) -> None:
    market = rollback(small)
    before = market.snapshot()
    market.advance(5)
    gone = head(market)[1]
    market.revert(before)
    market.advance(7)
    said: list[str] = []
    for since in (gone, NONE_LEFT):
        with streaming(market, tmp_path, since=since, told=said.append) as stream:
            counts = stream.next()
            assert (counts["reorg"], counts["snapshot"]) == (1, 1)
            assert stream.consumer.reorgs[-1]["block_hash"] == since
            assert_same(stream, market, tmp_path)
    assert "unknown to the node" in said[-1]
    with streaming(market, tmp_path, since=10**6) as stream, pytest.raises(BlockUnavailable, match="leave out --since"):
        stream.next()


# -- endpoints that are away -------------------------------------------------------------------------------------------


def test_an_endpoint_that_is_away_is_waited_for(small: DevMarket, rollback: Rollback, tmp_path: Path) -> None:
    market, away, refused = rollback(small), False, 0

    def rule(request: Request) -> Say | None:
        nonlocal away, refused
        if away:
            refused += 1
            away = refused < 8
        return Say(b"", 0) if away else None

    said: list[str] = []
    with (
        proxy(market.anvil.url, rule) as url,
        streaming(market, tmp_path, url=url, told=said.append) as stream,
    ):
        stream.next()
        market.set_price("ETH", market.answer("ETH") * 98 // 100)
        away = True
        stream.next()
        assert_same(stream, market, tmp_path)
    assert [line.split(":")[0].split(" after")[0] for line in said] == [
        "waiting for the node",
        "the node answers again",
    ]
    assert "s3cret" not in " ".join(said)


def test_an_endpoint_that_is_away_at_the_start_is_an_error(small: DevMarket, tmp_path: Path) -> None:
    with streaming(small, tmp_path, url="http://127.0.0.1:9") as stream, pytest.raises(RpcError):
        stream.next()


# -- as users run it --------------------------------------------------------------------------------------------------


@contextmanager
def running(market: DevMarket, folder: Path, *more: str) -> Iterator[subprocess.Popen[bytes]]:
    """Run the command; it is killed at the end if it has not ended."""
    environment = child_environment(LIQBANDS_DATA_DIR=str(folder))
    options = [*where(market, folder / "run.sqlite"), "--verify", "none", "--poll", "0.02s", *more]
    command = [sys.executable, "-m", "scanner", "accounts", "--follow", "--format", "ndjson", *options]
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        try:
            yield process
        finally:
            process.kill()


def read_to(consumer: Consumer, lines: IO[bytes], done: Callable[[], bool]) -> None:
    """Apply lines until the end of a block at which something holds."""
    for line in lines:
        assert line.endswith(b"\n")
        if consumer.apply(line) == "end" and done():
            return
    raise AssertionError("the stream has ended")


def assert_index_is_sound(market: DevMarket, folder: Path) -> None:
    assert_truthful(folder / "run.sqlite", borrowed(market, market.chain.block_number()))
    assert_learned_is_whole()


def test_a_slow_consumer_gets_the_newest_block_next_and_ctrl_c_ends_at_a_line(
    small: DevMarket, rollback: Rollback, tmp_path: Path
) -> None:
    market, consumer = rollback(small), Consumer()
    with running(market, tmp_path, "-q", "--quotes") as process:
        assert process.stdout is not None
        consumer.apply(process.stdout.readline())  # the pipe is full with the rest
        for percent in (99, 98, 97, 96, 95):
            market.set_price("ETH", market.answer("ETH") * percent // 100)
        market.advance(9)
        read_to(consumer, process.stdout, lambda: consumer.ends[-1] == head(market))
        assert len(consumer.ends) == 2, "the blocks between are left out"
        assert consumer.accounts == fresh(market, head(market)[1], tmp_path / "fresh.sqlite")
        market.set_price("ETH", market.answer("ETH") * 97 // 100)
        for _ in range(3):
            consumer.apply(process.stdout.readline())
        process.send_signal(signal.SIGINT)  # in the middle of a block, of which the pipe holds a part
        rest = process.stdout.read()
        assert rest.endswith(b"\n")
        for line in rest.splitlines():
            consumer.apply(line)
        assert process.wait(10) == 130
        assert process.stderr is not None
        assert process.stderr.read().decode().splitlines() == ["liqbands: interrupted"]
    assert_index_is_sound(market, tmp_path)


def test_a_consumer_that_dies_ends_the_command_quietly(small: DevMarket, rollback: Rollback, tmp_path: Path) -> None:
    market = rollback(small)
    with running(market, tmp_path, "-q") as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.readline()
        process.stdout.close()
        assert process.wait(10) == 0
        assert process.stderr.read() == b""
    assert_index_is_sound(market, tmp_path)


def test_a_file_is_added_to_where_a_stream_goes_on(
    small: DevMarket, rollback: Rollback, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    market, file, consumer = rollback(small), tmp_path / "stream.ndjson", Consumer()
    at = [
        *where(market, tmp_path / "run.sqlite"),
        "--quotes",
        "--follow",
        "--format",
        "ndjson",
        "--blocks",
        "1",
        "-o",
        file,
    ]
    assert invoke(capfd, "accounts", *at).code == 0
    last = json.loads(file.read_bytes().splitlines()[-1])["block_hash"]
    act(market, 5, each=1)
    assert invoke(capfd, "accounts", *at, "--since", last).code == 0
    for line in file.read_bytes().splitlines():
        consumer.apply(line)
    assert consumer.ends == [(consumer.ends[0][0], last), (consumer.ends[1][0], last), head(market)]
    assert consumer.accounts == fresh(market, head(market)[1], tmp_path / "fresh.sqlite")


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--follow",), "give --format ndjson, not table"),
        (("--every", "5", "--poll", "1s"), "--every and --poll: only with --follow"),
        (("--follow", "--every", "0"), "--every 0: give a number of blocks, or seconds such as 30s"),
        (("--follow", "--poll", "1"), "--poll 1: give seconds"),
        (("--follow", "--min-change", "0.1"), "in per cent"),
        (("--follow", "--since", "latest"), "--since latest: give the number or, better, the hash"),
        (("--follow", "--block", "5"), "leave out --block 5"),
        (("--follow", "--limit", "5"), "--limit is for the table"),
        (("--follow", "--shock", "ETH=-1%"), "leave out the what-ifs"),
        (("--follow", "--for-timestamp", "1999999999"), "such as +12s"),
        (("--follow", "--record", "r"), "neither replays nor records"),
    ],
)
def test_what_a_stream_cannot_do_is_refused(
    capfd: pytest.CaptureFixture[str], tmp_path: Path, options: tuple[str, ...], words: str
) -> None:
    file = tmp_path / "kept"
    file.write_text("what was there")
    form = () if options in [("--follow",), ("--every", "5", "--poll", "1s")] else ("--format", "ndjson")
    outcome = invoke(capfd, "accounts", "--rpc-url", "http://127.0.0.1:9", *form, *options, "-o", file)
    assert (outcome.code, outcome.out) == (2, "")
    assert words in outcome.err
    assert file.read_text() == "what was there"
