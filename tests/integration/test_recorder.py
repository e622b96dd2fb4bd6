"""The way back, recorded while it runs: replayed by hand on a copy, the statements do the same."""

import pytest

from flagsnap.errors import BridgeFailed, MigrationFailed
from tests.fix_projects import (
    CONTENT_TYPES,
    NUMBER,
    TEXT,
    Node,
    Project,
    add_field,
    create_model,
    remove_field,
    run_sql,
)
from tests.integration.recordings import DRIVERS, FIRST, NOOP, SECOND, back, code, deploy, ready

CONCURRENTLY = "from django.contrib.postgres.operations import AddIndexConcurrently\n"
INDEX = 'AddIndexConcurrently("Flag", models.Index(fields=["name"], name="by_name"))'


@DRIVERS
def test_operations_of_django_and_their_deferred_sql(project: Project, driver: str) -> None:
    """Behind the last operation stands what Django does at the end of a migration, such as indexes."""
    ready(project, driver, old='models.CharField(max_length=9, null=True, default="it\'s 100%")')
    project.migration(
        "flags",
        "0002_deploy",
        add_field("Flag", "size", NUMBER),
        "migrations.AlterField('Flag', 'name', models.TextField(default='', db_index=True))",
        "migrations.RenameField('Flag', 'name', 'label')",
        remove_field("Flag", "old"),
        remove_field("Flag", "tag"),
        "migrations.AddConstraint('Flag', models.CheckConstraint(condition=models.Q(size__gte=0), name='sane'))",
        "migrations.DeleteModel('Tag')",
        create_model("Rule", name=TEXT),
        "migrations.RenameModel('Rule', 'Segment')",
        dependencies=[FIRST],
    )
    deploy(project, driver)
    way = back(project)
    kinds = [operation.kind for operation in way.operations]
    assert kinds == [
        *("RenameModel", "CreateModel", "DeleteModel", "AddConstraint", "RemoveField", "RemoveField", "RenameField"),
        *("AlterField", "AddField", ""),
    ]
    assert not any(operation.runs_code or operation.noticed or operation.wrote for operation in way.operations)
    assert any(statement.startswith("CREATE INDEX") for statement in way.operations[-1].statements)
    assert not any("django_migrations" in each for operation in way.operations for each in operation.statements)
    (only,) = way.migrations
    assert (only.migration, only.atomic, only.rows) == (SECOND, True, (SECOND,))
    assert way.committed == [1]


@DRIVERS
def test_sql_of_the_projects_own(project: Project, driver: str) -> None:
    ready(project, driver)
    reverse = """[
        "UPDATE flags_tag SET name = name || ' 100%'",
        ("UPDATE flags_tag SET name = name || %s || '%%'", ["it's \\\\ % ü"]),
        ("UPDATE flags_flag SET tag_id = %s WHERE id = ANY(%s)", [None, [1, 2]]),
        "CREATE FUNCTION f() RETURNS int LANGUAGE plpgsql AS $$ BEGIN RETURN 1; END $$; SELECT f();",
    ]"""
    project.migration(
        "flags",
        "0002_deploy",
        f"migrations.RunSQL('SELECT 1', {reverse})",
        f"migrations.SeparateDatabaseAndState([{run_sql('SELECT 1', 'SELECT 2')}, {add_field('Flag', 'size')}], [])",
        f"migrations.RunPython({NOOP}, {NOOP})",
        dependencies=[FIRST],
    )
    deploy(project, driver)
    way = back(project)
    code, added, second, first = way.operations
    assert (code.kind, code.runs_code, code.statements) == ("RunPython", False, ())
    assert (added.kind, second.kind, second.statements) == ("AddField", "RunSQL", ("SELECT 2",))
    assert first.statements[0] == "UPDATE flags_tag SET name = name || ' 100%'"
    assert len(first.statements) == 4
    names = "SELECT name FROM flags_tag ORDER BY id LIMIT 1"
    assert project.database.rows(names) == [("one 100%it's \\ % ü%",)]


@DRIVERS
def test_statements_of_code(project: Project, driver: str) -> None:
    """Through a cursor and the ORM, of every type, one by one and many at once, as text, bytes and composed."""
    ready(project, driver, at="models.DateTimeField(null=True)", data="models.JSONField(null=True)")
    code(
        """
Flag = apps.get_model("flags", "Flag")
Flag.objects.bulk_create([Flag(name="new", tag_id=2, data={"a": [1, None, "it's 5%"]}) for _ in range(2)])
Flag.objects.filter(name="new").update(at=datetime(2026, 1, 2, 3, 4, 5, 6, tzinfo=timezone.utc))
for flag in Flag.objects.iterator():
    flag.save(update_fields=["name"])
with connection.cursor() as cursor:
    cursor.executemany("UPDATE flags_tag SET name = %s WHERE id = %s", (pair for pair in [("a%", 1), ("b", 2)]))
    cursor.execute(b"UPDATE flags_tag SET name = name || '!'")
    cursor.execute(sql.SQL("UPDATE {} SET name = name || {}").format(sql.Identifier("flags_tag"), sql.Literal("?")))
with transaction.atomic():
    Flag.objects.filter(name="new").first().delete()
""",
        project,
        driver,
        imports=f"""
from datetime import datetime, timezone
from django.db import transaction
from {driver} import sql
""",
    )
    way = back(project)
    assert (way.operation.kind, way.operation.runs_code, way.operation.noticed) == ("RunPython", True, ())
    assert "UPDATE flags_tag SET name = 'a%' WHERE id = 1" in way.operation.statements
    assert "UPDATE \"flags_tag\" SET name = name || '?'" in way.operation.statements
    assert not any("SAVEPOINT" in statement for statement in way.operation.statements)
    assert project.database.rows("SELECT name FROM flags_tag ORDER BY id") == [("a%!?",), ("b!?",)]


