from __future__ import annotations

import pytest
from eth_abi.abi import encode

from scanner.chain.aggregate import pack, unpack, unpack_multicall3
from scanner.chain.interface import Call, Reverted
from scanner.chain.lenses import check_records
from scanner.errors import DecodeError


def entry(outcome: int, data: bytes) -> bytes:
    return bytes([outcome]) + len(data).to_bytes(4, "big") + data


TIME = (1_700_000_000 << 128).to_bytes(32, "big")


def test_calls_are_packed_without_padding() -> None:
    assert pack([Call("0x" + "11" * 20, b"abc"), Call("0x" + "22" * 20, b"")]) == (
        b"\x11" * 20 + b"\0\0\0\x03abc" + b"\x22" * 20 + b"\0\0\0\0"
    )


def test_outcomes_stay_apart() -> None:
    answer = entry(1, b"yes") + entry(0, b"no") + entry(2, b"") + entry(1, b"") + TIME

    assert unpack(answer, 4) == [b"yes", Reverted(b"no"), None, b""]


def test_an_answer_may_stop_early() -> None:
    assert unpack(entry(1, b"yes") + TIME, 100) == [b"yes"]


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        TIME,
        entry(1, b"yes"),
        entry(1, b"yes")[:-1] + TIME,
        entry(1, b"yes") + b"\x01" + TIME,
        entry(1, b"yes") + TIME[:-1],
        entry(1, b"yes") + TIME + b"\0",
        entry(1, bytes(64)) + bytes(31) + b"\1",
        entry(3, b"") + TIME,
        entry(2, b"x") + TIME,
        entry(1, b"a") + entry(1, b"b") + entry(1, b"c") + TIME,
    ],
)
def test_an_answer_of_another_shape_is_refused(answer: bytes) -> None:
    with pytest.raises(DecodeError):
        unpack(answer, 2)


def test_a_failure_in_multicall3_is_a_revert() -> None:
    answer = encode(["(bool,bytes)[]"], [[(True, b"a"), (False, b"b")]])

    assert unpack_multicall3(answer, 2) == [b"a", Reverted(b"b")]


@pytest.mark.parametrize("answer", [b"", b"\xff" * 64, encode(["(bool,bytes)[]"], [[(True, b"a")]])])
def test_a_multicall3_of_another_shape_is_refused(answer: bytes) -> None:
    with pytest.raises(DecodeError):
        unpack_multicall3(answer, 2)


def record(position: int) -> bytes:
    return position.to_bytes(4, "big") + bytes(28)


def test_records_name_items_of_the_chunk() -> None:
    check_records(b"", 1, "x")
    check_records(b"".join(record(i) for i in (0, 69_999, 255)), 70_000, "x")
    with pytest.raises(DecodeError, match="names item 256 of 256"):
        check_records(record(0) + record(256), 256, "x")
    with pytest.raises(DecodeError, match="whole number"):
        check_records(record(0) + b"\0", 256, "x")
