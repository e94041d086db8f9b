"""Redaction, patience, hedges and the log, each without a network."""

from __future__ import annotations

import asyncio
import os
import stat
import time
from email.utils import formatdate
from pathlib import Path

import pytest

from scanner.chain.deadline import Deadline
from scanner.chain.failures import Kind, RpcFailure
from scanner.chain.hedge import Hedges
from scanner.chain.options import Options
from scanner.chain.redact import Redactor
from scanner.chain.retry import Lag, Retry
from scanner.chain.translog import Attempt, TransportLog, summary
from scanner.chain.transport import retry_after
from scanner.errors import ConfigError

# --- redaction -----------------------------------------------------------------------------------------------------

URL = "https://al%40ice:p%23ss@node.example:8443/v3/KEY+with%2Fslash?token=t0k3n%20x&archive=true#fragment"


@pytest.mark.parametrize(
    "secret",
    [
        *("al%40ice", "al@ice", "p%23ss", "p#ss", "AL@ICE", URL),
        *("YWxAaWNlOnAjc3M", "KEY+with%2Fslash", "KEY+with/slash", "KEY%2Bwith%2Fslash", "key with/slash"),
        *("t0k3n%20x", "t0k3n x", "t0k3n+x", "token=t0k3n%20x", "fragment"),
    ],
)
def test_every_spelling_of_a_secret_is_taken_out(secret: str) -> None:
    assert secret.lower() not in Redactor(URL)(f"see {secret}, ok").lower()


def test_the_host_and_plain_words_are_left() -> None:
    text = "node.example:8443: eth_call: header not found"
    assert Redactor(URL)(text) == text
    assert Redactor("http://node.example")(text) == text
    assert Redactor("http://node.example/")("a/b") == "a/b"


# --- patience ------------------------------------------------------------------------------------------------------


def pauses(
    failures: list[RpcFailure], options: Options, shrinkable: bool = False, time_limit: float | None = None
) -> list[float | RpcFailure]:
    async def run() -> list[float | RpcFailure]:
        retry = Retry(options, Deadline(time_limit), Lag(options.lag_patience), shrinkable=shrinkable)
        return [retry.pause(failure) for failure in failures]

    return asyncio.run(run())


@pytest.mark.parametrize(
    ("kind", "status", "tries"),
    [
        (Kind.SERVER, 200, 4),
        (Kind.RATE_LIMITED, 200, 4),
        (Kind.DISCONNECTED, 200, 4),
        (Kind.TIMEOUT, 200, 4),
        (Kind.NOT_RPC, 200, 2),
        (Kind.NOT_RPC, 404, 0),
        (Kind.OUT_OF_TIME, 200, 0),
        (Kind.STATE_MISSING, 200, 0),
        (Kind.UNREACHABLE, 200, 0),
    ],
)
def test_what_may_pass_is_tried_again_with_growing_pauses(kind: Kind, status: int, tries: int) -> None:
    given = pauses([RpcFailure("x", kind, status=status)] * 6, Options())
    waits = [pause for pause in given if isinstance(pause, float)]
    assert len(waits) == tries
    assert all(0.25 * 2**n <= wait <= 0.5 * 2**n for n, wait in enumerate(waits))


def test_odd_answers_of_who_answered_before_pass_like_any_hiccup() -> None:
    async def run() -> list[bool]:
        lag, found = Lag(1), []
        for _ in range(2):
            retry = Retry(Options(), Deadline(None), lag)
            found += [isinstance(retry.pause(RpcFailure("x", Kind.NOT_RPC, status=200)), float) for _ in range(6)]
            retry.answered()
        return found

    assert asyncio.run(run()) == [True] * 2 + [False] * 4 + [True] * 4 + [False] * 2


def test_a_timeout_of_what_can_shrink_is_final() -> None:
    assert isinstance(pauses([RpcFailure("x", Kind.TIMEOUT)], Options(), shrinkable=True)[0], RpcFailure)


def test_a_gateway_that_says_timed_out_at_once_is_asked_again() -> None:
    async def run(seconds: float) -> float | RpcFailure:
        retry = Retry(Options(), Deadline(None), Lag(1), shrinkable=True)
        asyncio.get_running_loop().time = lambda: began + seconds  # type: ignore[method-assign]
        return retry.pause(RpcFailure("x", Kind.TIMEOUT, status=504))

    began = time.monotonic()
    assert isinstance(asyncio.run(run(0.1)), float)
    assert isinstance(asyncio.run(run(20)), RpcFailure)


def test_lag_is_waited_for_in_short_pauses() -> None:
    waits = pauses([RpcFailure("x", Kind.BLOCK_UNKNOWN)] * 20, Options(attempts=2))
    assert all(isinstance(wait, float) and wait <= 1 for wait in waits)
    assert isinstance(pauses([RpcFailure("x", Kind.BLOCK_UNKNOWN)], Options(lag_patience=0))[0], RpcFailure)


