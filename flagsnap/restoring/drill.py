"""The drill: a snapshot is restored into a scratch database of its own kind, and compared with what was recorded.

Nobody waits for a drill. It holds a lock that only other drills want, and what needs its room, a restore or a rollback,
drops its database; the drill then says so. It runs on the live server, on another one, or on one that is made for it.
"""

import re
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

from flagsnap.errors import ConnectionFailed, DifferencesFound, FlagsnapError, UsageError
from flagsnap.postgres import databases, elsewhere, embedded
from flagsnap.postgres.connection import Address, Connection, connect, translated
from flagsnap.postgres.dump import entry_description, schema_script
from flagsnap.postgres.locks import drill_key_of, holding
from flagsnap.progress import Progress
from flagsnap.restoring import standby
from flagsnap.restoring.restore import Source, apply_properties, clients_for, drop_or_note, make, prove
from flagsnap.snapshot import RecordedDatabase
from flagsnap.stores.scratch import scratch_folder

Kind = Literal["live", "other", "embedded"]

# A database that has a subscription cannot be dropped (dropdb in dbcommands.c), and the recorded state has none.
_SUBSCRIPTIONS = ("SUBSCRIPTION ", "COMMENT - SUBSCRIPTION ", "SECURITY LABEL - SUBSCRIPTION ")


@dataclass(frozen=True)
class Ground:
    """The server on which a drill takes place.

    Attributes:
        address: of the live server, the live database; of another one, the database to connect to.
        live: the name of the database of which it is a drill.
        pg_bin: the folder of client programs that are the server's own, None to search.
    """

    kind: Kind
    address: Address
    live: str
    pg_bin: Path | None = None

    @property
    def where(self) -> str:
        """The server in words."""
        return {"live": "the live server", "other": str(self.address), "embedded": "an embedded server"}[self.kind]

    def create(self, worker: Connection, name: str, source: Source, progress: Progress) -> None:
        """Create the scratch database, empty."""
        if self.kind == "live":
            databases.create(worker, name, source.recorded.properties)
            return
        for lacking in elsewhere.create_elsewhere(worker, name, source.recorded.properties):
            progress.note(f"{self.where} does not have {lacking}; its own is taken")


@contextmanager
def live_ground(live: Address) -> Iterator[Ground]:
    """The live server."""
    yield Ground("live", live, live.database)


@contextmanager
def other_ground(server: Address, source: Source) -> Iterator[Ground]:
    """Another server, on which nothing is made but the scratch database."""
    yield Ground("other", server, source.recorded.name)


@contextmanager
def embedded_ground(source: Source, progress: Progress) -> Iterator[Ground]:
    """A server made for the moment in scratch space. UsageError if there is none that is new enough.

    If this process is killed, the server ends by itself within a minute of its folder being removed, which the next
    user of scratch space does (PostgreSQL looks after its lock file, RecheckDataDirLockFile).
    """
    needed = max(source.recorded.server_major, int(source.recorded.dump.tool_version.split(".")[0]))
    bin_dir = embedded.find_bin_dir(needed)
    with scratch_folder() as folder:
        folder.chmod(0o711)  # root has it run as another user, who passes through
        with progress.task("start a server"):
            server = embedded.start(bin_dir, folder / "server")
        try:
            has_clients = all((bin_dir / program).exists() for program in ("pg_dump", "pg_restore", "psql"))
            address = Address.parse(server.url())
            yield Ground("embedded", address, source.recorded.name, bin_dir if has_clients else source.pg_bin)
        finally:
            embedded.remove(folder / "server")


