"""`--ping` and `--metrics`: what a scheduler's watchdog and a metrics collector are told of a run.

Neither changes how the run ends: what could not be told is a warning.
"""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from typer.exceptions import TyperException

from flagsnap.cli.run import Run
from flagsnap.errors import FlagsnapError, Interrupted, StoreFailed, UsageError

if TYPE_CHECKING:
    from flagsnap.monitoring.pings import Pings
    from flagsnap.results import Listing

Ping = Annotated[
    str | None,
    typer.Option("--ping", metavar="URL", help="Call URL/start, then URL, or URL/fail.", show_default=False),
]
Metrics = Annotated[
    Path | None,
    typer.Option("--metrics", metavar="FILE", help="Write a Prometheus text file at the end.", show_default=False),
]


@contextmanager
def monitored(run: Run, ping: str | None, metrics: Path | None) -> Iterator[None]:
    """Tell of the block: that it begins, and how it ended. UsageError for a URL or a file that cannot be used."""
    if ping is None and metrics is None:
        yield
        return
    monitor = _Monitor(run, _pings(run, ping), metrics)
    error: BaseException | None = None
    try:
        monitor.begin()
        yield
    except BaseException as raised:
        error = raised
        raise
    finally:
        monitor.end(error)


@dataclass
class _Monitor:
    run: Run
    pings: "Pings | None"
    metrics: Path | None
    began: float = 0.0
    can_write: bool = False

    def begin(self) -> None:
        from flagsnap.monitoring.files import check_replaceable

        self.began = time.monotonic()
        if self.pings:
            self.pings.start()
        if self.metrics:
            check_replaceable(self.metrics)
            self.can_write = True

    def end(self, error: BaseException | None) -> None:
        """Whatever happens here, the run has ended as it has: Ctrl-C now ends the waiting only."""
        code = exit_code(error)
        if self.metrics and self.can_write:
            with self._spared(f"the metrics file {self.metrics} was not written"):
                self._write(self.metrics, code, error)
        if self.pings:
            with self._spared("the ping of the end was given up"):
                self.pings.end(ok=code == 0)

    @contextmanager
    def _spared(self, said: str) -> Iterator[None]:
        """Warn of what goes wrong in the block."""
        try:
            yield
        except KeyboardInterrupt:
            self.run.progress.warn(f"{said}: interrupted")
        except Exception as failure:  # noqa: BLE001  # the run has ended, and not by this
            reason = getattr(failure, "strerror", None) or type(failure).__name__
            self.run.progress.warn(f"{said}: {reason.lower()}")

    def _write(self, path: Path, code: int, error: BaseException | None) -> None:
        from flagsnap.monitoring.files import replace_file
        from flagsnap.report.metrics import RunEnded, metrics_text

        seconds = time.monotonic() - self.began
        ended = RunEnded(self.run.command, self._store(), code, seconds, datetime.now(UTC))
        replace_file(path, metrics_text(ended, self._listing(error)))

    def _store(self) -> str:
        try:
            return self.run.settings.store
        except FlagsnapError:
            return ""

    def _listing(self, error: BaseException | None) -> "Listing | None":
        """What the store has now; None if it cannot be listed, or there is no time to: a pod is ended soon."""
        if isinstance(error, StoreFailed | KeyboardInterrupt | Interrupted):
            return None
        try:
            return self.run.snapshots.list()
        except FlagsnapError:
            return None


def _pings(run: Run, url: str | None) -> "Pings | None":
    from flagsnap.monitoring.pings import Pings

    return None if url is None else Pings(url, run.progress.warn)


def exit_code(error: BaseException | None) -> int:
    """The exit code that `flagsnap.cli.app.main` makes of an error."""
    match error:
        case None:
            return 0
        case FlagsnapError():
            return error.exit_code
        case typer.Exit():
            return error.exit_code
        case KeyboardInterrupt() | typer.Abort():
            return Interrupted.exit_code
        case TyperException():
            return UsageError.exit_code
        case _:
            return 1
