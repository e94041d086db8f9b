"""Put together what a command was given: command line, environment, configuration file."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from scanner.cli.curtain import remember
from scanner.cli.files import check_file
from scanner.cli.fork_options import Fork
from scanner.cli.options import ProvenRisk, Reading, Risk, WhatIfs
from scanner.config import FileConfig, config_file, load_file, resolve_endpoints
from scanner.errors import ConfigError
from scanner.options import ScanOptions
from scanner.sources import configured
from scanner.whatif import WhatIf, parse_whatif

if TYPE_CHECKING:
    from scanner.fork import Payload

__all__ = ["Extent", "fork_payload", "scan_options", "what_if"]

Extent = Literal["factor", "factors", "accounts"]


def what_if(whatifs: WhatIfs) -> WhatIf:
    """Read the what-if options. Raises ConfigError."""
    return parse_whatif(whatifs.shock, whatifs.set_lt, whatifs.set_bonus, whatifs.set_emode, whatifs.time)


def fork_payload(fork: Fork) -> Payload | None:
    """Read the payload; None where none is to run. Raises ConfigError for a payload that has nowhere to run."""
    parts = {
        "--tx": fork.tx,
        "--impersonate": fork.impersonate,
        "--payload": fork.payload,
        "--fork-time": fork.fork_time,
    }
    given = [name for name, value in parts.items() if value]
    if fork.fork and fork.simulate:
        raise ConfigError("--fork and --simulate are two ways to run a payload: give one of them")
    if not (fork.fork or fork.simulate):
        if given:
            raise ConfigError(f"{' and '.join(given)} run on a fork: add --fork, or --simulate")
        return None
    if not given:
        way = "--fork" if fork.fork else "--simulate"
        raise ConfigError(
            f"{way} without a payload changes nothing: give --impersonate and --tx, --payload or --fork-time"
        )
    from scanner.fork import parse_payload  # anvil and all that is asked of it: only where a fork is

    return parse_payload(fork.impersonate, fork.tx, fork.payload, fork.fork_time)


def scan_options(reading: Reading, risk: Risk | None = None, extent: Extent = "accounts") -> ScanOptions:
    """Put together command line, environment and configuration file, in this order of precedence."""
    _check_reading(reading)
    file = load_file(config_file(reading.config)) if reading.replay is None or reading.config else FileConfig()
    chain = reading.chain or file.chain
    urls = () if reading.replay is not None else configured(resolve_endpoints(reading.rpc_url, chain, file))
    remember(spec.url for spec in urls)
    options = ScanOptions(
        rpc_urls=urls,
        chain=chain,
        protocol=reading.protocol,
        markets=reading.market or tuple(file.market),
        from_block=reading.from_block,
        block=reading.block or "latest",
        discover=reading.discover,
        index_file=reading.index_file,
        record=reading.record,
        replay=reading.replay,
        factors=file.factors,
        extent=extent,
        quorum=_quorum(reading, file),
        time_limit=reading.time_limit,
        transport_log=reading.transport_log,
    )
    if risk is None:
        return options
    return replace(
        options,
        factor=risk.factor or file.factor,
        bands=risk.bands or file.bands or ScanOptions.bands,
        by=risk.by,
        verify=risk.verify,
        prove=risk.prove if isinstance(risk, ProvenRisk) else "none",
        for_timestamp=risk.for_timestamp,
    )


def _quorum(reading: Reading, file: FileConfig) -> int:
    """Take the command line's word before the file's; a replay has one source, whose answers were compared then."""
    if reading.replay is not None:
        return 1
    return reading.quorum if reading.quorum is not None else file.quorum if file.quorum is not None else 1


def _check_reading(reading: Reading) -> None:
    """Refuse options that a replay cannot follow, and files that cannot be, before work is spent on them."""
    if reading.replay is not None:
        given = {
            "--rpc-url": reading.rpc_url,
            "--from-block": reading.from_block is not None,
            "--block": reading.block is not None,
            "--no-discover": not reading.discover,
            "--index-file": reading.index_file is not None,
            "--record": reading.record is not None,
            "--quorum": reading.quorum is not None,
            "--time-limit": reading.time_limit is not None,
            "--transport-log": reading.transport_log is not None,
        }
        if useless := [name for name, used in given.items() if used]:
            raise ConfigError(
                f"--replay answers from a recorded block, without a node: leave out {' and '.join(useless)}"
            )
    if reading.record is not None:
        check_file(str(reading.record))
    if reading.transport_log is not None:
        check_file(str(reading.transport_log))
    if (
        reading.record is not None
        and reading.transport_log is not None
        and _same(reading.record, reading.transport_log)
    ):
        raise ConfigError(f"--record and --transport-log both name {reading.record}: give each a file of its own")
    if reading.index_file is not None:
        if not reading.index_file.parent.is_dir():
            raise ConfigError(f"--index-file {reading.index_file}: there is no folder {reading.index_file.parent}")
        if reading.index_file.is_dir():
            raise ConfigError(f"--index-file {reading.index_file}: it is a folder; name a file in it")


def _same(one: Path, other: Path) -> bool:
    return one.resolve() == other.resolve()
