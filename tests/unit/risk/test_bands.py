"""Bands, their edges and the dense ranges among them."""

from __future__ import annotations

import random
from fractions import Fraction
from typing import Any

import polars as pl
import pytest

from scanner.errors import ConfigError
from scanner.risk.band_edges import BandSpec, Reference, band_edges, parse_bands
from scanner.risk.bands import bands, bands_by
from scanner.risk.dense import dense_bands
from scanner.risk.impacts import IMPACTS, impacts

MARKET = "0xmarket"
REFERENCE = {MARKET: Reference(210_012_345_678, Fraction(1, 10**8))}


def impact(answer: int, direction: str = "down", **values: Any) -> dict[str, Any]:
    base = {
        "chain_id": 1,
        "protocol": "aave-v3",
        "market_id": MARKET,
        "position": f"0x{answer:x}",
        "direction": direction,
        "answer": answer,
        "at_risk_usd": 20.0,
        "seizable_usd": 10.0,
        "beside_usd": 0.0,
        "blocked_usd": 0.0,
        "debt_usd": 9.0,
        "asset": "WETH",
        "debt": "USDC",
        "size": "<$1k",
    }
    return base | values


def frame(*rows: dict[str, Any]) -> pl.DataFrame:
    return pl.DataFrame(list(rows), schema=dict(IMPACTS), orient="row")


@pytest.mark.parametrize(
    "text", ["1", "25", "1600", "", "0%", "100%", "0.001%", "x", "-1%", "1600,", "0usd", "0,5", "1,x"]
)
def test_other_band_specifications_are_refused(text: str) -> None:
    with pytest.raises(ConfigError, match="--bands"):
        parse_bands(text)


def test_band_specifications_are_read_exactly() -> None:
    assert parse_bands("1%") == BandSpec(step_bps=100)
    assert parse_bands("0.05 %") == BandSpec(step_bps=5)
    assert parse_bands("25usd") == BandSpec(step_usd=Fraction(25))
    assert parse_bands("0.1USD") == BandSpec(step_usd=Fraction(1, 10))
    assert parse_bands("1800, 1600,1700.5") == BandSpec(prices_usd=(Fraction(1600), Fraction(3401, 2), Fraction(1800)))


def test_too_many_bands_are_refused() -> None:
    with pytest.raises(ConfigError, match="step"):
        band_edges(parse_bands("0.0001usd"), REFERENCE[MARKET], "down")


@pytest.mark.parametrize("text", ["1%", "3%", "25usd", "1600,1700,1800,2500"])
def test_an_edge_belongs_to_the_band_nearer_to_spot_on_both_sides(text: str) -> None:
    spec, reference = parse_bands(text), REFERENCE[MARKET]
    for direction in ("down", "up"):
        edges = band_edges(spec, reference, direction)
        for k, edge in enumerate(edges.answers[1:], start=1):
            near = [x for x in range(int(edge) - 2, int(edge) + 4) if (x >= edge if direction == "down" else x <= edge)]
            far = [x for x in range(int(edge) - 2, int(edge) + 4) if (x < edge if direction == "down" else x > edge)]
            rows = frame(*(impact(x, direction, position=f"{x}") for x in near + far))
            table = bands("ETH", rows, spec, REFERENCE).filter(pl.col("direction") == direction)
            assert table.filter(pl.col("band") <= k)["account_count"].sum() == len(near)
            assert table["cumulative_account_count"][k - 1] == len(near)


