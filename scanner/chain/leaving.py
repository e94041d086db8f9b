"""How a reader of endpoints is left."""

from __future__ import annotations

from types import TracebackType
from typing import Self

__all__ = ["Leaving"]


class Leaving:
    """Makes a reader a context manager: without an error its block is checked once more, and it is closed anyhow."""

    def finish(self) -> None:
        """Check that the block is still on the chain."""
        raise NotImplementedError

    def close(self) -> None:
        """Close what is open."""
        raise NotImplementedError

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if kind is None:
                self.finish()
        finally:
            self.close()
