"""A standby: a drilled database that was kept, so that the next rollback to its snapshot need not restore.

It is a database of the live server whose name tells what is in it, `<live>_flagsnap_standby_<time of capture>`, and
nobody is let in: ALLOW_CONNECTIONS is false until a rollback compares it once more and swaps it in. Whatever moment a
run is killed at, the name holds, and the next run compares again.
"""

from contextlib import suppress

from flagsnap.errors import FlagsnapError, Locked
from flagsnap.postgres import databases
from flagsnap.postgres.connection import Address, Connection, connect, translated
from flagsnap.postgres.facts import read_current_state, read_system_identifier
from flagsnap.postgres.locks import is_held, key_of
from flagsnap.postgres.written import rows_written
from flagsnap.progress import Progress
from flagsnap.restoring.identity import refuse_other
from flagsnap.restoring.restore import Source, compare, drop_or_note
from flagsnap.snapshot import Manifest


def standby_of(manifest: Manifest, database: str) -> str:
    """The name that the standby of a snapshot has, if there is one."""
    return databases.name_for(database, "standby", manifest.captured_at)


def keep(manifest: Manifest, live: Address, worker: Connection, drilled: str, progress: Progress) -> str:
    """Make a drilled database the standby, in the place of all others; gives back its name.

    UsageError if the snapshot is of another database; Locked if a rollback is at work, which may be about to swap in
    one of those.
    """
    refuse_other(manifest, live, live.database, read_system_identifier(worker))
    if is_held(worker, key_of(live.database)):
        raise Locked(f"another flagsnap works on {live.database}, so the drilled database was not kept", "drill again")
    name = standby_of(manifest, live.database)
    databases.allow_connections(worker, drilled, allowed=False)
    databases.drop(worker, name)
    databases.swap(live, worker, [(drilled, name)])
    for other in databases.list_of(worker, live.database, "standby"):
        if other != name:
            drop_or_note(worker, live, other, "an older standby", progress)
    return name


def ready(source: Source, live: Address, worker: Connection, progress: Progress) -> str | None:
    """The snapshot's standby, with connections allowed, if there is one and it equals what was recorded.

    One that does not, or that cannot be looked at, is left alone, with a warning.
    """
    name = standby_of(source.manifest, live.database)
    if not databases.exists(worker, name):
        return None
    try:
        with progress.task("compare the standby"), translated(live):
            databases.allow_connections(worker, name, allowed=True)
            found = _differences(source, live.to(name))
    except FlagsnapError as error:
        found = (str(error),)
    if not found:
        return name
    progress.warn(f"the standby {name} is not used: {found[0]}; the snapshot is restored instead")
    with suppress(FlagsnapError), translated(live):
        databases.allow_connections(worker, name, allowed=False)
    return None


def _differences(source: Source, standby: Address) -> tuple[str, ...]:
    """The drill has compared all rows; here it is asked whether anything was written since."""
    with connect(standby, "compare") as connection:
        state = read_current_state(connection)
        return (
            *compare(source.recorded, state, restored=True),
            *rows_written(connection, source.recorded.tables),
        )
