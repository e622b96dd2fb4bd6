"""What was recorded while a rehearsal unapplied migrations: every statement, and what of it cannot be repeated."""

from collections.abc import Mapping
from dataclasses import dataclass

from flagsnap.loss.values import TableKey
from flagsnap.migrations import Migration


@dataclass(frozen=True)
class Wrote:
    """A table whose rows an operation wrote, as PostgreSQL counted it.

    Attributes:
        oid: of the table, which keeps it when its name changes.
        columns: their numbers (`pg_attribute.attnum`) by name, as of then.
        triggers: whether the table has triggers of the project's own, which may have written more.
    """

    table: TableKey
    oid: int
    columns: Mapping[str, int]
    triggers: bool


@dataclass(frozen=True)
class RecordedOperation:
    """The way back of one operation.

    Attributes:
        kind: the operation's class; empty for what a migration does behind its last operation.
        runs_code: whether it ran Python of the project's own, which may do something else on other rows.
        statements: in order, their parameters bound.
        noticed: what the statements do not tell, in words: "COPY", "a statement that failed".
        wrote: the tables whose rows it wrote; known for operations that run code only.
    """

    kind: str
    runs_code: bool
    statements: tuple[str, ...]
    noticed: tuple[str, ...] = ()
    wrote: tuple[Wrote, ...] = ()


@dataclass(frozen=True)
class RecordedMigration:
    """The way back of one migration; `rows` are those of `django_migrations` that went with it."""

    migration: Migration
    atomic: bool
    rows: tuple[Migration, ...]
    operations: tuple[RecordedOperation, ...]


@dataclass(frozen=True)
class Session:
    """What the statements' meaning depends on: whose they are, and the settings that they ran under."""

    role: str
    settings: Mapping[str, str]
