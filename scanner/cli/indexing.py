"""The index command: find borrowers, import and export lists of them."""

from __future__ import annotations

import re
import sys
from dataclasses import replace

from scanner.cli.commands import scan_options
from scanner.cli.files import check_folder, load_text, save
from scanner.cli.options import Reading, Talk
from scanner.discovery import discover
from scanner.errors import ConfigError
from scanner.reading import open_index
from scanner.render.accounts import index_table
from scanner.render.console import show
from scanner.render.progress import Progress
from scanner.sources import open_source
from scanner.targets import resolve_targets

__all__ = ["parse_addresses", "run_index"]

_ADDRESS = re.compile(r"0x[0-9a-fA-F]{40}")


def parse_addresses(text: str, name: str) -> list[str]:
    """Read addresses from lines, CSV or JSON; raises ConfigError that names the first line without one.

    A first line without an address is taken for a header; blank lines and lines that start with # are skipped.
    """
    found: dict[str, None] = {}
    for number, line in enumerate(text.splitlines(), 1):
        content = line.strip().strip("[],")
        if not content or content.startswith("#"):
            continue
        addresses = re.findall(r"0x\w*", content)
        if not addresses and number == 1:
            continue
        wrong = [address for address in addresses if not _ADDRESS.fullmatch(address)]
        if wrong or not addresses:
            raise ConfigError(
                f"{name}, line {number}: {(wrong or [content])[0][:60]!r} is not an address; nothing imported"
            )
        found.update((address.lower(), None) for address in addresses)
    return list(found)


def run_index(
    reading: Reading, talk: Talk, import_: str | None, covered_to: int | None, export: str | None, status: bool
) -> int:
    """Bring the index of each market up to date, or import, export, show it."""
    if covered_to is not None and import_ is None:
        raise ConfigError("--covered-to goes with --import: it says up to which block the imported list is complete")
    if export is not None:
        check_folder(export)
    imported = parse_addresses(load_text(import_), import_) if import_ is not None else []
    options = replace(scan_options(reading), record=None)
    if options.replay is not None:
        raise ConfigError("an index is of a live chain: --replay does not go with it")
    states, owners = [], []
    with (
        open_source(options.rpc_urls, chain=options.chain, block=options.block, record=None, replay=None) as source,
        Progress(enabled=talk.progress and not talk.quiet) as progress,
    ):
        chain = source.reader
        for target in resolve_targets(chain, options.markets, options.protocol, options.from_block):
            with open_index(chain, target, options.index_file) as index:
                if imported:
                    index.add([(owner, owner, 0) for owner in imported], covered_to)
                if not status and not (import_ or export) and options.discover:
                    progress.stage(f"finding borrowers of {target.name}")
                    discover(chain, target.protocol.discovery(chain, target.root), index, progress=progress.update)
                owners += index.owners()
                states.append((target.name, index.status()))
    if export is not None:
        save(export, "".join(f"{owner}\n" for owner in dict.fromkeys(owners)).encode())
    if export != "-":
        show(index_table(states))
    if imported and not talk.quiet:
        print(f"imported {len(imported):,} addresses; a scan proves whether any debt is missing", file=sys.stderr)
    return 0
