"""Secrets of an RPC URL, planted and looked for in everything that leaves the program."""

from __future__ import annotations

import gzip
import io
import json
import logging
import re
import traceback
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack
from dataclasses import fields
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import polars as pl
import pytest

import scanner
from scanner.chain.endpoint import Endpoint
from scanner.chain.options import Options
from scanner.chain.reader import open_reader
from scanner.cli.app import COMMANDS
from scanner.cli.options import Reading, Talk, Where
from scanner.config import data_dir
from scanner.devchain import DevMarket
from scanner.errors import ScannerError
from tests.chain.peers import Outcome, invoke, options_of, where
from tests.chain.proxy import Request, Rule, Say, proxy, refuse

pytestmark = pytest.mark.chain

Capture = pytest.CaptureFixture[str]

USER, PASSWORD, KEY, TOKEN = "n4me-of-a-user", "pa55%2Fw0rd", "s3cret%2Bkey", "s3crettoken"
SECRETS = (USER, PASSWORD, KEY, TOKEN)
MARKS = ("n4me", "pa55", "s3cret")  # of each secret, of a part of it, and of what it is when decoded


def plant(url: str) -> str:
    """Give a URL of the same endpoint that holds every secret."""
    return f"http://{USER}:{PASSWORD}@{urlsplit(url).netloc.split('@')[-1]}/v3/{KEY}?token={TOKEN}&x=1"


def echo(url: str) -> str:
    """Say a URL as endpoints do: whole, in its parts, decoded, in capitals."""
    parts = urlsplit(url)
    return " | ".join([url, parts.path, parts.query, unquote(url), *SECRETS, *map(unquote, SECRETS), url.upper()])


# -- looking for them -------------------------------------------------------------------------------------------------


def _texts(content: bytes) -> Iterator[str]:
    """Give what a file says: as it is, unpacked where it is gzip, and as a table where it is Parquet."""
    if content[:2] == b"\x1f\x8b":
        content = gzip.decompress(content)
    yield content.decode("utf-8", "replace")
    if content[:4] == b"PAR1":
        yield json.dumps(pl.read_parquet(io.BytesIO(content)).to_dicts(), default=str)


def leaks(outcome: Outcome, *folders: Path) -> list[str]:
    """List where a mark is: in the output, in a file or in its name."""
    found = [f"{name}: {line}" for name in ("out", "err") for line in _marked(getattr(outcome, name))]
    for folder in folders:
        for file in folder.rglob("*"):
            found += [f"name {file}" for _ in _marked(str(file.relative_to(folder)))]
            if file.is_file():
                found += [f"{file.name}: {line}" for text in _texts(file.read_bytes()) for line in _marked(text)]
    return found


def _marked(text: str) -> Iterable[str]:
    for line in re.split(r"[\n\0]", text):
        for mark in MARKS:
            if (at := line.lower().find(mark)) >= 0:
                yield line[max(at - 80, 0) : at + 80]


def test_what_is_planted_would_be_found(tmp_path: Path) -> None:
    url = plant("http://127.0.0.1:1")
    pl.DataFrame({"host": [url]}).write_parquet(tmp_path / "a.parquet")
    (tmp_path / "b.rec").write_bytes(gzip.compress(url.encode()))
    (tmp_path / unquote(KEY)).touch()
    assert len({where.split()[0] for where in leaks(Outcome(0, url, ""), tmp_path)}) == 4


# -- endpoints --------------------------------------------------------------------------------------------------------


def _at(method: str, say: Callable[[Request], Say | None]) -> Rule:
    return lambda request: say(request) if request["method"] == method else None


def _shape(url: str) -> Rule:
    """Give results of a shape that no method has, each with the secret at another place."""
    turn = iter(range(20, 10**6))

    def rule(request: Request) -> Say | None:
        pad = next(turn) % 80
        return Say({"jsonrpc": "2.0", "id": request["id"], "result": {"x" * pad: echo(url)}})

    return _at("eth_getBlockByNumber", rule)


_BLOCK = {"number": "0x1", "hash": "0x" + 64 * "1", "timestamp": "0x1", "parentHash": "0x" + 64 * "2"}
_LOG = {"address": "0x" + 40 * "1", "topics": [], "data": "0x", "blockNumber": "0x1", "logIndex": "0x0"}


def _result(result: object) -> Say:
    return Say({"jsonrpc": "2.0", "id": 1, "result": result})


