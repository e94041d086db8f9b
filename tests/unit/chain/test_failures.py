from __future__ import annotations

import time

import pytest

from scanner.chain.failures import (
    SHRINKABLE,
    Kind,
    Remedy,
    batch_limit,
    classify,
    clean,
    remedy,
    revert_data,
    suggested_wait,
    suggested_width,
)
from tests.unit.chain.provider_answers import ANSWERS, Seen


@pytest.mark.parametrize(
    ("kind", "message", "code"),
    [
        (Kind.REVERTED, "execution reverted", 3),
        (Kind.REVERTED, "execution reverted", -32000),
        (Kind.REVERTED, "execution reverted: rate limit exceeded, out of gas", 3),
        (Kind.REVERTED, "VM execution error. Reverted 0x08c379a0", -32015),
        (Kind.REVERTED, "VM Exception while processing transaction: revert", -32000),
        (Kind.REVERTED, "EVM error InvalidFEOpcode", -32603),
        (Kind.REVERTED, "invalid opcode: INVALID", -32000),
        (Kind.REVERTED, "stack underflow (0 <=> 1)", -32000),
        (Kind.OUT_OF_GAS, "out of gas", -32000),
        (Kind.OUT_OF_GAS, "EVM error OutOfGas", -32603),
        (Kind.OUT_OF_GAS, "EVM error MemoryLimitOOG", -32603),
        (Kind.OUT_OF_GAS, "VM execution error. OutOfGas", -32015),
        (Kind.OUT_OF_GAS, "VM execution error. Out of gas", -32015),
        (Kind.OUT_OF_GAS, "out of gas: gas exhausted: 50000000", -32003),
        (Kind.OUT_OF_GAS, "gas required exceeds allowance (50000000)", -32000),
        (Kind.GAS_REFUSED, "intrinsic gas too high", -32000),
        (Kind.RANGE_TOO_WIDE, "You can make eth_getLogs requests with up to a 500 block range.", -32600),
        (Kind.RANGE_TOO_WIDE, "range 1000000 exceeds limit of 10000", -32602),
        (Kind.RANGE_TOO_WIDE, "ranges over 10000 blocks are not supported on free plan", 35),
        (Kind.RANGE_TOO_WIDE, "eth_getLogs is limited to 0 - 50 blocks range", -32602),
        (Kind.RANGE_TOO_WIDE, "Block range too large: maximum allowed is 50 blocks on your current plan", -32000),
        (Kind.RANGE_TOO_WIDE, "query failed", -32614),
        (Kind.TOO_MANY_RESULTS, "query returned more than 10000 results", -32005),
        (Kind.PAYLOAD_TOO_LARGE, "Log response size exceeded.", -32602),
        (Kind.PAYLOAD_TOO_LARGE, "Response is too big", -32008),
        (Kind.PAYLOAD_TOO_LARGE, "Exceeded max limit of 167772160", -32000),
        (Kind.STATE_MISSING, "missing trie node 5ac1 (path )", -32000),
        (Kind.STATE_MISSING, "Archive requests require a personal token", -32602),
        (Kind.STATE_MISSING, "historical state 0x12 is not available", -32000),
        (Kind.BLOCK_UNKNOWN, "header not found", -32000),
        (Kind.BLOCK_UNKNOWN, "Resource not found", -32001),
        (Kind.BLOCK_UNKNOWN, "BlockOutOfRangeError: block height is 0 but requested was 999", -32602),
        (Kind.BLOCK_UNKNOWN, "header for hash not found", -32000),
        (Kind.BLOCK_UNKNOWN, "block not found: hash 0x1234", -32000),
        (Kind.BLOCK_UNKNOWN, "hash 0x1234 is not currently canonical", -32000),
        (Kind.BLOCK_UNKNOWN, "block range extends beyond current head block: requested 12, head 11", -32602),
        (Kind.BATCH_REFUSED, "maximum 10 calls in 1 batch", -32014),
        (Kind.BATCH_REFUSED, "Batched requests are not supported by this server", -32005),
        (Kind.BATCH_REFUSED, "Batch of more than 3 requests are not allowed on free tier", 31),
        (Kind.BATCH_REFUSED, "batch limit 100 exceeded (can increase by --rpc.batch.limit)", -32000),
        (Kind.BATCH_REFUSED, "batch too large", -32600),
        (Kind.OVERRIDES_REFUSED, "too many arguments, want at most 2", -32602),
        (Kind.OVERRIDES_REFUSED, "state override is not supported", -32000),
        (Kind.RATE_LIMITED, "project ID request rate exceeded", -32005),
        (Kind.RATE_LIMITED, "Rate limit exceeded on Nodies public endpoint", -32005),
        (Kind.RATE_LIMITED, "request limit reached", -32011),
        (Kind.RATE_LIMITED, "", 429),
        (Kind.TIMEOUT, "execution aborted (timeout = 5s)", -32000),
        (Kind.INVALID_PARAMS, "invalid argument 1: json: cannot unmarshal object into Go value of type string", -32602),
        (Kind.NO_METHOD, "the method eth_foo does not exist/is not available", -32601),
        (Kind.UNAUTHORIZED, "Must be authenticated!", -32600),
        (Kind.SERVER, "internal error", -32603),
        (Kind.OTHER, "something new", -32000),
    ],
)
def test_the_words_decide_before_the_code(kind: Kind, message: str, code: int) -> None:
    assert classify(message, code) is kind


