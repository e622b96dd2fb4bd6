"""The server: how it is reached, its clock, its room."""

import os
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta

from flagsnap.diagnosis.server import Connections, Way
from flagsnap.postgres.connection import Address, Connection, connect

_ROUNDS = 5
_HERE = ("", "127.0.0.1", "::1")


@dataclass(frozen=True)
class Room:
    """How large the database is, and where it lies on the server; `folder` is None where the role may not know."""

    bytes: int
    folder: str | None


def read_way(address: Address, connection: Connection) -> Way:
    """How this connection gets to the server; behind a pooler, whether it shares its backend with another one."""
    backend = _backend(connection)
    told = connection.info.backend_pid
    if told == backend:
        return Way(told, backend, shared=False)
    with connect(address, "doctor") as other:
        ours, theirs = set(), set()
        for _ in range(_ROUNDS):
            ours.add(_backend(connection))
            theirs.add(_backend(other))
    # A session that keeps its backend has the same one all the time, and nobody else has it.
    return Way(told, backend, shared=bool(ours & theirs) or len(ours) > 1 or len(theirs) > 1)


def _backend(connection: Connection) -> int:
    row = connection.execute("SELECT pg_backend_pid()").fetchone()
    return int(row[0]) if row else 0


def read_ahead(connection: Connection, now: Callable[[], datetime]) -> timedelta:
    """How far the clock `now` is ahead of the server's."""
    before = now()
    row = connection.execute("SELECT clock_timestamp()").fetchone()
    after = now()
    return before + (after - before) / 2 - row[0] if row else timedelta(0)


def read_connections(connection: Connection) -> Connections:
    """The tightest of the limits that hold for this role; those of roles and databases spare superusers."""
    # reserved_connections came with PostgreSQL 16.
    rows = connection.execute(
        """
        SELECT current_setting('max_connections')::int - CASE WHEN r.rolsuper THEN 0 ELSE
                   current_setting('superuser_reserved_connections')::int
                   + coalesce(current_setting('reserved_connections', true)::int, 0) END
               - (SELECT sum(numbackends) FROM pg_stat_database)::int, 'max_connections'
        FROM pg_roles r WHERE r.rolname = current_user
        UNION ALL
        SELECT r.rolconnlimit - (SELECT count(*) FROM pg_stat_activity WHERE usesysid = r.oid)::int,
               'the role''s connection limit'
        FROM pg_roles r WHERE r.rolname = current_user AND r.rolconnlimit >= 0 AND NOT r.rolsuper
        UNION ALL
        SELECT d.datconnlimit - (SELECT count(*) FROM pg_stat_activity WHERE datid = d.oid)::int,
               'the database''s connection limit'
        FROM pg_database d, pg_roles r
        WHERE d.datname = current_database() AND d.datconnlimit >= 0 AND r.rolname = current_user AND NOT r.rolsuper
        ORDER BY 1 LIMIT 1
        """
    ).fetchall()
    free, limit = rows[0]
    return Connections(int(free), str(limit))


def read_room(connection: Connection) -> Room:
    """Only some roles may know where the server keeps its data (pg_read_all_settings)."""
    row = connection.execute(
        """
        SELECT pg_database_size(d.oid), coalesce(
            nullif(pg_tablespace_location(d.dattablespace), ''),
            (SELECT setting FROM pg_settings WHERE name = 'data_directory'))
        FROM pg_database d WHERE d.datname = current_database()
        """
    ).fetchone()
    return Room(int(row[0]), row[1] or None) if row else Room(0, None)


def is_here(connection: Connection) -> bool:
    """Whether the server was reached on this machine: by a socket, or by a loopback address."""
    host = connection.info.host
    return host.startswith(os.sep) or connection.info.hostaddr in _HERE
