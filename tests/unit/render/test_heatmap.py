"""The heatmap says what the frames say, in the order of an order book."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace

import polars as pl
import pytest
from rich.color import Color

from scanner.protocols.aave_v3.seizures import BLOCKERS
from scanner.render.bandrows import Fold, Row, heat_rows
from scanner.render.header import completeness_words
from scanner.render.heatmap import Heatmap
from scanner.render.ink import Ink, Scale
from scanner.render.words import age, blocker, clean, money, percent, price, price_places
from scanner.results import ReserveProof, ScanResult
from tests.unit.render import sample
from tests.unit.render.draw import Console, draw

SCAN = sample.scan()


def text_of(width: int = 140, **options: object) -> str:
    result = options.pop("result", SCAN)
    return draw(Heatmap(result, now=sample.NOW, **options), width)  # type: ignore[arg-type]


def edges(text: str) -> list[tuple[float, float]]:
    """Give the edges of each drawn band, from the top."""
    found = re.findall(r"^[▐ ] +\$([\d,.]+) – \$([\d,.]+) +[+−]", text, re.MULTILINE)
    return [(float(low.replace(",", "")), float(high.replace(",", ""))) for low, high in found]


def test_price_runs_down_with_shorts_above_spot_and_longs_below() -> None:
    text = text_of()
    bands = edges(text)

    assert bands == sorted(bands, reverse=True)
    above, below = text.split("spot $2,104.55 ─")
    assert {low >= 2104.54 for low, _ in edges(above)} == {True}
    assert {high <= 2104.55 for _, high in edges(below)} == {True}


def sides(result: ScanResult, rows: int) -> list[tuple[str, Sequence[Row | Fold], int]]:
    drawn = heat_rows(result, by="asset", long_rows=rows, short_rows=rows)
    return [("down", drawn.below, drawn.below_step), ("up", drawn.above, drawn.above_step)]


@pytest.mark.parametrize("rows", [1, 2, 7, 30, 200])
def test_every_band_is_in_one_line_and_nothing_is_lost(rows: int) -> None:
    for direction, lines, _ in sides(SCAN, rows):
        bands = SCAN.frames["bands"].filter(pl.col("direction") == direction)
        assert sum(line.bands for line in lines) == bands.height
        assert sum(line.accounts for line in lines) == bands["account_count"].sum()
        assert sum(line.total for line in lines) == pytest.approx(bands["seizable_collateral_usd"].sum())
        assert len(lines) <= rows + 1


def test_most_of_the_value_is_in_rows_of_its_own() -> None:
    for rows in (3, 5, 10, 20):
        for _, lines, _ in sides(SCAN, rows):
            shown = sum(line.total for line in lines if isinstance(line, Row))
            assert shown >= sum(line.total for line in lines) / 2


def test_fine_bands_are_merged_until_the_wall_is_seen_and_it_is_said() -> None:
    bands = SCAN.frames["bands"]
    parts = []
    for place in range(10):  # every band in ten, all that it holds in the first
        price = (pl.col("upper_price_usd") - pl.col("lower_price_usd")) / 10
        empty = [
            pl.when(place == 0).then(c).otherwise(pl.lit(None if c.startswith("largest") else 0)).alias(c)
            for c in bands.columns
            if c not in ("factor", "direction", "band") and not c.startswith(("lower", "upper", "cumulative"))
        ]
        near = pl.when(direction="down").then(9 - place).otherwise(place)
        parts.append(
            bands.with_columns(
                *empty,
                (pl.col("band") * 10 - 9 + place).alias("band"),
                (pl.col("lower_price_usd") + price * near).alias("lower_price_usd"),
                (pl.col("lower_price_usd") + price * (near + 1)).alias("upper_price_usd"),
                pl.lit(None, pl.Int64).alias("lower_bps"),
                pl.lit(None, pl.Int64).alias("upper_bps"),
            )
        )
    by = SCAN.frames["bands_by"].with_columns(pl.col("band") * 10 - 9)
    fine = replace(SCAN, frames={**SCAN.frames, "bands": pl.concat(parts), "bands_by": by})
    text = text_of(result=fine)

    (_, lines, step), _ = sides(fine, 20)
    rows = [line for line in lines if isinstance(line, Row)]
    assert step == 10
    assert (
        max(row.total for row in rows) == SCAN.frames["bands"].filter(direction="down")["seizable_collateral_usd"].max()
    )
    assert "each row 10 bands" in text.split("spot $")[1]
    assert "each row" not in text_of().split("spot $2,104")[1]


def test_runs_of_empty_bands_are_one_line_wherever_they_are() -> None:
    inside = pl.col("band").is_between(3, 9) & (pl.col("direction") == "down")
    held = ("seizable_collateral_usd", "beside_collateral_usd", "account_count")
    cleared = [pl.when(inside).then(0).otherwise(c).cast(SCAN.frames["bands"].schema[c]).alias(c) for c in held]
    bands = SCAN.frames["bands"].with_columns(cleared)
    text = text_of(result=replace(SCAN, frames={**SCAN.frames, "bands": bands}))

    assert "nothing in 7 bands, −2 % to −9 %" in text
    assert not re.search(r"  −5 % ", text)


def test_largest_classes_of_size_have_columns_and_stand_in_order() -> None:
    classes = {"WETH": ">$10M", "wstETH": "$1M-$10M", "weETH": "$10k-$100k", "rETH": "$100k-$1M", "cbETH": "<$1k"}
    key = pl.col("key").replace(classes)
    by = SCAN.frames["bands_by"].with_columns(key).filter(pl.col("key").is_in(list(classes.values())))
    result = replace(SCAN, frames={**SCAN.frames, "bands_by": by})
    narrow, wide = (
        next(line for line in text_of(width, result=result, by="size").splitlines() if "price band" in line)
        for width in (100, 200)
    )

    assert narrow.split()[3:6] == [">$10M", "$1M-$10M", "other"]
    assert wide.split()[3:8] == [">$10M", "$1M-$10M", "$100k-$1M", "$10k-$100k", "<$1k"]


def test_open_band_says_that_it_is_open() -> None:
    bands = SCAN.frames["bands"]
    last = (pl.col("direction") == "up") & (pl.col("band") == 60)
    raised = bands.with_columns(
        pl.when(last).then(1e9).otherwise("upper_price_usd").alias("upper_price_usd"),
        pl.when(last).then(None).otherwise("upper_bps").alias("upper_bps"),
        pl.when(last).then(3).otherwise("account_count").cast(pl.Int64).alias("account_count"),
    )
    text = text_of(80, result=replace(SCAN, frames={**SCAN.frames, "bands": raised}), short_rows=60)

    assert re.search(r"  above \$3,346\.23 +>\+59 %", text)


def test_every_reason_of_a_block_has_words() -> None:
    assert [reason for reason in BLOCKERS if blocker(reason) == reason] == []
    assert blocker("other\x1b[31m") == "other[31m"


def test_empty_far_end_is_one_line_that_says_so() -> None:
    text = text_of(long_rows=200)

    assert re.search(r"\$841\.82 – \$947\.05 +nothing in 5 bands, −55 % to −60 %", text)


def test_cells_hold_what_the_frame_holds_and_columns_go_by_size() -> None:
    text = text_of(200)
    head = next(line for line in text.splitlines() if "price band" in line)
    totals = (
        SCAN.frames["bands_by"]
        .filter(pl.col("band") <= 30)
        .group_by("key")
        .agg(pl.col("seizable_collateral_usd").sum())
    )
    order = [key for key, _ in sorted(totals.rows(), key=lambda row: -row[1])]

    names = head.split()
    assert [name for name in names if name in order][:3] == order[:3]
    parts = SCAN.frames["bands_by"].filter((pl.col("direction") == "down") & (pl.col("band") == 13))
    row = next(line for line in text.splitlines() if "−13 %" in line)
    for value in parts["seizable_collateral_usd"]:
        assert f" {money(value)} " in row


def test_what_does_not_fit_goes_to_other_and_nothing_is_lost() -> None:
    row = next(line for line in text_of(110).splitlines() if "−12 %" in line)
    parts = SCAN.frames["bands_by"].filter((pl.col("direction") == "down") & (pl.col("band") == 12))
    by_key = dict(zip(parts["key"], parts["seizable_collateral_usd"], strict=True))
    head = next(line for line in text_of(110).splitlines() if "price band" in line)
    named = [name for name in head.split() if name in by_key]

    assert "other" in head
    assert money(sum(value for key, value in by_key.items() if key not in named)) in row


def test_wall_is_marked_and_called_out_to_the_cent() -> None:
    text = text_of()
    dense = SCAN.frames["dense_bands"].row(1, named=True)
    marked = edges("\n".join(line for line in text.splitlines() if line.startswith("▐") and "accounts" not in line))

    assert f"{price(dense['lower_price_usd'], 2)} – {price(dense['upper_price_usd'], 2)}" in text
    assert marked
    assert min(low for low, _ in marked) <= dense["lower_price_usd"]
    assert max(high for _, high in marked) >= dense["upper_price_usd"]


def test_liquidatable_now_is_red_and_on_its_own_line() -> None:
    painted = draw(Heatmap(SCAN, now=sample.NOW), 120, colours="truecolor")
    line = next(line for line in painted.splitlines() if "liquidatable now" in line)

    assert "48;2;200;30;30" in line
    assert "5 accounts" in line
    assert "nothing" in text_of(result=sample.nothing(SCAN)).split("liquidatable now")[1].splitlines()[0]


def test_header_is_red_with_the_missing_share_when_incomplete() -> None:
    painted = draw(Heatmap(sample.incomplete(SCAN), now=sample.NOW), 200, colours="truecolor")

    assert "INCOMPLETE 3.1 % of USDC debt missing, 3 accounts unread" in painted
    assert "MISMATCH 1 of 41" in painted
    assert "complete 100" not in painted


@pytest.mark.parametrize(
    ("total", "read", "words"),
    [
        (10**24, 10**24 - 1, "<0.01 % of X debt missing"),
        (10**24, 0, "100 % of X debt missing"),
        (100, 112, "12.0 % more X debt read than there is"),
        (0, 5, "100 % more X debt read than there is"),
    ],
)
def test_missing_share_is_never_rounded_to_nothing(total: int, read: int, words: str) -> None:
    proof = ReserveProof("0", "X", "exact", total, read, 10**27, 18)
    market = replace(SCAN.markets[0], completeness=(proof,))
    result = replace(SCAN, markets=(market,), snapshot=replace(SCAN.snapshot, complete=False))

    assert words in text_of(200, result=result)


def test_recorded_block_is_said_to_be_one() -> None:
    result = replace(SCAN, snapshot=replace(SCAN.snapshot, source="recording"))

    assert "recorded block" in text_of(result=result)


def test_cells_are_readable_at_every_step() -> None:
    for depth in ("truecolor", "256", "standard"):
        ink = Ink(Console(color_system=depth, force_terminal=True))  # type: ignore[arg-type]
        for short in (False, True):
            light = []
            for step in range(ink.steps(short=short)):
                style = ink.cell(step / (ink.steps(short=short) - 1), short=short)
                assert style.color is not None
                assert style.bgcolor is not None
                if depth != "standard":
                    assert contrast(style.color, style.bgcolor) >= 4.5
                    light.append(luminance(style.bgcolor))
            assert light == sorted(light)


def luminance(color: Color) -> float:
    parts = [v / 12.92 if v <= 0.04045 else ((v + 0.055) / 1.055) ** 2.4 for v in color.get_truecolor().normalized]
    return 0.2126 * parts[0] + 0.7152 * parts[1] + 0.0722 * parts[2]


def contrast(one: Color, other: Color) -> float:
    bright, dark = sorted((luminance(one), luminance(other)), reverse=True)
    return (bright + 0.05) / (dark + 0.05)


def test_scale_is_logarithmic() -> None:
    scale = Scale.over([0.0, 10.0, 1000.0, 100_000.0])

    assert [round(scale.position(value), 6) for value in (1, 10, 1000, 100_000, 1e9)] == [0, 0, 0.5, 1, 1]
    assert Scale.over([]).position(0.5) <= 1
    assert Scale.over([5.0]).position(5.0) == 1


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "?"),
        (0, "0"),
        (0.4, "<1"),
        (730, "730"),
        (999.4, "999"),
        (999.6, "1k"),
        (66_400, "66k"),
        (999_400, "999k"),
        (999_600, "1.0M"),
        (94_123_456, "94.1M"),
        (99_960_000, "100.0M"),
        (412_600_000, "412.6M"),
        (999_400_000, "999.4M"),
        (999_960_000, "1.00B"),
        (11_843_000_000, "11.84B"),
        (118_430_000_000, "118.4B"),
        (1.2e12, "1.20T"),
    ],
)
def test_money_is_short(value: float | None, text: str) -> None:
    assert money(value) == text


def test_prices_show_what_tells_bands_apart() -> None:
    assert price(2104.55) == "$2,104.55"
    assert price(0.99871) == "$0.9987"
    assert price(1.0, price_places(1.0, 0.0005)) == "$1.0000"
    assert price(0.0, price_places(71_234.5)) == "$0.00"
    assert price(0.00001234) == "$0.00001234"


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (14, "14 s ago"),
        (0, "0 s ago"),
        (119, "119 s ago"),
        (120, "2 min ago"),
        (7200, "2 h ago"),
        (10**6, "11 d ago"),
        (-90, "90 s ahead"),
    ],
)
def test_age(seconds: int, text: str) -> None:
    assert age(seconds) == text


def test_percent_keeps_the_ends_apart() -> None:
    assert [percent(share) for share in (0, 1e-9, 0.031, 0.999999, 1)] == [
        "0 %",
        "<0.01 %",
        "3.1 %",
        ">99.99 %",
        "100 %",
    ]


def test_clean_drops_what_steers_a_terminal() -> None:
    assert clean("\x1b]0;owned\x07A\u202eB\nC\u200b\x9b31m") == "]0;ownedAB C31m"
    assert clean("[bold]x[/bold]") == "[bold]x[/bold]"
    assert clean("W" * 99, 8) == "WWWWWWW…"


def test_shorts_count_with_collateral_beside_the_factor() -> None:
    up = pl.col("direction") == "up"
    bands = SCAN.frames["bands"].with_columns(
        pl.when(up).then("seizable_collateral_usd").otherwise("beside_collateral_usd").alias("beside_collateral_usd"),
        pl.when(up).then(0.0).otherwise("seizable_collateral_usd").alias("seizable_collateral_usd"),
        pl.when(up).then(0.0).otherwise("cumulative_seizable_usd").alias("cumulative_seizable_usd"),
    )
    by = SCAN.frames["bands_by"].filter(~up)
    beside = text_of(160, result=replace(SCAN, frames={**SCAN.frames, "bands": bands, "bands_by": by}))

    expected = SCAN.frames["bands"].filter(up)["seizable_collateral_usd"].sum()
    assert f"shorts above the spot price: ${money(expected)}, 22 accounts, first at $2,125.19" in beside
    assert beside.replace("beside", "  USDC") == text_of(160)


@pytest.mark.parametrize(("missing", "unread", "role"), [(9, 0, "warn"), (10, 0, "bad"), (9, 1, "bad"), (0, 1, "bad")])
def test_amber_is_for_little_missing_and_red_for_more(missing: int, unread: int, role: str) -> None:
    proof = ReserveProof("0", "X", "exact", 1000, 1000 - missing, 10**27, 18)

    assert completeness_words(replace(SCAN.markets[0], completeness=(proof,), unread=unread))[1] == role


def test_bounded_proofs_are_named() -> None:
    proof = ReserveProof("0", "X", "bounded", 1000, 999, 10**27, 18, tolerance=1)

    words = completeness_words(replace(SCAN.markets[0], completeness=(proof,)))
    assert words == ("complete 100 % (1 bounded)", "good")
