"""Find out in one call how an endpoint takes a block, whether it takes overrides, and how much gas it gives."""

from __future__ import annotations

from functools import partial
from typing import Any, Final

import msgspec

from scanner.chain.endpoint import Endpoint
from scanner.chain.failures import Kind, RpcFailure
from scanner.chain.interface import Block
from scanner.chain.lag import await_block
from scanner.chain.learned import Learned
from scanner.chain.options import Options
from scanner.errors import BlockUnavailable

__all__ = ["NOBODY", "PROBE", "REFUSALS", "find_pin", "pin_by_hash", "probe_deployless", "probe_override", "probe_pin"]

PROBE: Final = "0x" + b"liqbands.probe......".hex()
"""Where the probe is put: text, so no key and no contract can own it."""

_GAS_LEFT: Final = "0x5a60005260206000f3"  # returns the gas that it has
_GAS_LEFT_REVERTED: Final = "0x5a60005260206000fd"  # the same in a revert, so that no code is to be stored
_CALL_GAS: Final = 21_002  # a transaction's own, and what reading the gas took
_CREATE_GAS: Final = 53_002 + 9 * 16 - 2 * 12 + 2  # of a creation, its bytes (two are zero) and its word
_FINAL_ANSWERS: Final = frozenset({Kind.STATE_MISSING, Kind.RATE_LIMITED, Kind.UNREACHABLE})
REFUSALS: Final = frozenset({Kind.OVERRIDES_REFUSED, Kind.INVALID_PARAMS, Kind.NO_METHOD, Kind.PLAN_EXHAUSTED})
"""Kinds that say that an endpoint does not take what it was asked, now or later."""
_DOUBTS: Final = 3
NOBODY: Final = "0x" + 40 * "0"


def pin_by_hash(block: Block) -> dict[str, object]:
    """Name a block so that no other one can be meant (EIP-1898)."""
    return {"blockHash": block.hash, "requireCanonical": True}


def _known(learned: Learned) -> bool:
    enough = learned.gas_cap if learned.overrides else learned.deployless
    return learned.by_hash is not None and learned.overrides is not None and enough is not None


async def find_pin(endpoint: Endpoint, block: Block, options: Options, *, by_number: bool) -> tuple[object, bool]:
    """Give the block parameter that the endpoint takes, and whether that was seen now and not remembered.

    by_number: the endpoint was seen to have the block under its number. Raises BlockUnavailable where it has not, or
    lacks the state; RpcFailure.
    """
    learned = endpoint.learned
    if not _known(learned):
        return await probe_pin(endpoint, block, options), True
    if learned.by_hash:
        return pin_by_hash(block), False
    if not by_number:
        await await_block(endpoint, block, options, reading=False)
    return hex(block.number), False


async def probe_pin(endpoint: Endpoint, block: Block, options: Options) -> object:
    """Find a block parameter that the endpoint takes, see that it has the state, and learn what it takes besides.

    By hash, else by number with the hash checked before; who reads checks it again afterwards.
    """
    doubt, endpoint.doubt = endpoint.doubt, _Doubt(endpoint, block, options)
    try:
        return await _probe_pin(endpoint, block, options)
    finally:
        endpoint.doubt = doubt


class _Doubt:
    """Waits for a block that is not there yet. One that is there and said to be unknown lacks its state, or the way
    that it is named in is not understood: for that, a few times are enough.
    """

    def __init__(self, endpoint: Endpoint, block: Block, options: Options) -> None:
        self._confirm = partial(await_block, endpoint, block, options, reading=False)
        self._times = 0

    async def __call__(self) -> bool:
        await self._confirm()
        self._times += 1
        return self._times <= _DOUBTS


