"""The way forward as a deploy goes it, and what each migration blocks, rewrites and writes on the way."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import pytest

from flagsnap.bridge.project import Description
from flagsnap.bridge.project import Project as Bridge
from flagsnap.errors import MigrationFailed
from flagsnap.loss.effects import AddedColumn
from flagsnap.migrations import Migration
from flagsnap.rehearsal.values import ForwardMigration
from tests.fix_projects import CONTENT_TYPES, NUMBER, TEXT, Node, Project, add_field, create_model, migration, run_sql
from tests.fix_servers import ALL_MAJORS

FIRST: Node = ("flags", "0001_initial")
SECOND: Node = ("flags", "0002_deploy")
THIRD: Node = ("flags", "0003_more")
SLEEP = run_sql("SELECT pg_sleep(0.4)", "")
CONCURRENTLY = "from django.contrib.postgres.operations import AddIndexConcurrently\n"
INDEX = 'AddIndexConcurrently("Flag", models.Index(fields=["name"], name="by_name"))'
WIDER = "migrations.AlterField('Flag', 'size', models.BigIntegerField(default=0))"


@dataclass
class Told:
    """What the bridge told, and the description in the end."""

    migrations: list[ForwardMigration] = field(default_factory=list)
    description: Description | None = None

    @property
    def only(self) -> ForwardMigration:
        """The only migration."""
        (only,) = self.migrations
        return only

    @property
    def locks(self) -> dict[str, str]:
        """The locks of the only one."""
        return {lock.table: lock.mode for lock in self.only.locks}


def ready(project: Project) -> None:
    """An app with two models, and rows."""
    tag = 'models.ForeignKey("flags.Tag", models.CASCADE, null=True)'
    create = create_model("Tag", name=TEXT), create_model("Flag", name=TEXT, size=NUMBER, tag=tag)
    project.app("flags", {"0001_initial": migration(*create)})
    project.write()
    project.migrate()
    project.database.execute(
        "INSERT INTO flags_tag (id, name) VALUES (1, 'one'), (2, 'two');"
        "INSERT INTO flags_flag (name, size, tag_id) SELECT 'flag', 1, 1 FROM generate_series(1, 3)"
    )


def forward(project: Project) -> Told:
    """Write the release and migrate through the bridge."""
    project.write()
    told = Told()
    told.description = Bridge(project.manage_command, 60).migrate([Migration(*FIRST)], told.migrations.append)
    return told


def deploy(
    project: Project, *operations: str, atomic: bool = True, imports: str = "", dependencies: Sequence[Node] = (FIRST,)
) -> Told:
    """Deploy one migration with these operations."""
    project.migration("flags", SECOND[1], *operations, dependencies=dependencies, atomic=atomic, imports=imports)
    return forward(project)


def test_all_is_applied_and_described(project: Project) -> None:
    ready(project)
    project.install(CONTENT_TYPES)
    project.migration("flags", SECOND[1], add_field("Flag", "colour"), dependencies=[FIRST])
    project.migration("flags", THIRD[1], "migrations.RenameModel('Tag', 'Mark')", dependencies=[SECOND])
    told = forward(project)
    names = [each.migration for each in told.migrations if each.migration.app == "flags"]
    assert names == [SECOND, THIRD]
    assert {SECOND, THIRD} <= set(project.applied())
    assert told.description is not None
    assert told.description.database == project.database.name
    assert {SECOND, THIRD} <= {node.migration for node in told.description.graph.nodes}
    assert AddedColumn("flags_flag", "colour", "''") in told.description.effects
    assert project.database.rows("SELECT count(*) FROM django_content_type WHERE app_label = 'contenttypes'") == [(1,)]
    assert forward(project).migrations == []


@pytest.mark.parametrize("server", ALL_MAJORS, indirect=True)
def test_locks_what_is_rewritten_and_rows(project: Project) -> None:
    ready(project)
    told = deploy(project, WIDER, SLEEP, run_sql("UPDATE flags_tag SET name = 'x' WHERE id = 1", ""))
    assert told.locks == {"public.flags_flag": "AccessExclusiveLock"}
    assert told.only.atomic
    assert told.only.rewritten == ("public.flags_flag",)
    assert told.only.rows == {"public.flags_tag": 1}
    (lock,) = told.only.locks
    assert 0.4 <= lock.seconds <= told.only.seconds < 5


def test_the_strongest_lock_counts_from_when_it_was_taken(project: Project) -> None:
    """Also one that is taken by what Django leaves to the end, as a foreign key is; of new tables none counts."""
    ready(project)
    owner = "models.ForeignKey('flags.Tag', models.CASCADE, null=True, related_name='+')"
    index = "migrations.AddIndex('Flag', models.Index(fields=['name'], name='by_name'))"
    told = deploy(project, index, SLEEP, create_model("Rule", owner=owner), add_field("Flag", "colour"))
    assert told.locks == {"public.flags_flag": "AccessExclusiveLock", "public.flags_tag": "ShareRowExclusiveLock"}
    assert all(lock.seconds < 0.4 for lock in told.only.locks)
    assert told.only.rewritten == ()
    assert told.only.rows == {}


def test_tables_go_by_the_names_that_they_had_and_rows_by_those_that_they_have(project: Project) -> None:
    ready(project)
    project.database.execute("CREATE SCHEMA other; CREATE TABLE other.gone (a int); CREATE TABLE other.kept (a int)")
    statements = (
        "ALTER TABLE flags_tag RENAME TO flags_mark; INSERT INTO flags_mark VALUES (9, 'nine');"
        "INSERT INTO other.gone VALUES (1); INSERT INTO other.kept VALUES (1), (2); DROP TABLE other.gone;"
        "CREATE TABLE fresh AS SELECT 1 AS a; TRUNCATE flags_flag"
    )
    told = deploy(project, run_sql(statements, ""))
    locked = "public.flags_tag", "other.gone", "public.flags_flag"
    assert told.locks == dict.fromkeys(locked, "AccessExclusiveLock")
    assert told.only.rewritten == ("public.flags_flag",)
    assert told.only.rows == {"public.flags_mark": 1, "other.kept": 2, "public.fresh": 1}


@pytest.mark.parametrize("server", ALL_MAJORS, indirect=True)
def test_a_migration_that_is_not_atomic(project: Project) -> None:
    """Its statements hold their locks one by one; CONCURRENTLY keeps nobody out."""
    ready(project)
    python = "migrations.RunPython(forward, migrations.RunPython.noop, atomic=True)"
    imports = f"""{CONCURRENTLY}
