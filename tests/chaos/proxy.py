"""A JSON-RPC proxy whose faults are drawn from a seed. A request that no fault touches passes byte for byte.

What a fault draws depends on the seed, the request's own content and how often it came before, so that the order in
which requests arrive decides as little as can be.
"""

from __future__ import annotations

import gzip
import json
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from hashlib import blake2b
from http.client import HTTPConnection, HTTPException
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Final, Protocol
from urllib.parse import urlsplit

__all__ = ["SECRETS", "Asked", "Fault", "Json", "Proxy", "Reply", "Site", "World", "chaos_proxy", "error"]

Json = dict[str, Any]

SECRETS: Final = ("pa55word", "s3cretkey", "s3crettoken")
"""What the proxy's URL holds and no message may."""

MOST_IN_A_ROW: Final = 3
"""Faults that the same request meets one after the other before it is let through: what passes, passes."""


class World(Protocol):
    """What a fault may do to the chain itself."""

    def reorganise(self, depth: int, how: str) -> None: ...


@dataclass(slots=True)
class Asked:
    """One JSON-RPC request on its way. ``request`` and ``answer`` are replaced, never changed in place."""

    request: Json
    key: str
    answer: Json | None = None

    @property
    def method(self) -> str:
        return str(self.request.get("method"))

    @property
    def params(self) -> list[Any]:
        params = self.request.get("params")
        return params if isinstance(params, list) else []

    def ask_instead(self, *params: Any) -> None:
        """Change what the node will be asked."""
        self.request = {**self.request, "params": list(params)}


@dataclass(frozen=True, slots=True)
class Reply:
    """An HTTP answer on its way. ``cut``: bytes after which the connection breaks off. ``pause``: seconds before it."""

    body: bytes
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    cut: int | None = None
    reset: bool = False
    pause: float = 0.0


def error(message: str, code: int | None = -32000, data: object = None) -> Json:
    """Make the JSON-RPC error that answers one request."""
    problem: Json = {"code": code, "message": message}
    return {"jsonrpc": "2.0", "error": problem if data is None else {**problem, "data": data}}


class Site:
    """What the faults of one proxy share: the node behind it, their draws, their notes, and the chain."""

    def __init__(self, upstream: str, seed: int, world: World | None = None) -> None:
        self._netloc = urlsplit(upstream).netloc
        self._seed = seed
        self._lock = threading.Lock()
        self._draws: dict[tuple[str, str], int] = {}
        self._row: dict[str, int] = {}
        self._numbers: dict[str, int | None] = {}
        self.world = world
        self.requests = 0
        self.methods: dict[str, int] = {}
        self.struck: dict[str, int] = {}
        self.local = threading.local()
        self.shut: Callable[[], None] = lambda: None  # stops listening

    def draw(self, fault: Fault, key: str) -> float:
        """Give a number in [0, 1) that the seed, the fault, the request and its repetitions decide."""
        with self._lock:
            turn = self._draws[fault.name, key] = self._draws.get((fault.name, key), 0) + 1
        raw = blake2b(f"{self._seed} {fault!r} {key} {turn}".encode(), digest_size=8).digest()
        return int.from_bytes(raw, "big") / 2**64

    def strikes(self, fault: Fault, key: str, rate: float) -> bool:
        """Say whether a passing fault meets a request now."""
        return self.draw(fault, key) < rate and self.strike(fault, key)

    def strike(self, fault: Fault, key: str) -> bool:
        """Let a passing fault meet a request, unless that has had enough in a row."""
        with self._lock:
            if self._row.get(key, 0) >= MOST_IN_A_ROW:
                return False
            self._row[key] = self._row.get(key, 0) + 1
        self.local.struck = True
        self.note(fault)
        return True

    def note(self, fault: Fault) -> None:
        """Count that a fault was seen."""
        with self._lock:
            self.struck[fault.name] = self.struck.get(fault.name, 0) + 1

    def passed(self, key: str) -> None:
        """A request met nothing: its run of bad luck is over."""
        with self._lock:
            self._row.pop(key, None)

    def count(self, methods: Sequence[str]) -> int:
        """Number an HTTP request, from one."""
        with self._lock:
            self.requests += 1
            for method in methods:
                self.methods[method] = self.methods.get(method, 0) + 1
            return self.requests

    def once(self, fault: Fault) -> bool:
        """Say yes the first time."""
        with self._lock:
            first = (fault.name, "once") not in self._draws
            self._draws[fault.name, "once"] = 1
        return first

    def send(self, body: bytes) -> bytes:
        """Ask the node itself, on a connection per thread."""
        for fresh in (False, True):
            connection = getattr(self.local, "connection", None)
            if connection is None or fresh:
                connection = self.local.connection = HTTPConnection(self._netloc, timeout=60)
            try:
                connection.request("POST", "/", body, {"Content-Type": "application/json"})
                return bytes(connection.getresponse().read())
            except (HTTPException, ConnectionError):
                connection.close()
                if fresh:
                    raise
        raise AssertionError("the second try returns or raises")

    def rpc(self, method: str, *params: Any) -> Any:
        """Ask the node itself; None for an error."""
        raw = self.send(json.dumps({"jsonrpc": "2.0", "id": 1, "method": method, "params": list(params)}).encode())
        return json.loads(raw).get("result")

    def head(self) -> int:
        """Give the number of the node's newest block."""
        return int(self.rpc("eth_blockNumber"), 16)

    def number_of(self, block_hash: str) -> int | None:
        """Give the number of a block by its hash; None when the node has none."""
        if self._numbers.get(block_hash) is None:
            block = self.rpc("eth_getBlockByHash", block_hash, False)
            self._numbers[block_hash] = None if block is None else int(block["number"], 16)
        return self._numbers[block_hash]

    def close(self) -> None:
        """Close this thread's connection to the node."""
        connection = getattr(self.local, "connection", None)
        if connection is not None:
            connection.close()


