"""What `plan` and `rollback` have in common: the state to go back to, and how."""

from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

import typer

from flagsnap.cli.run import Run
from flagsnap.errors import SnapshotDamaged, StoreFailed, UsageError

if TYPE_CHECKING:
    from flagsnap.rehearsal.values import Rehearsal
    from flagsnap.rollback.situation import RollbackRequest
    from flagsnap.snapshot import Manifest
    from flagsnap.target import Target

To = Annotated[
    str | None,
    typer.Option(
        "--to",
        metavar="ID",
        help="The state recorded by the capture of deploy ID (or latest): just BEFORE that deploy.",
    ),
]
ToRunning = Annotated[
    str | None,
    typer.Option(
        "--to-running",
        metavar="ID",
        help="The state that deploy ID ran with: what the first capture AFTER it recorded.",
    ),
]
AppliedBefore = Annotated[
    str | None,
    typer.Option(
        "--applied-before",
        metavar="TIME",
        help='The migrations that were applied before TIME: "2026-11-22 09:55:37", in UTC or with an offset or zone.',
    ),
]
InPlace = Annotated[bool, typer.Option("--in-place", help="Restore within the database; needs no CREATEDB.")]
Moved = Annotated[
    bool, typer.Option("--moved", help="The database has moved: the snapshot's server or name is another one.")
]


class Strategy(StrEnum):
    """Which route to take."""

    AUTO = "auto"
    REPLAY = "replay"
    UNAPPLY = "unapply"
    RESTORE = "restore"


class Archive(StrEnum):
    """What to archive before anything is destroyed."""

    AFFECTED = "affected"
    FULL = "full"
    NONE = "none"


class OnLoss(StrEnum):
    """What to do when data would be lost."""

    ASK = "ask"
    REFUSE = "refuse"
    ACCEPT = "accept"
    RESTORE = "restore"


StrategyOption = Annotated[Strategy, typer.Option(help="The route; auto takes the first that is open.")]
OnLossOption = Annotated[
    OnLoss | None,
    typer.Option(help="If data would be lost; without it ask on a terminal, refuse elsewhere.", show_default=False),
]
ArchiveOption = Annotated[
    Archive, typer.Option(help="What to archive first: the tables that lose something, all, or nothing.")
]
NoRefill = Annotated[
    bool, typer.Option("--no-refill", help="Do not put back, from the snapshot, what the deploy had destroyed.")
]


def build_request(
    run: Run,
    *,
    to: str | None,
    to_running: str | None,
    applied_before: str | None,
    strategy: Strategy,
    on_loss: OnLoss | None,
    archive: Archive,
    no_refill: bool,
    in_place: bool,
    moved: bool,
    tidy: bool = False,
    ask: bool = False,
) -> "RollbackRequest":
    """The request of a rollback; UsageError as `target` has it.

    `ask` says whether somebody may be asked about losses; where nobody is there to answer, asking means refusing.
    """
    from flagsnap.rollback.situation import RollbackRequest

    goal = target(run, to, to_running, applied_before)
    if tidy and goal.manifest is None:
        raise UsageError("--tidy compares with a snapshot, and none recorded that state", "leave out --tidy")
    if in_place and strategy in {Strategy.REPLAY, Strategy.UNAPPLY}:
        raise UsageError("--in-place is a way to restore", f"leave out --in-place, or --strategy {strategy}")
    consent = on_loss or OnLoss.ASK
    if consent is OnLoss.ASK and not (ask and run.interactive):
        consent = OnLoss.REFUSE
    return RollbackRequest(
        address=run.address,
        snapshots=run.snapshots,
        target=goal,
        project=run.project,
        strategy=strategy.value,
        on_loss=consent.value,
        jobs=run.settings.workers,
        pg_bin=run.settings.pg_bin,
        lock_timeout=run.settings.lock_timeout,
        count_seconds=run.settings.count_seconds,
        in_place=in_place,
        moved=moved,
        archive=archive.value,
        refill=not no_refill,
        tidy=tidy,
        rehearsal=rehearsal_of(run, goal.manifest) if strategy in {Strategy.AUTO, Strategy.REPLAY} else None,
    )


def target(run: Run, to: str | None, to_running: str | None, applied_before: str | None = None) -> "Target":
    """The state to go back to; UsageError unless exactly one is named."""
    from flagsnap.target import Target

    if [to, to_running, applied_before].count(None) != 2:
        raise UsageError(
            "name the state to go back to",
            "--to ID (before that deploy), --to-running ID (with it), or --applied-before TIME",
        )
    if applied_before is not None:
        return _target_before(run, applied_before)
    return Target.recorded_by(run.snapshots.to_restore(to) if to is not None else run.snapshots.after(str(to_running)))


def _target_before(run: Run, time: str) -> "Target":
    from flagsnap.moments import moment
    from flagsnap.rollback.applied_before import target_before

    return target_before(moment(time), run.address, run.snapshots, run.project, run.progress, run.settings.lock_timeout)


def rehearsal_of(run: Run, manifest: "Manifest | None") -> "Rehearsal | None":
    """The snapshot's rehearsal; one that cannot be read closes one way back, and no other."""
    if manifest is None:
        return None
    try:
        return run.snapshots.rehearsal(manifest)
    except (SnapshotDamaged, StoreFailed) as error:
        run.progress.warn(f"going on without the rehearsal: {error}")
        return None
