"""The script of a rehearsal: what runs together, what alone, what is left out, and why some may not be replayed."""

import pytest

from flagsnap.migrations import Migration
from flagsnap.rehearsal.recording import RecordedMigration, RecordedOperation, Session, Wrote
from flagsnap.rehearsal.script import Part, Present, Script, ScriptSegment, script_of

SESSION = Session("app", {"search_path": "public"})
ONE, TWO, THREE = (Migration("flags", name) for name in ("0001_one", "0002_two", "0003_three"))
ROW = Migration("flags", "0001_replaced")
DROP, ADD, CREATE = (
    "ALTER TABLE a DROP COLUMN b",
    "ALTER TABLE a ADD COLUMN c int",
    "CREATE INDEX CONCURRENTLY i ON a (c)",
)
ALONE = "DROP INDEX CONCURRENTLY IF EXISTS i"
IS_PYTHON = "its reverse is Python, which may do something else on other rows"
FLAGS, TAGS = ("public", "flags_flag"), ("public", "flags_tag")


def recorded(
    migration: Migration, *statements: str, atomic: bool = True, rows: tuple[Migration, ...] = ()
) -> RecordedMigration:
    operations = (RecordedOperation("RunSQL", False, statements),)
    return RecordedMigration(migration, atomic, rows or (migration,), operations)


def made(*migrations: RecordedMigration, present: Present | None = None) -> Script:
    return script_of(SESSION, migrations, present or {})


def code(*statements: str, wrote: tuple[Wrote, ...] = (), noticed: tuple[str, ...] = ()) -> RecordedMigration:
    operation = RecordedOperation("RunPython", True, statements, noticed, wrote)
    return RecordedMigration(ONE, True, (ONE,), (operation,))


def test_what_may_run_in_a_transaction_runs_in_one() -> None:
    script = made(recorded(THREE, DROP, ADD), recorded(TWO, atomic=False), recorded(ONE, DROP, rows=(ONE, ROW)))
    assert script == Script(
        SESSION,
        (
            ScriptSegment(
                True,
                (Part(THREE, (DROP, ADD), (THREE,)), Part(TWO, (), (TWO,)), Part(ONE, (DROP,), (ONE, ROW))),
            ),
        ),
    )
    assert script.segments[0].rows == {ONE, ROW, TWO, THREE}


def test_what_may_not_is_alone_and_its_row_goes_when_its_migration_ends() -> None:
    """Nothing that is deferred is pending from one statement of a migration without a transaction to the next."""
    script = made(
        recorded(THREE, DROP), recorded(TWO, ADD, DROP, ALONE, CREATE, ADD, atomic=False), recorded(ONE, DROP)
    )
    assert script.segments == (
        ScriptSegment(True, (Part(THREE, (DROP,), (THREE,)), Part(TWO, (ADD,)), Part(TWO, (DROP,)))),
        ScriptSegment(False, (Part(TWO, (ALONE,)),)),
        ScriptSegment(False, (Part(TWO, (CREATE,)),)),
        ScriptSegment(True, (Part(TWO, (ADD,)), Part(TWO, (), (TWO,)), Part(ONE, (DROP,), (ONE,)))),
    )


@pytest.mark.parametrize(
    "statement",
    [
        ALONE,
        CREATE,
        "/* now */ -- slowly\n create unique index concurrently i on a (c)",
        "REINDEX (VERBOSE, CONCURRENTLY) INDEX i",
        "ALTER TABLE a DETACH PARTITION b CONCURRENTLY",
        "VACUUM ANALYZE a",
        "ALTER SYSTEM SET jit = off",
        "CREATE DATABASE other",
        "DROP TABLESPACE fast",
    ],
)
def test_what_may_not_run_in_a_transaction(statement: str) -> None:
    assert [segment.atomic for segment in made(recorded(ONE, statement, atomic=False)).segments] == [False, True]


@pytest.mark.parametrize(
    ("statement", "atomic"),
    [
        ("REFRESH MATERIALIZED VIEW CONCURRENTLY v", False),
        ("DROP INDEX i", False),
        ("UPDATE a SET b = 'CREATE INDEX CONCURRENTLY'", False),
        ("CREATE FUNCTION f() RETURNS text LANGUAGE sql AS 'SELECT ''CONCURRENTLY'''", True),
    ],
)
def test_what_may_run_in_a_transaction(statement: str, atomic: bool) -> None:
    """What has run in the transaction of its migration may do so again, whatever it looks like."""
    assert [segment.atomic for segment in made(recorded(ONE, statement, atomic=atomic)).segments] == [True]


