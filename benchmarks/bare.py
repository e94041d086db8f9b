"""The requests of a scan sent again over bare sockets, nothing decoded: the floor that no reader can go below."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from urllib.parse import urlsplit

from scanner.chain.transport import HttpAnswer, Provider

__all__ = ["Request", "captured", "replay"]


@dataclass(frozen=True)
class Request:
    """One request of a scan: its body and when it was sent and answered."""

    body: bytes
    sent: float
    answered: float


@contextmanager
def captured() -> Iterator[list[Request]]:
    """Note every request that readers send within the block, in the order of sending."""
    found: list[Request] = []
    name = "post"
    original = getattr(Provider, name)

    async def noting(self: Provider, body: bytes, seconds: float | None = None) -> HttpAnswer:
        sent = time.perf_counter()
        answer: HttpAnswer = await original(self, body, seconds)
        found.append(Request(body, sent, time.perf_counter()))
        return answer

    setattr(Provider, name, noting)
    try:
        yield found
    finally:
        setattr(Provider, name, original)
        found.sort(key=lambda request: request.sent)


def replay(url: str, requests: Sequence[Request]) -> int:
    """Send requests again, each as soon as those answered before it was sent are answered; give the bytes received.

    Uses as many connections as the scan had requests in flight.
    """
    parts = urlsplit(url)
    address = (parts.hostname or "", parts.port or 80)
    done = [threading.Event() for _ in requests]
    before = [[i for i, other in enumerate(requests) if other.answered <= r.sent] for r in requests]
    lock, place, received = threading.Lock(), iter(range(len(requests))), [0]

    def work() -> None:
        with socket.create_connection(address) as connection:
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            while True:
                with lock:
                    index = next(place, None)
                if index is None:
                    return
                for other in reversed(before[index]):
                    done[other].wait()
                size = _exchange(connection, address[0], requests[index].body)
                with lock:
                    received[0] += size
                done[index].set()

    threads = [threading.Thread(target=work) for _ in range(_most_in_flight(requests))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if not all(event.is_set() for event in done):
        raise RuntimeError("a bare request failed")
    return received[0]


def _most_in_flight(requests: Sequence[Request]) -> int:
    ends = sorted([(r.sent, 1) for r in requests] + [(r.answered, -1) for r in requests])
    now = most = 0
    for _, step in ends:
        now += step
        most = max(most, now)
    return most


def _exchange(connection: socket.socket, host: str, body: bytes) -> int:
    """Post a body and read the answer; give its size."""
    head = f"POST / HTTP/1.1\r\nHost: {host}\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    connection.sendall(head.encode() + body)
    answer = bytearray()
    while (end := answer.find(b"\r\n\r\n")) < 0:
        answer += _some(connection)
    length = int(answer[:end].lower().split(b"content-length:")[1].split(b"\r\n")[0])
    left = length - (len(answer) - end - 4)
    while left > 0:
        left -= len(_some(connection))
    return length


def _some(connection: socket.socket) -> bytes:
    data = connection.recv(2**20)
    if not data:
        raise ConnectionError("the node closed the connection")
    return data
