"""Options that several commands share."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from cyclopts import Group, Parameter

__all__ = [
    "By",
    "Checks",
    "Output",
    "Prices",
    "Probing",
    "Prove",
    "ProvenRisk",
    "Reading",
    "Risk",
    "Talk",
    "Trust",
    "Verify",
    "WhatIfs",
    "Where",
]

Verify = Literal["none", "sample", "all"]
Prove = Literal["none", "sample", "all"]
By = Literal["asset", "protocol", "debt", "size"]

_READING = Group("Where to read", sort_key=1)
_RISK = Group("What to compute", sort_key=2)
_WHAT_IF = Group("What if", sort_key=3)
_OUTPUT = Group("Output", sort_key=5)

_Quorum = Annotated[
    int | None, Parameter(help="How many endpoints of different hosts have to give the same answers; default 1.")
]
_TimeLimit = Annotated[
    str | None,
    Parameter(help="Give up when the node takes longer in all, such as 90s (or 90), 10m, 1h; default never."),
]
_TransportLog = Annotated[
    Path | None, Parameter(help="Log every request to FILE, without keys, for a report of a problem.")
]
_Config = Annotated[str | None, Parameter(help="Configuration file; default ./liqbands.toml when it exists.")]


@Parameter(name="*", group=_READING)
@dataclass(frozen=True)
class Where:
    """Which chain, market and block."""

    rpc_url: Annotated[
        tuple[str, ...],
        Parameter(
            help="RPC URL of the node; repeatable: the others take over when the first fails. Else ETHEREUM_RPC_URL "
            "(with --chain ethereum), LIQBANDS_RPC_URL, ETH_RPC_URL, WEB3_PROVIDER_URI, the configuration file.",
            negative="",
        ),
    ] = ()
    chain: Annotated[str | None, Parameter(help="Chain name, checked against the node: ethereum, base, ...")] = None
    protocol: Annotated[str | None, Parameter(help="Protocol slug, such as aave-v3.")] = None
    market: Annotated[
        tuple[str, ...],
        Parameter(
            help="Listed market name or 0x root (Aave v3: PoolAddressesProvider); repeatable.",
            negative="",
            show_default=False,
        ),
    ] = ()
    from_block: Annotated[int | None, Parameter(help="First block of a market that is not listed.")] = None
    block: Annotated[
        str | None,
        Parameter(
            help="Block: a number, latest, safe, finalized, -100 (behind latest) or 0xHASH; default latest.",
            allow_leading_hyphen=True,
        ),
    ] = None
    discover: Annotated[
        bool, Parameter(help="Read logs to find borrowers; without, only the index is used.", negative="--no-discover")
    ] = True
    index_file: Annotated[Path | None, Parameter(help="Index file to use instead of the one in the data folder.")] = (
        None
    )
    quorum: _Quorum = None
    time_limit: _TimeLimit = None
    transport_log: _TransportLog = None
    config: _Config = None


@Parameter(name="*", group=_READING)
@dataclass(frozen=True)
class Probing:
    """Which endpoints, and for how long."""

    rpc_url: Annotated[
        tuple[str, ...],
        Parameter(
            help="RPC URL of an endpoint; repeatable. Else those that a scan would use.",
            negative="",
            show_default=False,
        ),
    ] = ()
    chain: Annotated[str | None, Parameter(help="Chain name, checked against each endpoint: ethereum, base, ...")] = (
        None
    )
    quorum: _Quorum = None
    time_limit: _TimeLimit = None
    transport_log: _TransportLog = None
    config: _Config = None


@Parameter(name="*", group=_READING)
@dataclass(frozen=True)
class Reading(Where):
    """Where to read, from a node or from a recording of one."""

    record: Annotated[Path | None, Parameter(help="Record every answer of the node to FILE.")] = None
    replay: Annotated[
        Path | None, Parameter(help="Answer from a recording instead of a node; it has its own block and accounts.")
    ] = None


# Mixins: each command offers the options that it uses. Fields of the last base come first in the help.


@Parameter(name="*", group=_RISK)
@dataclass(frozen=True)
class _Factor:
    factor: Annotated[
        str | None, Parameter(help="Price factor, such as ETH, BTC; default the one with most collateral.")
    ] = None


@Parameter(name="*", group=_RISK)
@dataclass(frozen=True)
class _Bands:
    bands: Annotated[
        str | None, Parameter(help="Band edges: 1%, 25usd, or prices such as 1600,1700,1800; default 1%.")
    ] = None
    by: Annotated[By, Parameter(help="What the columns of the heatmap split bands by.")] = "asset"


@Parameter(name="*", group=_RISK)
@dataclass(frozen=True)
class _Verify:
    verify: Annotated[
        Verify, Parameter(help="How many accounts to compare with the contract's own answer at the same block.")
    ] = "sample"


@Parameter(name="*", group=_RISK)
@dataclass(frozen=True)
class _Prove:
    prove: Annotated[
        Prove, Parameter(help="How many accounts to prove against the block's state root, by eth_getProof.")
    ] = "none"


@Parameter(name="*", group=_RISK)
@dataclass(frozen=True)
class Trust:
    """At which time, and whether doubtful data fails the command."""

    for_timestamp: Annotated[
        str | None,
        Parameter(
            help="Time that triggers and quotes are computed for: +12s, +1h, or a UNIX time. Default the block's own."
        ),
    ] = None
    allow_incomplete: Annotated[
        bool,
        Parameter(help="Exit 0 although data is incomplete or a verification failed.", negative="", show_default=False),
    ] = False


@Parameter(name="*", group=_RISK)
@dataclass(frozen=True)
class Prices(Trust, _Prove, _Verify, _Factor):
    """Which price is looked at, and how closely accounts are checked."""


@Parameter(name="*", group=_RISK)
@dataclass(frozen=True)
class Checks(Trust, _Prove, _Verify):
    """At which time, and how closely accounts are checked."""


@Parameter(name="*", group=_RISK)
@dataclass(frozen=True)
class Risk(Trust, _Verify, _Bands, _Factor):
    """Everything that is computed from what was read."""


@Parameter(name="*", group=_RISK)
@dataclass(frozen=True)
class ProvenRisk(Risk, _Prove):
    """The same, and what of it is proven; a recording proves nothing."""


@Parameter(name="*", group=_WHAT_IF)
@dataclass(frozen=True)
class WhatIfs:
    """What is other than it is at the block: computed on what was read, exactly as the contracts would."""

    shock: Annotated[
        tuple[str, ...],
        Parameter(
            help="Move prices: ETH=-10% (a factor, with all that follows it), wstETH/ETH=-2.85% (the ratio inside a "
            "price), ETH=1600usd; repeatable, or with commas between.",
            negative="",
            show_default=False,
            allow_leading_hyphen=True,
        ),
    ] = ()
    set_lt: Annotated[
        tuple[str, ...],
        Parameter(
            help="Set liquidation thresholds: USDC=76%, or LINK=-1% for a percentage point less; by symbol, id or "
            "asset address. An LTV above it is lowered with it.",
            negative="",
            show_default=False,
        ),
    ] = ()
    set_bonus: Annotated[
        tuple[str, ...],
        Parameter(help="Set liquidation bonuses, above 100 %: USDC=5%, LINK=+1%.", negative="", show_default=False),
    ] = ()
    set_emode: Annotated[
        tuple[str, ...],
        Parameter(help="Set parameters of e-mode categories: 1:lt=92%, 1:bonus=2%.", negative="", show_default=False),
    ] = ()
    time: Annotated[
        str | None, Parameter(help="Let time pass: +30d, +1h; interest, discounts and caps of ratios move.")
    ] = None


@Parameter(name="*", group=_OUTPUT)
@dataclass(frozen=True)
class Talk:
    """How much is said on stderr."""

    progress: Annotated[bool, Parameter(help="Show progress on stderr.", negative="--no-progress")] = True
    quiet: Annotated[
        bool, Parameter(alias="-q", help="Say nothing on stderr but errors.", negative="", show_default=False)
    ] = False
    verbose: Annotated[
        bool, Parameter(alias="-v", help="Say on stderr how long each stage took.", negative="", show_default=False)
    ] = False


@Parameter(name="*", group=_OUTPUT)
@dataclass(frozen=True)
class Output:
    """Where data goes."""

    output: Annotated[str, Parameter(alias="-o", help="File to write, or - for stdout.", allow_leading_hyphen=True)] = (
        "-"
    )
