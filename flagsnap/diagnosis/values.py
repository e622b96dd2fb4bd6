"""The lines of a diagnosis, and what was found of each."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

State = Literal["ok", "advice", "failed", "unchecked"]
"""`advice`: it works without, but worse; `failed`: something will not work; `unchecked`: nobody knows."""

LINES: Mapping[str, str] = {
    "connection": "whatever is done on the night begins with it",
    "pooler": "pg_dump, restores and rehearsals change settings of their session and work on other databases too",
    "server version": "flagsnap is tested with PostgreSQL 15 to 18, and reads catalogs that change with the version",
    "primary": "a standby can be neither rolled back nor restored into, and has no lock to hold",
    "clock": "times of captures and of migrations are compared, by people and by --applied-before",
    "connections": "each job of a dump or a restore takes a connection, while the application holds its own",
    "client programs": "pg_dump makes the snapshots, and pg_restore and psql bring them back",
    "create databases": "a restore makes a new database beside the live one; so do drills and rehearsals",
    "database owner": "a restore gives the new database the live one's owner, and renames both",
    "maintenance database": "the live database can only be renamed from another one of its server",
    "ownership": "only its owner may alter an object, whether to unapply, to replay, to refill or to move it aside",
    "reading": "pg_dump fails at the first table that it may not read",
    "row security": "pg_dump fails where a policy would hide rows from it",
    "sessions": "a swap ends the sessions of the live database; one that stays keeps it from being renamed",
    "prepared transactions": "PostgreSQL does not rename a database with a prepared transaction in it",
    "restore points": "with one, the server's own backups can return to the moment of a capture",
    "extensions": "a restore creates the extensions anew, as this role and on this server",
    "replication slots": "a slot stays with the database that a restore retires; its reader does not find it again",
    "subscriptions": "a subscription goes on in the database that a restore retires, not in the restored one",
    "publications": "only a superuser may restore publications; without, their subscribers get nothing more",
    "event triggers": "only a superuser may restore event triggers; without, the restored schema is not the recorded",
    "background workers": "a worker that is bound to the database loses it for the length of a swap",
    "server disk": "a restore needs room for a second copy of the database before it retires the first",
    "store": "without it there is nothing to go back to",
    "store rights": "a capture writes, a rollback reads, a prune removes",
    "snapshots": "a snapshot that cannot be read is none, and hides which one is the newest",
    "newest snapshot": "a rollback goes back to what was captured, and to nothing else",
    "store disk": "the next capture needs room for about as much as the last one took",
    "scratch disk": "what a bucket holds is fetched to TMPDIR before it is restored",
    "project": "without its code, a deploy that was not rehearsed can only be restored, not unapplied",
    "project database": "migrations must be unapplied in the database that was captured",
    "project code": "only the newer code can unapply what it has applied",
}
"""Why each line matters on the night, by its name, in the order in which they are shown."""


@dataclass(frozen=True)
class Finding:
    """One line: what was found, and how to mend it where it is not ok."""

    name: str
    state: State
    found: str
    mend: str = ""

    @property
    def ok(self) -> bool:
        """Whether it does not keep anything from working; an advice does not."""
        return self.state in {"ok", "advice"}

    @property
    def why(self) -> str:
        """Why it matters on the night."""
        return LINES[self.name]


@dataclass(frozen=True)
class Diagnosis:
    """All lines, in the order of `LINES`."""

    findings: tuple[Finding, ...]

    def of(self, state: State) -> tuple[Finding, ...]:
        """The lines in one state."""
        return tuple(finding for finding in self.findings if finding.state == state)

    @property
    def exit_code(self) -> int:
        """0 nothing is missing, 3 something will not work, 1 something could not be checked."""
        return 3 if self.of("failed") else 1 if self.of("unchecked") else 0


def in_order(findings: Mapping[str, Finding]) -> tuple[Finding, ...]:
    """Findings by their names, as they are shown."""
    return tuple(findings[name] for name in LINES if name in findings)
