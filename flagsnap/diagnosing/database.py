"""The lines that a connection to the live database tells."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from flagsnap.diagnosing.disks import disk_of
from flagsnap.diagnosing.examined import Examined, names_between
from flagsnap.diagnosis import rights as of_rights
from flagsnap.diagnosis import room, server, swap
from flagsnap.diagnosis.rights import Rights
from flagsnap.diagnosis.values import Finding
from flagsnap.errors import FlagsnapError, UsageError
from flagsnap.migrations import Migration
from flagsnap.postgres import databases
from flagsnap.postgres.clients import find_clients
from flagsnap.postgres.connection import OLDEST_SERVER, Address, Connection, connect, lift_time_limits, translated
from flagsnap.postgres.examining import bound, rights
from flagsnap.postgres.examining.server import is_here, read_ahead, read_connections, read_room, read_way
from flagsnap.postgres.facts import read_applied, read_name, read_system_identifier
from flagsnap.postgres.in_place import unmovable

_ALL = tuple(
    name for name in names_between("connection", "server disk") if name != "client programs"
)  # those can be looked for all the same
_LOCK_SECONDS = 2.0


@dataclass(frozen=True)
class Live:
    """What the other lines need to know of the live database; `applied` is None if it was not read."""

    database: str
    identifier: str | None
    applied: tuple[Migration, ...] | None
    server_major: int


def examine_database(
    examined: Examined, address: Address | FlagsnapError, jobs: int, now: Callable[[], datetime]
) -> Live | None:
    """Ask all that a connection answers; None if there is none."""
    if isinstance(address, FlagsnapError):
        _not_connected(examined, address)
        return None
    try:
        with connect(address, "doctor") as connection:
            examined.add(Finding("connection", "ok", str(address)))
            _Questions(examined, address, connection).ask_all(jobs, now)
            return _live(examined, address, connection)
    except FlagsnapError as error:
        _not_connected(examined, error)
        return None


def examine_programs(examined: Examined, server_major: int | None, pg_bin: Path | None) -> None:
    """Look for the client programs, of whatever version if that of the server is not known."""
    try:
        found = find_clients(server_major or OLDEST_SERVER, pg_bin)
        programs = server.Programs(found.version, found.major, str(found.folder), found.supports_zstd())
        examined.add(server.programs(programs, server_major))
    except UsageError as error:
        examined.add(Finding("client programs", "failed", str(error), error.hint))


def _not_connected(examined: Examined, error: FlagsnapError) -> None:
    if "connection" not in examined.findings:
        examined.add(Finding("connection", "failed", str(error), error.hint))
    examined.unchecked(_ALL, "there is no connection", "see the line connection")


def _live(examined: Examined, address: Address, connection: Connection) -> Live:
    name, identifier, applied = address.database, None, None
    with examined.or_unchecked("project code"), translated(address):
        name, identifier = read_name(connection), read_system_identifier(connection)
        applied = tuple(row.migration for row in read_applied(connection, _LOCK_SECONDS) or ())
    return Live(name, identifier, applied, connection.info.server_version // 10000)


@dataclass(frozen=True)
class _Questions:
    """The questions, each of which may fail alone."""

    examined: Examined
    address: Address
    connection: Connection

    def ask_all(self, jobs: int, now: Callable[[], datetime]) -> None:
        connection = self.connection
        # Not in a transaction, for which a pooler would keep one backend.
        with self.examined.or_unchecked("pooler"), translated(self.address):
            self.examined.add(server.pooler(read_way(self.address, connection)))
        self._ask("server version", lambda: server.version(connection.info.server_version))
        self._ask("primary", lambda: server.primary(_in_recovery(connection)))
        self._ask("clock", lambda: server.clock(read_ahead(connection, now)))
        self._ask("connections", lambda: server.connections(read_connections(connection), jobs))
        self._ask("server disk", self._server_disk)
        role = None
        with self._asking(*names_between("create databases", "background workers")):
            role = rights.read_rights(connection)
        if role:
            self._ask_of_the_role(role)

    def _ask_of_the_role(self, role: Rights) -> None:
        connection, name = self.connection, role.role
        with self._asking(*names_between("create databases", "ownership")):
            owned = rights.read_not_owned(connection)
            in_place = of_rights.in_place_problem(role, owned, unmovable(connection))
            self.examined.add(of_rights.ownership(owned, name))
            self.examined.add(of_rights.create_databases(role, in_place))
            self.examined.add(of_rights.database_owner(role, in_place))
            self.examined.add(of_rights.maintenance_database(self._maintenance_problem(), in_place))
        self._ask("reading", lambda: of_rights.reading(rights.read_hidden(connection), name))
        self._ask("row security", lambda: of_rights.row_security(rights.read_policed(connection), name))
        self._ask("sessions", lambda: of_rights.sessions(rights.read_sessions(connection), name))
        self._ask(
            "restore points", lambda: of_rights.restore_points(*rights.read_restore_points(connection), role=name)
        )
        self._ask("extensions", lambda: swap.extensions(bound.read_extensions(connection), name, role.serves_as))
        self._ask("replication slots", lambda: swap.replication_slots(bound.read_slots(connection)))
        self._ask("subscriptions", lambda: swap.subscriptions(bound.read_subscriptions(connection)))
        self._ask("publications", lambda: swap.publications(bound.read_publications(connection), role.is_superuser))
        self._ask(
            "event triggers", lambda: swap.event_triggers(bound.read_event_triggers(connection), role.is_superuser)
        )
        self._ask("prepared transactions", lambda: swap.prepared_transactions(bound.read_prepared(connection)))
        self._ask("background workers", lambda: swap.background_workers(bound.read_workers(connection)))

    def _server_disk(self) -> Finding:
        found = read_room(self.connection)
        # A loopback address may be a tunnel's: then there is no such folder here.
        is_ours = found.folder and is_here(self.connection)
        disk = disk_of(Path(str(found.folder)), will_be_made=False) if is_ours else None
        return room.server_disk(found.bytes, disk)

    def _maintenance_problem(self) -> str:
        try:
            with databases.maintenance(self.address, "doctor"):
                return ""
        except FlagsnapError as error:
            return str(error)

    def _ask(self, name: str, rule: Callable[[], Finding]) -> None:
        with self._asking(name):
            self.examined.add(rule())

    @contextmanager
    def _asking(self, *names: str) -> Iterator[None]:
        with self.examined.or_unchecked(*names), translated(self.address), self.connection.transaction():
            lift_time_limits(self.connection)
            yield


def _in_recovery(connection: Connection) -> bool:
    row = connection.execute("SELECT pg_is_in_recovery()").fetchone()
    return bool(row and row[0])
