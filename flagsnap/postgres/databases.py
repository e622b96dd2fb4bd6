"""Databases as a whole: created, swapped, dropped.

Names that flagsnap makes say what the database is: `<live>_flagsnap_scratch_<time>` is a scratch database, which is
dropped by whoever finds it while holding the lock; `<live>_flagsnap_retired_<time>` is the live database that a
restore has replaced; `<live>_flagsnap_rehearsed_<time>` is the scratch database of a rehearsal that somebody wanted to
keep, and is dropped by nobody else; `<live>_flagsnap_drill_<time>` is the scratch database of a drill, which is dropped
by whoever finds it; `<live>_flagsnap_standby_<time>` is a drilled one that was kept, and `<time>` is when its snapshot
was captured. The name is all that is remembered: CREATE DATABASE cannot run in a transaction, so nothing else could be
set with it.
"""

import hashlib
import re
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from datetime import UTC, datetime
from typing import Literal

import psycopg
from psycopg import errors as pg_errors
from psycopg import sql

from flagsnap.errors import ConnectionFailed, FlagsnapError
from flagsnap.postgres.connection import Address, Connection, connect, lift_time_limits
from flagsnap.snapshot import DatabaseProperties

Role = Literal["scratch", "retired", "rehearsed", "drill", "standby"]

MAINTENANCE = ("postgres", "template1")
_TEMPLATES_TABLESPACE = "pg_default"  # where template0 is; naming it takes a privilege that ordinary roles lack
_NAME_BYTES = 63  # NAMEDATALEN - 1
_STAMP = "%Y%m%d%H%M%S%f"
_RENAME_ATTEMPTS = 3
_NAME_LISTS = {"local_preload_libraries", "search_path", "session_preload_libraries", "temp_tablespaces"}
_NAME = re.compile(r'"((?:[^"]|"")*)"|([^\s,"]+)')
_SESSIONS = """
    FROM pg_stat_activity session LEFT JOIN pg_roles theirs ON theirs.oid = session.usesysid, pg_roles mine
    WHERE mine.rolname = current_user AND session.datname = ANY(%s) AND session.pid <> pg_backend_pid()
"""
_MAY_END = """
    (mine.rolsuper OR NOT theirs.rolsuper AND (pg_has_role(mine.oid, theirs.oid, 'MEMBER')
                                               OR pg_has_role(mine.oid, 'pg_signal_backend', 'MEMBER')))
"""
_PROVIDERS = {"c": "libc", "i": "icu", "b": "builtin"}


@contextmanager
def maintenance(address: Address, purpose: str) -> Iterator[Connection]:
    """A connection to a database of the server that is not the live one, from which that one can be renamed."""
    first, *others = [name for name in MAINTENANCE if name != address.database]
    with ExitStack() as stack:
        try:
            connection = stack.enter_context(connect(address.to(first), purpose))
        except ConnectionFailed:
            if not others:
                raise
            connection = stack.enter_context(connect(address.to(others[0]), purpose))
        yield connection


def name_for(live: str, role: Role, moment: datetime) -> str:
    """The name of a scratch or retired database; the live one's name is shortened where it must be."""
    return _prefix(live, role) + moment.astimezone(UTC).strftime(_STAMP)


def _prefix(live: str, role: Role) -> str:
    ending = f"_flagsnap_{role}_"
    room = _NAME_BYTES - len(ending) - len(datetime.now(UTC).strftime(_STAMP))
    if len(live.encode()) > room:
        digest = hashlib.sha256(live.encode()).hexdigest()[:8]
        live = live.encode()[: room - 9].decode(errors="ignore") + "_" + digest
    return live + ending


def list_of(connection: Connection, live: str, role: Role) -> tuple[str, ...]:
    """The scratch or retired databases of a live one, newest first."""
    prefix = _prefix(live, role)
    rows = connection.execute("SELECT datname FROM pg_database").fetchall()
    return tuple(sorted((name for (name,) in rows if re.fullmatch(re.escape(prefix) + r"\d{20}", name)), reverse=True))


