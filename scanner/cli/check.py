"""The check command: read, change, compare with limits, tell whoever asked."""

from __future__ import annotations

import sys
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Final

from scanner.check import judge, refuse_incomparable
from scanner.cli.check_options import Limiting, Reports
from scanner.cli.commands import connecting, draw, progress_of
from scanner.cli.faults import tell_faults
from scanner.cli.files import check_file, load_text, save
from scanner.cli.fork_options import Fork
from scanner.cli.gather import fork_payload, scan_options, what_if
from scanner.cli.impacts import impact_fields, impact_words
from scanner.cli.options import Output, ProvenRisk, Reading, Talk, WhatIfs
from scanner.cli.reproduce import command_line, limit_words
from scanner.compare import ImpactRow, impact_table
from scanner.config import config_file, load_file, on_github, step_summary, text_columns
from scanner.earlier import read_facts
from scanner.errors import ConfigError
from scanner.facts import Facts, facts_of
from scanner.findings import headline, summary_line, tame
from scanner.limits import At, Limits, limits_of, merged, parse_limits
from scanner.options import ScanOptions, parse_timestamp
from scanner.pipeline import Scanned, rescanned, scan_read
from scanner.verdict import Finding, Verdict
from scanner.views import eip55
from scanner.whatif import WhatIf, parse_whatif

if TYPE_CHECKING:
    from scanner.fork import Payload

__all__ = ["load_facts", "run_check"]

_FILE: Final = "liqbands.toml"


@dataclass(frozen=True)
class _States:
    """What was read, and what is judged; ``before`` is None where nothing is changed."""

    before: Scanned | None
    after: Scanned

    @property
    def first(self) -> Scanned:
        return self.before or self.after


def run_check(
    reading: Reading,
    risk: ProvenRisk,
    whatifs: WhatIfs,
    fork: Fork,
    limiting: Limiting,
    output: Output,
    talk: Talk,
    reports: Reports,
    form: str,
) -> int:
    """Judge one block, or a change of it, by limits."""
    what, payload = what_if(whatifs), fork_payload(fork)
    if what.seconds and risk.for_timestamp is not None:
        raise ConfigError(
            "--time lets time pass after the change only, --for-timestamp judges before and after at one time: give one"
        )
    _check_files(output, reports)
    given = _limits(reading, limiting, changes=bool(what) or payload is not None)
    limits = given or replace(given, max_new_liquidatable=0)
    options = scan_options(reading, risk, "factor")
    baseline = None if limiting.baseline is None else load_facts(limiting.baseline)
    states, table, shocked = _compute(options, what, payload, fork, limits, talk)
    block = states.first.result.snapshot.block_number

    def reproduce(finding: Finding) -> str:
        words = limit_words(finding, limiting)
        verify = "all" if finding.limit == "require_verified" else risk.verify
        shown = replace(risk, allow_incomplete=False, verify=verify)
        return command_line(reading, block, (shown, whatifs, fork), words)

    verdict = judge(
        None if states.before is None else facts_of(states.before.result),
        facts_of(states.after.result),
        limits,
        baseline,
        shocked=shocked,
        reproduce=reproduce,
        allow_incomplete=risk.allow_incomplete,
    )
    if not given and not talk.quiet:
        print("no limit is given: no account may become liquidatable", file=sys.stderr)
    _tell(verdict, table, output, reports, form, _limits_file(reading))
    if not talk.quiet:
        for warning in states.first.result.warnings:
            print(tame(f"warning: {eip55(warning)}"), file=sys.stderr)
    tell_faults(states.first.result, options)
    if form != "table" and not talk.quiet:
        print(tame(summary_line(verdict)), file=sys.stderr)
        for finding in (*verdict.of("broken"), *verdict.of("unjudged")):
            print(tame(headline(finding)), file=sys.stderr)
    return verdict.exit_code


def load_facts(name: str) -> Facts:
    """Read a scan or accounts document from a file or, for ``-``, stdin. Raises ConfigError, DataError."""
    return read_facts(load_text(name).encode(), "stdin" if name == "-" else name)


def _limits_file(reading: Reading) -> str:
    path = config_file(reading.config)
    return _FILE if path is None else path.as_posix()


