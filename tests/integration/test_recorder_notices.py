"""What the recorded statements do not tell: it is noticed, and what code writes is told by table."""

import pytest

from tests.fix_projects import (
    NUMBER,
    Project,
    run_sql,
)
from tests.fix_servers import ALL_MAJORS
from tests.integration.recordings import DRIVERS, FIRST, back, code, deploy, ready


@DRIVERS
@pytest.mark.parametrize(
    ("noticed", "body"),
    [
        pytest.param(
            "a statement that failed",
            """
try:
    with transaction.atomic():
        cursor.execute("SELECT 1 / 0")
except DataError:
    pass
""",
            id="failed",
        ),
        pytest.param(
            "a statement that failed",
            """
try:
    with transaction.atomic():
        cursor.execute("DELETE FROM flags_flag")
        raise KeyError
except KeyError:
    pass
""",
            id="rolled back",
        ),
        pytest.param("a statement that failed", "cursor.execute('SAVEPOINT s; ROLLBACK TO s')", id="told to"),
        pytest.param(
            "COPY",
            """
if hasattr(cursor, "copy_expert"):
    cursor.copy_expert("COPY flags_tag (id, name) FROM STDIN", io.StringIO("7\\tseven\\n"))
else:
    with cursor.copy("COPY flags_tag (id, name) FROM STDIN") as copy:
        copy.write_row((7, "seven"))
""",
            id="copy",
        ),
        pytest.param("COPY", "cursor.execute(\"-- so\\nCOPY flags_tag TO PROGRAM 'cat > /dev/null'\")", id="program"),
        pytest.param(
            "a server-side cursor",
            """
with connection.chunked_cursor() as chunks:
    chunks.execute("WITH a AS (SELECT 1) SELECT * FROM a")
""",
            id="server-side",
        ),
        pytest.param("a function that is called on commit", "transaction.on_commit(lambda: None)", id="on commit"),
        pytest.param(
            "a cursor of the driver's own",
            "connection.connection.cursor().execute('DELETE FROM flags_flag')",
            id="driver",
        ),
        pytest.param("a cursor of the driver's own", "cursor.callproc('now')", id="procedure"),
    ],
)
def test_what_statements_do_not_tell_is_noticed(project: Project, driver: str, noticed: str, body: str) -> None:
    ready(project, driver)
    body = f"cursor = connection.cursor()\n{body.strip()}"
    code(body, project, driver, imports="import io\nfrom django.db import DataError, transaction\n")
    way = back(project, replay=False)
    assert way.operation.noticed == (noticed,)


@DRIVERS
def test_drivers_that_look_up_types_are_no_obstacle(project: Project, driver: str) -> None:
    """As psycopg's TypeInfo does for Django's own operations."""
    ready(project, driver)
    code("connection.connection.cursor().execute('SELECT 1')", project, driver)
    assert back(project).operation.noticed == ()


def test_more_statements_than_anybody_reads(project: Project) -> None:
    ready(project)
    code(
        """
with connection.cursor() as cursor:
    for number in range(20_001):
        cursor.execute("SELECT %s", [number])
    cursor.execute("SELECT 1")
""",
        project,
    )
    way = back(project, replay=False)
    assert way.operation.noticed == ("more than 20,000 statements",)
    assert way.operation.statements == ()


def test_a_parameter_that_cannot_be_bound(project: Project) -> None:
    """Here by an adapter that works once."""
    ready(project)
    code(
        """
class Once:
    pass


class Dumper(psycopg.adapt.Dumper):
    oid = 25
    def dump(self, value):
        return b"once"
    def quote(self, value):
        if any(name == "bound" for name in frames()):
            raise ValueError
        return b"'once'"

connection.connection.adapters.register_dumper(Once, Dumper)
with connection.cursor() as cursor:
    cursor.execute("UPDATE flags_flag SET name = %s", [Once()])
""",
        project,
        imports="""
import traceback
import psycopg


def frames():
    return [frame.name for frame in traceback.extract_stack()]
""",
    )
    way = back(project, replay=False)
    assert way.operation.noticed == ("a statement whose parameters cannot be bound",)
    assert project.database.rows("SELECT DISTINCT name FROM flags_flag") == [("once",)]


