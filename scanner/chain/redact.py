"""Take the host out of a URL, and everything else of the URL out of texts."""

from __future__ import annotations

import base64
import ipaddress
import re
from typing import Final
from urllib.parse import parse_qsl, quote, quote_plus, unquote, unquote_plus, urlsplit

from scanner.errors import ConfigError

__all__ = ["Redactor", "host_of", "place_of"]

_SHOWN: Final = "…"
_WEB_PORTS: Final = (80, 443)
_LEAST_SEGMENT: Final = 6  # characters; shorter parts of a path are words like "v3" and "eth"
_LEAST_VALUE: Final = 3  # characters of a user, a password or a query value


def host_of(url: str) -> str:
    """Take the host and port out of a URL. Raises ConfigError, without the URL, for one that is not http(s)."""
    scheme, host, port = "", None, None
    try:
        parts = urlsplit(url)
        scheme, host, port = parts.scheme, parts.hostname, parts.port
    except ValueError:
        broken = True
    else:
        broken = False
    if broken:  # raised out here, because the error that was caught holds a part of the URL
        raise ConfigError("the RPC URL is not valid")
    if scheme not in ("http", "https") or not host:
        raise ConfigError("the RPC URL must look like https://host/path or http://host:port")
    if "@" in f"{parts.path}{parts.query}{parts.fragment}" and "@" not in parts.netloc:
        # a user or password with a slash in it: what looks like the host is the user's name
        raise ConfigError("the RPC URL has an @ after its host: write / ? # in a user or password as %2F %3F %23")
    return f"{host}:{port}" if port else host


def place_of(url: str) -> str:
    """Give what two URLs of the same server share, however its name is written: for telling servers apart only.

    All names of this machine are one, and so are the ports of http and https. Raises as ``host_of`` does.
    """
    host_of(url)
    parts = urlsplit(url)
    host = (parts.hostname or "").rstrip(".")
    try:
        address = ipaddress.ip_address(host)
        address = getattr(address, "ipv4_mapped", None) or address
        host, here = str(address), address.is_loopback or address.is_unspecified
    except ValueError:
        here = host == "localhost" or host.endswith(".localhost")
    port = "" if parts.port in (None, *_WEB_PORTS) else f":{parts.port}"
    return f"{'localhost' if here else host}{port}"


class Redactor:
    """Knows the parts of URLs that may hold a key, in every spelling they may come back in. What is no URL is a key."""

    def __init__(self, *urls: str) -> None:
        # all at once and the longest first: a short one of another URL would leave the rest of a longer one
        spellings = sorted({part for url in urls for part in _spellings(url)}, key=len, reverse=True)
        self._longest = max(map(len, spellings), default=0)
        self._pattern = re.compile("|".join(map(re.escape, spellings)), re.IGNORECASE) if spellings else None

    def __call__(self, text: str, limit: int | None = None) -> str:
        """Replace what may be secret, in the first ``limit`` characters, of which the last may be left out."""
        cut = limit is not None and len(text) > limit
        shown = text[:limit] if self._pattern is None else self._pattern.sub(_SHOWN, text[:limit])
        return shown[: max(len(shown) - self._longest, 0)] if cut else shown  # a secret may be cut in two at the end


def _spellings(url: str) -> set[str]:
    try:
        parts = urlsplit(url)
    except ValueError:
        return {url}
    user, password = parts.username or "", parts.password or ""
    fields = [text for pair in parse_qsl(parts.query, keep_blank_values=True) for text in pair]
    long = {url, parts.path, parts.query, parts.fragment, *parts.path.split("/"), *parts.query.split("&"), *fields[::2]}
    short = {user, password, *fields[1::2]}
    if user or password:
        short.add(f"{user}:{password}")
        for name, word in ((user, password), (unquote(user), unquote(password))):
            short.add(base64.b64encode(f"{name}:{word}".encode()).decode().rstrip("="))
    found: set[str] = set()
    for texts, least in ((long, _LEAST_SEGMENT), (short, _LEAST_VALUE)):
        for text in texts:
            plain = unquote(text)
            forms = {text, plain, unquote_plus(text), quote(plain), quote(plain, safe=""), quote_plus(plain)}
            found |= {form for form in forms if len(form) >= least and form.strip("/")}
    return found - {""}
