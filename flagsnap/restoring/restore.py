"""Restore: make a database from a snapshot, prove it, and only then put it where it belongs.

The live database is not touched before the swap, and the swap is one transaction (`databases.swap`). Whatever fails
before it leaves the live database serving, and no scratch database.
"""

import tempfile
import time
from collections.abc import Callable, Collection, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

from flagsnap.catalog import Identity
from flagsnap.errors import ChildFailed, ConnectionFailed, DifferencesFound, FlagsnapError, UsageError
from flagsnap.migrations import difference
from flagsnap.plan import state_differences
from flagsnap.postgres import databases
from flagsnap.postgres.clients import Clients, find_clients
from flagsnap.postgres.connection import Address, Connection, connect, translated
from flagsnap.postgres.dump import TOC, FinishedItem, dump_id, entry_description, restore, toc_entries, without
from flagsnap.postgres.facts import LiveState, read_current_state
from flagsnap.postgres.locks import holding, key_of
from flagsnap.postgres.statistics import analyze_and_count, row_differences
from flagsnap.progress import Progress
from flagsnap.restoring.failures import restore_failed
from flagsnap.results import CopyResult
from flagsnap.snapshot import Manifest, RecordedDatabase
from flagsnap.stores.snapshots import Snapshots

_ONLY_SUPERUSERS = ("COMMENT - EXTENSION ", "EVENT TRIGGER ", "PUBLICATION ", "PUBLICATION TABLE", "SUBSCRIPTION ")
# Large objects are rows too, and what is said of each of them goes with them (pg_dump.c, dumpLO and dumpACL).
_ROWS = ("TABLE DATA ", "BLOB", *(f"{kind} - LARGE OBJECT" for kind in ("ACL", "COMMENT", "SECURITY LABEL")))


@dataclass(frozen=True)
class Source:
    """The snapshot to restore, and with what."""

    snapshots: Snapshots
    manifest: Manifest
    jobs: int
    pg_bin: Path | None

    @property
    def recorded(self) -> RecordedDatabase:
        """The recorded state."""
        return self.manifest.database

    @property
    def place(self) -> str:
        """The path of the dump in the snapshot's folder."""
        return f"dumps/{self.recorded.alias}"

    def on_disk(self, progress: Progress, only: Collection[str] | None = None) -> AbstractContextManager[Path]:
        """The snapshot's folder on this machine, every file with its recorded hash; `only` names those wanted."""
        return self.snapshots.content(self.manifest, self.jobs, progress).on_disk(only)


def restore_copy(source: Source, live: Address, name: str, progress: Progress) -> CopyResult:
    """Make a copy of a snapshot under another name; nothing is swapped. UsageError if the name is taken."""
    began = time.monotonic()
    _check_name(name, live)
    with (
        databases.maintenance(live, "restore") as maintenance,
        holding(maintenance, live.database, key_of(live.database)),
        connect(live.to(maintenance.info.dbname), "restore") as worker,
    ):
        if databases.exists(worker, name):
            raise UsageError(f"the database {name} exists", "choose another name for --into")
        with scratch_database(source, live, worker, progress) as scratch:
            databases.swap(live, worker, [(scratch, name)])
    return CopyResult(name, round(time.monotonic() - began, 3))


@contextmanager
def scratch_database(
    source: Source, live: Address, worker: Connection, progress: Progress, *, schema_only: bool = False
) -> Iterator[str]:
    """A scratch database with the snapshot in it, proven; dropped at the end unless it was renamed.

    With `schema_only` it has no rows but those of `django_migrations`, and only their files are fetched.
    """
    if problem := createdb_problem(worker):
        raise UsageError(*problem)
    drop_leftovers(worker, live, progress)
    drop_drills(worker, live, progress)
    name = databases.name_for(live.database, "scratch", datetime.now(UTC))
    only = _files_without_rows(source, worker, progress) if schema_only else None
    wanted = _is_schema if schema_only else _is_anything

    def create() -> None:
        databases.create(worker, name, source.recorded.properties)

    with source.on_disk(progress, only) as folder, databases.dropped_afterwards(worker, name, progress.warn):
        make(source, live.to(name), worker, folder, create, progress, wanted)
        apply_properties(source, worker, name, progress)
        prove(source, live.to(name), progress, schema_only=schema_only)
        yield name


