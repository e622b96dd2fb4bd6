"""The rung `files`: every byte against its SHA-256, or a share of them in rotation, or as many as there is time for."""

from collections.abc import Sequence
from datetime import UTC, datetime

from flagsnap.attached.verification import Rung, Verification
from flagsnap.progress import Progress
from flagsnap.snapshot import DumpFile, Manifest
from flagsnap.stores.content import Content
from flagsnap.stores.snapshots import Snapshots
from flagsnap.verification import WHOLE, Check, Level
from flagsnap.verifying.request import Ladder
from flagsnap.verifying.rungs import NO_TIME, Result, tried, unchecked
from flagsnap.verifying.sampling import Rotation, batches, in_rotation, sample, turned

_BATCH = 256 << 20
_LEVEL: Level = "files"


def check_files(
    snapshots: Snapshots, manifest: Manifest, ladder: Ladder, before: Verification | None, progress: Progress
) -> tuple[Result, Rotation]:
    """Read what the ladder asks for; gives back how far the rotation has come, too."""
    rotation = Rotation(before.resume, before.round_began) if before else Rotation()
    order = in_rotation(manifest.files, rotation.resume)
    chosen = sample(order, ladder.share) if ladder.share < WHOLE else order
    reading = _Reading(snapshots.content(manifest, ladder.jobs, progress), ladder, chosen)
    at = datetime.now(UTC)
    result = tried(snapshots, manifest, _LEVEL, reading.problems)
    if result.rung is None:
        return result, rotation
    if result.check.details:
        return result, Rotation(_first_failed(order, result.check.details) or rotation.resume)
    if not reading.done and order:
        return unchecked(_LEVEL, manifest, NO_TIME), rotation
    turn, whole_at = turned(rotation, order, reading.done, at)
    earlier = before.rungs.get(_LEVEL) if before else None
    rung = result.rung.model_copy(
        update={
            "share": _share(order, reading.done),
            "whole_at": None if reading.done == len(order) else whole_at or (earlier.verified_at if earlier else None),
        }
    )
    return Result(_said(result.check, rung, in_time=reading.done == len(chosen)), rung), turn


class _Reading:
    """Reads files in their order; `done` are those that were read and found well."""

    def __init__(self, content: Content, ladder: Ladder, chosen: Sequence[DumpFile]) -> None:
        self.content = content
        self.ladder = ladder
        self.chosen = chosen
        self.done = 0

    def problems(self) -> tuple[str, ...]:
        """What is wrong with them, in words; fewer than all are read if time runs out."""
        budget = self.ladder.budget
        for batch in batches(self.chosen, _BATCH) if budget.limit else (self.chosen,):
            try:
                found = self.content.check({file.path for file in batch}, lambda: budget.is_spent)
            except TimeoutError:
                return ()
            if found:
                return found
            self.done += len(batch)
        return ()


def _said(check: Check, rung: Rung, *, in_time: bool) -> Check:
    said = "" if rung.share >= WHOLE else f"{rung.share:.1%} of the bytes"
    if in_time:
        return Check(check.name, check.subject, said=said)
    return Check(check.name, check.subject, unchecked=f"{NO_TIME}: {said} were read, the next run goes on")


def _share(order: Sequence[DumpFile], done: int) -> float:
    total = sum(file.bytes for file in order)
    if done == len(order) or not total:
        return WHOLE
    return min(sum(file.bytes for file in order[:done]) / total, WHOLE - 1e-4)


def _first_failed(order: Sequence[DumpFile], details: Sequence[str]) -> str | None:
    """The next sample begins with what failed, so that it cannot be followed by a green one of other files."""
    return next((file.path for file in order if any(each.startswith(f"{file.path} ") for each in details)), None)
