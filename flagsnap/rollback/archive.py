"""Archive: a snapshot of what a rollback is about to destroy, so that `flagsnap refill --from` can bring it back."""

import time
from collections.abc import Collection
from datetime import UTC, datetime

from flagsnap.errors import FlagsnapError, Interrupted, SnapshotDamaged
from flagsnap.loss.values import TableKey
from flagsnap.plan import Plan
from flagsnap.postgres.connection import connect
from flagsnap.progress import Progress
from flagsnap.recording.record import RecordRequest, record
from flagsnap.rollback.situation import Live, RollbackRequest
from flagsnap.snapshot import Archive, Manifest, archive_id_from


def take_archive(
    request: RollbackRequest, plan: Plan, live: Live, progress: Progress, besides: Collection[TableKey] = ()
) -> Manifest:
    """Store the tables that the plan wants archived and those `besides`, or the whole database if its scope is full.

    The rollback holds the lock. FlagsnapError if the archive cannot be made; then nothing is stored.
    """
    now = _moment(request, plan)
    whole = plan.archive == "full"
    order = RecordRequest(
        address=request.address,
        deploy_id=archive_id_from(plan.to, now),
        captured_at=now,
        jobs=request.jobs,
        pg_bin=request.pg_bin,
        lock_timeout=request.lock_timeout,
        archive=Archive(rollback_to=plan.to, whole=whole, items=plan.to_archive),
        tables=None if whole else sorted({*besides, *(item.table_key for item in plan.to_archive)}),
    )
    try:
        with connect(request.address, "archive") as connection:
            return record(order, request.snapshots.store, connection, live.keeper, progress)
    except Interrupted:
        raise
    except FlagsnapError as error:
        raise FlagsnapError(
            f"what goes could not be archived, so nothing was done: {error}",
            f"{error.hint or 'mend the cause'}; --archive none goes back without an archive",
        ) from error


def _moment(request: RollbackRequest, plan: Plan) -> datetime:
    """Now, or the next second if this one names an archive already: a replay that failed may be tried again at once."""
    while True:
        now = datetime.now(UTC)
        try:
            taken = request.snapshots.find(archive_id_from(plan.to, now)) is not None
        except SnapshotDamaged:
            taken = True
        except FlagsnapError:  # the store's own trouble, which whoever writes there will tell
            return now
        if not taken:
            return now
        time.sleep(1 - now.microsecond / 1_000_000)
