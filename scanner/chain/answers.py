"""What came back over HTTP, read as JSON-RPC: results, or failures that say what they mean."""

from __future__ import annotations

import errno
import os
import re
import socket
from collections.abc import Mapping, Sequence
from typing import Any, Final, NamedTuple

import aiohttp
import msgspec

from scanner.chain.failures import LONGEST, Kind, RpcFailure, classify, clean, revert_data, suggested_wait
from scanner.chain.redact import Redactor
from scanner.chain.transport import HttpAnswer, TooLarge

__all__ = ["Answers", "Envelope"]

_SHOWN: Final = 80  # characters of an answer of unexpected shape
_CLASSIFIED: Final = 2 * LONGEST  # characters of a message; more than are shown, so that what is cut is known to be
_MOST_CODE: Final = 2**53
_HEAD: Final = 2_000  # bytes of a page that are looked at
_WANTS_TLS: Final = re.compile(rb"plain HTTP request was sent to HTTPS|HTTP request to an HTTPS server", re.IGNORECASE)
_UNREADABLE: Final = (msgspec.MsgspecError, ValueError, RecursionError)  # a text that is no UTF-8 is a ValueError


_DEEPEST: Final = 100  # objects and lists in an error; msgspec recurses as deep as web3 lets it, and the stack does not


class _Sent(msgspec.Struct):
    id: int | float | str | None = None
    result: msgspec.Raw = msgspec.field(default_factory=msgspec.Raw)
    error: msgspec.Raw = msgspec.field(default_factory=msgspec.Raw)


class Envelope(NamedTuple):
    """A JSON-RPC answer whose result is left as undecoded JSON, empty where there was none."""

    id: int | float | str | None
    result: msgspec.Raw
    error: object


def _opened(sent: _Sent) -> Envelope:
    """Decode the error; a text stands for one that is nested deeper than any. Raises what msgspec raises."""
    raw = bytes(sent.error)
    deep = raw.count(b"{") + raw.count(b"[") > _DEEPEST
    error = "the error is nested too deeply" if deep else msgspec.json.decode(raw) if raw else None
    return Envelope(sent.id, sent.result, error)


_BLOCK_METHODS: Final = frozenset({"eth_getBlockByNumber", "eth_getBlockByHash"})
_NULL: Final = msgspec.Raw(b"null")

_one = msgspec.json.Decoder(_Sent)
_many = msgspec.json.Decoder(list[_Sent])


