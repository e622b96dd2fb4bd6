"""A fresh database for each test, dropped afterwards with every other whose name begins with its name."""

import secrets
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import psycopg
import pytest
from psycopg import sql

from tests.fix_servers import PostgresServer


@dataclass
class Database:
    """A database on a test server; its scratch and retired databases are `name` with something behind it."""

    server: PostgresServer
    name: str
    _connections: list[psycopg.Connection] = field(default_factory=list, repr=False)

    @property
    def url(self) -> str:
        """How the superuser connects to it."""
        return self.server.url(self.name)

    def connect(self, name: str | None = None, **kwargs: Any) -> psycopg.Connection:
        """Connect with autocommit, to this or another database; closed at the end of the test."""
        connection = psycopg.connect(self.server.url(name or self.name), autocommit=True, **kwargs)
        self._connections.append(connection)
        return connection

    def execute(self, statement: str) -> None:
        """Run one statement, or several without parameters, in a connection of its own."""
        with psycopg.connect(self.url, autocommit=True) as connection:
            connection.execute(statement.encode())

    def rows(self, query: str, name: str | None = None) -> list[tuple[Any, ...]]:
        """What a query gives, in a connection of its own."""
        with psycopg.connect(self.server.url(name or self.name), autocommit=True) as connection:
            return connection.execute(query.encode()).fetchall()

    def relatives(self) -> list[str]:
        """The names of all databases that begin with this one's name, in order; without it if it is gone."""
        query = f"SELECT datname FROM pg_database WHERE starts_with(datname, '{self.name}') ORDER BY 1"
        return [name for (name,) in self.rows(query, name="postgres")]

    def create(self) -> None:
        """Create it, empty."""
        self._administer(sql.SQL("CREATE DATABASE {} TEMPLATE template0").format(sql.Identifier(self.name)))

    def drop(self, name: str | None = None) -> None:
        """Drop it or one of its relatives, and end the sessions there."""
        statement = sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name or self.name))
        self._administer(statement)

    def rename(self, name: str, now: str | None = None) -> None:
        """Give it another name, `now` if it has been renamed before; it must have its own at the end of the test."""
        old, new = sql.Identifier(now or self.name), sql.Identifier(name)
        self._administer(sql.SQL("ALTER DATABASE {} RENAME TO {}").format(old, new))

    def role(self, suffix: str, options: str = "LOGIN NOSUPERUSER NOCREATEDB") -> str:
        """Create a role of the test's own, password `secret`; gives its name, see `server.url`."""
        name = f"{self.name}_{suffix}"
        statement = sql.SQL("CREATE ROLE {} PASSWORD 'secret' ").format(sql.Identifier(name))
        self._administer(statement + sql.SQL(options))
        return name

    def close(self) -> None:
        """Close what `connect` opened, and drop every relative and every role."""
        for connection in self._connections:
            connection.close()
        for name in self.relatives():
            self.drop(name)
        roles = f"SELECT rolname FROM pg_roles WHERE starts_with(rolname, '{self.name}')"
        for (role,) in self.rows(roles, name="postgres"):
            self._administer(sql.SQL("DROP ROLE {}").format(sql.Identifier(role)))

    def _administer(self, statement: sql.Composed) -> None:
        with psycopg.connect(self.server.url(), autocommit=True) as connection:
            connection.execute(statement)


@pytest.fixture
def database(server: PostgresServer) -> Iterator[Database]:
    """A fresh database on `server`."""
    made = Database(server, f"test_{secrets.token_hex(6)}")
    made.create()
    try:
        yield made
    finally:
        made.close()
