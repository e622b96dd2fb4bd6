"""Rows of a deploy that unapplying leaves: told, and removed with `--tidy`; everybody else's stay whatever happens."""

import psycopg
import pytest

from tests.fix_deploys import UNAPPLY, Deploys, refusal
from tests.fix_projects import AUTH, CONTENT_TYPES, Project, create_model, run_sql
from tests.fix_servers import ALL_MAJORS
from tests.integration.sample_deploy import wait_until
from tests.integration.sample_leftovers import (
    FIRST,
    FLAGS,
    INSERT,
    OTHERS,
    PERMISSIONS,
    TAGS,
    TYPES,
    adds,
    back,
    models,
    names,
    tags,
    write,
)


def test_rows_of_a_data_migration(deploys: Deploys, project: Project) -> None:
    """Users' rows stay: written before the migration, between it and the next one, and behind it."""
    tags(project)
    deploys.deploy()
    write(deploys, "recorded")
    deploys.capture()
    write(deploys, "before")
    adds(project, "Tag.objects.bulk_create([Tag(name='one'), Tag(name='two')])", "Tag.objects.create(name='three')")
    deploys.deploy()
    write(deploys, "between", "two more")
    adds(project, "Tag(name='four').save()", name="0003_more")
    adds(project, name="0004_nothing")
    deploys.deploy()
    write(deploys, "behind")
    assert back(deploys) == {TAGS: (4, 0)}
    assert names(deploys) == sorted(
        ["recorded", "before", "one", "two", "three", "between", "two more", "four", "behind"]
    )


def test_rows_in_a_table_that_was_truncated_long_ago(deploys: Deploys, project: Project) -> None:
    """As a parallel pg_restore does: it has another file than it was created with, and no rows that are older."""
    tags(project)
    deploys.deploy()
    deploys.database.execute("TRUNCATE flags_tag CASCADE")
    deploys.capture()
    adds(project, "Tag.objects.bulk_create([Tag(name='one'), Tag(name='two')])")
    deploys.deploy()
    assert back(deploys, "--tidy") == {TAGS: (2, 2)}


@pytest.mark.parametrize("server", ALL_MAJORS, indirect=True)
def test_tidy_removes_them_and_nothing_else(deploys: Deploys, project: Project) -> None:
    tags(project)
    deploys.deploy()
    write(deploys, "recorded")
    deploys.capture()
    write(deploys, "before")
    adds(project, "Tag.objects.bulk_create([Tag(name='one'), Tag(name='two')])")
    deploys.deploy()
    write(deploys, "between")
    project.migration("flags", "0003_sql", run_sql(INSERT, ""), dependencies=[("flags", "0002_data")])
    deploys.deploy()
    write(deploys, "behind")
    assert back(deploys, "--tidy") == {TAGS: (3, 3)}
    assert names(deploys) == ["before", "behind", "between", "recorded"]


@pytest.mark.parametrize("server", ALL_MAJORS, indirect=True)
def test_rows_written_in_savepoints(deploys: Deploys, project: Project) -> None:
    """What the code names in a unique column is its own up to the next migration; whatever else lies there is not."""
    tags(project)
    deploys.capture()
    adds(
        project,
        "from django.db import transaction",
        "Tag.objects.get_or_create(name='one', defaults={'colour': 'red'})",
        "Tag.objects.get_or_create(name='two')",
        "with transaction.atomic():",
        "    Tag.objects.create(name='three')",
        "    Tag.objects.create(name='fo' + 'ur')",
        "Tag.objects.update_or_create(name='five', defaults={'colour': 'blue'})",
    )
    deploys.deploy()
    write(deploys, "between", "red")
    adds(project, "Tag.objects.get_or_create(name='six')", name="0003_more")
    deploys.deploy()
    write(deploys, "behind")
    assert back(deploys, "--tidy") == {TAGS: (4, 4)}
    assert names(deploys) == ["behind", "between", "four", "red", "six"]


def test_unapplying_rewrites_renames_and_retypes(deploys: Deploys, project: Project) -> None:
    """The rows are found again by their keys, whatever becomes of the table on the way back."""
    tags(project)
    deploys.deploy()
    write(deploys, "recorded")
    deploys.capture()
    adds(project, "Tag.objects.bulk_create([Tag(name='one'), Tag(name='two')])")
    project.migration(
        "flags",
        "0003_change",
        "migrations.RenameModel('Tag', 'Label')",
        "migrations.RenameField('Label', 'id', 'number')",
        "migrations.AlterField('Label', 'colour', models.TextField(default=''))",
        dependencies=[("flags", "0002_data")],
    )
    deploys.deploy()
    deploys.database.execute("INSERT INTO flags_label (name, colour, rank) VALUES ('user', '', 3)")
    assert back(deploys, "--tidy") == {TAGS: (2, 2)}
    assert names(deploys) == ["recorded", "user"]


