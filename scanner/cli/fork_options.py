"""Options of what runs on a fork."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from cyclopts import Group, Parameter

__all__ = ["Fork"]

_FORK = Group("On a fork, or simulated", sort_key=3)


@Parameter(name="*", group=_FORK)
@dataclass(frozen=True)
class Fork:
    """What is run after the block: on a fork, by an anvil that is started for it, or simulated by the endpoint."""

    fork: Annotated[
        bool,
        Parameter(
            help="Fork the block on a local anvil, run the payload there, and compare before and after.",
            negative="",
            show_default=False,
        ),
    ] = False
    simulate: Annotated[
        bool,
        Parameter(
            help="Instead of --fork: the endpoint simulates the payload with every read (eth_simulateV1); no anvil.",
            negative="",
            show_default=False,
        ),
    ] = False
    impersonate: Annotated[
        tuple[str, ...],
        Parameter(help="Sender of --tx, no key needed: one for all, or one each.", negative="", show_default=False),
    ] = ()
    tx: Annotated[
        tuple[str, ...],
        Parameter(
            help="Transaction TO:DATA or TO:DATA:WEI; repeatable, in order. +2d in its place lets time pass.",
            negative="",
            show_default=False,
        ),
    ] = ()
    payload: Annotated[
        tuple[Path, ...],
        Parameter(
            help="JSON or TOML file of transactions, or foundry's run-latest.json; before --tx.",
            negative="",
            show_default=False,
        ),
    ] = ()
    fork_time: Annotated[str | None, Parameter(help="Let time pass after the payload: +2d, +1h.")] = None