class Fault:
    """One way to misbehave. What it must remember is kept in the site, so that a fault can be used again."""

    @property
    def name(self) -> str:
        """What it is called in the table."""
        raise NotImplementedError

    def refuse(self, asked: Sequence[Asked], key: str, number: int, site: Site) -> Reply | None:
        """Answer a whole HTTP request before the node hears of it."""
        return None

    def before(self, asked: Asked, site: Site) -> None:
        """Answer one request, or ask the node something else."""

    def after(self, asked: Asked, site: Site) -> None:
        """Replace what the node answered."""

    def wire(self, asked: Sequence[Asked], reply: Reply, key: str, site: Site) -> Reply:
        """Spoil the HTTP answer."""
        return reply


class Proxy:
    """Faults in front of a node. ``url`` has secrets in it; ``host`` is what a message may show."""

    def __init__(self, site: Site, faults: Sequence[Fault], port: int, name: str) -> None:
        self.site = site
        self.faults = faults
        self.host = f"{name}:{port}"
        self.url = f"http://user:pa55word@{name}:{port}/v3/s3cretkey?token=s3crettoken"

    def serve(self, raw: bytes) -> Reply:
        """Answer one HTTP request."""
        site, body = self.site, json.loads(raw)
        batch = isinstance(body, list)
        requests: list[Json] = body if batch else [body]
        asked = [Asked(request, _key(request)) for request in requests]
        key = " ".join(one.key for one in asked)
        site.local.struck = False
        number = site.count([one.method for one in asked])
        for fault in self.faults:
            if (reply := fault.refuse(asked, key, number, site)) is not None:
                return reply
        for one in asked:
            for fault in self.faults:
                if one.answer is None:
                    fault.before(one, site)
        untouched = all(one.answer is None and one.request is was for one, was in zip(asked, requests, strict=True))
        answered = self._forward(raw if untouched else None, asked, batch)
        answers = [one.answer for one in asked]
        for one in asked:
            for fault in self.faults:
                fault.after(one, site)
        if answered is None or any(one.answer is not was for one, was in zip(asked, answers, strict=True)):
            final = [_named(one, was) for one, was in zip(asked, requests, strict=True)]
            answered = json.dumps(final if batch else final[0]).encode()
        reply = Reply(answered, headers={"Content-Type": "application/json"})
        for fault in self.faults:
            reply = fault.wire(asked, reply, key, site)
        if not site.local.struck:
            site.passed(key)
            for one in asked:
                site.passed(one.key)
        return reply

    def _forward(self, raw: bytes | None, asked: Sequence[Asked], batch: bool) -> bytes | None:
        """Ask the node what is still open; give its very bytes where they are the whole answer."""
        left = [one for one in asked if one.answer is None]
        if not left:
            return None
        if raw is None:
            requests = [one.request for one in left]
            raw = json.dumps(requests if batch else requests[0]).encode()
        answered = self.site.send(raw)
        decoded = json.loads(answered)
        if not batch:
            left[0].answer = decoded
        elif isinstance(decoded, list):
            found = {answer.get("id"): answer for answer in decoded}
            for one in left:
                one.answer = found[one.request["id"]]
        return answered if len(left) == len(asked) else None


def _named(one: Asked, was: Json) -> Json:
    answer = one.answer or error("the proxy has no answer")
    return answer if "id" in answer else {**answer, "id": was.get("id")}


def _key(request: Json) -> str:
    text = json.dumps([request.get("method"), request.get("params")], separators=(",", ":"), sort_keys=True)
    return blake2b(text.encode(), digest_size=12).hexdigest()


def _handler(proxy: Proxy) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True  # head and body are two writes

        def finish(self) -> None:
            super().finish()
            proxy.site.close()

        def do_POST(self) -> None:
            raw = self.rfile.read(int(self.headers["Content-Length"]))
            try:
                reply = proxy.serve(raw)
            except (HTTPException, OSError):  # the node is gone, or the test is over
                self.close_connection = True
                return
            if reply.pause:
                time.sleep(reply.pause)
            if reply.reset:
                self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                self.close_connection = True
                self.connection.close()
                return
            body = reply.body
            if reply.headers.get("Content-Encoding") == "gzip":
                body = gzip.compress(body, 1)
            try:
                self.send_response(reply.status)
                for name, value in reply.headers.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body if reply.cut is None else body[: reply.cut])
            except OSError:  # whoever asked has gone
                self.close_connection = True
            if reply.cut is not None:
                self.close_connection = True

        def handle(self) -> None:
            try:
                super().handle()
            except (OSError, ValueError):  # reset by either side, also in the middle of a head
                self.close_connection = True

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002
            pass

    return Handler


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 64

    def handle_error(self, request: object, client_address: object) -> None:
        pass  # a connection that was reset on purpose


@contextmanager
def chaos_proxy(
    upstream: str, seed: int, faults: Sequence[Fault], world: World | None = None, name: str = "127.0.0.1"
) -> Iterator[Proxy]:
    """Serve faults in front of a node. ``name``: how the URL calls this machine, to tell two hosts apart."""
    site = Site(upstream, seed, world)
    server = _Server(("127.0.0.1", 0), BaseHTTPRequestHandler)
    proxy = Proxy(site, faults, server.server_address[1], name)
    server.RequestHandlerClass = _handler(proxy)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()

    def shut() -> None:
        server.shutdown()
        server.server_close()
        thread.join()

    site.shut = shut
    try:
        yield proxy
    finally:
        shut()