def apply_properties(source: Source, worker: Connection, name: str, progress: Progress) -> None:
    """Give a database the recorded settings, grants and the like; warns of what the role may not set."""
    for what in databases.apply_properties(worker, name, source.recorded.properties):
        progress.warn(f"this role may not set {what} of the database; have its owner or a superuser do it")


def createdb_problem(worker: Connection) -> tuple[str, str] | None:
    """Why the role cannot restore beside the live database, and what to do about it; None if it can."""
    if databases.can_create(worker):
        return None
    return (
        f"the role {worker.info.user} may not create databases",
        "give the role CREATEDB; `flagsnap rollback --in-place` works without it, within the live database",
    )


def drop_leftovers(worker: Connection, live: Address, progress: Progress) -> None:
    """Drop the scratch databases of killed runs; the lock says that nobody works on one now."""
    for name in databases.list_of(worker, live.database, "scratch"):
        drop_or_note(worker, live, name, "which an interrupted run had left", progress)


def drop_drills(worker: Connection, live: Address, progress: Progress) -> None:
    """Drop the scratch databases of drills, also of one at work: a restore may need their room, and goes first."""
    for name in databases.list_of(worker, live.database, "drill"):
        drop_or_note(worker, live, name, "the scratch database of a drill: a restore goes first", progress)


def drop_or_note(worker: Connection, live: Address, name: str, what: str, progress: Progress) -> None:
    """Drop a database of no use; one that cannot be dropped is in nobody's way, and is noted. ConnectionFailed."""
    try:
        with translated(live):
            databases.drop(worker, name)
    except ConnectionFailed:
        raise
    except FlagsnapError as error:
        progress.note(f"could not drop {name}, {what} ({error})")
    else:
        progress.note(f"dropped {name}, {what}")


def prove(source: Source, address: Address, progress: Progress, *, schema_only: bool = False) -> None:
    """DifferencesFound unless a database has the recorded migrations, schema and, unless told otherwise, rows.

    Planner statistics are made on the way.
    """
    recorded = source.recorded
    counts = {} if schema_only else analyze_and_count(address, source.jobs, progress)
    with connect(address, "verify") as connection:
        state = read_current_state(connection)
    found = compare(recorded, state, restored=True)
    if not schema_only:
        found += tuple(row_differences(recorded.tables, counts))
    if found:
        raise DifferencesFound(
            f"what was restored is not what was recorded: {found[0]}",
            found,
            "the live database was not touched; choose another snapshot, and keep this one for the report",
        )


def compare(
    recorded: RecordedDatabase,
    state: LiveState,
    *,
    restored: bool = False,
    leaving_out: Collection[Identity] = (),
) -> tuple[str, ...]:
    """All differences between the recorded and another state, in words.

    A `restored` one is held to what a dump can carry; `leaving_out` names objects of the other state.
    """
    migrations = difference(recorded.applied_set, tuple(row.migration for row in state.applied))
    before, after = recorded.schema_catalog, state.catalog
    if restored:
        before, after = before.restorable(), after.restorable()
    return state_differences(before, after.without(leaving_out), migrations)


