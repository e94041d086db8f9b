"""The commands and their help; what they do is in ``scanner.cli.commands``, imported when one runs."""

from __future__ import annotations

from typing import Annotated, Final, Literal

from cyclopts import App, Parameter
from cyclopts.validators import Number

from scanner import __version__
from scanner.cli.app_checks import check, diff
from scanner.cli.app_quotes import quote
from scanner.cli.options import (
    Output,
    Prices,
    Probing,
    ProvenRisk,
    Reading,
    Risk,
    Talk,
    Trust,
    WhatIfs,
    Where,
)
from scanner.cli.stream_options import Following

__all__ = ["COMMANDS", "account", "accounts", "app", "demo", "devchain", "doctor", "index", "quote", "scan"]

_HELP = """Exact liquidation bands of on-chain lending markets, read from RPC alone.

Every borrower of a market at one block: health factor to the wei, liquidation prices, what is seized at which price.

Try it without a node: `liqbands demo`. With a real local market: `liqbands devchain`.

Exit codes: 0 fine, 1 a limit is broken, 2 wrong usage or configuration, 3 the node failed, 4 incomplete data or a
mismatch with the contract, 130 interrupted.
"""


def _examples(*lines: str) -> str:
    return "\n\n".join(("Examples:", *(f"`{line}`" for line in lines)))


app = App(name="liqbands", help=_HELP, version=__version__, help_format="markdown", suppress_keyboard_interrupt=False)

COMMANDS: Final = ("scan", "accounts", "account", "quote", "check", "diff", "index", "doctor", "devchain", "demo")

ScanFormat = Literal["table", "json", "csv", "parquet", "svg", "png"]
AccountsFormat = Literal["table", "json", "ndjson", "csv", "parquet"]

_WHERE: Final = Where()
_PROBING: Final = Probing()
_TRUST: Final = Trust()
_PRICES: Final = Prices()
_FOLLOWING: Final = Following()


@app.command(
    help_epilogue=_examples(
        "liqbands scan --chain ethereum",
        "liqbands scan --rpc-url http://127.0.0.1:8545 --market 0xROOT --from-block 0 --factor BTC",
        "liqbands scan --bands 25usd --format json -o scan.json",
        "liqbands scan --shock ETH=-10%,BTC=-6% --set-lt USDC=76%",
    )
)
def scan(
    *,
    reading: Reading = Reading(),
    risk: ProvenRisk = ProvenRisk(),
    whatifs: WhatIfs = WhatIfs(),
    output: Output = Output(),
    talk: Talk = Talk(),
    format: Annotated[ScanFormat, Parameter(help="table draws the heatmap.")] = "table",  # noqa: A002
) -> int:
    """Scan one block: the heatmap of liquidation bands, or the scan document."""
    from scanner.cli.commands import run_scan

    return run_scan(reading, risk, output, talk, format, whatifs)


@app.command(
    help_epilogue=_examples(
        "liqbands accounts --chain ethereum --limit 100",
        "liqbands accounts --format ndjson -o accounts.ndjson",
        "liqbands accounts --follow --format ndjson --min-change 0.1%",
    )
)
def accounts(
    *,
    reading: Reading = Reading(),
    prices: Prices = _PRICES,
    whatifs: WhatIfs = WhatIfs(),
    following: Following = _FOLLOWING,
    output: Output = Output(),
    talk: Talk = Talk(),
    format: Annotated[AccountsFormat, Parameter(help="ndjson has one account a line.")] = "table",  # noqa: A002
    limit: Annotated[
        int | None, Parameter(help="Rows of the table; default 40. Other formats give all.", validator=Number(gte=1))
    ] = None,
    quotes: Annotated[
        bool,
        Parameter(
            help="Put executable liquidations into each account's object (json, ndjson); see `liqbands quote`.",
            negative="",
            show_default=False,
        ),
    ] = False,
) -> int:
    """List borrowers, nearest to liquidation first; with --follow, what changes from block to block."""
    if following != _FOLLOWING:
        from scanner.cli.following import check_following, run_follow

        check_following(following, format, limit, whatifs)
        return run_follow(reading, ProvenRisk(**vars(prices)), output, talk, following, quotes=quotes)
    from scanner.cli.commands import run_accounts

    return run_accounts(reading, ProvenRisk(**vars(prices)), output, talk, format, limit, whatifs, quoted=quotes)


@app.command(
    help_epilogue=_examples(
        "liqbands account 0xACCOUNT --chain ethereum",
    )
)
def account(
    address: Annotated[str, Parameter(help="0x address of the account.")],
    /,
    *,
    reading: Reading = Reading(),
    trust: Trust = _TRUST,
    whatifs: WhatIfs = WhatIfs(),
    output: Output = Output(),
    talk: Talk = Talk(),
    format: Annotated[Literal["table", "json"], Parameter(help="json gives the account document.")] = "table",  # noqa: A002
) -> int:
    """Show one account: legs, exact health factor, liquidation prices, and the contract's own answer beside."""
    from scanner.cli.commands import run_account

    return run_account(address, reading, Risk(**vars(trust)), output, talk, format, whatifs)


