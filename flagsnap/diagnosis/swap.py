"""What is said of what hangs on the live database, and does not follow when another one takes its place."""

from collections.abc import Sequence
from dataclasses import dataclass

from flagsnap.diagnosis.values import Finding

_PREFER = "prefer --strategy unapply on the night"


@dataclass(frozen=True)
class Extension:
    """An extension of the live database; `available` is the version that CREATE EXTENSION gives, None if it is gone."""

    name: str
    version: str
    available: str | None
    creatable: bool


def extensions(found: Sequence[Extension], role: str, serves_as: str) -> Finding:
    """Whether the role could create them; a managed service's administrators may more than PostgreSQL tells."""
    gone = [each.name for each in found if each.available is None]
    if gone:
        mend = "install it on the server again, or DROP EXTENSION where nothing uses it"
        return Finding("extensions", "failed", f"the server has no files of {', '.join(gone)} any more", mend)
    forbidden = [each.name for each in found if not each.creatable]
    if forbidden:
        said = f"the role {role} may not create {', '.join(forbidden)}"
        mend = "use a superuser for restores, or --in-place, which leaves extensions where they are"
        if not serves_as:
            return Finding("extensions", "failed", said, mend)
        said += f", as far as PostgreSQL tells; {serves_as} may be allowed to"
        return Finding("extensions", "advice", said, "`flagsnap verify --level drill` tries it")
    if other := [
        f"{each.name} {each.available} for {each.version}" for each in found if each.available != each.version
    ]:
        mend = "ALTER EXTENSION … UPDATE in the live database, at a quiet time"
        return Finding("extensions", "advice", f"a restored database would have {', '.join(other)}", mend)
    names = ", ".join(each.name for each in found)
    return Finding("extensions", "ok", f"the role may create {names}" if names else "there are none")


def replication_slots(names: Sequence[str]) -> Finding:
    """Logical slots belong to one database, by its oid (pg_replication_slots)."""
    if not names:
        return Finding("replication slots", "ok", "no logical slot is of this database")
    mend = f"{_PREFER}; after a restore create the slot anew, and have its reader start from a fresh copy"
    return Finding("replication slots", "advice", f"a restore would leave behind {', '.join(names)}", mend)


def subscriptions(names: Sequence[str]) -> Finding:
    """A restored subscription is neither enabled nor connected (pg_dump, "Notes")."""
    if not names:
        return Finding("subscriptions", "ok", "the database subscribes to nothing")
    mend = f"{_PREFER}; after a restore disable it in the retired database, and create it anew"
    return Finding("subscriptions", "advice", f"a restore would leave behind {', '.join(names)}", mend)


def publications(names: Sequence[str], is_superuser: bool) -> Finding:
    """A superuser restores them; their slots are another line."""
    if not names or is_superuser:
        said = f"the role may restore {', '.join(names)}" if names else "the database publishes nothing"
        return Finding("publications", "ok", said)
    mend = f"{_PREFER}; after a restore have a superuser create it anew"
    return Finding("publications", "advice", f"a restore would leave out {', '.join(names)}", mend)


def event_triggers(names: Sequence[str], is_superuser: bool) -> Finding:
    """A superuser restores them."""
    if not names or is_superuser:
        said = f"the role may restore {', '.join(names)}" if names else "there are none"
        return Finding("event triggers", "ok", said)
    found = f"a restore would leave out {', '.join(names)}, and not be proven"
    return Finding("event triggers", "failed", found, "use a superuser for restores, or have the trigger dropped")


def prepared_transactions(names: Sequence[str]) -> Finding:
    """None may be there at the swap."""
    if not names:
        return Finding("prepared transactions", "ok", "there are none")
    found = f"prepared and not ended: {', '.join(names)}"
    mend = "end it: COMMIT PREPARED or ROLLBACK PREPARED"
    return Finding("prepared transactions", "failed", found, mend)


def background_workers(names: Sequence[str]) -> Finding:
    """Those that are known to be bound to the database, such as pg_cron by `cron.database_name`."""
    if not names:
        return Finding("background workers", "ok", "none is known to be bound to the database")
    mend = "after a restore see that it works again; pg_cron takes up its jobs when the server reloads or restarts"
    return Finding("background workers", "advice", f"bound to the database: {', '.join(names)}", mend)
