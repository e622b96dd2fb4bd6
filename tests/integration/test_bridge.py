"""The bridge to projects that die, babble, fall silent, or are not there: never a traceback, never half a change."""

import shlex
import sys
from pathlib import Path

import pytest

from flagsnap.bridge.project import Description
from flagsnap.bridge.project import Project as Bridge
from flagsnap.loss.effects import (
    AddedColumn,
    AlteredColumn,
    CreatedTable,
    DroppedColumn,
    Effect,
    FilledNulls,
    Named,
    RanCode,
    RanSql,
    RenamedColumn,
    RenamedTable,
)
from flagsnap.migrations import Migration, Operation
from tests.fix_databases import Database
from tests.fix_deploys import Deploys
from tests.fix_projects import NUMBER, TEXT, Node, Project, add_field, create_model, migration, remove_field, run_sql

FIRST: Node = ("flags", "0001_initial")
SECOND: Node = ("flags", "0002_colour")
MISBEHAVE = """
import atexit
import os
import signal
import sys
import time

manner = os.environ.get("MISBEHAVE", "")
if manner == "die":
    os.kill(os.getpid(), signal.SIGKILL)
if manner == "exit":
    os._exit(0)
if manner == "raise":
    raise RuntimeError("SECRET_SETTING is not set")
if manner == "sleep":
    time.sleep(60)
if manner == "stop stdin":
    os.close(0)
if manner == "babble":
    def babble():
        os.write(1, b"banner \\xff\\xfe\\x00 without an end")
        os.write(2, b"Traceback is what this is not \\xc3" + 300_000 * b"x")
        print("<flagsnap 0123456789abcdef>{}</flagsnap 0123456789abcdef>", end="", flush=True)
        print("warning", end="", file=sys.stderr, flush=True)
    babble()
    atexit.register(babble)
"""
REVERSE = """
import os, signal, sys, time

def back(apps, schema_editor):
    apps.get_model("flags", "Flag").objects.update(name="changed")
    manner = os.environ.get("REVERSE", "")
    if manner == "die":
        os.kill(os.getpid(), signal.SIGKILL)
    if manner == "exit":
        sys.exit(0)
    if manner == "stop":
        os.kill(os.getpid(), signal.SIGSTOP)
    if manner == "babble":
        print("half a line", end="")
        os.write(1, b"\\xff half a line")
    if manner == "replace stdout":
        sys.stdout = sys.stderr = open(os.devnull, "w")
    if manner == "work":
        time.sleep(6)
"""


@pytest.fixture
def ready(deploys: Deploys) -> Deploys:
    """An app with one recorded and two extra migrations, which behaves as the environment says."""
    project = deploys.project
    deploys.flagsnap.environment["FLAGSNAP_MANAGE"] = project.manage_command
    project.app("flags", {"0001_initial": migration(create_model("Flag", name=TEXT))}, models=MISBEHAVE)
    deploys.capture()
    project.migration("flags", "0002_colour", add_field("Flag", "colour"), dependencies=[FIRST])
    code = "migrations.RunPython(migrations.RunPython.noop, back)"
    project.migration("flags", "0003_code", code, dependencies=[SECOND], imports=REVERSE)
    deploys.deploy()
    deploys.database.execute("INSERT INTO flags_flag (name, colour) VALUES ('a', ''), ('b', 'red')")
    return deploys


def test_a_project_that_does_not_start(ready: Deploys) -> None:
    manners = {
        "die": "was killed by signal 9",
        "exit": "the project ended without an answer",
        "raise": "RuntimeError: SECRET_SETTING is not set",
        "stop stdin": "the project",
    }
    for manner, words in manners.items():
        said = ready.refused(code=1, MISBEHAVE=manner)
        assert words in said.error
        assert "check --manage" in said.hint
    said = ready.refused("--strategy", "unapply", "--silence", "1", code=1, MISBEHAVE="sleep")
    assert said.error == "the project said nothing for 1 seconds"
    assert "--silence" in said.hint
    plan = ready.flagsnap("plan", "--to", "v2", "--json", MISBEHAVE="raise").json["plan"]
    assert plan["route"] == "restore"
    assert manners["raise"] in plan["closed"][1]["reason"]


