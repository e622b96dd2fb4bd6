"""Where the database is, and connections to it.

libpq takes the address apart (`psycopg.conninfo`), so URLs and keyword strings, escapes and `sslmode` mean what they
mean to psql. Passwords reach child programs through libpq's environment variables, never through their arguments.
"""

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import psycopg
from psycopg import errors as pg_errors
from psycopg import pq
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from flagsnap.errors import ConnectionFailed, FlagsnapError, UsageError

Connection = psycopg.Connection[tuple[Any, ...]]

OLDEST_SERVER = 15
CONNECT_SECONDS = 10
# A password with a bare @ or /: libpq would take its end for the host or the database, which are named in messages.
_MISLEADING = re.compile(r"postgres(ql)?://(?:[^@/]*@)?+[^?]*@")
_SECRET = b"*"  # libpq's PQconndefaults marks secrets so: "*" means a password field


@dataclass(frozen=True)
class Address:
    """A database on a server; `str()` names it without secrets."""

    conninfo: str = field(repr=False)

    @classmethod
    def parse(cls, url: str) -> "Address":
        """Read a URL or keyword string; UsageError if libpq cannot, or if it names no database."""
        hint = "postgresql://user:password@host:5432/name, with special characters percent-encoded"
        if _MISLEADING.match(url):
            raise UsageError("the database URL has an @ that is not percent-encoded", hint)
        try:
            parameters = conninfo_to_dict(url)
            int(parameters.get("connect_timeout") or 0)
        except (psycopg.ProgrammingError, ValueError):
            # libpq's message may repeat the string, and with it the password: not even a traceback shows it.
            raise UsageError("the database URL cannot be read", hint) from None
        if not parameters.get("dbname"):
            raise UsageError("the database URL names no database", "postgresql://user:password@host:5432/name")
        return cls(make_conninfo(url))

    @property
    def database(self) -> str:
        """The database's name."""
        return str(conninfo_to_dict(self.conninfo)["dbname"])

    def to(self, database: str) -> "Address":
        """Another database of the same server."""
        return Address(make_conninfo(self.conninfo, dbname=database))

    def __str__(self) -> str:
        parameters = conninfo_to_dict(self.conninfo)
        host = parameters.get("host") or parameters.get("hostaddr") or "local socket"
        return f"{parameters['dbname']} on {host}:{parameters.get('port') or 5432}"

    def environment(self) -> Mapping[str, str]:
        """The environment variables by which libpq is told of this address, for child programs.

        The variable of each parameter is libpq's own list (PQconninfoParse); a parameter without one is left to
        `arguments`, except secrets, which are never put there.
        """
        options = pq.Conninfo.parse(self.conninfo.encode())
        return {
            option.envvar.decode(): option.val.decode()
            for option in options
            if option.envvar is not None and option.val is not None
        } | {"LC_ALL": "C", "PGAPPNAME": "flagsnap"}

    def arguments(self) -> str:
        """The connection string for a child program's arguments: what the environment cannot say, without secrets."""
        options = pq.Conninfo.parse(self.conninfo.encode())
        return make_conninfo(
            **{
                option.keyword.decode(): option.val.decode()
                for option in options
                if option.envvar is None and option.val is not None and not _is_secret(option)
            },
            dbname=self.database,
        )


def _is_secret(option: pq.ConninfoOption) -> bool:
    return option.dispchar == _SECRET or option.keyword.startswith(b"scram_")


@contextmanager
def connect(address: Address, purpose: str) -> Iterator[Connection]:
    """An autocommit connection whose `application_name` is "flagsnap <purpose>".

    Every error of psycopg leaves the block as ConnectionFailed or FlagsnapError. Prepared statements are off, so that a
    pooler in transaction mode may be in between.
    """
    with translated(address):
        connection = psycopg.connect(
            address.conninfo,
            autocommit=True,
            prepare_threshold=None,
            application_name=f"flagsnap {purpose}",
            connect_timeout=_connect_seconds(address),
        )
        with connection:
            if connection.info.server_version < OLDEST_SERVER * 10000:
                raise UsageError(
                    f"{address} runs PostgreSQL {connection.info.server_version // 10000}",
                    f"flagsnap needs PostgreSQL {OLDEST_SERVER} or newer",
                )
            # It waits as long as pg_restore takes; this does no harm where a pooler gives it to another client.
            connection.execute("SET idle_session_timeout = 0")
            yield connection


def lift_time_limits(connection: Connection, *, for_session: bool = False) -> None:
    """Lift the limits that were set for the application's requests, for the transaction that is open.

    `for_session` is for what cannot run in a transaction, and for databases that no pooler stands before: behind one,
    the session becomes somebody else's.
    """
    connection.execute(
        """
        SELECT set_config(name, '0', %s) FROM pg_settings
        WHERE name IN ('statement_timeout', 'idle_in_transaction_session_timeout', 'transaction_timeout')
        """,
        (not for_session,),
    )


@contextmanager
def translated(address: Address) -> Iterator[None]:
    """Word psycopg's errors for people."""
    try:
        yield
    except psycopg.OperationalError as error:
        raise _connection_failed(address, error) from error
    except pg_errors.InsufficientPrivilege as error:
        raise FlagsnapError(
            f"the role may not do this: {_first_line(error)}",
            "use the role that owns the application's tables, or a member of it",
        ) from error
    except psycopg.Error as error:
        text = _first_line(error)
        missing_role = isinstance(error, pg_errors.UndefinedObject) and text.startswith("role ")
        hint = "create the role that it names, and run the same command again" if missing_role else ""
        raise FlagsnapError(f"PostgreSQL refused: {text}", hint) from error


def _connection_failed(address: Address, error: psycopg.OperationalError) -> FlagsnapError:
    text = _first_line(error)
    hint = "check --database-url (FLAGSNAP_DATABASE_URL, then DATABASE_URL), and that the server runs"
    if "password" in text or "authentication" in text:
        hint = "check the user and the password in the database URL"
    elif isinstance(error, pg_errors.LockNotAvailable):
        return FlagsnapError(
            f"a lock could not be had in time: {text}", "end the sessions that hold it, and run it again"
        )
    elif isinstance(error, pg_errors.AdminShutdown):
        hint = "somebody ended flagsnap's session; run the same command again"
    elif isinstance(error, pg_errors.DiskFull):
        return FlagsnapError(
            f"the server's disk is full: {text}", "free space on the database server, and run it again"
        )
    return ConnectionFailed(f"no connection to {address}: {text}", hint)


def _first_line(error: psycopg.Error) -> str:
    """The server's or libpq's sentence, without the addresses that libpq tried before it."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    line = next((line for line in lines if "FATAL" in line or "failed" in line), lines[0] if lines else "")
    for start in ("FATAL:", "failed:"):
        line = line.split(start)[-1]
    return line.strip()[:300] or type(error).__name__


def _connect_seconds(address: Address) -> int:
    """The limit on connecting: the address's own, else ours."""
    return int(conninfo_to_dict(address.conninfo).get("connect_timeout") or CONNECT_SECONDS)
