"""`flagsnap rehearse`."""

from typing import Annotated

import typer

from flagsnap.cli.run import Run
from flagsnap.cli.target import Moved
from flagsnap.errors import LossRefused, UsageError


def rehearse(
    run: Run,
    deploy_id: Annotated[str, typer.Argument(help="The capture before the deploy, or latest.", metavar="ID")],
    schema_only: Annotated[bool, typer.Option("--schema-only", help="Without rows: quick, and blind to them.")] = False,
    keep: Annotated[bool, typer.Option("--keep", help="Keep the scratch database, for a look.")] = False,
    tidy: Annotated[
        bool, typer.Option("--tidy", help="Go back as `rollback --tidy` does, which removes leftovers.")
    ] = False,
    moved: Moved = False,
) -> None:
    """Try a deploy and its rollback on a copy of the database, before the deploy; --manage runs the NEW code.

    Exit 0: the way back is exact, or leaves no more than [acceptable_residue] of the config file; 4: it does not.
    """
    from flagsnap.rehearsing.rehearse import rehearse as run_rehearsal
    from flagsnap.rehearsing.request import RehearseRequest

    if run.project is None:
        raise UsageError("no project was named", 'name the new code with --manage "python manage.py" (FLAGSNAP_MANAGE)')
    request = RehearseRequest(
        address=run.address,
        snapshots=run.snapshots,
        manifest=run.snapshots.to_restore(deploy_id),
        project=run.project,
        jobs=run.settings.workers,
        pg_bin=run.settings.pg_bin,
        lock_timeout=run.settings.lock_timeout,
        moved=moved,
        schema_only=schema_only,
        keep=keep,
        tidy=tidy,
        acceptable=run.settings.acceptable_residue,
        digest_seconds=run.settings.digest_seconds,
        count_seconds=run.settings.count_seconds,
    )
    result = run_rehearsal(request, run.progress)
    run.show(result, ok=result.accepted)
    if not result.accepted:
        raise typer.Exit(LossRefused.exit_code)
