"""The lens's records and header, and what becomes of them."""

from __future__ import annotations

import random
from dataclasses import replace

import pytest

from scanner.errors import DecodeError
from scanner.protocols.aave_v3.positions import lens_of
from scanner.protocols.aave_v3.records import OVERSIZE, check_records, encode_record, parse_records
from tests.reference import aave_v3 as ref
from tests.reference.convert import detail_of


def test_records_are_read_as_written() -> None:
    rng = random.Random(1)
    rows = [
        (
            rng.randrange(2**20),
            rng.choice([0, 1, 127, 255]),
            rng.choice([0, 63, 64, 65, 127]),
            rng.choice([0, 1, 2, 3, 4]),
            rng.choice([0, 1, 2**40 - 1]),
            rng.choice([0, 1, 10**27, 2**127, 2**128 - 1]),
        )
        for _ in range(500)
    ]

    frame = parse_records([(1000, b"".join(encode_record(*row) for row in rows))])

    assert frame.rows() == [(index + 1000, *rest) for index, *rest in rows]


def test_a_value_beyond_128_bits_leaves_a_marker() -> None:
    frame = parse_records([(0, encode_record(3, 0, 127, 1, 0, 2**128))])

    assert frame.select("side", "value").rows() == [(OVERSIZE | 1, 0)]


def test_no_records_are_an_empty_frame_of_the_same_shape() -> None:
    assert parse_records([(0, b"")]).schema == parse_records([(0, bytes(32))]).schema


def test_the_header_lists_tokens_by_id_with_holes() -> None:
    detail = detail_of(ref.Market(10, {i: ref.Reserve(i) for i in (0, 2)}))
    token = "0x{:040x}".format
    reserves = tuple(replace(r, atoken=token(10 + r.id), vtoken=token(20 + r.id)) for r in detail.reserves)
    detail = replace(detail, pool=token(5), reserves=reserves)

    def packed(*numbers: int) -> bytes:
        return b"".join(number.to_bytes(20, "big") for number in numbers)

    assert lens_of(detail).header == packed(5) + b"\0\3" + packed(10, 20, 0, 0, 12, 22)
    with_stable = replace(detail, reserves=(replace(reserves[0], stoken=token(30)), reserves[1]))
    assert lens_of(with_stable).header == packed(5) + b"\1\3" + packed(10, 20, 30, 0, 0, 0, 12, 22, 0)


Record = tuple[int, int, int, int]  # row, reserve, side, value


def check(*rows: Record) -> None:
    encoded = b"".join(encode_record(row, 0, reserve, side, 0, value) for row, reserve, side, value in rows)
    check_records(parse_records([(0, encoded)]), reserves=[0, 1, 5], stable=[1])


HONEST: list[Record] = [(0, 0, 0, 7), (0, 0, 1, 7), (0, 1, 2, 7), (0, 1, 3, 7), (1, 0, 0, 7), (2, 0, 4, 0)]


def test_records_that_an_account_can_have_are_taken() -> None:
    check()
    check(*HONEST)
    check((0, 1, 2, 2**128), (0, 1, 3, 7), (1, 1, 2, 8), (1, 1, 3, 7), (1, 5, 1, 2**128))


@pytest.mark.parametrize(
    ("more", "what"),
    [
        ([(3, 0, 5, 7)], "of a side that there is not"),
        ([(3, 0, OVERSIZE | 3, 7)], "of a side that there is not"),
        ([(3, 0, OVERSIZE | 4, 7)], "of a side that there is not"),
        ([(3, 2, 0, 7)], "of a reserve that there is not"),
        ([(3, 255, 1, 7)], "of a reserve that there is not"),
        ([(3, 0, 1, 7), (3, 0, 2, 7), (3, 0, 3, 7)], "of stable debt in a reserve without any"),
        ([(3, 0, 3, 7)], "of stable debt in a reserve without any"),
        ([(3, 1, 2, 7)], "of a stable debt without its rate"),
        ([(3, 1, 3, 7)], "of a stable debt without its rate"),
        ([(3, 1, 2, 7), (3, 1, 0, 7), (3, 1, 3, 7)], "of a stable debt without its rate"),
        ([(3, 1, 2, 7), (4, 1, 3, 7)], "of a stable debt without its rate"),
        ([(3, 0, 1, 7), (3, 5, 0, 7), (3, 0, 1, 7)], "told twice"),
        ([(3, 0, 1, 7), (3, 0, 1, 2**128)], "told twice"),
    ],
)
def test_records_that_no_account_can_have_are_refused(more: list[Record], what: str) -> None:
    with pytest.raises(DecodeError, match=what):
        check(*HONEST, *more)