@pytest.mark.parametrize(
    ("status", "kind"),
    [(401, Kind.UNAUTHORIZED), (413, Kind.PAYLOAD_TOO_LARGE), (429, Kind.RATE_LIMITED), (502, Kind.SERVER)],
)
def test_the_status_decides_where_nothing_else_does(status: int, kind: Kind) -> None:
    assert classify("", None, status) is kind


@pytest.mark.parametrize(
    ("message", "width"),
    [
        ("this block range should work: [0x10, 0x1f]", 16),
        ("up to a 500 block range", 500),
        ("range 1000000 exceeds limit of 10,000", 10_000),
        ("limited to 0 - 50 blocks range", 50),
        ("block range is too wide", None),
    ],
)
def test_a_suggested_range_is_read(message: str, width: int | None) -> None:
    assert suggested_width(message) == width


def test_returned_bytes_are_found_in_every_shape() -> None:
    assert revert_data("0x0102") == b"\x01\x02"
    assert revert_data("Reverted 0x0102") == b"\x01\x02"
    assert revert_data({"data": "0x0102"}) == b"\x01\x02"
    assert revert_data("OutOfGas") == revert_data(None) == revert_data("0x1") == b""


def test_foreign_text_is_shown_on_one_line_without_escapes() -> None:
    assert clean("a\x1b[31m\n\nb\x00") == "a [31m b"
    assert len(clean("x" * 10_000)) == 300


@pytest.mark.parametrize("seen", ANSWERS, ids=lambda seen: f"{seen.provider}: {seen.message[:40] or seen.status}")
def test_answers_of_providers_have_their_remedy(seen: Seen) -> None:
    assert classify(seen.message, seen.code, seen.status) is seen.kind
    assert remedy(seen.kind, seen.method) is seen.remedy
    assert suggested_width(seen.message) == seen.width or seen.remedy is not Remedy.SPLIT_RANGE
    assert seen.found


def test_the_table_of_answers_is_broad() -> None:
    assert len(ANSWERS) >= 30
    assert {seen.remedy for seen in ANSWERS} == set(Remedy)
    assert len({seen.provider for seen in ANSWERS}) >= 15


def test_every_kind_has_a_remedy_or_none_on_purpose() -> None:
    hopeless = {kind for kind in Kind if remedy(kind, "eth_call") is Remedy.GIVE_UP}
    assert hopeless == {
        Kind.INVALID_PARAMS,
        Kind.NO_METHOD,
        Kind.UNAUTHORIZED,
        Kind.NOT_RPC,
        Kind.OTHER,
        Kind.OUT_OF_TIME,
    }


def test_each_shape_of_out_of_gas_can_be_met_by_asking_for_less() -> None:
    # the last is what a caller sees whose inner call ran out of gas
    shapes = [("out of gas", -32000), ("VM execution error. Out of gas", -32015), ("execution reverted", 3)]
    assert all(classify(message, code) in SHRINKABLE for message, code in shapes)


@pytest.mark.parametrize(
    ("message", "limit"),
    [
        ("maximum 10 calls in 1 batch", 10),
        ("Batch of more than 3 requests are not allowed on free tier", 3),
        ("batch limit 100 exceeded (can increase by --rpc.batch.limit). Requested batch of size: 200", 100),
        ("batch size limit exceeded: 50", 0),
        ("batch too large", 0),
        ("Batched requests are not supported by this server", 0),
    ],
)
def test_the_size_of_a_batch_is_read(message: str, limit: int) -> None:
    assert batch_limit(message) == limit


@pytest.mark.parametrize(
    ("message", "seconds"),
    [
        ("Too many requests, try again in 30 seconds", 30),
        ("retry after 1.5s", 1.5),
        ("please retry in 250ms", 0.25),
        ("rate limited, wait 2 minutes", 120),
        ("limited to 10/sec", None),
        ("If you have retries enabled, you can safely ignore this message", None),
    ],
)
def test_the_wait_that_a_message_names_is_read(message: str, seconds: float | None) -> None:
    assert suggested_wait(message) == seconds


@pytest.mark.parametrize(
    "word",
    ["method ", "limited to ", "state ", "vm exception ", "batch ", "block ", "want ", "[0x1 ", "retry 1", "1", " "],
)
def test_a_long_text_costs_no_time(word: str) -> None:
    text = "limit of " + word * (3_000_000 // len(word))
    started = time.perf_counter()
    classify(text)
    suggested_width(text)
    suggested_wait(text)
    batch_limit(text)
    assert time.perf_counter() - started < 0.5


def test_numbers_without_end_are_cut() -> None:
    many = "1" * 1_900
    assert (suggested_wait(f"retry after {many} s") or 0) < 10**10
    assert (suggested_width(f"limited to {many} blocks") or 0) < 10**16
    assert (suggested_width(f"[0x0, 0x{many}]") or 0) < 2**65
    assert batch_limit(f"batch of more than {many} requests") < 10**10
