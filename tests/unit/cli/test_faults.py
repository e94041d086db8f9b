"""What is said of incomplete data: how much is missing, and what finds it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from scanner.cli.faults import tell_faults
from scanner.options import ScanOptions
from scanner.results import ReserveProof
from scanner.store.index import BorrowerIndex
from scanner.units import RAY

ROOT = "0x" + "11" * 20
Capture = pytest.CaptureFixture[str]


def proof(missing: int, symbol: str = "USDC") -> ReserveProof:
    return ReserveProof(
        reserve="3", symbol=symbol, proof="exact", scaled_total=10**15, scaled_read=10**15 - missing, debt_index=RAY,
        decimals=6,
    )  # fmt: skip


def told(capfd: Capture, proofs: Sequence[ReserveProof], **options: Any) -> list[str]:
    market = SimpleNamespace(
        name="core", protocol="aave-v3", market_id=ROOT, completeness=proofs, unread=0, mismatches=(),
        verified_accounts=0,
    )  # fmt: skip
    result: Any = SimpleNamespace(markets=(market,), snapshot=SimpleNamespace(chain_id=31337))
    tell_faults(result, replace(ScanOptions(), **options))
    return capfd.readouterr().err.splitlines()


def imported(path: Path, *, rebuilt: bool = False) -> Path:
    genesis = "0x" + "ab" * 32
    with BorrowerIndex(
        path, chain_id=31337, genesis_hash=genesis, protocol="aave-v3", market_id=ROOT, first_block=1
    ) as index:
        index.import_list(["0x" + "0a" * 20], 77)
        if rebuilt:
            index.rewind()
    return path


@pytest.fixture(autouse=True)
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("LIQBANDS_DATA_DIR", str(tmp_path))
    (tmp_path / "index").mkdir()
    return tmp_path / "index"


def test_amounts_are_written_out(capfd: Capture) -> None:
    lines = told(capfd, [proof(95_339_512_345_678), proof(0), proof(-1, "a\x1b[31mb")])

    assert lines[0] == "incomplete: core: 95,339,512.35 USDC of debt missing (9.5340%, 95339512345678 scaled units)"
    assert lines[1].startswith("incomplete: core: less than 0.01 a[31mb of debt too much (")
    assert len(lines) == 3
    assert told(capfd, [proof(0)]) == []
    assert len(told(capfd, [proof(-1)])) == 1, "no block holds what is there already"


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({}, "`liqbands index --rebuild`"),
        ({"discover": False}, "without --no-discover"),
        ({"from_block": 50}, "before block 50 were not looked for: give a lower --from-block"),
        ({"replay": Path("x.rec")}, "record the block again"),
    ],
)
def test_the_last_line_says_what_to_do(capfd: Capture, options: dict[str, Any], words: str) -> None:
    last = told(capfd, [proof(5)], **options)[-1]

    assert last.startswith("incomplete: what to do: ")
    assert words in last


def test_an_imported_cursor_is_named_with_its_remedy(capfd: Capture, data: Path, tmp_path: Path) -> None:
    file = imported(data / f"31337-abababab-aave-v3-{ROOT}.sqlite")
    by_default = told(capfd, [proof(5)], from_block=50)[-1]
    named = told(capfd, [proof(5)], index_file=imported(tmp_path / "named.sqlite"))[-1]
    rebuilt = told(capfd, [proof(5)], from_block=50, index_file=imported(tmp_path / "again.sqlite", rebuilt=True))[-1]

    for line in (by_default, named):
        assert "imported list as complete up to block 77: `liqbands index --rebuild`" in line
    assert "give a lower --from-block" in by_default
    assert "imported" not in rebuilt
    file.write_bytes(b"no index")
    assert "imported" not in told(capfd, [proof(5)])[-1]
