"""Which tables and columns are there, by the numbers that they keep when their names change."""

from collections.abc import Mapping

from flagsnap.postgres.connection import Connection


def read_present(connection: Connection) -> Mapping[int, frozenset[int]]:
    """The tables by oid, partitioned ones among them, each with the numbers of its columns (`pg_attribute.attnum`).

    Without those of PostgreSQL itself and temporary ones. A number is never given to a second column of a table.
    """
    rows = connection.execute(
        """
        SELECT c.oid::bigint, ARRAY(SELECT a.attnum FROM pg_attribute a
                                    WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped)
        FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
        WHERE c.relkind IN ('r', 'p') AND n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'
        """
    ).fetchall()
    return {oid: frozenset(columns) for oid, columns in rows}
