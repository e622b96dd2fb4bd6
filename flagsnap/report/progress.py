"""Progress on standard error: bars with rate and time left on a terminal, a line for each step elsewhere."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta

from rich.console import Console
from rich.progress import BarColumn, Progress, ProgressColumn, TaskID, TextColumn
from rich.progress import Task as RichTask
from rich.text import Text

from flagsnap.progress import Task, Unit

_WORTH_A_LINE = 0.05


class ConsoleProgress:
    """Tells people; implements `flagsnap.progress.Progress`."""

    def __init__(self, console: Console, *, quiet: bool, verbose: bool) -> None:
        """With `quiet`, nothing but warnings; with `verbose`, steps that took no time as well."""
        self._console = console
        self._quiet = quiet
        self._shortest = 0.0 if verbose else _WORTH_A_LINE
        self._bars = Progress(
            TextColumn("{task.description}"), BarColumn(bar_width=24), _Amount(), console=console, transient=True
        )
        self._lock = threading.Lock()

    @contextmanager
    def task(self, title: str, total: int | None = None, unit: Unit = "items") -> Iterator[Task]:
        """Draw a bar on a terminal; elsewhere tell the end of the step with the time that it took."""
        if self._quiet or not self._console.is_terminal:
            began = time.monotonic()
            yield _Nothing()
            seconds = time.monotonic() - began
            if seconds >= self._shortest:
                self.note(f"{title}: {seconds:.1f} s")
            return
        bar = self._bars.add_task(title, total=total, unit=unit)
        self._bars.start()
        try:
            yield _Bar(self._bars, bar)
        finally:
            self._bars.remove_task(bar)
            if not self._bars.tasks:
                self._bars.stop()

    def note(self, text: str) -> None:
        """Say it, unless quiet."""
        if not self._quiet:
            self._tell(text, "dim")

    def warn(self, text: str) -> None:
        """Say it in any case."""
        self._tell(f"warning: {text}", "yellow")

    def _tell(self, text: str, style: str) -> None:
        with self._lock:
            self._console.print(text, style=style, markup=False, highlight=False, soft_wrap=True)


class _Nothing:
    def advance(self, amount: int) -> None:
        """Nothing is drawn."""


class _Bar:
    def __init__(self, bars: Progress, task: TaskID) -> None:
        self._bars = bars
        self._task = task

    def advance(self, amount: int) -> None:
        """Move the bar."""
        self._bars.advance(self._task, amount)


class _Amount(ProgressColumn):
    """How far, how fast, how long still: in bytes or in items."""

    def render(self, task: RichTask) -> Text:
        """Draw the column."""
        rate = f", {task.speed / 1e6:.0f} MB/s" if task.speed else ""
        in_bytes = task.fields.get("unit") == "bytes"
        if task.total is None:
            return Text(f"{task.completed / 1e6:.0f} MB{rate}" if in_bytes else _clock(task.elapsed))
        if not in_bytes:
            return Text(f"{task.completed:.0f}/{task.total:.0f} {_clock(task.elapsed)}")
        done, total = min(task.completed, task.total), task.total
        left = f", {_clock(task.time_remaining)} left" if task.time_remaining else ""
        return Text(f"{done / 1e6:.0f}/{total / 1e6:.0f} MB{rate}{left}")


def _clock(seconds: float | None) -> str:
    return str(timedelta(seconds=int(seconds or 0)))
