"""What is said of the store's snapshots and of the project."""

from collections.abc import Collection, Sequence
from datetime import datetime

from flagsnap.diagnosis.values import Finding
from flagsnap.durations import in_words
from flagsnap.migrations import Graph, Migration
from flagsnap.snapshot import Manifest

_SHOWN = 4
_SAME = "--manage and --database-url must lead to the same database"


def snapshots(count: int, damaged: Sequence[tuple[str, str]]) -> Finding:
    """Whether the manifests can be read; `damaged` has deploy ids and reasons."""
    if not damaged:
        return Finding("snapshots", "ok", f"{count:,} can be read")
    mend = "`flagsnap verify ID` tells more; take what is damaged out of the store"
    return Finding("snapshots", "failed", f"{len(damaged)} cannot be read: {damaged[0][1]}", mend)


def newest_snapshot(manifest: Manifest | None, database: str, identifier: str | None, now: datetime) -> Finding:
    """Whether there is a capture of this database, known by its name and its server's identifier."""
    if manifest is None:
        return Finding("newest snapshot", "failed", "nothing was captured yet", "flagsnap capture --deploy-id ID")
    if other := other_database(manifest, database, identifier):
        mend = "one store is for one database: check --store; if the database has moved, capture it"
        return Finding("newest snapshot", "failed", f"{manifest.deploy_id} is of {other}", mend)
    age = in_words(now - manifest.captured_at)
    return Finding("newest snapshot", "ok", f"{manifest.deploy_id}, captured {age} ago")


def other_database(manifest: Manifest, database: str | None, identifier: str | None) -> str:
    """Which other database a snapshot is of, in words; empty if of this one, as far as names and servers are known."""
    recorded = manifest.database
    if database is not None and recorded.name != database:
        return f"the database {recorded.name}"
    both_known = None not in (identifier, recorded.system_identifier)
    same_server = not both_known or identifier == recorded.system_identifier
    return "" if same_server else f"the database {recorded.name} of another server"


def no_project() -> Finding:
    """None was named."""
    mend = "set FLAGSNAP_MANAGE to how manage.py is run; or `flagsnap rehearse` each deploy, which makes a replay"
    return Finding("project", "advice", "no project was named", mend)


def project_database(theirs: tuple[str, str | None], ours: tuple[str, str | None]) -> Finding:
    """Both are a database's name and its server's identifier, None where that is not known."""
    (database, identifier), (name, own) = theirs, ours
    if database != name:
        found = f"the project is connected to {database}, flagsnap to {name}"
        return Finding("project database", "failed", found, _SAME)
    if None not in (identifier, own) and identifier != own:
        found = f"the project is connected to {database} of another server than flagsnap"
        return Finding("project database", "failed", found, _SAME)
    by_name = ", by its name; the server's identifier is not known to both" if None in (identifier, own) else ""
    return Finding("project database", "ok", f"the same: {name}{by_name}")


def project_code(graph: Graph, applied: Collection[Migration], recorded: Collection[Migration] | None) -> Finding:
    """Whether the project's graph has every applied migration.

    Those that the newest snapshot has `recorded` too are of code that was removed before it, and stay where they are;
    None if there is no snapshot.
    """
    unknown = sorted(each for each in applied if not graph.knows(each))
    new = [each for each in unknown if each not in (recorded or ())]
    if new:
        mend = "have --manage run the code that was deployed last; older code cannot unapply it"
        return Finding("project code", "failed", f"it does not know {_some(new)}", mend)
    if unknown:
        found = f"it does not know {_some(unknown)}, which the newest snapshot has too"
        mend = "nothing, if that app was removed on purpose; going back further than that snapshot takes a restore"
        return Finding("project code", "advice", found, mend)
    return Finding("project code", "ok", f"it knows all {len(applied):,} applied migrations")


def _some(migrations: Sequence[Migration]) -> str:
    more = len(migrations) - _SHOWN
    return ", ".join(map(str, migrations[:_SHOWN])) + (f" and {more:,} more" if more > 0 else "")
