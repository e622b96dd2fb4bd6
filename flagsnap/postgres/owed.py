"""The refill that a rollback still owes, written into the live database itself: a table that is there only meanwhile.

It lies in the schema of `django_migrations`, where the project's role may create tables. The catalog, the dumps and the
counts of rows leave it out; a restore in place moves it aside with all that was live.
"""

import json
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from psycopg import sql

from flagsnap.loss.values import RefillItem
from flagsnap.postgres.connection import Connection
from flagsnap.postgres.introspect.scope import OWED_TABLE


def remember(connection: Connection, deploy_id: str, items: Sequence[RefillItem]) -> None:
    """Write down what is owed from the snapshot `deploy_id`, in the place of what was; nothing to do without items."""
    if not items:
        return
    table = _table(connection)
    with connection.transaction():
        connection.execute(
            sql.SQL("CREATE TABLE IF NOT EXISTS {} (deploy_id text PRIMARY KEY, items text NOT NULL)").format(table)
        )
        connection.execute(
            sql.SQL(
                "INSERT INTO {} VALUES (%s, %s) ON CONFLICT (deploy_id) DO UPDATE SET items = EXCLUDED.items"
            ).format(table),
            (deploy_id, json.dumps([asdict(item) for item in items])),
        )


def read_owed(connection: Connection) -> dict[str, tuple[RefillItem, ...]]:
    """What is owed, by the snapshot that has it."""
    if not _is_there(connection):
        return {}
    rows = connection.execute(sql.SQL("SELECT deploy_id, items FROM {}").format(_table(connection))).fetchall()
    return {deploy_id: tuple(_item(item) for item in json.loads(items)) for deploy_id, items in rows}


def settle(connection: Connection, deploy_id: str) -> None:
    """Forget what was owed from that snapshot; the table goes with the last."""
    if not _is_there(connection):
        return
    table = _table(connection)
    with connection.transaction():
        connection.execute(sql.SQL("DELETE FROM {} WHERE deploy_id = %s").format(table), (deploy_id,))
        if connection.execute(sql.SQL("SELECT FROM {} LIMIT 1").format(table)).fetchone() is None:
            connection.execute(sql.SQL("DROP TABLE {}").format(table))


def _table(connection: Connection) -> sql.Identifier:
    row = connection.execute(
        "SELECT coalesce((SELECT nspname FROM pg_class c JOIN pg_namespace n ON n.oid = relnamespace"
        " WHERE c.oid = to_regclass('django_migrations')), current_schema())"
    ).fetchone()
    return sql.Identifier(str(row[0]) if row else "public", OWED_TABLE)


def _is_there(connection: Connection) -> bool:
    row = connection.execute("SELECT to_regclass(%s)", (_table(connection).as_string(),)).fetchone()
    return bool(row and row[0])


def _item(content: dict[str, Any]) -> RefillItem:
    return RefillItem(**{**content, "columns": tuple(content["columns"]), "key": tuple(content["key"])})
