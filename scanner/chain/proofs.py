"""Storage that is proven: block hash → header → state root → account → storage root → slot.

Whatever an endpoint says is worth nothing here until it hashes to the block that the reader is pinned to.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

import msgspec
import rlp
from rlp.exceptions import RLPException
from sha3 import keccak_256
from trie.exceptions import InvalidNode, MissingTrieNode, ValidationError
from trie.hexary import HexaryTrie

from scanner.chain.interface import Block
from scanner.chain.provable import Answered, Provable, SlotsAnswered, Wanted
from scanner.errors import ChainError, ProofMismatch

__all__ = ["Comparison", "ProvenState", "keccak", "mapping_slot", "read_account", "read_slots", "state_root"]

_HASHES: Final = ("parentHash", "sha3Uncles", "miner", "stateRoot", "transactionsRoot", "receiptsRoot", "logsBloom")
_QUANTITIES: Final = frozenset(
    {
        "difficulty",
        "number",
        "gasLimit",
        "gasUsed",
        "timestamp",
        "baseFeePerGas",
        "blobGasUsed",
        "excessBlobGas",
        "slotNumber",
    }
)
_FRONTIER: Final = (
    *_HASHES,
    "difficulty",
    "number",
    "gasLimit",
    "gasUsed",
    "timestamp",
    "extraData",
    "mixHash",
    "nonce",
)
_LATER: Final = (  # in the order in which forks appended them
    "baseFeePerGas",
    "withdrawalsRoot",
    "blobGasUsed",
    "excessBlobGas",
    "parentBeaconBlockRoot",
    "requestsHash",
    "blockAccessListHash",
    "slotNumber",
)
_NUMBER: Final = re.compile(r"0x[0-9a-fA-F]{1,64}")
_SHOWN: Final = 3  # differences that an error lists
_BESIDE: Final = frozenset(  # what is told with a header and is not in it
    {"hash", "size", "totalDifficulty", "transactions", "uncles", "withdrawals", "blockAccessList"}
)


class _SlotProof(msgspec.Struct):
    proof: list[str]


class _Proof(msgspec.Struct):
    account_proof: list[str] = msgspec.field(name="accountProof")
    storage_proof: list[_SlotProof] = msgspec.field(name="storageProof")


_proof = msgspec.json.Decoder(_Proof)


def keccak(data: bytes) -> bytes:
    """Hash as the chain does."""
    digest: bytes = keccak_256(data).digest()
    return digest


def mapping_slot(key: int | str, base: int) -> int:
    """Give the slot where a Solidity mapping at slot ``base`` holds a key, a number or an address."""
    number = key if isinstance(key, int) else int(key, 16)
    return int.from_bytes(keccak(number.to_bytes(32, "big") + base.to_bytes(32, "big")), "big")


class _Trie(HexaryTrie):
    """The library's trie on nodes that are decoded once: proofs share the upper ones."""

    __slots__ = ("_decoded",)

    def __init__(self, nodes: Mapping[bytes, bytes], root: bytes) -> None:
        super().__init__(nodes, root)
        self._decoded: dict[bytes, Any] = {}

    def get_node(self, node_hash: Any) -> Any:
        if not isinstance(node_hash, bytes) or len(node_hash) != 32:
            return super().get_node(node_hash)  # type: ignore[no-untyped-call]
        if node_hash not in self._decoded:
            self._decoded[node_hash] = super().get_node(node_hash)  # type: ignore[no-untyped-call]
        return self._decoded[node_hash]


def state_root(answered: Answered, block: Block) -> bytes:
    """Give the state root of a block from its header, which must hash to the block's hash.

    Raises ProofMismatch where it does not, ChainError for a header with fields that are not known here.
    """
    try:
        given = msgspec.json.decode(answered.result, type=dict[str, msgspec.Raw])
        known = [name for name in (*_FRONTIER, *_LATER) if name in given]
        fields: dict[str, Any] = {name: msgspec.json.decode(given[name], type=str | None) for name in known}
        encoded = rlp.encode(_header(fields))
        root, number, timestamp = (
            bytes.fromhex(fields["stateRoot"][2:]),
            *(int(fields[n], 16) for n in ("number", "timestamp")),
        )
    except (msgspec.MsgspecError, KeyError, TypeError, ValueError) as error:
        raise ProofMismatch(
            f"{answered.host}: it gives no header that can be read for block {block.number} ({block.hash}): nothing can"
            " be proven"
        ) from error
    if "0x" + keccak(encoded).hex() != block.hash:
        unknown = sorted(given.keys() - _BESIDE - {*_FRONTIER, *_LATER})
        if unknown:
            raise ChainError(
                f"{answered.host}: the header of block {block.number} has fields that this version does not know"
                f" ({', '.join(unknown)[:200]}), so it cannot be held against the block's hash: scan without --prove"
            )
        raise ProofMismatch(
            f"{answered.host}: the header that it gives for block {block.number} does not hash to {block.hash}: it is"
            " forged or of another block (or headers of this chain have another form): nothing can be proven"
        )
    if (number, timestamp) != (block.number, block.timestamp):
        raise ProofMismatch(
            f"{answered.host}: block {block.hash} has number {number} and time {timestamp} by its header; it was read"
            f" as number {block.number} and time {block.timestamp}"
        )
    return root


