"""Capture: record the state of a database and dump it, in one database snapshot, before a deploy."""

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

from flagsnap import __version__
from flagsnap.dumping import Dumper
from flagsnap.errors import FlagsnapError, SnapshotExists
from flagsnap.postgres.clients import Clients, find_clients
from flagsnap.postgres.connection import Address, Connection, connect, lift_time_limits
from flagsnap.postgres.facts import (
    LiveState,
    ServerFacts,
    count_cheaply,
    create_restore_point,
    read_current_state,
    read_migrations,
    read_properties,
    read_row_tables,
    read_server,
    read_state,
    read_table_rows,
    set_lock_timeout,
    wal_position,
)
from flagsnap.postgres.locks import holding
from flagsnap.progress import Progress
from flagsnap.results import CaptureResult
from flagsnap.snapshot import (
    AppliedRow,
    DatabaseProperties,
    Dump,
    Manifest,
    RecordedDatabase,
    TableRows,
    check_deploy_id,
    deploy_id_from,
)
from flagsnap.stores.base import Store
from flagsnap.stores.snapshots import Snapshots

ALIAS = "default"


@dataclass(frozen=True)
class CaptureRequest:
    """What to capture; without a deploy id, one is made from the time."""

    address: Address
    deploy_id: str | None
    labels: Mapping[str, str]
    jobs: int
    if_exists: Literal["keep", "fail"]
    pg_bin: Path | None
    lock_timeout: float


def capture(request: CaptureRequest, snapshots: Snapshots, progress: Progress) -> CaptureResult:
    """Capture the database of `request` into a store.

    Capturing a deploy id again succeeds if the recorded state is the live one still. SnapshotExists if it is not: a
    hook that is retried after a half-run `migrate` must never replace the good snapshot. Locked if another run is at
    work.
    """
    now = datetime.now(UTC)
    deploy_id = check_deploy_id(deploy_id_from(now) if request.deploy_id is None else request.deploy_id)
    existing = snapshots.find(deploy_id)
    with connect(request.address, "capture") as connection:
        if existing:
            return _reuse(request, existing, connection, snapshots)
        server = read_server(connection)
        clients = find_clients(server.major, request.pg_bin)
        if clients.major > server.major:
            progress.warn(
                f"dumping PostgreSQL {server.major} with pg_dump {clients.major}, for want of its own; "
                f"install postgresql-client-{server.major}"
            )
        manifest = _captured(request, deploy_id, now, snapshots.store, connection, server, clients, progress)
    return CaptureResult(manifest, f"{snapshots.store.url}/{deploy_id}", reused=False)


def owner_of(server: ServerFacts, address: Address) -> str:
    """Whose drafts a capture of that database makes, as a store is told."""
    return f"{server.system_identifier or address}/{server.database}"


def _captured(
    request: CaptureRequest,
    deploy_id: str,
    now: datetime,
    store: Store,
    connection: Connection,
    server: ServerFacts,
    clients: Clients,
    progress: Progress,
) -> Manifest:
    """Make and publish the snapshot.

    The lock is held until that is done, on a connection of its own: who has it may remove what another run of this
    database has left in the store.
    """
    owner = owner_of(server, request.address)
    with connect(request.address, "capture lock") as keeper, holding(keeper, server.database):
        store.sweep(owner, progress)
        with store.begin(deploy_id, owner, progress) as draft:
            dumper = Dumper(clients, request.address, request.jobs, request.lock_timeout, draft, f"dumps/{ALIAS}")
            database = _Capture(connection, dumper, f"flagsnap:{deploy_id}", progress).run(server)
            manifest = Manifest(
                deploy_id=deploy_id,
                captured_at=now,
                flagsnap_version=__version__,
                labels=request.labels,
                databases=(database,),
            )
            keeper.execute("SELECT")  # if this connection is lost, so is the lock
            draft.publish(manifest.to_json(), manifest.summary)
    return manifest


