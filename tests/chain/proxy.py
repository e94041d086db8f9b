"""A JSON-RPC proxy that misbehaves on purpose, in front of a real node."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.client import HTTPConnection
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import urlsplit

Request = dict[str, Any]


@dataclass(frozen=True)
class Say:
    """An answer that the proxy gives itself. A status of 0 drops the connection."""

    body: object
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)


Rule = Callable[[Request], Say | None]
"""Answers a request, or changes it and lets it pass."""


def refuse(message: str, code: int = -32000, status: int = 200, **headers: str) -> Say:
    """Make a JSON-RPC error."""
    return Say({"jsonrpc": "2.0", "id": 1, "error": {"code": code, "message": message}}, status, headers)


@contextmanager
def proxy(upstream: str, rule: Rule) -> Iterator[str]:
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

        def do_POST(self) -> None:
            raw = self.rfile.read(int(self.headers["Content-Length"]))
            request = json.loads(raw)
            said = rule(request) or self.ask(request)
            if said.status == 0:
                self.close_connection = True
                return
            body = said.body if isinstance(said.body, bytes) else json.dumps(said.body).encode()
            self.send_response(said.status)
            for name, value in said.headers.items():
                self.send_header(name.replace("_", "-"), value)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

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