def test_a_wait_longer_than_what_is_left_is_named() -> None:
    refusal = RpcFailure("host: eth_call: slow down", Kind.RATE_LIMITED, retry_after=90)
    (found,) = pauses([refusal], Options())
    assert isinstance(found, RpcFailure)
    assert "slow down; it asks to wait 90 s, longer than the 60 s that are left to wait; wait, or use" in str(found)
    (found,) = pauses([refusal], Options(patience=100), time_limit=50)
    assert isinstance(found, RpcFailure)
    assert "left of the time limit" in str(found)
    assert pauses([refusal], Options(patience=100)) == [90]


@pytest.mark.parametrize(
    ("value", "seconds"),
    [("3", 3), ("0.5", 0.5), ("-1", None), ("inf", None), ("nan", None), ("soon", None), ("", None)],
)
def test_retry_after_is_read_as_seconds(value: str, seconds: float | None) -> None:
    assert retry_after(value) == seconds


def test_retry_after_is_read_as_a_date_by_the_clock_of_the_server() -> None:
    server = 1_000_000_000
    assert retry_after(formatdate(server + 40, usegmt=True), formatdate(server, usegmt=True)) == 40
    assert retry_after(formatdate(server, usegmt=True)) == 0


# --- hedges --------------------------------------------------------------------------------------------------------


def test_a_copy_needs_ten_samples_and_waits_for_the_95th_percentile() -> None:
    hedges = Hedges(0.5)
    for n in range(9):
        assert hedges.after("eth_call") is None
        hedges.answered("eth_call", 0.01 * n)
    hedges.answered("eth_call", 0.01)
    assert hedges.after("eth_call") == 0.5
    assert hedges.after("eth_getLogs") is None
    for n in range(90):
        hedges.answered("eth_call", 1 + n / 10)
    assert hedges.after("eth_call") == pytest.approx(1 + 84 / 10)
    assert Hedges(None).after("eth_call") is None


def test_one_request_in_twenty_is_copied_and_one_more() -> None:
    hedges = Hedges(0.5)
    for _ in range(100):
        hedges.after("eth_call")
        hedges.sent += hedges.allowed
    assert hedges.sent == 6


# --- the log -------------------------------------------------------------------------------------------------------


def attempt() -> Attempt:
    return Attempt(0, "node", "eth_call", {}, 1, 200, 2, 0.1, 1)


def test_a_log_is_a_new_private_file(tmp_path: Path) -> None:
    path = tmp_path / "log"
    TransportLog(path).close()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    with pytest.raises(ConfigError, match="exists already"):
        TransportLog(path)
    with pytest.raises(ConfigError, match="No such file"):
        TransportLog(tmp_path / "none" / "log")


def test_a_log_that_cannot_be_written_is_told_once_and_fails_nothing(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    log = TransportLog(tmp_path / "log")
    full = os.open("/dev/full", os.O_WRONLY)
    assert log._fd is not None
    os.dup2(full, log._fd)
    os.close(full)
    for _ in range(3):
        log.add(attempt())
    assert [record.getMessage().partition(": ")[2] for record in caplog.records] == [
        "No space left on device; the scan goes on"
    ]


def test_a_summary_holds_no_calldata() -> None:
    address, block = "0x" + "11" * 20, "0x" + "22" * 32
    call = {"to": address, "data": "0x" + "ab" * 100, "gas": "0x5"}
    assert summary("eth_call", [call, {"blockHash": block}, {address: {"code": "0x00"}}]) == {
        "to": address,
        "data_bytes": 100,
        "gas": "0x5",
        "block": block,
        "overrides": 1,
    }
    assert summary("eth_call", [{"data": "0x" + "ab" * 100}, "latest"]) == {"data_bytes": 100, "block": "latest"}
    query = {"fromBlock": "0x1", "toBlock": "0x2", "address": [address] * 5, "topics": [[block] * 9]}
    assert summary("eth_getLogs", [query]) == {"from": "0x1", "to": "0x2", "addresses": 5}
    assert summary("eth_getProof", [address, [block] * 7, "0x3"]) == {"address": address, "items": 7, "block": "0x3"}
    assert summary("web3_sha3", ["0x" + "ab" * 100]) == {}


def test_a_secret_that_is_a_part_of_another_ones_leaves_nothing_of_it() -> None:
    hide = Redactor("https://user:pw123@one.example/", "https://name-of-a-user:pw456@two.example/", "http://[not-a-url")
    assert hide("name-of-a-user, user, http://[not-a-url") == "…, …, …"
