"""The index command: find borrowers, import and export lists of them."""

from __future__ import annotations

import sys

from scanner.cli.addresses import parse_addresses
from scanner.cli.commands import connecting, progress_of, scan_options
from scanner.cli.files import check_file, load_text, save
from scanner.cli.options import Reading, Talk, Where
from scanner.config import data_dir, text_columns
from scanner.discovery import check_start, discover
from scanner.errors import ConfigError
from scanner.options import parse_duration
from scanner.reading import open_index
from scanner.render.accounts import index_table
from scanner.render.console import show
from scanner.render.words import clean
from scanner.sources import begin, open_source
from scanner.store.index import IndexStatus
from scanner.targets import resolve_targets
from scanner.views import eip55

__all__ = ["run_index"]


def _check_usage(
    where: Where, import_: str | None, covered_to: int | None, export: str | None, *, status: bool, rebuild: bool
) -> None:
    """Refuse options that contradict each other, and a file that cannot be, before work is spent on them."""
    if covered_to is not None and import_ is None:
        raise ConfigError("--covered-to goes with --import: it says up to which block the imported list is complete")
    if covered_to is not None and covered_to < 0:
        raise ConfigError(f"--covered-to {covered_to}: a block number is not below zero")
    if status and import_ is not None:
        raise ConfigError("--status changes nothing: it cannot go together with --import")
    if rebuild:
        given = {"--import": import_ is not None, "--status": status, "--no-discover": not where.discover}
        for name in (name for name, used in given.items() if used):
            raise ConfigError(f"--rebuild reads all logs again: it cannot go together with {name}")
    text_columns()
    if export is not None:
        check_file(export)


def run_index(
    where: Where,
    talk: Talk,
    import_: str | None,
    covered_to: int | None,
    export: str | None,
    *,
    status: bool,
    rebuild: bool,
) -> int:
    """Bring the index of each market up to date, or import, export, show it."""
    _check_usage(where, import_, covered_to, export, status=status, rebuild=rebuild)
    imported = parse_addresses(load_text(import_), import_) if import_ is not None else []
    options = scan_options(Reading(**vars(where)))
    looking = options.discover and not status and (import_ is None or export is not None)
    states: list[tuple[str, IndexStatus]] = []
    owners: dict[str, None] = {}
    notes: list[str] = []
    with progress_of(talk) as progress:
        connecting(options, progress)
        with (
            begin(parse_duration(options.time_limit), options.transport_log, data_dir()) as session,
            open_source(
                options.rpc_urls,
                chain=options.chain,
                block=options.block,
                record=None,
                replay=None,
                quorum=1 if status else options.quorum,  # nothing of what endpoints say is shown
                session=session,
            ) as source,
        ):
            chain = source.reader
            pinned = chain.block.number
            if covered_to is not None and covered_to > pinned:
                raise ConfigError(
                    f"--covered-to {covered_to} is after block {pinned}, at which the chain is read: no list can be "
                    "complete up to there; nothing imported"
                )
            for target in resolve_targets(chain, options.markets, options.protocol, options.from_block):
                check_start(target.first_block, pinned)
                with open_index(chain, target, options.index_file) as index:
                    if rebuild:
                        index.rebuild()
                    if imported:
                        index.import_list(imported, covered_to)
                    unfinal: set[str] = set()
                    if looking:
                        progress.stage(f"finding borrowers of {target.name}")
                        found = discover(
                            chain, target.protocol.discovery(chain, target.root), index, progress=progress.update
                        )
                        unfinal.update(found.active)
                    known = index.owners()
                    unfinal.difference_update(known)
                    owners.update(dict.fromkeys(sorted({*known, *unfinal})))
                    states.append((target.name, index.status()))
                    notes += _notes(*states[-1], len(unfinal), exported=export is not None, imported=bool(imported))
    if export is not None:
        save(export, "".join(f"{owner}\n" for owner in owners).encode())
        if not owners:
            notes.append("warning: no borrower is known, so the export is empty")
    if export != "-":
        show(index_table(states), columns=text_columns())
        for name, state in states:
            print(f" file of {clean(name, 50)}: {state.path}")
    notes += [f"warning: {eip55(warning)}" for warning in source.warnings]
    if imported:
        notes.append(f"imported {len(imported):,} addresses; a scan proves whether any debt is missing")
    if not talk.quiet:
        print("".join(f"{note}\n" for note in notes), end="", file=sys.stderr)
    return 0


def _notes(name: str, state: IndexStatus, unfinal: int, *, exported: bool, imported: bool) -> list[str]:
    """Say what the table cannot: which borrowers are not in the index yet."""
    if unfinal:
        where = "the export has them too" if exported else "each scan reads those anew"
        return [f"{clean(name, 50)}: {unfinal:,} more borrowers are in blocks that are not final yet; {where}"]
    if state.covered_to < state.first_block and not imported:
        return [f"{clean(name, 50)}: no logs are kept yet: the index covers final blocks only, a scan reads the others"]
    return []
