"""Capture: record the state of a database and dump it, in one database snapshot, before a deploy."""

import time
from collections.abc import Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

from flagsnap import __version__
from flagsnap.errors import ChildFailed, FlagsnapError, SnapshotExists
from flagsnap.postgres.clients import Clients, find_clients
from flagsnap.postgres.connection import Address, Connection, connect
from flagsnap.postgres.dump import compression_for, dump_command, finished_item
from flagsnap.postgres.facts import (
    LiveState,
    ServerFacts,
    create_restore_point,
    read_current_state,
    read_migrations,
    read_properties,
    read_row_tables,
    read_server,
    read_state,
    read_table_rows,
    wal_position,
)
from flagsnap.postgres.locks import lock_in_transaction
from flagsnap.process import run
from flagsnap.progress import Progress, Task
from flagsnap.snapshot import (
    AppliedRow,
    Dump,
    DumpFile,
    Manifest,
    RecordedDatabase,
    TableRows,
    check_deploy_id,
    deploy_id_from,
)
from flagsnap.stores.base import Draft
from flagsnap.stores.snapshots import Snapshots, hash_file

ALIAS = "default"
_DUMP = f"dumps/{ALIAS}"


@dataclass(frozen=True)
class CaptureRequest:
    """What to capture; without a deploy id, one is made from the time."""

    address: Address
    deploy_id: str | None
    labels: Mapping[str, str]
    jobs: int
    if_exists: Literal["keep", "fail"]
    pg_bin: Path | None


@dataclass(frozen=True)
class CaptureResult:
    """The snapshot that is now in the store; `reused` if an earlier run had made it."""

    manifest: Manifest
    location: str
    reused: bool


def capture(request: CaptureRequest, snapshots: Snapshots, progress: Progress) -> CaptureResult:
    """Capture the database of `request` into a store.

    Capturing a deploy id again succeeds if the recorded state is the live one still. SnapshotExists if it is not: a hook
    that is retried after a half-run `migrate` must never replace the good snapshot. Locked if another run is at work.
    """
    now = datetime.now(UTC)
    deploy_id = check_deploy_id(request.deploy_id or deploy_id_from(now))
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
        for dead in snapshots.store.sweep():
            progress.note(f"removed what an interrupted capture of {dead} had left")
        with snapshots.store.begin(deploy_id) as draft:
            database = _Capture(request, connection, clients, draft, progress).run(server, deploy_id)
            manifest = Manifest(
                deploy_id=deploy_id,
                captured_at=now,
                flagsnap_version=__version__,
                labels=request.labels,
                databases=(database,),
            )
            draft.publish(manifest.to_json())
    return CaptureResult(manifest, f"{snapshots.store.url}/{deploy_id}", reused=False)


def _reuse(request: CaptureRequest, existing: Manifest, connection: Connection, snapshots: Snapshots) -> CaptureResult:
    """The retry of a hook: the snapshot that is there, if it still describes the database."""
    deploy_id = existing.deploy_id
    if request.if_exists == "fail":
        raise SnapshotExists(
            f"snapshot {deploy_id} exists", "choose another --deploy-id, or leave out --if-exists fail"
        )
    recorded, live = existing.database, read_current_state(connection)
    if recorded.name != connection.info.dbname:
        raise SnapshotExists(f"snapshot {deploy_id} exists and is of the database {recorded.name}")
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


