"""One rung of the ladder: its result as a check, and as what is kept beside the snapshot.

What speaks against the snapshot has failed; whatever else goes wrong leaves it unchecked, and nothing of it is kept.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime

from flagsnap.attached.verification import Rung
from flagsnap.errors import DifferencesFound, FlagsnapError, RestoreFailed, SnapshotDamaged, SnapshotMissing
from flagsnap.snapshot import Manifest
from flagsnap.stores.snapshots import Snapshots
from flagsnap.verification import Check, Level
from flagsnap.verifying.request import why

NO_TIME = "no time left"
REMOVED = "it was removed meanwhile"
_KEPT_DETAILS = 20


@dataclass(frozen=True)
class Result:
    """What a rung came to; there is no `rung` to keep if it could not be checked."""

    check: Check
    rung: Rung | None = None


def tried(snapshots: Snapshots, manifest: Manifest, level: Level, work: Callable[[], tuple[str, ...]]) -> Result:
    """Do a rung's work, which gives back what it found, in words."""
    at, began = datetime.now(UTC), time.monotonic()
    try:
        details = work()
    except DifferencesFound as error:
        details = error.differences
    except (SnapshotDamaged, RestoreFailed) as error:
        details = (str(error),)
    except SnapshotMissing:
        return unchecked(level, manifest, REMOVED)
    except FlagsnapError as error:
        return unchecked(level, manifest, REMOVED if is_removed(snapshots, manifest) else why(error))
    if details and is_removed(snapshots, manifest):
        return unchecked(level, manifest, REMOVED)
    rung = Rung(
        checked_at=at, ok=not details, seconds=round(time.monotonic() - began, 3), details=details[:_KEPT_DETAILS]
    )
    return Result(Check(level, manifest.deploy_id, details), rung)


def unchecked(level: Level, manifest: Manifest, reason: str) -> Result:
    """A rung that could not be checked."""
    return Result(Check(level, manifest.deploy_id, unchecked=reason))


def is_removed(snapshots: Snapshots, manifest: Manifest) -> bool:
    """Whether the snapshot has gone from the store since its manifest was read, or another one has its deploy id."""
    try:
        now = snapshots.find(manifest.deploy_id)
    except FlagsnapError:
        return False
    return now is None or now.captured_at != manifest.captured_at
