from __future__ import annotations

import pytest

from scanner.chain.blocks import block_parameter
from scanner.chain.endpoint import Endpoint
from scanner.chain.options import Options
from scanner.chain.spec import EndpointSpec
from scanner.errors import ConfigError


@pytest.mark.parametrize(
    ("text", "block"),
    [
        (17, 17),
        ("17", 17),
        ("-100", -100),
        ("latest", "latest"),
        ("Finalized", "finalized"),
        ("16_000_000", 16_000_000),
        ("16M", 16_000_000),
        ("15.5M", 15_500_000),
        ("0x10", 16),
        ("0x" + "AB" * 32, "0x" + "ab" * 32),
    ],
)
def test_a_block_is_read_as_users_write_it(text: int | str, block: int | str) -> None:
    assert block_parameter(text) == block


@pytest.mark.parametrize("text", ["", "newest", "pending", "1.5", "0x", "1e6", "--5", "0x" + "a" * 63])
def test_what_is_no_block_is_refused(text: str) -> None:
    with pytest.raises(ConfigError):
        block_parameter(text)


@pytest.mark.parametrize("url", ["", "localhost:8545", "ws://node/secret", "http://", "http://host:port/secret"])
def test_a_url_that_is_no_http_url_is_refused_without_being_shown(url: str) -> None:
    with pytest.raises(ConfigError) as caught:
        Endpoint(EndpointSpec(url), Options())
    assert "secret" not in str(caught.value)
