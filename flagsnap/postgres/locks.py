"""One run at a time: advisory locks.

Advisory locks are local to a database (PostgreSQL, "Explicit Locking"). Every run holds one on the live database; a
run that may swap it, which ends all of its sessions, holds another on the maintenance database. A drill, for which
nobody is to wait, holds one of its own there. Each is held by a
transaction that stays open, not by the session, so that they also work behind a pooler in transaction mode. In READ
COMMITTED such a transaction holds no snapshot between statements, so it keeps nothing from being vacuumed.
"""

import hashlib
import time
from collections.abc import Iterator
from contextlib import contextmanager

from flagsnap.errors import Locked
from flagsnap.postgres.connection import Connection, lift_time_limits

RUN_KEY = int.from_bytes(b"flagsnap", "big")
UNAPPLY_KEY = RUN_KEY + 1
"""Held by the probe inside the project while it unapplies, and by a replay: they may outlive their flagsnap."""
UNAPPLY_SESSION = "flagsnap unapply"
"""The `application_name` that the probe gives its session."""
REPLAY_SESSION = "flagsnap replay"
"""The one that a replay gives its own; PostgreSQL may still be at a statement when its flagsnap was killed."""

_HINT = "wait until the other run has ended; `SELECT pid, application_name FROM pg_stat_activity` shows it"


@contextmanager
def holding(
    connection: Connection, database: str, key: int = RUN_KEY, other: str = "another flagsnap works on"
) -> Iterator[None]:
    """Hold a lock for the length of the block, in a transaction of its own on this connection.

    Locked, with what the `other` run does, if it is held already.
    """
    with connection.transaction():
        # At another level the transaction would keep a snapshot, whatever the database's default is.
        connection.execute("SET TRANSACTION ISOLATION LEVEL READ COMMITTED")
        # A rollback may wait for minutes on its children while this transaction is idle.
        lift_time_limits(connection)
        _take(connection, key, f"{other} {database}")
        yield


def key_of(database: str) -> int:
    """The maintenance database's lock for work on `database`."""
    return _digest(f"flagsnap:{database}")


def drill_key_of(database: str) -> int:
    """The lock of drills of `database`, in the database from which they create their scratch databases."""
    return _digest(f"flagsnap drill:{database}")


def is_held(connection: Connection, key: int) -> bool:
    """Whether somebody holds a lock of the connected database; unlike trying to take it, this is in nobody's way.

    A key of 64 bits is shown as its two halves, with objsubid 1 (PostgreSQL, "pg_locks").
    """
    row = connection.execute(
        "SELECT EXISTS (SELECT FROM pg_locks WHERE locktype = 'advisory' AND objsubid = 1 AND granted"
        " AND database = (SELECT oid FROM pg_database WHERE datname = current_database())"
        " AND classid::bigint = %s AND objid::bigint = %s)",
        (key >> 32 & 0xFFFFFFFF, key & 0xFFFFFFFF),
    ).fetchone()
    return bool(row and row[0])


def _digest(text: str) -> int:
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big", signed=True)


def wait_for_unapply(connection: Connection, database: str, seconds: float) -> None:
    """Wait until nothing of an earlier, killed run is at work; Locked if something still is after `seconds`."""
    deadline = time.monotonic() + seconds
    while not _is_free(connection, UNAPPLY_KEY) or _is_unapplying(connection):
        if time.monotonic() > deadline:
            raise Locked(f"an earlier rollback of {database} is still unapplying migrations", _HINT)
        time.sleep(0.2)


def _is_free(connection: Connection, key: int) -> bool:
    with connection.transaction():
        row = connection.execute("SELECT pg_try_advisory_xact_lock(%s)", (key,)).fetchone()
    return bool(row and row[0])


def _is_unapplying(connection: Connection) -> bool:
    """Whether a probe or a replay is at work on what is not atomic, which holds no lock."""
    row = connection.execute(
        "SELECT EXISTS (SELECT FROM pg_stat_activity WHERE datname = current_database() AND state <> 'idle'"
        " AND application_name IN (%s, %s))",
        (UNAPPLY_SESSION, REPLAY_SESSION),
    ).fetchone()
    return bool(row and row[0])


def _take(connection: Connection, key: int, held: str) -> None:
    # Without parameters, so that libpq's simple protocol is used: the other one leaves a portal open, and with it a
    # snapshot, for which every CREATE INDEX CONCURRENTLY of the project would have to wait.
    row = connection.execute(f"SELECT pg_try_advisory_xact_lock({key:d})".encode()).fetchone()
    if not (row and row[0]):
        raise Locked(held, _HINT)
