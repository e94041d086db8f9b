"""A JSON-RPC proxy that misbehaves on purpose, in front of a real node."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from http.client import HTTPConnection
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import urlsplit

Request = dict[str, Any]


@dataclass(frozen=True)
class Say:
    """An answer that the proxy gives itself. A status of 0 drops the connection.

    An object gets the id of its request, unless ``keep_id``. lacking: bytes that are announced and not sent.
    """

    body: object
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    keep_id: bool = False
    lacking: int = 0


Rule = Callable[[Request], Say | None]
"""Answers a request, or changes it and lets it pass. Asked for each request of a batch."""

BatchRule = Callable[[list[Request]], Say | None]
"""Answers a batch as a whole."""


def refuse(message: str, code: int = -32000, status: int = 200, **headers: str) -> Say:
    """Make a JSON-RPC error."""
    return Say({"jsonrpc": "2.0", "id": 1, "error": {"code": code, "message": message}}, status, headers)


def no_overrides(request: Request) -> Say | None:
    """Refuse state overrides, in the words of a node that takes two arguments."""
    refused = request["method"] == "eth_call" and len(request["params"]) > 2
    return refuse("too many arguments, want at most 2", -32602) if refused else None


def ignore_overrides(request: Request) -> Say | None:
    """Leave state overrides out without a word."""
    if request["method"] == "eth_call":
        del request["params"][2:]
    return None


@contextmanager
def proxy(upstream: str, rule: Rule, batch_rule: BatchRule = lambda batch: None) -> Iterator[str]:
    """Serve ``rule`` in front of ``upstream``; give the URL, which has a key in its path."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True  # head and body are two writes

        def setup(self) -> None:
            super().setup()
            self.onward = HTTPConnection(urlsplit(upstream).netloc, timeout=60)  # opened when it is needed

        def finish(self) -> None:
            self.onward.close()
            super().finish()

        def ask(self, request: Request) -> Say:
            self.onward.request("POST", "/", json.dumps(request), {"Content-Type": "application/json"})
            answer = self.onward.getresponse()
            return Say(answer.read(), answer.status)

        def one(self, request: Request) -> Say:
            said = rule(request)
            return self.ask(request) if said is None else self.named(said, request)

        def named(self, said: Say, request: Request) -> Say:
            if isinstance(said.body, dict) and not said.keep_id:
                return replace(said, body=said.body | {"id": request["id"]})
            return said

        def whole(self, batch: list[Request]) -> Say:
            if (said := batch_rule(batch)) is not None:
                return said
            items = []
            for request in batch:
                own = rule(request)
                if own is not None and (own.status != 200 or isinstance(own.body, bytes)):
                    return own  # neither a status nor what is no JSON can be a part of an answer
                body = self.named(own, request).body if own is not None else json.loads(self.ask(request).body)
                items.append(body)
            return Say(items)

        def do_POST(self) -> None:
            raw = self.rfile.read(int(self.headers["Content-Length"]))
            request = json.loads(raw)
            said = self.whole(request) if isinstance(request, list) else self.one(request)
            if said.status == 0:
                self.close_connection = True
                return
            body = said.body if isinstance(said.body, bytes) else json.dumps(said.body).encode()
            self.send_response(said.status)
            for name, value in said.headers.items():
                self.send_header(name.replace("_", "-"), value)
            self.send_header("Content-Length", str(len(body) + said.lacking))
            self.end_headers()
            self.wfile.write(body)
            self.close_connection = self.close_connection or said.lacking > 0

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    try:
        yield f"http://user:pa55word@127.0.0.1:{server.server_address[1]}/v3/s3cretkey?token=s3crettoken"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
