"""The commands `check` and `diff` and their help; ``app`` lists them."""

from __future__ import annotations

from typing import Annotated, Literal

from cyclopts import Parameter

from scanner.cli.check_options import Limiting, Reports
from scanner.cli.fork_options import Fork
from scanner.cli.options import Output, ProvenRisk, Reading, Talk, WhatIfs

__all__ = ["check", "diff"]

Form = Annotated[Literal["table", "json", "markdown"], Parameter(help="json gives the document, markdown a report.")]
_RISK, _OUTPUT = ProvenRisk(), Output()


def check(
    *,
    reading: Reading = Reading(),
    risk: ProvenRisk = _RISK,
    whatifs: WhatIfs = WhatIfs(),
    fork: Fork = Fork(),  # noqa: B008
    limiting: Limiting = Limiting(),  # noqa: B008
    output: Output = _OUTPUT,
    talk: Talk = Talk(),
    reports: Reports = Reports(),  # noqa: B008
    format: Form = "table",  # noqa: A002
) -> int:
    """Hold a market, as it is or after a change, against limits; exit 1 when one is broken.

    Limits are options, or the table [check] of the configuration file. A change is a what-if, or a payload
    on a fork or simulated by the node.
    Incomplete data exits 4, and broken limits are listed all the same.
    """
    from scanner.cli.check import run_check

    return run_check(reading, risk, whatifs, fork, limiting, output, talk, reports, format)


def diff(
    before: Annotated[
        str,
        Parameter(
            help="Document of scan or accounts, - for stdin, or a block: 24000000, latest, -100, 0xHASH.",
            allow_leading_hyphen=True,
        ),
    ],
    after: Annotated[str, Parameter(help="Likewise, the later one.", allow_leading_hyphen=True)],
    /,
    *,
    reading: Reading = Reading(),
    risk: ProvenRisk = _RISK,
    output: Output = _OUTPUT,
    talk: Talk = Talk(),
    format: Form = "table",  # noqa: A002
    exit_code: Annotated[
        bool, Parameter(help="Exit 1 when anything differs.", negative="", show_default=False)
    ] = False,
) -> int:
    """Say what changed between two scans: accounts, their status, health and debt, bands, totals.

    Accounts are compared where both sides name them: blocks and documents of `liqbands accounts --format json`.
    """
    from scanner.cli.diff import run_diff

    return run_diff(before, after, reading, risk, output, talk, format, exit_code=exit_code)