def _limits(reading: Reading, limiting: Limiting, *, changes: bool) -> Limits:
    """Put together the limits of the file and of the command line; none only where there is a change."""
    given = limits_of(
        limiting.max_new_liquidatable,
        limiting.max_liquidatable,
        limiting.max_seizable,
        limiting.max_largest_account,
        limiting.max_bad_debt,
        limiting.max_unpriced_debt,
    )
    file = load_file(config_file(reading.config))
    limits = merged(parse_limits(file.check, _limits_file(reading)), given)
    refuse_incomparable(limits, changes=changes, baseline=limiting.baseline is not None)
    if limits or changes:
        return limits
    if limiting.baseline is None:
        raise ConfigError(
            "nothing to check: give a limit such as --max-seizable ETH:-5%=50M, a table [check] in liqbands.toml, or a "
            "change such as --set-lt USDC=76%"
        )
    raise ConfigError("--baseline alone judges nothing: give --max-new-liquidatable, or [check.baseline] tolerances")


def _compute(
    options: ScanOptions, what: WhatIf, payload: Payload | None, fork: Fork, limits: Limits, talk: Talk
) -> tuple[_States, tuple[ImpactRow, ...] | None, dict[At, Facts]]:
    """Read, change (a fork first, then a what-if on top), and move prices to where limits look."""
    with progress_of(talk) as progress:
        connecting(options, progress)
        moment, options = options.for_timestamp, replace(options, for_timestamp=None)
        if payload is not None:
            from scanner.fork import scan_fork, scan_simulated

            scan = scan_simulated if fork.simulate else scan_fork
            states = _States(*scan(options, payload, progress))
        else:
            states = _States(None, scan_read(options, listener=progress))
        progress.stage("computing")
        if moment is not None:
            before = None if states.before is None else _at_time(states.before, moment, options)
            states = _States(before, _at_time(states.after, moment, options))
        table = None
        if what:
            table = impact_table(states.after, what, options)
            states = _States(states.first, rescanned(states.after, what, options))
        points = replace(options, extent="points")
        shocked = {
            at: facts_of(rescanned(states.after, parse_whatif(shock=[at.shock]), points).result, f"at {at}")
            for at in limits.places
        }
    return states, table, shocked


def _at_time(scanned: Scanned, text: str, options: ScanOptions) -> Scanned:
    """Let time pass until the moment that all is judged at: amounts and health too are those of that time."""
    moment, now = parse_timestamp(text, scanned.result.snapshot.block_timestamp), scanned.reads[0].market.timestamp
    if moment < now:
        raise ConfigError(f"--for-timestamp {text} is before the fork's own time: its payload lets time pass")
    if moment == now:
        return scanned
    later = rescanned(scanned, WhatIf(seconds=moment - now), options)
    checked = [market.verified_accounts for market in scanned.result.markets]  # what was read was compared all the same
    markets = [replace(m, verified_accounts=n) for m, n in zip(later.result.markets, checked, strict=True)]
    return replace(later, result=replace(later.result, markets=tuple(markets)))


def _check_files(output: Output, reports: Reports) -> None:
    """Refuse files that cannot be written before work is spent on them."""
    text_columns()
    files = (reports.document, reports.junit, reports.sarif, _summary_file(reports))
    named = [output.output, *(str(path) for path in files if path)]
    for path in named:
        check_file(path)
    real = [str(Path(path).resolve()) for path in named if path != "-"]
    if twice := {path for path in real if real.count(path) > 1}:
        raise ConfigError(f"two outputs name {Path(min(twice)).name}: give each a file of its own")


def _summary_file(reports: Reports) -> Path | None:
    return reports.summary or step_summary()


def _tell(
    verdict: Verdict,
    table: tuple[ImpactRow, ...] | None,
    output: Output,
    reports: Reports,
    form: str,
    limits_file: str,
) -> None:
    from scanner.export.check_document import check_json
    from scanner.export.ci import github_annotations, junit, sarif
    from scanner.export.markdown import SUMMARY_BYTES, bounded, check_markdown

    words = None if table is None else impact_words(table)
    markdown = check_markdown(verdict, words)
    document = check_json(verdict, None if table is None else [impact_fields(row) for row in table])
    if form == "table":
        from scanner.render.check import CheckReport

        draw(CheckReport(verdict, words), output)
    elif form == "json":
        save(output.output, document)
    else:
        save(output.output, markdown.encode())
    if reports.document is not None:
        save(str(reports.document), document)
    if reports.junit is not None:
        save(str(reports.junit), junit(verdict))
    if reports.sarif is not None:
        save(str(reports.sarif), sarif(verdict, limits_file))
    if reports.summary is not None:
        save(str(reports.summary), bounded(markdown).encode())
    elif (path := step_summary()) is not None:
        had = path.read_bytes() if path.is_file() else b""  # other commands of the step wrote it
        save(str(path), had + bounded(markdown, max(SUMMARY_BYTES - len(had), 200)).encode())
    if reports.annotations if reports.annotations is not None else on_github():
        sys.stdout.flush()
        for line in github_annotations(verdict):
            print(line, file=sys.stderr)
