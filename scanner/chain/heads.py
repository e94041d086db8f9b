"""What the newest block is, asked again and again, and whether earlier ones are still on the chain."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Sequence
from types import TracebackType
from typing import Any, Final, Self, TypeVar

from scanner.chain.blocks import block_by_number
from scanner.chain.endpoint import Endpoint
from scanner.chain.interface import Block
from scanner.chain.learned import Learned
from scanner.chain.options import Options
from scanner.chain.spec import EndpointSpec
from scanner.chain.translog import TransportLog
from scanner.chain.transport import loop_thread
from scanner.errors import ConfigError, RpcError

__all__ = ["Heads"]

T = TypeVar("T")

_ONCE: Final = Options(timeout=10.0, attempts=1, hedge=False)
"""Who asks again and again need not be patient with one question."""


class Heads:
    """The newest block of endpoints whose connections stay open; the first that answers is the one that is asked next.

    tag: which block is the newest: latest, safe or finalized. Every method raises RpcError when none answers.
    """

    def __init__(
        self,
        specs: Sequence[EndpointSpec],
        tag: str = "latest",
        learned: Callable[[str], Learned] | None = None,
        log: TransportLog | None = None,
    ) -> None:
        """Open nothing yet. Raises ConfigError where no endpoint answers calls."""
        self._tag = tag
        self._thread = loop_thread()
        asked = [spec for spec in specs if "calls" in spec.roles]
        if not asked:
            raise ConfigError("no RPC URL that answers calls: give one, or give one of them that role")
        self._endpoints = [
            Endpoint(spec, _ONCE, None if learned is None else learned(spec.url), log=log) for spec in asked
        ]

    def newest(self) -> Block:
        """Give the newest block."""
        found = self._ask(lambda endpoint: block_by_number(endpoint, self._tag))
        if found is None:
            raise RpcError(f"{self._endpoints[0].host}: the node names no {self._tag} block")
        return found

    def block(self, block: int | str) -> Block | None:
        """Give the canonical block of a number, or any block of a hash; None when the node knows none."""
        return self._ask(lambda endpoint: block_by_number(endpoint, block))

    def hash_at(self, number: int) -> str | None:
        """Give the hash of the canonical block of a number; None when the node has no such block yet."""
        found = self.block(number)
        return None if found is None else found.hash

    def close(self) -> None:
        """Close the connections."""
        for endpoint in self._endpoints:
            self._thread.run(endpoint.close())

    def _ask(self, question: Callable[[Endpoint], Coroutine[Any, Any, T]]) -> T:
        failures: list[RpcError] = []
        for endpoint in tuple(self._endpoints):
            try:
                answer = self._thread.run(question(endpoint))
            except RpcError as error:
                failures.append(error)
                continue
            self._endpoints.remove(endpoint)
            self._endpoints.insert(0, endpoint)
            return answer
        raise failures[0]

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
