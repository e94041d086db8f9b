"""A fork of an endpoint's block on a local anvil: run a payload there, and tell what it left behind."""

from __future__ import annotations

import gzip
import json
import re
import tempfile
import zlib
from pathlib import Path
from typing import Any, Final

from scanner.chain.differences import AccountState
from scanner.chain.interface import Block
from scanner.chain.redact import Redactor
from scanner.config import cache_dir
from scanner.devchain.anvil import Anvil
from scanner.devchain.toolchain import find_anvil
from scanner.errors import BlockUndone, ChainError, DevchainError, PayloadFailed, RpcError, WrongChainError
from scanner.fork.payload import Payload, Transaction, Wait
from scanner.fork.reverts import revert_reason

__all__ = ["ForkNode"]

_GAS: Final = 10**9  # of a block
_GAS_OF_ONE: Final = 5 * 10**8  # of a transaction: what it does counts, not whether it fits into a block
_URL: Final = "LIQBANDS_FORK_URL"
_SETTINGS: Final = f'[rpc_endpoints]\nliqbands = "${{{_URL}}}"\n'
_FLAGS: Final = (
    "--quiet",
    "--accounts=0",
    "--auto-impersonate",
    "--no-mining",
    "--no-request-size-limit",
    "--no-storage-caching",  # a cache goes by chain and block number, and local chains share both
    "--disable-min-priority-fee",
    "--order=fifo",
    "--block-base-fee-per-gas=0",
    "--gas-price=0",
    f"--gas-limit={_GAS}",
    "--fork-url=liqbands",
)


class ForkNode(Anvil):
    """A running anvil that begins after a block of another node. Use it in a ``with`` statement."""

    def __init__(self, url: str, block: Block, chain_id: int, binary: Path | None = None) -> None:
        """Fork the chain behind ``url`` at a block.

        The URL may hold a key: anvil reads it from its environment, not from its command line, and it is taken out of
        every message. Raises DevchainError when anvil does not come up, BlockUndone when the block is another one now.
        """
        self._home = tempfile.TemporaryDirectory(prefix="liqbands-fork-")
        try:
            self._begin(url, block, chain_id, binary or find_anvil(cache_dir()))
        except BaseException:
            self._home.cleanup()
            raise

    def _begin(self, url: str, block: Block, chain_id: int, binary: Path) -> None:
        folder = Path(self._home.name)
        settings = folder / "foundry.toml"
        settings.write_text(_SETTINGS, encoding="ascii")
        self._base = block
        self._time = block.timestamp
        self._launch(
            [str(binary), *_FLAGS, f"--fork-block-number={block.number}"],
            chain_id,
            folder=folder,
            environment={_URL: url, "FOUNDRY_CONFIG": str(settings)},
            shown=Redactor(url),
        )
        try:
            self.rpc("anvil_setBlockTimestampInterval", 0)
            seen = self.rpc("eth_getBlockByNumber", hex(block.number), False)
            if seen is None or seen["hash"] != block.hash:
                raise BlockUndone(f"block {block.number} is not {block.hash} any more where it is forked")
        except BaseException:
            self.stop()
            raise

    def stop(self) -> None:
        """End the process and wait for it. Safe to call twice."""
        super().stop()
        self._home.cleanup()

    def run(self, payload: Payload) -> Block:
        """Execute a payload, a block for each transaction, and give the newest block.

        Blocks have the time of the block that was forked, but for what a payload waits. Raises PayloadFailed for a
        transaction that cannot be sent or reverts, WrongChainError for a payload of another chain, RpcError.
        """
        if payload.chain_id not in (None, self.chain_id):
            raise WrongChainError(f"the payload was made for chain {payload.chain_id}, and {self.chain_id} is forked")
        waited = False
        for step in payload.steps:
            if isinstance(step, Wait):
                self._time += step.seconds
            else:
                self._send(step)
            waited = isinstance(step, Wait)
        if waited or not payload:
            self._mine()
        head = self.rpc("eth_getBlockByNumber", "latest", False)
        return Block(int(head["number"], 16), head["hash"], int(head["timestamp"], 16))

    def accounts(self) -> dict[str, AccountState]:
        """Give all accounts that the fork has looked at, with what it saw or changed. Raises RpcError."""
        dumped = self.rpc("anvil_dumpState")
        try:
            accounts = json.loads(gzip.decompress(bytes.fromhex(dumped.removeprefix("0x"))))["accounts"]
            return {address.lower(): _account(own) for address, own in accounts.items()}
        except (ValueError, KeyError, AttributeError, OSError, EOFError, zlib.error) as error:
            raise DevchainError(f"anvil describes its state in a way that is not known: {error}") from error

    def _mine(self) -> None:
        self.rpc("evm_setNextBlockTimestamp", self._time)
        self.rpc("evm_mine")

    def _send(self, step: Transaction) -> None:
        asked = {
            "from": step.sender,
            "data": "0x" + step.data.hex(),
            "value": hex(step.value),
            "gas": hex(_GAS_OF_ONE),
            "gasPrice": "0x0",
        }
        if step.to is not None:
            asked["to"] = step.to
            if step.data and self.rpc("eth_getCode", step.to, "latest") == "0x":
                raise PayloadFailed(
                    f"{step.name}: {step.to} is no contract on chain {self.chain_id}, and has nothing to call"
                )
        try:
            sent = self.rpc("eth_sendTransaction", asked)
        except ChainError as error:
            raise PayloadFailed(f"{step.name} ({step}) cannot be sent: {error}") from error
        self._mine()
        receipt = self.rpc("eth_getTransactionReceipt", sent)
        if receipt is None:
            raise RpcError(f"{step.name}: anvil did not execute it")
        if int(receipt["status"], 16) != 1:
            raise PayloadFailed(
                f"{step.name} ({step}) reverted: {self._reason(asked, int(receipt['blockNumber'], 16))}"
            )

    def _reason(self, asked: dict[str, str], number: int) -> str:
        """Ask again at the block before, at the same time, what a transaction reverted with."""
        at = [hex(number - 1), {}, {"time": hex(self._time), "number": hex(number)}]
        try:
            self.rpc("eth_call", asked, *at)
        except RpcError as error:
            data = re.search(r"\((0x[0-9a-fA-F]*)\)$", str(error))
            return revert_reason(bytes.fromhex(data[1][2:])) if data else str(error).removeprefix("eth_call: ")
        return "a call at the block before does not; perhaps it ran out of gas"


def _account(own: dict[str, Any]) -> AccountState:
    return AccountState(
        code=bytes.fromhex(own["code"].removeprefix("0x")),
        balance=int(own["balance"], 0) if isinstance(own["balance"], str) else own["balance"],
        slots={int(slot, 16): int(value, 16) for slot, value in own["storage"].items()},
    )
