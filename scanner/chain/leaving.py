"""How a reader of endpoints is left."""

from __future__ import annotations

from concurrent.futures import Future
from types import TracebackType
from typing import Self

from scanner.beside import beside

__all__ = ["Leaving"]


class Leaving:
    """Makes a reader a context manager: without an error its block is checked once more, and it is closed anyhow."""

    _finishing: Future[None] | None = None

    def finish(self) -> None:
        """Check that the block is still on the chain."""
        raise NotImplementedError

    def close(self) -> None:
        """Close what is open."""
        raise NotImplementedError

    def end(self) -> None:
        """Begin the last check beside what follows, since nothing is read from now on.

        What it raises is raised where the reader is left.
        """
        self._finishing = self._finishing or beside(self.finish)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if kind is None:
                self.finish() if self._finishing is None else self._finishing.result()
        finally:
            self.close()