def test_bands_list_every_step_and_one_open_band_on_each_side() -> None:
    spot = REFERENCE[MARKET].price_usd
    rows = frame(
        impact(205_000_000_000, seizable_usd=5.0),
        impact(205_000_000_001, seizable_usd=7.0, beside_usd=2.0, blocked_usd=3.0),
        impact(1, at_risk_usd=1.0),
        impact(900_000_000_000, "up", seizable_usd=0.0),
    )
    table = bands("ETH", rows, parse_bands("1%"), REFERENCE)
    down, up = table.filter(pl.col("direction") == "down"), table.filter(pl.col("direction") == "up")
    assert (down.height, up.height) == (51, 51)
    assert down["band"].to_list() == list(range(1, 52))
    third = down.row(2, named=True)
    assert (third["lower_bps"], third["upper_bps"]) == (-300, -200)
    assert third["upper_price_usd"] == pytest.approx(spot * 0.98)
    assert third["seizable_collateral_usd"] == 12.0
    assert (third["beside_collateral_usd"], third["blocked_collateral_usd"]) == (2.0, 3.0)
    assert (third["debt_to_repay_usd"], third["account_count"], third["largest_account_usd"]) == (18.0, 2, 7.0)
    last = down.row(-1, named=True)
    assert (last["lower_bps"], last["upper_bps"], last["lower_price_usd"]) == (-10_000, -5000, 0.0)
    assert (last["account_count"], last["cumulative_account_count"]) == (1, 3)
    top = up.row(-1, named=True)
    assert (top["lower_bps"], top["upper_bps"], top["upper_price_usd"]) == (5000, None, 9000.0)
    assert top["largest_account"] is None
    assert table["at_risk_collateral_usd"].sum() == rows["at_risk_usd"].sum()


def test_markets_of_one_factor_are_cut_at_their_own_feeds() -> None:
    references = {**REFERENCE, "0xother": Reference(2_100 * 10**18, Fraction(1, 10**18))}
    rows = frame(impact(209_000_000_000), impact(2_090 * 10**18, market_id="0xother"))
    table = bands("ETH", rows, parse_bands("1%"), references)
    assert table.filter(pl.col("band") == 1)["account_count"].to_list() == [2, 0]


@pytest.mark.parametrize("text", ["1600,1850,1995,2200", "100usd", "7usd"])
@pytest.mark.parametrize("other", [1_500, 1_990, 2_100, 2_400])
def test_bands_in_dollars_hold_the_triggers_of_their_prices_in_every_market(text: str, other: int) -> None:
    references = {**REFERENCE, "0xother": Reference(other * 10**18, Fraction(1, 10**18))}
    rng = random.Random(other)
    rows = [impact(rng.randrange(10**11, REFERENCE[MARKET].answer)) for _ in range(40)]
    rows += [impact(rng.randrange(10**21, other * 10**18), market_id="0xother") for _ in range(40)]
    rows += [impact(rng.randrange(REFERENCE[MARKET].answer, 3 * 10**11), "up") for _ in range(40)]
    rows += [impact(rng.randrange(other * 10**18, 3 * 10**21), "up", market_id="0xother") for _ in range(40)]
    table = bands("ETH", frame(*rows), parse_bands(text), references)
    assert table["account_count"].sum() == len(rows)
    for band in table.iter_rows(named=True):
        low, high = band["lower_price_usd"], band["upper_price_usd"]
        prices = [float(r["answer"] * references[r["market_id"]].usd_per_unit) for r in rows]
        mine = [p for r, p in zip(rows, prices, strict=True) if r["direction"] == band["direction"]]
        held = sum(low <= p < high if band["direction"] == "down" else low < p <= high for p in mine)
        assert band["account_count"] == held, band


def test_no_positions_give_empty_bands() -> None:
    table = bands("ETH", frame(), parse_bands("1%"), REFERENCE)
    assert table.filter(pl.col("direction") == "down").height == 51
    assert table["account_count"].sum() == 0
    assert bands_by("ETH", frame(), parse_bands("1%"), REFERENCE, "asset").height == 0


