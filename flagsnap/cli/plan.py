"""`flagsnap plan`."""

from typing import TYPE_CHECKING, Annotated

import typer

from flagsnap.cli.run import Run
from flagsnap.cli.target import (
    AppliedBefore,
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
    rehearsal_of,
    target,
)
from flagsnap.errors import UsageError

if TYPE_CHECKING:
    from flagsnap.by_hand import ByHand
    from flagsnap.results import ReverseSql
    from flagsnap.target import Target


def plan(
    run: Run,
    to: To = None,
    to_running: ToRunning = None,
    applied_before: AppliedBefore = None,
    strategy: StrategyOption = Strategy.AUTO,
    on_loss: OnLossOption = None,
    archive: ArchiveOption = Archive.AFFECTED,
    no_refill: NoRefill = False,
    in_place: InPlace = False,
    moved: Moved = False,
    sql: Annotated[
        bool, typer.Option("--sql", help="Print the rehearsed reverse SQL instead; needs no database.")
    ] = False,
    commands: Annotated[
        bool, typer.Option("--commands", help="Print the lines of manage.py migrate that lead there instead.")
    ] = False,
) -> None:
    """Show what a rollback would do, and what it would cost. Changes nothing."""
    from flagsnap.results import PlanShown
    from flagsnap.rollback.run import opened

    if sql and commands:
        raise UsageError("--sql and --commands are two ways back", "name one of them")
    if sql:
        run.show(_reverse_sql(run, target(run, to, to_running, applied_before)))
        return
    if commands:
        run.show(_by_hand(run, target(run, to, to_running, applied_before), moved=moved))
        return
    request = build_request(
        run,
        to=to,
        to_running=to_running,
        applied_before=applied_before,
        strategy=strategy,
        on_loss=on_loss,
        archive=archive,
        no_refill=no_refill,
        in_place=in_place,
        moved=moved,
    )
    with opened(request, run.progress) as rollback:
        run.show(PlanShown(rollback.plan()))


def _by_hand(run: Run, goal: "Target", *, moved: bool) -> "ByHand":
    """The lines that lead to the target."""
    from flagsnap.by_hand import Way
    from flagsnap.moments import exact
    from flagsnap.overview.by_hand import ByHandRequest, find_lines
    from flagsnap.report.pieces import moment

    snapshot, before = goal.manifest, goal.before
    named = f"--to {snapshot.deploy_id}" if snapshot else ""
    said = f"the state before deploy {snapshot.deploy_id}, captured {moment(snapshot.captured_at)}" if snapshot else ""
    if before is not None:
        named, said = f'--applied-before "{exact(before.moment)}"', f"what was applied before {exact(before.moment)}"
    way = Way(snapshot.deploy_id if snapshot else None, named, said)
    rehearsal = rehearsal_of(run, snapshot) if run.project is None else None
    request = ByHandRequest(run.address, goal, way, run.project, rehearsal, run.settings.lock_timeout, moved)
    found = find_lines(request, run.progress)
    if found.lines:
        run.progress.warn(f"the lines may lose data; `flagsnap plan {named}` tells what")
    return found


def _reverse_sql(run: Run, goal: "Target") -> "ReverseSql":
    """The reverse SQL of the snapshot's rehearsal; UsageError if there is none."""
    from flagsnap.rehearsal.sql_text import sql_text
    from flagsnap.results import ReverseSql

    manifest = goal.manifest
    if manifest is None:
        raise UsageError("no snapshot recorded that state, so nothing was rehearsed", "leave out --sql")
    rehearsal = run.snapshots.rehearsal(manifest)
    if rehearsal is None:
        raise UsageError(
            f"deploy {manifest.deploy_id} was not rehearsed",
            f"`flagsnap rehearse {manifest.deploy_id}` records its reverse SQL",
        )
    return ReverseSql(manifest.deploy_id, sql_text(rehearsal, manifest.database.applied))
