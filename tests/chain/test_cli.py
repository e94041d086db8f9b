"""The program as users run it: a devchain in one terminal, every other command in another."""

from __future__ import annotations

import io
import json
import os
import pty
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree

import jsonschema
import polars as pl
import pytest

from scanner.cli import run
from scanner.config import VARIABLES, child_environment
from scanner.export import schemas
from tests.chain.peers import Outcome, invoke

pytestmark = pytest.mark.chain

Capture = pytest.CaptureFixture[str]
COLOUR = re.compile(r"\x1b\[(\d+;)*([349]\d|10\d)[;m]")
PROGRAM = (sys.executable, "-m", "scanner")


def environment(**extra: str) -> dict[str, str]:
    """Give an environment that says nothing to the program."""
    plain = {*VARIABLES, "NO_COLOR", "FORCE_COLOR", "COLUMNS"} - {"LIQBANDS_CACHE_DIR"}
    return {name: value for name, value in child_environment(**extra).items() if name in extra or name not in plain}


def program(*arguments: object, cwd: Path | None = None, **extra: str) -> Outcome:
    """Run the program in a process of its own, its output in pipes."""
    done = subprocess.run(
        [*PROGRAM, *map(str, arguments)],
        capture_output=True, timeout=60, cwd=cwd, env=environment(**extra), check=False,
    )  # fmt: skip
    return Outcome(done.returncode, done.stdout.decode("utf-8", "surrogateescape"), done.stderr.decode())


@dataclass(frozen=True)
class Chain:
    """A running ``liqbands devchain``: what it printed, and the options that it advises."""

    process: subprocess.Popen[str]
    said: str
    options: Sequence[str]
    account: str


@pytest.fixture(scope="module")
def chain() -> Iterator[Chain]:
    command = [*PROGRAM, "devchain", "--borrowers", "60", "--port", "0"]
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment(), start_new_session=True
    )
    try:
        assert process.stdout is not None
        lines = []
        for line in process.stdout:
            lines.append(line)
            if "Ctrl-C" in line:
                break
        said = "".join(lines)
        advice = re.search(r"liqbands account (0x\w{40}) (.*)", said)
        assert advice is not None, said
        yield Chain(process, said, advice[2].split(), advice[1])
    finally:
        process.kill()
        process.communicate()


@pytest.fixture
def at(chain: Chain, tmp_path: Path) -> list[str]:
    return [*chain.options, "--index-file", str(tmp_path / "index.sqlite"), "--no-progress"]


