"""One event loop in one background thread, and the provider that posts JSON-RPC on a kept-alive session."""

from __future__ import annotations

import asyncio
import atexit
import contextlib
import logging
import math
import queue
import threading
import time
import weakref
from collections.abc import AsyncGenerator, Coroutine, Iterator
from email.utils import parsedate_to_datetime
from typing import Any, Final, NamedTuple, TypeVar, cast

import aiohttp
from web3 import AsyncHTTPProvider
from web3.types import RPCEndpoint

__all__ = ["HttpAnswer", "LoopThread", "Provider", "TooLarge", "loop_thread", "retry_after"]

T = TypeVar("T")

_AHEAD: Final = 16  # answers that wait for a slow consumer before the producer is held back

_MOST_BYTES: Final = 256 * 2**20
"""Of an answer, decompressed; many times what one request asks for (``Options.answer_bytes``)."""

_providers: weakref.WeakSet[Provider] = weakref.WeakSet()


class HttpAnswer(NamedTuple):
    """What came back over HTTP, whatever it is. retry_after: seconds that its head asks to wait for."""

    status: int
    body: bytes
    retry_after: float | None = None


class TooLarge(aiohttp.ClientError):
    """An answer goes on beyond ``limit`` bytes; the rest was not read."""

    def __init__(self, limit: int) -> None:
        super().__init__()
        self.limit = limit


class Provider(AsyncHTTPProvider):
    """web3's HTTP provider with one kept-alive session, no retries, no redirects and no formatters.

    The session is made on first use, inside the running loop. ``post`` gives every answer as it came, because
    providers put JSON-RPC errors into answers of any HTTP status.
    """

    logger = logging.getLogger("scanner.chain.silent")
    logger.disabled = True  # the base class would log the URL, and with it the key

    def __init__(self, url: str, host: str, *, timeout: float) -> None:
        super().__init__(host, exception_retry_configuration=None)  # the base class shows what it is given
        self.global_ccip_read_enabled = False
        self._url = url
        self._seconds = timeout
        self._session: aiohttp.ClientSession | None = None
        _providers.add(self)

    async def _make_request(self, method: RPCEndpoint, request_data: bytes) -> bytes:
        return (await self.post(request_data)).body

    async def post(self, body: bytes, seconds: float | None = None) -> HttpAnswer:
        """Send one HTTP request. seconds: less than the usual time limit. Raises what aiohttp raises, TooLarge."""
        session = self._session
        if session is None:
            session = self._session = aiohttp.ClientSession(
                # how many requests are in flight is the business of ``Rate``
                connector=aiohttp.TCPConnector(limit=0, keepalive_timeout=60),
                timeout=self._limits(self._seconds),
                headers=self.get_request_headers(),
                read_bufsize=2**20,
            )
        limits = session.timeout if seconds is None else self._limits(min(seconds, self._seconds))
        # a redirect would carry the key to another host
        async with session.post(self._url, data=body, allow_redirects=False, timeout=limits) as response:
            named = response.headers.get("Retry-After")
            wait = None if named is None else retry_after(named, response.headers.get("Date"))
            return HttpAnswer(response.status, await _body(response), wait)

    async def close(self) -> None:
        """Close the connections. A later request opens new ones."""
        session, self._session = self._session, None
        if session is not None:
            await session.close()

    @staticmethod
    def _limits(seconds: float) -> aiohttp.ClientTimeout:
        return aiohttp.ClientTimeout(total=seconds, connect=min(seconds, 10.0))


async def _body(response: aiohttp.ClientResponse) -> bytes:
    """Read an answer as it comes, which is in pieces of a few megabytes at most also where it is compressed."""
    parts: list[bytes] = []
    size = 0
    while part := await response.content.readany():
        size += len(part)
        if size > _MOST_BYTES:
            raise TooLarge(_MOST_BYTES)  # what leaves the ``with`` block before the end closes the connection
        parts.append(part)
    return parts[0] if len(parts) == 1 else b"".join(parts)


def retry_after(value: str, answered_at: str | None = None) -> float | None:
    """Read a Retry-After: seconds, or an HTTP date, taken against the date of the answer; None for neither."""
    with contextlib.suppress(ValueError):
        seconds = float(value)
        return seconds if 0 <= seconds < math.inf else None
    with contextlib.suppress(ValueError, OverflowError):
        until = parsedate_to_datetime(value).timestamp()
        now = time.time()
        if answered_at is not None:
            with contextlib.suppress(ValueError, OverflowError):
                now = parsedate_to_datetime(answered_at).timestamp()
        return max(until - now, 0.0)
    return None


class LoopThread:
    """An event loop in a daemon thread, used from synchronous code."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="scanner-chain", daemon=True)
        self._thread.start()

    @property
    def alive(self) -> bool:
        """False in a forked child, which does not inherit the thread."""
        return self._thread.is_alive()

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """Wait for a coroutine; an interrupt of the waiting thread cancels it."""
        future = asyncio.run_coroutine_threadsafe(work, self._loop)
        try:
            return future.result()
        except BaseException:
            future.cancel()
            raise

    def iterate(self, source: AsyncGenerator[T, None]) -> Iterator[T]:
        """Give the items of an asynchronous generator; closing the iterator cancels the work behind it."""
        items: queue.SimpleQueue[tuple[T | None, BaseException | None, bool]] = queue.SimpleQueue()
        room = asyncio.Semaphore(_AHEAD)

        async def pump() -> None:
            try:
                async for item in source:
                    await room.acquire()
                    items.put((item, None, False))
            except BaseException as error:
                items.put((None, error, True))
                if isinstance(error, asyncio.CancelledError):
                    raise
            else:
                items.put((None, None, True))
            finally:
                await source.aclose()

        future = asyncio.run_coroutine_threadsafe(pump(), self._loop)
        try:
            while True:
                item, error, last = items.get()
                if error is not None:
                    raise error
                if last:
                    return
                self._loop.call_soon_threadsafe(room.release)
                yield cast("T", item)
        finally:
            future.cancel()

    def stop(self) -> None:
        """Close every provider and end the thread."""
        if not self.alive:
            return
        for provider in list(_providers):
            self.run(provider.close())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(timeout=5)
        if not self.alive:
            self._loop.close()


_shared: LoopThread | None = None
_guard = threading.Lock()


def loop_thread() -> LoopThread:
    """Give the process's loop thread, started on first use."""
    global _shared
    with _guard:
        if _shared is None or not _shared.alive:
            _shared = LoopThread()
            atexit.register(_shared.stop)
        return _shared
