"""The price of a restore: what was written since the capture."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from flagsnap.loss.values import Loss

_RESET = "the counters were reset since the capture: only the number of rows was compared"


class Writes(NamedTuple):
    """A table's rows, None if they could not be counted, and how many rows were written to it so far."""

    rows: int | None
    inserted: int = 0
    updated: int = 0
    deleted: int = 0


@dataclass(frozen=True)
class Written:
    """A table at the capture, None if it was not there, and now; `estimated` if its rows now are."""

    table: str
    recorded: Writes | None
    live: Writes
    estimated: bool = False


def written_since(tables: Sequence[Written], *, reset: bool = False) -> Iterator[Loss]:
    """What a restore takes away: the rows written since the capture.

    PostgreSQL's counters tell how many. Where they were `reset`, or are lower than recorded, for a crash resets them
    and a table that was made anew has others, only the number of rows can be compared; and equal numbers prove nothing.
    """
    for table in tables:
        loss = _new(table) if table.recorded is None else _changed(table, table.recorded, reset=reset)
        if loss.rows != 0:
            yield loss


def _new(table: Written) -> Loss:
    return _loss(table, table.live.rows, "not there at the capture", estimated=table.estimated)


def _changed(table: Written, recorded: Writes, *, reset: bool) -> Loss:
    then, live = recorded, table.live
    more = None if live.rows is None or then.rows is None else live.rows - then.rows
    if reset or live.inserted < then.inserted or live.updated < then.updated or live.deleted < then.deleted:
        return _loss(table, abs(more) if more else None, _RESET, estimated=table.estimated)
    inserted, updated, deleted = (now - before for now, before in zip(live[1:], then[1:], strict=True))
    # TRUNCATE counts nothing: more rows are gone than were deleted.
    truncated = 0 if more is None or table.estimated else max(0, -more - deleted)
    amounts = {"inserted": inserted, "updated": updated, "deleted": deleted, "truncated": truncated}
    detail = ", ".join(f"{amount:,} {what}" for what, amount in amounts.items() if amount)
    return _loss(table, sum(amounts.values()), detail)


def _loss(table: Written, rows: int | None, detail: str, *, estimated: bool = False) -> Loss:
    return Loss("restore", "written_since", table.table, rows, "lost", estimated and rows is not None, detail)
