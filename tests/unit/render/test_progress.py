"""Progress speaks on a terminal, whispers into a file, and can be silent."""

from __future__ import annotations

import io

from scanner.render.progress import Progress


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_file_gets_a_plain_line_every_few_seconds_with_rate_and_time_left() -> None:
    file, clock, done = io.StringIO(), Clock(), 0
    with Progress(file=file, clock=clock) as progress:
        progress.stage("reading accounts", 41_208)
        for _ in range(100):
            clock.now += 0.1
            done += 100
            progress.update(done)

    lines = file.getvalue().splitlines()
    assert lines[0] == "reading accounts: 5,000 of 41,208 (12%), 1,000/s, 36 s left" or lines[0].startswith(
        "reading accounts: 5,1"
    )
    assert len(lines) in (1, 2)
    assert "\x1b" not in file.getvalue()


def test_short_work_says_nothing_in_a_file() -> None:
    file, clock = io.StringIO(), Clock()
    with Progress(file=file, clock=clock) as progress:
        progress.stage("logs")
        clock.now += 1
        progress.update(10, 20)

    assert file.getvalue() == ""


def test_unknown_total_has_no_time_left() -> None:
    file, clock = io.StringIO(), Clock()
    with Progress(file=file, clock=clock) as progress:
        progress.stage("logs")
        clock.now += 10
        progress.update(50)

    assert file.getvalue() == "logs: 50, 5/s\n"


def test_disabled_says_nothing_anywhere() -> None:
    for file in (io.StringIO(), Terminal()):
        clock = Clock()
        with Progress(enabled=False, file=file, clock=clock) as progress:
            progress.stage("reading", 10)
            clock.now += 100
            progress.update(10)
        assert file.getvalue() == ""


def test_terminal_shows_a_bar(monkeypatch) -> None:  # type: ignore[no-untyped-def]
    monkeypatch.setenv("TERM", "xterm-256color")
    file = Terminal()
    with Progress(file=file) as progress:
        progress.stage("reading accounts [x]", 10)
        progress.update(4)
        progress.stage("risk")
        progress.update(1, 2)

    assert "reading accounts [x]" in file.getvalue()


def test_what_is_not_counted_shows_no_count() -> None:
    terminal = Terminal()
    with Progress(file=terminal) as progress:
        progress.stage("finding borrowers")
        assert progress._live is not None
        progress._live.refresh()
    assert "finding borrowers" in terminal.getvalue()
    assert "?" not in terminal.getvalue().replace("\x1b[?25l", "").replace("\x1b[?25h", "")


def test_a_wait_is_told_until_something_moves() -> None:
    terminal = Terminal()
    with Progress(file=terminal) as progress:
        progress.stage("reading accounts", 10)
        progress.note("node.example asks to wait 8 s")
        assert progress._live is not None
        assert progress._live.tasks[0].description == "reading accounts: node.example asks to wait 8 s"
        progress.update(5)
        assert progress._live.tasks[0].description == "reading accounts"


def test_a_wait_is_told_in_a_file_too() -> None:
    file, clock = io.StringIO(), Clock()
    with Progress(file=file, clock=clock) as progress:
        progress.stage("reading accounts", 10)
        clock.now += 6
        progress.note("node.example asks to wait 8 s")
    assert file.getvalue() == "reading accounts: node.example asks to wait 8 s\n"
