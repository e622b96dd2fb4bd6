"""`flagsnap doctor`."""

from datetime import UTC, datetime

import typer

from flagsnap.cli.lenient import or_why
from flagsnap.cli.run import Run


def doctor(run: Run) -> None:
    """Look for what is missing, before the night it is needed. Changes nothing.

    Exit 0: nothing is, though there may be advice; 3: something will not work; 1: something could not be checked.
    """
    from flagsnap.diagnosing.doctor import DoctorRequest, diagnose

    settings = run.settings
    request = DoctorRequest(
        address=or_why(lambda: run.address),
        snapshots=or_why(lambda: run.snapshots),
        project=or_why(lambda: run.project),
        jobs=settings.workers,
        pg_bin=settings.pg_bin,
        now=lambda: datetime.now(UTC),
    )
    diagnosis = diagnose(request, run.progress)
    run.show(diagnosis, ok=diagnosis.exit_code == 0)
    if diagnosis.exit_code:
        raise typer.Exit(diagnosis.exit_code)
