"""Scan a market from Python and work with its frames.

python examples/scan_to_frames.py --rpc-url URL --market ethereum-core
python examples/scan_to_frames.py --replay FILE            (a recording instead of a node)
"""

from __future__ import annotations

import argparse
from pathlib import Path

import polars as pl

import scanner

POSITION = ["chain_id", "protocol", "market_id", "position"]


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    parser.add_argument("--rpc-url", action="append", default=[])
    parser.add_argument("--market", action="append", default=[])
    parser.add_argument("--replay", type=Path)
    parser.add_argument("--factor", default="ETH")
    parser.add_argument("--fall", type=float, default=10.0, help="per cent")
    return parser.parse_args()


def nearest(result: scanner.ScanResult, count: int = 5) -> pl.DataFrame:
    """Give the accounts that break first when the factor falls."""
    points = result.frames["liquidation_points"].filter(factor=result.selected_factor, direction="down")
    accounts = result.frames["accounts"].select(*POSITION, "health_factor", "debt_usd")
    return (
        points.join(accounts, on=POSITION, how="left", validate="1:1")
        .sort("lower_ratio", descending=True)
        .select("position", "health_factor", "debt_usd", "price_usd", "trigger_answer")
        .head(count)
    )


def seizable(result: scanner.ScanResult, price_usd: float) -> tuple[int, float]:
    """Count the accounts that break down to a price, and the dollars that their best liquidation calls seize.

    All collateral counts; the bands of a factor leave out what lies beside it.
    """
    market = result.frames["markets"].row(0, named=True)
    broken = result.frames["liquidation_points"].filter(
        (pl.col("factor") == result.selected_factor)
        & (pl.col("direction") == "down")
        & (pl.col("price_usd") >= price_usd)
    )
    calls = result.frames["seizures"].filter(factor=result.selected_factor, best=True)
    calls = calls.join(broken, on=[*POSITION, "factor", "direction"], how="semi").filter(pl.col("blocked_by").is_null())
    raw = sum(calls["seize_value_raw"].to_list())  # Python integers: no overflow
    return broken.height, float(raw) / float(market["base_unit"]) * market["quote_usd"]


def main() -> None:
    chosen = arguments()
    result = scanner.scan(
        rpc_urls=chosen.rpc_url,
        markets=chosen.market,
        replay=chosen.replay,
        factor=chosen.factor,
        extent="factor",  # triggers of this factor only
    )
    if not result.trustworthy:
        print("incomplete, or different from the contract: do not act on this")
    spot = next(info.price_usd for info in result.factors if info.factor == chosen.factor)
    if spot is None:
        raise SystemExit(f"{chosen.factor} has no price in dollars")
    price = spot * (1 - chosen.fall / 100)
    accounts, dollars = seizable(result, price)
    print(f"block {result.snapshot.block_number}, {chosen.factor} at ${spot:,.2f}")
    for row in nearest(result).iter_rows(named=True):
        health, debt, at = row["health_factor"], row["debt_usd"], row["price_usd"]
        print(f"{row['position']}  HF {health:.4f}  debt ${debt:,.0f}  at ${at:,.2f}")
    print(f"down to ${price:,.2f}: {accounts} accounts, ${dollars:,.0f} seizable")


if __name__ == "__main__":
    main()
