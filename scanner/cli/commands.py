"""What the commands do: options in, a scan, a renderer or an exporter, an exit code."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from typing import Literal

from scanner.chain.spec import specs_of
from scanner.cli.addresses import parse_address
from scanner.cli.curtain import remember
from scanner.cli.faults import tell_faults
from scanner.cli.files import check_file, save
from scanner.cli.options import Output, ProvenRisk, Reading, Risk, Talk
from scanner.config import FileConfig, config_file, load_file, resolve_endpoints, text_columns
from scanner.errors import ConfigError
from scanner.options import ScanOptions
from scanner.pipeline import scan
from scanner.render.console import show
from scanner.render.lines import Drawing
from scanner.render.progress import Progress
from scanner.results import ScanResult
from scanner.sources import configured

__all__ = [
    "connecting",
    "progress_of",
    "run_account",
    "run_accounts",
    "run_demo",
    "run_devchain_command",
    "run_scan",
    "scan_options",
]

INCOMPLETE = 4
DEMO = Path(__file__).parent.parent / "demo" / "aave-v3.6.rec"

Extent = Literal["factor", "factors", "accounts"]


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


def connecting(options: ScanOptions, progress: Progress) -> None:
    """Show whom we wait for until the node's first answer; never more of the URL than its host."""
    hosts = [spec.host for spec in specs_of(options.rpc_urls)]
    if hosts:
        progress.stage(f"connecting to {', '.join(hosts)}")


def _same(one: Path, other: Path) -> bool:
    return one.resolve() == other.resolve()


@contextmanager
def progress_of(talk: Talk) -> Iterator[Progress]:
    """Show progress unless it is not wanted."""
    with Progress(enabled=talk.progress and not talk.quiet) as progress:
        yield progress


def _scan(options: ScanOptions, talk: Talk, *, warn: bool = True) -> ScanResult:
    """Scan, with progress and (where the output does not show them itself) warnings on stderr."""
    with progress_of(talk) as progress:
        connecting(options, progress)
        result = scan(options, listener=progress)
    if warn and not talk.quiet:
        for warning in result.warnings:
            print(f"warning: {warning}", file=sys.stderr)
    if talk.verbose:
        print(", ".join(f"{stage} {spent:.2f} s" for stage, spent in result.snapshot.seconds.items()), file=sys.stderr)
    return result


def _code(result: ScanResult, options: ScanOptions, risk: Risk) -> int:
    """Say on stderr what is wrong with the data, and give the exit code for it."""
    tell_faults(result, options)
    return 0 if result.trustworthy or risk.allow_incomplete else INCOMPLETE


def _draw(drawing: Drawing, output: Output) -> None:
    if output.output == "-":
        show(drawing, columns=text_columns())
        return
    import io

    text = io.StringIO()
    show(drawing, text, columns=text_columns())
    save(output.output, text.getvalue().encode())


def _write_scan(result: ScanResult, output: Output, form: str, by: str, now: int) -> None:
    from scanner.export.documents import scan_json
    from scanner.export.tables import bands_csv, bands_parquet
    from scanner.render.heatmap import Heatmap

    if form == "table":
        _draw(Heatmap(result, now=now, by=by), output)
    elif form in ("svg", "png"):
        from scanner.render.picture import png, svg

        heatmap = Heatmap(result, now=now, by=by)
        save(output.output, svg(heatmap).encode() if form == "svg" else png(heatmap))
    else:
        writers = {"json": scan_json, "csv": bands_csv, "parquet": bands_parquet}
        save(output.output, writers[form](result))


def _check_output(form: str, output: Output) -> None:
    """Refuse an output that cannot be, before work is spent on it. Binary data on a terminal helps nobody."""
    check_file(output.output)
    text_columns()
    if form == "png" and find_spec("resvg_py") is None:
        raise ConfigError(
            "--format png needs the package resvg-py: install it where liqbands runs (pip install resvg-py, or in a "
            "clone .venv/bin/pip install -e '.[png]'), or use --format svg"
        )
    if form in ("parquet", "png") and output.output == "-" and sys.stdout.isatty():
        raise ConfigError(f"--format {form} is binary: give -o FILE")


