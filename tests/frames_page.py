"""Write docs/frames.md from ``scanner/frames.py``: ``python -m tests.frames_page``. A test compares the two."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final

from scanner.frames import FRAMES, KEYS, NULLABLE

__all__ = ["PAGE", "page"]

ROOT: Final = Path(__file__).parent.parent
PAGE: Final = ROOT / "docs" / "frames.md"

_ABOUT: Final = {
    "markets": "One row per market.",
    "reserves": "One row per reserve of a market, at the block.",
    "legs": "One row per account, reserve and side. Amounts are those of the block, interest included.",
    "accounts": "One row per account: exact totals, health factor, what can be done to it now.",
    "exposures": "One row per account and factor: HF(x) = (A + x B) / (C + x D) when the factor moves by x.",
    "liquidation_points": "One row per account and factor: where this factor, all others held, breaks the account; two "
    "where it breaks both on a fall and on a rise.",
    "triggers": 'One row per account and reserve whose price alone breaks it. Only with `extent="accounts"`.',
    "seizures": "One row per debt and collateral pair that a liquidation could take: now, or at a factor's trigger.",
    "bands": "One row per factor, direction and band.",
    "bands_by": "The bands split as `by` says.",
    "dense_bands": "The narrowest ranges that hold a share of what is seizable within −20 %.",
    "skipped": "What is in no other frame, and why. A `trigger` is one that could not be found exactly.",
}
_SPELLED: Final = {
    "Decimal(precision=38, scale=0)": "Decimal(38, 0)",
    "Datetime(time_unit='us', time_zone='UTC')": "Datetime, UTC",
}
_HEAD: Final = """# Frames

Made from `scanner/frames.py` by `python -m tests.frames_page`.

What `scanner.scan(...).frames` holds, as polars frames. Suffixes carry the unit: `_raw` smallest unit, `_tokens` whole
tokens, `_quote` the market's unit of account, `_usd` US dollars (null when unknown), `_bps` basis points, `_at` UTC. No
suffix: a fraction of one. Addresses are lower case. Integers beyond 2^63 are `Decimal(38, 0)` or decimal text.

Null means unknown, never zero; there is no NaN. Sums of `_raw` columns can pass 38 digits, where polars wraps silently:
add them as Python integers.
"""


def _notes() -> dict[str, dict[str, str]]:
    """Read the comments beside the columns of each schema."""
    source = (ROOT / "scanner" / "frames.py").read_text(encoding="utf-8")
    found = {}
    for name, body in re.findall(r"^([A-Z_]+): Final\[FrameSchema\] = \{\n(.*?)^\}", source, re.MULTILINE | re.DOTALL):
        found[name.lower()] = dict(re.findall(r'^    "(\w+)": .*?,  # (.*)$', body, re.MULTILINE))
    return found


def page() -> str:
    notes, parts = _notes(), [_HEAD]
    for name, schema in FRAMES.items():
        parts += [f"## {name}", "", _ABOUT[name], "", "| column | type | |", "|---|---|---|"]
        for column, kind in schema.items():
            said = [
                "key" if column in KEYS[name] else "",
                notes[name].get(column, "").replace("|", "or"),
                "may be null" if column in NULLABLE[name] and "null" not in notes[name].get(column, "") else "",
            ]
            spelled = _SPELLED.get(str(kind), str(kind))
            parts.append(f"| `{column}` | {spelled} | {'; '.join(word for word in said if word)} |")
        parts.append("")
    return "\n".join(parts)


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
