"""Every connection to PostgreSQL, whoever opens it, is asked where it leads before anybody gets it."""

from __future__ import annotations

import contextlib
from contextvars import ContextVar
from typing import Any, Callable, Dict, Tuple

from flagsnap.bridge.probe.confine import Confined, is_connecting
from flagsnap.bridge.probe.reach import beyond, only_reads

try:
    import psycopg
    from psycopg.rows import tuple_row
except ImportError:
    psycopg = None  # type: ignore[assignment]
try:
    import psycopg2  # type: ignore[import-untyped]
    import psycopg2.extensions  # type: ignore[import-untyped]
except ImportError:
    psycopg2 = None

WHO = (
    "SELECT pg_catalog.current_database(), extract(epoch FROM pg_catalog.pg_postmaster_start_time())::text, "
    "(SELECT pg_catalog.shobj_description(oid, 'pg_database') FROM pg_catalog.pg_database"
    " WHERE datname = pg_catalog.current_database()), "
    "pg_catalog.current_setting('default_transaction_read_only') = 'on' OR pg_catalog.pg_is_in_recovery()"
)
_asked: ContextVar[bool] = ContextVar("asked", default=False)


class Border:
    """Knows the scratch database, and which connections lead there."""

    def __init__(self, redirect: Dict[str, str]) -> None:
        self.database = redirect["database"]
        self.nonce = redirect["nonce"]
        self.live = (redirect["live_database"], redirect["live_started"])

    def is_live(self, found: Tuple[Any, ...]) -> bool:
        """Whether an answer to `WHO` came from the live database."""
        return found[:2] == self.live

    def admit(self, found: Tuple[Any, ...]) -> str:
        """What an answer to `WHO` entitles to: "write" in the scratch database, or "read"; Confined if to nothing.

        What only reads is for Django's own aliases. A name alone proves nothing, since it may exist on other servers;
        nobody but flagsnap knows the comment.
        """
        database, _, comment, is_read_only = found
        if (database, comment) == (self.database, self.nonce):
            return "write"
        if self.is_live(found):
            raise Confined("a rehearsal may not connect to the live database %s" % database)
        if not is_connecting():
            raise Confined("a rehearsal may only connect to the scratch database, not to %s" % database)
        if not is_read_only:
            raise Confined(
                "a rehearsal may only read from the database %s, and this session is not read only"
                " (is a pooler in between?)" % database
            )
        return "read"

    def check(self, connection: Any) -> None:
        """Ask a connection of psycopg or psycopg2 where it leads; close it, and Confined, if it may not be used."""
        try:
            found = ask(connection)
            connection.cursor_factory = guarded(connection, self.admit(found), found[0])
        except BaseException:
            connection.close()
            raise

    async def check_async(self, connection: Any) -> None:
        """The same for an AsyncConnection."""
        try:
            cursor = await connection.cursor(row_factory=tuple_row).execute(WHO)
            found = await cursor.fetchone()
            await connection.rollback()
            connection.cursor_factory = guarded(connection, self.admit(found), found[0])
        except BaseException:
            await connection.close()
            raise


def ask(connection: Any) -> Tuple[Any, ...]:
    """What a new connection of psycopg or psycopg2 answers to `WHO`."""
    if psycopg is not None and isinstance(connection, psycopg.Connection):
        cursor: Any = connection.cursor(row_factory=tuple_row)
    elif psycopg2 is not None and isinstance(connection, psycopg2.extensions.connection):
        cursor = connection.cursor(cursor_factory=psycopg2.extensions.cursor)
    else:
        cursor = connection.cursor()
    with contextlib.closing(cursor):
        cursor.execute(WHO)
        found = tuple(cursor.fetchone())
    connection.rollback()
    return found


def guard_drivers(border: Border) -> None:
    """Have every new connection of psycopg and psycopg2 checked."""
    if psycopg is not None:
        _guard_psycopg(border)
    if psycopg2 is not None:
        _guard_psycopg2(border)


