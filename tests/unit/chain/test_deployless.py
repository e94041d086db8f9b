from __future__ import annotations

import random

import pytest
from eth_abi.abi import encode

from scanner.chain.aggregate import unpack, unpack_multicall3
from scanner.chain.deployless import INITCODE_MOST, Ran, creation, room_for, unwrap
from scanner.chain.interface import Reverted
from scanner.errors import DecodeError

MARK = b"liqbands.deployless.answer.....1"


def revert(outcome: int, returned: bytes, size: int | None = None) -> bytes:
    length = len(returned) if size is None else size
    return MARK + (outcome << 128 | length).to_bytes(32, "big") + returned


def test_an_answer_is_told_from_a_revert_inside_and_from_gas_that_ran_out() -> None:
    assert unwrap(revert(1, b"yes")) == Ran(answered=True, returned=b"yes")
    assert unwrap(revert(1, b"")) == Ran(answered=True, returned=b"")
    assert unwrap(revert(0, b"no")) == Ran(answered=False, returned=b"no")
    assert unwrap(revert(3, b"")) == Ran(answered=False, returned=b"", out_of_gas=True)


@pytest.mark.parametrize(
    "data", [b"", b"execution reverted", bytes(32), bytes(100), MARK[:31], b"\x08\xc3\x79\xa0" + MARK, revert(2, b"")]
)
def test_what_another_wrote_is_no_answer(data: bytes) -> None:
    assert unwrap(data) is None


@pytest.mark.parametrize(
    "data",
    [
        MARK,
        revert(1, b"yes")[:-1],
        revert(1, b"yes") + b"\0",
        revert(1, b"")[:-1],
        revert(1, b"yes", size=2),
        revert(1, b"", size=2**127),
        revert(4, b""),
        MARK + b"\xff" * 32,
    ],
)
def test_an_answer_that_is_not_whole_is_refused(data: bytes) -> None:
    with pytest.raises(DecodeError):
        unwrap(data)


def test_a_creation_that_fills_its_room_has_the_largest_size() -> None:
    code = bytes(1_242)

    assert len(creation(code, bytes(room_for(code)))) == INITCODE_MOST


TIME = (1_700_000_000 << 128).to_bytes(32, "big")


def entry(outcome: int, data: bytes) -> bytes:
    return bytes([outcome]) + len(data).to_bytes(4, "big") + data


def test_a_damaged_aggregate_gives_no_outcome_that_the_whole_one_does_not_have() -> None:
    """Cut, add, and change lengths at random: an error, or a beginning of the true outcomes."""
    draw = random.Random(11)
    for _ in range(2_000):
        told: list[tuple[int, bytes]] = [(draw.randrange(2), draw.randbytes(draw.randrange(40))) for _ in range(8)]
        true = [Reverted(data) if not outcome else data for outcome, data in told]
        whole = b"".join(entry(*one) for one in told)
        for answer in (
            (whole + TIME)[: draw.randrange(len(whole + TIME))],
            whole[: draw.randrange(len(whole))] + TIME,
            whole + draw.randbytes(draw.randrange(1, 9)) + TIME,
            whole + TIME + draw.randbytes(draw.randrange(1, 9)),
            whole[5 + len(told[0][1]) :] + b"\0" + TIME,
        ):
            try:
                found = unpack(answer, 8)
            except DecodeError:
                continue
            assert found == true[: len(found)]
            assert len(found) < 8
            assert whole.startswith(answer[: -len(TIME)])  # cut where an outcome ends: what is missing is asked again


def test_a_damaged_deployless_answer_is_never_shorter() -> None:
    draw = random.Random(12)
    for _ in range(500):
        whole = revert(1, draw.randbytes(draw.randrange(200)))
        cut = draw.randrange(len(MARK), len(whole))
        for answer in (whole[:cut], whole + draw.randbytes(draw.randrange(1, 40))):
            with pytest.raises(DecodeError):
                unwrap(answer)


def test_a_multicall3_answer_of_another_length_is_refused() -> None:
    rows = [(True, bytes([n]) * n) for n in range(40)]
    whole = encode(["(bool,bytes)[]"], [rows])
    assert unpack_multicall3(whole, 40) == [data for _, data in rows]
    for answer in (whole[:-32], whole[:-1], whole[: len(whole) // 2], whole + bytes(32), whole + b"\0"):
        with pytest.raises(DecodeError):
            unpack_multicall3(answer, 40)
    for count in (39, 41):
        with pytest.raises(DecodeError):
            unpack_multicall3(whole, count)