def _bad(url: str) -> dict[str, Rule]:
    said = echo(url)
    page = f"<html>404: no {said}</html>".encode()
    denied = {"jsonrpc": "2.0", "id": 1, "error": {"code": -32001, "message": f"bad key: {said}", "data": said}}
    return {
        "401": lambda _: Say(denied, 401),
        "401, a text": lambda _: Say({"error": said}, 401),
        "page": lambda _: Say(page),
        "page 404": lambda _: Say(page, 404),
        "page 502": lambda _: Say(page, 502, {"Retry-After": "0"}),
        "redirect": lambda _: Say(page, 302, {"Location": url}),
        "error": lambda _: refuse(f"no: {said}"),
        "limit": lambda _: refuse(f"too many requests by {said}", 429, 429, Retry_After="0"),
        "late error": _at("eth_call", lambda _: refuse(f"no: {said}")),
        "late revert": _at("eth_call", lambda _: refuse(f"execution reverted: {said}", 3)),
        "late logs": _at("eth_getLogs", lambda _: refuse(f"no logs: {said}")),
        "text": lambda _: Say({"jsonrpc": "2.0", "id": 1, "result": said}),
        "odd id": lambda _: Say(json.dumps({"jsonrpc": "2.0", "id": said, "result": said}).encode()),
        "shape": _shape(url),
        "number": _at("eth_getBlockByNumber", lambda _: _result({**_BLOCK, "number": said})),
        "log": _at("eth_getLogs", lambda _: _result([{**_LOG, "blockNumber": said}])),
        "log of another": _at("eth_getLogs", lambda _: _result([{**_LOG, "address": said, "topics": [said]}])),
        "call": _at("eth_call", lambda _: _result(said)),
        "proof": _at("eth_getProof", lambda _: _result({"accountProof": [said], "storageProof": [said]})),
        "dropped": lambda _: Say(b"", 0),
    }


BAD = list(_bad("http://h/"))
FINE = ("late revert", "proof")  # a revert is the contract's answer; proofs are asked for by few commands


