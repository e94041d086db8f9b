"""eth_call at one block: parameters in, bytes out."""

from __future__ import annotations

import time
from math import inf

from scanner.chain.endpoint import Endpoint
from scanner.chain.failures import Kind, RpcFailure
from scanner.chain.interface import Block, Overrides
from scanner.chain.world import Assumed, returned_bytes

__all__ = ["PinnedCalls"]


class PinnedCalls:
    """eth_call on an endpoint at a fixed block.

    ``pin`` is the block parameter as the endpoint takes it: an EIP-1898 object or a hex number. ``world``: what every
    call is told to assume beside the block's state.
    """

    def __init__(self, endpoint: Endpoint, pin: object, block: Block, gas: int, world: Assumed | None = None) -> None:
        self.endpoint = endpoint
        self.pin = pin
        self.block = block
        self.world = world
        self._gas: int | None = gas
        self.taken = 0
        """Gas of each request that goes to what ``world`` has happen before the call."""
        self.quickest = inf
        """Seconds of the quickest answer: what the way to the node takes, and its work beside it little."""

    @property
    def gas(self) -> int | None:
        """What is asked for: no more than the endpoint is known to give. None: what the node gives by itself."""
        cap = self.endpoint.learned.gas_cap
        return None if self._gas is None else min(self._gas, self._gas if cap is None else cap) - self.taken

    async def call(
        self, to: str, data: bytes, overrides: Overrides | None = None, *, shrinkable: bool = False
    ) -> bytes:
        """Give what the contract returned.

        Raises RpcFailure, of kind REVERTED when the contract refused.
        """
        return await self._ask({"to": to, "data": "0x" + data.hex()}, overrides, shrinkable)

    async def call_among_others(self, to: str, data: bytes) -> bytes:
        """Do as ``call`` does, in one HTTP request with others of this moment."""
        return await self._ask({"to": to, "data": "0x" + data.hex()}, None, None)

    async def create(self, code: bytes, *, shrinkable: bool = False) -> bytes:
        """Give what the creation of a contract returned. Raises RpcFailure, of kind REVERTED when it refused."""
        return await self._ask({"data": "0x" + code.hex()}, None, shrinkable)

    async def _ask(self, message: dict[str, str], overrides: Overrides | None, shrinkable: bool | None) -> bytes:
        """Ask alone, or together with others where ``shrinkable`` is None."""
        gas = self.gas
        asked = message if gas is None else {**message, "gas": hex(gas)}
        world = self.world
        if world is not None:
            method, params = world.request(self.pin, asked, overrides or {})
        else:
            codes = {address: {"code": "0x" + code.hex()} for address, code in (overrides or {}).items()}
            method, params = "eth_call", [asked, self.pin, codes] if codes else [asked, self.pin]
        started = time.perf_counter()
        try:
            if shrinkable is None:
                result = await self.endpoint.together(method, params)
            else:
                result = await self.endpoint.request(method, params, shrinkable=shrinkable)
        except RpcFailure as failure:
            if failure.data:
                self.quickest = min(self.quickest, time.perf_counter() - started)
            if failure.kind is not Kind.GAS_REFUSED or gas is None:
                raise
            self._gas = None  # from now on what the node gives by itself
            return await self._ask(message, overrides, shrinkable)
        self.quickest = min(self.quickest, time.perf_counter() - started)
        return returned_bytes(self.endpoint, result) if world is None else world.returned(self.endpoint, result, asked)

    @property
    def time(self) -> int:
        """The time that calls see."""
        return (self.world and self.world.timestamp) or self.block.timestamp

    async def check_time(self, seen: int) -> None:
        """Compare the time that a contract saw with the block's. Raises RpcFailure for the state of another block."""
        wanted = self.time
        if seen != wanted:
            raise RpcFailure(
                f"{self.endpoint.host}: eth_call: asked at block {self.block.number} (time {wanted}), it "
                f"answered from the state of another one (time {seen}): the node ignores which block is asked for, or "
                "lags; use another endpoint",
                Kind.OTHER,
            )

    async def code(self, address: str) -> str:
        """Give the code at an address as hex text, "0x" where there is none."""
        return await self.endpoint.text("eth_getCode", [address, self.pin])