@app.command(
    help_epilogue=_examples(
        "liqbands index --chain ethereum",
        "liqbands index --chain ethereum --import borrowers.txt --covered-to 24000000",
        "liqbands index --chain ethereum --export borrowers.txt",
    )
)
def index(
    *,
    where: Where = _WHERE,
    talk: Talk = Talk(),
    import_: Annotated[
        str | None,
        Parameter(
            name="--import",
            help="Add addresses from FILE (or - for stdin): one a line, JSON, or CSV; where a header names a column "
            "account, owner, address or position, that one.",
            allow_leading_hyphen=True,
        ),
    ] = None,
    covered_to: Annotated[
        int | None,
        Parameter(
            help="With --import: take the list as complete up to this block; the completeness proof still checks.",
        ),
    ] = None,
    export: Annotated[
        str | None,
        Parameter(
            help="Bring the index up to date, then write all known addresses to FILE (or - for stdout), with those of "
            "blocks that are not final yet.",
            allow_leading_hyphen=True,
        ),
    ] = None,
    rebuild: Annotated[
        bool,
        Parameter(
            help="Read all logs again; of the known addresses only imported ones stay.",
            negative="",
            show_default=False,
        ),
    ] = False,
    status: Annotated[bool, Parameter(help="Only say what the index holds.", negative="", show_default=False)] = False,
) -> int:
    """Find borrowers and bring the index up to date; nothing else is computed.

    Only final blocks are kept. A killed run goes on where it was. On a node without old logs, import a list of
    addresses: the completeness proof of a scan says whether any debt is missing.
    """
    from scanner.cli.indexing import run_index

    return run_index(where, talk, import_, covered_to, export, status=status, rebuild=rebuild)


@app.command(
    help_epilogue=_examples(
        "liqbands doctor --chain ethereum",
        "liqbands doctor --rpc-url https://one.example/KEY --rpc-url https://two.example/KEY",
        "liqbands doctor --rpc-url http://127.0.0.1:8545 --format json -o doctor.json",
    )
)
def doctor(
    *,
    probing: Probing = _PROBING,
    output: Output = Output(),
    talk: Talk = Talk(),
    format: Annotated[Literal["table", "json"], Parameter(help="json gives the doctor document.")] = "table",  # noqa: A002
) -> int:
    """Say what each endpoint can do, and what that means for a scan.

    Chain, head and clock, state overrides, block by hash, gas, batches, log range, old state, proofs, latency: about
    30 requests each. What was found is kept for the next scans. Exit 0 when a scan can be done with these endpoints,
    their roles and the quorum; 2 when one serves another chain; 3 when no scan can be done, or too few answered.
    """
    from scanner.cli.doctor import run_doctor

    return run_doctor(probing, output, talk, format)


@app.command(
    help_epilogue=_examples(
        "liqbands devchain",
        "liqbands devchain --borrowers 5000 --seed 7",
        "liqbands devchain --kind 3.0 --reserves 60 --port 0",
    )
)
def devchain(
    *,
    kind: Annotated[Literal["3.6", "3.0"], Parameter(help="Aave v3 version of the market.")] = "3.6",
    borrowers: Annotated[int, Parameter(help="How many accounts to make.", validator=Number(gte=0))] = 2000,
    seed: Annotated[int, Parameter(help="Seed of accounts and amounts.")] = 1,
    reserves: Annotated[int | None, Parameter(help="Reserves to list, up to 128.")] = None,
    port: Annotated[
        int, Parameter(help="Port to listen on; 0 takes a free one.", validator=Number(gte=0, lte=65535))
    ] = 8545,
) -> int:
    """Start a local node with a real Aave v3 market and borrowers; print how to use it; run until stopped.

    The node is anvil and the contracts are the protocol's own, both from npm. The first start
    fetches and compiles them.
    """
    from scanner.cli.commands import run_devchain_command

    return run_devchain_command(kind, borrowers, seed, reserves, port)


@app.command(
    help_epilogue=_examples(
        "liqbands demo",
        "liqbands demo --factor BTC --bands 2%",
    )
)
def demo(
    *,
    risk: Risk = Risk(),
    output: Output = Output(),
    talk: Talk = Talk(),
    format: Annotated[ScanFormat, Parameter(help="table draws the heatmap.")] = "table",  # noqa: A002
) -> int:
    """Run the whole pipeline on a recorded block of a local market: no node, no network."""
    from scanner.cli.commands import run_demo

    return run_demo(risk, output, talk, format)


app.command(
    check,
    help_epilogue=_examples(
        "liqbands check --chain ethereum --max-seizable ETH:-5%=50M --max-bad-debt ETH:-30%=0",
        "liqbands check --chain ethereum --set-lt USDC=76% --max-new-liquidatable 0",
        "liqbands check --chain ethereum --fork --payload proposal.toml --junit check.xml",
    ),
)
app.command(
    diff,
    help_epilogue=_examples(
        "liqbands diff -100 latest --chain ethereum",
        "liqbands diff yesterday.json today.json --exit-code",
    ),
)
app.command(
    quote,
    help_epilogue=_examples(
        "liqbands quote --chain ethereum --for-timestamp +12s",
        "liqbands quote --chain ethereum --at ETH=-10%,BTC=-5% --min-profit 500",
        "liqbands quote 0xACCOUNT --pairs all --format json",
    ),
)