@pytest.fixture(autouse=True)
def short(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let nothing be waited for."""
    chosen = {"timeout": 1.0, "attempts": 2, "patience": 0.2}
    defaults = tuple(chosen.get(field.name, field.default) for field in fields(Options))
    monkeypatch.setattr(Options.__init__, "__defaults__", defaults)


def commands(market: DevMarket, url: str, folder: Path) -> Iterator[list[str]]:
    """Give every command that speaks with a node, with whatever it may write; the log of the last one is gone."""
    for command in _commands(market, url, folder):
        (folder / "log").unlink(missing_ok=True)  # a log is a new file
        yield command


def _commands(market: DevMarket, url: str, folder: Path) -> Iterator[list[str]]:
    at = [argument for argument in where(market, folder / "index.sqlite", url) if argument != "--no-progress"]
    log = ["--transport-log", str(folder / "log")] if _has("transport_log") else []
    account = market.members[0].address
    for form in ("table", "json", "csv", "parquet", "svg", "png"):
        yield ["scan", *at, *log, "-v", "--format", form, "-o", str(folder / f"scan.{form}")]
    yield ["scan", *at, *log, "-v", "--verify", "all", "--prove", "sample", "--record", str(folder / "scan.rec")]
    with proxy(market.anvil.url, lambda _: None) as honest:
        other = ["--rpc-url", plant(honest)]
        yield ["scan", *at, *other, *log, "-v", "--quorum", "2", "-o", str(folder / "quorum")]
    for form in ("table", "json", "ndjson", "csv", "parquet"):
        yield ["accounts", *at, *log, "-v", "--format", form, "-o", str(folder / f"accounts.{form}")]
    for form in ("table", "json"):
        yield ["account", account, *at, *log, "-v", "--format", form]
    yield ["index", *at, *log, "-v", "--export", str(folder / "borrowers.txt")]
    yield ["index", *at, *log, "--status"]
    if "doctor" in COMMANDS:
        yield ["doctor", "--rpc-url", url, "-v"]
        yield ["doctor", "--rpc-url", url, "--format", "json", "-o", str(folder / "doctor.json")]


def _has(option: str) -> bool:
    return any(option in group.__dataclass_fields__ for group in (Reading, Talk, Where))


def few(market: DevMarket, url: str, folder: Path) -> Iterator[list[str]]:
    """Give one form of each command."""
    seen = set()
    for command in commands(market, url, folder):
        name = (command[0], "--record" in command, "--quorum" in command)
        if name not in seen:
            seen.add(name)
            yield command


def test_no_command_lets_a_secret_out(
    small: DevMarket, tmp_path: Path, capfd: Capture, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.DEBUG), proxy(small.anvil.url, lambda _: None) as url:
        for command in commands(small, plant(url), tmp_path):
            outcome = invoke(capfd, *command)
            assert outcome.code == 0, (command, outcome.err)
            assert leaks(outcome, tmp_path, data_dir()) == [], command[0]
    assert list(_marked(caplog.text)) == []


@pytest.mark.parametrize("name", BAD)
def test_no_endpoint_gets_its_secrets_told(small: DevMarket, tmp_path: Path, capfd: Capture, name: str) -> None:
    with ExitStack() as stack:
        rules: list[Rule] = []
        url = plant(stack.enter_context(proxy(small.anvil.url, lambda request: rules[0](request))))
        rules.append(_bad(url)[name])
        for command in few(small, url, tmp_path):
            outcome = invoke(capfd, *command)
            assert leaks(outcome, tmp_path, data_dir()) == [], command[0]
            if name not in FINE and command[0] in ("scan", "accounts"):
                assert outcome.code in (3, 4), (command[0], outcome)


def test_no_secret_is_told_of_an_endpoint_that_cannot_be_used(small: DevMarket, tmp_path: Path, capfd: Capture) -> None:
    for command in few(small, plant("http://127.0.0.1:9"), tmp_path):
        outcome = invoke(capfd, *command)
        assert outcome.code == 3
        assert leaks(outcome, tmp_path, data_dir()) == []
        outcome = invoke(capfd, *command, "--chain", "ethereum")
        assert leaks(outcome, tmp_path, data_dir()) == []
    with proxy(small.anvil.url, lambda _: None) as url:
        for command in few(small, plant(url), tmp_path):
            outcome = invoke(capfd, *command, "--chain", "ethereum")
            assert outcome.code == 2
            assert leaks(outcome, tmp_path, data_dir()) == []


def test_no_secret_is_in_the_traceback_of_a_bug(
    small: DevMarket, tmp_path: Path, capfd: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = plant(small.anvil.url)

    async def broken(self: Endpoint, *_: object, **__: object) -> Any:
        try:
            raise ValueError(f"a library says {echo(url)}")
        except ValueError as error:
            raise RuntimeError(f"POST {url!r} and {echo(url)}") from error

    for name in ("request", "batch"):
        monkeypatch.setattr(Endpoint, name, broken)
    for command in few(small, url, tmp_path):
        outcome = invoke(capfd, *command)
        assert outcome.code == 4
        assert "Traceback" in outcome.err
        assert "this is a bug" in outcome.err
        assert leaks(outcome, tmp_path, data_dir()) == []


def test_no_secret_is_in_a_traceback_of_a_program_that_scans(small: DevMarket) -> None:
    for text in (plant("http://127.0.0.1:9"), *(url for url, _ in MISSPELT)):
        with pytest.raises(Exception) as caught:  # noqa: PT011
            open_reader(text)
        assert traced(caught.value) == [], text


@pytest.mark.parametrize("name", [name for name in BAD if name not in FINE])
def test_no_secret_is_in_what_a_scan_raises(small: DevMarket, tmp_path: Path, name: str) -> None:
    with ExitStack() as stack:
        rules: list[Rule] = []
        url = plant(stack.enter_context(proxy(small.anvil.url, lambda request: rules[0](request))))
        rules.append(_bad(url)[name])
        with pytest.raises(ScannerError) as caught:
            scanner.scan(options_of(small, tmp_path / "index.sqlite", url, prove="sample", extent="factor"))
    assert traced(caught.value) == []


def traced(error: BaseException) -> list[str]:
    """List the marks in what Python prints of an error that nobody caught, its causes too."""
    return list(_marked("".join(traceback.format_exception(error)) + repr(error)))


# -- secrets where they do not belong ---------------------------------------------------------------------------------

URL = plant("https://node.example")
MISSPELT = [
    (URL.replace("https", "htps"), "http"),
    (URL.replace("://", "//"), "http"),
    (URL.replace("https://", ""), "http"),
    (URL.replace("https", "wss"), "http"),
    (URL.replace("node.example", "node.example:s3cretport"), "not valid"),
    (URL.replace("node.example", "[node.example"), "not valid"),
    (URL.replace("node.example", "node\u2100example"), "not valid"),
    (URL.replace("node.example", ""), "http"),
    (f"'{URL}'", "http"),
    (f"{URL},{URL.replace('node', 'edon')}", ""),
    (f"{URL} {URL}", ""),
    (f"http://{USER}:pa55/word@127.0.0.1:9/{KEY}", ""),
    (f"http://{USER}:9/pa55word@127.0.0.1:9/{KEY}", ""),
    (f"http://127.0.0.1:9/{KEY}\x01", ""),
    (KEY, "http"),
]


@pytest.mark.parametrize("url", [url for url, _ in MISSPELT])
@pytest.mark.parametrize("way", ["environment", ".env", "option", "file", "list"])
def test_a_url_that_cannot_be_read_is_not_repeated(
    tmp_path: Path, capfd: Capture, monkeypatch: pytest.MonkeyPatch, url: str, way: str
) -> None:
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "out"
    folder.mkdir()
    for name in ("LIQBANDS_RPC_URL", "ETH_RPC_URL", "WEB3_PROVIDER_URI"):
        monkeypatch.delenv(name, raising=False)
    arguments = ["scan", "--market", "0x" + 40 * "1", "--record", str(folder / "r")]
    if way == "environment":
        monkeypatch.setenv("LIQBANDS_RPC_URL", url)
    elif way == "option":
        arguments += ["--rpc-url", url]
    elif way == ".env":
        Path(".env").write_text(f"LIQBANDS_RPC_URL={url}\n")
    else:
        text = json.dumps(url)
        Path("liqbands.toml").write_text(f"rpc_url = {text if way == 'file' else f'[{text}, {text}]'}\n")
    outcome = invoke(capfd, *arguments)
    assert outcome.code in (2, 3)
    assert leaks(outcome, folder, data_dir()) == []


@pytest.mark.parametrize(
    "content",
    [
        'rpc_url = "{url}',
        "rpc_url = {url}",
        "rpc_url = [5, '{url}']",
        "rpc_url = {{ a = '{url}' }}",
        "chain = '{url}'",
        "bands = '{url}'",
        "market = ['{url}']\nrpc_url = 'http://127.0.0.1:9'",
        "market = '{url}'",
        "factor = '{url}'\nrpc_url = 'http://127.0.0.1:9'",
        "'{url}' = 5",
        "[[endpoint]]\nurl = '{url}'\nrole = '{url}'",
        "[[endpoints]]\nurl = '{url}'\nroles = ['{url}']",
        "[[endpoints]]\nurl = 5\n'{url}' = 1",
        "[factors]\n'{url}' = ['{url}']",
    ],
)
def test_a_configuration_file_is_not_repeated(
    tmp_path: Path, capfd: Capture, monkeypatch: pytest.MonkeyPatch, content: str
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("liqbands.toml").write_text(content.format(url=URL))
    outcome = invoke(capfd, "scan", "--market", "0x" + 40 * "1")
    assert outcome.code in (2, 3)
    assert leaks(outcome) == []


@pytest.mark.parametrize("line", ['LIQBANDS_RPC_URL="{url}', "{url}=5 6'", "LIQBANDS_RPC_URL {url}", "A='{url}\nB=1"])
def test_a_dot_env_file_is_not_repeated(
    tmp_path: Path, capfd: Capture, monkeypatch: pytest.MonkeyPatch, line: str
) -> None:
    monkeypatch.chdir(tmp_path)
    Path(".env").write_text(line.format(url=URL) + "\n")
    outcome = invoke(capfd, "scan")
    assert outcome.code == 2
    assert leaks(outcome) == []


@pytest.mark.parametrize("name", ["LIQBANDS_CONFIG", "COLUMNS"])
def test_a_url_in_another_variable_is_not_repeated(capfd: Capture, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setenv(name, URL)
    outcome = invoke(capfd, "scan")
    assert outcome.code == 2
    assert leaks(outcome) == []


OPTIONS = [
    "--market", "--chain", "--protocol", "--block", "--from-block", "--config", "--index-file", "--record", "--replay",
    "--factor", "--bands", "--by", "--verify", "--for-timestamp", "--output", "-o", "--format", "--rpc-ulr", "--rpcurl",
    "--quiet", "",
]  # fmt: skip


@pytest.mark.parametrize("joined", [False, True])
@pytest.mark.parametrize("option", OPTIONS)
def test_a_url_given_for_something_else_is_not_repeated(
    small: DevMarket, tmp_path: Path, capfd: Capture, monkeypatch: pytest.MonkeyPatch, option: str, joined: bool
) -> None:
    monkeypatch.chdir(tmp_path)
    given = ([f"{option}={URL}"] if joined else [option, URL]) if option else [URL]
    at = where(small, tmp_path / "index.sqlite") if option not in ("--replay", "--market", "--index-file") else []
    at = at or ["--rpc-url", small.anvil.url] if option != "--replay" else []
    outcome = invoke(capfd, "scan", *at, *given)
    assert outcome.code == 2, outcome
    assert leaks(outcome, tmp_path, data_dir()) == []


@pytest.mark.parametrize(
    "arguments",
    [["account", URL], ["index", "--import", URL], ["index", "--export", URL], ["index", "--covered-to", URL], [URL],
     ["devchain", "--port", URL], ["demo", "--factor", URL], ["accounts", "--limit", URL]],
)  # fmt: skip
def test_a_url_given_to_another_command_is_not_repeated(
    tmp_path: Path, capfd: Capture, monkeypatch: pytest.MonkeyPatch, arguments: list[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    outcome = invoke(capfd, *arguments)
    assert outcome.code == 2, outcome
    assert leaks(outcome, tmp_path, data_dir()) == []
