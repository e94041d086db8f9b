"""Options that several commands share."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from cyclopts import Group, Parameter

__all__ = ["By", "Output", "Reading", "Risk", "Talk", "Verify"]

Verify = Literal["none", "sample", "all"]
By = Literal["asset", "protocol", "debt", "size"]

_READING = Group("Where to read", sort_key=1)
_RISK = Group("What to compute", sort_key=2)
_OUTPUT = Group("Output", sort_key=3)


@Parameter(name="*", group=_READING)
@dataclass(frozen=True)
class Reading:
    """Which chain, market and block."""

    rpc_url: Annotated[
        tuple[str, ...],
        Parameter(
            help="RPC URL of the node. Else ETHEREUM_RPC_URL (with --chain ethereum), LIQBANDS_RPC_URL, ETH_RPC_URL.",
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
        str,
        Parameter(
            help="Block: a number, latest, safe, finalized, -100 (behind latest) or 0xHASH.", allow_leading_hyphen=True
        ),
    ] = "latest"
    discover: Annotated[
        bool, Parameter(help="Read logs to find borrowers; without, only the index is used.", negative="--no-discover")
    ] = True
    index_file: Annotated[Path | None, Parameter(help="Index file to use instead of the one in the data folder.")] = (
        None
    )
    record: Annotated[Path | None, Parameter(help="Record every answer of the node to FILE.")] = None
    replay: Annotated[Path | None, Parameter(help="Answer from a recording instead of a node.")] = None
    config: Annotated[str | None, Parameter(help="Configuration file; default ./liqbands.toml when it exists.")] = None


@Parameter(name="*", group=_RISK)
@dataclass(frozen=True)
class Risk:
    """What is computed from what was read."""

    factor: Annotated[
        str | None, Parameter(help="Price factor, such as ETH, BTC; default the one with most collateral.")
    ] = None
    bands: Annotated[str, Parameter(help="Band edges: 1%, 25usd, or prices such as 1600,1700,1800.")] = "1%"
    by: Annotated[By, Parameter(help="What the columns of the heatmap split bands by.")] = "asset"
    verify: Annotated[
        Verify, Parameter(help="How many accounts to compare with the contract's own answer at the same block.")
    ] = "sample"
    for_timestamp: Annotated[
        str | None,
        Parameter(help="Time that triggers are computed for: +12s, +1h, or a UNIX time. Default the block's own."),
    ] = None
    allow_incomplete: Annotated[
        bool,
        Parameter(help="Exit 0 although data is incomplete or a verification failed.", negative="", show_default=False),
    ] = False


@Parameter(name="*", group=_OUTPUT)
@dataclass(frozen=True)
class Talk:
    """How much is said on stderr."""

    progress: Annotated[bool, Parameter(help="Show progress on stderr.", negative="--no-progress")] = True
    quiet: Annotated[
        bool, Parameter(alias="-q", help="Say nothing on stderr but errors.", negative="", show_default=False)
    ] = False
    verbose: Annotated[
        bool, Parameter(alias="-v", help="Say more on stderr: requests, sizes, times.", negative="", show_default=False)
    ] = False


@Parameter(name="*", group=_OUTPUT)
@dataclass(frozen=True)
class Output:
    """Where data goes."""

    output: Annotated[str, Parameter(alias="-o", help="File to write, or - for stdout.", allow_leading_hyphen=True)] = (
        "-"
    )
