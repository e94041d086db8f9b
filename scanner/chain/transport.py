"""One event loop in one background thread, and the provider that posts JSON-RPC on a kept-alive session."""

from __future__ import annotations

import asyncio
import atexit
import itertools
import logging
import queue
import threading
import weakref
from collections.abc import AsyncGenerator, Coroutine, Iterator
from typing import Any, Final, TypeVar, cast

import aiohttp
import msgspec
from web3 import AsyncHTTPProvider
from web3.types import RPCEndpoint, RPCResponse

__all__ = ["Envelope", "HttpAnswer", "LoopThread", "Provider", "loop_thread"]

T = TypeVar("T")

_AHEAD: Final = 16  # answers that wait for a slow consumer before the producer is held back

_providers: weakref.WeakSet[Provider] = weakref.WeakSet()


class Envelope(msgspec.Struct):
    """A JSON-RPC answer whose result is left as undecoded JSON. Empty where there was none."""

    result: msgspec.Raw = msgspec.field(default_factory=msgspec.Raw)
    error: object = None


class HttpAnswer(Exception):
    """An HTTP answer that is no plain JSON-RPC result."""

    def __init__(self, status: int, body: bytes, retry_after: str | None) -> None:
        super().__init__(status)
        self.status = status
        self.body = body
        self.retry_after = retry_after


_decoder = msgspec.json.Decoder(Envelope)


class Provider(AsyncHTTPProvider):
    """web3's HTTP provider with one kept-alive session, no retries, no redirects and no formatters.

    The session is made on first use, inside the running loop. An answer other than HTTP 200 raises
    ``HttpAnswer`` with its body, because providers put the JSON-RPC error there.
    """

    logger = logging.getLogger("scanner.chain.silent")
    logger.disabled = True  # the base class would log the URL, and with it the key

    def __init__(self, url: str, *, timeout: float, connections: int) -> None:
        super().__init__(url, exception_retry_configuration=None)
        self.global_ccip_read_enabled = False
        self._url = url
        self._timeout = aiohttp.ClientTimeout(total=timeout, connect=min(timeout, 10.0))
        self._connections = connections
        self._session: aiohttp.ClientSession | None = None
        self._ids = itertools.count(1)
        _providers.add(self)

    def encode_rpc_request(self, method: RPCEndpoint, params: Any) -> bytes:
        return msgspec.json.encode({"jsonrpc": "2.0", "id": next(self._ids), "method": method, "params": params})

    @staticmethod
    def decode_rpc_response(raw_response: bytes) -> RPCResponse:
        return cast("RPCResponse", _decoder.decode(raw_response))

    async def _make_request(self, method: RPCEndpoint, request_data: bytes) -> bytes:
        if self._session is None:
            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(limit=self._connections, keepalive_timeout=60),
                timeout=self._timeout,
                headers=self.get_request_headers(),
                read_bufsize=2**20,
            )
        # a redirect would carry the key to another host
        async with self._session.post(self._url, data=request_data, allow_redirects=False) as response:
            body = await response.read()
            if response.status != 200:
                raise HttpAnswer(response.status, body, response.headers.get("Retry-After"))
            return body

    async def ask(self, method: str, params: list[Any]) -> Envelope:
        """Send one request.

        Raises what aiohttp raises, ``HttpAnswer``, and ``msgspec.DecodeError`` for a body that is no JSON-RPC.
        """
        return cast("Envelope", await self.make_request(RPCEndpoint(method), params))

    async def close(self) -> None:
        """Close the connections. A later request opens new ones."""
        session, self._session = self._session, None
        if session is not None:
            await session.close()


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