def clients_for(source: Source, worker: Connection) -> Clients:
    """Clients that can read the dump: not older than the pg_dump that made it, nor than the server."""
    made_by = int(source.recorded.dump.tool_version.split(".")[0])
    return find_clients(max(worker.info.server_version // 10000, made_by), source.pg_bin)


@contextmanager
def toc_list(lines: list[str]) -> Iterator[Path]:
    """A file with the entries of a dump that are to be restored."""
    with tempfile.TemporaryDirectory(prefix="flagsnap-") as folder:
        path = Path(folder) / "toc.list"
        path.write_text("\n".join(lines) + "\n")
        yield path


def read_toc(clients: Clients, folder: Path, left_out: Callable[[str], bool], progress: Progress) -> list[str]:
    """The dump's table of contents without what is left out, which is noted."""
    kept, dropped = without(toc_entries(clients, folder), left_out)
    if dropped:
        named = ", ".join(entry_description(entry).strip() for entry in dropped)
        progress.note(f"left out, because it is there already or this role may not restore it: {named}")
    return kept


def _files_without_rows(source: Source, worker: Connection, progress: Progress) -> set[str]:
    """The dump's files without those that hold rows, large objects among them; read from its table of contents."""
    toc = f"{source.place}/{TOC}"
    with source.on_disk(progress, {toc}) as folder:
        entries = toc_entries(clients_for(source, worker), folder / source.place)
    ids = {str(dump_id(entry)) for entry in entries if _is_schema(entry)}
    paths = (file.path for file in source.recorded.dump.files)
    return {toc, *(path for path in paths if Path(path).name.split(".dat")[0] in ids)}


def _is_anything(_: str) -> bool:
    return True


def _is_schema(entry: str) -> bool:
    """Whether an entry of a dump is none for rows. Values of sequences stay: their names tell nothing of the table."""
    said = entry_description(entry)
    return not (said.startswith(_ROWS) and " django_migrations " not in said)


def make(
    source: Source,
    target: Address,
    worker: Connection,
    folder: Path,
    create: Callable[[], object],
    progress: Progress,
    wanted: Callable[[str], bool] = _is_anything,
) -> None:
    """Create a database and fill it; with one job where several got in each other's way.

    `create` makes the target, empty, and `folder` is the snapshot's. RestoreFailed, FlagsnapError.
    """
    for attempt in (source, replace(source, jobs=1)):
        with translated(target):
            databases.drop(worker, target.database)
            create()
        try:
            _fill(attempt, target, worker, folder / source.place, wanted, progress)
        except ChildFailed as error:
            # Seen where a table with partitions of partitions is referred to: ATTACH PARTITION against FOREIGN KEY.
            if "deadlock detected" not in error.tail or attempt.jobs == 1:
                raise restore_failed(error) from error
            progress.note("the jobs of pg_restore deadlocked; once more with a single one")
        else:
            return


def _fill(
    source: Source,
    address: Address,
    worker: Connection,
    folder: Path,
    wanted: Callable[[str], bool],
    progress: Progress,
) -> None:
    clients = clients_for(source, worker)
    superuser = worker.info.parameter_status("is_superuser") == "on"
    allowed = read_toc(clients, folder, lambda entry: not superuser and _superusers_only(entry), progress)
    entries = [entry for entry in allowed if wanted(entry)]
    sizes = {file.path: file.bytes for file in source.recorded.dump.files}
    weights = _weights(entries, sizes, f"dumps/{source.recorded.alias}/")
    with toc_list(entries) as path, progress.task("restore", sum(weights.values()), "bytes") as task:

        def finished(item: FinishedItem) -> None:
            task.advance(weights.get(item.dump_id, 0))

        restore(
            clients,
            address,
            folder,
            jobs=source.jobs,
            toc_list=path,
            server_major=worker.info.server_version // 10000,
            on_finished=finished,
        )


def _superusers_only(entry: str) -> bool:
    return entry_description(entry).startswith(_ONLY_SUPERUSERS)


def _weights(entries: list[str], sizes: dict[str, int], prefix: str) -> dict[int, int]:
    """The bytes of each table's data, by dump id, for the progress."""
    by_id = {path.removeprefix(prefix).split(".")[0]: size for path, size in sizes.items() if ".dat" in path}
    ids = (entry.split(";", 1)[0] for entry in entries)
    return {int(number): by_id[number] for number in ids if number in by_id}


def _check_name(name: str, live: Address) -> None:
    if not name or "\0" in name or len(name.encode()) > 63 or name == live.database:
        why = "it is the live database" if name == live.database else "1 to 63 bytes"
        raise UsageError(f"{name!r} cannot be the name of a copy: {why}", "choose another name for --into")