class _Capture:
    """One capture at work."""

    def __init__(
        self, request: CaptureRequest, connection: Connection, clients: Clients, draft: Draft, progress: Progress
    ) -> None:
        self._request = request
        self._connection = connection
        self._clients = clients
        self._folder = draft.folder / _DUMP
        self._draft = draft
        self._progress = progress

    def run(self, server: ServerFacts, deploy_id: str) -> RecordedDatabase:
        """Record and dump; FlagsnapError if migrations ran meanwhile."""
        connection = self._connection
        with connection.transaction():
            connection.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
            # The transaction waits for pg_dump, and counting may take longer than a request of the application may.
            connection.execute(
                "SELECT set_config('idle_in_transaction_session_timeout', '0', true),"
                " set_config('statement_timeout', '0', true)"
            )
            lock_in_transaction(connection, server.database)
            row = connection.execute("SELECT pg_export_snapshot()").fetchone()
            state = read_state(connection)
            properties = read_properties(connection)
            wal = wal_position(connection)
            tables = read_row_tables(connection)
            restore_point = self._mark(deploy_id)
            rows, dump = self._record_and_dump(str(row[0]) if row else "", tables)
        self._refuse_if_moved(state)
        return RecordedDatabase(
            alias=ALIAS,
            name=server.database,
            system_identifier=server.system_identifier,
            server_version=server.version,
            collation_version=server.collation_version,
            wal_position=wal,
            restore_point=restore_point,
            bytes=server.bytes,
            properties=properties,
            has_migrations_table=state.has_migrations_table,
            migrations=tuple(AppliedRow(app=app, name=name, applied=at) for app, name, at in state.applied),
            tables=rows,
            fingerprint=state.catalog.fingerprint,
            catalog=state.catalog.to_json(),
            dump=dump,
        )

    def _mark(self, deploy_id: str) -> str | None:
        with connect(self._request.address, "restore point") as connection:
            return create_restore_point(connection, f"flagsnap:{deploy_id}")

    def _record_and_dump(
        self, snapshot: str, tables: Mapping[tuple[str, str], int]
    ) -> tuple[tuple[TableRows, ...], Dump]:
        """Count rows on this connection while pg_dump works on its own ones, all in the same snapshot."""
        with ThreadPoolExecutor(1) as pool:
            counted = pool.submit(read_table_rows, self._connection, sorted(tables))
            try:
                dump = self._dump(snapshot, tables)
            except BaseException:
                self._connection.cancel_safe()
                raise
            return counted.result(), dump

    def _dump(self, snapshot: str, tables: Mapping[tuple[str, str], int]) -> Dump:
        began = time.monotonic()
        compression = compression_for(self._clients)
        self._folder.parent.mkdir(parents=True, mode=0o700)
        command = dump_command(
            self._clients,
            self._request.address,
            self._folder,
            jobs=self._request.jobs,
            snapshot=snapshot,
            compression=compression,
        )
        total = sum(tables.values())
        with self._progress.task("dump", total, "bytes") as task, ThreadPoolExecutor(2) as pool:
            files = _Files(self._draft, self._folder, pool, _Weights(tables, task))
            try:
                run(command, files.read)
            except ChildFailed as error:
                raise _dump_failed(error) from error
            recorded = files.finish()
        return Dump(
            tool="pg_dump",
            tool_version=self._clients.version,
            compression=compression,
            jobs=self._request.jobs,
            seconds=round(time.monotonic() - began, 3),
            files=recorded,
        )

    def _refuse_if_moved(self, recorded: LiveState) -> None:
        """Look at the migrations once more, in a new transaction."""
        if (read_migrations(self._connection) or ()) != recorded.applied:
            raise FlagsnapError(
                "migrations ran during the capture, so it was thrown away",
                "capture before `migrate` starts, or again when it has ended",
            )


class _Files:
    """The dump's files: each is hashed and handed to the store as soon as pg_dump has finished it."""

    def __init__(self, draft: Draft, folder: Path, pool: ThreadPoolExecutor, weights: "_Weights") -> None:
        self._draft = draft
        self._folder = folder
        self._pool = pool
        self._weights = weights
        self._taken: dict[str, Future[DumpFile]] = {}

    def read(self, line: str) -> None:
        """Read a line of pg_dump."""
        if item := finished_item(line):
            for path in self._folder.glob(f"{item.dump_id}.dat*"):
                self._take(path)
            self._weights.finished(item.name)

    def finish(self) -> tuple[DumpFile, ...]:
        """Take what is left, `toc.dat` and large objects among it, and wait for all."""
        for path in self._folder.iterdir():
            self._take(path)
        return tuple(sorted((future.result() for future in self._taken.values()), key=lambda file: file.path))

    def _take(self, path: Path) -> None:
        if path.name not in self._taken:
            self._taken[path.name] = self._pool.submit(self._add, path)

    def _add(self, path: Path) -> DumpFile:
        file = DumpFile(path=f"{_DUMP}/{path.name}", bytes=path.stat().st_size, sha256=hash_file(path))
        self._draft.add(file.path)
        return file


class _Weights:
    """Turns finished tables into progress, by their size on disk; pg_dump tells names without schemas."""

    def __init__(self, tables: Mapping[tuple[str, str], int], task: Task) -> None:
        self._task = task
        self._sizes: dict[str, list[int]] = {}
        for (_, table), size in tables.items():
            self._sizes.setdefault(table, []).append(size)

    def finished(self, table: str) -> None:
        """Advance by the table's size."""
        if sizes := self._sizes.get(table):
            self._task.advance(sizes.pop())


def _dump_failed(error: ChildFailed) -> FlagsnapError:
    hint = "nothing was stored; run the same command again when the cause is gone"
    if "No space left" in error.tail:
        hint = "free space in the store, and run the same command again"
    return FlagsnapError(f"the dump failed: {error}", hint)