def _header(fields: Mapping[str, Any]) -> list[bytes]:
    names = [*_FRONTIER, *(name for name in _LATER if fields.get(name) is not None)]
    return [_quantity(fields[name]) if name in _QUANTITIES else bytes.fromhex(fields[name][2:]) for name in names]


def _quantity(text: str) -> bytes:
    if not _NUMBER.fullmatch(text):
        raise ValueError("a header has a number that is none")
    number = int(text, 16)
    return number.to_bytes((number.bit_length() + 7) // 8, "big")


class ProvenState:
    """The storage of one block, of which only proven words are given."""

    def __init__(self, reader: Provable) -> None:
        """Prove the state root. Raises ChainError, ProofMismatch."""
        self._reader = reader
        self._root = state_root(reader.header(), reader.block)
        self._storage: dict[str, bytes] = {}
        self.block = reader.block

    def words(self, wanted: Wanted) -> dict[str, dict[int, int]]:
        """Give proven words of contracts by slot; a slot that is proven to be empty is 0.

        Raises ProofMismatch naming the host when a proof does not lead to the state root, ChainError when there are
        no proofs.
        """
        found: dict[str, dict[int, int]] = {address: {} for address in wanted}
        distinct = {address: list(dict.fromkeys(slots)) for address, slots in wanted.items()}
        for answered in self._reader.proofs(distinct):
            found[answered.address].update(self._verified(answered))
        for address, slots in distinct.items():
            if len(found[address]) != len(slots):
                raise AssertionError("slots were left without a proof")
        return found

    def _verified(self, answered: SlotsAnswered) -> dict[int, int]:
        where = f"{answered.host}: eth_getProof of {answered.address}"
        try:
            proof = _proof.decode(answered.result)
            nodes = _hashed([proof.account_proof, *(slot.proof for slot in proof.storage_proof)])
        except (msgspec.MsgspecError, ValueError) as error:
            raise ProofMismatch(f"{where}: the answer is no proof") from error
        try:
            root = self._storage.get(answered.address)
            if root is None:
                root = self._storage[answered.address] = read_account(self._root, answered.address, nodes)
            return read_slots(root, answered.slots, nodes)
        except (
            MissingTrieNode,
            InvalidNode,
            ValidationError,
            RLPException,
            ValueError,
            IndexError,
            TypeError,
        ) as error:
            raise ProofMismatch(
                f"{where}: the proof does not lead to the state root of block {self.block.number} ({self.block.hash}):"
                " it is forged or of another block"
            ) from error


def _hashed(proofs: Iterable[Sequence[str]]) -> dict[bytes, bytes]:
    """Give nodes by their hash; each is hashed once, however many proofs share it."""
    texts = {text for proof in proofs for text in proof}
    nodes = [bytes.fromhex(text[2:]) for text in texts]
    return {keccak(node): node for node in nodes}


def read_account(root: bytes, address: str, nodes: Mapping[bytes, bytes]) -> bytes:
    """Give the storage root of an account under a state root; that of an empty trie where there is no account.

    Raises what the trie library raises when the nodes do not prove it.
    """
    leaf = _Trie(nodes, root).get(keccak(bytes.fromhex(address[2:])))
    if not leaf:
        return HexaryTrie.BLANK_NODE_HASH
    _, _, storage, _ = rlp.decode(leaf)
    if len(storage) != 32:
        raise ValueError("an account has a storage root of 32 bytes")
    return bytes(storage)


def read_slots(root: bytes, slots: Iterable[int], nodes: Mapping[bytes, bytes]) -> dict[int, int]:
    """Give the words of slots under a storage root; 0 where the nodes prove that there is none. Raises likewise."""
    storage = _Trie(nodes, root)
    found = {}
    for slot in slots:
        leaf = storage.get(keccak(slot.to_bytes(32, "big")))
        found[slot] = int.from_bytes(rlp.decode(leaf), "big") if leaf else 0
    return found


class Comparison:
    """Values read beside values proven."""

    def __init__(self, hosts: Sequence[str], block: int) -> None:
        self._hosts = ", ".join(hosts)
        self._block = block
        self._wrong: list[str] = []
        self.values = 0

    def same(self, what: str, whose: object, read: object, proven: object) -> None:
        """Note a value; the texts are put together only where the two differ."""
        self.values += 1
        if read != proven:
            self._wrong.append(f"{what} of {whose}: read {read}, proven {proven}")

    def settle(self) -> None:
        """Raise ProofMismatch when anything noted differs."""
        if not self._wrong:
            return
        more = len(self._wrong) - _SHOWN
        told = "; ".join(self._wrong[:_SHOWN]) + (f"; and {more} more" if more > 0 else "")
        raise ProofMismatch(
            f"{self._hosts}: what was read at block {self._block} is not what its state root proves: {told}"
        )
