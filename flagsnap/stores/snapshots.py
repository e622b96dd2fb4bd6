"""The snapshots of a store: found by deploy id or by their order, manifests read and checked."""

from collections.abc import Mapping
from contextlib import suppress
from datetime import UTC, datetime

from flagsnap.errors import FlagsnapError, SnapshotDamaged, SnapshotMissing, UsageError
from flagsnap.pins import PIN, Pin, read_pin
from flagsnap.progress import Progress
from flagsnap.rehearsal.values import REHEARSAL, Rehearsal, read_rehearsal
from flagsnap.results import Listing, Standing
from flagsnap.snapshot import (
    LATEST,
    MANIFEST,
    Manifest,
    Summary,
    check_deploy_id,
    newest_first,
    read_manifest,
    require_whole,
)
from flagsnap.stores.base import Store
from flagsnap.stores.content import Content
from flagsnap.verification import VERIFIED, Level, Rung, Verification, read_brief, read_verification


class Snapshots:
    """All snapshots of a store."""

    def __init__(self, store: Store) -> None:
        self.store = store

    def get(self, deploy_id: str) -> Manifest:
        """The manifest of a deploy id, or of `latest`, the newest capture. SnapshotMissing, or SnapshotDamaged."""
        if deploy_id == LATEST:
            return self._latest()
        check_deploy_id(deploy_id)
        try:
            return self._read(deploy_id)
        except SnapshotDamaged:
            return self._read(deploy_id)  # a network may have altered what the store has whole

    def find(self, deploy_id: str) -> Manifest | None:
        """The manifest, None if there is no such snapshot; SnapshotDamaged."""
        try:
            return self.get(deploy_id)
        except SnapshotMissing:
            return None

    def to_restore(self, deploy_id: str) -> Manifest:
        """The same as `get`; UsageError if it is an archive that has only some tables."""
        return require_whole(self.get(deploy_id))

    def after(self, deploy_id: str) -> Manifest:
        """The first capture after that one: it recorded the state that the deploy ran with."""
        this = self.get(deploy_id)
        if this.archive:
            raise UsageError(f"{deploy_id} is an archive, no deploy", "name a deploy id (`flagsnap list` shows them)")
        later = [each for each in self._captures() if each.captured_at > this.captured_at]
        if not later:
            raise SnapshotMissing(
                f"no snapshot was captured after {deploy_id}, so nothing recorded the state it ran with",
                f"--to {deploy_id} goes back to the state before it",
            )
        return self.get(later[-1].deploy_id)

    def list(self) -> Listing:
        """All summaries with their standings; a manifest that must be read and cannot hides none of the others."""
        summaries: list[Summary] = []
        damaged: list[tuple[str, str]] = []
        standings: dict[str, Standing] = {}
        for deploy_id, listed in sorted(self.store.list().items()):
            try:
                summaries.append(listed.summary or self.get(deploy_id).summary)
            except FlagsnapError as error:
                damaged.append((deploy_id, str(error)))
            standings[deploy_id] = self._standing(deploy_id, listed.briefs)
        return Listing(newest_first(summaries), tuple(damaged), standings)

    def content(self, manifest: Manifest, workers: int, progress: Progress) -> Content:
        """The files of a snapshot, so many at a time."""
        return Content(self.store, manifest, workers, progress)

    def attach_rehearsal(self, rehearsal: Rehearsal) -> None:
        """Put a rehearsal beside its snapshot, in the place of an earlier one. SnapshotMissing."""
        self.store.attach(rehearsal.deploy_id, REHEARSAL, rehearsal.to_json())

    def rehearsal(self, manifest: Manifest) -> Rehearsal | None:
        """The rehearsal of a snapshot, None if there is none; SnapshotDamaged if it cannot be read.

        One of an earlier snapshot of that deploy id is none.
        """
        found = self.stored_rehearsal(manifest.deploy_id)
        return found if found and found.captured_at == manifest.captured_at else None

    def stored_rehearsal(self, deploy_id: str) -> Rehearsal | None:
        """What lies beside a snapshot as its rehearsal, None if nothing does; SnapshotDamaged."""
        try:
            return self._read_rehearsal(deploy_id)
        except SnapshotMissing:
            return None
        except SnapshotDamaged:
            return self._read_rehearsal(deploy_id)  # a network may have altered what the store has whole

    def verification(self, manifest: Manifest) -> Verification | None:
        """The kept results of a snapshot's checks, None if there are none; SnapshotDamaged if they cannot be read.

        Those of an earlier snapshot of that deploy id are none.
        """
        raw = self._attached(manifest.deploy_id, VERIFIED)
        found = read_verification(raw, manifest.deploy_id) if raw is not None else None
        return found if found and found.captured_at == manifest.captured_at else None

    def keep_verification(self, verification: Verification) -> None:
        """Put results beside their snapshot, in the place of earlier ones. SnapshotMissing."""
        self.store.attach(verification.deploy_id, VERIFIED, verification.to_json(), verification.brief())

    def pin(self, deploy_id: str, reason: str) -> Pin:
        """Pin a snapshot. SnapshotMissing."""
        pin = Pin(deploy_id=deploy_id, pinned_at=datetime.now(UTC), reason=reason)
        self.store.attach(check_deploy_id(deploy_id), PIN, pin.to_json(), pin.brief())
        return pin

    def unpin(self, deploy_id: str) -> None:
        """Take the pin off; nothing happens if there is none. SnapshotMissing."""
        self.store.detach(check_deploy_id(deploy_id), PIN)

    def pinned(self, deploy_id: str) -> Pin | None:
        """The pin of a snapshot, read from beside it, None if there is none.

        SnapshotDamaged if it cannot be read; it holds all the same.
        """
        raw = self._attached(deploy_id, PIN)
        return None if raw is None else read_pin(raw, deploy_id)

    def _standing(self, deploy_id: str, briefs: Mapping[str, Mapping[str, str]] | None) -> Standing:
        """From the briefs, else from what lies beside the snapshot; what cannot be read counts as not there."""
        if briefs is not None:
            return Standing(PIN in briefs, read_brief(briefs.get(VERIFIED, {})))
        rungs: Mapping[Level, Rung] = {}
        with suppress(FlagsnapError):
            if raw := self._attached(deploy_id, VERIFIED):
                rungs = read_verification(raw, deploy_id).rungs
        try:
            return Standing(self.pinned(deploy_id) is not None, rungs)
        except FlagsnapError:
            return Standing(pinned=True, rungs=rungs)  # a pin that cannot be read holds

    def _attached(self, deploy_id: str, path: str) -> bytes | None:
        try:
            return b"".join(self.store.read(deploy_id, path))
        except SnapshotMissing:
            return None

    def _read_rehearsal(self, deploy_id: str) -> Rehearsal:
        return read_rehearsal(b"".join(self.store.read(deploy_id, REHEARSAL)), deploy_id)

    def _read(self, deploy_id: str) -> Manifest:
        return read_manifest(b"".join(self.store.read(deploy_id, MANIFEST)), deploy_id)

    def _latest(self) -> Manifest:
        summaries = self._captures()
        if not summaries:
            raise SnapshotMissing(f"there is no snapshot in {self.store.url}", "`flagsnap capture` makes one")
        return self.get(summaries[0].deploy_id)

    def _captures(self) -> tuple[Summary, ...]:
        """What was captured, without archives, newest first.

        SnapshotDamaged if one cannot be read, since nobody knows its place in the order.
        """
        listing = self.list()
        if listing.damaged:
            raise SnapshotDamaged(
                f"the order of the snapshots is not known: {listing.damaged[0][1]}",
                "name a deploy id (`flagsnap list` shows them), or take the damaged one out of the store",
            )
        return tuple(summary for summary in listing.summaries if summary.archive_of is None)