def exists(connection: Connection, name: str) -> bool:
    """Whether there is a database of that name."""
    return connection.execute("SELECT FROM pg_database WHERE datname = %s", (name,)).fetchone() is not None


def can_create(connection: Connection) -> bool:
    """Whether the role may create databases."""
    row = connection.execute("SELECT rolcreatedb OR rolsuper FROM pg_roles WHERE rolname = current_user").fetchone()
    return bool(row and row[0])


def create(connection: Connection, name: str, properties: DatabaseProperties) -> None:
    """Create an empty database with the recorded encoding, locale, tablespace and owner."""
    statement = sql.SQL("CREATE DATABASE {} WITH TEMPLATE template0 ").format(sql.Identifier(name))
    lift_time_limits(connection, for_session=True)
    connection.execute(statement + sql.SQL(" ").join(_options(properties, connection.info.server_version)))


def _options(properties: DatabaseProperties, version: int) -> Iterator[sql.Composable]:
    yield sql.SQL("OWNER {}").format(sql.Identifier(properties.owner))
    yield sql.SQL("ENCODING {}").format(sql.Literal(properties.encoding))
    yield sql.SQL("LOCALE_PROVIDER {}").format(sql.Identifier(_PROVIDERS[properties.locale_provider]))
    for keyword, value in (("LC_COLLATE", properties.collate), ("LC_CTYPE", properties.ctype)):
        if value is not None:
            yield sql.SQL(f"{keyword} {{}}").format(sql.Literal(value))
    if properties.locale is not None:
        # The builtin provider came with 17, and with it its own keyword.
        keyword = "BUILTIN_LOCALE" if properties.locale_provider == "b" else "ICU_LOCALE"
        yield sql.SQL(f"{keyword} {{}}").format(sql.Literal(properties.locale))
    if properties.icu_rules is not None and version >= 160000:
        yield sql.SQL("ICU_RULES {}").format(sql.Literal(properties.icu_rules))
    if properties.tablespace != _TEMPLATES_TABLESPACE:
        yield sql.SQL("TABLESPACE {}").format(sql.Identifier(properties.tablespace))


def apply_properties(connection: Connection, name: str, properties: DatabaseProperties) -> tuple[str, ...]:
    """Give a database the recorded settings, grants, comment and connection limit.

    Gives back what the role may not set, in words. Grants first: while they are missing, nobody but the owner may
    connect where the recorded ones say so.
    """
    refused: list[str] = []
    for statement, what in _property_statements(sql.Identifier(name), properties):
        try:
            with connection.transaction():
                connection.execute(statement)
        except pg_errors.InsufficientPrivilege:
            refused.append(what)
    return tuple(refused)


def _property_statements(name: sql.Identifier, properties: DatabaseProperties) -> Iterator[tuple[sql.Composed, str]]:
    yield from _grant_statements(name, properties)
    for setting in properties.settings:
        target = sql.SQL("DATABASE {}").format(name)
        if setting.role is not None:
            target = sql.SQL("ROLE {} IN DATABASE {}").format(sql.Identifier(setting.role), name)
        value = _setting_value(setting.setting, setting.value)
        yield (
            sql.SQL("ALTER {} SET {} TO {}").format(target, sql.Identifier(*setting.setting.split(".")), value),
            f"the setting {setting.setting}",
        )
    if properties.comment is not None:
        yield (
            sql.SQL("COMMENT ON DATABASE {} IS {}").format(name, sql.Literal(properties.comment)),
            "the comment",
        )
    if properties.connection_limit != -1:
        limit = sql.Literal(properties.connection_limit)
        yield sql.SQL("ALTER DATABASE {} CONNECTION LIMIT {}").format(name, limit), "the connection limit"


