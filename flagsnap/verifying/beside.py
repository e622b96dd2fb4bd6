"""The rung `manifest`: the manifest itself, all that lies beside it, and nothing that nobody has put there."""

from collections.abc import Callable, Iterator

from flagsnap.attached.baseline import BASELINE
from flagsnap.attached.pin import PIN
from flagsnap.attached.verification import VERIFIED
from flagsnap.errors import SnapshotDamaged
from flagsnap.rehearsal.values import REHEARSAL
from flagsnap.snapshot import MANIFEST, Manifest
from flagsnap.stores.snapshots import Snapshots
from flagsnap.verification import Check

_BESIDE = {MANIFEST, REHEARSAL, VERIFIED, PIN, BASELINE}
_DUMPS = "dumps/"


def checks_beside(snapshots: Snapshots, manifest: Manifest) -> Iterator[Check]:
    """One check of the manifest, one of a rehearsal if there is one, and one of whatever else is not as it should be.

    SnapshotMissing, StoreFailed.
    """
    deploy_id = manifest.deploy_id
    yield Check("manifest", deploy_id, _problems(manifest))
    if strays := _strays(snapshots, deploy_id):
        yield Check("extra files", deploy_id, strays)
    yield from _rehearsal(snapshots, manifest)
    looks: dict[str, Callable[[], object]] = {
        "verification": lambda: snapshots.verification(manifest),
        "pin": lambda: snapshots.pinned(deploy_id),
        "baseline": lambda: snapshots.baseline(deploy_id),
    }
    for name, look in looks.items():
        try:
            look()
        except SnapshotDamaged as error:
            yield Check(name, deploy_id, (str(error),))


def _problems(manifest: Manifest) -> tuple[str, ...]:
    try:
        _ = manifest.database.schema_catalog
    except SnapshotDamaged as error:
        return (str(error),)
    return ()


def _strays(snapshots: Snapshots, deploy_id: str) -> tuple[str, ...]:
    """What lies beside the manifest and is none of flagsnap's; the rung `files` looks after the dump's folder."""
    paths = sorted(snapshots.store.files(deploy_id))
    return tuple(f"{path} was not recorded" for path in paths if path not in _BESIDE and not path.startswith(_DUMPS))


def _rehearsal(snapshots: Snapshots, manifest: Manifest) -> Iterator[Check]:
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