@DRIVERS
def test_a_migration_that_is_not_atomic(project: Project, driver: str) -> None:
    ready(project, driver)
    operations = INDEX, add_field("Flag", "size", NUMBER)
    project.migration("flags", "0002_deploy", *operations, dependencies=[FIRST], atomic=False, imports=CONCURRENTLY)
    deploy(project, driver)
    way = back(project)
    (only,) = way.migrations
    assert not only.atomic
    assert [operation.kind for operation in only.operations] == ["AddField", "AddIndexConcurrently"]
    assert only.operations[1].statements == ('DROP INDEX CONCURRENTLY IF EXISTS "by_name"',)


def test_content_types_of_renamed_models(project: Project) -> None:
    """One statement whatever the rows are, of which Django would make none if there are none."""
    project.install(CONTENT_TYPES)
    ready(project)
    renames = "migrations.RenameModel('Flag', 'Feature')", "migrations.RenameModel('Tag', 'Mark')"
    project.migration("flags", "0002_deploy", *renames, dependencies=[FIRST])
    deploy(project)
    project.database.execute("INSERT INTO django_content_type (app_label, model) VALUES ('flags', 'tag')")
    way = back(project)
    kinds = [(operation.kind, operation.runs_code, len(operation.statements)) for operation in way.operations]
    assert [each for each in kinds if each[0] == "RenameContentType"] == [("RenameContentType", False, 1)] * 2
    models = project.database.rows("SELECT model FROM django_content_type WHERE app_label = 'flags' ORDER BY 1")
    assert models == [("flag",), ("mark",), ("tag",)]


def test_rows_of_squashed_migrations(project: Project) -> None:
    """All that go with one, and the statements of each under its own name."""
    ready(project)
    project.migration("flags", "0002_a", add_field("Flag", "a"), dependencies=[FIRST])
    project.migration("flags", "0003_b", add_field("Flag", "b"), dependencies=[("flags", "0002_a")])
    deploy(project)
    replaces: list[Node] = [("flags", "0002_a"), ("flags", "0003_b")]
    both = add_field("Flag", "a"), add_field("Flag", "b")
    project.migration("flags", "0002_squashed", *both, dependencies=[FIRST], replaces=replaces)
    project.migration("flags", "0004_c", add_field("Flag", "c"), dependencies=[("flags", "0002_squashed")])
    deploy(project)
    last, squashed = back(project).migrations
    assert last.rows == (("flags", "0004_c"),)
    assert set(squashed.rows) == {*replaces, ("flags", "0002_squashed")}


def test_the_session(project: Project) -> None:
    role = project.database.role("app", "LOGIN SUPERUSER")
    project.environment["DATABASE_URL"] = project.database.server.url(project.database.name, role)
    ready(project, "psycopg")
    project.database.execute(f"ALTER DATABASE {project.database.name} SET IntervalStyle = 'iso_8601'")
    project.migration("flags", "0002_deploy", add_field("Flag", "size"), dependencies=[FIRST])
    project.install(TIME_ZONE="Asia/Tokyo", USE_TZ=False)
    deploy(project)
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("DATABASE_URL", project.environment["DATABASE_URL"])
        (session,) = back(project).sessions
    assert session.role == role
    found = {name: session.settings[name] for name in ("TimeZone", "IntervalStyle", "search_path")}
    assert found == {"TimeZone": "Asia/Tokyo", "IntervalStyle": "iso_8601", "search_path": '"$user", public'}


def test_a_reverse_that_fails_is_told_by_name(project: Project) -> None:
    ready(project)
    code("raise KeyError('as the test wanted')", project)
    project.migration("flags", "0003_more", add_field("Flag", "more"), dependencies=[SECOND])
    deploy(project)
    with pytest.raises(MigrationFailed) as failed:
        back(project)
    assert failed.value.migration == SECOND
    assert str(failed.value) == "the project failed: flags.0002_deploy: KeyError: 'as the test wanted'"
    assert project.database.rows("SELECT count(*) FROM django_migrations WHERE app = 'flags'") == [(3,)]


def test_what_fails_before_any_migration_is_no_migrations_fault(project: Project) -> None:
    ready(project)
    code("pass", project)
    project.migration("flags", "0003_lost", run_sql("SELECT 1", ""), dependencies=[("flags", "0002_gone")])
    project.write()
    with pytest.raises(BridgeFailed) as failed:
        back(project)
    assert not isinstance(failed.value, MigrationFailed)
