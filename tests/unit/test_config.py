"""Configuration: where values come from, and what is refused."""

from __future__ import annotations

from pathlib import Path

import pytest

from scanner.chain.spec import ROLES, EndpointSpec
from scanner.config import FileConfig, load_file, resolve_endpoints, variable
from scanner.errors import ConfigError
from scanner.sources import configured
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
    assert resolve_endpoints((), None, file) == ("http://file",)
    for name in ("WEB3_PROVIDER_URI", "ETH_RPC_URL", "LIQBANDS_RPC_URL"):
        monkeypatch.setenv(name, f"http://{name.lower()}")
        assert resolve_endpoints((), None, file) == (f"http://{name.lower()}",)
    monkeypatch.setenv("BASE_RPC_URL", "http://base")
    assert resolve_endpoints((), None, file) == ("http://liqbands_rpc_url",)
    assert resolve_endpoints((), "base", file) == ("http://base",)
    assert resolve_endpoints(("http://cli",), "base", file) == ("http://cli",)


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
        resolve_endpoints((), None, FileConfig())


def test_unknown_chain_is_suggested() -> None:
    with pytest.raises(ConfigError, match="did you mean 'ethereum'"):
        resolve_endpoints((), "etherium", FileConfig())


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("bnads = '1%'", "unknown key 'bnads'; did you mean 'bands'"),
        ("bands = 1", "bands: give text, not a whole number"),
        ("bands = ", "not valid TOML"),
        (
            "[[endpoint]]\nurl = 'http://a'\nrole = ['logs']",
            r"unknown key 'role' in .*; did you mean 'roles'",
        ),
        ("[[endpoint]]\nurl = 'http://a'\nconcurrency = 'many'", r"concurrency: give a whole number, not text"),
        ("[[endpoint]]\nurl = 'http://a'\nroles = 'logs'", r'is not a list; write roles = \["logs"\]'),
        ("[[endpoint]]\nurl = 'http://a'\n[[endpoint]]\nroles = 'calls, logs'", r'\]\] 2 .*\["calls", "logs"\]'),
        ("[endpoint]\nurl = 'http://a'", r"write \[\[endpoint\]\], with two brackets"),
        ("endpoint = 'http://a'", "endpoint: give a list, not text"),
        ("quorum = 'two'", "quorum: give a whole number, not text"),
    ],
)
def test_a_wrong_file_is_named_with_the_reason(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "liqbands.toml"
    path.write_text(text)
    with pytest.raises(ConfigError, match=message):
        load_file(path)


# --- several endpoints -----------------------------------------------------------------------------------------------


def specs(text: str) -> tuple[EndpointSpec, ...]:
    path = Path("endpoints.toml")
    path.write_text(text)
    return configured(resolve_endpoints((), None, load_file(path)))


@pytest.mark.parametrize(
    "text",
    ["http://a/1,http://b/2", " http://a/1 , http://b/2, ", "http://a/1,\n  http://b/2", "http://a/1 ,http://b/2"],
)
def test_a_variable_may_hold_several(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    monkeypatch.setenv("LIQBANDS_RPC_URL", text)
    assert resolve_endpoints((), None, FileConfig()) == ("http://a/1", "http://b/2")


def test_a_comma_may_be_part_of_a_url(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BASE_RPC_URL", "http://a/x,y?z=1,2,https://b")
    assert resolve_endpoints((), "base", FileConfig()) == ("http://a/x,y?z=1,2", "https://b")


def test_a_file_describes_endpoints(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NODE_KEY", "k3y")
    Path(".env").write_text("ARCHIVE=http://archive/k3y\n")
    plain, keyed, archive = specs(
        """
        rpc_url = "http://plain"
        [[endpoint]]
        url = "https://node/v3/${NODE_KEY}"
        roles = ["calls"]
        requests_per_second = 12.5
        concurrency = 3
        [[endpoint]]
        url_env = "ARCHIVE"
        compute_units_per_second = 330
        """
    )
    assert plain == EndpointSpec("http://plain", frozenset(ROLES))
    assert keyed == EndpointSpec("https://node/v3/k3y", frozenset({"calls"}), 12.5, None, 3)
    assert archive == EndpointSpec("http://archive/k3y", compute_units_per_second=330)
    assert "k3y" not in repr((keyed, archive))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[[endpoint]]\nurl = 'http://a/${NO_KEY}'", "wants the variable NO_KEY, which is not set"),
        ("[[endpoint]]\nurl_env = 'NO_KEY'", "wants the variable NO_KEY, which is not set"),
        ("[[endpoint]]\nroles = ['logs']", "either url or url_env"),
        ("[[endpoint]]\nurl = 'http://a'\nurl_env = 'B'", "either url or url_env"),
        (
            "[[endpoint]]\nurl = 'http://a/k3y'\nroles = ['log']",
            "^a: an endpoint has no role 'log'; did you",
        ),
        ("[[endpoint]]\nurl = 'http://a/k3y'\nroles = ['archive']", "^a: give the endpoint the role calls or logs"),
        ("[[endpoint]]\nurl = 'http://a:8/k3y'\nconcurrency = 0", "^a:8: concurrency = 0: give a number above zero"),
        ("[[endpoint]]\nurl = 'http://a/k3y'\nrequests_per_second = -1", "a number above zero"),
        ("rpc_url = 'http://a/k3y'\n[[endpoint]]\nurl = 'b/k3y'", "^endpoint 2 of 2: the RPC URL must look like"),
        ("rpc_url = ['http://a b/k3y', 'http://b']", "^endpoint 1 of 2: the RPC URL has a blank in it"),
        ("rpc_url = 'ftp://a/k3y'", "^the RPC URL must look like"),
        ("rpc_url = 'http://a/k3y'\n[[endpoint]]\nurl = 'http://a/k3y/'", "^a is given twice with the same RPC URL"),
    ],
)
def test_an_endpoint_that_cannot_be_meant_is_refused(text: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message) as caught:
        specs(text)
    assert "k3y" not in str(caught.value)
