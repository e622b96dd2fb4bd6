"""Unapplying with rows in the tables: reverse code of the project's own, and what happens when it fails."""

import psycopg
import pytest

from tests.fix_deploys import Deploys, refusal, steps
from tests.fix_projects import CONTENT_TYPES, NUMBER, TEXT, Node, Project, add_field, create_model, migration, run_sql

FIRST: Node = ("flags", "0001_initial")
STUCK = """
def back(apps, schema_editor):
    with schema_editor.connection.cursor() as cursor:
        cursor.execute("UPDATE flags_flag SET name = 'written by the reverse'")
        cursor.execute("SELECT to_regclass('stuck') IS NOT NULL")
        if cursor.fetchone()[0]:
            raise RuntimeError("stuck, as the test wanted\\nand a second line")
"""
RUN_STUCK = "migrations.RunPython(migrations.RunPython.noop, back)"
CONCURRENTLY = "from django.contrib.postgres.operations import AddIndexConcurrently\n"


def index(name: str) -> str:
    """The operation that adds an index without a transaction."""
    return f'AddIndexConcurrently("Flag", models.Index(fields=["name"], name={name!r}))'


def flags(deploys: Deploys) -> None:
    """Capture an app with two models, one pointing to the other, with rows."""
    tag = 'models.ForeignKey("flags.Tag", models.CASCADE, null=True)'
    create = create_model("Tag", name=TEXT), create_model("Flag", name=TEXT, tag=tag)
    deploys.project.app("flags", {"0001_initial": migration(*create)})
    deploys.capture()
    deploys.database.execute(
        "INSERT INTO flags_tag (id, name) VALUES (1, 'one'), (2, 'two');"
        "INSERT INTO flags_flag (name, tag_id) SELECT 'flag', 1 FROM generate_series(1, 3)"
    )


def test_rows_that_reverse_code_writes_do_not_stand_in_the_way_of_the_next_reverse(
    deploys: Deploys, project: Project
) -> None:
    """PostgreSQL alters no table while checks of deferred constraints are pending on it."""
    flags(deploys)
    project.migration("flags", "0002_colour", add_field("Flag", "colour"), dependencies=[FIRST])
    project.migration(
        "flags",
        "0003_data",
        "migrations.RunPython(forward, back)",
        dependencies=[("flags", "0002_colour")],
        imports="""
def forward(apps, schema_editor):
    apps.get_model("flags", "Flag").objects.update(tag=2)

def back(apps, schema_editor):
    apps.get_model("flags", "Flag").objects.update(tag=1)
    apps.get_model("flags", "Flag").objects.create(name="made by the reverse", tag_id=2)
""",
    )
    deploys.deploy()
    assert deploys.database.rows("SELECT DISTINCT tag_id FROM flags_flag") == [(2,)]
    plan = deploys.back()
    assert steps(plan) == [(True, ["flags.0003_data", "flags.0002_colour"])]
    assert deploys.database.rows("SELECT tag_id, count(*) FROM flags_flag GROUP BY 1 ORDER BY 1") == [(1, 3), (2, 1)]


def test_reverse_code_sees_the_models_as_they_were_then(deploys: Deploys, project: Project) -> None:
    flags(deploys)
    project.migration("flags", "0002_size", add_field("Flag", "size", NUMBER), dependencies=[FIRST])
    project.migration(
        "flags",
        "0003_data",
        "migrations.RunPython(migrations.RunPython.noop, back)",
        dependencies=[("flags", "0002_size")],
        imports="""
def back(apps, schema_editor):
    for flag in apps.get_model("flags", "Flag").objects.select_related("tag"):
        assert not hasattr(flag, "weight")
        flag.name = f"{flag.tag.name} of size {flag.size}"
        flag.save()
""",
    )
    rename = "migrations.RenameField('Flag', 'size', 'weight')", "migrations.RenameModel('Flag', 'Feature')"
    project.migration("flags", "0004_rename", *rename, dependencies=[("flags", "0003_data")])
    deploys.deploy()
    deploys.database.execute("UPDATE flags_feature SET weight = 7")
    deploys.back()
    assert deploys.database.rows("SELECT DISTINCT name FROM flags_flag") == [("one of size 7",)]


def test_a_failure_undoes_the_whole_segment_and_the_same_command_goes_on(deploys: Deploys, project: Project) -> None:
    flags(deploys)
    project.migration("flags", "0002_colour", add_field("Flag", "colour"), dependencies=[FIRST])
    stuck_on: list[Node] = [("flags", "0002_colour")]
    project.migration("flags", "0003_stuck", RUN_STUCK, dependencies=stuck_on, imports=STUCK)
    project.migration("flags", "0004_label", add_field("Flag", "label"), dependencies=[("flags", "0003_stuck")])
    deploys.deploy()
    deploys.database.execute("CREATE TABLE stuck ()")
    said = deploys.refused(code=1)
    assert said.error == "the project failed: flags.0003_stuck: RuntimeError: stuck, as the test wanted"
    deploys.database.execute("DROP TABLE stuck")
    deploys.back()


