"""Work that an interrupted program need not wait for: in threads of its own, and heard of while it waits."""

from __future__ import annotations

import signal
from collections.abc import Callable
from concurrent.futures import Future
from threading import Thread
from typing import TypeVar

__all__ = ["beside", "heed_interrupts"]

T = TypeVar("T")


def beside(work: Callable[[], T]) -> Future[T]:
    """Start something in a daemon thread; what it raises is raised where its result is asked for."""
    future: Future[T] = Future()

    def run() -> None:
        try:
            future.set_result(work())
        except BaseException as error:  # noqa: BLE001 (it is raised where the result is asked for)
            future.set_exception(error)

    Thread(target=run, name="scanner-beside", daemon=True).start()
    return future


def heed_interrupts() -> None:
    """Let Ctrl-C end the wait for a thread, as it does in Python by default.

    Polars puts a handler of its own in front of Python's, one that has the system go on with such a wait. Called after
    it was imported. Windows has neither that handler's flag nor this function.
    """
    if hasattr(signal, "siginterrupt"):
        signal.siginterrupt(signal.SIGINT, True)
