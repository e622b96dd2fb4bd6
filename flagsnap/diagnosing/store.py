"""The lines that the store tells."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from flagsnap.diagnosing.database import Live
from flagsnap.diagnosing.disks import disk_of
from flagsnap.diagnosing.examined import Examined, names_between
from flagsnap.diagnosis import room, snapshots
from flagsnap.diagnosis.values import Finding
from flagsnap.errors import FlagsnapError, SnapshotDamaged
from flagsnap.results import Listing
from flagsnap.snapshot import Manifest, Summary
from flagsnap.stores.local import LocalStore
from flagsnap.stores.scratch import scratch_place
from flagsnap.stores.snapshots import Snapshots

_ALL = names_between("store", "scratch disk")


@dataclass(frozen=True)
class _Asked:
    snapshots: Snapshots
    examined: Examined
    listing: Listing

    @property
    def newest(self) -> Summary | None:
        """The newest capture."""
        return next((each for each in self.listing.summaries if each.archive_of is None), None)


def examine_store(
    examined: Examined,
    stored: Snapshots | FlagsnapError,
    database: str | None,
    live: Live | None,
    now: Callable[[], datetime],
) -> Manifest | None:
    """Ask the store; gives back the manifest of the newest capture.

    `database` is the name that was given, known even if there is no connection.
    """
    try:
        if isinstance(stored, FlagsnapError):
            raise stored
        asked = _Asked(stored, examined, stored.list())
    except FlagsnapError as error:
        examined.add(Finding("store", "failed", str(error), error.hint))
        examined.unchecked(_ALL, "the store does not answer", "see the line store")
        return None
    examined.add(Finding("store", "ok", stored.store.url))
    _ask_rights(asked)
    _ask_disks(asked)
    manifest = _ask_snapshots(asked)
    if manifest is None and asked.newest is not None:
        examined.unchecked(["newest snapshot"], "the newest snapshot cannot be read", "see the line snapshots")
    elif database is None:
        examined.unchecked(["newest snapshot"], "no database was named", "see the line connection")
    else:
        identifier = live.identifier if live else None
        examined.add(snapshots.newest_snapshot(manifest, database, identifier, now()))
    return manifest


def _ask_rights(asked: _Asked) -> None:
    try:
        asked.snapshots.store.try_rights()
    except FlagsnapError as error:
        asked.examined.add(Finding("store rights", "failed", str(error), error.hint))
    else:
        asked.examined.add(Finding("store rights", "ok", "written, read, listed and removed"))


def _ask_snapshots(asked: _Asked) -> Manifest | None:
    """Read the newest capture's manifest, which a listing may know from an index only."""
    damaged, manifest = list(asked.listing.damaged), None
    with asked.examined.or_unchecked("snapshots"):
        if asked.newest:
            try:
                manifest = asked.snapshots.get(asked.newest.deploy_id)
            except SnapshotDamaged as error:
                damaged.insert(0, (asked.newest.deploy_id, str(error)))
        asked.examined.add(snapshots.snapshots(len(asked.listing.summaries), damaged))
    return manifest


def _ask_disks(asked: _Asked) -> None:
    newest = asked.newest.bytes if asked.newest else None
    store = asked.snapshots.store
    is_folder = isinstance(store, LocalStore)
    store_disk = disk_of(store.root) if isinstance(store, LocalStore) else None
    asked.examined.add(room.store_disk(newest, store_disk))
    asked.examined.add(room.scratch_disk(newest, None if is_folder else disk_of(scratch_place())))
