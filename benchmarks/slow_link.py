"""A slow link to a node: every HTTP request is held back for a while, as many at once as come, and then passed on.

Runs as a process of its own, so that it takes no time from those it serves but what the machine has:
``python -m benchmarks.slow_link UPSTREAM DELAY [WIDEST]``.
"""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

__all__ = ["Link", "Traffic", "slow_link"]

_ROOT: Final = Path(__file__).parent.parent
_BUFFER: Final = 2**22
_ASK: Final = b"GET /traffic"


@dataclass
class Traffic:
    """What passed since it was last asked for."""

    requests: int = 0
    refused: int = 0  # eth_getLogs over too many blocks


@dataclass(frozen=True)
class Link:
    """A running link. Every request takes ``delay`` seconds more; ``widest`` blocks in one eth_getLogs are taken."""

    url: str
    delay: float
    widest: int | None

    def traffic(self) -> Traffic:
        """Give what passed since the last time, and begin anew."""
        with urllib.request.urlopen(f"{self.url}/traffic") as answer:  # noqa: S310 (our own process)
            return Traffic(**json.load(answer))


@contextmanager
def slow_link(upstream: str, delay: float, widest: int | None = None) -> Iterator[Link]:
    """Serve ``upstream`` with a delay for as long as the block lasts."""
    command = [sys.executable, "-m", "benchmarks.slow_link", upstream, str(delay), *([str(widest)] if widest else [])]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=_ROOT) as process:
        try:
            assert process.stdout is not None
            yield Link(f"http://127.0.0.1:{int(process.stdout.readline())}", delay, widest)
        finally:
            process.terminate()


class _Server:
    def __init__(self, upstream: str, delay: float, widest: int | None) -> None:
        parts = urlsplit(upstream)
        self._address = (parts.hostname or "", parts.port or 80)
        self._delay = delay
        self._widest = widest
        self._traffic = Traffic()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        onward: asyncio.StreamWriter | None = None
        back: asyncio.Task[None] | None = None
        try:
            while (head := await reader.readuntil(b"\r\n\r\n")).startswith(b"POST"):
                body = await reader.readexactly(_length(head))
                self._traffic.requests += 1
                await asyncio.sleep(self._delay)
                refusal = self._refusal(body)
                if refusal is not None:
                    writer.write(_answer(refusal))
                    continue
                if onward is None:
                    source, onward = await asyncio.open_connection(*self._address, limit=_BUFFER)
                    back = asyncio.create_task(_copy(source, writer))
                onward.write(head + body)
                await onward.drain()
            if head.startswith(_ASK):
                writer.write(_answer(asdict(self._traffic)))
                await writer.drain()
                self._traffic = Traffic()
        except (asyncio.IncompleteReadError, ConnectionError):
            pass  # the other side has what it wanted
        finally:
            if back is not None:
                back.cancel()
            for end in (onward, writer):
                if end is not None:
                    end.close()

    def _refusal(self, body: bytes) -> object:
        """Refuse a range as 1rpc does, in its words."""
        if self._widest is None or b'"eth_getLogs"' not in body:
            return None
        request = json.loads(body)
        for item in request if isinstance(request, list) else [request]:
            asked = item["params"][0] if item["method"] == "eth_getLogs" else {"fromBlock": "0x0", "toBlock": "0x0"}
            if int(asked["toBlock"], 16) - int(asked["fromBlock"], 16) >= self._widest:
                self._traffic.refused += 1
                message = f"eth_getLogs is limited to 0 - {self._widest} blocks range"
                return {"jsonrpc": "2.0", "id": item["id"], "error": {"code": -32602, "message": message}}
        return None


async def _copy(source: asyncio.StreamReader, target: asyncio.StreamWriter) -> None:
    try:
        while data := await source.read(_BUFFER):
            target.write(data)
            await target.drain()
    except ConnectionError:
        pass
    target.close()


def _length(head: bytes) -> int:
    for line in head.split(b"\r\n"):
        name, _, value = line.partition(b":")
        if name.strip().lower() == b"content-length":
            return int(value)
    raise ValueError("a request without Content-Length")


def _answer(value: object) -> bytes:
    body = json.dumps(value).encode()
    head = f"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    return head.encode() + body


async def _run(upstream: str, delay: float, widest: int | None) -> None:
    serve = _Server(upstream, delay, widest).serve
    server = await asyncio.start_server(serve, "127.0.0.1", 0, limit=_BUFFER, backlog=4096)
    print(server.sockets[0].getsockname()[1], flush=True)
    loop = asyncio.get_running_loop()
    await loop.run_in_executor(None, sys.stdin.read)  # ends with the one that started it
    server.close()


if __name__ == "__main__":
    asyncio.run(_run(sys.argv[1], float(sys.argv[2]), int(sys.argv[3]) if len(sys.argv) > 3 else None))
