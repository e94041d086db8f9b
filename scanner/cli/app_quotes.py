"""The command `quote` and its help; ``app`` lists it."""

from __future__ import annotations

from typing import Annotated, Final, Literal

from cyclopts import Parameter
from cyclopts.validators import Number

from scanner.cli.options import Checks, Output, ProvenRisk, Reading, Talk, WhatIfs

__all__ = ["quote"]

_CHECKS: Final = Checks()


def quote(
    *accounts: Annotated[str, Parameter(help="0x addresses; default every account.", negative="")],
    at: Annotated[
        tuple[str, ...],
        Parameter(
            help="Quote those that would be liquidatable at these prices: ETH=-10%,BTC=-5%; as --shock.",
            negative="",
            show_default=False,
            allow_leading_hyphen=True,
        ),
    ] = (),
    pairs: Annotated[
        Literal["best", "all"], Parameter(help="The pair of each account that earns most, or every pair.")
    ] = "best",
    min_profit: Annotated[
        float | None, Parameter(help="Leave out what earns fewer dollars before gas.", allow_leading_hyphen=True)
    ] = None,
    reading: Reading = Reading(),
    checks: Checks = _CHECKS,
    whatifs: WhatIfs = WhatIfs(),
    output: Output = Output(),
    talk: Talk = Talk(),
    format: Annotated[  # noqa: A002
        Literal["table", "json", "ndjson", "csv"], Parameter(help="ndjson has one quote a line.")
    ] = "table",
    limit: Annotated[
        int | None, Parameter(help="Rows of the table; default 40. Other formats give all.", validator=Number(gte=1))
    ] = None,
) -> int:
    """Quote executable liquidations, to the unit: what to pass, pay and receive, and what is earned before gas.

    Amounts are exact for one call in a block with the timestamp of --for-timestamp (default the scanned block's own; a
    transaction lands in a later one) at the prices of the scanned block or of --at. The underlying is paid out, not
    aTokens; whether the reserve holds enough of it is not looked at.
    """
    from scanner.cli.quote import Choice, run_quote

    risk = ProvenRisk(**vars(checks))
    return run_quote(accounts, at, reading, risk, whatifs, output, talk, format, Choice(pairs, min_profit, limit))
