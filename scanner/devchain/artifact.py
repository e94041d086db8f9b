"""Compiled contracts: bytecode with holes where the addresses of libraries go."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from scanner.errors import DevchainError

__all__ = ["Artifact", "from_compiler", "from_file"]


@dataclass(frozen=True, slots=True)
class Artifact:
    """One contract as the compiler left it."""

    name: str
    code: str  # hex of the creation code without 0x; holes are the compiler's placeholders
    holes: Mapping[str, tuple[int, ...]]  # library name to byte offsets of its 20-byte holes
    runtime: str = ""  # hex of the deployed code, for code overrides; has holes too

    def linked(self, libraries: Mapping[str, str] | None = None) -> bytes:
        """Fill the holes with ``libraries`` (name to address) and give the creation code."""
        code = self.code
        for library, offsets in self.holes.items():
            address = (libraries or {}).get(library)
            if address is None:
                raise DevchainError(f"{self.name} needs the library {library} and was given none")
            for offset in offsets:
                code = code[: offset * 2] + address.removeprefix("0x") + code[offset * 2 + 40 :]
        return bytes.fromhex(code)


def _holes(references: Mapping[str, Mapping[str, Sequence[Mapping[str, int]]]]) -> dict[str, tuple[int, ...]]:
    return {
        library: tuple(place["start"] for place in places)
        for unit in references.values()
        for library, places in unit.items()
    }


def from_file(path: Path) -> Artifact:
    """Read a hardhat artifact."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise DevchainError(f"no contract artifact {path.name} in the installed packages") from error
    return Artifact(
        name=content["contractName"],
        code=content["bytecode"].removeprefix("0x"),
        holes=_holes(content["linkReferences"]),
        runtime=content["deployedBytecode"].removeprefix("0x"),
    )


def from_compiler(contracts: Mapping[str, Mapping[str, Any]], wanted: Sequence[str]) -> dict[str, Artifact]:
    """Pick the wanted ``unit:Contract`` out of a compiler's answer, keyed by the contract's bare name."""
    found = {}
    for full in wanted:
        unit, _, name = full.partition(":")
        try:
            evm = contracts[unit][name]["evm"]
        except KeyError as error:
            raise DevchainError(f"the compiler gave no contract {full}") from error
        holes = _holes(evm["bytecode"]["linkReferences"])
        found[name] = Artifact(name, evm["bytecode"]["object"], holes, evm["deployedBytecode"]["object"])
    return found