@pytest.mark.parametrize(
    "statement",
    ["VACUUM FREEZE flags_tag, django_migrations", "VACUUM FULL flags_tag", "CLUSTER flags_tag USING flags_tag_pkey"],
)
def test_rows_that_vacuum_has_frozen_or_moved(deploys: Deploys, project: Project, statement: str) -> None:
    tags(project)
    deploys.deploy()
    write(deploys, "recorded")
    deploys.capture()
    write(deploys, "before")
    adds(project, "Tag.objects.bulk_create([Tag(name='one'), Tag(name='two')])")
    deploys.deploy()
    write(deploys, "behind")
    deploys.database.execute(statement)
    deploys.database.execute("ALTER TABLE flags_tag SET WITHOUT CLUSTER")
    assert back(deploys, "--tidy") == {TAGS: (2, 2)}
    assert names(deploys) == ["before", "behind", "recorded"]


def test_what_something_refers_to_stays(deploys: Deploys, project: Project) -> None:
    """Also where a foreign key would take the row that refers along; what only leftovers refer to goes with them."""
    tags(project)
    deploys.deploy()
    deploys.database.execute(OTHERS)
    deploys.capture()
    adds(
        project,
        "one, two, three, four = (Tag.objects.create(name=name) for name in ('one', 'two', 'three', 'four'))",
        "Flag.objects.create(name='of the deploy', tag=two)",
        "Tag.objects.create(name='five', above=three)",
    )
    deploys.deploy()
    deploys.database.execute(
        "INSERT INTO others SELECT id FROM flags_tag WHERE name = 'four';"
        "INSERT INTO flags_flag (name, tag_id) SELECT 'of a user', id FROM flags_tag WHERE name = 'one'"
    )
    assert back(deploys, "--tidy") == {TAGS: (5, 3), FLAGS: (1, 1)}
    assert names(deploys) == ["four", "one"]
    assert deploys.database.rows("SELECT name FROM flags_flag") == [("of a user",)]
    assert deploys.database.rows("SELECT count(*) FROM others") == [(1,)]


def test_deploying_the_same_version_again(deploys: Deploys, project: Project) -> None:
    tags(project)
    deploys.capture()
    adds(project, "Tag.objects.create(name='one')")
    deploys.deploy()
    assert back(deploys, "--tidy") == {TAGS: (1, 1)}
    assert back(deploys, "--tidy") == {}
    deploys.deploy()
    assert names(deploys) == ["one"]


def test_deploying_the_same_version_again_untidied(deploys: Deploys, project: Project) -> None:
    tags(project)
    deploys.capture()
    adds(project, "Tag.objects.create(name='one')")
    deploys.deploy()
    assert back(deploys) == {TAGS: (1, 0)}
    collided = project.try_manage("migrate")
    assert collided.returncode == 1
    assert "duplicate key" in collided.stderr


def test_a_reference_that_is_just_being_made(deploys: Deploys, project: Project) -> None:
    """It would go with its row, without a word, if it were overlooked."""
    tags(project)
    deploys.deploy()
    deploys.database.execute(OTHERS)
    deploys.capture()
    adds(project, "Tag.objects.create(name='one')", "Tag.objects.create(name='two')")
    deploys.deploy()
    waiting = "SELECT FROM pg_stat_activity WHERE application_name = 'flagsnap leftovers' AND wait_event_type = 'Lock'"
    with psycopg.connect(deploys.database.url) as user:
        user.execute("INSERT INTO others SELECT id FROM flags_tag WHERE name = 'one'")
        run = deploys.flagsnap.start("rollback", "--to", "v2", *UNAPPLY, "--tidy", "--lock-timeout", "60")
        wait_until(lambda: deploys.database.rows(waiting) or run.poll() is not None, 60)
        assert run.poll() is None, run.communicate()
        user.commit()
    _, err = run.communicate(timeout=60)
    assert run.returncode == 0, err
    assert names(deploys) == ["one"]
    assert deploys.database.rows("SELECT count(*) FROM others") == [(1,)]


def test_rows_that_cannot_be_removed(deploys: Deploys, project: Project) -> None:
    """All of them stay, and the run does not end as if all were well."""
    tags(project)
    deploys.capture()
    adds(project, "Tag.objects.create(name='one')", "Flag.objects.create(name='of the deploy')")
    deploys.deploy()
    with psycopg.connect(deploys.database.url) as user:
        user.execute("SELECT FROM flags_tag FOR SHARE")
        said = refusal(deploys.rollback(*UNAPPLY, "--tidy", "--lock-timeout", "1", code=7))
    assert "what stayed behind was not removed: a lock could not be had in time" in said.error
    assert "a deploy of the same version may collide with them" in said.hint
    deploys.assert_back()
    assert names(deploys) == ["one"]
    assert deploys.database.rows("SELECT name FROM flags_flag") == [("of the deploy",)]


