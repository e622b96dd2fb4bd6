"""What a replay does in the database: its transactions and settings, its statements, the rows of `django_migrations`.

All of it goes through the simple protocol, without parameters: a recorded text may hold several statements.
"""

from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager, suppress

import psycopg
from psycopg import pq, sql

from flagsnap.catalog import Identity
from flagsnap.errors import FlagsnapError, Locked
from flagsnap.migrations import Migration
from flagsnap.postgres.connection import Address, Connection, lift_time_limits, translated
from flagsnap.postgres.locks import REPLAY_SESSION, UNAPPLY_KEY
from flagsnap.rehearsal.recording import Session

# PostgreSQL, "Error Codes": connections, serialization and deadlocks, resources, operators, the system below it.
_OF_THE_MOMENT = ("08", "40", "53", "57", "58", "55P03")
_BROKEN_OFF = ("40", "57014")


class Refused(FlagsnapError):
    """PostgreSQL refused a statement for what it is; what fails for the moment it came at is another error."""


@contextmanager
def worded(address: Address) -> Iterator[None]:
    """Word psycopg's errors: Refused, or what the others say when a lock, the connection or the server is the cause."""
    try:
        yield
    except psycopg.Error as error:
        state = error.sqlstate or ("08" if isinstance(error, psycopg.OperationalError) else "")
        said = error.diag.message_primary or next(iter(str(error).splitlines()), type(error).__name__)
        if state.startswith(_BROKEN_OFF):
            raise FlagsnapError(f"PostgreSQL broke a statement off: {said}", "run the same command again") from error
        if state.startswith(_OF_THE_MOMENT):
            with translated(address):
                raise
        raise Refused(said) from error


@contextmanager
def in_transaction(connection: Connection, session: Session, lock_timeout: float) -> Iterator[None]:
    """A transaction as the statements' own session would have begun it. Locked if another run has the lock."""
    with connection.transaction():
        _watch_the_client(connection, "LOCAL")
        lift_time_limits(connection)
        _execute(connection, _settings(session, lock_timeout, "LOCAL"))
        row = connection.execute(f"SELECT pg_try_advisory_xact_lock({UNAPPLY_KEY:d})".encode()).fetchone()
        if not (row and row[0]):
            raise Locked("another run is unapplying migrations", "wait until the other run has ended")
        _execute(connection, _role(connection, session, "LOCAL"))
        yield


@contextmanager
def without_transaction(connection: Connection, session: Session, lock_timeout: float) -> Iterator[None]:
    """The same for what cannot run in one."""
    try:
        _watch_the_client(connection, "SESSION")
        lift_time_limits(connection, for_session=True)
        _execute(connection, _settings(session, lock_timeout, "SESSION"))
        _execute(connection, _role(connection, session, "SESSION"))
        yield
    finally:
        give_back(connection)


def give_back(connection: Connection) -> None:
    """Give the session back as it was: behind a pooler it becomes somebody else's, and scripts may set what they like.

    Where the connection is gone, so are its settings.
    """
    if connection.info.transaction_status == pq.TransactionStatus.IDLE:
        with suppress(psycopg.OperationalError):
            connection.execute(b"RESET ROLE; RESET ALL; SET idle_session_timeout = 0")


def run(connection: Connection, statement: str, *, atomic: bool) -> None:
    """Run one recorded text. Refused if it ended the transaction that it belongs to."""
    connection.execute(statement.encode())
    if atomic and connection.info.transaction_status != pq.TransactionStatus.INTRANS:
        raise Refused("it ended the transaction")


def end_part(connection: Connection, rows: Collection[Migration]) -> None:
    """Delete rows of `django_migrations`, and have deferred constraints checked; Refused unless each was there once.

    Those of one migration must not be pending when the next alters the same table (DatabaseWrapper.check_constraints
    of Django's PostgreSQL backend does the same). All in one round trip: with a server far away they are what takes
    the time.
    """
    checks = sql.SQL("SET CONSTRAINTS ALL IMMEDIATE; SET CONSTRAINTS ALL DEFERRED")
    if not rows:
        connection.execute(checks)
        return
    wanted = sql.SQL(", ").join(sql.SQL("({}, {})").format(sql.Literal(app), sql.Literal(name)) for app, name in rows)
    deletion = sql.SQL("DELETE FROM django_migrations WHERE (app, name) IN ({}) RETURNING app, name; ").format(wanted)
    found = [Migration(*row) for row in connection.execute(deletion + checks).fetchall()]
    for row in rows:
        if (times := found.count(row)) != 1:
            raise Refused(f"the row of {row} was there {times} times, not once")


def drop_index(connection: Connection, index: Identity) -> None:
    """Drop what an interrupted statement has left; not in a transaction."""
    connection.execute(sql.SQL("DROP INDEX CONCURRENTLY IF EXISTS {}").format(sql.Identifier(index.schema, index.name)))


def _settings(session: Session, lock_timeout: float, scope: str) -> sql.Composed:
    """The client's encoding first, so that the rest is read by it."""
    own = {
        "client_encoding": "UTF8",
        "lock_timeout": f"{int(lock_timeout * 1000)}ms",
        "application_name": REPLAY_SESSION,
    }
    return sql.SQL("SELECT ") + sql.SQL(", ").join(_set(scope, {**session.settings, **own}))


def _set(scope: str, settings: Mapping[str, str]) -> Iterator[sql.Composed]:
    is_local = sql.Literal(scope == "LOCAL")
    for name, value in settings.items():
        yield sql.SQL("set_config({}, {}, {})").format(sql.Literal(name), sql.Literal(value), is_local)


def _role(connection: Connection, session: Session, scope: str) -> sql.Composed | None:
    row = connection.execute(b"SELECT current_user").fetchone()
    if not session.role or (row and row[0] == session.role):
        return None
    return sql.SQL("SET {} ROLE {}").format(
        sql.SQL("LOCAL" if scope == "LOCAL" else "SESSION"), sql.Identifier(session.role)
    )


def _execute(connection: Connection, statement: sql.Composed | None) -> None:
    if statement is not None:
        connection.execute(statement)


def _watch_the_client(connection: Connection, scope: str) -> None:
    """Have PostgreSQL end a statement whose client is gone; else it would go on, with all locks, to its end."""
    setting = b"SET LOCAL" if scope == "LOCAL" else b"SET SESSION"
    # On a platform where it cannot, whoever comes next has to wait.
    with suppress(psycopg.DatabaseError), connection.transaction():
        connection.execute(setting + b" client_connection_check_interval = 1000")
