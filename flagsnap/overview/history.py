"""`history`: the deploys as `django_migrations` tells them, beside the snapshots."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import timedelta

from flagsnap.bridge.project import ProjectLike
from flagsnap.errors import BridgeFailed, FlagsnapError, UsageError
from flagsnap.history import GAP, History, read_history
from flagsnap.migrations import AppliedMigration, Graph
from flagsnap.postgres.connection import Address, connect
from flagsnap.postgres.facts import read_applied
from flagsnap.progress import Progress
from flagsnap.snapshot import Summary
from flagsnap.stores.snapshots import Snapshots

_LOCK_SECONDS = 2.0


@dataclass(frozen=True)
class HistoryRequest:
    """What to read.

    Attributes:
        snapshots: or why there are none.
        project: None if none was named, or why it cannot be asked.
        gap: between two rows of one deploy at most.
        limit: how many of the newest to show, None for all.
    """

    address: Address
    snapshots: Snapshots | FlagsnapError
    project: ProjectLike | FlagsnapError | None
    gap: timedelta = GAP
    limit: int | None = None


def find_history(request: HistoryRequest, progress: Progress) -> History:
    """The history of the live database; ConnectionFailed, or FlagsnapError if somebody keeps a lock on its rows.

    What else cannot be read leaves a note.
    """
    with connect(request.address, "history") as connection:
        rows = read_applied(connection, _LOCK_SECONDS)
    captured = _captured(request.snapshots)
    graph, notes = None, captured.notes
    if request.project is not None and rows:
        with progress.task("ask the project"):
            graph, problem = _graph(request.project, rows)
        notes += problem
    found = read_history(rows or (), captured.captures, request.gap, graph, captured.newest, notes, request.limit)
    return found if rows is not None else replace(found, has_table=False)


@dataclass(frozen=True)
class _Captured:
    """The captures of the store, the deploy id and the rows of the newest, and what could not be read."""

    captures: tuple[Summary, ...] = ()
    newest: tuple[str, Sequence[AppliedMigration]] | None = None
    notes: tuple[str, ...] = ()


def _captured(snapshots: Snapshots | FlagsnapError) -> _Captured:
    if isinstance(snapshots, FlagsnapError):
        return _Captured(notes=(f"without the snapshots: {snapshots}",))
    try:
        listing = snapshots.list()
    except FlagsnapError as error:
        return _Captured(notes=(f"without the snapshots: {error}",))
    captures = tuple(each for each in listing.summaries if each.archive_of is None)
    notes = tuple(f"damaged: {reason}" for _, reason in listing.damaged)
    if not captures:
        return _Captured(notes=notes)
    try:
        newest = snapshots.get(captures[0].deploy_id)
    except FlagsnapError as error:
        return _Captured(captures, notes=(*notes, f"what is gone since the newest snapshot is not known: {error}"))
    captures = (newest.summary, *captures[1:])  # an older version's index has no state in it
    return _Captured(captures, (newest.deploy_id, newest.database.applied), notes)


def _graph(
    project: ProjectLike | FlagsnapError, rows: Sequence[AppliedMigration]
) -> tuple[Graph | None, tuple[str, ...]]:
    """What the project knows of the rows; None if it cannot be asked, and why."""
    try:
        if isinstance(project, FlagsnapError):
            raise project
        return project.describe([row.migration for row in rows]).graph, ()
    except (BridgeFailed, UsageError) as error:
        return None, (f"without the project: {error}",)
