"""What is asked of an endpoint before it is read: its chain, the block, what is final. One request as a rule."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import msgspec

from scanner.chain.blocks import (
    behind_head,
    block_by_number,
    block_parameter,
    block_question,
    quantity,
    read_block,
    unknown_block,
)
from scanner.chain.endpoint import Endpoint
from scanner.chain.failures import RpcFailure
from scanner.chain.interface import Block
from scanner.chain.lag import await_block
from scanner.chain.options import Options
from scanner.errors import BlockUnavailable, WrongChainError

__all__ = ["Opening", "read_opening"]

Answer = msgspec.Raw | RpcFailure

_MOST_ID: Final = 2**63


@dataclass(frozen=True, slots=True)
class Opening:
    """The block that is read, and what came with it.

    by_number: the endpoint named the block under its number, so it is the canonical one. final: number of the newest
    final block, None where the endpoint names none. hashes: canonical blocks by number. head: the newest block.
    """

    chain_id: int
    genesis_hash: str
    block: Block
    by_number: bool
    final: int | None = None
    hashes: dict[int, str] = field(default_factory=dict)
    head: int | None = None


async def read_opening(
    endpoint: Endpoint,
    wanted: int | str | Block,
    expected_chain_id: int | None,
    also: Sequence[int],
    options: Options,
    expected_genesis: str | None = None,
) -> Opening:
    """Find the block that is wanted. ``also``: numbers of blocks whose hashes will be asked for.

    Raises ConfigError for a block that cannot be read, WrongChainError, BlockUnavailable, RpcFailure.
    """
    place = wanted.number if isinstance(wanted, Block) else block_parameter(wanted)
    from_head = isinstance(place, int) and place < 0
    questions: list[tuple[str, list[Any]]] = [
        ("eth_chainId", []),
        block_question(0),
        ("eth_blockNumber", []),
        block_question("finalized"),
        *(block_question(number) for number in also),
    ]
    if not from_head:
        questions.append(block_question(place))
    answers = await endpoint.batch(questions)
    chain_id = _quantity(endpoint, "eth_chainId", answers[0])
    if expected_chain_id is not None and chain_id != expected_chain_id:
        raise WrongChainError(
            f"{endpoint.host} serves chain {chain_id}, not {expected_chain_id}; "
            "use an RPC URL of that chain, or name the chain that this one serves"
        )
    genesis = _block(endpoint, questions[1][0], answers[1])
    if genesis is None:
        raise BlockUnavailable(f"{endpoint.host}: the node does not know block 0, so its chain cannot be told")
    if expected_genesis is not None and genesis.hash != expected_genesis:
        raise WrongChainError(
            f"{endpoint.host} serves another chain with the id {chain_id}: its block 0 is {genesis.hash}, not "
            f"{expected_genesis}"
        )
    if isinstance(place, int) and from_head:
        place = behind_head(endpoint, str(wanted), place, _quantity(endpoint, "eth_blockNumber", answers[2]))
        found = await block_by_number(endpoint, place)
    else:
        found = _block(endpoint, questions[-1][0], answers[-1])
    if isinstance(wanted, Block):
        if found is None or found.hash != wanted.hash:
            await await_block(endpoint, wanted, options, reading=False)
        found = wanted
    elif found is None:
        raise await unknown_block(endpoint, wanted, place)
    elif place not in (found.number, found.hash) and (isinstance(place, int) or place.startswith("0x")):
        raise BlockUnavailable(
            f"{endpoint.host}: asked for block {wanted}, the node gave block {found.number} ({found.hash}); "
            "use another endpoint"
        )
    hashes = {block.number: block.hash for block in _blocks(endpoint, questions[3:], answers[3:])}
    final = _blocks(endpoint, questions[3:4], answers[3:4])
    return Opening(
        chain_id,
        genesis.hash,
        found,
        by_number=isinstance(wanted, Block) or not (isinstance(place, str) and place.startswith("0x")),
        final=final[0].number if final and final[0].number > 0 else None,
        hashes={**hashes, 0: genesis.hash},
        head=None if isinstance(answers[2], RpcFailure) else _quantity(endpoint, "eth_blockNumber", answers[2]),
    )


def _blocks(endpoint: Endpoint, questions: Sequence[tuple[str, list[Any]]], answers: Sequence[Answer]) -> list[Block]:
    """Read what can be done without: blocks that could not be had are left out."""
    found = []
    for (method, _), answer in zip(questions, answers, strict=True):
        try:
            block = _block(endpoint, method, answer)
        except RpcFailure:
            continue
        if block is not None:
            found.append(block)
    return found


def _block(endpoint: Endpoint, method: str, answer: Answer) -> Block | None:
    if isinstance(answer, RpcFailure):
        raise answer
    return read_block(endpoint, method, answer)


def _quantity(endpoint: Endpoint, method: str, answer: Answer) -> int:
    if isinstance(answer, RpcFailure):
        raise answer
    try:
        text = msgspec.json.decode(answer, type=str)
        if method != "eth_chainId":
            return quantity(text)
        if not (number := quantity(text, _MOST_ID)):
            raise ValueError("a chain id is above zero")
        return number
    except (msgspec.MsgspecError, ValueError):
        raise endpoint.malformed(method, answer) from None  # int() quotes what it cannot read
