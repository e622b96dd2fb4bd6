"""The rung `drill`, with those between it and the manifest: what is restored is hashed on the way, in one pass."""

import time
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path

from flagsnap.attached.verification import Verification
from flagsnap.errors import ChildFailed, FlagsnapError, RestoreFailed, SnapshotDamaged
from flagsnap.postgres.clients import find_clients
from flagsnap.postgres.dump import toc_entries
from flagsnap.progress import Progress
from flagsnap.restoring.drill import drill
from flagsnap.restoring.failures import restore_failed
from flagsnap.restoring.restore import Source
from flagsnap.snapshot import Manifest
from flagsnap.stores.snapshots import Snapshots
from flagsnap.verification import Check, Drilled
from flagsnap.verifying.climb import Climb
from flagsnap.verifying.request import Ladder, why
from flagsnap.verifying.rungs import NO_TIME, Result, tried, unchecked
from flagsnap.verifying.toc import toc_problems


@dataclass(frozen=True)
class Drilling:
    """A drill of one snapshot."""

    snapshots: Snapshots
    manifest: Manifest
    ladder: Ladder
    climb: Climb
    progress: Progress

    @property
    def source(self) -> Source:
        """What a restore needs."""
        return Source(self.snapshots, self.manifest, self.ladder.jobs, self.ladder.pg_bin)

    def run(self, before: Verification | None) -> None:
        """Fetch and hash, read the table of contents, restore and compare; each only if the one before holds."""
        last = before.rungs.get("drill") if before else None
        if self.ladder.budget.left < (last.seconds if last else 0):
            reason = f"{NO_TIME}: the last drill took {last.seconds:.0f} s" if last else NO_TIME
            self.climb.add("drill", unchecked("drill", self.manifest, reason))
            return
        began = time.monotonic()
        with ExitStack() as stack:
            folders: list[Path] = []
            files = tried(self.snapshots, self.manifest, "files", lambda: self._fetch(stack, folders))
            seconds = time.monotonic() - began
            if not self.climb.add("files", files):
                return
            toc = tried(self.snapshots, self.manifest, "toc", lambda: check_toc(self.manifest, folders[0], self.ladder))
            if self.climb.add("toc", toc):
                self._try(folders[0], seconds)

    def _fetch(self, stack: ExitStack, folders: list[Path]) -> tuple[str, ...]:
        content = self.snapshots.content(self.manifest, self.ladder.jobs, self.progress)
        try:
            folders.append(stack.enter_context(content.on_disk()))
        except SnapshotDamaged as error:
            return content.check() or (str(error),)
        return content.check(only=())  # what a store elsewhere has beyond what was recorded

    def _try(self, folder: Path, seconds: float) -> None:
        result = tried(self.snapshots, self.manifest, "drill", lambda: self._hold(folder, seconds))
        if result.rung and (drilled := self.climb.drilled):
            result = replace(result, rung=result.rung.model_copy(update={"seconds": drilled.seconds}))
        self.climb.add("drill", result)

    def _hold(self, folder: Path, fetched: float) -> tuple[str, ...]:
        with self.ladder.ground(self.source) as ground:
            began = time.monotonic()

            def proven() -> None:
                took = round(fetched + time.monotonic() - began, 3)
                self.climb.drilled = Drilled(self.manifest.deploy_id, took, self.manifest.database.bytes, ground.where)

            def left(reason: str) -> None:
                if ground.kind != "embedded":  # which goes with its server
                    self.climb.checks.append(Check("scratch database", self.manifest.deploy_id, unchecked=reason))

            try:
                kept = drill(self.source, folder, ground, self.progress, proven, left, keep=self.ladder.keep)
            except FlagsnapError as error:
                if not (drilled := self.climb.drilled):
                    raise
                # The drill was held and has told what it was for; only the standby is wanting.
                self.climb.checks.append(Check("standby", self.manifest.deploy_id, unchecked=why(error)))
            else:
                drilled = self.climb.drilled
                self.climb.drilled = replace(drilled, database=kept) if drilled else None
        return ()


def check_toc(manifest: Manifest, folder: Path, ladder: Ladder) -> tuple[str, ...]:
    """What is wrong with the dump's table of contents in a snapshot's folder, in words. FlagsnapError."""
    recorded = manifest.database
    clients = find_clients(int(recorded.dump.tool_version.split(".")[0]), ladder.pg_bin)
    try:
        entries = toc_entries(clients, folder / "dumps" / recorded.alias)
    except ChildFailed as error:
        if isinstance(restore_failed(error), RestoreFailed):
            return (f"it cannot be read: {error}",)
        raise
    return tuple(toc_problems(entries, recorded))


def reads_toc_only(manifest: Manifest) -> bool:
    """Whether no database can be restored from it: an archive of some tables."""
    return manifest.archive is not None and not manifest.archive.whole


def not_held(manifest: Manifest) -> Result:
    """What is said of such an archive, which is no failure."""
    said = "not held: an archive of some tables cannot be restored alone"
    return Result(Check("drill", manifest.deploy_id, said=said))
