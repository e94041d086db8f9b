"""Payloads as the command line gives them; files are lists of transactions, or what ``forge script`` broadcast."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import msgspec

from scanner.errors import ConfigError, suggest
from scanner.fork.payload import Payload, Step, Transaction, Wait, address, amount, calldata, given_steps, wait

__all__ = ["parse_payload"]

_KEYS: Final = ("from", "to", "data", "value")
_LARGEST: Final = 50_000_000  # bytes


def parse_payload(
    impersonate: Sequence[str] = (),
    tx: Sequence[str] = (),
    files: Sequence[str | Path] = (),
    time: str | None = None,
) -> Payload:
    """Read a payload as the command line takes it: files first, then ``tx`` in order, then ``time``.

    ``tx``: ``TO:DATA``, ``TO:DATA:WEI``, or ``+2d`` to let time pass there. ``impersonate``: the sender of all of them,
    or one for each. Raises ConfigError.
    """
    parts = [_read(Path(file)) for file in files]
    chains = sorted({part.chain_id for part in parts if part.chain_id is not None})
    if len(chains) > 1:
        raise ConfigError(f"the payload files are of different chains: {', '.join(map(str, chains))}")
    steps = [step for part in parts for step in part.steps]
    steps += given_steps(impersonate, tx)
    if time is not None:
        steps.append(Wait(wait(time, "--fork-time")))
    return Payload(tuple(steps), chains[0] if chains else None)


def _read(path: Path) -> Payload:
    """Read a payload file. Raises ConfigError that names the transaction and the key.

    A list, or ``transactions`` of an object: each with ``from``, ``to``, and optionally ``data`` and ``value`` (wei);
    or ``wait`` alone. A broadcast file of foundry is known by ``transactions[].transaction``.
    """
    content = _content(path)
    if isinstance(content, list):
        return Payload(tuple(_steps(content, path)))
    if not isinstance(content, dict) or not isinstance(content.get("transactions"), list):
        unknown = [key for key in content if key != "transactions"] if isinstance(content, dict) else []
        told = f"; unknown key {unknown[0]!r}; {suggest(unknown[0], ['transactions'])}" if unknown else ""
        raise ConfigError(f"{path}: give a list of transactions, or transactions = [...]{told}")
    entries = content["transactions"]
    if any(isinstance(entry, dict) and "transaction" in entry for entry in entries):
        chain = content.get("chain")
        return Payload(tuple(_broadcast(entries, path)), chain if isinstance(chain, int) else None)
    for key in content:
        if key != "transactions":
            raise ConfigError(f"{path}: unknown key {key!r}; {suggest(key, ['transactions'])}")
    return Payload(tuple(_steps(entries, path)))


def _content(path: Path) -> Any:
    try:
        with path.open("rb") as file:
            raw = file.read(_LARGEST + 1)
    except OSError as error:
        raise ConfigError(f"{path} cannot be read: {error.strerror or error}") from error
    if len(raw) > _LARGEST:
        raise ConfigError(f"{path} is larger than any payload")
    toml = path.suffix.lower() == ".toml"
    try:
        return tomllib.loads(raw.decode()) if toml else msgspec.json.decode(raw)
    except (ValueError, RecursionError) as error:
        raise ConfigError(f"{path}: not valid {'TOML' if toml else 'JSON'}: {error}") from error


def _steps(entries: Sequence[object], path: Path) -> list[Step]:
    if not entries:
        raise ConfigError(f"{path}: there is no transaction in it")
    return [_step(entry, f"{path}, transaction {number}") for number, entry in enumerate(entries, 1)]


def _step(entry: object, name: str) -> Step:
    if not isinstance(entry, Mapping):
        raise ConfigError(f"{name}: give from, to and data")
    if "wait" in entry:
        if len(entry) > 1:
            raise ConfigError(f"{name}: wait stands alone, before the transaction that is to be later")
        return Wait(wait(entry["wait"], name))
    for key in entry:
        if key not in _KEYS:
            raise ConfigError(f"{name}: unknown key {key!r}; {suggest(str(key), [*_KEYS, 'wait'])}")
    for key in ("from", "to"):
        if key not in entry:
            raise ConfigError(f"{name}: {key} is missing")
    return Transaction(
        sender=address(entry["from"], f"{name}, from"),
        to=address(entry["to"], f"{name}, to"),
        data=calldata(entry.get("data", ""), f"{name}, data"),
        value=amount(entry.get("value", 0), f"{name}, value"),
        name=name,
    )


def _broadcast(entries: Sequence[object], path: Path) -> list[Step]:
    """Take the transactions of a broadcast; what foundry says besides (gas, nonce, receipts) is of another run."""
    steps: list[Step] = []
    for number, entry in enumerate(entries, 1):
        name = f"{path}, transaction {number}"
        sent = entry.get("transaction") if isinstance(entry, Mapping) else None
        if not isinstance(sent, Mapping):
            raise ConfigError(f"{name}: it has no transaction, as the others of this broadcast have")
        if sent.get("authorizationList"):
            raise ConfigError(f"{name}: it delegates accounts to code (EIP-7702), which is not done on a fork")
        to = sent.get("to")
        steps.append(
            Transaction(
                sender=address(sent.get("from"), f"{name}, from"),
                to=None if to is None else address(to, f"{name}, to"),
                data=calldata(sent.get("input", sent.get("data", "")) or "", f"{name}, input"),
                value=amount(sent.get("value") or 0, f"{name}, value"),
                name=name,
            )
        )
    return steps