@pytest.mark.parametrize(("options", "code", "kind"), [((), 0, "warning"), (("--tidy",), 7, "error")])
def test_a_snapshot_that_cannot_be_read(
    deploys: Deploys, project: Project, options: tuple[str, ...], code: int, kind: str
) -> None:
    """It takes away the comparison, not the way back."""
    tags(project)
    deploys.capture()
    adds(project, "Tag.objects.create(name='one')")
    deploys.deploy()
    for key in deploys.flagsnap.files("v2/dumps"):
        deploys.flagsnap.place.put(key, b"rubbish")
    ended = deploys.rollback(*UNAPPLY, *options, code=code)
    (told,) = [line for line in ended.err.splitlines() if line.startswith(f"{kind}: ")]
    assert "stayed behind" in told
    assert "the snapshot is damaged" in told
    assert deploys.names() == {"flags.0001_initial"}
    assert names(deploys) == ["one"]


def test_keys_of_several_columns_and_odd_names(deploys: Deploys, project: Project) -> None:
    odd = '"Odd ""one"'
    project.app("flags")
    made = f'CREATE TABLE {odd} ("a b" uuid, "%s" text, note json, PRIMARY KEY ("%s", "a b"))'
    project.migration("flags", "0001_initial", run_sql(made, ""))
    deploys.deploy()
    row = f"INSERT INTO {odd} VALUES ('00000000-0000-0000-0000-00000000000%d', '{{\"\\ %%', '{{}}')"
    deploys.database.execute(row % 1)
    deploys.capture()
    deploys.database.execute(row % 2)
    project.migration("flags", "0002_data", run_sql(row % 3, ""), dependencies=FIRST)
    deploys.deploy()
    deploys.database.execute(row % 4)
    assert back(deploys, "--tidy") == {'public.Odd "one': (1, 1)}
    left = deploys.database.rows(f'SELECT right("a b"::text, 1) FROM {odd} ORDER BY 1')
    assert left == [("1",), ("2",), ("4",)]


@pytest.mark.parametrize("server", ALL_MAJORS, indirect=True)
def test_content_types_and_permissions(deploys: Deploys, project: Project) -> None:
    project.install(CONTENT_TYPES, AUTH)
    models(project, "Old")
    deploys.capture()
    before = deploys.database.rows("SELECT codename FROM auth_permission ORDER BY id")
    project.migration("flags", "0002_new", create_model("New"), create_model("Other"), dependencies=FIRST)
    models(project, "Old", "New", "Other")
    deploys.deploy()
    assert back(deploys) == {PERMISSIONS: (8, 0), TYPES: (2, 0)}
    models(project, "Old")
    assert back(deploys, "--tidy") == {PERMISSIONS: (8, 8), TYPES: (2, 2)}
    assert deploys.database.rows("SELECT codename FROM auth_permission ORDER BY id") == before
    assert back(deploys, "--tidy") == {}


def test_permissions_that_somebody_has_or_has_made_stay(deploys: Deploys, project: Project) -> None:
    project.install(CONTENT_TYPES, AUTH)
    models(project, "Old")
    deploys.capture()
    paint = "{'permissions': [('paint', 'Can paint')]}"
    project.migration(
        "flags", "0002_new", create_model("New", options=paint), create_model("Other"), dependencies=FIRST
    )
    models(project, "Old", "New", "Other")
    deploys.deploy()
    deploys.database.execute(
        """
        INSERT INTO auth_group (name) VALUES ('painters');
        INSERT INTO auth_group_permissions (group_id, permission_id)
            SELECT g.id, p.id FROM auth_group g, auth_permission p WHERE codename = 'change_new';
        INSERT INTO django_content_type (app_label, model) VALUES ('flags', 'report'), ('flags', 'lazy');
        INSERT INTO auth_permission (name, content_type_id, codename)
            SELECT 'Can ' || a, c.id, a || '_' || model FROM django_content_type c, unnest(ARRAY['view', 'fly']) AS a
            WHERE c.model IN ('old', 'other', 'report')  AND a || model <> 'viewold' AND a || model <> 'viewother'
        """
    )
    assert back(deploys, "--tidy") == {PERMISSIONS: (9, 8), TYPES: (2, 0)}
    stayed = deploys.database.rows(
        "SELECT codename FROM auth_permission WHERE codename ~ 'new|other|report|fly|paint' ORDER BY 1"
    )
    assert [name for (name,) in stayed] == ["change_new", "fly_old", "fly_other", "fly_report", "view_report"]
    left = deploys.database.rows("SELECT model FROM django_content_type WHERE app_label = 'flags' ORDER BY 1")
    assert [name for (name,) in left] == ["lazy", "new", "old", "other", "report"]
