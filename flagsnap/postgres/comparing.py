"""Rows of a table against the recorded ones, which are in a temporary table: how many are new, gone, and others."""

from typing import NamedTuple

from psycopg import sql

from flagsnap.loss.values import TableKey
from flagsnap.postgres.connection import Connection
from flagsnap.postgres.digests import read_stored_columns, row_hash, row_text
from flagsnap.postgres.refill.copying import SCHEMA


class RowDifferences(NamedTuple):
    """How many rows there are that were not recorded, were recorded and are not there, and have other values."""

    added: int
    removed: int
    changed: int


_BY_KEY = """
    WITH recorded AS (SELECT {key} AS key, {hash} AS hash FROM {recorded}),
         present AS (SELECT {key} AS key, {hash} AS hash FROM ONLY {present})
    SELECT count(*) FILTER (WHERE recorded.key IS NULL), count(*) FILTER (WHERE present.key IS NULL),
        count(*) FILTER (WHERE recorded.hash <> present.hash)
    FROM recorded FULL JOIN present USING (key)
"""
_WITHOUT_KEY = """
    WITH recorded AS (SELECT {hash} AS hash, count(*) AS number FROM {recorded} GROUP BY 1),
         present AS (SELECT {hash} AS hash, count(*) AS number FROM ONLY {present} GROUP BY 1)
    SELECT coalesce(sum(greatest(coalesce(present.number, 0) - coalesce(recorded.number, 0), 0)), 0)::bigint,
        coalesce(sum(greatest(coalesce(recorded.number, 0) - coalesce(present.number, 0), 0)), 0)::bigint, 0::bigint
    FROM recorded FULL JOIN present USING (hash)
"""


def compare_rows(connection: Connection, table: TableKey, recorded: str, columns: tuple[str, ...]) -> RowDifferences:
    """Compare a table's own rows with those of the temporary table `recorded`, by `columns`, which both have.

    In the transaction that is open, after `digests.fix_text`. Rows find each other by the text of their primary key;
    without one, a row with other values is one gone and one new.
    """
    key = primary_key(connection, table)
    by_key = key and set(key) <= set(columns)
    statement = sql.SQL(_BY_KEY if by_key else _WITHOUT_KEY).format(
        key=row_text(key),
        hash=row_hash(columns),
        recorded=sql.Identifier(SCHEMA, recorded),
        present=sql.Identifier(*table),
    )
    row = connection.execute(statement).fetchone()
    return RowDifferences(*(row or (0, 0, 0)))


def primary_key(connection: Connection, table: TableKey) -> tuple[str, ...]:
    """The columns of a table's primary key, none if it has none."""
    rows = connection.execute(
        """
        SELECT a.attname FROM pg_constraint k JOIN pg_class c ON c.oid = k.conrelid
        JOIN pg_namespace n ON n.oid = c.relnamespace
        JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum = ANY (k.conkey)
        WHERE k.contype = 'p' AND n.nspname = %s AND c.relname = %s ORDER BY array_position(k.conkey, a.attnum)
        """,
        table,
    ).fetchall()
    return tuple(name for (name,) in rows)


def columns_of_both(connection: Connection, table: TableKey, recorded: tuple[str, ...]) -> tuple[str, ...] | None:
    """Those of the recorded columns that the table has, by name; None if there is no such table."""
    if connection.execute("SELECT to_regclass(%s)", (sql.Identifier(*table).as_string(),)).fetchone() == (None,):
        return None
    return tuple(name for name in read_stored_columns(connection, table) if name in recorded)