def _grant_statements(name: sql.Identifier, properties: DatabaseProperties) -> Iterator[tuple[sql.Composed, str]]:
    if properties.grants is None:
        return
    owner = sql.Identifier(properties.owner)
    yield sql.SQL("REVOKE ALL ON DATABASE {} FROM PUBLIC, {}").format(name, owner), "the grants"
    for grant in properties.grants:
        grantee: sql.Composable = sql.SQL("PUBLIC") if grant.grantee is None else sql.Identifier(grant.grantee)
        option = sql.SQL(" WITH GRANT OPTION" if grant.grantable else "")
        privilege = sql.SQL(grant.privilege)  # a keyword of aclexplode's, from the manifest
        yield (
            sql.SQL("GRANT {} ON DATABASE {} TO {}{}").format(privilege, name, grantee, option),
            f"the grant of {grant.privilege}",
        )


def _setting_value(setting: str, value: str) -> sql.Composable:
    """A list of names is stored as one string with quotes as in SQL (GUC_LIST_QUOTE, see dumputils.c of pg_dump)."""
    if setting.lower() not in _NAME_LISTS:
        return sql.Literal(value)
    names = (quoted.replace('""', '"') or bare for quoted, bare in _NAME.findall(value))
    return sql.SQL(", ").join(map(sql.Literal, names))


def comment(connection: Connection, name: str, text: str | None) -> None:
    """Give a database a comment, or take it away."""
    statement = sql.SQL("COMMENT ON DATABASE {} IS {}").format(sql.Identifier(name), sql.Literal(text))
    connection.execute(statement)


def allow_connections(connection: Connection, name: str, *, allowed: bool) -> None:
    """Let sessions into a database, or let in nobody at all, not even a superuser."""
    statement = sql.SQL("ALTER DATABASE {} WITH ALLOW_CONNECTIONS {}")
    connection.execute(statement.format(sql.Identifier(name), sql.Literal(allowed)))


def drop(connection: Connection, name: str) -> None:
    """Drop a database and end its sessions; nothing happens if it is not there.

    FlagsnapError if something uses it that is not ended so, such as a subscription or a prepared transaction.
    """
    lift_time_limits(connection, for_session=True)
    try:
        connection.execute(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(name)))
    except pg_errors.ObjectInUse as error:  # to psycopg it is a trouble of the connection
        raise FlagsnapError(_first_line(error), "end what uses it, and run the same command again") from error


@contextmanager
def dropped_afterwards(connection: Connection, name: str, on_left: Callable[[str], None]) -> Iterator[None]:
    """Drop a database at the end of the block, unless it has another name by then.

    How the block ended is what counts: if it cannot be dropped now, `on_left` is told why, and the next run tries.
    """
    try:
        yield
    finally:
        try:
            drop(connection, name)
        except (psycopg.Error, FlagsnapError) as error:
            on_left(f"{name} could not be dropped: {_first_line(error)}")


def _first_line(error: Exception) -> str:
    return str(error).partition("\n")[0]


def swap(address: Address, connection: Connection, renames: Sequence[tuple[str, str]]) -> None:
    """Rename databases in one transaction, ending the sessions of those that have any.

    This is the commit point of a restore and of an undo. The rename takes a lock that makes new connections wait,
    then waits up to five seconds for the present ones to end (CountOtherDBBackends); meanwhile a second connection
    ends them. FlagsnapError if sessions cannot be ended; nothing is renamed then.
    """
    busy = [old for old, _ in renames]
    refuse_prepared(connection, busy)
    for attempt in range(1, _RENAME_ATTEMPTS + 1):
        with _ending_sessions(address, connection.info.dbname, busy):
            try:
                _rename(connection, renames)
            except pg_errors.ObjectInUse as error:
                refuse_prepared(connection, busy)
                staying = sessions_staying(connection, busy)
                # Each attempt keeps new connections waiting for five seconds; those that stay will stay.
                if staying or attempt == _RENAME_ATTEMPTS:
                    raise FlagsnapError(
                        f"sessions of {busy[0]} cannot be ended by this role: {staying or 'they come back'}",
                        "end them, or restore with --in-place, which keeps the database and its sessions",
                    ) from error
            else:
                return