def run_scan(reading: Reading, risk: Risk, output: Output, talk: Talk, form: str) -> int:
    """Scan and draw or write the bands."""
    _check_output(form, output)
    extent: Extent = "factor" if form in ("table", "svg", "png") else "factors"
    options = scan_options(reading, risk, extent)
    result = _scan(options, talk, warn=form != "table")
    _write_scan(result, output, form, risk.by, int(time.time()))
    return _code(result, options, risk)


def run_accounts(reading: Reading, risk: Risk, output: Output, talk: Talk, form: str, limit: int | None) -> int:
    """Scan and list accounts."""
    _check_output(form, output)
    if limit is not None and form != "table":
        raise ConfigError(f"--limit is for the table: --format {form} gives all accounts")
    extent: Extent = "factor" if form == "table" else "accounts"
    options = scan_options(reading, risk, extent)
    result = _scan(options, talk, warn=form != "table")
    if form == "table":
        from scanner.render.accounts import AccountsTable

        _draw(AccountsTable(result, now=int(time.time()), limit=40 if limit is None else limit), output)
    else:
        from scanner.export.documents import accounts_json_parts, accounts_ndjson
        from scanner.export.tables import accounts_csv, accounts_parquet

        writers: dict[str, Callable[[ScanResult], bytes | Iterable[bytes]]] = {
            "json": accounts_json_parts,
            "ndjson": accounts_ndjson,
            "csv": accounts_csv,
            "parquet": accounts_parquet,
        }
        save(output.output, writers[form](result))
    return _code(result, options, risk)


def run_account(address: str, reading: Reading, risk: Risk, output: Output, talk: Talk, form: str) -> int:
    """Read one account and show everything about it, the contract's own answer beside."""
    address = parse_address(address)
    _check_output(form, output)
    options = replace(scan_options(reading, risk), only=(address,), verify="all")
    result = _scan(options, talk, warn=form != "table")
    contract = result.contract_answers.get(address)
    if form == "json":
        from scanner.export.documents import account_json

        save(output.output, account_json(result, address, contract))
    else:
        from scanner.render.account import AccountDetail

        _draw(AccountDetail(result, address, now=int(time.time()), contract=contract), output)
    return _code(result, options, risk)


def run_devchain_command(
    kind: Literal["3.6", "3.0"], borrowers: int, seed: int, reserves: int | None, port: int
) -> int:
    """Run a local market until stopped."""
    from scanner.devchain import run_devchain
    from scanner.devchain.catalog import BASE_COUNT, MAX_RESERVES

    if reserves is not None and not BASE_COUNT <= reserves <= MAX_RESERVES:
        raise ConfigError(f"--reserves {reserves}: a market has {BASE_COUNT} to {MAX_RESERVES} reserves")

    def say(line: str) -> None:
        print(line, flush=True)

    run_devchain(kind, borrowers, seed, reserves or BASE_COUNT, port or None, say)
    return 0


def run_demo(risk: Risk, output: Output, talk: Talk, form: str) -> int:
    """Scan the bundled recording."""
    _check_output(form, output)
    if not DEMO.is_file():
        raise ConfigError(f"the demo's recording is not in this installation ({DEMO}); install the package again")
    extent: Extent = "factor" if form in ("table", "svg", "png") else "factors"
    options = scan_options(Reading(replay=DEMO), risk, extent)
    if not talk.quiet:
        print(
            "A recorded block of a local market: real Aave v3.6 contracts on a local node, made-up accounts and "
            "prices. No node or network is used.",
            file=sys.stderr,
        )
    result = _scan(options, talk, warn=form != "table")
    _write_scan(result, output, form, risk.by, result.snapshot.block_timestamp)
    return _code(result, options, risk)
