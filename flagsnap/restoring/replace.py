"""Replace the live database by what a snapshot recorded: a standby if one is ready, else a scratch database."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime

from flagsnap.postgres import databases
from flagsnap.postgres.connection import Address, Connection
from flagsnap.progress import Progress
from flagsnap.restoring.restore import Source, scratch_database
from flagsnap.restoring.standby import ready


@dataclass(frozen=True)
class Replaced:
    """What became of the live database.

    Attributes:
        retired: the name under which it is kept, None if there was none.
        standby: the name of the standby that took its place, None if the snapshot was restored.
    """

    retired: str | None = None
    standby: str | None = None


def replace_live(
    source: Source, live: Address, worker: Connection, progress: Progress, before_swap: Callable[[], None]
) -> Replaced:
    """Put the recorded state in the place of the live database; the caller holds the maintenance database's lock.

    `before_swap` may still refuse.
    """
    databases.refuse_prepared(worker, [live.database])
    if standby := ready(source, live, worker, progress):
        before_swap()
        return Replaced(_swap_in(standby, live, worker, progress), standby)
    with scratch_database(source, live, worker, progress) as scratch:
        before_swap()
        return Replaced(_swap_in(scratch, live, worker, progress))


def _swap_in(name: str, live: Address, worker: Connection, progress: Progress) -> str | None:
    """Give a database the live one's name; gives back the name that the live one has then, if there was one."""
    retired = None
    renames = [(name, live.database)]
    if databases.exists(worker, live.database):
        retired = databases.name_for(live.database, "retired", datetime.now(UTC))
        renames.insert(0, (live.database, retired))
    with progress.task("swap"):
        databases.swap(live, worker, renames)
    return retired
