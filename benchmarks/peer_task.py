"""What a peer is asked for, and the rounds in which it is asked. Imports nothing: other environments run it too."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

Question = tuple[str, str, str]
"""Contract, function and account."""

Ask = Callable[[list[Question]], Sequence[Sequence[int]]]
"""Answers in order, each with all its words."""

OUTPUTS = {
    "getUserAccountData": ("uint256",) * 6,
    "getUserConfiguration": ("uint256",),
    "getUserEMode": ("uint256",),
    "scaledBalanceOf": ("uint256",),
}


def read(ask: Ask, task: dict[str, Any]) -> list[list[str]]:
    """Give what a task wants of each account, as text.

    ``health``: collateral, debt and health factor, one question each. ``positions``: these, the e-mode, and the
    reserve, side and scaled balance of every leg; which legs there are stands in the configuration, so that the
    balances are a second round.
    """
    accounts: list[str] = task["accounts"]
    if task["what"] == "health":
        data = ask([(task["pool"], "getUserAccountData", account) for account in accounts])
        return [_health(one) for one in data]
    names = ("getUserAccountData", "getUserEMode", "getUserConfiguration")
    first = ask([(task["pool"], name, account) for account in accounts for name in names])
    wanted = [list(_legs(configuration[0], task["reserves"])) for configuration in first[2::3]]
    second = iter(
        ask(
            [
                (token, "scaledBalanceOf", account)
                for account, legs in zip(accounts, wanted, strict=True)
                for _, token in legs
            ]
        )
    )
    found = []
    for at, legs in enumerate(wanted):
        record = [*_health(first[3 * at]), str(first[3 * at + 1][0])]
        for name, _ in legs:
            record += [name, str(next(second)[0])]
        found.append(record)
    return found


def _health(data: Sequence[int]) -> list[str]:
    return [str(data[0]), str(data[1]), str(data[5])]


def _legs(configuration: int, reserves: Sequence[Sequence[Any]]) -> Iterator[tuple[str, str]]:
    """Name the legs of a configuration and their tokens; two bits a reserve: debt, collateral."""
    for number, collateral_token, debt_token in reserves:
        bits = configuration >> 2 * number & 3
        if bits & 2:
            yield f"{number} collateral", collateral_token
        if bits & 1:
            yield f"{number} debt", debt_token
