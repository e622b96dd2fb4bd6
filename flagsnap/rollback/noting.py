"""What `verify` is told after a rollback: the live state is no longer what the newest capture recorded, and rightly so.

It holds the live database to the newest capture, or to the baseline beside it. A rollback to an older capture, or one
that leaves what no migration made, would look to it like a change that nobody had agreed to.
"""

from datetime import UTC, datetime

from flagsnap.attached.baseline import BASELINE, Baseline
from flagsnap.errors import FlagsnapError, SnapshotMissing
from flagsnap.plan import Plan
from flagsnap.postgres.connection import connect
from flagsnap.postgres.facts import read_current_state
from flagsnap.progress import Progress
from flagsnap.rollback.situation import RollbackRequest
from flagsnap.snapshot import LATEST


def note_for_verify(request: RollbackRequest, plan: Plan, progress: Progress) -> None:
    """Note the live state as the baseline, where the newest capture recorded another one; a failure is a warning.

    Where it recorded this one, a baseline of before is taken away.
    """
    store = request.snapshots.store
    try:
        newest = request.snapshots.get(LATEST)
        with connect(request.address, "note") as connection:
            state = read_current_state(connection, request.lock_timeout)
        applied = tuple(row.migration for row in state.applied)
        if (
            set(applied) == set(newest.database.applied_set)
            and state.catalog.fingerprint == newest.database.fingerprint
        ):
            if BASELINE in store.files(newest.deploy_id):
                store.detach(newest.deploy_id, BASELINE)
            return
        baseline = Baseline(
            deploy_id=newest.deploy_id,
            captured_at=newest.captured_at,
            noted_at=datetime.now(UTC),
            applied=applied,
            catalog=list(state.catalog.to_json()),
            after=f"the rollback to {plan.to}",
        )
        request.snapshots.note_baseline(baseline)
    except SnapshotMissing:
        return  # nothing was captured, so verify has nothing to hold it to
    except FlagsnapError as error:
        progress.warn(f"the next verify will take the rollback for an unknown change: {error}")
