"""What the use cases give back: frozen values, which the reports render."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime

from flagsnap.attached.pin import Pin
from flagsnap.attached.verification import Rung, Verification
from flagsnap.plan import Plan
from flagsnap.rehearsal.values import Rehearsal
from flagsnap.snapshot import Manifest, Summary
from flagsnap.verification import Level


def _now() -> datetime:
    """By it ages are told."""
    return datetime.now(UTC)


@dataclass(frozen=True)
class CaptureResult:
    """The snapshot that is now in the store; `reused` if an earlier run had made it."""

    manifest: Manifest
    location: str
    reused: bool


@dataclass(frozen=True)
class Standing:
    """What has been said of a snapshot since it was published: whether it is pinned, and how its checks ended."""

    pinned: bool = False
    rungs: Mapping[Level, Rung] = field(default_factory=dict)


@dataclass(frozen=True)
class Listing:
    """What a store holds: newest first, each with its standing, and beside it what cannot be read, with the reason."""

    summaries: tuple[Summary, ...]
    damaged: tuple[tuple[str, str], ...]
    standings: Mapping[str, Standing] = field(default_factory=dict)
    listed_at: datetime = field(default_factory=_now)

    def standing(self, deploy_id: str) -> Standing:
        """The standing of a snapshot."""
        return self.standings.get(deploy_id, Standing())


@dataclass(frozen=True)
class SnapshotShown:
    """One snapshot, to be looked at, and what lies beside it."""

    manifest: Manifest
    rehearsal: Rehearsal | None = None
    verification: Verification | None = None
    pin: Pin | None = None
    shown_at: datetime = field(default_factory=_now)


@dataclass(frozen=True)
class PinChanged:
    """A snapshot was pinned, or with no pin unpinned."""

    deploy_id: str
    pin: Pin | None


@dataclass(frozen=True)
class PlanShown:
    """A plan that is not carried out."""

    plan: Plan


@dataclass(frozen=True)
class ReverseSql:
    """The reverse SQL of a rehearsal, as a script for psql."""

    deploy_id: str
    sql: str


@dataclass(frozen=True)
class Refilled:
    """What a refill did with one table, or with columns of one.

    Attributes:
        rows: rows of the snapshot that were written, whole or in these columns.
        replaced: how many of them took the place of other values or rows.
        skipped: rows of the snapshot that were not written: deleted since, or what they refer to is.
        detail: what else there is to say.
    """

    object: str
    rows: int
    replaced: int = 0
    skipped: int = 0
    detail: str = ""


@dataclass(frozen=True)
class Leftover:
    """Rows of the deploy that stayed behind in a table, and how many of them `--tidy` has removed."""

    table: str
    rows: int
    removed: int = 0


@dataclass(frozen=True)
class RollbackResult:
    """What was done; the migrations are proven, or DifferencesFound would have been raised.

    `verified` says that the schema is too; it is false where no snapshot recorded the state.
    `archive` is the deploy id of the archive, None if none was made; `standby` is the database that was swapped in
    instead of a restore.
    """

    plan: Plan
    retired_database: str | None
    retired_schema: str | None
    verified: bool
    seconds: float
    archive: str | None = None
    refilled: tuple[Refilled, ...] = ()
    leftovers: tuple[Leftover, ...] = ()
    standby: str | None = None


@dataclass(frozen=True)
class RefillResult:
    """What `refill` put back, from which snapshot or archive."""

    deploy_id: str
    refilled: tuple[Refilled, ...]
    seconds: float


@dataclass(frozen=True)
class CopyResult:
    """A copy beside the live database."""

    database: str
    seconds: float


@dataclass(frozen=True)
class RehearsalResult:
    """What a rehearsal has found, and whether the deploy may go ahead; `database` is the scratch one if it was kept."""

    rehearsal: Rehearsal
    accepted: bool
    database: str | None
    seconds: float


@dataclass(frozen=True)
class UndoResult:
    """Which database is live again, and under which name the restored one is kept."""

    database: str
    retired_database: str | None
    retired_schema: str | None
