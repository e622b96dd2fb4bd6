"""Unapplying around squashed migrations: their rows say nothing of when, and little of what."""

import pytest

from tests.fix_deploys import Deploys, names, steps
from tests.fix_projects import TEXT, Node, Project, add_field, create_model, migration

FIRST: Node = ("flags", "0001_initial")
SECOND: Node = ("flags", "0002_colour")
SQUASHED = "0001_squashed_0002_colour"
CREATE = create_model("Flag", name=TEXT)
COLOUR = add_field("Flag", "colour")
LABEL = add_field("Flag", "label")


def history(project: Project, *, second: bool = True) -> None:
    """The app `flags` with its first two migrations, or only one."""
    project.app("flags", {"0001_initial": migration(CREATE, initial=True)})
    if second:
        project.migration("flags", "0002_colour", COLOUR, dependencies=[FIRST])


def squash(project: Project, *, replaces: bool = True) -> None:
    """Add the squashed form of the first two."""
    replaced = [FIRST, SECOND] if replaces else []
    project.migration("flags", SQUASHED, create_model("Flag", name=TEXT, colour=TEXT), replaces=replaced, initial=True)


def test_a_squashed_row_that_was_recorded_last_of_all_is_bookkeeping(deploys: Deploys, project: Project) -> None:
    history(project)
    deploys.capture("v2")
    deploys.database.execute("INSERT INTO flags_flag (name, colour) VALUES ('old', 'red')")
    squash(project)
    project.migration("flags", "0003_label", LABEL, dependencies=[SECOND])
    deploys.capture("v3")
    assert project.applied()[-1] == ("flags", SQUASHED)
    project.migration("flags", "0004_note", add_field("Flag", "note"), dependencies=[("flags", "0003_label")])
    deploys.deploy()

    plan = deploys.back(to="v3")
    assert steps(plan) == [(True, ["flags.0004_note"])]
    assert plan["bookkeeping"] == []

    plan = deploys.back(to="v2")
    assert steps(plan) == [(True, ["flags.0003_label"])]
    assert names(plan["bookkeeping"]) == [f"flags.{SQUASHED}"]
    assert deploys.database.rows("SELECT name, colour FROM flags_flag") == [("old", "red")]


def test_a_deploy_that_brings_nothing_but_a_squashed_row(deploys: Deploys, project: Project) -> None:
    history(project)
    deploys.capture()
    squash(project)
    deploys.deploy()
    plan = deploys.back("--on-loss", "refuse")
    assert (plan["route"], plan["steps"]) == ("unapply", [])
    assert names(plan["bookkeeping"]) == [f"flags.{SQUASHED}"]


def test_a_squashed_migration_that_straddles_the_recorded_state(deploys: Deploys, project: Project) -> None:
    history(project, second=False)
    deploys.capture()
    history(project)
    squash(project)
    project.migration("flags", "0003_label", LABEL, dependencies=[("flags", SQUASHED)])
    deploys.deploy()
    assert ("flags", SQUASHED) in project.applied()
    plan = deploys.back()
    assert steps(plan) == [(True, ["flags.0003_label", "flags.0002_colour"])]
    assert names(plan["bookkeeping"]) == [f"flags.{SQUASHED}"]


@pytest.mark.parametrize("kept", [True, False], ids=["replaced files kept", "replaced files deleted"])
def test_a_squashed_migration_applied_as_one_is_unapplied_as_one(
    deploys: Deploys, project: Project, kept: bool
) -> None:
    project.app("users", {"0001_initial": migration(create_model("User"))})
    deploys.capture()
    history(project)
    squash(project)
    if not kept:
        project.remove("flags", "0001_initial", "0002_colour")
    deploys.deploy()
    assert set(project.applied()) >= {FIRST, SECOND, ("flags", SQUASHED)}
    plan = deploys.back()
    assert steps(plan) == [(True, [f"flags.{SQUASHED}"])]
    assert set(names(plan["extra"])) == {"flags.0001_initial", "flags.0002_colour", f"flags.{SQUASHED}"}
    assert plan["bookkeeping"] == []


