"""`liqbands check` and `diff` as they are typed, on the demo's recording."""

from __future__ import annotations

import json
import re
import shlex
from pathlib import Path

import pytest

from scanner.cli.commands import DEMO
from scanner.findings import one_line
from tests.chain.peers import Outcome, invoke

REPLAY = ("--replay", str(DEMO), "--no-progress")
Capture = pytest.CaptureFixture[str]


@pytest.fixture(autouse=True)
def bare(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("GITHUB_ACTIONS", "GITHUB_STEP_SUMMARY", "LIQBANDS_CONFIG"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("COLUMNS", "120")
    monkeypatch.chdir(tmp_path)


def check(capsys: Capture, *words: object) -> Outcome:
    return invoke(capsys, "check", *REPLAY, *words)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ((), "nothing to check"),
        (("--max-new-liquidatable", "0"), "compares two states"),
        (("--max-seizable", "ETX:-5%=1M"), "no price factor 'ETX'; did you mean 'ETH'"),
        (("--max-seizable", "ETH:5%=1M"), "with a sign"),
        (("--max-liquidatable", "0", "--junit", "no/such/file.xml"), "no folder"),
        (("--max-liquidatable", "0", "--junit", "a", "--sarif", "a"), "two outputs"),
        (("--max-liquidatable", "0", "--baseline", "none.json"), "cannot read none.json: No such file or directory\n"),
        (("--tx", "0x00:0x"), "--fork"),
        (("--set-lt", "USDX=1%"), "USDX"),
        (("--set-lt", "usdc=76%"), "did you mean 'USDC'?"),
        (("--time", "+1d", "--for-timestamp", "+1d"), "give one"),
    ],
)
def test_wrong_usage_exits_2_and_says_what_to_do(words: tuple[str, ...], said: str, capsys: Capture) -> None:
    outcome = check(capsys, *words)
    assert outcome.code == 2
    assert said in outcome.err
    assert outcome.out == ""
    assert "no limit is given" not in outcome.err


def test_a_change_without_limits_may_liquidate_nobody(capsys: Capture) -> None:
    outcome = check(capsys, "--set-lt", "WETH=-2%")
    assert outcome.code == 1
    assert "no limit is given" in outcome.err
    assert "max_new_liquidatable" in outcome.out
    assert "83%     81%" in outcome.out
    assert check(capsys, "--set-lt", "WETH=+1%").code == 0


def test_the_command_that_reproduces_it_does(capsys: Capture) -> None:
    Path("my limits.toml").write_text('[check.max_seizable]\n"ETH:-5%" = "1M"\n')
    words = ("--config", "my limits.toml", "--set-lt", "WETH=-2%", "--format", "json")
    document = json.loads(check(capsys, *words).out)
    (limit,) = [limit for limit in document["limits"] if limit["outcome"] == "broken"]
    command = shlex.split(limit["reproduce"])
    assert command[:2] == ["liqbands", "check"]
    again = json.loads(invoke(capsys, *command[1:], "--no-progress", "--format", "json").out)
    assert [one["value"] for one in again["limits"]] == [limit["value"]]
    assert [one["accounts"] for one in again["limits"]] == [limit["accounts"]]


def test_a_baseline_of_accounts_and_of_a_scan(capsys: Capture) -> None:
    for kind in ("accounts", "scan"):
        assert invoke(capsys, kind, *REPLAY, "--format", "json", "-o", f"{kind}.json").code == 0
    Path("liqbands.toml").write_text('[check.baseline]\ndebt = "1%"\nseizable = "1%"\n')
    same = check(capsys, "--baseline", "scan.json")
    assert same.code == 0, same.err
    moved = check(capsys, "--baseline", "scan.json", "--shock", "ETH=-5%")
    assert moved.code == 1
    assert "baseline.seizable" in moved.out
    Path("exact.toml").write_text("[check.baseline]\ncollateral = 0\ndebt = 0\nseizable = 0\n")
    assert check(capsys, "--baseline", "accounts.json", "--config", "exact.toml").code == 0
    assert check(capsys, "--baseline", "accounts.json").code == 0
    assert "baseline.seizable" in check(capsys, "--baseline", "accounts.json", "--shock", "ETH=-5%").out
    Path("liqbands.toml").unlink()
    assert check(capsys, "--baseline", "accounts.json", "--max-new-liquidatable", "0").code == 0
    refused = check(capsys, "--baseline", "scan.json", "--max-new-liquidatable", "0")
    assert refused.code == 2
    assert "names no accounts" in refused.err
    Path("cut.json").write_bytes(Path("scan.json").read_bytes()[:-40])
    damaged = check(capsys, "--baseline", "cut.json", "--max-liquidatable", "50")
    assert damaged.code == 4
    assert "cut.json is damaged" in damaged.err


