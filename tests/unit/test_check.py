"""Judging facts by limits, and what CI systems are told of it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from typing import Any
from xml.etree import ElementTree

import polars as pl
import pytest

from scanner.check import judge
from scanner.diff import compare_facts
from scanner.earlier import read_facts
from scanner.errors import ConfigError, DataError
from scanner.export.check_document import check_json, diff_json
from scanner.export.ci import github_annotations, junit, sarif
from scanner.export.documents import accounts_json, scan_json
from scanner.export.markdown import bounded, check_markdown, diff_markdown, escape
from scanner.facts import ACCOUNTS, Facts, Fault, facts_of
from scanner.limits import At, Limits, limits_of, parse_limits
from scanner.results import Snapshot
from scanner.verdict import Verdict
from scanner.views import StatusTotal
from tests.unit.export.test_documents import strict
from tests.unit.render import sample

SCAN = sample.scan()
FALL = At("ETH", "-5%")
EVIL = "A|B`C\n::error::x%0A##[group]\x1b[31m<img>"
NAMES = [f"0x{i:040x}" for i in range(1, 40)]


def facts(
    rows: Sequence[tuple[str, float, float, float | None]],
    *,
    name: str = "now",
    faults: Sequence[Fault] = (),
    verified: int = 0,
) -> Facts:
    """Make facts of accounts (status, collateral, debt, seizable), the first is NAMES[0]."""
    accounts = [
        {
            "chain_id": 1,
            "protocol": "aave-v3",
            "market_id": "0xm",
            "position": NAMES[place],
            "account": NAMES[place],
            "status": status,
            "health_factor_wad": "5" if status in ("liquidatable", "blocked") else "2" + "0" * 18,
            "health_factor": 0.9 if status in ("liquidatable", "blocked") else 2.0,
            "collateral_usd": None if status == "unpriced" else collateral,
            "debt_usd": None if status == "unpriced" else debt,
            "seizable_usd": seizable,
        }
        for place, (status, collateral, debt, seizable) in enumerate(rows)
    ]
    frame = pl.DataFrame(accounts, schema=ACCOUNTS)
    totals = {}
    for status in ("liquidatable", "blocked", "unpriced"):
        mine = [row for row in rows if row[0] == status]
        totals[status] = StatusTotal(
            len(mine), sum(r[1] for r in mine), sum(r[2] for r in mine), sum(r[3] or 0 for r in mine)
        )
    held = [row for row in rows if row[0] != "unpriced"]
    return Facts(
        name=name,
        snapshot=Snapshot(1, 17, "0x" + "ab" * 32, 1_774_000_000, not faults, "0.1.0", ("host",)),
        markets=("aave-v3 0xm",),
        account_count=len(rows),
        collateral_usd=sum(row[1] for row in held),
        debt_usd=sum(row[2] for row in held),
        totals=totals,
        faults=tuple(faults),
        verified=verified,
        unpriced_debt_usd=sum(row[2] for row in rows if row[0] == "unpriced"),
        prices={"ETH": 2000.0},
        selected_factor="ETH",
        accounts=frame,
    )


GOOD = [("healthy", 100.0, 50.0, None), ("healthy", 300.0, 50.0, None), ("blocked", 70.0, 69.0, 5.0)]
HURT = [("liquidatable", 100.0, 90.0, 40.0), ("liquidatable", 300.0, 280.0, 60.0), ("blocked", 70.0, 69.0, 5.0)]


def outcome(verdict: Verdict) -> list[str]:
    return [finding.outcome for finding in verdict.findings]


def test_newly_liquidatable_accounts_are_named_largest_first() -> None:
    verdict = judge(facts(GOOD), facts(HURT), limits_of(1))
    (finding,) = verdict.findings
    assert (finding.outcome, finding.value, finding.allowed) == ("broken", 2, 1)
    assert finding.accounts is not None
    assert finding.accounts["account"].to_list() == [NAMES[1], NAMES[0]]
    assert finding.accounts["amount_usd"].to_list() == [280.0, 90.0]
    assert verdict.exit_code == 1
    assert judge(facts(GOOD), facts(HURT), limits_of(2)).exit_code == 0


def test_an_account_that_loses_its_price_leaves_the_limit_open() -> None:
    lost = [("unpriced", 0.0, 0.0, None), *GOOD[1:]]
    verdict = judge(facts(GOOD), facts(lost), limits_of(0))
    assert outcome(verdict) == ["unjudged"]
    assert verdict.exit_code == 4
    assert "1 account without a price" in verdict.findings[0].reason
    assert judge(facts(lost), facts(lost), limits_of(0)).exit_code == 0
    assert outcome(judge(facts(lost), facts(HURT), limits_of(1))) == ["broken"]  # known to be below one now


@pytest.mark.parametrize(
    ("limits", "wanted"),
    [
        (limits_of(max_liquidatable=3), "holds"),
        (limits_of(max_liquidatable=2), "broken"),
        (limits_of(max_seizable=["now=100"]), "holds"),
        (limits_of(max_seizable=["now=99"]), "broken"),
        (limits_of(max_seizable=["now=22%"]), "holds"),
        (limits_of(max_seizable=["now=21%"]), "broken"),
        (limits_of(max_largest_account=["now=60"]), "holds"),
        (limits_of(max_largest_account=["now=59"]), "broken"),
        (limits_of(max_bad_debt=["now=0"]), "holds"),
        (limits_of(max_unpriced_debt="0"), "holds"),
        (parse_limits({"require_verified": 5}), "unjudged"),
    ],
)
def test_limits_hold_up_to_their_edge(limits: Limits, wanted: str) -> None:
    assert outcome(judge(None, facts(HURT), limits)) == [wanted]


def test_limits_at_a_move_look_at_what_was_computed_there() -> None:
    there = facts([("liquidatable", 100.0, 120.0, 100.0), ("healthy", 300.0, 50.0, None), ("unpriced", 0, 0, None)])
    limits = limits_of(max_seizable=["ETH:-5%=99"], max_bad_debt=["ETH:-5%=20"])
    verdict = judge(None, facts(GOOD), limits, shocked={FALL: there}, reproduce=lambda finding: f"do {finding.name}")
    seizable, bad = verdict.findings
    assert (seizable.outcome, seizable.value) == ("broken", 100.0)
    assert seizable.span is not None
    assert (seizable.span.lower_price_usd, seizable.span.upper_price_usd) == (1900.0, 2000.0)
    assert seizable.reproduce == "do max_seizable ETH:-5%"
    assert (bad.outcome, bad.value) == ("unjudged", 20.0)  # one account more has no price there


def test_unpriced_debt_of_unknown_size_breaks_any_limit() -> None:
    known = facts([("unpriced", 0.0, 30.0, None), *GOOD[1:]])
    assert outcome(judge(None, known, limits_of(max_unpriced_debt="29"))) == ["broken"]
    unknown = replace(known, unpriced_debt_usd=None)
    assert outcome(judge(None, unknown, limits_of(max_unpriced_debt="1000B"))) == ["broken"]


def test_unknown_dollars_are_not_zero() -> None:
    unknown = replace(facts(HURT), collateral_usd=None)
    verdict = judge(None, unknown, limits_of(max_seizable=["now=1000B"]))
    assert outcome(verdict) == ["unjudged"]
    assert verdict.exit_code == 4


def test_incomplete_data_exits_4_and_lists_broken_limits() -> None:
    fault = Fault("incomplete", "debt of DAI is missing")
    verdict = judge(None, facts(HURT, faults=[fault]), limits_of(max_liquidatable=0))
    assert verdict.exit_code == 4
    assert outcome(verdict) == ["broken"]
    assert judge(None, facts(HURT, faults=[fault]), limits_of(max_liquidatable=0), allow_incomplete=True).exit_code == 1
    lax = parse_limits({"max_liquidatable": 9, "require_complete": False})
    assert judge(None, facts(HURT, faults=[fault]), lax).exit_code == 0
    wrong = Fault("mismatch", "2 accounts differ from the contract")
    assert judge(None, facts(HURT, faults=[wrong]), lax).exit_code == 4
    assert judge(None, facts(HURT), lax, facts(GOOD, name="old", faults=[fault])).exit_code == 0
    strict_ = limits_of(max_liquidatable=9)
    assert judge(None, facts(HURT), strict_, facts(GOOD, name="old", faults=[fault])).exit_code == 4


def test_a_baseline_is_compared_within_tolerances() -> None:
    limits = parse_limits({"baseline": {"debt": "20%", "liquidatable": 1, "accounts": 0}})
    verdict = judge(None, facts(HURT), limits, facts(GOOD, name="old.json"))
    assert {f.limit: f.outcome for f in verdict.findings} == {
        "baseline.accounts": "holds", "baseline.debt": "broken", "baseline.liquidatable": "broken",
    }  # fmt: skip
    assert "old.json" in verdict.findings[1].reason
    assert verdict.newly is not None  # a baseline that names accounts
    with pytest.raises(ConfigError, match="--baseline FILE"):
        judge(None, facts(HURT), limits)
    with pytest.raises(DataError, match="chain 2"):
        judge(None, facts(HURT), limits, replace(facts(GOOD), snapshot=replace(facts(GOOD).snapshot, chain_id=2)))
    with pytest.raises(DataError, match="compare the same markets"):
        judge(None, facts(HURT), limits, replace(facts(GOOD), markets=("aave-v3 0xother",)))
    with pytest.raises(ConfigError, match="names no accounts"):
        judge(None, facts(HURT), limits_of(0), replace(facts(GOOD), accounts=None))
    with pytest.raises(ConfigError, match="compares two states"):
        judge(None, facts(HURT), limits_of(0))


def test_facts_of_documents_are_those_of_the_scan() -> None:
    wanted, scan, accounts = facts_of(SCAN), read_facts(scan_json(SCAN), "s"), read_facts(accounts_json(SCAN), "a")
    assert (scan.account_count, scan.collateral_usd, scan.debt_usd) == (
        wanted.account_count, wanted.collateral_usd, wanted.debt_usd,
    )  # fmt: skip
    assert scan.totals == wanted.totals
    assert scan.accounts is None
    assert wanted.accounts is not None
    assert accounts.accounts is not None
    keys, same = ["market_id", "position"], [name for name in ACCOUNTS.names() if name != "seizable_usd"]
    for status in ("liquidatable", "blocked"):
        seized, known = (each.totals[status].seizable_collateral_usd for each in (accounts, wanted))
        assert seized == pytest.approx(known, rel=1e-9)
    assert accounts.accounts.select(same).sort(keys).equals(wanted.accounts.select(same).sort(keys))
    assert scan.markets == accounts.markets == wanted.markets
    assert not compare_facts(wanted, scan).different
    broken = read_facts(scan_json(sample.incomplete(SCAN)), "s")
    assert broken.faults


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "is empty"),
        (b"{", "damaged"),
        (b"[1]", "no whole document"),
        (b'{"schema_version": "2.0", "kind": "scan"}', "version 2.0"),
        (b'{"schema_version": "1.0", "kind": "doctor"}', "of kind 'doctor'"),
        (b'{"schema_version": "1.0", "kind": "scan"}', "missing required field"),
        (scan_json(SCAN)[:-100], "damaged"),
        (accounts_json(SCAN)[:-3000], "damaged"),
        (scan_json(SCAN).replace(b'"block_number": 2', b'"block_number": -"x', 1), "damaged"),
    ],
)
def test_damaged_documents_say_what_is_wrong(data: bytes, message: str) -> None:
    with pytest.raises(DataError, match=message) as told:
        read_facts(data, "old.json")
    assert "old.json" in str(told.value)


def evil(count: int = 1) -> Verdict:
    """Break limits whose factors have hostile names."""
    limits = limits_of(max_seizable=[f"{EVIL}{i}:-5%=1" for i in range(count)])
    there = facts(HURT)
    return judge(facts(GOOD), there, limits, shocked=dict.fromkeys(limits.places, there))


def test_annotations_are_one_line_each_and_hold_no_other_command() -> None:
    (line,) = github_annotations(evil())
    assert "\n" not in line
    assert "\x1b" not in line
    command, title, message = line.split("::", 1)[1].split("::", 1)[0], *line[2:].split("::", 1)
    assert command.startswith("error title=")
    assert "%3A%3Aerror%3A%3Ax%250A" in title
    assert "," not in title
    assert "%0A" in message  # its lines


def test_annotations_are_bounded_as_github_bounds_them() -> None:
    lines = github_annotations(evil(25))
    assert len(lines) == 10
    assert "16 more are not shown" in lines[-1]
    assert len(github_annotations(evil(10))) == 10
    assert "not shown" not in github_annotations(evil(10))[-1]


def test_markdown_gives_no_character_a_meaning() -> None:
    text = check_markdown(evil())
    for line in text.splitlines():
        if "A&#124;B" in line:
            assert "`" not in line
            assert "<img" not in line
    rows = [line for line in text.splitlines() if line.startswith("|")]
    assert rows
    assert {row.count("|") for row in rows if "max" in row} == {5}
    assert escape("[x](javascript:y) @team") == "&#91;x&#93;(javascript:y) &#64;team"
    assert escape("https://a.b www.a.b") == "https&#58;//a.b www&#46;a.b"


def test_a_summary_is_cut_at_a_line_and_says_so() -> None:
    text = "é" * 50 + "\n"
    short = bounded(text * 100, 1_000)
    assert len(short.encode()) <= 1_000
    assert short.endswith("has all)\n")
    assert all(line in ("é" * 50, "") or "cut" in line for line in short.splitlines())
    assert bounded("x") == "x"


def test_junit_counts_failures_and_errors() -> None:
    fault = Fault("incomplete", f"{EVIL}\x00 is missing")
    limits = limits_of(max_liquidatable=0, max_seizable=["now=1000B"])
    verdict = judge(None, facts(HURT, faults=[fault]), limits)
    suite = ElementTree.fromstring(junit(verdict)).find("testsuite")  # noqa: S314 - ours
    assert suite is not None
    assert (suite.get("tests"), suite.get("failures"), suite.get("errors")) == ("3", "1", "1")
    failure = suite.find("testcase/failure")
    assert failure is not None
    assert "0x" in (failure.text or "")


def test_sarif_has_what_its_schema_requires() -> None:
    document = json.loads(sarif(evil(2), "limits/liqbands.toml"))
    assert document["version"] == "2.1.0"
    (run,) = document["runs"]
    assert run["tool"]["driver"]["name"] == "liqbands"
    assert {result["ruleId"] for result in run["results"]} <= {rule["id"] for rule in run["tool"]["driver"]["rules"]}
    for result in run["results"]:
        assert result["message"]["text"]
        assert result["level"] in ("error", "warning")
        assert result["locations"][0]["physicalLocation"]["artifactLocation"]["uri"] == "limits/liqbands.toml"
    assert len({result["partialFingerprints"]["primaryLocationLineHash"] for result in run["results"]}) == 2
    assert '"uri": "my%20limits.toml"' in sarif(evil(), "my limits.toml").decode()


def test_documents_keep_their_schemas() -> None:
    def document(verdict: Verdict) -> dict[str, Any]:
        read: dict[str, Any] = json.loads(check_json(verdict))
        strict("check").validate(read)
        return read

    assert document(evil())["exit_code"] == 1
    assert document(judge(None, facts_of(SCAN), limits_of(max_liquidatable=10**6)))["passed"] is True
    hurt = document(judge(facts(GOOD), facts(HURT), limits_of(0), facts(GOOD, name="old")))
    assert hurt["newly_liquidatable"]["account_count"] == 2
    later = compare_facts(facts(GOOD), facts([*HURT[:2], ("healthy", 1.0, 1.0, None), ("healthy", 7.0, 1.0, None)]))
    told = json.loads(diff_json(later))
    strict("diff").validate(told)
    assert told["accounts"]["came"]["account_count"] == 1
    assert told["accounts"]["changed"]["account_count"] == 3
    strict("diff").validate(json.loads(diff_json(compare_facts(facts_of(SCAN), read_facts(scan_json(SCAN), "s")))))
    assert "Changed" in diff_markdown(later)


def test_a_diff_tells_who_came_and_went() -> None:
    difference = compare_facts(facts(GOOD), facts(GOOD[:2]))
    assert difference.went is not None
    assert difference.went["position"].to_list() == [NAMES[2]]
    assert difference.went["account"].to_list() == [NAMES[2]]
    assert difference.different
    assert not compare_facts(facts(GOOD), facts(GOOD)).different
    bands = facts_of(SCAN)
    assert bands.bands is not None
    moved = replace(bands, bands=bands.bands.with_columns(pl.col("account_count") + 1))
    found = compare_facts(bands, moved).bands
    assert found is not None
    assert found.height == bands.bands.filter(pl.col("lower_bps").is_not_null()).height


@pytest.mark.parametrize(
    "limits",
    [
        limits_of(max_liquidatable=9),
        limits_of(max_seizable=["now=1M"]),
        limits_of(max_largest_account=["now=1M"]),
        limits_of(max_bad_debt=["now=1M"]),
    ],
)
def test_no_limit_holds_of_accounts_that_lost_their_price(limits: Limits) -> None:
    lost = [*GOOD[:2], ("unpriced", 0.0, 0.0, None)]
    # one that found its price again does not make up for one that lost it
    for before in (GOOD, [("unpriced", 0.0, 0.0, None), *GOOD[1:]]):
        verdict = judge(facts(before), facts(lost), limits)
        assert (outcome(verdict), verdict.exit_code) == (["unjudged"], 4)
        assert outcome(judge(None, facts(lost), limits, facts(before, name="old.json"))) == ["unjudged"]
    assert outcome(judge(None, facts(lost), limits)) == ["holds"]
    assert outcome(judge(facts(lost), facts(lost), limits)) == ["holds"]


def test_with_a_change_a_baseline_still_tells_who_is_new() -> None:
    verdict = judge(facts(HURT), facts(HURT), limits_of(0), facts(GOOD, name="old.json"))
    assert [(f.outcome, f.value) for f in verdict.findings] == [("holds", 0), ("broken", 2)]
    assert "since old.json" in verdict.findings[1].reason
    assert verdict.exit_code == 1


def test_a_baseline_that_is_a_what_if_is_refused() -> None:
    what_if = facts(GOOD, name="old.json")
    what_if = replace(what_if, snapshot=replace(what_if.snapshot, what_if=("ETH -50%",)))
    with pytest.raises(DataError, match=r"no scan of a chain as it was: ETH -50%"):
        judge(None, facts(HURT), limits_of(0), what_if)


def test_a_document_with_an_account_twice_is_damaged() -> None:
    document = json.loads(accounts_json(SCAN))
    document["accounts"].append(document["accounts"][0])
    with pytest.raises(DataError, match=r"old\.json: account 0x\w{40} is in it twice"):
        read_facts(json.dumps(document).encode(), "old.json")


def test_a_share_of_all_debt_counts_that_which_cannot_be_valued() -> None:
    rows = [*GOOD[:2], ("unpriced", 0.0, 100.0, None)]
    (finding,) = judge(None, facts(rows), limits_of(max_unpriced_debt="50%")).findings
    assert (finding.outcome, finding.value, finding.allowed) == ("holds", 100.0, 100.0)
