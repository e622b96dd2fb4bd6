"""What cannot be unapplied is refused: one clear line, a hint, the right exit code, and an untouched database."""

import pytest

from tests.fix_databases import Database
from tests.fix_deploys import Deploys, names, refusal
from tests.fix_projects import TEXT, Node, Project, add_field, create_model, migration, run_sql
from tests.fix_servers import server_of

FIRST: Node = ("flags", "0001_initial")
SECOND: Node = ("flags", "0002_extra")


def two_releases(deploys: Deploys, *operations: str) -> None:
    """Capture an app's first migration and deploy a second one."""
    deploys.project.app("flags", {"0001_initial": migration(create_model("Flag", name=TEXT))})
    deploys.capture()
    deploys.project.migration(
        "flags", "0002_extra", *operations or (add_field("Flag", "colour"),), dependencies=[FIRST]
    )
    deploys.deploy()


@pytest.mark.parametrize(
    "operation",
    [
        run_sql("UPDATE flags_flag SET name = name"),
        "migrations.RunPython(lambda apps, editor: None)",
        "migrations.SeparateDatabaseAndState([migrations.RunSQL('SELECT 1')])",
    ],
    ids=["RunSQL", "RunPython", "within SeparateDatabaseAndState"],
)
def test_an_irreversible_migration(deploys: Deploys, operation: str) -> None:
    two_releases(deploys, operation)
    said = deploys.refused()
    assert said.error == "cannot roll back by unapply: irreversible: flags.0002_extra"
    assert said.hint == "--strategy restore takes the snapshot instead"
    plan = deploys.plan()
    assert plan["route"] == "restore"
    assert [(each["route"], each["reason"]) for each in plan["closed"]] == [
        ("replay", "deploy v2 was not rehearsed"),
        ("unapply", "irreversible: flags.0002_extra"),
    ]
    assert plan["steps"] == []


def test_an_applied_migration_that_the_running_code_does_not_know(deploys: Deploys, project: Project) -> None:
    two_releases(deploys)
    project.remove("flags", "0002_extra")
    project.write()
    said = deploys.refused()
    assert said.error.endswith("applied and not known to the project's code: flags.0002_extra")
    assert "image of the newer version" in said.hint
    assert "--strategy restore" in said.hint
    assert deploys.plan()["route"] == "restore"


def test_a_recorded_migration_that_is_no_longer_applied(deploys: Deploys, project: Project) -> None:
    project.app("users", {"0001_initial": migration(create_model("User", name=TEXT))})
    project.migration("users", "0002_more", add_field("User", "more"), dependencies=[("users", "0001_initial")])
    two_releases(deploys)
    project.migrate("users", "0001")
    said = deploys.refused()
    assert said.error.endswith("recorded and no longer applied: users.0002_more")
    assert "apply them with `migrate`" in said.hint
    plan = deploys.plan()
    assert names(plan["missing"]) == ["users.0002_more"]
    project.migrate("users")
    deploys.rollback()
    assert deploys.names() == {"flags.0001_initial", "users.0001_initial", "users.0002_more"}


def test_a_recorded_migration_that_has_come_to_depend_on_an_extra_one(deploys: Deploys, project: Project) -> None:
    project.app("users", {"0001_initial": migration(create_model("User", name=TEXT))})
    two_releases(deploys)
    project.migration("users", "0001_initial", create_model("User", name=TEXT), dependencies=[SECOND])
    project.write()
    said = deploys.refused()
    assert "users.0001_initial was recorded and depends on flags.0002_extra" in said.error


def test_a_schema_that_was_changed_without_a_migration(deploys: Deploys, project: Project) -> None:
    project.app("flags", {"0001_initial": migration(create_model("Flag", name=TEXT))})
    deploys.capture()
    deploys.database.execute("ALTER TABLE flags_flag ALTER name DROP NOT NULL")
    said = deploys.refused()
    assert "the schema was changed otherwise" in said.error
    assert deploys.plan()["route"] == "restore"


def test_a_change_without_a_migration_under_extra_ones_is_told_afterwards(deploys: Deploys, project: Project) -> None:
    two_releases(deploys)
    deploys.database.execute("ALTER TABLE flags_flag ALTER name DROP NOT NULL; COMMENT ON TABLE flags_flag IS 'ours'")
    ended = deploys.rollback(code=3)
    name = "column public.flags_flag.name: not null was recorded as yes, is no"
    assert name in ended.err
    assert "table public.flags_flag: comment was recorded as nothing, is ours" in ended.err
    assert "--strategy restore" in ended.err
    assert deploys.names() == {"flags.0001_initial"}
    shown = deploys.flagsnap("verify", "--expect", "v2", code=3).out
    assert name in shown


def test_a_snapshot_from_before_the_first_migrate(deploys: Deploys, project: Project) -> None:
    deploys.flagsnap("capture", "--deploy-id", "v2")
    project.app("flags", {"0001_initial": migration(create_model("Flag", name=TEXT))})
    deploys.deploy()
    said = deploys.refused()
    assert "before the first migrate" in said.error
    assert deploys.plan()["route"] == "restore"


def test_a_snapshot_of_another_database(deploys: Deploys, project: Project) -> None:
    two_releases(deploys)
    database = deploys.database
    moved = Database(database.server, f"{database.name}_moved")
    database.rows(
        f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{database.name}'", "postgres"
    )
    with database.connect("postgres") as connection:
        connection.execute(f'CREATE DATABASE "{moved.name}" TEMPLATE "{database.name}"'.encode())
    deploys.flagsnap.environment |= {"FLAGSNAP_DATABASE_URL": moved.url, "DATABASE_URL": moved.url}
    said = deploys.refused()
    assert said.error.startswith(f"snapshot v2 is of the database {database.name}, not of {moved.name} on ")
    assert "--moved" in said.hint
    with deploys.untouched():
        deploys.rollback("--strategy", "unapply", "--on-loss", "accept", "--moved")
    assert moved.rows("SELECT app, name FROM django_migrations") == [FIRST]


def test_a_snapshot_of_a_database_of_the_same_name_on_another_server(deploys: Deploys, project: Project) -> None:
    two_releases(deploys)
    twin = Database(server_of(17), deploys.database.name)
    twin.create()
    try:
        said = refusal(deploys.rollback(code=2, FLAGSNAP_DATABASE_URL=twin.url))
    finally:
        twin.close()
    assert "of another server" in said.error


def test_no_project(deploys: Deploys) -> None:
    two_releases(deploys)
    del deploys.flagsnap.environment["FLAGSNAP_MANAGE"]
    said = deploys.refused()
    assert said.error == "cannot roll back by unapply: no project was named"
    assert "--manage" in said.hint
    plan = deploys.plan("--on-loss", "restore")
    assert (plan["route"], plan["closed"][1]["reason"]) == ("restore", "no project was named")
