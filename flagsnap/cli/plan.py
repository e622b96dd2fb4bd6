"""`flagsnap plan`."""

from typing import TYPE_CHECKING, Annotated

import typer

from flagsnap.cli.run import Run
from flagsnap.cli.target import (
    Archive,
    ArchiveOption,
    InPlace,
    Moved,
    NoRefill,
    OnLossOption,
    Strategy,
    StrategyOption,
    To,
    ToRunning,
    build_request,
    target,
)
from flagsnap.errors import UsageError

if TYPE_CHECKING:
    from flagsnap.results import ReverseSql
    from flagsnap.snapshot import Manifest


def plan(
    run: Run,
    to: To = None,
    to_running: ToRunning = None,
    strategy: StrategyOption = Strategy.AUTO,
    on_loss: OnLossOption = None,
    archive: ArchiveOption = Archive.AFFECTED,
    no_refill: NoRefill = False,
    in_place: InPlace = False,
    moved: Moved = False,
    sql: Annotated[
        bool, typer.Option("--sql", help="Print the rehearsed reverse SQL instead; needs no database.")
    ] = False,
) -> None:
    """Show what a rollback would do, and what it would cost. Changes nothing."""
    from flagsnap.results import PlanShown
    from flagsnap.rollback.run import opened

    if sql:
        run.show(_reverse_sql(run, target(run, to, to_running)))
        return
    request = build_request(
        run,
        to=to,
        to_running=to_running,
        strategy=strategy,
        on_loss=on_loss,
        archive=archive,
        no_refill=no_refill,
        in_place=in_place,
        moved=moved,
    )
    with opened(request, run.progress) as rollback:
        run.show(PlanShown(rollback.plan()))


def _reverse_sql(run: Run, manifest: "Manifest") -> "ReverseSql":
    """The reverse SQL of the snapshot's rehearsal; UsageError if there is none."""
    from flagsnap.rehearsal.sql_text import sql_text
    from flagsnap.results import ReverseSql

    rehearsal = run.snapshots.rehearsal(manifest)
    if rehearsal is None:
        raise UsageError(
            f"deploy {manifest.deploy_id} was not rehearsed",
            f"`flagsnap rehearse {manifest.deploy_id}` records its reverse SQL",
        )
    return ReverseSql(manifest.deploy_id, sql_text(rehearsal, manifest.database.applied))
