"""After a restore: planner statistics, and the row counts that prove it, several tables at once."""

from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor

from psycopg import sql

from flagsnap.postgres.connection import Address, connect, lift_time_limits
from flagsnap.postgres.facts import OWN_SCHEMAS, count_rows, read_row_tables
from flagsnap.progress import Progress
from flagsnap.snapshot import TableRows

TableKey = tuple[str, str]


def analyze_and_count(address: Address, workers: int, progress: Progress) -> Mapping[TableKey, int]:
    """ANALYZE everything and count the rows of each table; the largest tables first, each worker on its connection."""
    with connect(address, "analyze") as connection:
        sizes = read_row_tables(connection)
        others = _without_rows(address)
    waiting = iter(sizes)
    counts: dict[TableKey, int] = {}
    with progress.task("analyse", sum(sizes.values()), "bytes") as task, ThreadPoolExecutor(workers) as pool:

        def work(_: int) -> None:
            with connect(address, "analyze") as connection:
                lift_time_limits(connection, for_session=True)
                connection.execute("SET jit = off")
                for key in _shared(waiting):
                    connection.execute(sql.SQL("ANALYZE {}").format(sql.Identifier(*key)))
                    counts[key] = count_rows(connection, *key)
                    task.advance(sizes[key])

        try:
            list(pool.map(work, range(workers)))
        except BaseException:
            deque(waiting, maxlen=0)  # the others end with the table that they are at
            raise
    with connect(address, "analyze") as connection:
        lift_time_limits(connection, for_session=True)
        for key in others:
            connection.execute(sql.SQL("ANALYZE {}").format(sql.Identifier(*key)))
    return counts


def row_differences(recorded: Sequence[TableRows], counts: Mapping[TableKey, int]) -> Iterator[str]:
    """Where the row counts are not the recorded ones, in words."""
    for table in recorded:
        rows = counts.get((table.schema_name, table.table))
        if rows != table.rows:
            found = "no such table" if rows is None else f"{rows:,} rows"
            yield f"table {table.schema_name}.{table.table}: {table.rows:,} rows were recorded, there are {found}"


def _shared(waiting: Iterator[TableKey]) -> Iterator[TableKey]:
    """What is left; next() on an iterator over a dict is one step under the interpreter's lock."""
    while (key := next(waiting, None)) is not None:
        yield key


def _without_rows(address: Address) -> list[TableKey]:
    """Partitioned tables and materialized views have statistics too."""
    with connect(address, "analyze") as connection:
        return connection.execute(
            """
            SELECT n.nspname, c.relname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
            WHERE c.relkind = 'p' OR c.relkind = 'm' AND c.relispopulated
              AND n.nspname !~ '^pg_' AND n.nspname NOT LIKE %s
            """,
            (OWN_SCHEMAS,),
        ).fetchall()
