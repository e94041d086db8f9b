"""Configuration: where values come from, and what is refused."""

from __future__ import annotations

from pathlib import Path

import pytest

from scanner.config import FileConfig, load_file, resolve_rpc_urls, variable
from scanner.errors import ConfigError
from tests.docs_check import undocumented_variables


@pytest.fixture(autouse=True)
def bare_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    from scanner.config import VARIABLES

    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(tmp_path)


def test_env_example_lists_every_variable() -> None:
    assert undocumented_variables() == []


def test_url_order(monkeypatch: pytest.MonkeyPatch) -> None:
    file = FileConfig(rpc_url="http://file")
    assert resolve_rpc_urls((), None, file) == ("http://file",)
    for name in ("WEB3_PROVIDER_URI", "ETH_RPC_URL", "LIQBANDS_RPC_URL"):
        monkeypatch.setenv(name, f"http://{name.lower()}")
        assert resolve_rpc_urls((), None, file) == (f"http://{name.lower()}",)
    monkeypatch.setenv("BASE_RPC_URL", "http://base")
    assert resolve_rpc_urls((), None, file) == ("http://liqbands_rpc_url",)
    assert resolve_rpc_urls((), "base", file) == ("http://base",)
    assert resolve_rpc_urls(("http://cli",), "base", file) == ("http://cli",)


def test_dotenv_fills_in_what_the_environment_lacks(monkeypatch: pytest.MonkeyPatch) -> None:
    Path(".env").write_text("ETH_RPC_URL=http://dotenv\n")
    assert variable("ETH_RPC_URL") == "http://dotenv"
    monkeypatch.setenv("ETH_RPC_URL", "http://environment")
    assert variable("ETH_RPC_URL") == "http://environment"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"A=1\nETH_RPC_URL=http://caf\xe9\n", r"\.env, line 2: not UTF-8 text"),
        (b"A=1\n\nETH_RPC_URL='http://node\nB=2\n", r"\.env, line 3: not NAME=value"),
    ],
)
def test_a_dotenv_that_cannot_be_read_is_named_with_the_line(
    content: bytes, message: str, caplog: pytest.LogCaptureFixture
) -> None:
    Path(".env").write_bytes(content)
    with pytest.raises(ConfigError, match=message):
        variable("ETH_RPC_URL")
    assert caplog.records == [], "python-dotenv tells it too, without the file's name"


def test_a_dotenv_is_read_once(monkeypatch: pytest.MonkeyPatch) -> None:
    Path(".env").write_bytes(b"\xef\xbb\xbfETH_RPC_URL=http://one\n")
    assert variable("ETH_RPC_URL") == "http://one"
    with monkeypatch.context() as patch:
        patch.setattr(Path, "read_text", lambda *_, **__: pytest.fail("read again"))
        assert variable("ETH_RPC_URL") == "http://one"
    Path(".env").write_text("ETH_RPC_URL=http://another\n")
    assert variable("ETH_RPC_URL") == "http://another"


def test_no_url_says_what_to_do() -> None:
    with pytest.raises(ConfigError, match=r"--rpc-url URL.*liqbands demo"):
        resolve_rpc_urls((), None, FileConfig())


def test_unknown_chain_is_suggested() -> None:
    with pytest.raises(ConfigError, match="did you mean 'ethereum'"):
        resolve_rpc_urls((), "etherium", FileConfig())


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("bnads = '1%'", "unknown key 'bnads'; did you mean 'bands'"),
        ("bands = 1", "Expected `str"),
        ("bands = ", "not valid TOML"),
    ],
)
def test_a_wrong_file_is_named_with_the_reason(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "liqbands.toml"
    path.write_text(text)
    with pytest.raises(ConfigError, match=message):
        load_file(path)
