"""A world per revision, once per process, and the counts at the end of the run."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest

from scanner.config import cache_dir
from scanner.devchain import install
from scanner.devchain.market import Kind
from tests.chaos.run import from_plain, table
from tests.chaos.worlds import ChaosWorld, open_world

Worlds = Callable[[Kind], ChaosWorld]


@pytest.fixture(scope="session")
def worlds(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Worlds]:
    """Give a function that gives the world of a revision, started when it is first asked for."""
    folder = tmp_path_factory.mktemp("chaos")
    started: dict[Kind, ChaosWorld] = {}
    with ExitStack() as stack:

        def world(kind: Kind) -> ChaosWorld:
            if kind not in started:
                started[kind] = stack.enter_context(open_world(install(cache_dir()), kind, folder))
            return started[kind]

        yield world


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print what came of the scenarios, also those that other processes ran."""
    found = [
        record
        for reports in terminalreporter.stats.values()
        for report in reports
        if isinstance(report, pytest.TestReport) and report.when == "call"
        for name, records in report.user_properties
        if name == "chaos" and isinstance(records, list)
        for record in records
    ]
    if found:
        terminalreporter.section("chaos: what came of the scenarios")
        for line in table(from_plain(record) for record in found):
            terminalreporter.write_line(line)