def _guard_psycopg(border: Border) -> None:
    connect = psycopg.Connection.connect.__func__  # type: ignore[attr-defined]
    connect_async = psycopg.AsyncConnection.connect.__func__  # type: ignore[attr-defined]

    def checked(cls: Any, *arguments: Any, **options: Any) -> Any:
        with _asking():
            connection = connect(cls, *arguments, **options)
        border.check(connection)
        return connection

    async def checked_async(cls: Any, *arguments: Any, **options: Any) -> Any:
        with _asking():
            connection = await connect_async(cls, *arguments, **options)
        await border.check_async(connection)
        return connection

    psycopg.Connection.connect = classmethod(checked)  # type: ignore[assignment,method-assign]
    psycopg.AsyncConnection.connect = classmethod(checked_async)  # type: ignore[assignment,method-assign]
    psycopg.connect = psycopg.Connection.connect
    for kind in (psycopg.Connection, psycopg.AsyncConnection):
        if hasattr(kind, "_connect_gen"):  # as up to psycopg 3.3; it is not public
            _guard_early_references(kind)


def _guard_early_references(kind: Any) -> None:
    """Refuse those who took hold of `connect` before it was replaced: their connections could not be asked."""
    generator = kind._connect_gen.__func__  # noqa: SLF001

    def connect_gen(cls: Any, *arguments: Any, **options: Any) -> Any:
        if not _asked.get():
            raise Confined("a rehearsal may only connect to the scratch database, and by psycopg.connect")
        return generator(cls, *arguments, **options)

    kind._connect_gen = classmethod(connect_gen)  # noqa: SLF001


def _guard_psycopg2(border: Border) -> None:
    connect, inner = psycopg2.connect, psycopg2._connect  # noqa: SLF001

    def checked_inner(*arguments: Any, **options: Any) -> Any:
        connection = inner(*arguments, **options)
        if connection.async_:
            connection.close()
            raise Confined("a rehearsal may only connect to the scratch database, and not asynchronously")
        border.check(connection)
        return connection

    def checked(*arguments: Any, **options: Any) -> Any:
        connection = connect(*arguments, **options)
        if not hasattr(connection.cursor_factory, "flagsnap_right"):  # an option took the guarded one's place
            border.check(connection)
        return connection

    psycopg2._connect = checked_inner  # noqa: SLF001  # also what others hold as `connect` calls this
    psycopg2.connect = checked


@contextlib.contextmanager
def _asking() -> Any:
    before = _asked.set(True)
    try:
        yield
    finally:
        _asked.reset(before)


def guarded(connection: Any, right: str, database: str) -> Any:
    """The connection's class of cursors, with every statement looked at before it is sent."""
    base = connection.cursor_factory or psycopg2.extensions.cursor

    def looked_at(name: str) -> Callable[..., Any]:
        def method(self: Any, statement: Any, *arguments: Any, **options: Any) -> Any:
            text = _text(self, statement) + ("()" if name == "callproc" else "")
            refuse(text, right, "the database %s" % database)
            return getattr(super(kind, self), name)(statement, *arguments, **options)

        return method

    names = ("execute", "executemany", "copy", "copy_expert", "callproc", "stream")
    methods = {name: looked_at(name) for name in names if hasattr(base, name)}
    kind: Any = type(base.__name__, (base,), {"flagsnap_right": right, **methods})
    return kind


def refuse(statement: str, right: str, database: str) -> None:
    """Confined if a statement goes beyond what the connection entitles to."""
    reached = beyond(statement)
    if reached:
        raise Confined("a rehearsal may not touch %s: it reaches beyond the scratch database" % reached)
    if right != "write" and not only_reads(statement):
        word = (statement.split() or [""])[0].upper()
        raise Confined("a rehearsal may only read from %s (%s)" % (database, word))


def _text(cursor: Any, statement: Any) -> str:
    """A statement as text: also bytes, and what `psycopg.sql` and `psycopg2.sql` compose."""
    if isinstance(statement, bytes):
        return statement.decode(errors="replace")
    return str(statement.as_string(cursor) if hasattr(statement, "as_string") else statement)
