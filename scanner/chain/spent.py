"""How long an endpoint really worked on what was asked, without the waiting that came before."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

__all__ = ["Spent", "measured", "note"]


class Spent:
    """Seconds of the newest HTTP exchange within a block; before there is one, since its beginning."""

    def __init__(self) -> None:
        self._began = time.perf_counter()
        self._exchange: float | None = None

    @property
    def seconds(self) -> float:
        """Give them. Pacing, retries and what an endpoint asked to wait would make it look slow, and sizes small."""
        return time.perf_counter() - self._began if self._exchange is None else self._exchange


_spent: ContextVar[Spent | None] = ContextVar("spent", default=None)


@contextmanager
def measured() -> Iterator[Spent]:
    """Measure the exchanges of the block, those of tasks that it starts included."""
    spent = Spent()
    token = _spent.set(spent)
    try:
        yield spent
    finally:
        _spent.reset(token)


def note(seconds: float) -> None:
    """Tell the block in which something is asked how long the exchange took."""
    spent = _spent.get()
    if spent is not None:
        spent._exchange = seconds
