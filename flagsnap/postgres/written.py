"""Whether anything was written to a restored database since, told by PostgreSQL's own counters."""

from collections.abc import Iterator, Sequence

from flagsnap.postgres.connection import Connection
from flagsnap.postgres.facts import count_rows, read_write_counters
from flagsnap.snapshot import TableRows


def rows_written(connection: Connection, recorded: Sequence[TableRows]) -> Iterator[str]:
    """The tables of a restored database whose rows are not as the restore has left them, in words.

    A restore inserts each row once and does nothing else (pg_stat_user_tables counts it). Where the counters know of
    fewer rows, since a crash has taken them away, the rows are counted instead.
    """
    counters = read_write_counters(connection)
    for table in recorded:
        key = (table.schema_name, table.table)
        inserted, updated, deleted = counters.get(key, (0, 0, 0))
        if updated or deleted or inserted > table.rows:
            yield f"table {'.'.join(key)} was written to"
        elif inserted < table.rows and (rows := count_rows(connection, *key)) != table.rows:
            yield f"table {'.'.join(key)}: {table.rows:,} rows were recorded, there are {rows:,}"