class Answers:
    """Reads the answers of one endpoint. What it makes names the endpoint's host and nothing else of its URL."""

    def __init__(self, host: str, redact: Redactor, *, tls: bool = True) -> None:
        """Read for a host; ``tls``: its URL begins with https."""
        self.host = host
        self.redact = redact
        self._tls = tls
        self._spoke = False  # whether anything ever came back

    def single(self, method: str, asked: int, http: HttpAnswer) -> msgspec.Raw | RpcFailure:
        """Read the answer to one request."""
        self._spoke = True
        try:
            envelope = _opened(_one.decode(http.body))
        except _UNREADABLE:
            return self._no_envelope(method, http)
        if http.status == 200 and envelope.error is None and envelope.id == asked:
            return envelope.result if memoryview(envelope.result).nbytes else self.refusal(method, envelope, http)
        if envelope.error is not None and _may_belong(envelope, asked):
            return self._refused(method, envelope, http)
        if http.status != 200:
            return self._no_envelope(method, http)
        return self.failure(method, "the answer is to another request (wrong id)", Kind.NOT_RPC)

    def batch(
        self, methods: Sequence[str], first: int, http: HttpAnswer
    ) -> list[msgspec.Raw | RpcFailure] | RpcFailure:
        """Read the answer to a batch whose ids count up from ``first``; a failure where it is of no use at all."""
        self._spoke = True
        try:
            envelopes = list(map(_opened, _many.decode(http.body)))
        except _UNREADABLE:
            return self._no_list(http)
        found: dict[int, Envelope] = {}
        nameless: list[Envelope] = []
        for envelope in envelopes:
            at = envelope.id - first if type(envelope.id) is int else -1
            if envelope.id is None and envelope.error is not None:
                nameless.append(envelope)
            elif at in found or not 0 <= at < len(methods):
                # whoever mixes answers up may have mixed up the others too
                return self.failure("batch", "an answer in it is doubled, or to another request", Kind.NOT_RPC)
            else:
                found[at] = envelope
        return [self._item(method, found.get(at), nameless, http) for at, method in enumerate(methods)]

    def broken(self, method: str, error: Exception, seconds: float) -> RpcFailure:
        """Say what an exception of the HTTP client means. Its own words may hold the URL and are not used."""
        if isinstance(error, TimeoutError):
            return self.failure(method, f"no answer in time ({seconds:g} s)", Kind.TIMEOUT)
        if isinstance(error, TooLarge):
            return self.failure(method, f"the answer is longer than {error.limit:,} bytes", Kind.PAYLOAD_TOO_LARGE)
        if isinstance(error, aiohttp.ClientConnectorCertificateError):
            advice = "use the host name that it was issued for, or have it renewed"
            return self.failure(method, "the certificate of the endpoint is not valid", Kind.UNREACHABLE, advice=advice)
        if isinstance(error, aiohttp.ClientConnectorSSLError):
            advice = "begin the RPC URL with http:// if that is what the port is for"
            return self.failure(method, "the port does not speak TLS", Kind.UNREACHABLE, advice=advice)
        if isinstance(error, aiohttp.ClientConnectorError):
            return self.failure(method, f"cannot connect ({_why(error.os_error)})", Kind.UNREACHABLE)
        if isinstance(error, aiohttp.ClientPayloadError):
            if "encoding" in str(error):
                return self.failure(method, "the answer cannot be decompressed", Kind.NOT_RPC)
            return self.failure(method, "connection lost in the middle of the answer", Kind.DISCONNECTED)
        if isinstance(error, aiohttp.ClientResponseError):
            said = f"the answer is not HTTP ({type(error).__name__})"
            return self.failure(method, said, Kind.NOT_RPC, advice=self._maybe_tls)
        said = f"connection lost ({type(error).__name__})"
        return self.failure(method, said, Kind.DISCONNECTED, advice=self._maybe_tls)

    @property
    def _maybe_tls(self) -> str | None:
        """Say what to do where a port for TLS may have been spoken to in plain HTTP."""
        silent = not self._tls and not self._spoke
        return "begin the RPC URL with https:// if the port is for TLS; else try again" if silent else None

    def refusal(self, method: str, envelope: Envelope, http: HttpAnswer) -> RpcFailure:
        """Read a JSON-RPC error."""
        error = envelope.error
        if error is None:
            return self.failure(method, "the answer has neither result nor error", Kind.NOT_RPC)
        if not isinstance(error, Mapping):
            error = {"message": str(error)}
        message, code, data = str(error.get("message", ""))[:_CLASSIFIED], error.get("code"), error.get("data")
        code = code if isinstance(code, int) and abs(code) < _MOST_CODE else None
        returned = revert_data(data)
        # "Reverted 0x…" is the only word of some nodes for a revert
        plain = data is None or (returned and not str(data).startswith("Reverted"))
        kind = classify(message if plain else f"{message[:LONGEST]} {str(data)[:1_000]}", code, http.status)
        if returned and method == "eth_call" and kind in (Kind.SERVER, Kind.OTHER):
            kind = Kind.REVERTED  # what a contract returned is its answer, however the node words it
        wait = http.retry_after
        if wait is None and kind is not Kind.REVERTED:
            wait = _backoff(data)
        if wait is None and kind is Kind.RATE_LIMITED:
            wait = suggested_wait(message)
        return self.failure(
            method, message or kind.value, kind, code=code, data=returned, retry_after=wait, status=http.status
        )

    def malformed(self, method: str, result: msgspec.Raw) -> RpcFailure:
        """Make the failure for a result of another shape than the method has."""
        # redacted before it is cut: a part is too much
        shown = self.redact(bytes(memoryview(result)[: 8 * LONGEST]).decode("utf-8", "replace"), LONGEST)
        return self.failure(method, f"unexpected result {clean(shown, _SHOWN)}")

    def failure(
        self,
        method: str,
        message: str,
        kind: Kind = Kind.OTHER,
        *,
        code: int | None = None,
        data: bytes = b"",
        retry_after: float | None = None,
        status: int = 200,
        advice: str | None = None,
    ) -> RpcFailure:
        """Make a failure. Every one is made here, so that none shows what is secret."""
        shown = f"{self.host}: {method}: {clean(self.redact(message, LONGEST))}"
        shown += f" (code {code})" if code is not None else ""
        return RpcFailure(shown, kind, code=code, data=data, retry_after=retry_after, status=status, advice=advice)

    def _item(
        self, method: str, envelope: Envelope | None, nameless: list[Envelope], http: HttpAnswer
    ) -> msgspec.Raw | RpcFailure:
        if envelope is None and nameless:
            envelope = nameless.pop(0) if len(nameless) > 1 else nameless[0]
        if envelope is None:
            return self.failure(method, "the batch came back without an answer to it", Kind.NOT_RPC)
        if envelope.error is None and memoryview(envelope.result).nbytes:
            return envelope.result
        return self._refused(method, envelope, http)

    def _refused(self, method: str, envelope: Envelope, http: HttpAnswer) -> msgspec.Raw | RpcFailure:
        failure = self.refusal(method, envelope, http)
        # some nodes refuse to give a block that they do not know, where others answer null
        return _NULL if failure.kind is Kind.BLOCK_UNKNOWN and method in _BLOCK_METHODS else failure

    def _no_list(self, http: HttpAnswer) -> RpcFailure:
        try:
            envelope = _opened(_one.decode(http.body))
        except _UNREADABLE:
            envelope = Envelope(None, msgspec.Raw(), None)
        if envelope.error is not None:
            return self.refusal("batch", envelope, http)
        return self._no_envelope("batch", http)

    def _no_envelope(self, method: str, http: HttpAnswer) -> RpcFailure:
        if http.status != 200:
            if _WANTS_TLS.search(http.body[:_HEAD]):
                said, advice = f"HTTP status {http.status}: the port is for TLS", "begin the RPC URL with https://"
                return self.failure(method, said, Kind.NOT_RPC, status=http.status, advice=advice)
            kind = classify("", None, http.status)
            # 501 is what servers say that know no POST
            kind = Kind.NOT_RPC if kind is Kind.OTHER or http.status == 501 else kind
            message = f"HTTP status {http.status}"
            return self.failure(method, message, kind, retry_after=http.retry_after, status=http.status)
        head = http.body[:200].lstrip()
        shape = "empty" if not head else "HTML, not JSON-RPC" if head.startswith(b"<") else "not JSON-RPC"
        return self.failure(method, f"the answer is {shape}", Kind.NOT_RPC, retry_after=http.retry_after)


def _why(error: OSError) -> str:
    """Say why there is no connection. asyncio's own words hold addresses, and no number for several errors."""
    if isinstance(error, socket.gaierror):
        return "no address is known for the host"
    named = re.search(r"\[Errno (\d{1,5})\]", str(error))
    number = error.errno or (int(named[1]) if named else None)
    if number == errno.ECONNREFUSED:
        return "connection refused: nothing listens there"
    return os.strerror(number).lower() if number else type(error).__name__


def _may_belong(envelope: Envelope, asked: int) -> bool:
    """Tell whether an error is the answer; who could not read the request does not know its id."""
    return envelope.id is None or envelope.id == asked


def _backoff(data: object) -> float | None:
    """Read Infura's ``backoff_seconds``, at the top of the error data or under ``rate``."""
    if not isinstance(data, Mapping):
        return None
    if "backoff_seconds" not in data:
        return _backoff(data.get("rate"))
    return _seconds(data["backoff_seconds"])


def _seconds(value: Any) -> float | None:
    try:
        seconds = float(str(value))
    except ValueError:
        return None
    return seconds if 0 <= seconds < float("inf") else None
