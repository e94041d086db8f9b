"""Endpoints that answer promptly, in the right shape, and wrongly."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from tests.chaos.proxy import Asked, Fault, Json, Site

__all__ = ["DroppedLogs", "FalseBytes", "FalseState", "OldState"]


@dataclass(frozen=True)
class FalseState(Fault):
    """Every eth_call sees these storage slots changed: whatever is asked and however, the lie is the same.

    Proofs, headers and logs stay honest. ``slots``: (address, slot, value) as hex.
    """

    label: str
    slots: tuple[tuple[str, str, str], ...] = ()

    @property
    def name(self) -> str:
        return self.label

    def before(self, asked: Asked, site: Site) -> None:
        if asked.method != "eth_call" or asked.answer is not None:
            return
        message, block, *rest = asked.params
        overrides: dict[str, Json] = {address: dict(entry) for address, entry in (rest[0] if rest else {}).items()}
        known = {address.lower(): address for address in overrides}
        for address, slot, value in self.slots:
            entry = overrides.setdefault(known.get(address, address), {})
            entry["stateDiff"] = {**entry.get("stateDiff", {}), slot: value}
        asked.ask_instead(message, block, overrides, *rest[1:])
        site.note(self)


@dataclass(frozen=True)
class FalseBytes(Fault):
    """One word of each long answer of eth_call is another: of lenses, of aggregated calls.

    The same question gets the same lie.
    """

    share: float = 1.0

    @property
    def name(self) -> str:
        return "changed answers"

    def after(self, asked: Asked, site: Site) -> None:
        found = (asked.answer or {}).get("result")
        if asked.method != "eth_call" or not isinstance(found, str) or len(found) < 2 + 64 * 4 or len(found) % 64 != 2:
            return
        draw = int(asked.key[:8], 16)
        if (draw % 1000) / 1000 >= self.share:
            return
        words = (len(found) - 2) // 64
        # the last byte of a word that is not zero, neither first nor last: a balance, in most answers
        for turn in range(words - 2):
            at = 2 + 64 * (1 + (draw + turn) % (words - 2))
            low = found[at + 62 : at + 64]
            if low != "00":
                changed = f"{int(low, 16) ^ 1:02x}"
                asked.answer = {**(asked.answer or {}), "result": found[: at + 62] + changed + found[at + 64 :]}
                site.note(self)
                return


@dataclass(frozen=True)
class DroppedLogs(Fault):
    """Some logs are left out: those of one borrower, or a share of all by their place."""

    borrower: str | None = None
    share: float = 0.2

    @property
    def name(self) -> str:
        return "dropped logs"

    def after(self, asked: Asked, site: Site) -> None:
        found = (asked.answer or {}).get("result")
        if asked.method != "eth_getLogs" or not isinstance(found, list):
            return
        kept = [log for log in found if not self._drops(log)]
        if len(kept) < len(found):
            asked.answer = {**(asked.answer or {}), "result": kept}
            site.note(self)

    def _drops(self, log: Mapping[str, Any]) -> bool:
        if self.borrower is not None:
            return self.borrower[2:] in "".join(log["topics"]) + log["data"]
        place = int(log["blockNumber"], 16) * 1_000 + int(log["logIndex"], 16)
        return (place * 2_654_435_761 % 2**32) / 2**32 < self.share


@dataclass(frozen=True)
class OldState(Fault):
    """Calls are answered from the state of a block before the one named. Headers, proofs and logs stay honest."""

    blocks: int = 5

    @property
    def name(self) -> str:
        return "old state under a new name"

    def before(self, asked: Asked, site: Site) -> None:
        if asked.method not in ("eth_call", "eth_getBalance", "eth_getCode", "eth_getStorageAt"):
            return
        place = 2 if asked.method == "eth_getStorageAt" else 1
        block = asked.params[place] if len(asked.params) > place else "latest"
        if isinstance(block, dict):
            block = block.get("blockHash")
        if block == "latest":
            number: int | None = site.head()
        else:
            number = site.number_of(block) if isinstance(block, str) and len(block) == 66 else int(str(block), 16)
        if number is None:
            return
        params = list(asked.params)
        params[place : place + 1] = [hex(max(number - self.blocks, 0))]
        asked.ask_instead(*params)
        site.note(self)