@pytest.mark.parametrize("replaces", [True, False], ids=["replaces kept", "replaces taken out"])
def test_replaced_files_are_deleted_by_the_deploy(deploys: Deploys, project: Project, replaces: bool) -> None:
    history(project)
    squash(project)
    deploys.capture()
    squash(project, replaces=replaces)
    project.remove("flags", "0001_initial", "0002_colour")
    project.migration("flags", "0003_label", LABEL, dependencies=[("flags", SQUASHED)])
    deploys.deploy()
    plan = deploys.back()
    assert steps(plan) == [(True, ["flags.0003_label"])]
    assert plan["bookkeeping"] == []


def test_a_squashed_migration_whose_own_row_was_not_written_yet(deploys: Deploys, project: Project) -> None:
    project.app("users", {"0001_initial": migration(create_model("User"))})
    deploys.capture()
    history(project)
    deploys.deploy()
    squash(project)
    project.write()
    plan = deploys.back()
    assert steps(plan) == [(True, [f"flags.{SQUASHED}"])]


def test_pruned_rows_are_put_back_with_their_dates(deploys: Deploys, project: Project) -> None:
    history(project)
    squash(project)
    deploys.capture()
    squash(project, replaces=False)
    project.remove("flags", "0001_initial", "0002_colour")
    project.migration("flags", "0003_label", LABEL, dependencies=[("flags", SQUASHED)])
    deploys.deploy()
    project.migrate("flags", "--prune")
    assert FIRST not in project.applied()
    plan = deploys.back()
    assert steps(plan) == [(True, ["flags.0003_label"])]
    assert set(names(plan["bookkeeping"])) == {"flags.0001_initial", "flags.0002_colour"}


@pytest.mark.parametrize("base", [True, False], ids=["on a recorded one", "from the start"])
def test_a_squashed_form_that_no_longer_says_what_it_replaces_is_not_unapplied(
    deploys: Deploys, project: Project, base: bool
) -> None:
    """It looks like any extra migration; to unapply it would drop what was recorded."""
    history(project)
    below: list[Node] = []
    if base:
        project.app("flags", {"0000_base": migration(create_model("Base")), **project.apps["flags"].migrations})
        below = [("flags", "0000_base")]
        project.migration("flags", "0001_initial", CREATE, dependencies=below)
    deploys.capture()
    deploys.database.execute("INSERT INTO flags_flag (name, colour) VALUES ('old', 'red')")
    squashed = create_model("Flag", name=TEXT, colour=TEXT)
    project.migration("flags", SQUASHED, squashed, replaces=[FIRST, SECOND], dependencies=below)
    project.migration("flags", "0003_label", LABEL, dependencies=[SECOND])
    deploys.deploy()
    project.migration("flags", SQUASHED, squashed, dependencies=below)
    project.migration("flags", "0003_label", LABEL, dependencies=[("flags", SQUASHED)])
    project.remove("flags", "0001_initial", "0002_colour")
    project.write()
    for prune in (False, True):
        if prune:
            project.migrate("flags", "--prune")
        said = deploys.refused()
        assert f"flags.{SQUASHED}" in said.error
        assert "--strategy restore" in said.hint
    plan = deploys.plan("--on-loss", "accept")
    assert plan["route"] == "restore"


def test_an_app_that_was_renamed_by_a_squashed_migration_is_not_unapplied(deploys: Deploys, project: Project) -> None:
    """As in Flagsmith's health check: the new app's migration replaces the old app's, and later says so no more."""
    made = create_model("Check", "{'db_table': 'health_check'}", name=TEXT)
    project.app("health_check_db", {"0001_initial": migration(made)})
    deploys.capture()
    del project.apps["health_check_db"]
    project.app("db", {"0001_initial": migration(made, replaces=[("health_check_db", "0001_initial")])})
    deploys.deploy()
    assert ("db", "0001_initial") in project.applied()
    plan = deploys.plan()
    assert (plan["route"], names(plan["bookkeeping"])) == ("unapply", ["db.0001_initial"])
    project.migration("db", "0001_initial", made)
    deploys.deploy()
    said = deploys.refused()
    assert "health_check, which was recorded" in said.error
    deploys.back("--on-loss", "restore")
