"""The reverse SQL of a rehearsal as a script for psql, to be reviewed, or run by hand."""

from collections.abc import Iterator, Sequence

from flagsnap.migrations import AppliedMigration, Migration
from flagsnap.rehearsal.recording import Session
from flagsnap.rehearsal.script import Part, Script, ScriptSegment
from flagsnap.rehearsal.values import Rehearsal

# Their values are lists of names, each quoted by itself (GUC_LIST_QUOTE in guc_tables.c); all others may be quoted.
_LISTS = frozenset({"search_path", "temp_tablespaces"})


def sql_text(rehearsal: Rehearsal, recorded: Sequence[AppliedMigration]) -> str:
    """The script; `recorded` are the rows of `django_migrations` that it leads back to."""
    return "\n".join(_lines(rehearsal, recorded)) + "\n"


def _lines(rehearsal: Rehearsal, recorded: Sequence[AppliedMigration]) -> Iterator[str]:
    rehearsed, captured = (f"{each:%Y-%m-%d %H:%M:%S %Z}" for each in (rehearsal.rehearsed_at, rehearsal.captured_at))
    yield f"-- The reverse SQL of deploy {rehearsal.deploy_id}, rehearsed {rehearsed}."
    yield f"-- It leads back to the state before that deploy, captured {captured}."
    yield "-- `flagsnap rollback` also archives what goes, refills what the deploy had dropped, and proves the result."
    yield from (_comment(f"not to be replayed: {why}") for why in rehearsal.obstacles)
    script = rehearsal.script
    if script is None:
        return
    yield _comment(f"recorded by the role {script.session.role}")
    yield "\\set ON_ERROR_STOP on"
    for segment in script.segments:
        yield from _segment(segment, script.session)
    yield from _bookkeeping(rehearsal, script, recorded)


def _segment(segment: ScriptSegment, session: Session) -> Iterator[str]:
    yield ""
    yield "BEGIN;" if segment.atomic else "-- It cannot run in a transaction."
    scope = "LOCAL" if segment.atomic else "SESSION"
    yield from (f"SET {scope} {name} = {_value(name, value)};" for name, value in session.settings.items())
    for part in segment.parts:
        yield from _part(part, atomic=segment.atomic)
    if segment.atomic:
        yield "COMMIT;"
    else:
        yield from (f"RESET {name};" for name in session.settings)


def _part(part: Part, *, atomic: bool) -> Iterator[str]:
    yield ""
    yield _comment(str(part.migration))
    yield from map(_ended, part.statements)
    if part.rows:
        yield _deleted(part.rows)
    if atomic:
        yield "SET CONSTRAINTS ALL IMMEDIATE;"
        yield "SET CONSTRAINTS ALL DEFERRED;"


def _bookkeeping(rehearsal: Rehearsal, script: Script, recorded: Sequence[AppliedMigration]) -> Iterator[str]:
    """The rows that stand for no schema change."""
    left = [each for each in rehearsal.applied if not any(each in segment.rows for segment in script.segments)]
    before = {row.migration for row in recorded}
    gone = [row for row in recorded if row.migration not in left]
    if set(left) == before:
        return
    yield ""
    yield "-- Rows that stand for no change of the schema."
    yield "BEGIN;"
    if more := [each for each in left if each not in before]:
        yield _deleted(more)
    for row in gone:
        values = ", ".join(map(_literal, (row.app, row.name, row.applied.isoformat())))
        yield f"INSERT INTO django_migrations (app, name, applied) VALUES ({values});"  # noqa: S608  # literals
    yield "COMMIT;"


def _deleted(rows: Sequence[Migration]) -> str:
    pairs = ", ".join(f"({_literal(app)}, {_literal(name)})" for app, name in rows)
    return f"DELETE FROM django_migrations WHERE (app, name) IN ({pairs});"  # noqa: S608  # they are literals


def _ended(statement: str) -> str:
    """With one semicolon at its end, which must not become part of a comment."""
    text = statement.strip()
    last = text.splitlines()[-1] if text else ""
    return text + ("\n;" if "--" in last else "" if text.endswith(";") else ";")


def _value(name: str, value: str) -> str:
    return value if name.lower() in _LISTS and value.strip('" ') else _literal(value)


def _literal(value: str) -> str:
    return "'" + value.replace("'", "''") + "'"


def _comment(text: str) -> str:
    return "-- " + " ".join(text.split())
