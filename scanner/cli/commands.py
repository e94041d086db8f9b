"""What the commands do: options in, a scan, a renderer or an exporter, an exit code."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from typing import Final, Literal

from scanner.chain.spec import specs_of
from scanner.cli.addresses import parse_address
from scanner.cli.faults import tell_faults
from scanner.cli.files import check_file, save
from scanner.cli.gather import Extent, scan_options, what_if
from scanner.cli.options import Output, Reading, Risk, Talk, WhatIfs
from scanner.config import text_columns
from scanner.errors import ConfigError
from scanner.options import ScanOptions
from scanner.pipeline import Scanned, rescanned, scan_read
from scanner.render.console import show
from scanner.render.lines import Drawing
from scanner.render.progress import Progress
from scanner.results import ScanResult
from scanner.views import eip55
from scanner.whatif import WhatIf

__all__ = [
    "INCOMPLETE",
    "check_output",
    "connecting",
    "draw",
    "exit_code",
    "progress_of",
    "run_account",
    "run_accounts",
    "run_demo",
    "run_devchain_command",
    "run_scan",
    "scan_options",
    "scan_what",
    "what_if",
]

INCOMPLETE: Final = 4
_NO_WHAT_IFS = WhatIfs()
DEMO = Path(__file__).parent.parent / "demo" / "aave-v3.6.rec"


def connecting(options: ScanOptions, progress: Progress) -> None:
    """Show whom we wait for until the node's first answer; never more of the URL than its host."""
    hosts = [spec.host for spec in specs_of(options.rpc_urls)]
    if hosts:
        progress.stage(f"connecting to {', '.join(hosts)}")


@contextmanager
def progress_of(talk: Talk) -> Iterator[Progress]:
    """Show progress unless it is not wanted."""
    with Progress(enabled=talk.progress and not talk.quiet) as progress:
        yield progress


def scan_what(options: ScanOptions, talk: Talk, *, warn: bool = True, what: WhatIf | None = None) -> Scanned:
    """Scan, with progress and (where the output does not show them itself) warnings on stderr.

    With a what-if, the block is only read and verified, and everything is computed as after the change.
    """
    with progress_of(talk) as progress:
        connecting(options, progress)
        if what:
            read = scan_read(replace(options, extent="points", for_timestamp=None), listener=progress)
            progress.stage("computing the what-if")
            scanned = rescanned(read, what, options)
        else:
            scanned = scan_read(options, listener=progress)
    result = scanned.result
    if warn and not talk.quiet:
        for warning in result.warnings:
            print(f"warning: {eip55(warning)}", file=sys.stderr)
    if talk.verbose:
        print(", ".join(f"{stage} {spent:.2f} s" for stage, spent in result.snapshot.seconds.items()), file=sys.stderr)
    return scanned


def _scan(options: ScanOptions, talk: Talk, *, warn: bool = True, what: WhatIf | None = None) -> ScanResult:
    return scan_what(options, talk, warn=warn, what=what).result


def exit_code(result: ScanResult, options: ScanOptions, risk: Risk) -> int:
    """Say on stderr what is wrong with the data, and give the exit code for it."""
    tell_faults(result, options)
    return 0 if result.trustworthy or risk.allow_incomplete else INCOMPLETE


def draw(drawing: Drawing, output: Output) -> None:
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
        draw(Heatmap(result, now=now, by=by), output)
    elif form in ("svg", "png"):
        from scanner.render.picture import png, svg

        heatmap = Heatmap(result, now=now, by=by)
        save(output.output, svg(heatmap).encode() if form == "svg" else png(heatmap))
    else:
        writers = {"json": scan_json, "csv": bands_csv, "parquet": bands_parquet}
        save(output.output, writers[form](result))


def check_output(form: str, output: Output) -> None:
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


def run_scan(
    reading: Reading, risk: Risk, output: Output, talk: Talk, form: str, whatifs: WhatIfs = _NO_WHAT_IFS
) -> int:
    """Scan and draw or write the bands."""
    what = what_if(whatifs)
    check_output(form, output)
    extent: Extent = "factor" if form in ("table", "svg", "png") else "factors"
    options = scan_options(reading, risk, extent)
    result = _scan(options, talk, warn=form != "table", what=what)
    _write_scan(result, output, form, risk.by, int(time.time()))
    return exit_code(result, options, risk)


def run_accounts(
    reading: Reading,
    risk: Risk,
    output: Output,
    talk: Talk,
    form: str,
    limit: int | None,
    whatifs: WhatIfs = _NO_WHAT_IFS,
    *,
    quoted: bool = False,
) -> int:
    """Scan and list accounts."""
    what = what_if(whatifs)
    check_output(form, output)
    if quoted and form not in ("json", "ndjson"):
        raise ConfigError(f"--quotes is for --format json and ndjson, not {form}; liqbands quote has a table")
    if limit is not None and form != "table":
        raise ConfigError(f"--limit is for the table: --format {form} gives all accounts")
    extent: Extent = "factor" if form == "table" else "accounts"
    options = scan_options(reading, risk, extent)
    scanned = scan_what(options, talk, warn=form != "table", what=what)
    result = scanned.result
    if quoted:
        from scanner.cli.quote import quotes_of
        from scanner.export.documents import accounts_json_parts, accounts_ndjson

        frame, _ = quotes_of(scanned, options)
        save(output.output, (accounts_json_parts if form == "json" else accounts_ndjson)(result, frame))
    elif form == "table":
        from scanner.render.accounts import AccountsTable

        draw(AccountsTable(result, now=int(time.time()), limit=40 if limit is None else limit), output)
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
    return exit_code(result, options, risk)


def run_account(
    address: str,
    reading: Reading,
    risk: Risk,
    output: Output,
    talk: Talk,
    form: str,
    whatifs: WhatIfs = _NO_WHAT_IFS,
) -> int:
    """Read one account and show everything about it, the contract's own answer beside.

    No contract answers for a what-if.
    """
    what, address = what_if(whatifs), parse_address(address)
    check_output(form, output)
    options = replace(scan_options(reading, risk), only=(address,), verify="all")
    result = _scan(options, talk, warn=form != "table", what=what)
    contract = result.contract_answers.get(address)
    if form == "json":
        from scanner.export.documents import account_json

        save(output.output, account_json(result, address, contract))
    else:
        from scanner.render.account import AccountDetail

        draw(AccountDetail(result, address, now=int(time.time()), contract=contract), output)
    return exit_code(result, options, risk)


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
    check_output(form, output)
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
    return exit_code(result, options, risk)
