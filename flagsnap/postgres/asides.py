"""What flagsnap has beside the live objects: databases of the server, and retired schemas in the live database.

Their names tell their times. What is called so without a time that can be read is somebody else's, and is left alone.
"""

from collections.abc import Iterator
from datetime import UTC, datetime

from psycopg import errors as pg_errors
from psycopg import sql

from flagsnap.catalog import differences
from flagsnap.errors import DifferencesFound
from flagsnap.postgres import databases, in_place
from flagsnap.postgres.connection import Connection, lift_time_limits
from flagsnap.postgres.facts import set_lock_timeout
from flagsnap.postgres.introspect import read_catalog
from flagsnap.postgres.locks import drill_key_of, is_held
from flagsnap.retention import Aside

_ROLES: tuple[databases.Role, ...] = ("retired", "scratch", "drill", "standby", "rehearsed")
_STAMP = "%Y%m%d%H%M%S%f"
_STAMP_LENGTH = 20
_SECONDS_FOR_SIZES = 1.0


def read_asides(connection: Connection, live: str) -> Iterator[Aside]:
    """The databases beside the live one, by their names; the caller holds the maintenance database's lock.

    A drill does not need that one. It takes its own before it makes its database, so one that was listed is dead if the
    lock is free afterwards.
    """
    names = [(role, name) for role in _ROLES for name in databases.list_of(connection, live, role)]
    drilling = is_held(connection, drill_key_of(live))
    for role, name in names:
        if made_at := _time_of(name[-_STAMP_LENGTH:]):
            yield Aside(name, role, made_at, _size_of(connection, name), in_use=role == "drill" and drilling)


def read_retired_schemas(connection: Connection) -> Iterator[Aside]:
    """The restores in place whose old objects are still in the connected database, by the name of public's schema."""
    for stamp in in_place.retired_stamps(connection):
        if made_at := _time_of(stamp):
            schemas = list(in_place.retired_schemas(connection, stamp))
            yield Aside(in_place.PREFIX + stamp, "retired schemas", made_at, _size_of_schemas(connection, schemas))


def drop_database(connection: Connection, name: str) -> None:
    """Drop a database and end its sessions; FlagsnapError if something uses it that no session has."""
    databases.refuse_prepared(connection, [name])
    databases.drop(connection, name)


def drop_retired_schemas(connection: Connection, name: str, lock_timeout: float) -> None:
    """Drop the retired schemas of one restore in place, by the `Aside`'s name.

    DifferencesFound if anything of the live schema would go with them, such as a column of a type that is there;
    nothing is dropped then.
    """
    with connection.transaction():
        connection.execute("SET TRANSACTION ISOLATION LEVEL READ COMMITTED")
        set_lock_timeout(connection, lock_timeout)
        lift_time_limits(connection)
        before = read_catalog(connection)
        for schema in in_place.retired_schemas(connection, name.removeprefix(in_place.PREFIX)):
            connection.execute(sql.SQL("DROP SCHEMA {} CASCADE").format(sql.Identifier(schema)))
        if found := tuple(str(each) for each in differences(before, read_catalog(connection))):
            raise DifferencesFound(
                f"live objects depend on it, and would go with it: {found[0]}",
                found,
                f"look at what they use of the schema {name}; nothing of it was dropped",
            )


def _time_of(stamp: str) -> datetime | None:
    try:
        return datetime.strptime(stamp, _STAMP).replace(tzinfo=UTC)
    except ValueError:
        return None


def _size_of(connection: Connection, name: str) -> int | None:
    """The size of a database, None without the right to connect to it, which the question takes."""
    row = connection.execute(
        "SELECT CASE WHEN has_database_privilege(datname, 'CONNECT') THEN pg_database_size(oid) END"
        " FROM pg_database WHERE datname = %s",
        (name,),
    ).fetchone()
    return row[0] if row else None


def _size_of_schemas(connection: Connection, schemas: list[str]) -> int | None:
    """The size of tables with their indexes and TOAST, of materialized views and of sequences; None if one is locked.

    To ask for a table's size takes a lock on it (dbsize.c, `pg_total_relation_size`).
    """
    try:
        with connection.transaction():
            set_lock_timeout(connection, _SECONDS_FOR_SIZES)
            row = connection.execute(
                "SELECT coalesce(sum(pg_total_relation_size(c.oid)), 0)::bigint FROM pg_class c"
                " JOIN pg_namespace n ON n.oid = c.relnamespace"
                " WHERE n.nspname = ANY(%s) AND c.relkind IN ('r', 'm', 'S')",
                (schemas,),
            ).fetchone()
    except pg_errors.LockNotAvailable:
        return None
    return int(row[0]) if row else 0
