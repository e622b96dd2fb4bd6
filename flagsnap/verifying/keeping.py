"""The results of a snapshot's checks, kept beside it."""

from flagsnap.attached.verification import Rung, Verification
from flagsnap.errors import FlagsnapError, SnapshotDamaged, SnapshotMissing
from flagsnap.progress import Progress
from flagsnap.snapshot import Manifest
from flagsnap.stores.snapshots import Snapshots
from flagsnap.verification import Level
from flagsnap.verifying.climb import Climb


def kept_before(snapshots: Snapshots, manifest: Manifest) -> Verification | None:
    """What earlier runs have found, None if nothing can be read; a damaged one has been told as such."""
    try:
        return snapshots.verification(manifest)
    except FlagsnapError:
        return None


def keep(snapshots: Snapshots, manifest: Manifest, climb: Climb, progress: Progress) -> None:
    """Put new results beside the snapshot; what other runs have found since stays. Warns if they cannot be kept."""
    if not climb.rungs:
        return
    try:
        snapshots.keep_verification(_merged(snapshots, manifest, climb))
    except SnapshotMissing:
        return  # it was removed meanwhile, and its results with it
    except FlagsnapError as error:
        progress.warn(f"the results of {manifest.deploy_id} could not be kept: {error}")


def _merged(snapshots: Snapshots, manifest: Manifest, climb: Climb) -> Verification:
    try:
        before = snapshots.verification(manifest)
    except SnapshotDamaged:
        before = None
    before = before or Verification(deploy_id=manifest.deploy_id, captured_at=manifest.captured_at)
    rungs: dict[Level, Rung] = {**before.rungs}
    for level, rung in climb.rungs.items():
        if level not in rungs or rungs[level].checked_at <= rung.checked_at:
            rungs[level] = rung
    update: dict[str, object] = {"rungs": rungs}
    if climb.rotation is not None:
        update |= {"resume": climb.rotation.resume, "round_began": climb.rotation.began}
    return before.model_copy(update=update)
