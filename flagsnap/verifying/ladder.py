"""The ladder: one snapshot, rung by rung, as far up as it was asked for, or until one does not hold."""

from datetime import UTC, datetime

from flagsnap.attached.verification import Rung
from flagsnap.errors import FlagsnapError, SnapshotDamaged, SnapshotMissing
from flagsnap.postgres.dump import TOC
from flagsnap.progress import Progress
from flagsnap.snapshot import Manifest
from flagsnap.stores.snapshots import Snapshots
from flagsnap.verification import Check
from flagsnap.verifying.beside import checks_beside
from flagsnap.verifying.climb import Climb
from flagsnap.verifying.drilling import Drilling, check_toc, not_held, reads_toc_only
from flagsnap.verifying.keeping import keep, kept_before
from flagsnap.verifying.reading import check_files
from flagsnap.verifying.request import Ladder, why
from flagsnap.verifying.rungs import REMOVED, tried, unchecked


def climb_ladder(snapshots: Snapshots, deploy_id: str, ladder: Ladder, progress: Progress) -> Climb:
    """Check a snapshot, or `latest`, and keep the results beside it. SnapshotMissing."""
    climb = Climb()
    try:
        manifest = snapshots.get(deploy_id)
    except SnapshotMissing:
        raise
    except SnapshotDamaged as error:
        climb.checks.append(Check("manifest", deploy_id, (str(error),)))
        return climb
    except FlagsnapError as error:
        climb.checks.append(Check("manifest", deploy_id, unchecked=why(error)))
        return climb
    if _manifest_holds(snapshots, manifest, climb) and ladder.level != "manifest":
        _climb_higher(snapshots, manifest, ladder, climb, progress)
    keep(snapshots, manifest, climb, progress)
    return climb


def _manifest_holds(snapshots: Snapshots, manifest: Manifest, climb: Climb) -> bool:
    """The first rung; what lies beside the manifest may be damaged, and the snapshot be whole all the same."""
    at = datetime.now(UTC)
    try:
        checks = list(checks_beside(snapshots, manifest))
    except SnapshotMissing:
        return climb.add("manifest", unchecked("manifest", manifest, REMOVED))
    except FlagsnapError as error:
        return climb.add("manifest", unchecked("manifest", manifest, why(error)))
    details = tuple(detail for check in checks for detail in check.details)
    climb.checks += checks
    climb.rungs["manifest"] = Rung(checked_at=at, ok=not details, details=details)
    return checks[0].ok


def _climb_higher(snapshots: Snapshots, manifest: Manifest, ladder: Ladder, climb: Climb, progress: Progress) -> None:
    before = kept_before(snapshots, manifest)
    if ladder.level == "drill" and not reads_toc_only(manifest):
        Drilling(snapshots, manifest, ladder, climb, progress).run(before)
        return
    result, climb.rotation = check_files(snapshots, manifest, ladder, before, progress)
    if not climb.add("files", result) or ladder.level == "files":
        return

    def look() -> tuple[str, ...]:
        content = snapshots.content(manifest, ladder.jobs, progress)
        with content.on_disk({f"dumps/{manifest.database.alias}/{TOC}"}) as folder:
            return check_toc(manifest, folder, ladder)

    if climb.add("toc", tried(snapshots, manifest, "toc", look)) and ladder.level == "drill":
        climb.add("drill", not_held(manifest))
