"""What a store holds, as a prune needs to know it: what it relies on is read from the manifests, not from an index."""

from dataclasses import dataclass, replace

from flagsnap.errors import SnapshotDamaged, SnapshotMissing, UsageError
from flagsnap.postgres.connection import Address
from flagsnap.restoring.identity import refuse_other
from flagsnap.retention import Candidate, captures_of, is_verified
from flagsnap.snapshot import Manifest
from flagsnap.stores.snapshots import Snapshots

_OF_THIS_DATABASE = 2
"""So many of the newest captures must be of the database at hand: a first one may have come to a wrong store."""


@dataclass(frozen=True)
class Stock:
    """What can be read of a store, what cannot, with the reason, and the manifests of the newest captures."""

    candidates: tuple[Candidate, ...]
    damaged: tuple[tuple[str, str], ...]
    newest: tuple[Manifest, ...]


def take_stock(snapshots: Snapshots, live: str | None) -> Stock:
    """List a store; `live` is the live `Summary.state`.

    The manifests are read of those captures that are kept for what can be done with them: the newest ones, the one that
    verified, and whatever is needed to find the one behind the last deploy. What cannot be read is not kept in the
    place of what can.
    """
    listing = snapshots.list()
    by_name = {
        each.deploy_id: Candidate(each, (standing := listing.standing(each.deploy_id)).pinned, is_verified(standing))
        for each in listing.summaries
    }
    reader = _Reader(snapshots, by_name, dict(listing.damaged))
    reader.read(live)
    return Stock(tuple(reader.candidates.values()), tuple(reader.damaged.items()), tuple(reader.newest))


def refuse_other_store(stock: Stock, address: Address, database: str, identifier: str | None) -> None:
    """UsageError unless the newest captures are of that database."""
    for manifest in stock.newest:
        try:
            refuse_other(manifest, address, database, identifier)
        except UsageError as error:
            raise UsageError(
                str(error),
                f"check --store and --database-url; if the database was moved there, prune after {_OF_THIS_DATABASE}"
                " captures of it",
            ) from error


@dataclass
class _Reader:
    """The reading of manifests, which finds out what is damaged."""

    snapshots: Snapshots
    candidates: dict[str, Candidate]
    damaged: dict[str, str]

    def __post_init__(self) -> None:
        self.newest: list[Manifest] = []
        self._found: dict[str, Manifest | None] = {}

    def read(self, live: str | None) -> None:
        """Read what is needed, the newest first."""
        behind = False
        for each in captures_of(self.candidates.values()):
            enough = len(self.newest) >= _OF_THIS_DATABASE
            if enough and behind:
                break
            if enough and each.summary.state == live:
                continue
            if manifest := self._manifest(each):
                live = live or manifest.summary.state
                behind = behind or manifest.summary.state != live
                self.newest += [] if enough else [manifest]
        for each in captures_of(self.candidates.values()):
            if each.verified and self._manifest(each):
                break

    def _manifest(self, candidate: Candidate) -> Manifest | None:
        """Read it, and go by what it says; None if it is damaged, or gone."""
        name = candidate.name
        if name not in self._found:
            self._found[name] = self._read_manifest(candidate)
        return self._found[name]

    def _read_manifest(self, candidate: Candidate) -> Manifest | None:
        name = candidate.name
        try:
            manifest = self.snapshots.get(name)
        except (SnapshotDamaged, SnapshotMissing) as error:
            del self.candidates[name]
            if isinstance(error, SnapshotDamaged):
                self.damaged[name] = str(error)
            return None
        self.candidates[name] = replace(candidate, summary=manifest.summary)
        return manifest
