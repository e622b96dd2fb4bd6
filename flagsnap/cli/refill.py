"""`flagsnap refill`."""

from typing import Annotated

import typer

from flagsnap.cli.run import Run
from flagsnap.cli.target import Moved
from flagsnap.errors import UsageError


def refill(
    run: Run,
    to: Annotated[
        str | None,
        typer.Option("--to", metavar="ID", help="Finish the refill of an earlier rollback --to ID."),
    ] = None,
    from_: Annotated[
        str | None,
        typer.Option("--from", metavar="ARCHIVE", help="Bring back what a rollback archived; deploy again first."),
    ] = None,
    moved: Moved = False,
) -> None:
    """Put data back: what a rollback still owes (--to), or what it had archived (--from).

    One transaction: all of it comes back, or nothing. Running it once more does no harm.
    """
    from flagsnap.rollback.refill_later import refill_from_archive, refill_owed
    from flagsnap.rollback.situation import RollbackRequest
    from flagsnap.target import Target

    if (to is None) == (from_ is None):
        raise UsageError("say what to refill", "--to ID (what a rollback owes), or --from ARCHIVE (what it archived)")
    request = RollbackRequest(
        address=run.address,
        snapshots=run.snapshots,
        target=Target.recorded_by(run.snapshots.get(str(to or from_))),
        project=None,
        strategy="auto",
        on_loss="refuse",
        jobs=run.settings.workers,
        pg_bin=run.settings.pg_bin,
        lock_timeout=run.settings.lock_timeout,
        moved=moved,
    )
    run.show(refill_owed(request, run.progress) if to else refill_from_archive(request, run.progress))
