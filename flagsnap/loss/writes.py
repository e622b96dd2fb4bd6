"""The price of a restore: what was written since the capture."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from flagsnap.loss.values import Loss


@dataclass(frozen=True)
class Written:
    """A table's rows and write counters at the capture, and now; None where it was or is not there."""

    table: str
    recorded: tuple[int, int] | None
    live: tuple[int, int] | None
    """(rows, rows inserted, updated and deleted so far)"""


def written_since(tables: Sequence[Written]) -> Iterator[Loss]:
    """What a restore takes away: the rows written since the capture.

    PostgreSQL's counters tell how many; where they were reset, or the table is not the recorded one, only the number of
    rows can be compared, and equal numbers prove nothing.
    """
    for table in tables:
        if table.live is None:
            continue
        rows, writes = table.live
        recorded_rows, recorded_writes = table.recorded or (0, 0)
        changed: int | None = writes - recorded_writes
        if table.recorded is None:
            changed = rows
        elif writes < recorded_writes:
            changed = abs(rows - recorded_rows) or None
        if changed != 0:
            yield Loss("restore", "written_since", table.table, changed, "lost")
