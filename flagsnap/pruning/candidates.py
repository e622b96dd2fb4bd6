"""What a store holds, as a prune needs to know it: what it relies on is read from the manifests, not from an index."""

from collections.abc import Callable, Collection
from dataclasses import replace
from datetime import datetime

from flagsnap.errors import SnapshotDamaged, SnapshotMissing, UsageError
from flagsnap.postgres.connection import Address
from flagsnap.restoring.identity import refuse_other
from flagsnap.retention import Candidate, Division, captures_of, failed_level, is_verified
from flagsnap.snapshot import Manifest
from flagsnap.stores.snapshots import Snapshots

NO_MANIFEST = "there is no manifest"
_OF_THIS_DATABASE = 2
"""So many of the newest captures must be of the database at hand: a first one may have come to a wrong store."""


class Stock:
    """What can be read of a store and relied on, and what cannot, with the reason.

    An index may tell of a manifest that is damaged or gone by now. What turns out to be so, and what failed its checks,
    is kept, but not in the place of what can be read.
    """

    def __init__(self, snapshots: Snapshots, now: datetime) -> None:
        self._snapshots = snapshots
        self._now = now
        listing = snapshots.list()
        self._damaged = dict(listing.damaged)
        self._candidates: dict[str, Candidate] = {}
        self._found: dict[str, Manifest | None] = {}
        for each in listing.summaries:
            standing = listing.standing(each.deploy_id)
            if level := failed_level(standing):
                self._damaged[each.deploy_id] = f"its {level} check failed"
            else:
                self._candidates[each.deploy_id] = Candidate(each, standing.pinned, is_verified(standing))

    @property
    def candidates(self) -> Collection[Candidate]:
        """What can be read, as far as it is known."""
        return tuple(self._candidates.values())

    @property
    def damaged(self) -> Collection[tuple[str, str]]:
        """What cannot be read or relied on, as far as it is known, and why not."""
        return tuple(self._damaged.items())

    def newest(self) -> tuple[Manifest, ...]:
        """The newest captures that can be read, as many as must be of the database at hand."""
        found: list[Manifest] = []
        for each in captures_of(self.candidates, self._now):
            if manifest := self._manifest(each):
                found.append(manifest)
            if len(found) == _OF_THIS_DATABASE:
                break
        return tuple(found)

    def divided(self, decide: Callable[[], Division]) -> Division:
        """Decide over what is known, until the manifest of each capture that is kept has been read."""
        while True:
            division = decide()
            unread = [each.name for each in division.keep if each.kind == "capture" and each.name not in self._found]
            if not unread:
                return division
            for name in unread:
                self._manifest(self._candidates[name])

    def _manifest(self, candidate: Candidate) -> Manifest | None:
        """Read it, and go by what it says; None if it is damaged, or gone."""
        name = candidate.name
        if name not in self._found:
            self._found[name] = self._read(candidate)
        return self._found[name]

    def _read(self, candidate: Candidate) -> Manifest | None:
        name = candidate.name
        try:
            manifest = self._snapshots.get(name)
        except (SnapshotDamaged, SnapshotMissing) as error:
            del self._candidates[name]
            self._damaged[name] = NO_MANIFEST if isinstance(error, SnapshotMissing) else str(error)
            return None
        self._candidates[name] = replace(candidate, summary=manifest.summary)
        return manifest


def refuse_other_store(newest: Collection[Manifest], address: Address, database: str, identifier: str | None) -> None:
    """UsageError unless the newest captures are of that database."""
    for manifest in newest:
        try:
            refuse_other(manifest, address, database, identifier)
        except UsageError as error:
            raise UsageError(
                str(error),
                f"check --store and --database-url; if the database was moved there, prune after {_OF_THIS_DATABASE}"
                " captures of it",
            ) from error
