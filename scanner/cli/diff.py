"""The diff command: two scans, each a document or a block, and what changed between them."""

from __future__ import annotations

import re
import sys
from dataclasses import replace
from pathlib import Path
from typing import Final

from scanner.cli.check import load_facts
from scanner.cli.commands import INCOMPLETE, connecting, draw, progress_of
from scanner.cli.files import check_file, save
from scanner.cli.gather import scan_options
from scanner.cli.options import Output, ProvenRisk, Reading, Talk
from scanner.config import text_columns
from scanner.diff import compare_facts
from scanner.errors import ConfigError
from scanner.facts import Facts, facts_of
from scanner.findings import tame
from scanner.pipeline import scan

__all__ = ["run_diff"]

_BLOCK: Final = re.compile(r"-?[0-9]{1,15}|latest|safe|finalized|pending|earliest|0x[0-9a-fA-F]{64}")


def _is_block(text: str) -> bool:
    """Say whether a side is a block; a file of that name is written ./NAME."""
    return _BLOCK.fullmatch(text) is not None


def run_diff(
    before: str,
    after: str,
    reading: Reading,
    risk: ProvenRisk,
    output: Output,
    talk: Talk,
    form: str,
    *,
    exit_code: bool,
) -> int:
    """Compare two scans; exit 0, or 1 where they differ and that is asked for, 4 where one cannot be trusted."""
    check_file(output.output)
    text_columns()
    sides = (before, after)
    if sides == ("-", "-"):
        raise ConfigError("only one of the two can be read from stdin")
    if reading.block is not None or reading.replay is not None or reading.record is not None:
        raise ConfigError("a diff names its blocks itself: leave out --block, --replay and --record")
    for side in sides:
        if side != "-" and not _is_block(side) and not Path(side).exists():
            raise ConfigError(
                f"{side}: there is no such file, and no block is named so (a number, latest, -100, 0xHASH)"
            )
    first, second = (load_facts(side) if not _is_block(side) else _scan(side, reading, risk, talk) for side in sides)
    one, other = first.snapshot.chain_id, second.snapshot.chain_id
    if one != other:
        raise ConfigError(f"{first.name} is of chain {one}, {second.name} of chain {other}: compare one chain")
    if set(first.markets) != set(second.markets):
        told = (f"{facts.name} is of {', '.join(sorted(facts.markets)) or 'no market'}" for facts in (first, second))
        raise ConfigError(f"{'; '.join(told)}: compare the same markets")
    difference = compare_facts(first, second)
    if form == "table":
        from scanner.render.check import DiffReport

        draw(DiffReport(difference), output)
    elif form == "json":
        from scanner.export.check_document import diff_json

        save(output.output, diff_json(difference))
    else:
        from scanner.export.markdown import diff_markdown

        save(output.output, diff_markdown(difference).encode())
    faults = [(facts.name, fault) for facts in (first, second) for fault in facts.faults]
    for name, fault in faults:
        print(tame(f"{fault.kind}: {name}: {fault.text}"), file=sys.stderr)
    if faults and not risk.allow_incomplete:
        return INCOMPLETE
    return int(exit_code and difference.different)


def _scan(block: str, reading: Reading, risk: ProvenRisk, talk: Talk) -> Facts:
    options = scan_options(replace(reading, block=block), risk, "factor")
    with progress_of(talk) as progress:
        connecting(options, progress)
        return facts_of(scan(options, listener=progress))
