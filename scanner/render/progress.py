"""Progress of long work on stderr: a live bar on a terminal, a plain line now and then elsewhere."""

from __future__ import annotations

import time
from collections.abc import Callable
from types import TracebackType
from typing import IO, Final, Self

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, ProgressColumn, Task, TaskID, TextColumn, TimeRemainingColumn
from rich.progress import Progress as RichProgress
from rich.text import Text

from scanner.render.words import count

__all__ = ["Progress"]

_PLAIN_EVERY: Final = 5.0  # seconds between plain lines; work that is done sooner says nothing


class _Rate(ProgressColumn):
    """Units a second."""

    def render(self, task: Task) -> Text:
        speed = task.finished_speed or task.speed
        return Text(f"{count(round(speed))}/s" if speed else "")


class _Count(MofNCompleteColumn):
    """Units done of how many; nothing where they are not counted."""

    def render(self, task: Task) -> Text:
        return super().render(task) if task.total is not None or task.completed else Text()


class Progress:
    """Stages of work, one after the other. Use as a context manager; says nothing when ``enabled`` is false."""

    def __init__(
        self, *, enabled: bool = True, file: IO[str] | None = None, clock: Callable[[], float] = time.monotonic
    ) -> None:
        """Report to ``file`` (stderr). ``clock`` gives seconds."""
        self._console = Console(stderr=file is None, file=file)
        self._enabled = enabled
        self._clock = clock
        self._live: RichProgress | None = None
        self._task: TaskID | None = None
        self._name = ""
        self._total: int | None = None
        self._done = 0
        self._noted = False
        self._started = self._said = 0.0

    def __enter__(self) -> Self:
        if self._enabled and self._console.is_terminal:
            self._live = RichProgress(
                TextColumn("{task.description}", markup=False), BarColumn(bar_width=24), _Count(), _Rate(),
                TimeRemainingColumn(compact=True), console=self._console, transient=True,
            )  # fmt: skip
            self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._live is not None:
            self._live.stop()
            self._live = None

    def stage(self, name: str, total: int | None = None) -> None:
        """Begin a stage of ``total`` units, None when it is not known."""
        self._name, self._total, self._done = name, total, 0
        self._started = self._said = self._clock()
        if self._live is not None:
            if self._task is not None:
                self._live.remove_task(self._task)
            self._task = self._live.add_task(name, total=total)

    def update(self, done: int, total: int | None = None) -> None:
        """Say how many units are done, and in all where that is known only now."""
        self._done = done
        self._total = self._total if total is None else total
        if self._live is not None and self._task is not None:
            if self._noted:
                self._live.update(self._task, description=self._name)
                self._noted = False
            self._live.update(self._task, completed=done, total=self._total)
        elif self._enabled and self._clock() - self._said >= _PLAIN_EVERY:
            self._said = self._clock()
            self._console.file.write(self._plain() + "\n")
            self._console.file.flush()

    def note(self, text: str) -> None:
        """Say for the moment why nothing moves; the next update takes it back."""
        if self._live is not None and self._task is not None:
            self._live.update(self._task, description=f"{self._name}: {text}")
            self._noted = True
        elif self._enabled and self._clock() - self._said >= _PLAIN_EVERY:
            self._said = self._clock()
            self._console.file.write(f"{self._name}: {text}\n")
            self._console.file.flush()

    def _plain(self) -> str:
        rate = self._done / max(self._said - self._started, 1e-9)
        words = [f"{self._name}: {count(self._done)}"]
        if self._total:
            words[0] += f" of {count(self._total)} ({min(self._done / self._total, 1):.0%})"
        words.append(f"{count(round(rate))}/s")
        if self._total and rate > 0:
            words.append(f"{count(max(round((self._total - self._done) / rate), 0))} s left")
        return ", ".join(words)
