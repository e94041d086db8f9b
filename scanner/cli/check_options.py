"""Options of `liqbands check`: what has to hold, and who is told."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from cyclopts import Group, Parameter
from cyclopts.validators import Number

__all__ = ["Limiting", "Reports"]

_LIMITS = Group("Limits", sort_key=4)
_REPORTS = Group("Reports for CI", sort_key=6)

_Places = Annotated[tuple[str, ...], Parameter(negative="", show_default=False)]


@Parameter(name="*", group=_LIMITS)
@dataclass(frozen=True)
class Limiting:
    """What has to hold; stands in for the same limit of the table [check] of the configuration file."""

    max_new_liquidatable: Annotated[
        int | None,
        Parameter(
            help="Accounts that a what-if, a fork or the time since --baseline makes liquidatable. With a change and "
            "no limit at all: 0.",
            validator=Number(gte=0),
        ),
    ] = None
    max_liquidatable: Annotated[
        int | None, Parameter(help="Accounts with a health factor below one.", validator=Number(gte=0))
    ] = None
    max_seizable: Annotated[
        _Places,
        Parameter(help="Dollars, or share of collateral, seizable at a price: ETH:-5%=50M, BTC:-5%=2%, now=500k."),
    ] = ()
    max_largest_account: Annotated[
        _Places, Parameter(help="Dollars or share seizable of a single account: ETH:-5%=10M.")
    ] = ()
    max_bad_debt: Annotated[
        _Places, Parameter(help="Dollars of debt beyond the collateral of its account: ETH:-30%=0.")
    ] = ()
    max_unpriced_debt: Annotated[
        str | None, Parameter(help="Dollars, or share of all debt, in accounts that cannot be valued: 0, 10k, 0.1%.")
    ] = None
    baseline: Annotated[
        str | None,
        Parameter(
            help="Document of an earlier scan (or - for stdin): of `accounts --format json`, or, for the tolerances of "
            "[check.baseline] alone, of `scan --format json`.",
            allow_leading_hyphen=True,
        ),
    ] = None


@Parameter(name="*", group=_REPORTS)
@dataclass(frozen=True)
class Reports:
    """Files and lines for a CI system."""

    document: Annotated[Path | None, Parameter(help="Write the JSON document to FILE too.")] = None
    junit: Annotated[Path | None, Parameter(help="Write JUnit XML to FILE.")] = None
    sarif: Annotated[Path | None, Parameter(help="Write SARIF 2.1.0 to FILE.")] = None
    summary: Annotated[
        Path | None, Parameter(help="Write the Markdown report to FILE too; default GITHUB_STEP_SUMMARY, if it is set.")
    ] = None
    annotations: Annotated[
        bool | None,
        Parameter(
            help="Print GitHub annotations on stderr; default where GITHUB_ACTIONS is true.",
            negative="--no-annotations",
            show_default=False,
        ),
    ] = None
