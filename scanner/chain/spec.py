"""An endpoint as a user describes it."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from math import isfinite
from typing import Final, Literal, get_args

from scanner.chain.redact import host_of, place_of
from scanner.errors import ConfigError, suggest

__all__ = ["ROLES", "EndpointSpec", "Role", "specs_of"]

Role = Literal["archive", "logs", "calls"]

ROLES: Final[tuple[Role, ...]] = get_args(Role)


@dataclass(frozen=True, slots=True)
class EndpointSpec:
    """An RPC URL, what it is used for, and how hard.

    roles: ``calls`` and ``logs`` say what it is asked for, ``archive`` that it has the state of old blocks.
    requests_per_second, compute_units_per_second: what its plan allows. concurrency: requests in flight.
    The URL is left out of ``repr``: it may hold a key. Raises ConfigError for what cannot be meant.
    """

    url: str = field(repr=False)
    roles: frozenset[Role] = frozenset(ROLES)
    requests_per_second: float | None = None
    compute_units_per_second: float | None = None
    concurrency: int | None = None

    def __post_init__(self) -> None:
        roles = (self.roles,) if isinstance(self.roles, str) else tuple(self.roles)
        for role in roles:
            if role not in ROLES:
                raise ConfigError(f"{self.host}: an endpoint has no role {role!r}; {suggest(str(role), ROLES)}")
        if not {"logs", "calls"} & set(roles):
            raise ConfigError(f"{self.host}: give the endpoint the role calls or logs: archive alone asks it nothing")
        object.__setattr__(self, "roles", frozenset(roles))
        for name in ("requests_per_second", "compute_units_per_second", "concurrency"):
            value = getattr(self, name)
            if value is not None and not (value > 0 and isfinite(value)):
                raise ConfigError(f"{self.host}: {name} = {value}: give a number above zero, or leave it out")

    @property
    def host(self) -> str:
        """Host and port, all of the URL that may be shown; "the endpoint" where there are none."""
        try:
            return host_of(self.url)
        except ConfigError:  # who opens the endpoint says what is wrong
            return "the endpoint"

    @property
    def place(self) -> str:
        """The server, by one name however the URL spells it: what a quorum counts."""
        try:
            return place_of(self.url)
        except ConfigError:
            return self.host


def specs_of(endpoints: Iterable[EndpointSpec | str]) -> tuple[EndpointSpec, ...]:
    """Make specs of what may be URLs. Raises ConfigError for a URL that is none, and where two are the same."""
    specs = tuple(EndpointSpec(one.strip()) if isinstance(one, str) else one for one in endpoints)
    for order, spec in enumerate(specs, 1):
        try:
            host_of(spec.url)
            if re.search(r"\s", spec.url):
                raise ConfigError("the RPC URL has a blank in it")
        except ConfigError as error:
            raise ConfigError(f"endpoint {order} of {len(specs)}: {error}" if len(specs) > 1 else str(error)) from error
    seen: set[str] = set()
    for spec in specs:
        if spec.url.rstrip("/") in seen:
            raise ConfigError(f"{spec.host} is given twice with the same RPC URL; name every endpoint once")
        seen.add(spec.url.rstrip("/"))
    return specs
