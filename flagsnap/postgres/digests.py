"""Digests of tables' rows: equal for the same rows in any order, and with columns in any order.

A row is its values as text, in the order of their columns' names; a table's digest is the number of its rows and the
sum of their 64-bit hashes, which the server makes in one pass: hashtextextended, by which it also finds the partitions
of text keys (src/backend/access/hash/hashfunc.c). A changed row goes unseen once in 2^64, and one that is there twice
counts twice.

Columns that PostgreSQL computes are left out: they follow from the others, the dump does not have them, and those that
are computed when they are read (since PostgreSQL 18) may fail then.
"""

import time
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import psycopg
from psycopg import errors as pg_errors
from psycopg import sql

from flagsnap.loss.values import TableKey
from flagsnap.postgres.connection import Connection, lift_time_limits
from flagsnap.postgres.facts import read_row_tables

# What the text of a value depends on, beside the value; the first five are those of pg_dump (setup_connection).
_SETTINGS: Mapping[str, str] = {
    "DateStyle": "ISO",
    "IntervalStyle": "postgres",
    "extra_float_digits": "1",
    "row_security": "off",
    "search_path": "pg_catalog",
    "TimeZone": "UTC",
    "bytea_output": "hex",
    "lc_monetary": "C",
    "quote_all_identifiers": "off",
    "jit": "off",
}


class Digest(NamedTuple):
    """The number of rows, and the sum of their hashes."""

    rows: int
    sum: str


def digest_tables(connection: Connection, tables: Sequence[TableKey], seconds: float) -> dict[TableKey, Digest]:
    """The digests of tables' own rows, all as of one moment; the smallest tables first.

    Those for which there was no time, that are not there, or whose rows have no text (of more than 1 GB) are not in the
    result. Whoever gives no time gets none.
    """
    deadline = time.monotonic() + seconds
    found: dict[TableKey, Digest] = {}
    with connection.transaction():
        connection.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY")
        lift_time_limits(connection)
        fix_text(connection)
        sizes = read_row_tables(connection)
        for table in sorted(tables, key=lambda each: (sizes.get(each, 0), each)):
            left = deadline - time.monotonic()
            if left > 0 and (digest := _digest(connection, table, left)):
                found[table] = digest
    return found


def fix_text(connection: Connection) -> None:
    """Have values written as text in one way, whatever the role or the database is set to, in the open transaction."""
    for name, value in _SETTINGS.items():
        connection.execute("SELECT pg_catalog.set_config(%s, %s, true)", (name, value))


def read_stored_columns(connection: Connection, table: TableKey) -> tuple[str, ...]:
    """The columns whose values are stored as they were given, by name; none if there is no such table."""
    rows = connection.execute(
        """
        SELECT a.attname FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid
        JOIN pg_namespace n ON n.oid = c.relnamespace
        WHERE n.nspname = %s AND c.relname = %s AND a.attnum > 0 AND NOT a.attisdropped AND a.attgenerated = ''
        """,
        table,
    ).fetchall()
    return tuple(sorted(name for (name,) in rows))


def row_text(columns: Sequence[str]) -> sql.Composed:
    """SQL, the values of a row as one text: json and point have no equality, and a text. NULL and '' are not alike."""
    values = sql.SQL(", ").join(map(sql.Identifier, columns))
    return sql.SQL('CAST(ROW({}) AS text) COLLATE "C"').format(values)


def row_hash(columns: Sequence[str]) -> sql.Composed:
    """SQL, the hash of that text."""
    return sql.SQL("hashtextextended({}, 0)").format(row_text(columns))


def _digest(connection: Connection, table: TableKey, seconds: float) -> Digest | None:
    """None if it cannot be had; the transaction lives on."""
    try:
        with connection.transaction():
            limit = f"{max(1, int(seconds * 1000))}ms"
            connection.execute("SELECT set_config('statement_timeout', %s, true)", (limit,))
            statement = sql.SQL("SELECT count(*), coalesce(sum(CAST({} AS numeric)), 0)::text FROM ONLY {}").format(
                row_hash(read_stored_columns(connection, table)), sql.Identifier(*table)
            )
            row = connection.execute(statement).fetchone()
    except (pg_errors.QueryCanceled, pg_errors.ProgramLimitExceeded, pg_errors.OutOfMemory):
        return None
    except psycopg.OperationalError:
        raise
    except psycopg.Error:
        return None
    return Digest(*row) if row else None
