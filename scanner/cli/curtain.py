"""Hide the keys of RPC URLs in what is told on stderr, wherever they came from."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any, Final

__all__ = ["error_panel", "hide", "remember"]

_URL: Final = re.compile(r"(?:\b[a-z][a-z0-9+.-]*://|\b(?:http|ws)s?:/)[^\s'\"`<>│]*", re.IGNORECASE)
_SHORT: Final = 6  # characters after the host that are no key, such as /path

_urls: dict[str, None] = {}


def remember(urls: Iterable[str]) -> None:
    """Hide the parts of these from now on, also where they stand alone."""
    for url in urls:
        if _URL.sub(_shown, url) != url or ("://" not in url and len(url) >= _SHORT):
            _urls[url] = None


def hide(text: str) -> str:
    """Leave no more of a URL than its host. People paste one for a market, a file, anything; libraries quote it."""
    text = _URL.sub(_shown, text)
    if _urls:
        from scanner.chain.redact import Redactor  # what most commands need not load

        text = Redactor(*_urls)(text)
    return text


def error_panel(error: Exception) -> Any:
    """Draw what the argument parser says; it quotes what it was given."""
    from cyclopts import CycloptsPanel

    said = str(error)
    return CycloptsPanel(error if hide(said) == said else hide(said))


def _shown(found: re.Match[str]) -> str:
    whole = found[0].rstrip(".,;:)]")
    tail = found[0][len(whole) :]
    scheme, _, rest = whole.partition(":")
    rest = rest.lstrip("/")
    host = re.split(r"[/?#\\]", rest, maxsplit=1)[0]
    if "@" not in rest and len(rest) - len(host) < _SHORT:
        return found[0]
    # an @ further on: a password with a slash in it, and what looks like a host is a name
    host = "" if "@" in rest[len(host) :] else host.rpartition("@")[2]
    return f"{scheme}://{host}/…{tail}"
