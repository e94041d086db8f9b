"""ABI fragments from ``abis/``: the calldata and answers of the functions that the package uses."""

from __future__ import annotations

import json
from collections.abc import Hashable, Mapping
from dataclasses import dataclass
from functools import cache, lru_cache
from pathlib import Path
from typing import Any, Final

from eth_abi.abi import decode, encode
from eth_abi.exceptions import DecodingError
from eth_utils.crypto import keccak

from scanner.chain.interface import Call
from scanner.errors import DecodeError

__all__ = ["Contract", "Function", "load_contract"]

_PACKAGE: Final = Path(__file__).parents[1]
_FOLDERS: Final = (_PACKAGE / "_abis", _PACKAGE.parent / "abis")
"""In a wheel the fragments lie inside the package; an editable install leaves them at the repository's root."""

# A market is read by the same arguments to many functions, and most e-mode categories answer the same nothing.
_encoded = lru_cache(maxsize=1024)(encode)
_decoded = lru_cache(maxsize=1024)(decode)


@dataclass(frozen=True, slots=True)
class Function:
    """One function of an ABI."""

    name: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    selector: bytes

    def encode(self, *arguments: Hashable) -> bytes:
        """Give the calldata."""
        return self.selector + _encoded(self.inputs, arguments) if self.inputs else self.selector

    def decode(self, answer: bytes) -> tuple[Any, ...]:
        """Read an answer; raises DecodeError when it has another shape."""
        try:
            return _decoded(self.outputs, answer)
        except (DecodingError, UnicodeDecodeError, OverflowError) as error:
            raise DecodeError(
                f"answer of {self.name}() is not {', '.join(self.outputs)}: {len(answer)} bytes"
            ) from error


@dataclass(frozen=True, slots=True)
class Contract:
    """The fragments of one contract."""

    name: str
    functions: Mapping[str, Function]
    topics: Mapping[str, str]  # event name to topic 0

    def call(self, to: str, name: str, *arguments: Hashable) -> Call:
        """Build a call of a function at an address."""
        return Call(to, self.functions[name].encode(*arguments))


@cache
def load_contract(protocol: str, name: str) -> Contract:
    """Read ``abis/<protocol>/<name>.json``; raises FileNotFoundError when neither folder has it."""
    for folder in _FOLDERS:
        path = folder / protocol / f"{name}.json"
        if path.is_file():
            return _contract(name, json.loads(path.read_text(encoding="utf-8")))
    raise FileNotFoundError(f"abis/{protocol}/{name}.json is neither in the package nor beside it")


def _contract(name: str, entries: list[dict[str, Any]]) -> Contract:
    functions, topics = {}, {}
    for entry in entries:
        inputs = tuple(_type(p) for p in entry["inputs"])
        digest = keccak(text=f"{entry['name']}({','.join(inputs)})")
        if entry["type"] == "function":
            outputs = tuple(_type(p) for p in entry["outputs"])
            functions[entry["name"]] = Function(entry["name"], inputs, outputs, digest[:4])
        else:
            topics[entry["name"]] = "0x" + digest.hex()
    return Contract(name, functions, topics)


def _type(parameter: dict[str, Any]) -> str:
    """Give a parameter's canonical type; a struct is its components in parentheses."""
    kind: str = parameter["type"]
    if not kind.startswith("tuple"):
        return kind
    return f"({','.join(_type(c) for c in parameter['components'])}){kind.removeprefix('tuple')}"