@pytest.fixture(scope="module")
def recording(chain: Chain, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give a block of the devchain, so that a document can be written twice."""
    folder = tmp_path_factory.mktemp("cli")
    file = folder / "dev.rec"
    options = [*chain.options, "--index-file", str(folder / "i.sqlite"), "--verify", "all", "-q"]
    assert run(["scan", *options, "--record", str(file), "-o", str(folder / "scan.txt")]) == 0
    return file


def valid(kind: str, document: object) -> None:
    jsonschema.Draft202012Validator(schemas.load(kind)).validate(document)


def only_talk(outcome: Outcome) -> bool:
    return all(line.startswith("warning: ") for line in outcome.err.splitlines())


# -- documents --------------------------------------------------------------------------------------------------------


def test_scan_draws_the_heatmap(chain: Chain, at: list[str]) -> None:
    outcome = program("scan", *at)

    assert (outcome.code, outcome.err) == (0, "")
    assert "\x1b" not in outcome.out
    assert max(map(len, outcome.out.splitlines())) <= 100
    assert "chain 31337" in outcome.out
    assert re.search(r"\d,\d{3}\.\d\d", outcome.out)


def test_scan_gives_its_document(chain: Chain, at: list[str]) -> None:
    outcome = program("scan", *at, "--format", "json", "--bands", "25usd", "--by", "size")

    document = json.loads(outcome.out)
    assert outcome.code == 0
    assert only_talk(outcome)
    valid("scan", document)
    assert (document["kind"], document["snapshot"]["complete"]) == ("scan", True)
    (market,) = document["markets"]
    assert market["market_id"].lower() == chain.options[3].lower()
    assert market["verified"]["accounts"] > 50
    eth = next(factor for factor in document["factors"] if factor["factor"] == "ETH")
    edges = {band["lower_price_usd"] for band in eth["bands"] if band["direction"] == "down"}
    assert {2075.0, 2050.0, 2025.0} <= edges
    assert sum(band["account_count"] for band in eth["bands"]) > 20


@pytest.mark.parametrize("form", ["csv", "parquet", "svg", "png"])
def test_scan_writes_files_of_every_kind(recording: Path, tmp_path: Path, capfd: Capture, form: str) -> None:
    file = tmp_path / f"out.{form}"
    outcome = invoke(capfd, "scan", "--replay", recording, "--format", form, "-o", file)

    assert (outcome.code, outcome.out) == (0, "")
    assert only_talk(outcome)
    content = file.read_bytes()
    if form == "svg":
        assert ElementTree.fromstring(content).tag.endswith("svg")  # noqa: S314 (ours)
    elif form == "png":
        assert content.startswith(b"\x89PNG\r\n")
    else:
        frame = pl.read_csv(io.BytesIO(content)) if form == "csv" else pl.read_parquet(io.BytesIO(content))
        assert {"factor", "direction", "band", "seizable_collateral_usd"} <= set(frame.columns)
        assert frame.height > 50


def test_accounts_lists_the_nearest_first(recording: Path, capfd: Capture) -> None:
    few, all_ = (invoke(capfd, "accounts", "--replay", recording, "--limit", n) for n in (5, 1000))

    assert (few.code, all_.code) == (0, 0)
    assert len(all_.out.splitlines()) - len(few.out.splitlines()) > 30
    health = [float(found) for found in re.findall(r"^ ?0x\S+ +(\d\S*) ", all_.out, re.MULTILINE)]
    assert health == sorted(health)
    assert len(health) > 30


def test_accounts_gives_its_documents(chain: Chain, at: list[str], recording: Path, capfd: Capture) -> None:
    one = program("accounts", *at, "--format", "ndjson")
    other = invoke(capfd, "accounts", "--replay", recording, "--format", "json", "-q")

    assert (one.code, other.code, other.err) == (0, 0, "")
    assert only_talk(one)
    lines = [json.loads(line) for line in one.out.splitlines()]
    for line in lines:
        valid("ndjson", line)
    valid("accounts", other.document)
    assert lines[0]["kind"] == "snapshot"
    rows = [{key: value for key, value in line.items() if key != "event"} for line in lines[1:]]
    assert rows == other.document["accounts"]
    assert len(rows) > 50
    for row in rows:
        held, owed = ({leg["reserve"] for leg in row[side]} for side in ("collateral", "debt"))
        assert row["triggers"] or held == owed or row["status"] != "healthy" or row["leverage"] < 2


def test_accounts_as_tables(recording: Path, tmp_path: Path, capfd: Capture) -> None:
    csv = invoke(capfd, "accounts", "--replay", recording, "--format", "csv")
    parquet = invoke(capfd, "accounts", "--replay", recording, "--format", "parquet", "-o", tmp_path / "a.parquet")

    assert (csv.code, parquet.code, parquet.out) == (0, 0, "")
    flat, nested = pl.read_csv(io.StringIO(csv.out)), pl.read_parquet(tmp_path / "a.parquet")
    assert flat["position"].to_list() == nested["position"].to_list()
    assert isinstance(nested.schema["collateral"], pl.List)


def test_account_shows_the_contracts_answer_beside(chain: Chain, at: list[str], capfd: Capture) -> None:
    drawn = program("account", chain.account, *at)
    outcome = invoke(capfd, "account", chain.account.upper().replace("0X", "0x"), *at, "--format", "json")

    assert (drawn.code, outcome.code) == (0, 0)
    assert "\x1b" not in drawn.out
    document = json.loads(outcome.out)
    valid("account", document)
    assert document["account"]["account"].lower() == chain.account.lower()
    assert document["contract"]["equal"] is True
    assert document["contract"]["health_factor_wad"] == document["account"]["health_factor_wad"]
    assert {leg["symbol"] for leg in document["account"]["collateral"]} <= {"WETH", "wstETH"}


def test_index_finds_and_lists(chain: Chain, at: list[str], capfd: Capture) -> None:
    found, listed = program("index", *at), invoke(capfd, "index", *at, "--export", "-")

    assert (found.code, listed.code) == (0, 0)
    assert re.search(r"accounts +without debt", found.out)
    assert f": {at[at.index('--index-file') + 1]}" in found.out.splitlines()[-1]
    assert all(re.fullmatch("0x[0-9a-f]{40}", line) for line in listed.out.splitlines())


def test_a_young_chain_says_who_is_not_final_yet_and_exports_them(
    chain: Chain, at: list[str], tmp_path: Path, capfd: Capture
) -> None:
    file = tmp_path / "borrowers.txt"
    empty = invoke(capfd, "index", *at, "--no-discover", "--export", file)
    assert (empty.code, file.read_text()) == (0, "")
    assert "no logs are kept yet: the index covers final blocks only" in empty.err
    assert "warning: no borrower is known, so the export is empty" in empty.err

    found = invoke(capfd, "index", *at)
    (count,) = re.findall(
        r"(\d+) more borrowers are in blocks that are not final yet; each scan reads those", found.err
    )
    exported = invoke(capfd, "index", *at, "--export", file)
    owners = file.read_text().splitlines()

    assert (found.code, exported.code) == (0, 0)
    assert f"{count} more borrowers are in blocks that are not final yet; the export has them too" in exported.err
    assert len(owners) == int(count) > 50
    assert chain.account.lower() in owners


def test_our_own_table_of_accounts_is_a_list(at: list[str], tmp_path: Path, capfd: Capture) -> None:
    file, options = tmp_path / "accounts.csv", at[: at.index("--index-file")]
    assert invoke(capfd, "accounts", *at, "--format", "csv", "-q", "-o", file).code == 0
    rows = pl.read_csv(file).height

    other = [*options, "--index-file", tmp_path / "other.sqlite", "--no-progress"]
    imported = invoke(capfd, "index", *other, "--import", file)
    scanned = invoke(capfd, "scan", *other, "--no-discover", "-o", tmp_path / "scan.txt")

    assert imported.code == 0
    assert f"imported {rows} addresses" in imported.err
    assert (scanned.code, scanned.err) == (0, "")


def test_demo_needs_nothing(tmp_path: Path) -> None:
    started = time.perf_counter()
    drawn = program("demo", cwd=tmp_path, HTTP_PROXY="http://127.0.0.1:9", COLUMNS="120")
    spent = time.perf_counter() - started
    outcome = program("demo", "--format", "json", "--factor", "BTC", cwd=tmp_path)

    assert (drawn.code, outcome.code) == (0, 0)
    assert "recorded block of a local market" in drawn.err
    assert "ETH" in drawn.out
    valid("scan", json.loads(outcome.out))
    assert json.loads(outcome.out)["selected_factor"] == "BTC"
    assert json.loads(outcome.out)["snapshot"]["source"] == "recording"
    assert spent < 5
    assert list(tmp_path.iterdir()) == []


# -- files and streams ------------------------------------------------------------------------------------------------


def test_a_file_is_replaced_whole_or_not_at_all(recording: Path, tmp_path: Path, capfd: Capture) -> None:
    file = tmp_path / "scan.txt"
    file.write_text("yesterday's")
    failed = invoke(capfd, "scan", "--rpc-url", "http://127.0.0.1:9", "--market", "0x" + "11" * 20, "-o", file)
    assert (failed.code, file.read_text()) == (3, "yesterday's")

    link = tmp_path / "link.txt"
    link.symlink_to(file)
    written = invoke(capfd, "scan", "--replay", recording, "-o", link)
    printed = invoke(capfd, "scan", "--replay", recording, "-o", "-")

    assert (written.code, written.out, printed.code) == (0, "", 0)
    assert link.is_symlink()
    assert _without_age(file.read_text()) == _without_age(printed.out)
    (tmp_path / "plain").touch()
    assert file.stat().st_mode == (tmp_path / "plain").stat().st_mode
    assert {one.name for one in tmp_path.iterdir()} == {"scan.txt", "link.txt", "plain"}


def _without_age(text: str) -> str:
    return re.sub(r"\d+ (s|min|h|d) ago", "", text)


def test_a_pipe_or_device_is_written_to_and_stays_one(recording: Path, tmp_path: Path, capfd: Capture) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    try:
        outcome = invoke(capfd, "scan", "--replay", recording, "-o", pipe)
        read = os.read(reader, 1 << 16).decode()
    finally:
        os.close(reader)

    assert (outcome.code, outcome.out) == (0, "")
    assert pipe.is_fifo()
    assert "ETH" in read


@pytest.mark.parametrize("command", ["scan", "accounts", "index"])
def test_a_file_that_cannot_be_is_refused_before_work_is_done(tmp_path: Path, capfd: Capture, command: str) -> None:
    nowhere = tmp_path / "no" / "folder" / "out"
    option = "--export" if command == "index" else "-o"
    outcome = invoke(capfd, command, "--rpc-url", "http://127.0.0.1:9", option, nowhere)

    assert (outcome.code, outcome.out) == (2, "")
    assert f"there is no folder {nowhere.parent}" in outcome.err


def test_a_folder_is_no_file(recording: Path, tmp_path: Path, capfd: Capture) -> None:
    outcome = invoke(capfd, "scan", "--replay", recording, "-o", tmp_path)

    assert (outcome.code, outcome.out) == (2, "")
    assert f"cannot write {tmp_path}: it is a folder" in outcome.err
    assert list(tmp_path.iterdir()) == []


def test_a_place_for_index_or_recording_that_cannot_be_is_refused(
    chain: Chain, recording: Path, tmp_path: Path, capfd: Capture
) -> None:
    for option, code in (("--index-file", 2), ("--record", 2)):
        outcome = invoke(capfd, "scan", *chain.options, option, recording / "below" / "a-file")
        assert (outcome.code, outcome.out) == (code, "")
        assert "Traceback" not in outcome.err
        assert str(recording) in outcome.err


def test_a_reader_that_goes_away_is_no_error(recording: Path) -> None:
    command = [*PROGRAM, "accounts", "--replay", str(recording), "--limit", "1000"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment()) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()
        err = process.stderr.read()
        assert (process.wait(timeout=30), err) == (0, b"")


def on_terminal(*arguments: object, **extra: str) -> str:
    """Run the program on a terminal of 100 columns; give what appears there."""
    parent, child = pty.openpty()
    command = [*PROGRAM, *map(str, arguments)]
    settings = environment(TERM="xterm-256color", COLUMNS="100", **extra)
    with subprocess.Popen(command, stdout=child, stderr=child, stdin=child, env=settings) as process:
        os.close(child)
        seen = b""
        while True:
            try:
                part = os.read(parent, 65536)
            except OSError:  # the other end is closed
                break
            if not part:
                break
            seen += part
        os.close(parent)
        assert process.wait(timeout=30) == 0
    return seen.decode()


def test_colours_are_for_terminals_that_want_them(recording: Path) -> None:
    coloured = on_terminal("scan", "--replay", recording)
    plain = on_terminal("scan", "--replay", recording, NO_COLOR="1")

    assert COLOUR.search(coloured)
    assert not COLOUR.search(plain)
    assert "ETH" in plain


def test_binary_data_is_kept_from_a_terminal(recording: Path) -> None:
    parent, child = pty.openpty()
    command = [*PROGRAM, "scan", "--replay", str(recording), "--format", "parquet"]
    done = subprocess.run(command, stdout=child, stderr=subprocess.PIPE, env=environment(), check=False, timeout=30)
    os.close(child)
    os.close(parent)

    assert done.returncode == 2
    assert b"--format parquet is binary: give -o FILE" in done.stderr


# -- usage ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["scna"], 'Did you mean "scan"?'),
        (["scan", "--verfy", "all"], "Did you mean --verify?"),
        (["scan", "--format", "tabel"], 'Did you mean "table"?'),
        (["scan", "--verify", "some"], '"sample"'),
        (["scan", "--block"], "requires an argument"),
        (["scan", "foo"], "foo"),
        (["account"], "ADDRESS"),
        (["account", "0x12", "--replay", "x"], "'0x12' is not an address"),
        (["accounts", "--limit", "many"], "many"),
        (["devchain", "--kind", "2.0"], '"3.6"'),
        (["index", "--covered-to", "5"], "--covered-to goes with --import"),
        (["scan", "--bands", "25"], "a bare number may mean anything; write 25%, 25usd or a list of prices"),
        (["scan", "--bands", "0%"], "--bands 0%"),
        (["scan", "--for-timestamp", "soon"], "give +12s, +5m, +1h, +30d"),
        (["scan", "--record", "a", "--replay", "b"], "leave out --record"),
        (["scan", "--config", "none.toml"], "no configuration file none.toml"),
        (["scan", "--protocol", "aave-v4"], "did you mean 'aave-v3'?"),
    ],
)
def test_wrong_usage_is_said_with_what_was_meant(
    chain: Chain, capfd: Capture, monkeypatch: pytest.MonkeyPatch, arguments: list[str], words: str
) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.setenv("LIQBANDS_RPC_URL", chain.options[1])
    outcome = invoke(capfd, *arguments)

    assert (outcome.code, outcome.out) == (2, "")
    assert words in outcome.err
    assert "Traceback" not in outcome.err


def test_an_unknown_factor_is_said_with_what_was_meant(recording: Path, capfd: Capture) -> None:
    outcome = invoke(capfd, "scan", "--replay", recording, "--factor", "ETHH")

    assert (outcome.code, outcome.out) == (2, "")
    assert "did you mean 'ETH'?" in outcome.err


def test_without_an_endpoint_the_next_steps_are_named(tmp_path: Path) -> None:
    outcome = program("scan", cwd=tmp_path)

    assert (outcome.code, outcome.out) == (2, "")
    for words in ("--rpc-url", "LIQBANDS_RPC_URL", "liqbands demo", "liqbands devchain"):
        assert words in outcome.err


def test_help_and_version_are_data(capfd: Capture) -> None:
    version = invoke(capfd, "--version")
    assert (version.code, version.err) == (0, "")
    assert re.fullmatch(r"\d+\.\d+\.\d+\n", version.out)
    for command in ([], ["scan"], ["accounts"], ["account"], ["index"], ["demo"], ["devchain"]):
        outcome = invoke(capfd, *command, "--help")
        assert (outcome.code, outcome.err) == (0, "")
        assert "Usage: liqbands" in outcome.out


def test_a_block_behind_the_head(chain: Chain, at: list[str], capfd: Capture) -> None:
    head = invoke(capfd, "scan", *at, "--format", "json", "--verify", "none", "-q")
    behind = invoke(capfd, "scan", *at, "--block", "-1", "--format", "json", "--verify", "none", "-q")

    numbers = [outcome.document["snapshot"]["block_number"] for outcome in (head, behind)]
    assert (head.code, behind.code) == (0, 0)
    assert numbers[0] - numbers[1] == 1


def test_the_environment_names_endpoint_and_market(
    chain: Chain, tmp_path: Path, capfd: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)
    Path("liqbands.toml").write_text(f'market = ["{chain.options[3]}"]\nchain = "anvil"\n')
    Path(".env").write_text(f"ANVIL_RPC_URL={chain.options[1]}\nLIQBANDS_DATA_DIR={tmp_path / 'data'}\n")

    outcome = invoke(capfd, "index")

    assert outcome.code == 0
    assert (tmp_path / "data" / "index").is_dir()


# -- the devchain -----------------------------------------------------------------------------------------------------


def test_the_devchain_says_how_to_use_it_and_stops_when_told(chain: Chain) -> None:
    """Comes last: it stops the chain of this module."""
    for words in ("RPC URL ", "market root ", "liqbands scan --rpc-url ", "liqbands accounts ", "Ctrl-C stops"):
        assert words in chain.said
    port = int(chain.options[1].rpartition(":")[2])
    with socket.create_connection(("127.0.0.1", port), timeout=5):
        pass

    chain.process.send_signal(signal.SIGTERM)
    out, err = chain.process.communicate(timeout=20)

    assert (chain.process.returncode, out, err) == (0, "stopped\n", "")
    with pytest.raises(OSError, match=r"refused"):
        socket.create_connection(("127.0.0.1", port), timeout=5)