@pytest.mark.parametrize("by", ["asset", "debt", "size", "protocol"])
def test_parts_add_up_to_their_band(by: Any) -> None:
    rng = random.Random(by)
    rows = frame(
        *(
            impact(
                rng.randrange(1, 210_012_345_678),
                asset=rng.choice(["WETH", "wstETH"]),
                debt=rng.choice(["USDC", "DAI"]),
                seizable_usd=float(rng.randrange(3)),
            )
            for _ in range(300)
        )
    )
    spec = parse_bands("5%")
    whole = bands("ETH", rows, spec, REFERENCE).select("direction", "band", "seizable_collateral_usd")
    parts = (
        bands_by("ETH", rows, spec, REFERENCE, by)
        .group_by("direction", "band")
        .agg(pl.col("seizable_collateral_usd").sum())
    )
    both = parts.join(whole, on=["direction", "band"])
    assert both["seizable_collateral_usd"].to_list() == both["seizable_collateral_usd_right"].to_list()
    assert parts["seizable_collateral_usd"].sum() == rows["seizable_usd"].sum()


def brute_force(falls: list[tuple[Fraction, int]], share: Fraction) -> tuple[int, int]:
    """Try every pair of cents next to a trigger."""
    total = sum(value for _, value in falls)
    cents = sorted({c for price, _ in falls for c in (price * 100 // 1, -(-price * 100 // 1))})
    found = [
        (upper - lower, -lower, upper)
        for lower in cents
        for upper in cents
        if upper >= lower and sum(value for price, value in falls if lower <= price * 100 <= upper) >= share * total
    ]
    _, lower, upper = min(found)
    return -lower, upper


@pytest.mark.parametrize("seed", range(12))
def test_dense_ranges_equal_a_brute_force_on_planted_clusters(seed: int) -> None:
    rng = random.Random(seed)
    reference = REFERENCE[MARKET]
    falls: list[tuple[int, int]] = []
    for _ in range(rng.randint(1, 3)):
        centre = rng.randint(170_000_000_000, 209_000_000_000)
        spread = rng.choice([10, 10**6, 3 * 10**6, 10**9])
        falls += [(centre + rng.randint(-spread, spread), rng.choice([1, 5, 100])) for _ in range(rng.randint(1, 8))]
    falls += [(rng.choice([1_800, 1_900, 2_000]) * 10**8, 5) for _ in range(rng.randint(0, 2))]
    beyond = [(160_000_000_000, 10**6), (168_009_876_542, 10**6)]
    rows = frame(*(impact(x, seizable_usd=float(v), position=f"{n}") for n, (x, v) in enumerate(falls + beyond)))

    table = dense_bands("ETH", rows, REFERENCE)

    assert table["share"].to_list() == [0.25, 0.5, 0.75]
    priced = [(x * reference.usd_per_unit, v) for x, v in falls]
    for row, share in zip(table.iter_rows(named=True), (Fraction(1, 4), Fraction(1, 2), Fraction(3, 4)), strict=True):
        lower, upper = brute_force(priced, share)
        assert (round(row["lower_price_usd"] * 100), round(row["upper_price_usd"] * 100)) == (lower, upper)
        held = [value for price, value in priced if lower <= price * 100 <= upper]
        assert row["seizable_collateral_usd"] == sum(held)
        assert (row["account_count"], row["largest_account_usd"]) == (len(held), max(held))


def test_the_highest_of_equally_narrow_ranges_counts_and_nothing_gives_none() -> None:
    rows = frame(impact(180_000_000_000), impact(200_000_000_000), impact(190_000_000_000))
    assert dense_bands("ETH", rows, REFERENCE)["upper_price_usd"][0] == 2000.0
    assert dense_bands("ETH", frame(impact(10)), REFERENCE).height == 0


def test_impacts_split_what_is_seized_inside_beside_and_blocked() -> None:
    key = {"chain_id": 1, "protocol": "aave-v3", "market_id": MARKET}
    names = [f"p{i}" for i in range(6)]
    points = pl.DataFrame(
        [
            {**key, "position": p, "factor": "ETH", "direction": d, "trigger_answer": t}
            for p, d, t in [
                ("p0", "down", "5"),
                ("p0", "up", "9"),
                ("p1", "down", "6"),
                ("p2", "down", "7"),
                ("p3", "up", "8"),
                ("p4", "never", None),
                ("p5", "down", "4"),
            ]
        ]
    )
    seizures = pl.DataFrame(
        [
            {
                **key,
                "position": p,
                "factor": factor,
                "direction": way,
                "debt_reserve": "2",
                "collateral_reserve": c,
                "repay_value_raw": 900,
                "seize_value_raw": 1000,
                "best": best,
                "blocked_by": blocked,
            }
            for p, factor, way, c, best, blocked in [
                ("p0", "ETH", "down", "0", True, None),
                ("p0", "ETH", "down", "1", False, None),
                ("p0", "ETH", "up", "1", True, None),
                ("p0", "BTC", "down", "1", True, None),
                ("p1", "ETH", "down", "1", True, None),
                ("p2", "ETH", "down", "0", True, "paused"),
                ("p5", "ETH", "down", "1", True, None),
                ("p5", "now", "now", "0", True, None),
            ]
        ],
        schema_overrides={"repay_value_raw": pl.Decimal(38, 0), "seize_value_raw": pl.Decimal(38, 0)},
    )
    legs = pl.DataFrame(
        [
            {
                **key,
                "position": p,
                "reserve": r,
                "price_key": "emode:1" if p == "p5" and r == "1" else r,
                "side": s,
                "symbol": n,
                "asset": f"0x{r}abcdef",
                "value_raw": v * 100,
            }
            for p in names
            for r, s, n, v in [
                ("0", "collateral", "WETH", 60),
                ("1", "collateral", "WBTC", 2000),
                ("2", "debt", "USDC", 9),
            ]
        ],
        schema_overrides={"value_raw": pl.Decimal(38, 0)},
    )
    markets = pl.DataFrame(
        [{**key, "base_unit": 100, "quote_usd": 1.0}], schema_overrides={"base_unit": pl.Decimal(38, 0)}
    )

    found = impacts("ETH", {"0", "emode:1"}, points, seizures, legs, markets)

    assert found.schema == pl.Schema(IMPACTS)
    values = found.select(
        "position", "direction", "seizable_usd", "beside_usd", "blocked_usd", "debt_usd", "at_risk_usd"
    ).rows()
    assert values == [
        ("p0", "down", 10.0, 0.0, 0.0, 9.0, 60.0),
        ("p0", "up", 0.0, 10.0, 0.0, 9.0, 60.0),  # what breaks both ways counts on both sides
        ("p1", "down", 0.0, 10.0, 0.0, 9.0, 60.0),
        ("p2", "down", 0.0, 0.0, 10.0, 0.0, 60.0),
        ("p3", "up", 0.0, 0.0, 0.0, 0.0, 60.0),
        ("p5", "down", 10.0, 0.0, 0.0, 9.0, 2060.0),  # its e-mode prices the bitcoin with a feed of the factor
    ]
    assert found["asset"].to_list() == ["WETH", "WBTC", "WBTC", "WETH", None, "WBTC"]
    assert found["size"].to_list() == ["$1k-$10k"] * 6
    same = legs.with_columns(pl.col("symbol").replace({"WBTC": "WETH"}))
    twins = impacts("ETH", {"0"}, points, seizures, same, markets)
    assert twins["asset"].to_list() == ["WETH 0x0abc", "WETH 0x1abc", "WETH 0x1abc", "WETH 0x0abc", None, "WETH 0x1abc"]
    assert set(twins["debt"].drop_nulls()) == {"USDC"}
    unknown = markets.with_columns(pl.lit(None, pl.Float64).alias("quote_usd"))
    blind = impacts("ETH", {"0"}, points, seizures, legs, unknown)
    assert blind.select("position", "direction", "answer").equals(found.select("position", "direction", "answer"))
    assert blind.select(pl.col("^.*_usd$").sum()).row(0) == (0.0,) * 5
