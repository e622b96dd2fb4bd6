"""What is said of what the role may do."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from flagsnap.diagnosis.values import Finding

_SHOWN = 4
_PLAIN = re.compile("[a-z_][a-z0-9_]*")


@dataclass(frozen=True)
class Rights:
    """What a role may do in a database as a whole.

    Attributes:
        owner: who owns the database; `owner_is_superuser` says whether that is nobody to become a member of.
        is_owner: whether the role has what its owner has, so that it may rename it.
        may_give_away: whether it may give a new database that owner.
        may_create_schemas: whether it may create schemas in the database.
        serves_as: the role of a managed service's administrators that it is a member of; empty if of none.
    """

    role: str
    owner: str
    is_superuser: bool
    can_create_databases: bool
    is_owner: bool
    may_give_away: bool
    may_create_schemas: bool
    owner_is_superuser: bool = False
    serves_as: str = ""


@dataclass(frozen=True)
class Owned:
    """Objects of one kind that belong to somebody else."""

    owner: str
    is_superuser: bool
    kind: str
    count: int
    example: str

    def __str__(self) -> str:
        more = f" and {self.count - 1} more" if self.count > 1 else ""
        return f"the {self.kind} {self.example}{more} of {self.owner}"


@dataclass(frozen=True)
class Foreigners:
    """The sessions of the database: how many there are, and in words those that the role may not end."""

    count: int
    staying: str


def in_place_problem(rights: Rights, owned: Sequence[Owned], unmovable: str) -> str:
    """Why the role cannot restore in place, in words; empty if it can."""
    if not rights.may_create_schemas:
        return "it may not create schemas in the database"
    if owned:
        return f"it does not own {owned[0]}"
    return f"the database holds {unmovable}, which cannot be moved aside" if unmovable else ""


def create_databases(rights: Rights, in_place: str) -> Finding:
    """Without the right, `in_place` is the way that is left, or says why it is not."""
    if rights.can_create_databases:
        return Finding("create databases", "ok", f"the role {rights.role} may")
    said = f"the role {rights.role} may not create databases"
    return _only_in_place("create databases", said, in_place, f"ALTER ROLE {quoted(rights.role)} CREATEDB")


def database_owner(rights: Rights, in_place: str) -> Finding:
    """Whether the role may rename the live database, and create another one for its owner."""
    if rights.is_owner and rights.may_give_away:
        return Finding("database owner", "ok", f"the role {rights.role} has the rights of {rights.owner}")
    what = "give a new database to" if rights.is_owner else "rename the database of"
    said = f"the role {rights.role} may not {what} {rights.owner}"
    mend = f"GRANT {quoted(rights.owner)} TO {quoted(rights.role)}"
    if rights.owner_is_superuser:
        mend = f"ALTER DATABASE … OWNER TO {quoted(rights.role)}, or to the application's role with this one a member"
    return _only_in_place("database owner", said, in_place, mend)


def maintenance_database(problem: str, in_place: str) -> Finding:
    """Whether there is a connection to a database beside the live one; `problem` says why not."""
    if not problem:
        return Finding("maintenance database", "ok", "postgres or template1 can be connected to")
    mend = "let the role connect to the database postgres (GRANT CONNECT, pg_hba.conf, the pooler's list)"
    return _only_in_place("maintenance database", problem, in_place, mend)


def _only_in_place(name: str, said: str, in_place: str, mend: str) -> Finding:
    if in_place:
        return Finding(name, "failed", f"{said}, and cannot restore --in-place: {in_place}", mend)
    return Finding(name, "advice", f"{said}; a restore is possible --in-place only, a rehearsal not at all", mend)


def ownership(owned: Sequence[Owned], role: str) -> Finding:
    """Whether all that is the application's belongs to the role, or to one whose rights it has."""
    if not owned:
        return Finding("ownership", "ok", "the role has the rights of all owners")
    owners = ", ".join(map(quoted, sorted({each.owner for each in owned})))
    found = f"the role {role} does not own {_some(list(map(str, owned)))}"
    mend = f"GRANT {owners} TO {quoted(role)}, or use that role in --database-url"
    if any(each.is_superuser for each in owned):
        mend = f"ALTER … OWNER TO {quoted(role)}, or use the owner in --database-url"
    return Finding("ownership", "failed", found, mend)


def reading(hidden: Sequence[str], role: str) -> Finding:
    """Whether the role may read all that is dumped."""
    if not hidden:
        return Finding("reading", "ok", "the role may read all tables, sequences and large objects")
    mend = f"GRANT pg_read_all_data TO {quoted(role)}, or use the role that owns the tables"
    if any(each.startswith("large object") for each in hidden):
        mend += "; a large object takes its owner, or GRANT SELECT ON LARGE OBJECT"
    return Finding("reading", "failed", f"the role {role} may not read {_some(hidden)}", mend)


def row_security(tables: Sequence[str], role: str) -> Finding:
    """Whether policies hide rows from the role."""
    if not tables:
        return Finding("row security", "ok", "no policy hides rows from the role")
    return Finding(
        "row security",
        "failed",
        f"policies may hide rows of {_some(tables)} from the role {role}",
        f"ALTER ROLE {quoted(role)} BYPASSRLS, or use the tables' owner, where policies are not forced upon it",
    )


def sessions(found: Foreigners, role: str) -> Finding:
    """Whether the role may end the sessions that are there now."""
    if not found.staying:
        return Finding("sessions", "ok", f"the role may end all that are there now ({found.count})")
    return Finding(
        "sessions",
        "failed",
        f"the role {role} may not end those of {found.staying}",
        f"GRANT pg_signal_backend TO {quoted(role)}; those of superusers and managed services leave --in-place only",
    )


def restore_points(may_create: bool, wal_level: str, role: str) -> Finding:
    """Whether captures are marked in the server's write-ahead log."""
    if not may_create:
        mend = f"GRANT EXECUTE ON FUNCTION pg_create_restore_point(text) TO {quoted(role)}, if its log is archived"
        return Finding("restore points", "advice", f"the role {role} may not create restore points", mend)
    if wal_level == "minimal":
        found = "the server's wal_level is minimal, so there are no restore points"
        return Finding("restore points", "advice", found, "set wal_level to replica, if the server's log is archived")
    return Finding("restore points", "ok", "captures create them")


def quoted(name: str) -> str:
    """A name as SQL has it, to be pasted; one that is a keyword counts as usual."""
    return name if _PLAIN.fullmatch(name) else '"' + name.replace('"', '""') + '"'


def _some(names: Sequence[str]) -> str:
    more = len(names) - _SHOWN
    return ", ".join(names[:_SHOWN]) + (f" and {more:,} more" if more > 0 else "")
