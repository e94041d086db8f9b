"""Documents keep their contract: schema, exact integers, addresses, order, and no word is lost."""

from __future__ import annotations

import copy
import json
import time
from dataclasses import replace
from typing import Any

import polars as pl
import pytest
from cchecksum import to_checksum_address
from jsonschema import Draft202012Validator

from scanner.errors import ConfigError
from scanner.export import documents, schemas
from scanner.results import ContractAnswer, ScanResult
from scanner.views import nearest_first
from tests.unit.render import sample

SCAN = sample.scan()


def strict(kind: str) -> Draft202012Validator:
    """Make a validator that refuses fields the schema does not name."""
    schema = copy.deepcopy(schemas.load(kind))

    def close(node: Any) -> None:
        if isinstance(node, dict):
            if "properties" in node:
                node.setdefault("additionalProperties", False)
            for value in node.values():
                close(value)
        elif isinstance(node, list):
            for value in node:
                close(value)

    close(schema)
    Draft202012Validator.check_schema(schema)
    return Draft202012Validator(schema)


def lines_of(result: ScanResult) -> list[dict[str, Any]]:
    return [json.loads(line) for line in b"".join(documents.accounts_ndjson(result)).splitlines()]


@pytest.mark.parametrize(
    "result",
    [SCAN, sample.incomplete(SCAN), sample.hostile(SCAN), sample.nothing(SCAN)],
    ids=["plain", "incomplete", "hostile", "nothing"],
)
def test_every_document_keeps_its_schema(result: ScanResult) -> None:
    strict("scan").validate(json.loads(documents.scan_json(result)))
    strict("accounts").validate(json.loads(documents.accounts_json(result)))
    validator = strict("ndjson")
    for line in lines_of(result):
        validator.validate(line)


def test_account_document_keeps_its_schema_and_compares_with_the_contract() -> None:
    row = nearest_first(SCAN.frames["accounts"]).row(20, named=True)
    same = ContractAnswer(int(row["collateral_raw"]), int(row["debt_raw"]), int(row["health_factor_wad"]))
    document = json.loads(documents.account_json(SCAN, row["owner"].upper().replace("0X", "0x"), same))

    strict("account").validate(document)
    assert document["contract"]["equal"] is True
    other = replace(same, health_factor_wad=same.health_factor_wad + 1)  # type: ignore[operator]
    assert documents.account_document(SCAN, row["owner"], other)["contract"]["equal"] is False
    assert documents.account_document(SCAN, row["owner"])["contract"] is None


def test_unknown_account_is_a_usage_error() -> None:
    with pytest.raises(ConfigError, match="holds nothing"):
        documents.account_document(SCAN, "0x" + "00" * 20)


def test_accounts_come_nearest_to_liquidation_first_and_none_is_lost() -> None:
    accounts = json.loads(documents.accounts_json(SCAN))["accounts"]

    exact = [int(one["health_factor_wad"]) for one in accounts if one["health_factor_wad"] is not None]
    assert exact == sorted(exact)
    assert len(accounts) == SCAN.frames["accounts"].height == 600
    assert [one["status"] for one in accounts][-20:] == ["no_debt"] * 20
    assert [{key: value for key, value in line.items() if key != "event"} for line in lines_of(SCAN)[1:]] == accounts


def test_integers_survive_as_text_and_addresses_are_eip55() -> None:
    frame = SCAN.frames["legs"]
    amounts = {
        (row["position"], row["reserve"], row["side"]): str(int(row["amount_raw"]))
        for row in frame.iter_rows(named=True)
    }
    seen = 0
    for one in json.loads(documents.accounts_json(SCAN))["accounts"]:
        assert one["account"] == to_checksum_address(one["account"])
        assert one["position"] == one["account"]
        for side in ("collateral", "debt"):
            for leg in one[side]:
                assert leg["amount_raw"] == amounts[one["position"].lower(), leg["reserve"], side]
                assert leg["asset"] == to_checksum_address(leg["asset"])
                seen += 1
    assert seen == frame.height


def test_unknown_stays_null() -> None:
    accounts = json.loads(documents.accounts_json(SCAN))["accounts"]
    unpriced = next(one for one in accounts if one["status"] == "unpriced")

    assert unpriced["collateral_base"] is None
    assert unpriced["health_factor_wad"] is None
    assert json.loads(documents.scan_json(SCAN))["unpriced"]["debt_usd"] is None


def test_infinite_numbers_become_null() -> None:
    accounts = SCAN.frames["accounts"].with_columns(pl.lit(float("inf")).alias("leverage"))
    result = replace(SCAN, frames={**SCAN.frames, "accounts": accounts})

    assert {one["leverage"] for one in json.loads(documents.accounts_json(result))["accounts"]} == {None}


def test_hostile_symbols_are_escaped_and_whole() -> None:
    result = sample.hostile(SCAN)
    text = documents.accounts_json(result)

    assert b"\x1b" not in text
    symbols = {leg["symbol"] for one in json.loads(text)["accounts"] for leg in one["collateral"]}
    assert "\x1b[31mEVIL\x1b[0m[bold]\u202e\n=1+1" in symbols


def test_same_scan_gives_the_same_bytes() -> None:
    again = sample.scan()

    assert documents.scan_json(SCAN) == documents.scan_json(again)
    assert documents.accounts_json(SCAN) == documents.accounts_json(again)


def test_status_totals_count_best_calls_only() -> None:
    document = documents.scan_document(SCAN)
    now = SCAN.frames["seizures"].filter(pl.col("blocked_by").is_null())

    assert document["liquidatable"]["account_count"] == now.height == 5
    expected = float(now["seize_value_raw"].cast(pl.Float64).sum()) / 1e8
    assert document["liquidatable"]["seizable_collateral_usd"] == pytest.approx(expected)
    doubled = pl.concat(
        [
            SCAN.frames["seizures"],
            now.with_columns(pl.lit("7").alias("collateral_reserve"), pl.lit(value=False).alias("best")),
        ]
    )
    again = documents.scan_document(replace(SCAN, frames={**SCAN.frames, "seizures": doubled}))
    assert again["liquidatable"] == document["liquidatable"]


def test_schemas_define_shared_parts_alike() -> None:
    parts: dict[str, Any] = {}
    for kind in schemas.KINDS:
        for name, part in schemas.load(kind)["$defs"].items():
            assert parts.setdefault(name, part) == part, f"{name} differs in {kind}"


def test_unknown_schema_names_the_known() -> None:
    with pytest.raises(ConfigError, match="did you mean 'scan'"):
        schemas.load("scans")


def test_twenty_thousand_accounts_are_written_in_a_moment() -> None:
    rng = sample.random.Random(1)
    people = sample._people(rng, 20_000)
    frames = {
        **SCAN.frames,
        "accounts": sample._frame("accounts", [sample._account(one) for one in people]),
        "legs": sample._frame("legs", [row for one in people for row in sample._legs(one)]),
    }
    started = time.perf_counter()
    written = documents.accounts_json(replace(SCAN, frames=frames))

    assert time.perf_counter() - started < 5  # takes 0.5 s; a loop over rows takes ten times that
    assert written.count(b"\n") == 20_000 + 2
