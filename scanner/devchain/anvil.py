"""Start and stop anvil, a local Ethereum node, and speak JSON-RPC with it."""

from __future__ import annotations

import atexit
import ctypes
import http.client
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Final, Self

import msgspec

from scanner.config import cache_dir, child_environment
from scanner.devchain.toolchain import install
from scanner.errors import DevchainError, RpcError

__all__ = ["GENESIS_TIME", "Anvil"]

GENESIS_TIME: Final = 1_760_000_000
"""Timestamp of block 0. Fixed, so that the same seed gives the same chain on every machine."""

_BLOCK_GAS: Final = 10**12
_PR_SET_PDEATHSIG: Final = 1
_FLAGS: Final = (
    "--quiet",
    "--auto-impersonate",
    "--no-request-size-limit",
    "--disable-code-size-limit",
    "--disable-min-priority-fee",
    "--order=fifo",
    "--block-base-fee-per-gas=0",
    "--gas-price=0",
    f"--gas-limit={_BLOCK_GAS}",
)


def _die_with_parent() -> None:
    """Ask Linux to stop this process when the thread that started it ends; elsewhere do nothing."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def _claim_port(port: int) -> int:
    """Give ``port`` if nobody listens there, or a free one for 0.

    Asked before the start: a node that already listens would answer for ours.
    """
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError as error:
            raise DevchainError(f"port {port} is in use or not allowed; choose another one") from error
        claimed: int = probe.getsockname()[1]
        return claimed


class Anvil:
    """A running anvil. Blocks are one second apart and every account may send without a key.

    Start it in a thread that lives as long as the node is needed: on Linux it ends with that thread.
    """

    def __init__(
        self,
        binary: Path | None = None,
        *,
        port: int | None = None,
        chain_id: int = 31337,
        hardfork: str | None = None,
        timestamp: int = GENESIS_TIME,
        extra: Sequence[str] = (),
    ) -> None:
        """Start ``binary`` on ``port`` (a free one when None) and wait until it answers; else DevchainError.

        Without a ``binary`` the one of the user's cache folder serves, installed when it is not there.
        """
        binary = binary or install(cache_dir()).anvil
        command = [str(binary), *_FLAGS, f"--chain-id={chain_id}", f"--timestamp={timestamp}", *extra]
        if hardfork is not None:
            command.append(f"--hardfork={hardfork}")
        self._launch(command, chain_id, port=port)
        self.rpc("anvil_setBlockTimestampInterval", 1)

    def _launch(
        self,
        command: Sequence[str],
        chain_id: int,
        *,
        port: int | None = None,
        folder: Path | None = None,
        environment: Mapping[str, str] | None = None,
        shown: Callable[[str], str] = str,
    ) -> None:
        """Start a command and wait until it answers. ``shown`` takes out of texts what nobody may see."""
        self.chain_id = chain_id
        self._folder, self._environment, self._shown = folder, dict(environment or {}), shown
        self._lock = threading.Lock()
        self._connection: http.client.HTTPConnection | None = None
        self._ids = 0
        self._process: subprocess.Popen[bytes]
        # a port that was free may be taken by the time anvil binds it
        for attempt in range(1 if port is not None else 3):
            self.port = _claim_port(port or 0)
            if self._start([*command, f"--port={self.port}"], last=port is not None or attempt == 2):
                break
        atexit.register(self.stop)

    def _start(self, command: Sequence[str], *, last: bool) -> bool:
        self._errors: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115 (closed by stop)
        try:
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=self._errors,
                env=child_environment(**self._environment),
                cwd=self._folder,
                start_new_session=True,  # Ctrl-C is for us; we stop the node
                preexec_fn=_die_with_parent,
            )
        except OSError as error:
            raise DevchainError(f"anvil did not start: {error}") from error
        answered = False
        try:
            answered = self._await_answer()
        finally:
            if not answered:
                self.stop()
        if last and not answered:
            raise DevchainError(f"anvil did not start on port {self.port}: {self._shown(self._complaint)}")
        return answered

    def _await_answer(self) -> bool:
        deadline = time.monotonic() + 30
        while self.running and time.monotonic() < deadline:
            try:
                return int(self.rpc("eth_chainId"), 16) == self.chain_id
            except (RpcError, OSError):
                time.sleep(0.01)
        return False

    @property
    def url(self) -> str:
        """Give the RPC URL."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def pid(self) -> int:
        """Give the process id."""
        return self._process.pid

    @property
    def running(self) -> bool:
        """Say whether the process is alive."""
        return self._process.poll() is None

    def rpc(self, method: str, *params: Any) -> Any:
        """Make one JSON-RPC call; RpcError when the node refuses or does not answer."""
        (answer,) = self.batch([(method, params)])
        return answer

    def batch(self, requests: Sequence[tuple[str, Sequence[Any]]]) -> list[Any]:
        """Make several JSON-RPC calls in one request, answers in order; RpcError at the first refusal."""
        if not requests:
            return []
        with self._lock:
            first = self._ids
            self._ids += len(requests)
            body = [
                {"jsonrpc": "2.0", "id": first + i, "method": method, "params": list(params)}
                for i, (method, params) in enumerate(requests)
            ]
            raw = self._post(msgspec.json.encode(body if len(body) > 1 else body[0]))
        try:
            decoded = msgspec.json.decode(raw)
        except msgspec.DecodeError as error:
            raise RpcError(f"anvil answered something that is not JSON: {raw[:200]!r}") from error
        answers = {entry.get("id"): entry for entry in (decoded if isinstance(decoded, list) else [decoded])}
        return [self._result(answers.get(first + i), requests[i][0]) for i in range(len(requests))]

    def _result(self, entry: Mapping[str, Any] | None, method: str) -> Any:
        if entry is None:
            raise RpcError(f"anvil did not answer {method}")
        if "error" in entry:
            problem = entry["error"]
            detail = f" ({problem['data']})" if isinstance(problem.get("data"), str) else ""
            raise RpcError(self._shown(f"{method}: {problem.get('message')}{detail}"), code=problem.get("code"))
        return entry.get("result")

    def _post(self, body: bytes) -> bytes:
        for fresh in (False, True):
            if self._connection is None:
                self._connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=600)
            try:
                self._connection.request("POST", "/", body, {"Content-Type": "application/json"})
                return self._connection.getresponse().read()
            except (http.client.HTTPException, ConnectionError, TimeoutError) as error:
                self._connection.close()
                self._connection = None
                # a kept-alive connection that the node closed deserves a second try, a dead node does not
                if fresh or isinstance(error, ConnectionRefusedError | TimeoutError):
                    raise RpcError(f"anvil does not answer: {error}") from error
        raise RpcError("anvil does not answer")

    def stop(self) -> None:
        """End the process and wait for it. Safe to call twice."""
        atexit.unregister(self.stop)
        if self._process.poll() is None:
            self._process.terminate()
            try:
                self._process.wait(timeout=5)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
        if self._connection is not None:
            self._connection.close()
            self._connection = None
        if not self._errors.closed:
            self._errors.seek(0)
            self._complaint = self._errors.read().decode(errors="replace").strip()[-500:] or "it says nothing"
            self._errors.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()
