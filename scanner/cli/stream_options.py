"""Options of a stream, block after block."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from cyclopts import Group, Parameter
from cyclopts.validators import Number

__all__ = ["Following"]

_STREAM = Group("Stream", sort_key=4)


@Parameter(name="*", group=_STREAM)
@dataclass(frozen=True)
class Following:
    """Block after block, and what of each is told."""

    follow: Annotated[
        bool,
        Parameter(
            help="Go on with the next blocks: write the accounts that changed, as ndjson, until stopped.",
            negative="",
            show_default=False,
        ),
    ] = False
    every: Annotated[
        str | None, Parameter(help="Take every so many blocks (5), or one in so many seconds (30s); default every one.")
    ] = None
    min_change: Annotated[
        str | None,
        Parameter(
            help="Leave out what interest and prices move by less: a share of the health factor, such as 0.1%. What is "
            "liquidatable and what an action changed is always told. Default every change."
        ),
    ] = None
    since: Annotated[
        str | None,
        Parameter(help="Begin with the changes since this block, by number or (to see that it was undone) by hash."),
    ] = None
    blocks: Annotated[
        int | None,
        Parameter(
            help="Stop after so many blocks were written: the first snapshot counts, the base of --since does not. "
            "Blocks that are not there yet are waited for. Default never.",
            validator=Number(gte=1),
        ),
    ] = None
    poll: Annotated[
        str | None, Parameter(help="Time between two questions for the newest block, such as 0.5s; default 1s.")
    ] = None
