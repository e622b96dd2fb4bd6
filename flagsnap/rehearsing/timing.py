"""How long the steps of a rehearsal took, as their progress tells it."""

import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from flagsnap.progress import Progress, Task, Unit


@dataclass(frozen=True)
class Timed:
    """Passes everything on, and keeps the seconds of each title."""

    progress: Progress
    seconds: defaultdict[str, float] = field(default_factory=lambda: defaultdict(float))

    @contextmanager
    def task(self, title: str, total: int | None = None, unit: Unit = "items") -> Iterator[Task]:
        """Time it."""
        began = time.monotonic()
        try:
            with self.progress.task(title, total, unit) as task:
                yield task
        finally:
            self.seconds[title] += time.monotonic() - began

    def note(self, text: str) -> None:
        """Pass it on."""
        self.progress.note(text)

    def warn(self, text: str) -> None:
        """Pass it on."""
        self.progress.warn(text)
