"""Which tables were written to between two moments, from what PostgreSQL keeps of each.

For a database that nobody else works in, such as a scratch database: a table whose mark is the same has the same rows.
"""

import time
from collections.abc import Mapping
from typing import NamedTuple

from flagsnap.loss.values import TableKey
from flagsnap.postgres.connection import Connection
from flagsnap.postgres.facts import read_row_tables

_PATIENCE = 5.0


class Mark(NamedTuple):
    """What changes when a table is written to; VACUUM and ANALYZE change none of it.

    Attributes:
        oid: of the table.
        file: its `relfilenode`; TRUNCATE and whatever rewrites a table give it another.
        inserted, updated, deleted: rows so far, those of transactions that were undone among them.
        columns: the numbers of its columns that are there: DROP COLUMN takes values away without a write.
        composites: the same of all composite types, as one digest: ALTER TYPE ... DROP ATTRIBUTE does so too.
        doubt: another number each time if somebody may have written what PostgreSQL has not counted yet, else 0.
    """

    oid: int
    file: int
    inserted: int
    updated: int
    deleted: int
    columns: tuple[int, ...]
    composites: str
    doubt: int = 0


def read_marks(connection: Connection, patience: float = _PATIENCE) -> Mapping[TableKey, Mark]:
    """The marks of all tables that hold rows of their own; outside of a transaction.

    A session's writes are counted when it ends, if not before (PostgreSQL, "The Cumulative Statistics System"), so this
    waits for the others to end. While they stay, no mark is equal to any other.
    """
    doubt = 0 if _is_alone(connection, patience) else time.monotonic_ns()
    connection.execute("SELECT pg_stat_force_next_flush()")  # what this session wrote; done at the statement's end
    connection.execute("SELECT pg_stat_clear_snapshot()")
    tables = read_row_tables(connection)
    rows = connection.execute(
        """
        SELECT n.nspname, c.relname, c.oid::bigint, c.relfilenode::bigint, pg_stat_get_tuples_inserted(c.oid),
            pg_stat_get_tuples_updated(c.oid), pg_stat_get_tuples_deleted(c.oid),
            ARRAY(SELECT a.attnum FROM pg_attribute a
                  WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped ORDER BY 1),
            composites.digest
        FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace, (
            SELECT coalesce(md5(string_agg(a.attrelid || '.' || a.attnum, ',' ORDER BY a.attrelid, a.attnum)), '')
            FROM pg_attribute a JOIN pg_class t ON t.oid = a.attrelid
            WHERE t.relkind = 'c' AND a.attnum > 0 AND NOT a.attisdropped
        ) composites (digest)
        WHERE c.relkind = 'r'
        """
    ).fetchall()
    return {
        (schema, table): Mark(oid, file, inserted, updated, deleted, tuple(columns), composites, doubt)
        for schema, table, oid, file, inserted, updated, deleted, columns, composites in rows
        if (schema, table) in tables
    }


def _is_alone(connection: Connection, patience: float) -> bool:
    """Whether no other client is in this database; one is gone from the list when its writes have been counted.

    The statistics are handed over before the rest of a session is taken down (pgstat_shutdown_hook is called by
    before_shmem_exit, pgstat_beshutdown_hook by on_shmem_exit).
    """
    until = time.monotonic() + patience
    while connection.execute(
        "SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
        " AND backend_type = 'client backend' LIMIT 1"
    ).fetchone():
        if time.monotonic() > until:
            return False
        time.sleep(0.02)
    return True