def _reuse(request: CaptureRequest, existing: Manifest, connection: Connection, snapshots: Snapshots) -> CaptureResult:
    """The retry of a hook: the snapshot that is there, if it still describes the database."""
    deploy_id = existing.deploy_id
    if request.if_exists == "fail":
        raise SnapshotExists(
            f"snapshot {deploy_id} exists", "choose another --deploy-id, or leave out --if-exists fail"
        )
    recorded, live = existing.database, read_current_state(connection)
    if recorded.name != connection.info.dbname:
        raise SnapshotExists(
            f"snapshot {deploy_id} exists and is of the database {recorded.name}",
            "choose another --deploy-id, or another --store for this database",
        )
    if recorded.applied_set != tuple(row.migration for row in live.applied):
        what = "the applied migrations have changed"
    elif recorded.fingerprint != live.catalog.fingerprint:
        what = "the schema has changed"
    else:
        return CaptureResult(existing, f"{snapshots.store.url}/{deploy_id}", reused=True)
    raise SnapshotExists(
        f"snapshot {deploy_id} exists and {what} since; it was left as it is",
        f"`flagsnap plan --to {deploy_id}` shows what changed; a new deploy needs another --deploy-id",
    )


@dataclass(frozen=True)
class _Recorded:
    """The recorded state, but for the dump."""

    state: LiveState
    properties: DatabaseProperties
    wal_position: str | None
    restore_point: str | None
    tables: tuple[TableRows, ...]


@dataclass(frozen=True)
class _Capture:
    """One capture at work, on a connection of its own."""

    connection: Connection
    dumper: Dumper
    restore_point: str
    progress: Progress

    def run(self, server: ServerFacts) -> RecordedDatabase:
        """Record and dump; FlagsnapError if migrations ran meanwhile."""
        connection = self.connection
        with connection.transaction():
            connection.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
            # The transaction waits for pg_dump, and counting may take longer than a request of the application may.
            lift_time_limits(connection)
            count_cheaply(connection)
            set_lock_timeout(connection, self.dumper.lock_timeout)
            row = connection.execute("SELECT pg_export_snapshot()").fetchone()
            recorded, dump = self._record_and_dump(str(row[0]) if row else "", read_row_tables(connection))
        self._refuse_if_moved(recorded.state)
        return _recorded_database(server, recorded, dump)

    def _record_and_dump(self, snapshot: str, sizes: Mapping[tuple[str, str], int]) -> tuple[_Recorded, Dump]:
        """Record on this connection while pg_dump works on its own ones, all in the same snapshot."""
        with ThreadPoolExecutor(1) as pool:
            recorded = pool.submit(self._record, sorted(sizes))
            try:
                dump = self.dumper.dump(snapshot, sizes, self.progress)
            except BaseException:
                if recorded.done():
                    recorded.result()  # if that failed, pg_dump has lost its snapshot by it, and this is the cause
                self.connection.cancel_safe()
                raise
            return recorded.result(), dump

    def _record(self, tables: Sequence[tuple[str, str]]) -> _Recorded:
        with connect(self.dumper.address, "restore point") as connection:
            restore_point = create_restore_point(connection, self.restore_point)
        return _Recorded(
            state=read_state(self.connection),
            properties=read_properties(self.connection),
            wal_position=wal_position(self.connection),
            restore_point=restore_point,
            tables=read_table_rows(self.connection, tables),
        )

    def _refuse_if_moved(self, recorded: LiveState) -> None:
        """Look at the migrations once more, in a new transaction."""
        if (read_migrations(self.connection) or ()) != recorded.applied:
            raise FlagsnapError(
                "migrations ran during the capture, so it was thrown away",
                "capture before `migrate` starts, or again when it has ended",
            )


def _recorded_database(server: ServerFacts, recorded: _Recorded, dump: Dump) -> RecordedDatabase:
    state = recorded.state
    return RecordedDatabase(
        alias=ALIAS,
        name=server.database,
        system_identifier=server.system_identifier,
        server_version=server.version,
        collation_version=server.collation_version,
        wal_position=recorded.wal_position,
        restore_point=recorded.restore_point,
        bytes=server.bytes,
        properties=recorded.properties,
        has_migrations_table=state.has_migrations_table,
        migrations=tuple(AppliedRow(app=app, name=name, applied=at) for app, name, at in state.applied),
        tables=recorded.tables,
        fingerprint=state.catalog.fingerprint,
        catalog=state.catalog.to_json(),
        dump=dump,
    )
