"""`flagsnap status`."""

from datetime import UTC, datetime

import typer

from flagsnap.cli.lenient import or_why
from flagsnap.cli.run import Run


def status(run: Run) -> None:
    """Show where the database is now, and the next sensible command. Changes nothing, waits for nobody.

    Exit 0: all could be looked at; 1: something could not.
    """
    from flagsnap.overview.status import StatusRequest, status

    request = StatusRequest(
        address=or_why(lambda: run.address),
        snapshots=or_why(lambda: run.snapshots),
        has_project=bool(run.settings.manage),
        now=lambda: datetime.now(UTC),
    )
    found = status(request, run.progress)
    run.show(found, ok=found.exit_code == 0)
    if found.exit_code:
        raise typer.Exit(found.exit_code)