def forward(apps, schema_editor):
    apps.get_model("flags", "Flag").objects.update(name="x")
    schema_editor.execute("LOCK TABLE flags_tag IN EXCLUSIVE MODE")
"""
    enum = run_sql("CREATE TYPE mood AS ENUM ('a')", ""), run_sql("ALTER TYPE mood ADD VALUE 'b'", "")
    told = deploy(project, INDEX, SLEEP, WIDER, *enum, python, atomic=False, imports=imports)
    assert told.locks == {"public.flags_flag": "AccessExclusiveLock", "public.flags_tag": "ExclusiveLock"}
    assert all(lock.seconds < 0.4 for lock in told.only.locks)
    assert not told.only.atomic
    assert told.only.rewritten == ("public.flags_flag",)
    known = project.database.server.major >= 15
    assert told.only.rows == ({"public.flags_flag": 3} if known else {})


def test_a_migration_with_transactions_of_its_own(project: Project) -> None:
    """Each stays what it is."""
    ready(project)
    own = "BEGIN", "UPDATE flags_tag SET name = 'x'", "ROLLBACK", "VACUUM flags_tag"
    told = deploy(project, *(run_sql(each, "") for each in own), atomic=False)
    assert told.only.locks == ()
    assert project.database.rows("SELECT name FROM flags_tag ORDER BY id") == [("one",), ("two",)]


@pytest.mark.parametrize("atomic", [True, False])
def test_a_migration_that_fails(project: Project, *, atomic: bool) -> None:
    """Those before it are told of and done, and it is named."""
    ready(project)
    project.migration("flags", SECOND[1], add_field("Flag", "colour"), dependencies=[FIRST])
    fails = run_sql("ALTER TABLE flags_tag ADD CHECK (id < 2)", "")
    project.migration("flags", THIRD[1], add_field("Tag", "colour"), fails, dependencies=[SECOND], atomic=atomic)
    project.write()
    told: list[ForwardMigration] = []
    with pytest.raises(MigrationFailed) as failed:
        Bridge(project.manage_command, 60).migrate([Migration(*FIRST)], told.append)
    assert [each.migration for each in told] == [SECOND]
    assert failed.value.migration == THIRD
    words = "the project failed: flags.0003_more: IntegrityError: check constraint"
    assert str(failed.value).startswith(words)
    assert project.applied()[-1] == SECOND


def test_what_fails_in_the_end_of_a_transaction(project: Project) -> None:
    """What Django had deferred: the migration is undone as a whole."""
    ready(project)
    number = "models.IntegerField(null=True)"
    project.migration("flags", SECOND[1], add_field("Flag", "owner", number), dependencies=[FIRST])
    forward(project)
    project.database.execute("UPDATE flags_flag SET owner = 77")
    key = "models.ForeignKey('flags.Tag', models.CASCADE, null=True, db_column='owner', related_name='+')"
    alter = f"migrations.AlterField('Flag', 'owner', {key})"
    project.migration("flags", THIRD[1], add_field("Tag", "colour"), alter, dependencies=[SECOND])
    with pytest.raises(MigrationFailed) as failed:
        forward(project)
    assert failed.value.migration == THIRD
    assert project.applied()[-1] == SECOND
    assert project.database.rows("SELECT * FROM flags_tag WHERE id = 1") == [(1, "one")]


def test_a_deploy_that_fails_around_its_migrations(project: Project) -> None:
    ready(project)
    project.migration("flags", SECOND[1], dependencies=[FIRST])
    project.migration("flags", THIRD[1], dependencies=[FIRST])
    with pytest.raises(MigrationFailed) as failed:
        forward(project)
    assert failed.value.migration is None
    assert "CommandError: Conflicting migrations" in str(failed.value)
