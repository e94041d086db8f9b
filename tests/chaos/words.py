"""What providers say, as JSON-RPC errors, and what requests ask."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, Final

from scanner.chain.failures import Kind
from tests.chaos.proxy import Asked, Reply, error
from tests.unit.chain.provider_answers import ANSWERS, Seen

__all__ = ["PAGE_HEADERS", "as_reply", "said", "span_of", "spoken"]

PAGE_HEADERS: Final = {"Content-Type": "text/html"}
_JSON: Final = {"Content-Type": "application/json"}


def said(kind: Kind, method: str | None = None) -> list[Seen]:
    """Give what providers were seen to say for a kind of failure."""
    return [seen for seen in ANSWERS if seen.kind is kind and method in (None, seen.method) and seen.message]


def spoken(seen: Seen) -> dict[str, Any]:
    return error(seen.message, seen.code)


def as_reply(answer: Mapping[str, Any], asked: Sequence[Asked], status: int = 200, **headers: str) -> Reply:
    named = [{**answer, "id": one.request.get("id")} for one in asked]
    body = json.dumps(named[0] if len(named) == 1 else named).encode()
    return Reply(body, status, {**_JSON, **{name.replace("_", "-"): value for name, value in headers.items()}})


def span_of(asked: Asked) -> tuple[int, int] | None:
    query = asked.params[0] if asked.method == "eth_getLogs" and asked.params else {}
    if "fromBlock" not in query or "toBlock" not in query:
        return None
    try:
        return int(query["fromBlock"], 16), int(query["toBlock"], 16)
    except ValueError:  # a tag
        return None
