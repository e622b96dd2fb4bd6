"""What no migration made is told apart: the plan names it, unapplying leaves it, and the proof is one without it."""

import json

import pytest

from tests.fix_deploys import Deploys
from tests.fix_projects import NUMBER, TEXT, Node, Project, add_field, create_model, run_sql

FIRST: list[Node] = [("flags", "0001_initial")]
# Statements that make something, and what flagsnap calls it.
MADE = {
    "CREATE TABLE cache (key text PRIMARY KEY)": ("table", "public.cache"),
    "CREATE INDEX by_name ON flags_flag (name)": ("index", "public.flags_flag.by_name"),
    "ALTER TABLE flags_flag ADD note text": ("column", "public.flags_flag.note"),
    "ALTER TABLE flags_flag ADD CONSTRAINT sane CHECK (size >= 0)": ("constraint", "public.flags_flag.sane"),
    "CREATE VIEW names AS SELECT name FROM flags_flag": ("view", "public.names"),
    "CREATE MATERIALIZED VIEW sizes AS SELECT size FROM flags_flag": ("materialized view", "public.sizes"),
    "CREATE FUNCTION log_it() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END'": (
        "function",
        "public.log_it()",
    ),
    "CREATE TRIGGER logged BEFORE UPDATE ON flags_flag FOR EACH ROW EXECUTE FUNCTION log_it()": (
        "trigger",
        "public.flags_flag.logged",
    ),
    "CREATE EXTENSION hstore": ("extension", "hstore"),
    "CREATE TYPE mood AS ENUM ('good', 'bad')": ("enum type", "public.mood"),
    "CREATE SEQUENCE numbers": ("sequence", "public.numbers"),
    "CREATE SCHEMA audit": ("schema", "audit"),
    "CREATE TABLE audit.entry (id int)": ("table", "audit.entry"),
}
UNMADE = (
    "DROP TABLE audit.entry; DROP SCHEMA audit; DROP SEQUENCE numbers; DROP TYPE mood; DROP EXTENSION hstore;"
    "DROP TRIGGER logged ON flags_flag; DROP FUNCTION log_it; DROP MATERIALIZED VIEW sizes; DROP VIEW names;"
    "ALTER TABLE flags_flag DROP CONSTRAINT sane, DROP note; DROP INDEX by_name; DROP TABLE cache"
)
BY_SQL = run_sql(";".join(MADE), UNMADE)
BY_CODE = f"""migrations.RunPython(
    lambda apps, editor: editor.execute({";".join(MADE)!r}), lambda apps, editor: editor.execute({UNMADE!r}))"""


@pytest.fixture
def deployed(deploys: Deploys, project: Project) -> Deploys:
    """A recorded model, and a deploy that adds a field, an index and a model."""
    project.app("flags")
    project.migration("flags", "0001_initial", create_model("Flag", name=TEXT, size=NUMBER))
    deploys.capture()
    project.migration(
        "flags",
        "0002_colour",
        add_field("Flag", "colour", 'models.CharField(max_length=9, default="", db_index=True)'),
        "migrations.AddIndex('Flag', models.Index(fields=['size'], name='by_size'))",
        "migrations.AddConstraint('Flag', models.UniqueConstraint(fields=['name', 'size'], name='unlike'))",
        "migrations.AlterField('Flag', 'name', models.CharField(max_length=100, default='', unique=True))",
        create_model("Tag", name=TEXT),
        dependencies=FIRST,
    )
    deploys.deploy()
    return deploys


def by_hand(deploys: Deploys, *statements: str) -> None:
    """Run statements as an administrator would."""
    for statement in statements:
        deploys.database.execute(statement)


def test_what_was_made_by_hand_is_kept(deployed: Deploys) -> None:
    assert deployed.plan()["kept"] == []
    by_hand(
        deployed,
        *MADE,
        "INSERT INTO cache VALUES ('x')",
        "INSERT INTO flags_flag (name, size, colour, note) VALUES ('a', 1, '', 'b')",
    )
    plan = deployed.plan()
    assert {(each["kind"], each["object"]) for each in plan["kept"]} == set(MADE.values())
    assert [each for each in plan["losses"] if each["route"] == "unapply"] == []
    ended = deployed.rollback()
    for kind, name in MADE.values():
        assert f"{kind} {name}" in ended.out
    assert deployed.names() == {"flags.0001_initial"}
    assert deployed.database.rows("SELECT key FROM cache") == [("x",)]
    assert deployed.database.rows("SELECT name, note FROM flags_flag") == [("a", "b")]
    assert deployed.plan()["route"] is None
    checks = json.loads(deployed.flagsnap("verify", "--expect", "v2", "--json", code=3).out)["checks"]
    details = next(check["detail"] for check in checks if check["name"] == "schema")
    assert "table public.cache was not recorded" in details
    by_hand(deployed, UNMADE)
    deployed.assert_back()


@pytest.mark.parametrize("operation", [BY_SQL, BY_CODE], ids=["SQL", "code"])
def test_what_a_migration_made_goes_with_it(deployed: Deploys, project: Project, operation: str) -> None:
    project.migration("flags", "0003_more", operation, dependencies=[("flags", "0002_colour")])
    deployed.deploy()
    assert deployed.plan()["kept"] == []
    plan = deployed.back()
    assert plan["kept"] == []


def test_what_goes_along_with_a_table_or_a_column_of_the_deploy(deployed: Deploys) -> None:
    by_hand(
        deployed,
        "CREATE INDEX by_colour ON flags_flag (colour, name)",
        "CREATE VIEW colours AS SELECT name, colour FROM flags_flag",
        "CREATE VIEW tags AS SELECT name FROM flags_tag",
        "CREATE INDEX by_tag ON flags_tag (name)",
        "ALTER TABLE flags_tag ADD note text",
    )
    assert deployed.plan()["kept"] == []
    deployed.back()


def test_what_hangs_on_a_column_made_by_hand_is_kept_with_it(deployed: Deploys) -> None:
    by_hand(
        deployed,
        "ALTER TABLE flags_flag ADD number serial UNIQUE, ADD flag_id bigint REFERENCES flags_flag (id)",
        "CREATE INDEX by_number ON flags_flag (number)",
    )
    kept = {(each["kind"], each["object"]) for each in deployed.plan()["kept"]}
    assert kept == {
        ("column", "public.flags_flag.number"),
        ("column", "public.flags_flag.flag_id"),
        ("constraint", "public.flags_flag (UNIQUE (number))"),
        ("constraint", "public.flags_flag (FOREIGN KEY (flag_id) REFERENCES public.flags_flag(id))"),
        ("index", "public.flags_flag.by_number"),
        ("sequence", "public.flags_flag (of number)"),
    }
    deployed.rollback()
    assert deployed.plan()["route"] is None


def test_in_doubt_a_migration_made_it(deployed: Deploys, project: Project) -> None:
    """Its name stands in a migration that did not make it: the proof says so."""
    project.migration(
        "flags",
        "0003_code",
        "migrations.RunPython(migrations.RunPython.noop, migrations.RunPython.noop)",
        run_sql("SELECT 'cache'", "SELECT 1"),
        dependencies=[("flags", "0002_colour")],
    )
    deployed.deploy()
    by_hand(deployed, "CREATE TABLE cache (key text)", "CREATE TABLE other (key text)")
    assert deployed.plan()["kept"] == [{"kind": "table", "object": "public.other"}]
    assert "is not what was recorded: table public.cache was not recorded\n" in deployed.rollback(code=3).err