def test_the_examples_of_the_docs_can_be_judged(capsys: Capture) -> None:
    page = (Path(__file__).parents[3] / "docs" / "checks.md").read_text(encoding="utf-8")
    alone, more = re.findall(r"```toml\n(.*?)```", page, re.DOTALL)
    assert invoke(capsys, "accounts", *REPLAY, "--format", "json", "-o", "accounts.json").code == 0
    Path("liqbands.toml").write_text(alone)
    first = json.loads(check(capsys, "--format", "json").out)
    Path("liqbands.toml").write_text(more)
    second = check(capsys, "--baseline", "accounts.json", "--format", "json")
    assert second.code == 0, second.err
    limits = [limit for document in (first, json.loads(second.out)) for limit in document["limits"]]
    assert {limit["outcome"] for limit in limits} == {"holds", "broken"}
    assert len([limit for limit in limits if limit["limit"].startswith("baseline.")]) == 6


def test_a_limit_on_verification_is_shown_again_with_all(capsys: Capture) -> None:
    Path("liqbands.toml").write_text('[check]\nrequire_verified = "all"\n')
    (limit,) = json.loads(check(capsys, "--verify", "none", "--format", "json").out)["limits"]
    assert limit["reproduce"].count("--verify") == 1
    assert "--verify all" in limit["reproduce"]


def test_on_github_annotations_and_the_summary_come_by_themselves(
    capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    summary = Path("summary.md")
    summary.write_text("before\n")
    monkeypatch.setenv("GITHUB_ACTIONS", "true")
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(summary))
    outcome = check(capsys, "--max-liquidatable", "0")
    assert outcome.code == 1
    assert outcome.err.count("::error title=liqbands max_liquidatable::") == 1
    assert summary.read_text().startswith("before\n## liqbands check")
    quiet = check(capsys, "--max-liquidatable", "0", "--no-annotations", "--summary", "own.md")
    assert "::error" not in quiet.err
    assert Path("own.md").read_text().startswith("## liqbands check")
    assert not any(line.startswith("::") for line in outcome.out.splitlines())


def test_diff_of_documents(capsys: Capture) -> None:
    for name, words in (("a.json", ()), ("b.json", ("--shock", "ETH=-5%"))):
        assert invoke(capsys, "accounts", *REPLAY, "--format", "json", "-o", name, *words).code == 0
    outcome = invoke(capsys, "diff", "a.json", "b.json")
    assert outcome.code == 0
    assert "changed: 59 accounts" in outcome.out
    assert invoke(capsys, "diff", "a.json", "b.json", "--exit-code").code == 1
    assert invoke(capsys, "diff", "a.json", "a.json", "--exit-code").code == 0
    assert "### Changed: 59 accounts" in invoke(capsys, "diff", "a.json", "b.json", "--format", "markdown").out
    none = invoke(capsys, "diff", "a.json", "c.json")
    assert none.code == 2
    assert "c.json: there is no such file" in none.err
    Path("empty.json").touch()
    assert invoke(capsys, "diff", "a.json", "empty.json").code == 4


def test_words_of_a_chain_stay_on_their_line() -> None:
    assert one_line("a\n::error::b\x1b[31m\u202e") == "a ::error::b [31m"


def test_words_of_a_document_command_neither_a_terminal_nor_a_runner(capsys: Capture) -> None:
    assert invoke(capsys, "scan", *REPLAY, "--format", "json", "-o", "a.json").code == 0
    document = json.loads(Path("a.json").read_text())
    document["markets"][0]["name"] = "x\n::error::owned ##[error]owned\x1b[31m"
    document["markets"][0]["verified"]["mismatches"] = ["0x" + "1" * 40]
    Path("b.json").write_text(json.dumps(document))
    for told in (
        invoke(capsys, "diff", "a.json", "b.json"),
        check(capsys, "--baseline", "b.json", "--max-liquidatable", "50", "--format", "json"),
    ):
        assert told.code == 4
        assert "differ from the contract" in told.err
        assert not any(line.startswith("::") for line in told.err.splitlines())
        assert "##[" not in told.err
        assert "\x1b" not in told.err


def test_all_is_judged_at_the_time_that_is_asked_for(capsys: Capture) -> None:
    """What time alone does to bad debt, by --time, which a chain has been compared with, and by --for-timestamp."""

    def values(*words: str) -> dict[str, float]:
        limits = ("--max-bad-debt", "ETH:-40%=1", "--max-seizable", "ETH:-40%=1")
        document = json.loads(check(capsys, *limits, *words, "--format", "json").out)
        return {limit["limit"]: limit["value"] for limit in document["limits"]}

    now, later = values(), values("--time", "+1000d")
    assert values("--for-timestamp", "+1000d") == later
    assert later["max_bad_debt"] > now["max_bad_debt"]
