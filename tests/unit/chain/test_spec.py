"""Which URLs are of one server: two of them would agree with each other in a quorum."""

from __future__ import annotations

import pytest

from scanner.chain.several import open_several
from scanner.chain.spec import EndpointSpec
from scanner.errors import ConfigError

SAME = [
    ("http://localhost:8545", "http://127.0.0.1:8545"),
    ("http://localhost:8545", "http://[::1]:8545/k3y"),
    ("http://LOCALHOST:8545", "http://node.localhost:8545"),
    ("http://127.0.0.1:8545", "http://127.9.9.9:8545"),
    ("http://127.0.0.1:8545", "http://0.0.0.0:8545"),
    ("http://127.0.0.1:8545", "http://[::ffff:127.0.0.1]:8545"),
    ("https://node.example/k3y", "https://node.example:443/other"),
    ("https://node.example/k3y", "http://Node.Example./k3y"),
    ("https://[2001:db8::1]:8545", "https://[2001:db8:0:0::1]:8545"),
]
OTHER = [
    ("http://127.0.0.1:8545", "http://127.0.0.1:8546"),
    ("http://localhost:8545", "http://localhost:8546"),
    ("https://node.example", "https://node.example:8545"),
    ("https://node.example", "https://other.example"),
    ("http://10.0.0.1:8545", "http://127.0.0.1:8545"),
]


@pytest.mark.parametrize(("one", "other"), SAME)
def test_names_of_one_server_count_once(one: str, other: str) -> None:
    specs = [EndpointSpec(one), EndpointSpec(other), EndpointSpec("https://third.example")]
    assert specs[0].place == specs[1].place
    with pytest.raises(ConfigError, match="would agree with itself") as caught:
        open_several(specs, "latest", _never, quorum=2)
    assert all(spec.host in str(caught.value) for spec in specs[:2])
    assert "k3y" not in str(caught.value)


@pytest.mark.parametrize(("one", "other"), OTHER)
def test_other_servers_and_other_ports_count_apart(one: str, other: str) -> None:
    assert EndpointSpec(one).place != EndpointSpec(other).place


def test_what_is_no_url_has_a_place_without_it() -> None:
    assert EndpointSpec("k3y").place == "the endpoint"


def _never(*_: object, **__: object) -> None:
    raise AssertionError("nothing is opened")
