"""What the commands do: options in, a scan, a renderer or an exporter, an exit code."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Literal

from scanner.cli.files import check_folder, save
from scanner.cli.options import Output, Reading, Risk, Talk
from scanner.config import FileConfig, config_file, load_file, resolve_rpc_urls, text_columns
from scanner.errors import ConfigError
from scanner.options import ScanOptions
from scanner.pipeline import scan
from scanner.render.console import show
from scanner.render.lines import Drawing
from scanner.render.progress import Progress
from scanner.results import ScanResult

__all__ = ["run_account", "run_accounts", "run_demo", "run_devchain_command", "run_scan", "scan_options"]

INCOMPLETE = 4
DEMO = Path(__file__).parent.parent / "demo" / "aave-v3.6.rec"

Extent = Literal["factor", "factors", "accounts"]


def scan_options(reading: Reading, risk: Risk | None = None, extent: Extent = "accounts") -> ScanOptions:
    """Put together command line, environment and configuration file."""
    file = load_file(config_file(reading.config)) if reading.replay is None or reading.config else FileConfig()
    chain = reading.chain or file.chain
    urls = () if reading.replay is not None else resolve_rpc_urls(reading.rpc_url, chain, file)
    options = ScanOptions(
        rpc_urls=urls,
        chain=chain,
        protocol=reading.protocol,
        markets=reading.market or tuple(file.market),
        from_block=reading.from_block,
        block=reading.block,
        discover=reading.discover,
        index_file=reading.index_file,
        record=reading.record,
        replay=reading.replay,
        factors=file.factors,
        extent=extent,
    )
    if risk is None:
        return options
    return replace(
        options,
        factor=risk.factor or file.factor,
        bands=risk.bands if risk.bands != "1%" else file.bands or risk.bands,
        by=risk.by,
        verify=risk.verify,
        for_timestamp=risk.for_timestamp,
    )


@contextmanager
def _progress(talk: Talk) -> Iterator[Progress]:
    with Progress(enabled=talk.progress and not talk.quiet) as progress:
        yield progress


def _scan(options: ScanOptions, talk: Talk, *, warn: bool = True) -> ScanResult:
    """Scan, with progress and (where the output does not show them itself) warnings on stderr."""
    with _progress(talk) as progress:
        result = scan(options, listener=progress)
    if warn and not talk.quiet:
        for warning in result.warnings:
            print(f"warning: {warning}", file=sys.stderr)
    if talk.verbose:
        print(", ".join(f"{stage} {spent:.2f} s" for stage, spent in result.snapshot.seconds.items()), file=sys.stderr)
    return result


def _code(result: ScanResult, risk: Risk) -> int:
    """Say on stderr what is wrong with the data, and give the exit code for it."""
    for market in result.markets:
        for proof in market.completeness:
            if not proof.complete:
                print(f"incomplete: {market.name}: {proof.describe()}", file=sys.stderr)
        if market.unread:
            print(f"incomplete: {market.name}: {market.unread} accounts could not be read", file=sys.stderr)
        if market.mismatches:
            some = ", ".join(market.mismatches[:10]) + (", ..." if len(market.mismatches) > 10 else "")
            print(
                f"mismatch: {market.name}: {len(market.mismatches)} of {market.verified_accounts} verified accounts "
                f"differ from the contract: {some}",
                file=sys.stderr,
            )
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
    check_folder(output.output)
    if form in ("parquet", "png") and output.output == "-" and sys.stdout.isatty():
        raise ConfigError(f"--format {form} is binary: give -o FILE")


def run_scan(reading: Reading, risk: Risk, output: Output, talk: Talk, form: str) -> int:
    """Scan and draw or write the bands."""
    _check_output(form, output)
    extent: Extent = "factor" if form in ("table", "svg", "png") else "factors"
    result = _scan(scan_options(reading, risk, extent), talk, warn=form != "table")
    _write_scan(result, output, form, risk.by, int(time.time()))
    return _code(result, risk)


def run_accounts(reading: Reading, risk: Risk, output: Output, talk: Talk, form: str, limit: int | None) -> int:
    """Scan and list accounts."""
    _check_output(form, output)
    extent: Extent = "factor" if form == "table" else "accounts"
    result = _scan(scan_options(reading, risk, extent), talk, warn=form != "table")
    if form == "table":
        from scanner.render.accounts import AccountsTable

        _draw(AccountsTable(result, now=int(time.time()), limit=40 if limit is None else limit), output)
    else:
        from scanner.export.documents import accounts_json, accounts_ndjson
        from scanner.export.tables import accounts_csv, accounts_parquet

        writers = {
            "json": accounts_json,
            "ndjson": lambda r: b"".join(accounts_ndjson(r)),
            "csv": accounts_csv,
            "parquet": accounts_parquet,
        }
        save(output.output, writers[form](result))
    return _code(result, risk)


def run_account(address: str, reading: Reading, risk: Risk, output: Output, talk: Talk, form: str) -> int:
    """Read one account and show everything about it, the contract's own answer beside."""
    import re

    if not re.fullmatch(r"0x[0-9a-fA-F]{40}", address):
        raise ConfigError(f"{address} is not an address: 0x and 40 hex digits")
    _check_output(form, output)
    options = replace(scan_options(reading, risk), only=(address.lower(),), verify="all")
    result = _scan(options, talk, warn=form != "table")
    contract = result.contract_answers.get(address.lower())
    if form == "json":
        from scanner.export.documents import account_json

        save(output.output, account_json(result, address, contract))
    else:
        from scanner.render.account import AccountDetail

        _draw(AccountDetail(result, address, now=int(time.time()), contract=contract), output)
    return _code(result, risk)


def run_devchain_command(
    kind: Literal["3.6", "3.0"], borrowers: int, seed: int, reserves: int | None, port: int
) -> int:
    """Run a local market until stopped."""
    from scanner.devchain import run_devchain
    from scanner.devchain.catalog import BASE_COUNT

    def say(line: str) -> None:
        print(line, flush=True)

    run_devchain(kind, borrowers, seed, reserves or BASE_COUNT, port or None, say)
    return 0


def run_demo(risk: Risk, output: Output, form: str) -> int:
    """Scan the bundled recording."""
    _check_output(form, output)
    if not DEMO.is_file():
        raise ConfigError(f"the demo's recording is not in this installation ({DEMO}); install the package again")
    extent: Extent = "factor" if form in ("table", "svg", "png") else "factors"
    options = scan_options(Reading(replay=DEMO), risk, extent)
    print(
        "A recorded block of a local market: real Aave v3.6 contracts on a local node, made-up accounts and prices. "
        "No node or network is used.",
        file=sys.stderr,
    )
    result = scan(options)
    _write_scan(result, output, form, risk.by, result.snapshot.block_timestamp)
    return _code(result, risk)