async def _probe_pin(endpoint: Endpoint, block: Block, options: Options) -> object:
    learned, by_hash, number = endpoint.learned, pin_by_hash(block), hex(block.number)
    refused = await probe_override(endpoint, by_hash, options)
    if refused is None:
        pin: object = by_hash
        learned.by_hash = True
    elif (plain := await _plain(endpoint, by_hash)) is None:
        pin = by_hash
        learned.by_hash = True
        learned.overrides = False if refused.kind in REFUSALS else None
    else:
        await await_block(endpoint, block, options, reading=False)
        pin = number
        learned.by_hash = False if plain.kind in REFUSALS else None
        if (refused := await probe_override(endpoint, number, options)) is not None:
            learned.overrides = False if refused.kind in REFUSALS else None
            await _need_state(endpoint, number, block)
    if learned.overrides is False:
        await probe_deployless(endpoint, pin, options)
    return pin


async def probe_override(endpoint: Endpoint, pin: object, options: Options) -> RpcFailure | None:
    """Call code that is not there: None, with what it told written down, or the failure.

    Raises RpcFailure where asking in another way would not help.
    """
    learned = endpoint.learned
    try:
        answer, asked = await _gas_left(
            endpoint, {"to": PROBE, "data": "0x"}, [pin, {PROBE: {"code": _GAS_LEFT}}], options.gas
        )
    except RpcFailure as failure:
        if failure.kind in _FINAL_ANSWERS:
            raise
        return failure
    learned.overrides = len(answer) == 32  # an endpoint that ignores overrides calls nobody, who says nothing
    if learned.overrides:
        _learn_gas(learned, answer, _CALL_GAS, asked)
    return None


async def probe_deployless(endpoint: Endpoint, pin: object, options: Options) -> str | None:
    """Create a contract that only reverts with an answer: None, with what it told written down, or why not."""
    learned = endpoint.learned
    try:
        answer, asked = await _gas_left(endpoint, {"data": _GAS_LEFT_REVERTED}, [pin], options.gas)
    except RpcFailure as failure:
        if failure.kind in (Kind.REVERTED, Kind.INVALID_PARAMS, Kind.NO_METHOD, Kind.OTHER):
            learned.deployless = False
        return str(failure)
    learned.deployless = len(answer) == 32
    if learned.deployless and learned.gas_cap is None:
        _learn_gas(learned, answer, _CREATE_GAS, asked)
    return None if learned.deployless else f"{endpoint.host}: a contract that is created answers nothing"


async def _gas_left(
    endpoint: Endpoint, message: dict[str, str], rest: list[Any], gas: int | None
) -> tuple[bytes, int | None]:
    """Give the answer, returned or in a revert, and the gas that was asked for: none where that is refused."""
    asked = message if gas is None else {**message, "gas": hex(gas)}
    try:
        result = await endpoint.request("eth_call", [asked, *rest])
    except RpcFailure as failure:
        if failure.kind is Kind.GAS_REFUSED and gas is not None:
            return await _gas_left(endpoint, message, rest, None)
        if failure.kind is Kind.REVERTED and len(failure.data) == 32:
            return failure.data, gas
        raise
    try:
        return bytes.fromhex(msgspec.json.decode(result, type=str).removeprefix("0x")), gas
    except (msgspec.MsgspecError, ValueError) as error:
        raise endpoint.malformed("eth_call", result) from error


def _learn_gas(learned: Learned, answer: bytes, spent: int, asked: int | None) -> None:
    had = int.from_bytes(answer, "big") + spent
    learned.gas_cap = had if asked is None else min(had, asked)


async def _plain(endpoint: Endpoint, pin: object) -> RpcFailure | None:
    """Ask for some state. Raises RpcFailure where asking in another way would not help."""
    try:
        await endpoint.text("eth_getBalance", [NOBODY, pin])
    except RpcFailure as failure:
        if failure.kind in _FINAL_ANSWERS or failure.kind is Kind.UNAUTHORIZED:
            raise
        return failure
    return None


async def _need_state(endpoint: Endpoint, pin: object, block: Block) -> None:
    failure = await _plain(endpoint, pin)
    if failure is None:
        return
    if failure.kind is not Kind.BLOCK_UNKNOWN:
        raise failure
    raise BlockUnavailable(
        f"{failure}; the node has block {block.number} but not its state: use an archive node or a newer block"
    ) from failure
