"""What is told on stderr keeps the keys of URLs back."""

from __future__ import annotations

import pytest

from scanner.cli import curtain
from scanner.cli.curtain import hide, remember


@pytest.mark.parametrize(
    ("said", "wanted"),
    [
        (
            "no chain 'https://me:pw@node.example/v3/key12345'; known: base",
            "no chain 'https://node.example/…'; known: base",
        ),
        ("--bands https://node.example?token=key12345: give 1%", "--bands https://node.example/…: give 1%"),
        ("a: http://a.example/key12345,http://b.example/key12345", "a: http://a.example/…"),
        ("cannot write http:/me:pw@node.example/key12345: no folder", "cannot write http://node.example/…: no folder"),
        ("http://name:12/pass@node.example/x", "http:///…"),
        ("htps://me:pw@node.example", "htps://node.example/…"),
        ("give https://host/path or http://127.0.0.1:8545.", "give https://host/path or http://127.0.0.1:8545."),
        ("C:/folder/file: no such file; 10:/x", "C:/folder/file: no such file; 10:/x"),
    ],
)
def test_no_more_of_a_url_is_told_than_its_host(said: str, wanted: str) -> None:
    assert hide(said) == wanted


def test_a_key_is_hidden_where_it_stands_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(curtain, "_urls", {})
    remember(
        ["https://me:pw45@node.example/v3/key12345", "http://127.0.0.1:8545", "key67890", "http://[broken/key12345"]
    )
    said = "KEY12345, pw45 and key67890 at http://127.0.0.1:8545 and node.example"
    assert hide(said) == "…, … and … at http://127.0.0.1:8545 and node.example"
