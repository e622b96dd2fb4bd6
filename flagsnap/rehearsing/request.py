"""What to rehearse, and how."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from flagsnap.bridge.project import Project
from flagsnap.postgres.connection import Address
from flagsnap.restoring.restore import Source
from flagsnap.rollback.situation import RollbackRequest
from flagsnap.snapshot import Manifest, RecordedDatabase
from flagsnap.stores.snapshots import Snapshots
from flagsnap.target import Target


@dataclass(frozen=True)
class RehearseRequest:
    """The snapshot that was captured before the deploy, and the project with the new code.

    Attributes:
        address: the live database, which the project is connected to; it is not written to.
        moved: the snapshot may be of another server or database name, such as production's in a test environment.
        schema_only: leave all rows out but those of `django_migrations`.
        keep: keep the scratch database under another name, for a look.
        tidy: remove leftovers on the way back, as `rollback --tidy` does.
        acceptable: how many rows of each table may be others after the way back; True for any number.
        digest_seconds: how long to compare rows.
        count_seconds: how long to count what is to be refilled.
    """

    address: Address
    snapshots: Snapshots
    manifest: Manifest
    project: Project
    jobs: int
    pg_bin: Path | None
    lock_timeout: float
    moved: bool = False
    schema_only: bool = False
    keep: bool = False
    tidy: bool = False
    acceptable: Mapping[str, int | bool] = field(default_factory=dict)
    digest_seconds: float = 120.0
    count_seconds: float = 30.0

    @property
    def source(self) -> Source:
        """What a restore needs."""
        return Source(self.snapshots, self.manifest, self.jobs, self.pg_bin)

    @property
    def recorded(self) -> RecordedDatabase:
        """The recorded state."""
        return self.manifest.database

    def rollback(self, scratch: Address) -> RollbackRequest:
        """The rollback on a scratch database, which nobody has to agree to, and of which nothing need be archived."""
        return RollbackRequest(
            address=scratch,
            snapshots=self.snapshots,
            target=Target.recorded_by(self.manifest),
            project=None,
            strategy="unapply",
            on_loss="accept",
            jobs=self.jobs,
            pg_bin=self.pg_bin,
            lock_timeout=self.lock_timeout,
            is_copy=True,
            archive="none",
            refill=not self.schema_only,
            tidy=self.tidy,
            count_seconds=self.count_seconds,
        )