def _rename(connection: Connection, renames: Sequence[tuple[str, str]]) -> None:
    with connection.transaction():
        lift_time_limits(connection)
        for old, new in renames:
            connection.execute(
                sql.SQL("ALTER DATABASE {} RENAME TO {}").format(sql.Identifier(old), sql.Identifier(new))
            )


@contextmanager
def _ending_sessions(address: Address, maintenance_name: str, databases: Sequence[str]) -> Iterator[None]:
    done = threading.Event()

    def end_them(killer: Connection) -> None:
        # If this connection dies, sessions remain, and the rename says so.
        with suppress(psycopg.Error):
            while not done.wait(0.01):
                terminate_sessions(killer, databases)

    with connect(address.to(maintenance_name), "swap") as killer:
        thread = threading.Thread(target=end_them, args=(killer,), daemon=True)
        thread.start()
        try:
            yield
        finally:
            done.set()
            thread.join()


def terminate_sessions(connection: Connection, databases: Sequence[str]) -> None:
    """End the sessions of databases, as far as this role may.

    A superuser's session can only be ended by a superuser (PostgreSQL, "Server Signaling Functions"); asking for it
    would fail the statement for all the others too.
    """
    connection.execute(f"SELECT pg_terminate_backend(session.pid) {_SESSIONS} AND {_MAY_END}", (list(databases),))


def sessions_staying(connection: Connection, databases: Sequence[str]) -> str:
    """The sessions that this role may not end, in words; those of autovacuum have no role, and go by themselves."""
    rows = connection.execute(
        f"SELECT DISTINCT session.usename, coalesce(nullif(session.application_name, ''), '?') {_SESSIONS}"
        f" AND theirs.oid IS NOT NULL AND NOT {_MAY_END} ORDER BY 1, 2",
        (list(databases),),
    ).fetchall()
    return ", ".join(f"{user} ({application})" for user, application in rows)


def refuse_prepared(connection: Connection, databases: Sequence[str]) -> None:
    """FlagsnapError if a transaction is prepared in one of the databases: PostgreSQL will not rename it then."""
    row = connection.execute(
        "SELECT gid, database FROM pg_prepared_xacts WHERE database = ANY(%s) ORDER BY prepared LIMIT 1",
        (list(databases),),
    ).fetchone()
    if row:
        raise FlagsnapError(
            f"a transaction is prepared in {row[1]}, which keeps it from being replaced: {row[0]}",
            "COMMIT PREPARED or ROLLBACK PREPARED ends it; then run the same command again",
        )


def end_backend(connection: Connection, pid: int) -> None:
    """End a backend of the connected database if it is still there; PostgreSQL undoes what it had not committed."""
    try:
        # Waits up to five seconds for the end, so that the journal read next is final.
        connection.execute(
            "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity"
            " WHERE pid = %s AND datname = current_database()",
            (pid,),
        )
    except pg_errors.InsufficientPrivilege:
        # Another role's session; it ends by itself when its process finds that flagsnap is gone.
        return


def drop_user_mappings(connection: Connection) -> tuple[str, ...]:
    """Drop what the connected database logs in with at other servers, so that nothing reaches them from here.

    Gives back what the role may not drop, in words: a mapping takes the owner of its server.
    """
    rows = connection.execute("SELECT srvname, usename, umuser FROM pg_user_mappings").fetchall()
    refused: list[str] = []
    for server, user, oid in rows:
        # For PUBLIC the oid is 0, and the name "public" (pg_user_mappings).
        whose = sql.Identifier(user) if oid else sql.SQL("PUBLIC")
        statement = sql.SQL("DROP USER MAPPING FOR {} SERVER {}").format(whose, sql.Identifier(server))
        try:
            with connection.transaction():
                connection.execute(statement)
        except pg_errors.InsufficientPrivilege:
            refused.append(f"the user mapping of {user} for the server {server}")
    return tuple(refused)
