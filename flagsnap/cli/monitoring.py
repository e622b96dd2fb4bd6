"""`--ping` and `--metrics`: what a scheduler's watchdog and a metrics collector are told of a run."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer

from flagsnap.cli.run import Run

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
    """Tell of the block: that it begins, and how it ended."""
    del run, ping, metrics
    yield
