"""Rows that may be the deploy's or anybody's are not called leftovers, and `--tidy` leaves them."""

import pytest

from tests.fix_deploys import Deploys
from tests.fix_projects import Project, run_sql
from tests.integration.sample_leftovers import FIRST, FLAGS, INSERT, TAGS, adds, back, names, tags, write


def test_a_name_in_the_code_is_no_proof_by_itself(deploys: Deploys, project: Project) -> None:
    """A user may write it too: before the migration, or after the next one; then there is no such row of its own."""
    tags(project)
    deploys.capture()
    write(deploys, "one")
    adds(project, "Tag.objects.get_or_create(name='one')", "Tag.objects.filter(name='two').exists()")
    adds(project, name="0003_nothing")
    deploys.deploy()
    write(deploys, "two")
    assert back(deploys, "--tidy") == {}
    assert names(deploys) == ["one", "two"]


@pytest.mark.parametrize(
    "line",
    [
        "Tag.objects.filter(name='before').update(colour='red')",
        "[tag.save() for tag in Tag.objects.filter(name='before')]",
        "Tag.objects.update_or_create(name='before', defaults={'colour': 'red'})",
        "Tag.objects.filter(name='recorded').update(colour='red')",
        "Tag.objects.update(colour='red')",
        "old = Tag.objects.get(name='before'); Tag.objects.filter(pk=old.pk).delete(); Tag.objects.bulk_create([old])",
    ],
)
def test_a_migration_that_changes_rows_as_well(deploys: Deploys, project: Project, line: str) -> None:
    """Those that it changed look like those that it made, so none is called a leftover."""
    tags(project)
    deploys.deploy()
    write(deploys, "recorded")
    deploys.capture()
    write(deploys, "before")
    adds(project, "Tag.objects.create(name='made')", line)
    adds(project, name="0003_nothing")
    deploys.deploy()
    assert back(deploys, "--tidy") == {}
    assert names(deploys) == ["before", "made", "recorded"]


def test_a_migration_that_rewrites_the_table(deploys: Deploys, project: Project) -> None:
    """ALTER TABLE gives all rows its own transaction; with no older row left to tell by, they may be anybody's."""
    tags(project)
    deploys.capture()
    write(deploys, "before")
    project.migration(
        "flags",
        "0002_rewrite",
        run_sql("ALTER TABLE flags_tag ALTER rank TYPE bigint", "ALTER TABLE flags_tag ALTER rank TYPE integer"),
        run_sql(INSERT, ""),
        dependencies=FIRST,
    )
    deploys.deploy()
    assert back(deploys, "--tidy") == {}
    assert names(deploys) == ["before", "sql"]


def test_a_later_migration_that_rewrites_the_table(deploys: Deploys, project: Project) -> None:
    """Nothing tells then whose rows they are."""
    tags(project)
    deploys.deploy()
    write(deploys, "recorded")
    deploys.capture()
    write(deploys, "before")
    adds(project, "Tag.objects.create(name='one')")
    project.migration(
        "flags",
        "0003_rewrite",
        "migrations.AlterField('Tag', 'rank', models.BigIntegerField(default=0))",
        run_sql("INSERT INTO flags_flag (name) SELECT name FROM flags_tag", ""),
        dependencies=[("flags", "0002_data")],
    )
    deploys.deploy()
    assert back(deploys, "--tidy") == {FLAGS: (3, 3)}
    assert names(deploys) == ["before", "one", "recorded"]


def test_counters_that_began_anew(deploys: Deploys, project: Project) -> None:
    """Nobody can say then that nothing was updated."""
    tags(project)
    deploys.deploy()
    write(deploys, "recorded")
    deploys.capture()
    adds(project, "Tag.objects.create(name='one')")
    deploys.deploy()
    deploys.database.execute("SELECT pg_stat_reset()")
    assert back(deploys, "--tidy") == {}
    assert names(deploys) == ["one", "recorded"]


def test_a_database_that_was_loaded_in_one_transaction(deploys: Deploys, project: Project) -> None:
    """All rows bear its number, the users' and those of `django_migrations`."""
    tags(project)
    deploys.capture()
    adds(project, "Tag.objects.create(name='one')")
    deploys.deploy()
    write(deploys, "user")
    deploys.database.execute(
        """
        BEGIN;
        CREATE TABLE kept_tags AS TABLE flags_tag; CREATE TABLE kept_migrations AS TABLE django_migrations;
        TRUNCATE flags_tag CASCADE; TRUNCATE django_migrations;
        INSERT INTO flags_tag TABLE kept_tags; INSERT INTO django_migrations TABLE kept_migrations;
        DROP TABLE kept_tags, kept_migrations;
        COMMIT
        """
    )
    assert back(deploys, "--tidy") == {}
    assert names(deploys) == ["one", "user"]


def test_a_faked_migration_and_one_without_a_transaction(deploys: Deploys, project: Project) -> None:
    """Their rows in django_migrations bear transactions of their own, in which nothing else was written."""
    tags(project)
    deploys.capture()
    adds(project, "Tag.objects.create(name='never')")
    deploys.deploy("--fake")
    adds(project, "Tag.objects.create(name='apart')", name="0003_apart", atomic=False)
    deploys.deploy()
    write(deploys, "user")
    assert back(deploys, "--tidy") == {}
    assert names(deploys) == ["apart", "user"]


def test_somebody_is_faster_than_the_migration(deploys: Deploys, project: Project) -> None:
    """And writes, while it is at other things, the very row that it would have made."""
    tags(project)
    deploys.capture()
    adds(
        project,
        "Flag.objects.create(name='first')",
        "import psycopg",
        f"with psycopg.connect({deploys.database.url!r}, autocommit=True) as user:",
        """    user.execute("INSERT INTO flags_flag (name) VALUES ('user')")""",
        """    user.execute("INSERT INTO flags_tag (name, colour, rank) VALUES ('one', '', 0)")""",
        "Tag.objects.get_or_create(name='one')",
        "Tag.objects.get_or_create(name='two')",
    )
    adds(project, name="0003_nothing")
    deploys.deploy()
    assert back(deploys, "--tidy") == {TAGS: (1, 1), FLAGS: (1, 1)}
    assert names(deploys) == ["one"]
    assert deploys.database.rows("SELECT name FROM flags_flag") == [("user",)]


def test_tables_that_rows_cannot_be_told_apart_in(deploys: Deploys, project: Project) -> None:
    """Without a primary key, or with a great many of them."""
    tags(project)
    deploys.database.execute("CREATE TABLE keyless (name text)")
    deploys.capture()
    many = "INSERT INTO flags_tag (name, colour, rank) SELECT 'tag ' || n, '', 0 FROM generate_series(1, 10001) AS n"
    project.migration(
        "flags", "0002_sql", run_sql("INSERT INTO keyless VALUES ('x')", ""), run_sql(many, ""), dependencies=FIRST
    )
    deploys.deploy()
    assert back(deploys, "--tidy") == {}
    assert deploys.database.rows("SELECT count(*) FROM keyless") == [(1,)]
    assert len(names(deploys)) == 10_001
