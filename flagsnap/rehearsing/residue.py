"""Residue: the rows of a table that are not the recorded ones, counted against the rows in the dump."""

from collections.abc import Callable, Sequence
from typing import NamedTuple

from flagsnap.loss.values import TableKey
from flagsnap.postgres.comparing import RowDifferences, columns_of_both, compare_rows
from flagsnap.postgres.connection import Address, Connection, connect
from flagsnap.postgres.digests import fix_text
from flagsnap.postgres.facts import count_rows
from flagsnap.postgres.refill import quiet
from flagsnap.progress import Progress
from flagsnap.refilling.recorded_rows import RecordedRows, recorded_rows
from flagsnap.restoring.restore import Source

_RECORDED = "flagsnap_recorded_rows"
_LOCK_SECONDS = 60.0  # nobody else should be there


class TableResidue(NamedTuple):
    """How many rows of a table are there and were not recorded, the other way round, and with other values.

    Without a primary key a row with other values counts as one of each of the first two.
    """

    table: TableKey
    added: int
    removed: int
    changed: int


def find_residue(
    source: Source, tables: Sequence[TableKey], address: Address, progress: Progress
) -> tuple[TableResidue, ...]:
    """Count for each of these tables, which may be gone or new; only their files are fetched.

    Rows are compared by the columns that were recorded and are there. The database is left as it is.
    """
    with (
        connect(address, "rehearse") as connection,
        recorded_rows(source, tables, connection, progress) as recorded,
        progress.task("compare rows", sum(map(recorded.bytes_of, tables)), "bytes") as task,
    ):
        return tuple(TableResidue(table, *_differences(connection, recorded, table, task.advance)) for table in tables)


def _differences(
    connection: Connection, recorded: RecordedRows, table: TableKey, on_bytes: Callable[[int], None]
) -> RowDifferences:
    before = recorded.recorded.rows_of(*table) or 0
    with connection.transaction():
        quiet.begin(connection, _LOCK_SECONDS)
        columns = columns_of_both(connection, table, recorded.columns(table))
        if columns is None:
            return RowDifferences(0, before, 0)
        if not columns or not before:  # there is nothing to tell rows apart by, or nothing to compare them with
            now = count_rows(connection, *table)
            return RowDifferences(max(0, now - before), max(0, before - now), 0)
        # The rows are read as the dump writes them, money in the database's own way, and only then made into one text.
        recorded.load(connection, table, _RECORDED, on_bytes)
        fix_text(connection)
        return compare_rows(connection, table, _RECORDED, columns)
