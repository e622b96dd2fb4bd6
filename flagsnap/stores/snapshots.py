"""The snapshots of a store: found by deploy id or by their order, manifests read and checked."""

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from typing import TypeVar

from flagsnap.attached.baseline import BASELINE, Baseline
from flagsnap.attached.pin import PIN, Pin
from flagsnap.attached.verification import VERIFIED, Rung, Verification, read_brief
from flagsnap.errors import FlagsnapError, SnapshotDamaged, SnapshotMissing, UsageError
from flagsnap.progress import Progress
from flagsnap.rehearsal.values import REHEARSAL, Rehearsal
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
    state_of,
)
from flagsnap.stores.base import Listed, Store
from flagsnap.stores.content import Content
from flagsnap.verification import Level

T = TypeVar("T")
_CAPTURED = "captured_at"


class Snapshots:
    """All snapshots of a store."""

    def __init__(self, store: Store) -> None:
        self.store = store

    def name_of(self, deploy_id: str) -> str:
        """The deploy id itself, that of the newest capture for `latest`; SnapshotMissing if there is no capture."""
        return self._latest() if deploy_id == LATEST else check_deploy_id(deploy_id)

    def get(self, deploy_id: str) -> Manifest:
        """The manifest of a deploy id, or of `latest`, the newest capture. SnapshotMissing, or SnapshotDamaged."""
        return self._read(self.name_of(deploy_id), MANIFEST, read_manifest)

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
        """The newest capture of the state that the deploy ran with, which the first capture after it recorded.

        Captures of one state differ in their rows only: one each night, or a deploy that was tried twice. The newest
        loses the least.
        """
        this = self.get(deploy_id)
        if this.archive:
            raise UsageError(f"{deploy_id} is an archive, no deploy", "name a deploy id (`flagsnap list` shows them)")
        later = [each for each in self._captures() if each.captured_at > this.captured_at]
        if not later:
            raise SnapshotMissing(
                f"no snapshot was captured after {deploy_id}, so nothing recorded the state it ran with",
                f"--to {deploy_id} goes back to the state before it",
            )
        first = self.get(later[-1].deploy_id)
        same = (self.get(each.deploy_id) for each in later[:-1] if each.state in {None, first.summary.state})
        return next((each for each in same if _recorded(each) == _recorded(first)), first)

    def list(self) -> Listing:
        """All summaries with their standings; a manifest that must be read and cannot hides none of the others."""
        listed = self.store.list()
        summaries, damaged = self._summaries(listed)
        standings = {each.deploy_id: self._standing(each, listed[each.deploy_id].briefs) for each in summaries}
        return Listing(newest_first(summaries), damaged, standings)

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
        return self._attached(deploy_id, REHEARSAL, Rehearsal.read)

    def verification(self, manifest: Manifest) -> Verification | None:
        """The kept results of a snapshot's checks, None if there are none; SnapshotDamaged if they cannot be read.

        Those of an earlier snapshot of that deploy id are none.
        """
        found = self._attached(manifest.deploy_id, VERIFIED, Verification.read)
        return found if found and found.captured_at == manifest.captured_at else None

    def keep_verification(self, verification: Verification) -> None:
        """Put results beside their snapshot, in the place of earlier ones. SnapshotMissing."""
        brief = {_CAPTURED: _in_brief(verification.captured_at), **verification.brief()}
        self.store.attach(verification.deploy_id, VERIFIED, verification.to_json(), brief)

    def baseline(self, deploy_id: str) -> Baseline | None:
        """What lies beside a snapshot as the baseline, None if nothing does; SnapshotDamaged."""
        return self._attached(deploy_id, BASELINE, Baseline.read)

    def note_baseline(self, baseline: Baseline) -> None:
        """Put it beside its snapshot, in the place of an earlier one. SnapshotMissing."""
        self.store.attach(baseline.deploy_id, BASELINE, baseline.to_json())

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
        return self._attached(deploy_id, PIN, Pin.read)

    def _summaries(self, listed: Mapping[str, Listed]) -> tuple[Sequence[Summary], tuple[tuple[str, str], ...]]:
        """The summaries, and the deploy ids of which there is none to be had, each with the reason."""
        summaries: list[Summary] = []
        damaged: list[tuple[str, str]] = []
        for deploy_id, each in sorted(listed.items()):
            try:
                summaries.append(each.summary or self.get(deploy_id).summary)
            except FlagsnapError as error:
                damaged.append((deploy_id, str(error)))
        return summaries, tuple(damaged)

    def _standing(self, summary: Summary, briefs: Mapping[str, Mapping[str, str]] | None) -> Standing:
        """From the briefs, and where they say nothing, from what lies beside the snapshot."""
        if briefs is None:
            return Standing(self._is_pinned(summary.deploy_id), self._rungs(summary))
        return Standing(
            PIN in briefs and (bool(briefs[PIN]) or self._is_pinned(summary.deploy_id)),
            self._rungs_in_brief(summary, briefs[VERIFIED]) if VERIFIED in briefs else {},
        )

    def _rungs_in_brief(self, summary: Summary, brief: Mapping[str, str]) -> Mapping[Level, Rung]:
        if not brief:
            return self._rungs(summary)
        return read_brief(brief) if brief.get(_CAPTURED) == _in_brief(summary.captured_at) else {}

    def _rungs(self, summary: Summary) -> Mapping[Level, Rung]:
        """What has been verified, as far as it can be read."""
        with suppress(FlagsnapError):
            found = self._attached(summary.deploy_id, VERIFIED, Verification.read)
            if found and found.captured_at == summary.captured_at:
                return found.rungs
        return {}

    def _is_pinned(self, deploy_id: str) -> bool:
        try:
            return self.pinned(deploy_id) is not None
        except FlagsnapError:
            return True  # a pin that cannot be read holds

    def _attached(self, deploy_id: str, path: str, read: Callable[[bytes, str], T]) -> T | None:
        """A file beside a snapshot, None if there is none; SnapshotDamaged."""
        try:
            return self._read(deploy_id, path, read)
        except SnapshotMissing:
            return None

    def _read(self, deploy_id: str, path: str, read: Callable[[bytes, str], T]) -> T:
        try:
            return read(b"".join(self.store.read(deploy_id, path)), deploy_id)
        except SnapshotDamaged:  # a network may have altered what the store has whole
            return read(b"".join(self.store.read(deploy_id, path)), deploy_id)

    def _latest(self) -> str:
        summaries = self._captures()
        if not summaries:
            raise SnapshotMissing(f"there is no snapshot in {self.store.url}", "`flagsnap capture` makes one")
        return summaries[0].deploy_id

    def _captures(self) -> tuple[Summary, ...]:
        """What was captured, without archives, newest first.

        SnapshotDamaged if one cannot be read, since nobody knows its place in the order.
        """
        summaries, damaged = self._summaries(self.store.list())
        if damaged:
            raise SnapshotDamaged(
                f"the order of the snapshots is not known: {damaged[0][1]}",
                "name a deploy id (`flagsnap list` shows them), or take the damaged one out of the store",
            )
        return newest_first([summary for summary in summaries if summary.archive_of is None])


def _recorded(manifest: Manifest) -> tuple[str, str]:
    """What makes the recorded state, in short."""
    return state_of(manifest.database.applied_set), manifest.database.fingerprint


def _in_brief(captured_at: datetime) -> str:
    """By it a brief is of this snapshot, and not of an earlier one of the same deploy id."""
    return captured_at.astimezone(UTC).strftime("%Y%m%dT%H%M%S.%fZ")