def test_what_changes_nothing_is_left_out() -> None:
    """What says how the others run, or wait, stays; and what changes something beside rows."""
    settings = ("SET LOCAL lock_timeout = '1s'", "RESET lock_timeout", "LOCK TABLE a")
    kept = (*settings, DROP, "SELECT own_function()", "SELECT setval('s', max(id)) FROM a", "NOTIFY a")
    left_out = ("SELECT 1", "SELECT c.relname FROM pg_class c", "SET CONSTRAINTS ALL IMMEDIATE", "ANALYZE a", "-- no")
    script = made(recorded(ONE, *kept, *left_out))
    assert script.segments[0].parts[0].statements == kept


def test_what_cannot_be_recorded_is_an_obstacle() -> None:
    operation = RecordedOperation("RunPython", True, (DROP,), ("COPY", "a server-side cursor"))
    twice = RecordedMigration(TWO, True, (TWO,), (operation, operation))
    assert made(twice, recorded(ONE, DROP)).obstacles == (
        "flags.0002_two: its reverse uses COPY, which cannot be recorded",
        "flags.0002_two: its reverse uses a server-side cursor, which cannot be recorded",
    )


UPDATE = 'UPDATE "flags_flag" SET "name" = \'x\' WHERE "flags_flag"."id" = 1'
NAME = {"id": 1, "name": 2, "colour": 3}


def wrote(columns: dict[str, int] = NAME, *, triggers: bool = False, oid: int = 7) -> Wrote:
    return Wrote(FLAGS, oid, columns, triggers)


@pytest.mark.parametrize(
    ("recording", "present", "is_dropped"),
    [
        # the table is gone
        (code(UPDATE, wrote=(wrote(),)), {}, True),
        (code(UPDATE, wrote=(wrote(triggers=True),)), {}, True),
        (code("DELETE FROM flags_flag", "INSERT INTO flags_flag VALUES (1)", wrote=(wrote(),)), {}, True),
        # all columns that were set are gone
        (code(UPDATE, wrote=(wrote(),)), {7: {1, 3}}, True),
        (code(UPDATE, wrote=(wrote(),)), {7: {1, 2, 3}}, False),
        (code(UPDATE, wrote=(wrote(triggers=True),)), {7: {1, 3}}, False),
        (code(UPDATE.replace('"name" =', '"colour" = \'\', "name" ='), wrote=(wrote(),)), {7: {1, 3}}, False),
        (code(UPDATE.replace('"name"', '"other"'), wrote=(wrote(),)), {7: {1, 3}}, False),
        (code(UPDATE, "DELETE FROM flags_flag", wrote=(wrote(),)), {7: {1, 3}}, False),
        (code("INSERT INTO flags_flag (name) VALUES ('x')", wrote=(wrote(),)), {7: {1, 3}}, False),
        # one of two tables is there
        (code(UPDATE, wrote=(wrote(), Wrote(TAGS, 8, {}, False))), {8: {1}}, False),
        # nobody knows what was written, or it is not rows
        (code(UPDATE), {}, False),
        (code(), {}, False),
        (code(UPDATE, DROP, wrote=(wrote(),)), {}, False),
        (code(UPDATE, "SELECT own_function()", wrote=(wrote(),)), {}, False),
        (code(UPDATE, "SELECT setval('s', 1)", wrote=(wrote(),)), {}, False),
        # it may meet rows elsewhere
        (code(UPDATE, "UPDATE flags_tag SET name = ''", wrote=(wrote(),)), {}, False),
    ],
)
def test_code_is_replayed_only_if_all_that_it_wrote_is_dropped(
    recording: RecordedMigration, present: Present, is_dropped: bool
) -> None:
    """By the catalog: a table that was renamed meanwhile keeps its oid, a column its number."""
    script = made(recording, present=present)
    assert script.obstacles == (() if is_dropped else (f"{ONE}: {IS_PYTHON}",))
    assert not is_dropped or script.segments[0].parts == (Part(ONE, (), (ONE,)),)


def test_nothing_was_recorded() -> None:
    assert made() == Script(SESSION, ())
