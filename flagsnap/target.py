"""The target of a rollback: the state that a snapshot recorded, or the migrations that were applied before a time.

Such a time is what Flagsmith's own procedures take. Its target is a set like any other: dates only say which rows are
in it. Where a snapshot recorded that very set, the rollback is the one to that snapshot.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from flagsnap.catalog import Catalog
from flagsnap.history import batches_of, in_order
from flagsnap.migrations import AppliedMigration, Migration
from flagsnap.snapshot import Manifest


@dataclass(frozen=True)
class OtherSnapshot:
    """The newest snapshot before the time, which recorded another set.

    Attributes:
        added: how many migrations were applied after it and before the time.
        gone: how many of its own no row has that was applied before the time: they were pruned, or taken back since.
    """

    manifest: Manifest
    added: int
    gone: int

    @property
    def deploy_id(self) -> str:
        """Its deploy id."""
        return self.manifest.deploy_id

    @property
    def captured_at(self) -> datetime:
        """When it was captured."""
        return self.manifest.captured_at


@dataclass(frozen=True)
class WithinDeploy:
    """A deploy with rows on both sides of the time: how many of them stay applied."""

    began: datetime
    stay: int
    total: int


@dataclass(frozen=True)
class AppliedBefore:
    """The time that was named, in UTC, and what is to be said of it."""

    moment: datetime
    other: OtherSnapshot | None = None
    within: WithinDeploy | None = None

    @property
    def name(self) -> str:
        """In the form of a deploy id, for the archive of a rollback that no snapshot recorded the state of."""
        utc = self.moment.astimezone(UTC)
        fraction = f".{utc.microsecond:06}" if utc.microsecond else ""
        return f"applied-before-{utc:%Y%m%dT%H%M%S}{fraction}Z"


@dataclass(frozen=True)
class Target:
    """The state to go back to.

    Attributes:
        applied: its rows of `django_migrations`, oldest first.
        manifest: the snapshot that recorded it, None if none did; then nothing but these rows is known of it.
        before: the time, if one was named.
    """

    applied: tuple[AppliedMigration, ...]
    manifest: Manifest | None
    before: AppliedBefore | None = None

    @classmethod
    def recorded_by(cls, manifest: Manifest, before: AppliedBefore | None = None) -> "Target":
        """The state that a snapshot recorded."""
        return cls(manifest.database.applied, manifest, before)

    @property
    def applied_set(self) -> tuple[Migration, ...]:
        """The keys of its applied migrations, oldest first."""
        return tuple(row.migration for row in self.applied)

    @property
    def name(self) -> str:
        """The snapshot's deploy id; without one a name of that form."""
        if self.manifest is not None:
            return self.manifest.deploy_id
        return self.before.name if self.before else ""

    def older_than(self, extra: Collection[Migration]) -> Catalog | None:
        """The schema of a snapshot that has none of the extra migrations: what it has, none of them made.

        Without a snapshot of the state, that is the one before the time; None if that has one of them itself.
        """
        if self.manifest is not None:
            return self.manifest.database.schema_catalog
        other = self.before.other if self.before else None
        if other is None or not set(extra).isdisjoint(other.manifest.database.applied_set):
            return None
        return other.manifest.database.schema_catalog


def split(
    rows: Sequence[AppliedMigration], moment: datetime
) -> tuple[tuple[AppliedMigration, ...], tuple[AppliedMigration, ...]]:
    """The rows that were applied before a time, and those that were applied at that time or after it."""
    ordered = in_order(rows)
    before = tuple(row for row in ordered if row.applied < moment)
    return before, ordered[len(before) :]


def within_deploy(rows: Sequence[AppliedMigration], moment: datetime) -> WithinDeploy | None:
    """The deploy with rows on both sides of a time, None if there is none."""
    for batch in batches_of(in_order(rows)):
        stay = sum(row.applied < moment for row in batch)
        if 0 < stay < len(batch):
            return WithinDeploy(batch[0].applied, stay, len(batch))
    return None