def test_a_project_that_babbles_on_both_streams(ready: Deploys) -> None:
    ready.flagsnap.environment |= {"MISBEHAVE": "babble", "REVERSE": "babble"}
    plan = ready.back()
    assert plan["route"] == "unapply"


@pytest.mark.parametrize(("manner", "words"), [("die", "was killed by signal 9"), ("exit", "SystemExit: 0")])
def test_a_project_that_dies_in_the_middle_of_a_segment(ready: Deploys, manner: str, words: str) -> None:
    said = ready.refused(code=1, REVERSE=manner)
    assert words in said.error
    ready.back()


def test_a_project_that_falls_silent_in_the_middle_of_a_segment(ready: Deploys) -> None:
    said = ready.refused("--strategy", "unapply", "--on-loss", "accept", "--silence", "3", code=1, REVERSE="stop")
    assert said.error == "the project said nothing for 3 seconds"
    query = (
        "SELECT application_name FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
    )
    assert ready.database.rows(query) == []
    ready.back()


@pytest.mark.parametrize("manner", ["work", "replace stdout"])
def test_a_project_at_work_is_not_silent(ready: Deploys, manner: str) -> None:
    """However long a reverse takes, and whatever it does to its own streams."""
    ready.flagsnap.environment |= {"REVERSE": manner}
    ready.back("--strategy", "unapply", "--on-loss", "accept", "--silence", "5")


def test_a_command_that_is_no_project(ready: Deploys) -> None:
    commands = [
        ("/no/such/program manage.py", 2, "cannot run /no/such/program"),
        ("python 'manage.py", 2, "--manage cannot be read: no closing quotation"),
        (" ", 2, "--manage is empty"),
        (f"{sys.executable} /no/such/manage.py", 1, "/no/such/manage.py"),
        (shlex.join([sys.executable, "-c", "raise SystemExit('no such service: flagsmith')"]), 1, "no such service"),
        ("true", 1, "the project ended without an answer"),
        ("echo", 1, "the project ended without an answer"),
    ]
    for manage, code, words in commands:
        said = ready.refused(code=code, FLAGSNAP_MANAGE=manage)
        assert words in said.error


def test_a_project_on_another_database(ready: Deploys, tmp_path: Path) -> None:
    other = Database(ready.database.server, f"{ready.database.name}_other")
    other.create()
    for options in (["--strategy", "unapply"], []):
        said = ready.refused(*options, DATABASE_URL=other.url)
        assert said.error == (
            f"the project is connected to the database {other.name}, flagsnap to {ready.database.name}"
        )
        assert "same database" in said.hint
    role = ready.database.role("app")
    url = ready.database.server.url(ready.database.name, role, "wr0ng")
    said = ready.refused(code=1, DATABASE_URL=url)
    assert "OperationalError" in said.error
    assert "wr0ng" not in said.error + said.hint
    sqlite = {"ENGINE": "django.db.backends.sqlite3", "NAME": str(tmp_path / "db.sqlite")}
    ready.project.install(DATABASES={"default": sqlite})
    ready.project.write()
    said = ready.refused()
    assert said.error == "the project's database is sqlite, not PostgreSQL"


def test_a_project_whose_migrations_do_not_fit_together(ready: Deploys, project: Project) -> None:
    project.migration("flags", "0004_lost", run_sql("SELECT 1", "SELECT 1"), dependencies=[("flags", "0003_gone")])
    project.write()
    said = ready.refused(code=1)
    assert "NodeNotFoundError" in said.error


def described(project: Project, *operations: str, fields: dict[str, str], imports: str = "") -> Description:
    """What a project says of one migration with these operations, behind one that creates Flag and Tag."""
    create = create_model("Tag", name=TEXT), create_model("Flag", name=TEXT, **fields)
    project.app("flags", {"0001_initial": migration(*create)})
    project.migration("flags", "0002_colour", *operations, dependencies=[FIRST], imports=imports)
    project.write()
    project.migrate()
    return Bridge(project.manage_command, 60).describe([Migration(*FIRST)])


def effects(project: Project, *operations: str, imports: str = "", **fields: str) -> tuple[Effect, ...]:
    """The effects of one migration with these operations."""
    return described(project, *operations, fields=fields, imports=imports).effects


