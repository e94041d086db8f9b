"""Bytes to values: configuration words, structs, symbols and logs."""

from __future__ import annotations

import re

import pytest
from eth_abi.abi import encode

from scanner.chain.interface import Log, Reverted
from scanner.errors import DecodeError
from scanner.protocols.aave_v3.decode import (
    ORACLE,
    POOL,
    configuration,
    found,
    integer,
    label,
    price,
    reserve_data,
    round_time,
    symbol,
)
from scanner.protocols.aave_v3.emodes import decode_categories, property_calls, with_properties
from tests.unit.aave_v3.shared import recorded

ASSET = "0x1234567890abcdef1234567890abcdef12345678"
LEGACY = POOL.functions["getReserveData"].outputs

FIELDS = {
    "ltv": "ltv_bps",
    "liquidationThreshold": "threshold_bps",
    "liquidationBonus": "bonus_bps",
    "decimals": "decimals",
    "isActive": "active",
    "isFrozen": "frozen",
    "borrowingEnabled": "borrowable",
    "isPaused": "paused",
    "liquidationProtocolFee": "protocol_fee_bps",
}


def string(text: str) -> bytes:
    return encode(["string"], [text])


def test_recorded_configuration_words_decode_as_published() -> None:
    cases = recorded("aave-config-words/config_words.json")

    compared = 0
    for case in cases:
        for when in ("before", "after"):
            published = case.get(f"decoded_{when}")
            if not published:
                continue
            ours = configuration(int(case[f"config_{when}"], 16))
            for theirs, field in FIELDS.items():
                assert getattr(ours, field) == published[theirs], (case["symbol"], field)
                compared += 1
        for name, shown in re.findall(r"^\| (ltv|liquidationThreshold|decimals) \| (.*) \|$", case["table_raw"], re.M):
            last = re.findall(r"\[(\d+)\]|(?<![\d.%])(\d+)$", shown)[-1]
            assert getattr(configuration(int(case["config_after"], 16)), FIELDS[name]) == int(last[0] or last[1])
            compared += 1
    assert compared > 350


def test_every_field_of_a_word_has_its_own_bits() -> None:
    spread = configuration(7 | 8 << 16 | 9 << 32 | 18 << 48 | 1 << 57 | 1 << 60 | 1000 << 152 | 3 << 168)

    assert (spread.ltv_bps, spread.threshold_bps, spread.bonus_bps, spread.decimals) == (7, 8, 9, 18)
    assert (spread.active, spread.frozen, spread.borrowable, spread.paused) == (False, True, False, True)
    assert (spread.protocol_fee_bps, spread.emode_category) == (1000, 3)


def test_reserve_data_takes_the_id_from_the_struct() -> None:
    addresses = [f"0x{i:040X}" for i in (0xA, 0xB, 0xC, 0xD)]
    answer = encode(LEGACY, [((8300 << 16,), 11, 12, 13, 14, 15, 16, 127, *addresses, 1, 2, 3)])

    data = reserve_data(answer)

    assert (data.id, data.updated_at, data.configuration.threshold_bps) == (127, 16, 8300)
    assert (data.liquidity_index, data.liquidity_rate, data.debt_index, data.debt_rate) == (11, 12, 13, 14)
    assert (data.atoken, data.stoken, data.vtoken) == tuple(a.lower() for a in addresses[:3])


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (string("WETH"), "WETH"),
        (b"MKR".ljust(32, b"\0"), "MKR"),
        (string("\x1b[31mRED\x1b[0m"), "\ufffd[31mRED\ufffd[0m"),
        (string("a\u202eb\nc"), "a\ufffdb\ufffdc"),
        (string("x" * 500), "x" * 32),
        (string(""), "0x1234…5678"),
        (string("  "), "0x1234…5678"),
        (bytes(32), "0x1234…5678"),
        (b"", "0x1234…5678"),
        (b"\xff" * 64, "0x1234…5678"),
        (Reverted(b""), "0x1234…5678"),
    ],
)
def test_symbols_are_safe_to_print(answer: bytes | Reverted, expected: str) -> None:
    assert symbol(answer, ASSET) == expected


def test_a_bytes32_symbol_with_bad_text_is_replaced() -> None:
    assert symbol(b"A\xffB".ljust(32, b"\0"), ASSET) == "A\ufffdB"


