"""Tell a node that lags from a block that was undone."""

from __future__ import annotations

import asyncio

from scanner.chain.blocks import block_by_number, head_number
from scanner.chain.endpoint import Endpoint
from scanner.chain.interface import Block
from scanner.chain.options import Options
from scanner.errors import BlockUnavailable, BlockUndone

__all__ = ["await_block"]


async def await_block(endpoint: Endpoint, block: Block, options: Options, *, reading: bool) -> None:
    """Return when the endpoint has this very block, which it is given ``options.lag_patience`` seconds for.

    reading: it had the block before. Raises BlockUndone where another block has its number, at once, or where the
    endpoint fell behind; BlockUnavailable where it has not come as far yet; RpcFailure.
    """
    loop = asyncio.get_running_loop()
    deadline = loop.time() + options.lag_patience
    while True:
        now = await block_by_number(endpoint, block.number)
        if now is not None:
            if now.hash != block.hash:
                raise _other(endpoint, block, now, reading=reading)
            return
        if loop.time() >= deadline:
            break
        await asyncio.sleep(options.lag_pause)
    head = await head_number(endpoint)
    behind = block.number - head
    told = (
        f"lags {behind:,} block{'s' if behind > 1 else ''} behind block {block.number}: its head is {head}"
        if head < block.number
        else f"does not know block {block.number}, although its head is {head}"
    )
    advice = "wait until it has caught up, or use another endpoint"
    raise (BlockUndone if reading else BlockUnavailable)(f"{endpoint.host} {told}; {advice}")


def _other(endpoint: Endpoint, block: Block, now: Block, *, reading: bool) -> BlockUndone:
    if reading:
        return BlockUndone(
            f"block {block.number} ({block.hash}) was reorganised away during the scan; run it again, "
            "or use --block finalized"
        )
    return BlockUndone(
        f"{endpoint.host}: block {block.hash} is not the canonical block {block.number}, which is {now.hash} there; "
        "it was reorganised away, so name another one"
    )
