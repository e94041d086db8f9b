"""What runs on a fork, as the command line says it."""

from __future__ import annotations

from scanner.cli.fork_options import Fork
from scanner.errors import ConfigError
from scanner.fork.payload import Payload, parse_payload

__all__ = ["fork_payload"]


def fork_payload(fork: Fork) -> Payload | None:
    """Read the payload; None where no fork is asked for. Raises ConfigError for a payload without a fork."""
    parts = {
        "--tx": fork.tx,
        "--impersonate": fork.impersonate,
        "--payload": fork.payload,
        "--fork-time": fork.fork_time,
    }
    given = [name for name, value in parts.items() if value]
    if not fork.fork:
        if given:
            raise ConfigError(f"{' and '.join(given)} run on a fork: add --fork")
        return None
    if not given:
        raise ConfigError(
            "--fork without a payload changes nothing: give --impersonate and --tx, --payload or --fork-time"
        )
    return parse_payload(fork.impersonate, fork.tx, fork.payload, fork.fork_time)
