"""An endpoint as a user describes it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final, Literal, get_args

__all__ = ["ROLES", "EndpointSpec", "Role"]

Role = Literal["archive", "logs", "calls"]

ROLES: Final[tuple[Role, ...]] = get_args(Role)


@dataclass(frozen=True, slots=True)
class EndpointSpec:
    """An RPC URL, what it is used for, and how hard.

    roles: ``calls`` and ``logs`` say what it is asked for, ``archive`` that it has the state of old blocks.
    requests_per_second, compute_units_per_second: what its plan allows. concurrency: requests in flight.
    The URL is left out of ``repr``: it may hold a key.
    """

    url: str = field(repr=False)
    roles: frozenset[Role] = frozenset(ROLES)
    requests_per_second: float | None = None
    compute_units_per_second: float | None = None
    concurrency: int | None = None