def test_what_the_way_back_of_operations_does(project: Project) -> None:
    imports = """
from django.db.migrations.operations.base import Operation

def back(apps, schema_editor):
    print("back")

class OurSql(migrations.RunSQL):
    def database_backwards(self, *arguments):
        super().database_backwards(*arguments)

class OurOwn(Operation):
    def state_forwards(self, app_label, state):
        pass
    def database_forwards(self, *arguments):
        pass
    def database_backwards(self, *arguments):
        pass
"""
    found = described(
        project,
        add_field("Flag", "colour"),
        run_sql("SELECT 1", "DELETE FROM flags_tag; SELECT '100%'"),
        """migrations.RunSQL("SELECT 1", ["SELECT 1 -- one", ("DELETE FROM flags_tag WHERE name = %s", ["it's"])])""",
        "OurSql('SELECT 1', 'SELECT 2')",
        "migrations.RunPython(back, back)",
        "migrations.RunPython(back, migrations.RunPython.noop)",
        "migrations.SeparateDatabaseAndState([OurOwn()])",
        imports=imports,
        fields={},
    )
    (node,) = (each for each in found.graph.nodes if each.migration == Migration(*SECOND))
    bound = "SELECT 1 -- one\n;\nDELETE FROM flags_tag WHERE name = 'it''s'"
    expected = [
        ("AddField", False, "", False),
        ("RunSQL", False, "DELETE FROM flags_tag; SELECT '100%'", False),
        ("RunSQL", False, bound, False),
        ("OurSql", False, "SELECT 2", False),
        ("RunPython", False, "", True),
        ("RunPython", True, "", False),
        ("OurOwn", False, "", True),
    ]
    assert list(node.operations) == [
        Operation(kind, reversible=True, reverse_does_nothing=nothing, reverse_sql=sql, runs_code=code)
        for kind, nothing, sql, code in expected
    ]


def test_names_that_migrations_give(project: Project) -> None:
    assert effects(
        project,
        "migrations.AddIndex('Flag', models.Index(fields=['size'], name='by_size'))",
        "migrations.AddConstraint('Flag', models.CheckConstraint(condition=models.Q(size__gt=0), name='sane'))",
        "migrations.RenameIndex('Flag', new_name='by_bulk', old_name='by_size')",
        "HStoreExtension()",
        "migrations.RemoveConstraint('Flag', 'sane')",
        run_sql("CREATE TABLE a (id int); ALTER TABLE a RENAME TO b", "DROP TABLE b"),
        imports="from django.contrib.postgres.operations import HStoreExtension",
        size=NUMBER,
    ) == (
        Named("by_size"),
        Named("sane"),
        Named("by_bulk"),
        Named("hstore"),
        RanSql("CREATE TABLE a (id int); ALTER TABLE a RENAME TO b"),
        CreatedTable("a"),
        RenamedTable("a", "b"),
    )


def test_a_column_whose_name_an_altered_field_changes(project: Project) -> None:
    assert effects(
        project,
        "migrations.AlterField('Flag', 'size', models.BigIntegerField(db_column='bulk'))",
        "migrations.AlterField('Flag', 'tag', models.ForeignKey('flags.Tag', models.CASCADE))",
        "migrations.AlterField('Flag', 'name', models.TextField())",
        size=NUMBER,
        tag="models.BigIntegerField()",
    ) == (
        RenamedColumn("flags_flag", "size", "bulk"),
        AlteredColumn("flags_flag", "bulk", was="integer"),
        RenamedColumn("flags_flag", "tag", "tag_id"),
        AlteredColumn("flags_flag", "tag_id", was="bigint"),
        AlteredColumn("flags_flag", "name", was="varchar(100)"),
    )