def test_labels_lose_what_cannot_be_printed() -> None:
    assert label(" ETH\tcorrelated ") == "ETH\ufffdcorrelated"


def test_prices_are_answers_or_reasons() -> None:
    assert price((5).to_bytes(32, "big")) == 5
    assert price(bytes(32)) == "unpriced: oracle answered 0"
    assert price(Reverted(b"\x01")) == "unpriced: oracle reverted"
    with pytest.raises(DecodeError):
        price(b"")


def test_a_revert_where_an_answer_is_needed_is_an_error() -> None:
    with pytest.raises(DecodeError, match=r"oracle.BASE_CURRENCY_UNIT\(\) reverted \(0xdeadbeef\)"):
        integer(ORACLE, "BASE_CURRENCY_UNIT", Reverted(bytes.fromhex("deadbeef00")))


def test_round_times_that_are_no_times_are_unknown() -> None:
    def rounds(updated_at: int) -> bytes:
        return encode(["uint80", "int256", "uint256", "uint256", "uint80"], [1, -5, 0, updated_at, 1])

    assert round_time(rounds(1_700_000_000)) == 1_700_000_000
    assert round_time(rounds(0)) is None
    assert round_time(rounds(2**200)) is None
    assert round_time(b"\x01") is None
    assert round_time(Reverted()) is None


def test_borrow_logs_name_the_one_who_owes() -> None:
    caller, owner = bytes.fromhex("11" * 20), bytes.fromhex("22" * 20)
    topics = (bytes(32), bytes(32), owner.rjust(32, b"\0"), bytes(32))
    log = Log(ASSET, topics, caller.rjust(32, b"\0"), 7, 0)

    (one,) = found([log])

    assert (one.position, one.owner, one.block_number) == ("0x" + "22" * 20, "0x" + "22" * 20, 7)
    with pytest.raises(DecodeError, match="topics"):
        found([Log(ASSET, topics[:2], b"", 7, 0)])


def category(*fields: object) -> bytes:
    return encode(["(uint16,uint16,uint16,address,string)"], [fields])


def test_legacy_categories_are_found_behind_holes_and_keep_own_prices() -> None:
    zero = "0x" + "00" * 20
    answers: dict[tuple[str, str], bytes | Reverted] = {
        ("emode", str(c)): category(0, 0, 0, zero, "") for c in range(1, 256)
    }
    answers["emode", "1"] = category(9000, 9300, 10100, ASSET, "priced")
    answers["emode", "9"] = category(9000, 9300, 10200, ASSET, "price of 0")
    answers["emode", "255"] = category(9000, 9300, 10300, zero, "far")

    modes = decode_categories(answers, 3, named={40})
    calls = property_calls(ASSET, ASSET, modes, 3)
    full, prices = with_properties(modes, {("emode:1", ""): Reverted(), ("emode:9", ""): bytes(32)})

    assert sorted(modes) == [1, 9, 40, 255]
    assert sorted(calls) == [("emode:1", ""), ("emode:9", "")]
    assert [full[c].price_source for c in (1, 9, 255)] == [ASSET, None, None]
    assert prices == {"emode:1": "unpriced: oracle reverted"}


def test_bitmaps_reach_beyond_bit_63() -> None:
    config = encode(["(uint16,uint16,uint16)"], [(9000, 9300, 10100)])
    answers: dict[tuple[str, str], bytes | Reverted] = {("emode", str(c)): bytes(96) for c in range(1, 256)}
    answers["emode", "2"] = config

    modes = decode_categories(answers, 10, named=())
    calls = property_calls(ASSET, ASSET, modes, 10)
    more: dict[tuple[str, str], bytes | Reverted] = dict.fromkeys(calls, (1 << 127 | 1).to_bytes(32, "big"))
    more["getEModeCategoryLabel", "2"] = string("ETH")
    full, _ = with_properties(modes, more)

    assert len(calls) == 4
    assert full[2].collateral_bitmap == full[2].borrowable_bitmap == full[2].ltvzero_bitmap == 1 << 127 | 1
    assert full[2].label == "ETH"
    assert len(property_calls(ASSET, ASSET, modes, 9)) == 3