def drill(
    source: Source,
    folder: Path,
    ground: Ground,
    progress: Progress,
    on_proven: Callable[[], None],
    on_left: Callable[[str], None],
    *,
    keep: bool,
) -> str | None:
    """Restore what lies in `folder`, the snapshot's, and prove it; gives back the name of the standby if it is kept.

    DifferencesFound and RestoreFailed speak against the snapshot; Locked and every other FlagsnapError say why the
    drill could not be held. `on_proven` is called before the database is dropped or kept, `on_left` with the reason if
    it could not be dropped. It has no subscriptions.
    """
    source = replace(source, pg_bin=ground.pg_bin or source.pg_bin)
    with _worker(ground) as worker:
        _drop_dead(worker, ground, progress)
        name = databases.name_for(ground.live, "drill", datetime.now(UTC))
        with databases.dropped_afterwards(worker, name, on_left):
            with _dropped_by_others_worded(worker, name) as created:
                _restore(source, folder, ground, worker, name, progress, created)
            on_proven()
            with translated(ground.address):
                return standby.keep(source.manifest, ground.address, worker, name, progress) if keep else None


def _restore(
    source: Source,
    folder: Path,
    ground: Ground,
    worker: Connection,
    name: str,
    progress: Progress,
    created: Callable[[], None],
) -> None:
    def create() -> None:
        ground.create(worker, name, source, progress)
        created()

    target = ground.address.to(name)
    if ground.kind == "embedded":
        script = schema_script(clients_for(source, worker), folder / source.place)
        with translated(target):
            elsewhere.create_roles(worker, elsewhere.roles_in(script))
    make(source, target, worker, folder, create, progress, _is_no_subscription)
    if ground.kind == "live":
        apply_properties(source, worker, name, progress)
    try:
        prove(source, target, progress)
    except DifferencesFound as error:
        _excuse_major(error, source.recorded, worker.info.server_version // 10000)
        raise


def _is_no_subscription(entry: str) -> bool:
    return not entry_description(entry).startswith(_SUBSCRIPTIONS)


def _excuse_major(error: DifferencesFound, recorded: RecordedDatabase, major: int) -> None:
    """FlagsnapError if nothing but the schema differs, and on another major version of PostgreSQL.

    Some are printed otherwise there (identity columns of partitions came with 17, for one), so it proves nothing.
    """
    speaks = re.compile(r"migration |table .*: .* rows were recorded")
    if major != recorded.server_major and not any(speaks.match(each) for each in error.differences):
        raise FlagsnapError(
            f"on PostgreSQL {major} the schema is not the one recorded on {recorded.server_major}, which may be due to"
            f" the version: {error.differences[0]}",
            f"drill on PostgreSQL {recorded.server_major}",
        ) from error


@contextmanager
def _worker(ground: Ground) -> Iterator[Connection]:
    """A connection that creates and drops; the lock of drills is held in the same database."""
    is_live = ground.kind == "live"
    with (
        databases.maintenance(ground.address, "drill") if is_live else _connected(ground) as keeper,
        holding(keeper, ground.live, drill_key_of(ground.live), "another drill is at work, of"),
        connect(ground.address.to(keeper.info.dbname), "drill") as worker,
    ):
        if not databases.can_create(worker):
            raise UsageError(
                f"the role {worker.info.user} may not create databases",
                "give the role CREATEDB, or drill on another server with --drill-url or --drill-embedded",
            )
        yield worker


@contextmanager
def _connected(ground: Ground) -> Iterator[Connection]:
    with ExitStack() as stack:
        try:
            connection = stack.enter_context(connect(ground.address, "drill"))
        except ConnectionFailed as error:
            raise ConnectionFailed(
                str(error), "check --drill-url (FLAGSNAP_DRILL_URL), and that the server runs"
            ) from error
        yield connection


def _drop_dead(worker: Connection, ground: Ground, progress: Progress) -> None:
    """Drop the scratch databases of killed drills; the lock says that no other is at work."""
    for name in databases.list_of(worker, ground.live, "drill"):
        drop_or_note(worker, ground.address, name, "which an interrupted drill had left", progress)


@contextmanager
def _dropped_by_others_worded(worker: Connection, name: str) -> Iterator[Callable[[], None]]:
    """Say so if the scratch database goes while the block is at work; what is yielded is called once it is there."""
    was_there: list[str] = []
    try:
        yield lambda: was_there.append(name)
    except FlagsnapError as error:
        if was_there and not databases.exists(worker, name):
            raise FlagsnapError(
                "another run of flagsnap dropped the scratch database of this drill",
                "a restore goes first; drill later",
            ) from error
        raise
