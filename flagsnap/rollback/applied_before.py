"""The target that a time names: the rows of `django_migrations` that were applied before it, and who recorded them.

Flagsmith's own procedures name one: `rollbackmigrationsappliedafter` unapplies what has `applied >= t`.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from flagsnap.bridge.project import ProjectLike
from flagsnap.errors import BridgeFailed, FlagsnapError, UsageError
from flagsnap.migrations import AppliedMigration, Migration, difference, resolve
from flagsnap.moments import exact
from flagsnap.postgres.connection import Address, connect
from flagsnap.postgres.facts import read_applied
from flagsnap.progress import Progress
from flagsnap.snapshot import Manifest, Summary, state_of
from flagsnap.stores.snapshots import Snapshots
from flagsnap.target import AppliedBefore, OtherSnapshot, Target, split, within_deploy


def target_before(
    moment: datetime,
    address: Address,
    snapshots: Snapshots,
    project: ProjectLike | None,
    progress: Progress,
    lock_timeout: float,
) -> Target:
    """The state before a time; UsageError if the time lies ahead, or before the first migration.

    A rollback that stopped half-way does not move it: rows that are gone were of the time after it.
    """
    with connect(address, "plan") as connection:
        rows = read_applied(connection, lock_timeout)
    if not rows:
        raise UsageError(
            f"no migration is recorded in {address}, so none was applied before {exact(moment)}",
            "check --database-url; `flagsnap list` shows the snapshots that a state can be restored from",
        )
    kept, extra = split(rows, moment)
    now = datetime.now(UTC)
    # Rows may have the time of a clock that is ahead of this one.
    if moment > now and not extra:
        raise UsageError(f"{exact(moment)} lies ahead", f"it is {exact(now.replace(microsecond=0))} now")
    if not kept:
        raise UsageError(
            f"no migration was applied before {exact(moment)}: the first, {extra[0].migration}, was at"
            f" {exact(extra[0].applied)}",
            "name a later time; `flagsnap history` shows the deploys",
        )
    before = AppliedBefore(moment, within=within_deploy(rows, moment))
    with progress.task("look for a snapshot"):
        return _Search(before, kept, snapshots, project, progress).target()


@dataclass(frozen=True)
class _Search:
    """The search for a snapshot that recorded the set."""

    before: AppliedBefore
    kept: tuple[AppliedMigration, ...]
    snapshots: Snapshots
    project: ProjectLike | None
    progress: Progress

    @property
    def applied(self) -> tuple[Migration, ...]:
        return tuple(row.migration for row in self.kept)

    def target(self) -> Target:
        """With the newest snapshot of the set, else with the newest before the time if bookkeeping is all that differs.

        Snapshots of one set differ in their rows only, and the newest loses the least.
        """
        captures, state = self._captures(), state_of(self.applied)
        for summary in captures:
            if summary.state in {None, state} and (manifest := self._read(summary)) and self._is_of_the_set(manifest):
                return Target.recorded_by(manifest, self.before)
        earlier = (each for each in captures if each.captured_at <= self.before.moment)
        summary_before = next(earlier, None)
        newest = self._read(summary_before) if summary_before else None
        if newest and self._differs_by_bookkeeping(newest):
            return Target.recorded_by(newest, self.before)
        other = self._other(newest) if newest else None
        return Target(self.kept, None, AppliedBefore(self.before.moment, other, self.before.within))

    def _captures(self) -> Sequence[Summary]:
        """The captures, newest first; archives are none."""
        listing = self.snapshots.list()
        for deploy_id, reason in listing.damaged:
            self.progress.warn(f"going on without snapshot {deploy_id}: {reason}")
        return [each for each in listing.summaries if each.archive_of is None]

    def _read(self, summary: Summary) -> Manifest | None:
        try:
            return self.snapshots.get(summary.deploy_id)
        except FlagsnapError as error:
            self.progress.warn(f"going on without snapshot {summary.deploy_id}: {error}")
            return None

    def _is_of_the_set(self, manifest: Manifest) -> bool:
        return difference(manifest.database.applied_set, self.applied).none

    def _differs_by_bookkeeping(self, manifest: Manifest) -> bool:
        """Whether only bookkeeping rows, which the graph knows, are others than a snapshot recorded."""
        recorded = manifest.database.applied_set
        differences = difference(recorded, self.applied)
        if self.project is None:
            return False
        try:
            graph = self.project.describe(recorded).graph
        except (BridgeFailed, UsageError):
            return False  # whoever plans asks again, and tells
        found = resolve(recorded, differences, graph)
        return not (found.segments or found.unknown or found.unapplied)

    def _other(self, manifest: Manifest) -> OtherSnapshot:
        differences = difference(manifest.database.applied_set, self.applied)
        return OtherSnapshot(manifest, len(differences.extra), len(differences.missing))
