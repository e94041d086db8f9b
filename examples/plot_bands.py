"""Plot the liquidation bands of a scan document as a PNG: what is seizable in each, and how many accounts break.

liqbands scan --chain ethereum --format json | python examples/plot_bands.py -o bands.png
"""

from __future__ import annotations

import argparse
import json
import sys
from typing import Any


def plot(document: dict[str, Any], factor: str, within: float, path: str) -> None:
    """Draw the bands of a factor that lie within a share of its price. Raises SystemExit where that cannot be done."""
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise SystemExit("this example draws with matplotlib: pip install matplotlib") from error

    tables = {table["factor"]: table for table in document["factors"]}
    if factor not in tables:
        raise SystemExit(f"no factor {factor!r} in this document; it has {', '.join(tables)}")
    price, at = tables[factor]["price_usd"], document["snapshot"]
    if price is None:
        raise SystemExit(f"the price of {factor} in dollars is not known: nothing to plot")
    low, high = price * (1 - within), price * (1 + within)

    figure = Figure(figsize=(10, 5.5), layout="constrained")
    money = figure.subplots()
    heads = money.twinx()
    for direction, colour, far in (("down", "tab:red", "lower_price_usd"), ("up", "tab:blue", "upper_price_usd")):
        bands = [
            band for band in tables[factor]["bands"] if band["direction"] == direction and low <= band[far] <= high
        ]
        left = [band["lower_price_usd"] for band in bands]
        wide = [band["upper_price_usd"] - band["lower_price_usd"] for band in bands]
        seizable = [(band["seizable_collateral_usd"] + band["beside_collateral_usd"]) / 1e6 for band in bands]
        money.bar(
            left, seizable, wide, align="edge", color=colour, alpha=0.7, label=f"seizable, price goes {direction}"
        )
        count = [0, *(band["cumulative_account_count"] for band in bands)]
        heads.plot([price, *(band[far] for band in bands)], count, color=colour, linestyle="--", marker=".")
    money.axvline(price, color="black", linewidth=1, label=f"now: \\${price:,.2f}")
    money.set_xlim(low, high)
    doubt = "" if at["complete"] else ", incomplete"
    money.set_title(f"{factor}: liquidation bands at block {at['block_number']:,} of chain {at['chain_id']}{doubt}")
    money.set_xlabel(f"price of {factor} in dollars")
    money.set_ylabel("seizable collateral in the band, millions of dollars")
    heads.set_ylabel("accounts that break on the way there (dashed)")
    heads.set_ylim(bottom=0)
    money.legend(loc="upper right")
    figure.savefig(path, dpi=150)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("document", nargs="?", type=argparse.FileType(), default=sys.stdin)
    parser.add_argument("--factor", help="default the one that the scan was about")
    parser.add_argument("--within", type=float, default=30.0, help="per cent of today's price; default 30")
    parser.add_argument("-o", "--output", default="bands.png")
    options = parser.parse_args()
    try:
        document = json.load(options.document)
    except ValueError:
        document = None
    if not isinstance(document, dict) or document.get("kind") != "scan":
        raise SystemExit("give a scan document: what liqbands scan --format json writes")
    plot(document, options.factor or document["selected_factor"], options.within / 100, options.output)


if __name__ == "__main__":
    main()
