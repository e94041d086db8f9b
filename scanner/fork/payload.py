"""What runs on a fork: transactions and waits, in order. Pure; ``files`` reads them from files."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from scanner.errors import ConfigError
from scanner.units import ADDRESS
from scanner.views import eip55

__all__ = ["Payload", "Step", "Transaction", "Wait", "address", "amount", "calldata", "given_steps", "wait"]

_SECONDS: Final = {"s": 1, "m": 60, "h": 3600, "d": 86_400}
_LONGEST: Final = 10 * 366 * 86_400
_SHOWN: Final = 10  # characters of calldata: the selector


@dataclass(frozen=True, slots=True)
class Transaction:
    """A transaction that its sender need not sign. ``to`` is None for the creation of a contract."""

    sender: str  # 0x, lower case, as ``to``
    to: str | None
    data: bytes = b""
    value: int = 0  # wei
    name: str = "transaction"  # where it was given, for messages

    def __str__(self) -> str:
        calldata = "0x" + self.data.hex()
        shown = calldata if len(calldata) <= _SHOWN else f"{calldata[:_SHOWN]}…"
        value = f", {self.value} wei" if self.value else ""
        what = (
            f"creates a contract ({len(self.data):,} bytes)"
            if self.to is None
            else f"calls {eip55(self.to)} with {shown}"
        )
        return f"{eip55(self.sender)} {what}{value}"


@dataclass(frozen=True, slots=True)
class Wait:
    """Time that passes before what comes next."""

    seconds: int

    def __str__(self) -> str:
        unit, size = max(
            ((unit, size) for unit, size in _SECONDS.items() if self.seconds % size == 0), key=lambda one: one[1]
        )
        return f"{self.seconds // size:,}{unit} pass"


Step = Transaction | Wait


@dataclass(frozen=True)
class Payload:
    """Steps in order; ``chain_id`` is that of the chain which they were made for, where that is known."""

    steps: tuple[Step, ...] = ()
    chain_id: int | None = None

    def __bool__(self) -> bool:
        return bool(self.steps)


def given_steps(impersonate: Sequence[str], tx: Sequence[str]) -> list[Step]:
    """Read ``--tx`` in order, each from its sender; ``files.parse_payload`` says more. Raises ConfigError."""
    senders = [address(sender, "--impersonate") for sender in impersonate]
    count = sum(not text.startswith("+") for text in tx)
    if count and not senders:
        raise ConfigError("--tx needs a sender: give --impersonate 0xFROM, such as the executor of the proposal")
    if senders and not count:
        raise ConfigError("--impersonate names a sender of nothing: give --tx TO:DATA")
    if len(senders) not in (0, 1, count):
        raise ConfigError(f"--impersonate is given {len(senders)} times and --tx {count} times: give one, or one each")
    order = iter(senders * count if len(senders) == 1 else senders)
    steps: list[Step] = []
    for number, text in enumerate(tx, 1):
        name = f"--tx {number} of {len(tx)}" if len(tx) > 1 else "--tx"
        steps.append(Wait(wait(text, name)) if text.startswith("+") else _transaction(next(order), text, name))
    return steps


def _transaction(sender: str, text: str, name: str) -> Transaction:
    to, *rest = text.split(":")
    if not 1 <= len(rest) <= 2:
        raise ConfigError(f"{name}: write TO:DATA or TO:DATA:WEI, such as 0xPOOL…:0x1234abcd, or +2d to let time pass")
    value = amount(rest[1], name) if len(rest) == 2 else 0
    return Transaction(sender, address(to, name), calldata(rest[0], name), value, name)


def address(text: object, name: str) -> str:
    """Read an address, lower case; ``name`` says in messages where it stands. Raises ConfigError."""
    if not isinstance(text, str) or not ADDRESS.fullmatch(text.strip()):
        raise ConfigError(f"{name}: {_quoted(text)} is not an address: 0x and 40 hex digits")
    return text.strip().lower()


def calldata(text: object, name: str) -> bytes:
    """Read calldata: hex digits after 0x, two a byte; nothing for none. Raises ConfigError."""
    written = text.strip().removeprefix("0x") if isinstance(text, str) else None
    if written is None or not re.fullmatch(r"([0-9a-fA-F]{2})*", written):
        raise ConfigError(f"{name}: {_quoted(text)} is no calldata: 0x and an even number of hex digits")
    return bytes.fromhex(written)


def amount(value: object, name: str) -> int:
    """Read wei: a number, in decimal or hex. Raises ConfigError."""
    if isinstance(value, str) and re.fullmatch(r"[0-9]{1,78}|0x[0-9a-fA-F]{1,64}", value.strip()):
        value = int(value.strip(), 0 if value.strip().startswith("0x") else 10)
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value < 2**256:
        raise ConfigError(f"{name}: {_quoted(value)} is no value: give wei, such as 1000000000000000000 for one ether")
    return value


def wait(text: object, name: str) -> int:
    """Read ``+12s``, ``+5m``, ``+1h`` or ``+2d`` as seconds. Raises ConfigError."""
    written = re.fullmatch(r"\+([0-9]{1,9})([smhd])", text.strip()) if isinstance(text, str) else None
    seconds = int(written[1]) * _SECONDS[written[2]] if written else 0
    if not 0 < seconds <= _LONGEST:
        raise ConfigError(
            f"{name}: {_quoted(text)} is no time to let pass: give +12s, +5m, +1h or +2d, ten years at most"
        )
    return seconds


def _quoted(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}…"
