"""What every drawing owes to every console: it fits, it is safe, and colour is never needed."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest
from rich.cells import cell_len

from scanner.render.account import AccountDetail
from scanner.render.accounts import AccountsTable, index_table
from scanner.render.heatmap import Heatmap
from scanner.render.lines import Drawing
from scanner.results import ContractAnswer, ScanResult
from scanner.store.index import IndexStatus
from scanner.views import nearest_first
from tests.unit.render import sample
from tests.unit.render.draw import GOLDEN, compare, draw

SCAN = sample.scan()
FIRST = nearest_first(SCAN.frames["accounts"])["owner"][0]
BLOCKED = nearest_first(SCAN.frames["accounts"])["owner"][5]
SHORT = SCAN.frames["triggers"].filter(sample.pl.col("direction") == "up")["position"][0]
ESCAPE = re.compile(r"\x1b\[[0-9;]*m")
SEVERAL = sample.replace(SCAN, markets=SCAN.markets * 2)
STATUS = IndexStatus(GOLDEN.relative_to(GOLDEN.parents[2]), 41_208, 30_111, 16_291_127, 24_720_835)

DRAWINGS: dict[str, Callable[[ScanResult], Drawing]] = {
    "heatmap": lambda result: Heatmap(result, now=sample.NOW),
    "accounts": lambda result: AccountsTable(result, now=sample.NOW, limit=25),
    "account": lambda result: AccountDetail(result, FIRST, now=sample.NOW),
    "blocked": lambda result: AccountDetail(result, BLOCKED, now=sample.NOW, contract=ContractAnswer(1, 2, None)),
    "short": lambda result: AccountDetail(result, SHORT, now=sample.NOW),
    "index": lambda _: index_table([("aave-v3 ethereum-core", STATUS)]),
}
SCANS = {
    "plain": SCAN,
    "incomplete": sample.incomplete(SCAN),
    "hostile": sample.hostile(SCAN),
    "several": SEVERAL,
    "nothing": sample.nothing(SCAN),
}
CASES = [
    pytest.param(DRAWINGS[name], SCANS[scan], id=f"{name}-{scan}")
    for name in DRAWINGS
    for scan in SCANS
    if scan != "nothing" or name in ("heatmap", "accounts")
]


@pytest.mark.parametrize(("make", "result"), CASES)
def test_no_line_wraps_at_any_width(make: Callable[[ScanResult], Drawing], result: ScanResult) -> None:
    drawing = make(result)
    for width in [*range(60, 90), *range(90, 251, 7), 250]:
        lines = draw(drawing, width).splitlines()
        assert max(cell_len(line) for line in lines) <= width
        assert not [line for line in lines if line != line.rstrip()]


@pytest.mark.parametrize(("make", "result"), CASES)
def test_no_word_is_cut_on_a_narrow_terminal(make: Callable[[ScanResult], Drawing], result: ScanResult) -> None:
    address = "0x" + "ab" * 20
    warned = sample.replace(result, warnings=(f"X: price source {address} is of an unknown kind ({address})",))
    lines = draw(make(warned), 60).splitlines()

    assert not [line for line in lines if line.endswith(("first at", "0x"))]
    assert not [line for line in lines if re.search(r"0x[0-9a-fA-F]{5,39}(…|$)", line)]
    assert not [line for line in lines if re.search(r"(^▐|^ ) .* accounts .*0x", line) and "…" not in line]


def test_columns_go_whole_on_a_narrow_terminal() -> None:
    head = next(line for line in draw(DRAWINGS["accounts"](SCAN), 60).splitlines() if "health factor" in line)

    assert head.split() == ["account", "health", "factor", "status", "debt"]


@pytest.mark.parametrize(("make", "result"), CASES)
def test_colour_adds_nothing_to_the_text(make: Callable[[ScanResult], Drawing], result: ScanResult) -> None:
    plain = draw(make(result), 140)
    painted = ESCAPE.sub("", draw(make(result), 140, colours="truecolor"))

    assert "\x1b" not in plain
    without_legend = [line for line in plain.splitlines() if "seizable dollars a row" not in line]
    kept = [line.rstrip() for line in painted.splitlines() if "seizable dollars a row" not in line]
    assert kept == without_legend


@pytest.mark.parametrize(("make", "result"), CASES)
def test_nothing_but_ascii_where_the_encoding_has_no_more(
    make: Callable[[ScanResult], Drawing], result: ScanResult
) -> None:
    plain, legacy = draw(make(result), 120), draw(make(result), 120, encoding="cp437")

    assert legacy.isascii()
    assert [len(line.rstrip()) for line in legacy.splitlines()] == [cell_len(line) for line in plain.splitlines()]


@pytest.mark.parametrize(("make", "result"), CASES)
def test_no_color_is_honoured(make: Callable[[ScanResult], Drawing], result: ScanResult) -> None:
    codes = {
        code
        for found in ESCAPE.findall(draw(make(result), 120, colours="truecolor", no_color=True))
        for code in found[2:-1].split(";")
    }

    assert codes <= {"0", "1", "2"}  # reset, bold, dim


@pytest.mark.parametrize("name", DRAWINGS)
def test_symbols_cannot_steer_the_terminal(name: str) -> None:
    text = draw(DRAWINGS[name](SCANS["hostile"]), 160, colours="truecolor")

    assert set(re.findall(r"\x1b\[?[^m]*m?", text)) == set(ESCAPE.findall(text))
    assert "\x1b[31mEVIL" not in text
    assert "\u202e" not in text
    assert not re.search(r"[\x00-\x09\x0b-\x1a\x1c-\x1f\x7f-\x9f]", text)


@pytest.mark.parametrize(("make", "result"), CASES)
def test_sixteen_colours_use_no_others(make: Callable[[ScanResult], Drawing], result: ScanResult) -> None:
    drawing = make(result)
    draw(drawing, 120, colours="truecolor")  # a style must not remember this console
    codes = {
        code for found in ESCAPE.findall(draw(drawing, 120, colours="standard")) for code in found[2:-1].split(";")
    }

    allowed = {str(number) for base in (30, 40, 90, 100) for number in range(base, base + 8)}
    assert codes <= allowed | {"0", "1", "2"}


@pytest.mark.parametrize(
    ("name", "width"),
    [
        ("heatmap", 80),
        ("heatmap", 120),
        ("heatmap", 200),
        ("accounts", 120),
        ("account", 100),
        ("blocked", 100),
        ("short", 100),
        ("index", 100),
    ],
)
def test_drawing_is_as_it_was(name: str, width: int) -> None:
    compare(f"{name}-{width}.txt", draw(DRAWINGS[name](SCAN), width))


@pytest.mark.parametrize("name", ["heatmap", "accounts", "account"])
def test_time_of_triggers_is_in_the_header_when_it_is_not_the_blocks(name: str) -> None:
    later = sample.pl.col("for_timestamp") + 1000 * 86_400
    moved = {name: SCAN.frames[name].with_columns(later) for name in ("liquidation_points", "triggers")}
    drawing = DRAWINGS[name](sample.replace(SCAN, frames={**SCAN.frames, **moved}))
    amber = "\x1b[1;38;2;191;135;0m"

    assert " triggers at +1,000 d (2028-12-14 09:46:40 UTC)  not at the block's time\n" in draw(drawing, 80)
    assert f"{amber}triggers at +1,000 d (2028-12-14 09:46:40 UTC)" in draw(drawing, 60, colours="truecolor")
    assert "triggers at" not in draw(DRAWINGS[name](SCAN), 80)


def test_addresses_are_spelled_with_their_checksum() -> None:
    root = sample.ROOT
    market = sample.replace(SCAN.markets[0], name=root)
    result = sample.replace(SCAN, markets=(market,), warnings=(f"price source {root} ({root}); hash {root}{'0' * 24}",))
    text = draw(Heatmap(result, now=sample.NOW), 200)

    assert text.count("0x2f39d218133AFaB8F2B819B1066c7E434Ad94E9e") == 3
    assert text.count(root) == 1  # the hash


def test_trigger_that_no_feed_can_reach_says_so() -> None:
    trigger = SCAN.frames["triggers"].filter(position=SHORT)
    point = sample.pl.col("position") == SHORT
    never = sample.pl.when(point).then(sample.pl.lit("never")).otherwise("direction").alias("direction")
    frames = {**SCAN.frames, "liquidation_points": SCAN.frames["liquidation_points"].with_columns(never)}
    capped = draw(AccountDetail(sample.replace(SCAN, frames=frames), SHORT, now=sample.NOW), 100)

    assert trigger.height == 1
    assert "its feed cannot: capped or fixed" in capped
    assert "its feed cannot" not in draw(DRAWINGS["short"](SCAN), 100)


@pytest.mark.parametrize("scan", ["incomplete", "nothing", "hostile"])
def test_heatmap_of_a_bad_scan_is_as_it_was(scan: str) -> None:
    compare(f"heatmap-{scan}-120.txt", draw(DRAWINGS["heatmap"](SCANS[scan]), 120))


def test_colours_are_as_they_were() -> None:
    compare("heatmap-120-truecolor.ansi", draw(DRAWINGS["heatmap"](SCAN), 120, colours="truecolor"))
    compare("heatmap-80-16-colours.ansi", draw(DRAWINGS["heatmap"](SCAN), 80, colours="standard"))
    compare("heatmap-120-no-color.ansi", draw(DRAWINGS["heatmap"](SCAN), 120, colours="truecolor", no_color=True))
    compare("heatmap-80-ascii.txt", draw(DRAWINGS["heatmap"](SCAN), 80, encoding="cp437"))
