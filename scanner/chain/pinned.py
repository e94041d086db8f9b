"""eth_call at one block: parameters in, bytes out."""

from __future__ import annotations

import binascii
from typing import Any

from scanner.chain.endpoint import Endpoint
from scanner.chain.failures import Kind, RpcFailure
from scanner.chain.interface import Overrides

__all__ = ["PinnedCalls"]


class PinnedCalls:
    """eth_call on an endpoint at a fixed block.

    ``pin`` is the block parameter as the endpoint takes it: an EIP-1898 object or a hex number.
    """

    def __init__(self, endpoint: Endpoint, pin: object, gas: int) -> None:
        self.endpoint = endpoint
        self._pin = pin
        self._gas: int | None = gas

    async def call(
        self, to: str, data: bytes, overrides: Overrides | None = None, *, shrinkable: bool = False
    ) -> bytes:
        """Give what the contract returned.

        Raises RpcFailure, of kind REVERTED when the contract refused.
        """
        message = {"to": to, "data": "0x" + data.hex()}
        rest: list[Any] = [self._pin]
        if overrides:
            rest.append({address: {"code": "0x" + code.hex()} for address, code in overrides.items()})
        gas = self._gas
        if gas is not None:
            message["gas"] = hex(gas)
        try:
            result = await self.endpoint.request("eth_call", [message, *rest], shrinkable=shrinkable)
        except RpcFailure as failure:
            if failure.kind is not Kind.GAS_REFUSED or gas is None:
                raise
            self._gas = None  # from now on what the node gives by itself
            return await self.call(to, data, overrides, shrinkable=shrinkable)
        view = memoryview(result)
        try:
            if bytes(view[:3]) != b'"0x':
                raise ValueError
            return binascii.unhexlify(view[3:-1])
        except ValueError as error:
            raise self.endpoint.malformed("eth_call", result) from error

    async def code(self, address: str) -> str:
        """Give the code at an address as hex text, "0x" where there is none."""
        return await self.endpoint.text("eth_getCode", [address, self._pin])
