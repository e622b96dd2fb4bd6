"""The script: the reverse SQL of a rehearsal in segments that can be replayed.

All that may run in a transaction runs in one with its neighbours; what may not, such as DROP INDEX CONCURRENTLY, is a
segment of its own. The rows of `django_migrations` go in the transaction in which their migration ends.
"""

import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass

from flagsnap.loss.statements import Statement, classify
from flagsnap.migrations import Migration
from flagsnap.rehearsal.recording import RecordedMigration, RecordedOperation, Session, Wrote

Present = Mapping[int, Collection[int]]
"""The tables that are there, by oid, each with the numbers of its columns that are there."""

# CREATE INDEX, "Building Indexes Concurrently", and the notes of each of the others: not inside a transaction block.
# REFRESH MATERIALIZED VIEW CONCURRENTLY may be in one.
_ALONE = re.compile(
    r"\s*(?:/\*.*?\*/\s*|--[^\n]*\n\s*)*(?:VACUUM|ALTER\s+SYSTEM|(?:CREATE|DROP)\s+(?:DATABASE|TABLESPACE)"
    r"|(?:CREATE|DROP|REINDEX|ALTER)\b.*\bCONCURRENTLY)\b",
    re.IGNORECASE | re.DOTALL,
)
_OF_ROWS = frozenset({"insert", "update", "delete", "truncate"})
# They say how the statements behind them run, or wait; all else that changes nothing is left out.
_KEPT = re.compile(r"\s*(?:SET\s+(?!CONSTRAINTS)|RESET\b|LOCK\b|NOTIFY\b)", re.IGNORECASE)
# They change no rows, but something.
_CALLS = re.compile(r"\b(?:setval|nextval|pg_notify|pg_(?:try_)?advisory_\w+)\s*\(", re.IGNORECASE)


@dataclass(frozen=True)
class Part:
    """Some statements of a migration's reverse; `rows` are those of `django_migrations` that go behind them."""

    migration: Migration
    statements: tuple[str, ...]
    rows: tuple[Migration, ...] = ()


@dataclass(frozen=True)
class ScriptSegment:
    """What is done in one transaction, or one statement without any; `fingerprint` is that of the schema behind it.

    The fingerprint is empty until the script has been replayed once, and of `Catalog.restorable`.
    """

    atomic: bool
    parts: tuple[Part, ...]
    fingerprint: str = ""

    @property
    def rows(self) -> frozenset[Migration]:
        """The rows of `django_migrations` that go with it."""
        return frozenset(row for part in self.parts for row in part.rows)


@dataclass(frozen=True)
class Script:
    """The reverse SQL; `obstacles` say why it may not be replayed, in words, empty if it may."""

    session: Session
    segments: tuple[ScriptSegment, ...]
    obstacles: tuple[str, ...] = ()


def script_of(session: Session, recorded: Sequence[RecordedMigration], present: Present) -> Script:
    """The script of what was recorded; `present` is what was there when all of it was done."""
    obstacles = [
        f"{each.migration}: {why}"
        for each in recorded
        for operation in each.operations
        for why in _obstacles(operation, present)
    ]
    return Script(session, tuple(_segments(recorded, present)), tuple(dict.fromkeys(obstacles)))


def _obstacles(operation: RecordedOperation, present: Present) -> Iterator[str]:
    yield from (f"its reverse uses {what}, which cannot be recorded" for what in operation.noticed)
    if operation.runs_code and not operation.noticed and not _all_dropped(operation, present):
        yield "its reverse is Python, which may do something else on other rows"


def _all_dropped(operation: RecordedOperation, present: Present) -> bool:
    """Whether all that code wrote was dropped later: tables, or all columns that its updates set."""
    changes = [each for text in operation.statements for each in classify(text) if each.verb != "harmless"]
    written = {each.table[1] for each in operation.wrote}
    # A statement that met no row here may meet some elsewhere, so its table counts although nothing was written to it.
    rows_only = all(each.verb in _OF_ROWS and each.table and each.table[1] in written for each in changes) and not any(
        map(_CALLS.search, operation.statements)
    )
    return bool(written) and rows_only and all(_dropped(each, changes, present) for each in operation.wrote)


def _dropped(wrote: Wrote, changes: Sequence[Statement], present: Present) -> bool:
    if wrote.oid not in present:
        return True
    of_table = [each for each in changes if each.table and each.table[1] == wrote.table[1]]
    columns = {wrote.columns.get(name) for each in of_table for name in each.columns}
    updates = bool(of_table) and all(each.verb == "update" and each.columns for each in of_table)
    return updates and not wrote.triggers and None not in columns and columns.isdisjoint(present[wrote.oid])


def _segments(recorded: Sequence[RecordedMigration], present: Present) -> Iterator[ScriptSegment]:
    open_parts: list[Part] = []
    for each in recorded:
        statements: list[str] = []
        for statement in _statements(each, present):
            if not each.atomic and _ALONE.match(statement):
                open_parts += [Part(each.migration, tuple(statements))] if statements else []
                if open_parts:
                    yield ScriptSegment(atomic=True, parts=tuple(open_parts))
                yield ScriptSegment(atomic=False, parts=(Part(each.migration, (statement,)),))
                open_parts, statements = [], []
            elif each.atomic:
                statements.append(statement)
            else:  # a part of its own, so that nothing that was deferred is pending when the next one runs
                open_parts.append(Part(each.migration, (statement,)))
        open_parts.append(Part(each.migration, tuple(statements), each.rows))
    if open_parts:
        yield ScriptSegment(atomic=True, parts=tuple(open_parts))


def _statements(recorded: RecordedMigration, present: Present) -> Iterator[str]:
    for operation in recorded.operations:
        if not (operation.runs_code and _all_dropped(operation, present)):
            yield from (each for each in operation.statements if _changes(each))


def _changes(statement: str) -> bool:
    return bool(_KEPT.match(statement) or _CALLS.search(statement)) or any(
        each.verb != "harmless" for each in classify(statement)
    )
