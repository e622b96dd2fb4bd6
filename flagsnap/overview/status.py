"""Status: looked at from outside, without a lock, and without waiting for one."""

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import datetime

from flagsnap.diagnosis.snapshots import other_database
from flagsnap.errors import ConnectionFailed, FlagsnapError, SnapshotDamaged
from flagsnap.migrations import difference
from flagsnap.postgres import databases
from flagsnap.postgres.asides import read_asides, read_retired_schemas
from flagsnap.postgres.connection import Address, Connection, connect, translated
from flagsnap.postgres.facts import (
    LiveState,
    read_applied,
    read_current_state,
    read_name,
    read_system_identifier,
)
from flagsnap.postgres.held import read_holders
from flagsnap.postgres.owed import read_owed
from flagsnap.progress import Progress
from flagsnap.snapshot import Manifest
from flagsnap.stores.snapshots import Snapshots
from flagsnap.whereabouts import Distance, Live, Stored, Whereabouts, places, verified_last

_LOCK_SECONDS = 0.5


@dataclass(frozen=True)
class StatusRequest:
    """Where to look; in the place of what cannot be had, why. `now` is this machine's clock."""

    address: Address | FlagsnapError
    snapshots: Snapshots | FlagsnapError
    has_project: bool
    now: Callable[[], datetime]


def status(request: StatusRequest, progress: Progress) -> Whereabouts:
    """Look at the database and at the store, each whether or not the other answers."""
    seen = _Seen()
    with progress.task("look at the database"):
        _look_at_database(request.address, seen)
    with progress.task("look at the store"):
        stored = _look_at_store(request, seen)
    address = request.address
    return Whereabouts(
        database="no database" if isinstance(address, FlagsnapError) else str(address),
        now=request.now(),
        live=seen.live,
        stored=stored,
        distance=_distance(seen, stored),
        has_project=request.has_project,
        problems=tuple(seen.problems),
    )


@dataclass
class _Seen:
    """What was seen so far."""

    live: Live = field(default_factory=lambda: Live("unknown"))
    state: LiveState | None = None
    manifest: Manifest | None = None
    database: str = ""
    identifier: str | None = None
    problems: list[str] = field(default_factory=list)


def _look_at_database(address: Address | FlagsnapError, seen: _Seen) -> None:
    try:
        if isinstance(address, FlagsnapError):
            raise address
        try:
            with connect(address, "status") as connection:
                _look_inside(connection, address, seen)
        except ConnectionFailed as error:
            _look_beside(address, error, seen)
    except FlagsnapError as error:
        seen.problems.append(f"the database: {error}")


def _look_inside(connection: Connection, address: Address, seen: _Seen) -> None:
    seen.database, seen.identifier = read_name(connection), read_system_identifier(connection)
    applied = tuple(row.migration for row in read_applied(connection, _LOCK_SECONDS) or ())
    seen.live = Live(
        "there",
        applied,
        {deploy_id: len(items) for deploy_id, items in read_owed(connection).items()},
        read_holders(connection, address.database),
        (*read_asides(connection, address.database), *read_retired_schemas(connection)),
    )
    try:
        with translated(address):
            seen.state = read_current_state(connection, _LOCK_SECONDS)
    except FlagsnapError as error:  # somebody is altering a table: a deploy may be at work
        seen.problems.append(f"the schema: {error}")


def _look_beside(address: Address, error: ConnectionFailed, seen: _Seen) -> None:
    """From another database of the server, if there is a server; the first error tells more if there is none."""
    with suppress(ConnectionFailed), databases.maintenance(address, "status") as connection:
        if not databases.exists(connection, address.database):
            holders = read_holders(connection, address.database)
            seen.live = Live("gone", holders=holders, asides=tuple(read_asides(connection, address.database)))
            return
    raise error


def _look_at_store(request: StatusRequest, seen: _Seen) -> Stored | None:
    try:
        if isinstance(request.snapshots, FlagsnapError):
            raise request.snapshots
        return _stored(request.snapshots, request.address, seen)
    except FlagsnapError as error:
        seen.problems.append(f"the store: {error}")
        return None


def _stored(snapshots: Snapshots, address: Address | FlagsnapError, seen: _Seen) -> Stored:
    listing = snapshots.list()
    captures = [each for each in listing.summaries if each.archive_of is None]
    newest = captures[0] if captures else None
    at, before = places(captures, seen.live.applied) if seen.live.presence == "there" else (None, None)
    stored = Stored(
        captures=len(captures),
        newest=newest,
        at=at,
        before=before,
        verified=verified_last(listing, captures),
        damaged=listing.damaged,
    )
    if newest is None:
        return stored
    try:
        seen.manifest = manifest = snapshots.get(newest.deploy_id)
        return replace(
            stored,
            of_other=other_database(manifest, _name(seen, address), seen.identifier),
            rehearsal=_verdict(snapshots, manifest),
        )
    except SnapshotDamaged as error:
        return replace(stored, damaged=((newest.deploy_id, str(error)), *listing.damaged))


def _verdict(snapshots: Snapshots, manifest: Manifest) -> str | None:
    """One that cannot be read counts as none: the deploy can be rehearsed again."""
    try:
        rehearsal = snapshots.rehearsal(manifest)
    except SnapshotDamaged:
        return None
    return rehearsal.verdict if rehearsal else None


def _name(seen: _Seen, address: Address | FlagsnapError) -> str | None:
    """What the server calls the database, a pooler may call it otherwise; else what was given."""
    return seen.database or (None if isinstance(address, FlagsnapError) else address.database)


def _distance(seen: _Seen, stored: Stored | None) -> Distance | None:
    manifest = seen.manifest
    if seen.live.presence != "there" or manifest is None or stored is None or stored.of_other:
        return None
    migrations = difference(manifest.database.applied_set, seen.live.applied)
    same = None if seen.state is None else seen.state.catalog.fingerprint == manifest.database.fingerprint
    return Distance(migrations, same)
