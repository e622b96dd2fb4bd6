"""A database on another server than the recorded one, which may not have all that the recorded one was made with."""

import re
from collections.abc import Collection, Iterator

import psycopg
from psycopg import sql

from flagsnap.postgres import databases
from flagsnap.postgres.connection import Connection
from flagsnap.snapshot import DatabaseProperties

_NAME = r'(?:"(?:[^"]|"")+"|[a-z_][a-z0-9_$]*)'
# As pg_dump writes them, each at the beginning of a line; a function's body may look the same, which does no harm.
_NAMING_ROLES = re.compile(r"^(?:ALTER|GRANT|REVOKE|CREATE POLICY)\b.*$", re.MULTILINE)
_ROLES = re.compile(rf"\b(?:TO|FROM|ROLE) ({_NAME}(?:, {_NAME})*)")


def create_elsewhere(connection: Connection, name: str, properties: DatabaseProperties) -> tuple[str, ...]:
    """Create an empty database of the connected role, as like the recorded one as this server can.

    Gives back what is otherwise, in words.
    """
    row = connection.execute(
        "SELECT current_user, EXISTS (SELECT FROM pg_tablespace WHERE spcname = %s)", (properties.tablespace,)
    ).fetchone()
    owner, has_tablespace = row or ("", False)
    tablespace = properties.tablespace if has_tablespace else "pg_default"
    fitted = properties.model_copy(update={"owner": owner, "tablespace": tablespace})
    lacking = () if has_tablespace else (f"the tablespace {properties.tablespace}",)
    try:
        databases.create(connection, name, fitted)
    except psycopg.OperationalError:
        raise
    except psycopg.Error:
        # PostgreSQL has several errors for a locale or a provider that it does not know; C is known everywhere.
        plain = {"locale_provider": "c", "collate": "C", "ctype": "C", "locale": None, "icu_rules": None}
        databases.create(connection, name, fitted.model_copy(update=plain))
        return (*lacking, f"the locale {properties.locale or properties.collate}")
    return lacking


def roles_in(script: str) -> set[str]:
    """The roles that a script of pg_restore names, and perhaps other names; those of PostgreSQL's own left out."""
    return {role for role in _names(script) if not role.startswith("pg_")}


def _names(script: str) -> Iterator[str]:
    for line in _NAMING_ROLES.findall(script):
        for names in _ROLES.findall(line):
            for name in re.findall(_NAME, names):
                yield name[1:-1].replace('""', '"') if name.startswith('"') else name


def create_roles(connection: Connection, roles: Collection[str]) -> None:
    """Create the roles that are not there, without any rights."""
    there = {name for (name,) in connection.execute("SELECT rolname FROM pg_roles").fetchall()}
    for role in sorted(set(roles) - there):
        connection.execute(sql.SQL("CREATE ROLE {} NOLOGIN").format(sql.Identifier(role)))