def test_columns_whose_type_is_another_or_that_take_null(project: Project) -> None:
    """The type of a reference is that of a key, which is not known where the models are not rendered."""
    assert effects(
        project,
        "migrations.AlterField('Flag', 'size', models.IntegerField(null=True))",
        "migrations.AlterField('Flag', 'tag', models.BigIntegerField())",
        "migrations.AlterField('Flag', 'name', models.CharField(max_length=100, help_text='x'))",
        "migrations.AlterField('Flag', 'other', models.OneToOneField('flags.Tag', models.CASCADE))",
        "migrations.AlterField('Flag', 'third', models.ForeignKey('flags.Flag', models.CASCADE))",
        size=NUMBER,
        tag="models.ForeignKey('flags.Tag', models.CASCADE, db_column='tag')",
        other="models.ForeignKey('flags.tag', models.CASCADE)",
        third="models.ForeignKey('flags.Tag', models.CASCADE)",
    ) == (
        AlteredColumn("flags_flag", "size", not_null=True),
        AlteredColumn("flags_flag", "tag", was=""),
        AlteredColumn("flags_flag", "third_id", was=""),
    )


def test_nulls_that_are_given_a_value(project: Project) -> None:
    """As the schema editor does: where there is a default, and NULLs could have been there."""
    assert effects(
        project,
        "migrations.AlterField('Flag', 'label', models.CharField(max_length=9, default='none'))",
        "migrations.AlterField('Flag', 'key', models.UUIDField(default=uuid.uuid4))",
        "migrations.AlterField('Flag', 'size', models.IntegerField())",
        "migrations.AlterField('Flag', 'name', models.CharField(max_length=9, default='x'))",
        label="models.CharField(max_length=9, null=True)",
        key="models.UUIDField(null=True)",
        size="models.IntegerField(null=True)",
        imports="import uuid\n",
    ) == (
        FilledNulls("flags_flag", "label", "'none'"),
        FilledNulls("flags_flag", "key", None),
        AlteredColumn("flags_flag", "name", was="varchar(100)"),
    )


def test_the_order_with_respect_to_another_model_is_a_column(project: Project) -> None:
    assert effects(
        project,
        "migrations.AlterOrderWithRespectTo('Flag', 'tag')",
        "migrations.AlterOrderWithRespectTo('Flag', None)",
        tag="models.ForeignKey('flags.Tag', models.CASCADE)",
    ) == (AddedColumn("flags_flag", "_order", "0"), DroppedColumn("flags_flag", "_order"))


def test_columns_that_cannot_be_added_to_a_table_with_rows(project: Project) -> None:
    fields = {
        "plain": ("models.IntegerField()", False),
        "key": ("models.ForeignKey('flags.Tag', models.CASCADE)", False),
        "null": ("models.IntegerField(null=True)", True),
        "default": (NUMBER, True),
        "db_default": ("models.IntegerField(db_default=3)", True),
        "blank": ("models.CharField(max_length=9, blank=True)", True),
        "auto_now": ("models.DateTimeField(auto_now=True)", True),
        "computed": (
            "models.GeneratedField(expression=models.F('null'), output_field=models.IntegerField(), db_persist=True)",
            True,
        ),
    }
    found = effects(
        project,
        *(remove_field("Flag", name) for name in reversed(fields)),
        **{name: source for name, (source, _) in fields.items()},
    )
    columns = {"key": "key_id"}
    assert found == tuple(
        DroppedColumn("flags_flag", columns.get(name, name), comes_back)
        for name, (_, comes_back) in reversed(fields.items())
    )


def test_the_text_of_code(project: Project) -> None:
    """Of the migration, and of the module where its function is from; not where code does nothing."""
    project.app("helpers", models="def work(apps, schema_editor):\n    MADE = 'by_helper'\n    print(MADE)\n")
    found = effects(
        project,
        add_field("Flag", "colour"),
        "migrations.RunPython(work, migrations.RunPython.noop)",
        imports="from helpers.models import work\n# by_migration\n",
    )
    added, *codes = found
    assert added == AddedColumn("flags_flag", "colour", "''")
    texts = [each.text for each in codes if isinstance(each, RanCode)]
    assert len(texts) == len(codes) == 2
    assert ["by_migration" in text for text in texts].count(True) == 1
    assert ["MADE = 'by_helper'" in text for text in texts].count(True) == 1


def test_code_that_does_nothing_has_no_text(project: Project) -> None:
    assert effects(project, "migrations.RunPython(migrations.RunPython.noop, migrations.RunPython.noop)") == ()
