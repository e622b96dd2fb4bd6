"""Capture: record the state of a database and dump it, in one database snapshot, before a deploy."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Literal

from flagsnap.durations import in_words
from flagsnap.errors import SnapshotExists
from flagsnap.postgres.connection import Address, Connection, connect
from flagsnap.postgres.facts import read_current_state
from flagsnap.postgres.locks import holding
from flagsnap.progress import Progress
from flagsnap.recording.record import RecordRequest, record
from flagsnap.results import CaptureResult
from flagsnap.snapshot import Manifest, check_deploy_id, deploy_id_from
from flagsnap.stores.snapshots import Snapshots

_RETRIED_WITHIN = timedelta(hours=1)


@dataclass(frozen=True)
class CaptureRequest:
    """What to capture; without a deploy id, one is made from the time."""

    address: Address
    deploy_id: str | None
    labels: Mapping[str, str]
    jobs: int
    if_exists: Literal["keep", "fail"]
    pg_bin: Path | None
    lock_timeout: float


def capture(request: CaptureRequest, snapshots: Snapshots, progress: Progress) -> CaptureResult:
    """Capture the database of `request` into a store.

    Capturing a deploy id again succeeds if the recorded state is the live one still. SnapshotExists if it is not: a
    hook that is retried after a half-run `migrate` must never replace the good snapshot. Locked if another run is at
    work.
    """
    now = datetime.now(UTC)
    deploy_id = check_deploy_id(deploy_id_from(now) if request.deploy_id is None else request.deploy_id)
    existing = snapshots.find(deploy_id)
    with connect(request.address, "capture") as connection:
        if existing:
            return _reuse(request, existing, connection, snapshots, progress)
        with connect(request.address, "capture lock") as keeper, holding(keeper, connection.info.dbname):
            manifest = record(_recording(request, deploy_id, now), snapshots.store, connection, keeper, progress)
    return CaptureResult(manifest, f"{snapshots.store.url}/{deploy_id}", reused=False)


def _recording(request: CaptureRequest, deploy_id: str, now: datetime) -> RecordRequest:
    return RecordRequest(
        request.address, deploy_id, now, request.jobs, request.pg_bin, request.lock_timeout, request.labels
    )


def _reuse(
    request: CaptureRequest, existing: Manifest, connection: Connection, snapshots: Snapshots, progress: Progress
) -> CaptureResult:
    """The retry of a hook: the snapshot that is there, if it still describes the database.

    A second try of a deploy days later looks the same, and is warned that the rows are those of then.
    """
    deploy_id = existing.deploy_id
    if request.if_exists == "fail":
        raise SnapshotExists(
            f"snapshot {deploy_id} exists", "choose another --deploy-id, or leave out --if-exists fail"
        )
    if existing.archive:
        raise SnapshotExists(f"{deploy_id} is an archive", "choose another --deploy-id")
    recorded, live = existing.database, read_current_state(connection)
    if recorded.name != connection.info.dbname:
        raise SnapshotExists(
            f"snapshot {deploy_id} exists and is of the database {recorded.name}",
            "choose another --deploy-id, or another --store for this database",
        )
    if recorded.applied_set != tuple(row.migration for row in live.applied):
        what = "the applied migrations have changed"
    elif recorded.fingerprint != live.catalog.fingerprint:
        what = "the schema has changed"
    else:
        if (age := datetime.now(UTC) - existing.captured_at) > _RETRIED_WITHIN:
            progress.warn(
                f"snapshot {deploy_id} was captured {in_words(age)} ago, and what was written since is not in it;"
                " another --deploy-id captures it"
            )
        return CaptureResult(existing, f"{snapshots.store.url}/{deploy_id}", reused=True)
    raise SnapshotExists(
        f"snapshot {deploy_id} exists and {what} since; it was left as it is",
        f"`flagsnap plan --to {deploy_id}` shows what changed; a new deploy needs another --deploy-id",
    )