def test_a_transaction_that_is_undone_inside_a_migration_that_is_not_atomic(project: Project) -> None:
    ready(project)
    code(
        """
try:
    with transaction.atomic():
        apps.get_model("flags", "Flag").objects.all().delete()
        raise KeyError
except KeyError:
    pass
""",
        project,
        atomic=False,
        imports="from django.db import transaction\n",
    )
    assert back(project, replay=False).operation.noticed == ("a statement that failed",)


def test_sql_with_a_transaction_of_its_own(project: Project) -> None:
    """Which would end that of a replay; in a body, BEGIN is no transaction."""
    ready(project)
    own = run_sql("SELECT 1", "BEGIN; UPDATE flags_flag SET name = 'x'; COMMIT")
    body = run_sql("SELECT 1", "DO $$ BEGIN PERFORM 1; BEGIN PERFORM 1; END; END $$; SELECT 'a;commit'")
    project.migration("flags", "0002_deploy", own, body, dependencies=[FIRST], atomic=False)
    deploy(project)
    way = back(project, replay=False)
    assert [each.noticed for each in way.operations] == [(), ("a transaction of its own",)]


@pytest.mark.parametrize("server", ALL_MAJORS, indirect=True)
@pytest.mark.parametrize("atomic", [True, False])
def test_the_tables_that_code_writes(project: Project, *, atomic: bool) -> None:
    """As PostgreSQL counts them: also by a cascade or a trigger, and what only reads is not among them."""
    ready(project, gone="models.ForeignKey('flags.Tag', models.DO_NOTHING, null=True, related_name='+')")
    project.database.execute(
        "CREATE TABLE log (at int, seen text);"
        "CREATE TABLE emptied AS SELECT 1 AS a;"
        "CREATE TABLE idle AS SELECT 1 AS a;"
        "ALTER TABLE log DROP COLUMN at;"
        "CREATE FUNCTION noted() RETURNS trigger LANGUAGE plpgsql AS"
        " $$ BEGIN INSERT INTO log VALUES (NEW.name); RETURN NEW; END $$;"
        "CREATE TRIGGER noting AFTER UPDATE ON flags_flag FOR EACH ROW EXECUTE FUNCTION noted()"
    )
    body = """
with connection.cursor() as cursor:
    cursor.execute("UPDATE flags_flag SET name = 'x'")
    cursor.execute("TRUNCATE emptied")
    cursor.execute("UPDATE idle SET a = 2 WHERE false")
    cursor.execute("SELECT * FROM flags_tag")
"""
    code(body, project, atomic=atomic)
    wrote = {each.table: each for each in back(project).operation.wrote}
    if not atomic and project.database.server.major < 15:
        assert wrote == {}
        return
    assert {table for _, table in wrote} == {"flags_flag", "log", "emptied"}
    flag, log = wrote["public", "flags_flag"], wrote["public", "log"]
    assert (flag.triggers, log.triggers) == (True, False)
    assert project.database.rows("SELECT 'flags_flag'::regclass::oid::bigint") == [(flag.oid,)]
    assert log.columns == {"seen": 2}


def test_operations_of_the_projects_own_run_code(project: Project) -> None:
    ready(project)
    imports = """
class OurSql(migrations.RunSQL):
    def database_backwards(self, *arguments):
        super().database_backwards(*arguments)


class OtherSql(migrations.RunSQL):
    def database_backwards(self, app_label, schema_editor, from_state, to_state):
        super().database_backwards(app_label, schema_editor, from_state, to_state)
        schema_editor.execute("SELECT 3")


class OurField(migrations.AddField):
    pass


class Ours(migrations.SeparateDatabaseAndState):
    def database_backwards(self, app_label, schema_editor, from_state, to_state):
        schema_editor.execute("UPDATE flags_flag SET name = 'ours'")
"""
    operations = (
        "OurSql('SELECT 1', [('SELECT %s; -- twice', [2]), 'SELECT 2'])",
        "OtherSql('SELECT 1', 'SELECT 2')",
        f"OurField('Flag', 'size', {NUMBER})",
        f"Ours([{run_sql('SELECT 1', 'SELECT 2')}])",
    )
    project.migration("flags", "0002_deploy", *operations, dependencies=[FIRST], imports=imports)
    deploy(project)
    found = [(each.kind, each.runs_code, [wrote.table for wrote in each.wrote]) for each in back(project).operations]
    assert found == [
        ("Ours", True, [("public", "flags_flag")]),
        ("OurField", False, []),
        ("OtherSql", True, []),
        ("OurSql", False, []),
    ]