def test_a_failure_behind_a_segment_that_is_done_stops_half_way(deploys: Deploys, project: Project) -> None:
    flags(deploys)
    project.migration("flags", "0002_colour", add_field("Flag", "colour"), dependencies=[FIRST])
    project.migration("flags", "0003_stuck", RUN_STUCK, dependencies=[("flags", "0002_colour")], imports=STUCK)
    on: list[Node] = [("flags", "0003_stuck")]
    project.migration("flags", "0004_index", index("by_name"), dependencies=on, atomic=False, imports=CONCURRENTLY)
    project.migration("flags", "0005_label", add_field("Flag", "label"), dependencies=[("flags", "0004_index")])
    deploys.deploy()
    deploys.database.execute("CREATE TABLE stuck ()")
    said = refusal(deploys.rollback(code=7))
    assert "2 of 4 extra migrations are unapplied" in said.error
    assert "stuck, as the test wanted" in said.error
    assert "the same command then goes on from there" in said.hint
    assert deploys.names() == {"flags.0001_initial", "flags.0002_colour", "flags.0003_stuck"}
    assert deploys.database.rows("SELECT colour FROM flags_flag LIMIT 1") == [("",)]
    with deploys.untouched():
        assert deploys.rollback("--strategy", "unapply", "--on-loss", "accept", "--json", code=1).json["ok"] is False
    deploys.database.execute("DROP TABLE stuck")
    plan = deploys.back()
    assert steps(plan) == [(True, ["flags.0003_stuck", "flags.0002_colour"])]


def test_a_failure_inside_a_migration_that_is_not_atomic_stops_half_way(deploys: Deploys, project: Project) -> None:
    flags(deploys)
    operations = RUN_STUCK, index("by_name")
    project.migration(
        "flags", "0002_both", *operations, dependencies=[FIRST], atomic=False, imports=CONCURRENTLY + STUCK
    )
    deploys.deploy()
    deploys.database.execute("CREATE TABLE stuck ()")
    said = refusal(deploys.rollback(code=7))
    assert "flags.0002_both" in said.error
    assert deploys.database.rows("SELECT to_regclass('by_name')") == [(None,)]
    assert "flags.0002_both" in deploys.names()
    deploys.database.execute("DROP TABLE stuck")
    deploys.back()


@pytest.mark.parametrize("mode", ["ACCESS SHARE", "ACCESS EXCLUSIVE"])
def test_a_lock_that_another_session_holds_is_not_waited_for_for_ever(
    deploys: Deploys, project: Project, mode: str
) -> None:
    flags(deploys)
    project.migration("flags", "0002_colour", add_field("Flag", "colour"), dependencies=[FIRST])
    deploys.deploy()
    other = deploys.database.connect()
    with other.transaction():
        before = deploys.database.rows("SELECT count(*) FROM flags_flag")
        other.execute(f"LOCK TABLE flags_flag IN {mode} MODE".encode())
        ended = deploys.rollback("--strategy", "unapply", "--on-loss", "accept", "--lock-timeout", "1", code=1)
    said = refusal(ended)
    assert "lock" in said.error
    assert "session" in said.hint
    assert deploys.database.rows("SELECT count(*) FROM flags_flag") == before
    assert deploys.database.rows("SELECT DISTINCT colour FROM flags_flag") == [("",)]
    deploys.back()


def test_two_rollbacks_at_once(deploys: Deploys, project: Project) -> None:
    flags(deploys)
    slow = run_sql("SELECT 1", "SELECT pg_sleep(4)")
    project.migration("flags", "0002_slow", add_field("Flag", "colour"), slow, dependencies=[FIRST])
    deploys.deploy()
    first = deploys.flagsnap.start("rollback", "--to", "v2", "--strategy", "unapply", "--on-loss", "accept")
    try:
        wait_for_sleep(deploys)
        said = refusal(deploys.rollback(code=6))
        assert "another flagsnap" in said.error
        out, err = first.communicate(timeout=60)
        assert first.returncode == 0, out + err
    finally:
        first.kill()
        first.communicate()
    deploys.assert_back()


def wait_for_sleep(deploys: Deploys) -> None:
    """Wait until the reverse sleeps in PostgreSQL."""
    query = "SELECT 1 FROM pg_stat_activity WHERE datname = current_database() AND wait_event = 'PgSleep'"
    with psycopg.connect(deploys.database.url, autocommit=True) as connection:
        for _ in range(300):
            if connection.execute(query).fetchone():
                return
            connection.execute("SELECT pg_sleep(0.1)")
    pytest.fail("nothing sleeps")


def test_content_types_of_renamed_models_are_called_what_they_were(deploys: Deploys, project: Project) -> None:
    """Else the older version makes a new one, and all that refers to the row loses its sense."""
    project.install(CONTENT_TYPES)
    flags(deploys)
    kinds = "SELECT id, model FROM django_content_type WHERE app_label = 'flags' ORDER BY id"
    before = deploys.database.rows(kinds)
    project.migration("flags", "0002_rename", "migrations.RenameModel('Flag', 'Feature')", dependencies=[FIRST])
    deploys.deploy()
    assert deploys.database.rows(kinds) != before
    deploys.back()
    assert deploys.database.rows(kinds) == before
