"""Headers of real chains hash to their blocks; proofs of random storage hold, and what was changed in them does not."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from typing import Any

import msgspec
import pytest
import rlp
from hypothesis import given, settings
from hypothesis import strategies as st
from trie.hexary import HexaryTrie

from scanner.chain.interface import Block
from scanner.chain.proofs import ProvenState, keccak, mapping_slot, state_root
from scanner.chain.provable import Answered, SlotsAnswered, Wanted
from scanner.errors import ChainError, ProofMismatch
from scanner.results import ProofReport

BLANK = "0x56e81f171bcc55a6ff8345e692c0f86e5b48e01b996cadc001622fb5e363b421"
NO_UNCLES = "0x1dcc4de8dec75d7aab85b567b6ccd41ad312451b948a7413f0a142fd40d49347"
NO_REQUESTS = "0xe3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
MAINNET_FIRST = {
    "hash": "0x88e96d4537bea4d9c05d12549907b32561d3bf31f45aae734cdc119f13406cb6",
    "parentHash": "0xd4e56740f876aef8c010b86a40d5f56745a118d0906a34e69aec8c0db1cb8fa3",
    "sha3Uncles": NO_UNCLES,
    "miner": "0x05a56e2d52c817161883f50c441c3228cfe54d9f",
    "stateRoot": "0xd67e4d450343046425ae4271474353857ab860dbc0a1dde64b41b5cd3a532bf3",
    "transactionsRoot": BLANK,
    "receiptsRoot": BLANK,
    "logsBloom": "0x" + 512 * "0",
    "difficulty": "0x3ff800000",
    "number": "0x1",
    "gasLimit": "0x1388",
    "gasUsed": "0x0",
    "timestamp": "0x55ba4224",
    "extraData": "0x476574682f76312e302e302f6c696e75782f676f312e342e32",
    "mixHash": "0x969b900de27b6ac6a67742365dd65f55a0526c41fd18e1b16f1a1215c2e66f59",
    "nonce": "0x539bd4979fef1ec4",
    "totalDifficulty": "0x7ff800000",
    "uncles": [],
}
MAINNET_PRAGUE = {
    "hash": "0x6c4c6ea047f0ca4bcb0b0fbbcc2e50061d8dd24ba1ab8a22a6d3583a497c3c82",
    "baseFeePerGas": "0x246edf3",
    "blobGasUsed": "0x40000",
    "difficulty": "0x0",
    "excessBlobGas": "0xa2a720e",
    "extraData": "0x4275696c6465724e6574202842656176657229",
    "gasLimit": "0x3938700",
    "gasUsed": "0x1a4ed69",
    "logsBloom": "0xfffffef97ffdf7dfb75fbbfeffffdfffffbeefffffbbffff6ffffdffbffffaf9df7fff7f7fff6ffbffffdfdffbffff"
    "ff76fffffcbf7ffbfffffeefffffff7df7bffffffdefffff8fdfdf7f7ceffdffff7ff77affe7ef5ff5fbfff57ff7eead"
    "fffffffabfff7bdffbbfbffcfffdefffeffefffffffff5fffefdffdffbffffdfdffbffe7fffffffffdffebf7e37fdfe9"
    "77f7fbdfefdffddffffffffff5f97ffffdfbffdf7fffffbff9feff77afffefffeef77ffff7fff6fffeffd77ffffeefef"
    "db7bffffff7f7ffdfbff7ffffffffefdffdffddffffffefffffffefdfbf7fdffef7fffff3bdf7fff6cefffdfffdf7fff"
    "feffbfbffffdafffdfbf7efdbeffff7fff",
    "miner": "0xdadb0d80178819f2319190d340ce9a924f783711",
    "mixHash": "0xf824cbc0bffaa4862fffafa96c2cce90898dda8b97fc3eaa6a85ac38075991e5",
    "nonce": "0x0000000000000000",
    "number": "0x177d354",
    "parentBeaconBlockRoot": "0xd9b957562f8477151f61eddc77bcad7451ef62eab8f4fe470402073a794e8bba",
    "parentHash": "0x63ce16602b2afe4089fa8e0a2c16be1a2dea1c4d30b65bd717d9398ddd5fba23",
    "receiptsRoot": "0x52fc280ab6b1db61781dae4cc5f81b7ddd484eae78320bdd8161d5b2fe8e7719",
    "requestsHash": NO_REQUESTS,
    "sha3Uncles": NO_UNCLES,
    "size": "0x2a8a9",
    "stateRoot": "0x41ebb402f36d0ce15799e98d1aca83bbb5d4b08d1b6572e73b388e4ece192916",
    "timestamp": "0x69b09d6b",
    "transactions": ["0x0a57a0922b5abd25c79e49bbc1bf478ec923f8c580834fc0fd450ab6ad8b9630"],
    "transactionsRoot": "0x3b889eb9fa0713d2e1d9e90725d45fd04ec4a550a7a390639c243c5f3b2c6215",
    "uncles": [],
    "withdrawals": [],
    "withdrawalsRoot": "0x76abcbef0846a5bd065d0207581dacc3cf8df4ec2ba0a8e4d4fbbe97864b82ee",
}
OPTIMISM_ISTHMUS = {
    "hash": "0x99e5fc28e1416cadb3e29d4b82982e962b3fcf6f0e27ba51010b641a4bd326cd",
    "baseFeePerGas": "0x181",
    "blobGasUsed": "0x208e60",
    "difficulty": "0x0",
    "excessBlobGas": "0x0",
    "extraData": "0x01000000fa000000020000000000000000",
    "gasLimit": "0x2625a00",
    "gasUsed": "0x8588fa",
    "logsBloom": "0x404022800000008000011002420000000000208ad00000001004020040c30b00010810403000000000080090840030"
    "024444808000004002460000004064004100000000004400422020200802083016000000020804081000000000200000"
    "011400004012010000200000410908180000840000080440040101c01000400000000400020800000000250000800804"
    "00000084000c2100000000000002000014020040000840000100000000002000002000000000d0000800030140804000"
    "80001008020020400100001a00000000809880001000820008400000002100641004150c020194100020000000000020"
    "20208a0880000000000400000000000800",
    "miner": "0x4200000000000000000000000000000000000011",
    "mixHash": "0x678947991d0f7b67c46e217401db8da3fe123ab553a352e6cc3041caa9d8aae5",
    "nonce": "0x0000000000000000",
    "number": "0x9083bfd",
    "parentBeaconBlockRoot": "0x449d214c35c68304a2005942bd495624e8d9dfb7e3a548424c57e57f577a98d0",
    "parentHash": "0x3b5c3cc394b13eecae8250726265dab0f4d0341b850578cb650f2f02575d99c3",
    "receiptsRoot": "0xd2675e8ce5eb4040e866821a9190548432a2d0391c8f0db911872bcb47e7c297",
    "requestsHash": NO_REQUESTS,
    "sha3Uncles": NO_UNCLES,
    "size": "0x2827",
    "stateRoot": "0x3226dec3d13bc605c905378c6e2cf10ab0ee33839fb7801e72f6fcf0605ec52c",
    "timestamp": "0x6a0451b3",
    "transactionsRoot": "0xfe575f7cf7696cdb34f68b39ccb0e5716fe8f71dd69c601410d1a58cb9fb51a2",
    "uncles": [],
    "withdrawalsRoot": "0xc6d7dab5fee8bef51be63af837d26e482fd88f993fb64d7238b7f1a4e2ecccc4",
}
HEADERS = {"frontier": MAINNET_FIRST, "prague": MAINNET_PRAGUE, "optimism": OPTIMISM_ISTHMUS}
CONTRACT = "0x" + "ab" * 20
WORDS = st.dictionaries(st.integers(0, 2**256 - 1), st.integers(1, 2**256 - 1), max_size=40)


def block_of(header: Mapping[str, Any], **other: int) -> Block:
    number, timestamp = (int(header[name], 16) for name in ("number", "timestamp"))
    return Block(other.get("number", number), header["hash"], other.get("timestamp", timestamp))


def root_of(header: Mapping[str, Any], block: Block | None = None) -> bytes:
    return state_root(Answered("node.example", msgspec.json.encode(header)), block or block_of(MAINNET_PRAGUE))


@pytest.mark.parametrize("name", HEADERS)
def test_headers_of_real_chains_hash_to_their_blocks(name: str) -> None:
    header = HEADERS[name]
    assert "0x" + root_of(header, block_of(header)).hex() == header["stateRoot"]


@pytest.mark.parametrize("field", [name for name in MAINNET_PRAGUE if len(str(MAINNET_PRAGUE[name])) > 4])
def test_a_change_to_any_field_of_the_header_is_seen(field: str) -> None:
    value = MAINNET_PRAGUE[field]
    if field in ("hash", "size", "transactions"):
        assert root_of({**MAINNET_PRAGUE, field: "0x00"}), "the hash that counts is the one that was pinned"
        return
    changed = {**MAINNET_PRAGUE, field: f"{value[:-1]}{'1' if value[-1] != '1' else '2'}"}
    with pytest.raises(ProofMismatch, match=r"node\.example.*does not hash to 0x6c4c6ea0"):
        root_of(changed)
    with pytest.raises(ProofMismatch):
        root_of({name: value for name, value in MAINNET_PRAGUE.items() if name != field})


def test_a_field_that_is_not_known_is_named() -> None:
    later = {**MAINNET_PRAGUE, "hash": "0x" + "77" * 32, "inclusionRoot": "0x" + "12" * 32}
    with pytest.raises(ChainError, match="inclusionRoot") as raised:
        root_of(later, block_of(later))
    assert not isinstance(raised.value, ProofMismatch)
    told_besides = {**MAINNET_PRAGUE, "milliTimestamp": "0x19bcae69012"}
    assert root_of(told_besides), "a field that is not in the header does not matter"


@pytest.mark.parametrize("body", [b"null", b"[]", b"{}", b'"0x"', b"<html>", b'{"stateRoot": 7}'])
def test_what_is_no_header_proves_nothing(body: bytes) -> None:
    with pytest.raises(ProofMismatch, match="no header that can be read"):
        state_root(Answered("node.example", body), block_of(MAINNET_PRAGUE))


@pytest.mark.parametrize("number", ["-0x5", "0x_5", "0x" + "1" * 65, ""])
def test_a_header_with_a_number_that_is_none_proves_nothing(number: str) -> None:
    with pytest.raises(ProofMismatch, match="no header that can be read"):
        root_of({**MAINNET_PRAGUE, "gasUsed": number})


@pytest.mark.parametrize("other", [{"number": 5}, {"timestamp": 5}])
def test_a_block_said_to_be_another_is_seen(other: dict[str, int]) -> None:
    with pytest.raises(ProofMismatch, match="it was read as number"):
        root_of(MAINNET_PRAGUE, block_of(MAINNET_PRAGUE, **other))


def test_the_slot_of_a_mapping() -> None:
    # the slot of a balance in a token whose mapping lies at slot 0, known from Solidity's documentation of layouts
    assert mapping_slot(0, 0) == int("ad3228b676f7d3cd4284a5443f17f1962b36e491b30a40b2405849e597ba5fb5", 16)
    assert mapping_slot("0x" + "00" * 20, 0) == mapping_slot(0, 0)


class Chain:
    """A block with one contract, as an honest node would serve it; ``change`` makes it another."""

    hosts = ("node.example",)

    def __init__(self, words: Mapping[int, int]) -> None:
        self.storage, self.state = HexaryTrie({}), HexaryTrie({})
        for slot, word in words.items():
            raw = word.to_bytes((word.bit_length() + 7) // 8, "big")
            self.storage.set(keccak(slot.to_bytes(32, "big")), rlp.encode(raw))
        for other in range(50):
            self.state.set(keccak(bytes([other]) * 20), rlp.encode([b"\x01", b"", self.storage.root_hash, bytes(32)]))
        leaf = rlp.encode([b"\x01", b"", self.storage.root_hash, keccak(b"")])
        self.state.set(keccak(bytes.fromhex(CONTRACT[2:])), leaf)
        header = {**MAINNET_PRAGUE, "stateRoot": "0x" + self.state.root_hash.hex()}
        fields = FIELDS_OF_PRAGUE
        encoded = rlp.encode([raw_field(name, header[name]) for name in fields])
        header["hash"] = "0x" + keccak(encoded).hex()
        self._header = header
        self.block = block_of(header)
        self.change = lambda nodes: nodes
        self.asked: list[str] = []

    def header(self) -> Answered:
        return Answered("node.example", msgspec.json.encode(self._header))

    def proofs(self, wanted: Wanted) -> Iterator[SlotsAnswered]:
        for address, slots in wanted.items():
            self.asked.append(address)
            body = {
                "accountProof": self._nodes(self.state, bytes.fromhex(address[2:])),
                "storageHash": "0x" + "00" * 32,
                "storageProof": [
                    {"key": hex(slot), "value": "0xbad", "proof": self._nodes(self.storage, slot.to_bytes(32, "big"))}
                    for slot in slots
                ],
            }
            yield SlotsAnswered("node.example", msgspec.json.encode(body), address, tuple(slots))

    def _nodes(self, trie: HexaryTrie, key: bytes) -> list[str]:
        return self.change(["0x" + rlp.encode(node).hex() for node in trie.get_proof(keccak(key))])


QUANTITIES = (
    "difficulty",
    "number",
    "gasLimit",
    "gasUsed",
    "timestamp",
    "baseFeePerGas",
    "blobGasUsed",
    "excessBlobGas",
)
FIELDS_OF_PRAGUE = (
    *("parentHash", "sha3Uncles", "miner", "stateRoot", "transactionsRoot", "receiptsRoot", "logsBloom"),
    *("difficulty", "number", "gasLimit", "gasUsed", "timestamp", "extraData", "mixHash", "nonce"),
    *("baseFeePerGas", "withdrawalsRoot", "blobGasUsed", "excessBlobGas", "parentBeaconBlockRoot", "requestsHash"),
)


def raw_field(name: str, text: str) -> bytes:
    if name not in QUANTITIES:
        return bytes.fromhex(text[2:])
    return int(text, 16).to_bytes((int(text, 16).bit_length() + 7) // 8, "big")


@settings(max_examples=60, deadline=None)
@given(WORDS, st.lists(st.integers(0, 2**256 - 1), max_size=8))
def test_words_are_proven_and_so_is_their_absence(words: dict[int, int], absent: list[int]) -> None:
    state = ProvenState(Chain(words))
    slots = [*words, *absent]
    assert state.words({CONTRACT: slots})[CONTRACT] == {slot: words.get(slot, 0) for slot in slots}


def test_an_account_that_is_not_there_has_no_words() -> None:
    state = ProvenState(Chain({1: 2}))
    nobody = "0x" + "cd" * 20
    assert state.words({nobody: [1, 2]}) == {nobody: {1: 0, 2: 0}}


@cache
def served() -> Chain:
    return Chain(MANY)


MANY = {slot: slot * 10**30 + 1 for slot in range(30)}


def lose(nodes: list[str]) -> list[str]:
    return nodes[:-1]


def flip(nodes: list[str]) -> list[str]:
    return [*nodes[:-1], nodes[-1][:-1] + ("0" if nodes[-1][-1] != "0" else "1")]


def forge_leaf(nodes: list[str]) -> list[str]:
    """Give another value at the end of the path, well formed."""
    leaf = rlp.decode(bytes.fromhex(nodes[-1][2:]))
    return [*nodes[:-1], "0x" + rlp.encode([*leaf[:-1], rlp.encode(b"\x07")]).hex()]


def forge_root(nodes: list[str]) -> list[str]:
    return [flip(nodes[:1])[0], *nodes[1:]]


@pytest.mark.parametrize("change", [lose, flip, forge_leaf, forge_root, lambda nodes: [], lambda nodes: ["0x"] * 3])
def test_a_forged_proof_proves_nothing(change: Any) -> None:
    chain = Chain(MANY)
    assert ProvenState(chain).words({CONTRACT: [3]})[CONTRACT] == {3: MANY[3]}
    chain.change = change
    state = ProvenState(chain)
    with pytest.raises(
        ProofMismatch, match=rf"node\.example: eth_getProof of {CONTRACT}: .*forged or of another block"
    ):
        state.words({CONTRACT: [3]})


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_no_change_to_a_proof_gives_another_word(data: st.DataObject) -> None:
    chain = served()
    slot = data.draw(st.sampled_from([*MANY, 1000, 1001]))

    def tamper(nodes: Sequence[str]) -> list[str]:
        tampered = [bytearray.fromhex(node[2:]) for node in nodes]
        node = data.draw(st.sampled_from(tampered))
        node[data.draw(st.integers(0, len(node) - 1))] ^= data.draw(st.integers(1, 255))
        return ["0x" + bytes(node).hex() for node in tampered]

    chain.change = tamper
    with pytest.raises(ProofMismatch):
        ProvenState(chain).words({CONTRACT: [slot]})


@pytest.mark.parametrize("body", [b"null", b"{}", b'{"accountProof": ["nothing"], "storageProof": []}', b"<html>"])
def test_what_is_no_proof_proves_nothing(body: bytes) -> None:
    chain = Chain(MANY)
    state = ProvenState(chain)
    chain.proofs = lambda wanted: iter([SlotsAnswered("node.example", body, CONTRACT, (3,))])  # type: ignore[method-assign]
    with pytest.raises(ProofMismatch, match="the answer is no proof"):
        state.words({CONTRACT: [3]})


def test_an_account_is_proven_once_and_a_slot_that_nobody_proved_is_noticed() -> None:
    chain = Chain(MANY)
    state = ProvenState(chain)
    state.words({CONTRACT: [3]})
    chain.change = lambda nodes: (
        nodes if nodes[0] != "0x" + rlp.encode(chain.state.get_node(chain.state.root_hash)).hex() else []
    )
    assert state.words({CONTRACT: [4, 4]})[CONTRACT] == {4: MANY[4]}
    chain.proofs = lambda wanted: iter([])  # type: ignore[method-assign]
    with pytest.raises(AssertionError):
        state.words({CONTRACT: [5]})


def test_the_detection_probability_is_stated() -> None:
    assert "all 40 accounts are proven" in ProofReport("all", 40, 40, 100).detection
    sample = ProofReport("sample", 50, 2000, 100)
    assert sample.seen(1) == pytest.approx(0.025)
    assert sample.seen(100) == pytest.approx(1 - 0.975**100)
    assert "50 of 2,000 accounts" in sample.detection
    assert "2.5%, 22.4%, 92.0%, 100.0%" in sample.detection


def test_the_trie_library_is_loaded_only_to_prove() -> None:
    loaded = (
        "import sys, scanner.pipeline, scanner.protocols.registry; print({'trie', 'rlp', 'web3'} & sys.modules.keys())"
    )
    assert (
        subprocess.run([sys.executable, "-c", loaded], capture_output=True, text=True, check=True).stdout == "set()\n"
    )
