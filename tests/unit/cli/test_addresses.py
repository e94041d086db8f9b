"""Addresses that people give: which are taken, which are refused."""

from __future__ import annotations

import pytest

from scanner.cli.addresses import parse_address, parse_addresses
from scanner.errors import ConfigError

SPELT = "0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed"  # the first example of EIP-55
OTHER = "0xfb6916095ca1df60bb79ce92ce3ea74c37c5d359"


@pytest.mark.parametrize("text", [SPELT, SPELT.lower(), "0x" + SPELT[2:].upper()])
def test_an_address_is_taken_with_its_checksum_or_without_one(text: str) -> None:
    assert parse_address(text) == SPELT.lower()


@pytest.mark.parametrize("text", [SPELT.replace("aA", "Aa", 1), SPELT.replace("5a", "6a", 1)])
def test_a_broken_checksum_is_refused(text: str) -> None:
    with pytest.raises(ConfigError, match=f"{text} is not an address: its capitals are no EIP-55 checksum"):
        parse_address(text)
    with pytest.raises(ConfigError, match=r"list\.txt, line 2: .*EIP-55.*; nothing imported"):
        parse_addresses(f"{OTHER}\n{text}\n", "list.txt")


def test_only_the_column_of_accounts_is_taken() -> None:
    text = f"chain_id,market_id,account,largest\n31337,0xdead,{SPELT},{OTHER}\n\n# a note\n31337,0xdead,{OTHER},0x12\n"
    assert parse_addresses(text, "accounts.csv") == [SPELT.lower(), OTHER]


@pytest.mark.parametrize("name", ["account", "Owner", '"address"', " position "])
def test_a_header_names_the_column(name: str) -> None:
    assert parse_addresses(f"hash,{name}\n0x12,{OTHER}\n", "list.csv") == [OTHER]


def test_a_row_without_its_account_is_named() -> None:
    with pytest.raises(ConfigError, match=r"list\.csv, line 3: '' is not an address"):
        parse_addresses(f"market,account\n0x12,{OTHER}\n{SPELT}\n", "list.csv")


@pytest.mark.parametrize("text", ["", "\n\n", "# nobody\n", "[]\n", "account\n", "address,block\n"])
def test_an_empty_list_is_refused(text: str) -> None:
    with pytest.raises(ConfigError, match=r"list\.txt has no address in it; nothing imported"):
        parse_addresses(text, "list.txt")
