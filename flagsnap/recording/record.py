"""Recording: the state of a database and a dump of it, both of one moment, published as one snapshot."""

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

from flagsnap import __version__
from flagsnap.errors import FlagsnapError
from flagsnap.loss.values import TableKey
from flagsnap.postgres.clients import Clients, find_clients
from flagsnap.postgres.connection import Address, Connection, connect, lift_time_limits
from flagsnap.postgres.facts import (
    LiveState,
    ServerFacts,
    count_cheaply,
    create_restore_point,
    owner_of,
    read_migrations,
    read_properties,
    read_row_tables,
    read_server,
    read_state,
    read_statistics,
    read_table_rows,
    set_lock_timeout,
    wal_position,
    with_heirs,
)
from flagsnap.progress import Progress
from flagsnap.recording.dumping import Dumper
from flagsnap.snapshot import (
    ARCHIVE_FORMAT,
    FORMAT,
    AppliedRow,
    Archive,
    DatabaseProperties,
    Dump,
    Manifest,
    RecordedDatabase,
    Statistics,
    TableRows,
)
from flagsnap.stores.base import Store

ALIAS = "default"


@dataclass(frozen=True)
class RecordRequest:
    """What to record, and under which deploy id.

    Attributes:
        archive: None unless it is one.
        tables: the tables to dump, with their partitions and heirs; None for all.
    """

    address: Address
    deploy_id: str
    captured_at: datetime
    jobs: int
    pg_bin: Path | None
    lock_timeout: float
    labels: Mapping[str, str] = field(default_factory=dict)
    archive: Archive | None = None
    tables: Sequence[TableKey] | None = None


def record(
    request: RecordRequest, store: Store, connection: Connection, keeper: Connection, progress: Progress
) -> Manifest:
    """Record on `connection`, and publish the snapshot. FlagsnapError; then nothing is stored.

    `keeper` holds the lock of the database until this is done: who has it may remove what another run of this database
    has left in the store.
    """
    server = read_server(connection)
    clients = _clients(server, request.pg_bin, progress)
    owner = owner_of(server, request.address)
    store.sweep(owner, progress)
    with store.begin(request.deploy_id, owner, progress) as draft:
        dumper = Dumper(
            clients,
            request.address,
            request.jobs,
            request.lock_timeout,
            draft,
            path=f"dumps/{ALIAS}",
            title="archive" if request.archive else "dump",
        )
        manifest = Manifest(
            format=ARCHIVE_FORMAT if request.archive else FORMAT,
            deploy_id=request.deploy_id,
            captured_at=request.captured_at,
            flagsnap_version=__version__,
            labels=request.labels,
            archive=request.archive,
            databases=(_Recorder(request, connection, dumper, progress).run(server),),
        )
        keeper.execute("SELECT")  # if this connection is lost, so is the lock
        draft.publish(manifest.to_json(), manifest.summary)
    return manifest


def _clients(server: ServerFacts, pg_bin: Path | None, progress: Progress) -> Clients:
    clients = find_clients(server.major, pg_bin)
    if clients.major > server.major:
        progress.warn(
            f"dumping PostgreSQL {server.major} with pg_dump {clients.major}, for want of its own; "
            f"install postgresql-client-{server.major}"
        )
    return clients


@dataclass(frozen=True)
class _Recorded:
    """The recorded state, but for the dump."""

    state: LiveState
    properties: DatabaseProperties
    wal_position: str | None
    restore_point: str | None
    tables: tuple[TableRows, ...]
    statistics: Statistics


@dataclass(frozen=True)
class _Recorder:
    """One recording at work, on a connection of its own."""

    request: RecordRequest
    connection: Connection
    dumper: Dumper
    progress: Progress

    def run(self, server: ServerFacts) -> RecordedDatabase:
        """Record and dump; FlagsnapError if migrations ran meanwhile."""
        connection = self.connection
        with connection.transaction():
            connection.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
            # The transaction waits for pg_dump, and counting may take longer than a request of the application may.
            lift_time_limits(connection)
            count_cheaply(connection)
            set_lock_timeout(connection, self.request.lock_timeout)
            row = connection.execute("SELECT pg_export_snapshot()").fetchone()
            recorded, dump = self._record_and_dump(str(row[0]) if row else "")
        self._refuse_if_moved(recorded.state)
        return _recorded_database(server, recorded, dump)

    def _record_and_dump(self, snapshot: str) -> tuple[_Recorded, Dump]:
        """Record on this connection while pg_dump works on its own ones, all in the same snapshot."""
        sizes, only = read_row_tables(self.connection), None
        if self.request.tables is not None:
            only = with_heirs(self.connection, self.request.tables)
            if missing := set(self.request.tables) - only:
                raise FlagsnapError(f"the table {'.'.join(min(missing))} is not there")
            sizes = {table: size for table, size in sizes.items() if table in only}
        with ThreadPoolExecutor(1) as pool:
            recorded = pool.submit(self._record, sorted(sizes))
            try:
                dump = self.dumper.dump(snapshot, sizes, only, self.progress)
            except BaseException:
                if recorded.done():
                    recorded.result()  # if that failed, pg_dump has lost its snapshot by it, and this is the cause
                self.connection.cancel_safe()
                raise
            return recorded.result(), dump

    def _record(self, tables: Sequence[TableKey]) -> _Recorded:
        return _Recorded(
            restore_point=None if self.request.archive else self._restore_point(),
            state=read_state(self.connection),
            properties=read_properties(self.connection),
            wal_position=wal_position(self.connection),
            tables=read_table_rows(self.connection, tables),
            statistics=read_statistics(self.connection),
        )

    def _restore_point(self) -> str | None:
        with connect(self.request.address, "restore point") as connection:
            return create_restore_point(connection, f"flagsnap:{self.request.deploy_id}")

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
        statistics=recorded.statistics,
        fingerprint=state.catalog.fingerprint,
        catalog=state.catalog.to_json(),
        dump=dump,
    )
