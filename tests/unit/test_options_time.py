"""The time that triggers are computed for, as users write it."""

from __future__ import annotations

import pytest

from scanner.errors import ConfigError
from scanner.options import parse_timestamp

BLOCK = 1_760_000_000


@pytest.mark.parametrize(
    ("text", "wanted"),
    [(None, BLOCK), ("+12s", BLOCK + 12), ("+5m", BLOCK + 300), ("+30d", BLOCK + 2_592_000), ("1760000001", BLOCK + 1)],
)
def test_times_are_read(text: str | None, wanted: int) -> None:
    assert parse_timestamp(text, BLOCK) == wanted


@pytest.mark.parametrize("text", ["12s", "+12", "-5m", "²", "+²d", "+99999999999d", "99999999999999", "1759999999", ""])
def test_times_that_mean_nothing_are_refused(text: str) -> None:
    with pytest.raises(ConfigError, match="--for-timestamp"):
        parse_timestamp(text, BLOCK)
