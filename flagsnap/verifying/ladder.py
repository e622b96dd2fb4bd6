"""Verify: is a snapshot whole, and is the live database what was recorded? What could not be checked is never green."""

from collections.abc import Iterator
from typing import Literal

from flagsnap.errors import FlagsnapError, SnapshotDamaged
from flagsnap.postgres.connection import Address, connect
from flagsnap.postgres.facts import read_current_state
from flagsnap.progress import Progress
from flagsnap.restoring.restore import compare
from flagsnap.snapshot import Manifest
from flagsnap.stores.snapshots import Snapshots
from flagsnap.verification import Check

Level = Literal["manifest", "files"]


def verify_snapshot(
    snapshots: Snapshots, deploy_id: str, level: Level, workers: int, progress: Progress
) -> tuple[Check, ...]:
    """Check a snapshot up to a level: the manifest and a rehearsal, then all bytes of its files. SnapshotMissing."""
    try:
        manifest = snapshots.get(deploy_id)
        _ = manifest.database.schema_catalog
    except SnapshotDamaged as error:
        return (Check("manifest", deploy_id, (str(error),)),)
    passed = (Check("manifest", manifest.deploy_id), *_rehearsal_checks(snapshots, manifest))
    if level == "manifest":
        return passed
    problems = snapshots.content(manifest, workers, progress).check()
    return *passed, Check("files", manifest.deploy_id, problems)


def _rehearsal_checks(snapshots: Snapshots, manifest: Manifest) -> Iterator[Check]:
    """None where there is no rehearsal."""
    try:
        rehearsal = snapshots.stored_rehearsal(manifest.deploy_id)
    except SnapshotDamaged as error:
        yield Check("rehearsal", manifest.deploy_id, (str(error),))
        return
    if rehearsal and rehearsal.captured_at != manifest.captured_at:
        yield Check("rehearsal", manifest.deploy_id, ("it is of an earlier snapshot of that deploy id",))
    elif rehearsal:
        yield Check("rehearsal", manifest.deploy_id)


def verify_live(address: Address, manifest: Manifest) -> tuple[Check, ...]:
    """Check that the live database has exactly the recorded migrations and schema."""
    with connect(address, "verify") as connection:
        state = read_current_state(connection)
    found = compare(manifest.database, state)
    if manifest.database.name != address.database:
        raise FlagsnapError(
            f"snapshot {manifest.deploy_id} is of the database {manifest.database.name}, not of {address}",
            "check --store and --database-url",
        )
    subject = f"{address.database} against {manifest.deploy_id}"
    migrations = tuple(each for each in found if each.startswith("migration "))
    return (
        Check("migrations", subject, migrations),
        Check("schema", subject, tuple(each for each in found if each not in migrations)),
    )
