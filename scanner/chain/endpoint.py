"""One JSON-RPC endpoint: requests in, undecoded results or classified failures out, retried where it helps."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import urlsplit

import aiohttp
import msgspec
from tenacity import AsyncRetrying, RetryCallState, retry_if_exception, stop_after_attempt, stop_before_delay

from scanner.chain.failures import TRANSIENT, Kind, RpcFailure, classify, clean, revert_data
from scanner.chain.learned import Learned
from scanner.chain.options import Options
from scanner.chain.spec import EndpointSpec
from scanner.chain.transport import Envelope, HttpAnswer, Provider
from scanner.errors import ConfigError

__all__ = ["Endpoint"]

_LONGEST_PAUSE: Final = 8.0  # seconds between two attempts where the endpoint names none


class Endpoint:
    """A node behind a URL. Nothing that leaves this class shows more of the URL than its host."""

    def __init__(self, spec: EndpointSpec, options: Options, learned: Learned | None = None) -> None:
        """Open nothing yet. Raises ConfigError for a URL that is not http(s)."""
        url = spec.url
        self.spec = spec
        self.learned = learned or Learned()
        self._url = url
        self.host = _host(url)
        self._secrets = _secrets(url)
        self._provider = Provider(url, timeout=options.timeout, connections=2 * options.concurrency)
        self._attempts = options.attempts
        self._patience = options.patience
        self._resume_at = 0.0

    async def request(self, method: str, params: list[Any], *, shrinkable: bool = False) -> msgspec.Raw:
        """Give the result as undecoded JSON, after retries of what may pass.

        ``shrinkable``: the caller can ask for less, so a timeout is raised at once. Raises RpcFailure.
        """
        transient = TRANSIENT - {Kind.TIMEOUT} if shrinkable else TRANSIENT
        retrying = AsyncRetrying(
            retry=retry_if_exception(lambda error: isinstance(error, RpcFailure) and error.kind in transient),
            stop=stop_after_attempt(self._attempts) | stop_before_delay(self._patience),
            wait=_pause,
            reraise=True,
        )
        return await retrying(self._once, method, params)

    async def text(self, method: str, params: list[Any]) -> str:
        """Give a result that is a string. Raises RpcFailure when it is something else."""
        result = await self.request(method, params)
        try:
            return msgspec.json.decode(result, type=str)
        except msgspec.MsgspecError as error:
            raise self.malformed(method, result) from error

    def malformed(self, method: str, result: msgspec.Raw) -> RpcFailure:
        """Make the failure for a result of another shape than the method has."""
        return self._failure(method, f"unexpected result {self._redact(bytes(result)[:80].decode('utf-8', 'replace'))}")

    async def close(self) -> None:
        """Close the connections."""
        await self._provider.close()

    async def _once(self, method: str, params: list[Any]) -> msgspec.Raw:
        loop = asyncio.get_running_loop()
        if (wait := self._resume_at - loop.time()) > 0:
            await asyncio.sleep(wait)
        try:
            answer = await self._provider.ask(method, params)
            if answer.error is not None or not memoryview(answer.result).nbytes:
                raise self._refusal(method, answer)
        except HttpAnswer as error:
            failure = self._http_failure(method, error)
        except RpcFailure as error:
            failure = error
        except msgspec.MsgspecError:
            failure = self._failure(method, "the answer is not JSON-RPC", Kind.NOT_RPC)
        except TimeoutError:
            failure = self._failure(method, "no answer in time", Kind.TIMEOUT)
        except aiohttp.ClientConnectorError as error:
            failure = self._failure(
                method, f"cannot connect ({error.os_error.strerror or error.os_error})", Kind.UNREACHABLE
            )
        except aiohttp.InvalidURL as error:
            raise ConfigError("the RPC URL is not valid") from error
        except (aiohttp.ClientError, OSError) as error:
            failure = self._failure(method, f"connection lost ({type(error).__name__})", Kind.DISCONNECTED)
        else:
            return answer.result
        if failure.kind is Kind.RATE_LIMITED and failure.retry_after:
            # the other requests in flight would only be refused as well
            self._resume_at = loop.time() + min(failure.retry_after, self._patience)
        raise failure

    def _refusal(self, method: str, answer: Envelope, status: int = 200, retry_after: str | None = None) -> RpcFailure:
        error = answer.error
        if error is None:
            return self._failure(method, "the answer has neither result nor error", Kind.NOT_RPC)
        if not isinstance(error, Mapping):
            error = {"message": str(error)}
        message, code, data = str(error.get("message", "")), error.get("code"), error.get("data")
        code = code if isinstance(code, int) else None
        returned = revert_data(data)
        words = message if data is None or returned else f"{message} {data}"
        kind = classify(words, code, status)
        pause = _seconds(retry_after)
        pause = _backoff(data) if pause is None else pause
        return self._failure(method, message or kind.value, kind, code=code, data=returned, retry_after=pause)

    def _http_failure(self, method: str, answer: HttpAnswer) -> RpcFailure:
        try:
            envelope = msgspec.json.decode(answer.body, type=Envelope)
        except msgspec.MsgspecError:
            envelope = Envelope()
        if envelope.error is not None:
            return self._refusal(method, envelope, answer.status, answer.retry_after)
        kind = classify("", None, answer.status)
        kind = Kind.NOT_RPC if kind is Kind.OTHER else kind
        return self._failure(method, f"HTTP status {answer.status}", kind, retry_after=_seconds(answer.retry_after))

    def _failure(
        self,
        method: str,
        message: str,
        kind: Kind = Kind.OTHER,
        *,
        code: int | None = None,
        data: bytes = b"",
        retry_after: float | None = None,
    ) -> RpcFailure:
        shown = f"{self.host}: {method}: {clean(self._redact(message))}"
        shown += f" (code {code})" if code is not None else ""
        return RpcFailure(shown, kind, code=code, data=data, retry_after=retry_after)

    def _redact(self, text: str) -> str:
        for secret in self._secrets:
            text = text.replace(secret, "…")
        return text


def _pause(state: RetryCallState) -> float:
    """Wait as long as the endpoint asks for, else longer each time with some jitter."""
    error = state.outcome.exception() if state.outcome is not None else None
    if isinstance(error, RpcFailure) and error.retry_after is not None:
        return error.retry_after
    return min(_LONGEST_PAUSE, 0.25 * 2.0**state.attempt_number) * random.uniform(0.5, 1.0)  # noqa: S311


def _backoff(data: object) -> float | None:
    """Read Infura's ``backoff_seconds``, at the top of the error data or under ``rate``."""
    if not isinstance(data, Mapping):
        return None
    return _seconds(data["backoff_seconds"]) if "backoff_seconds" in data else _backoff(data.get("rate"))


def _seconds(value: object) -> float | None:
    try:
        seconds = float(str(value))
    except ValueError:  # an HTTP date, or nothing
        return None
    return seconds if 0 <= seconds < 86_400 else None


def _host(url: str) -> str:
    """Take the host and port out of a URL."""
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError as error:
        raise ConfigError("the RPC URL is not valid") from error
    if parts.scheme not in ("http", "https") or not host:
        raise ConfigError("the RPC URL must look like https://host/path or http://host:port")
    return f"{host}:{port}" if port else host


def _secrets(url: str) -> tuple[str, ...]:
    """List the parts of a URL that may hold a key, longest first."""
    parts = urlsplit(url)
    found = {url, parts.path, parts.query, parts.username or "", parts.password or "", *parts.path.split("/")}
    return tuple(sorted((part for part in found if len(part) >= 6), key=len, reverse=True))
