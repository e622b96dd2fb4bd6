"""`--applied-before` where snapshots are: the one that recorded the set is gone back to, and any other is named."""

from datetime import UTC, datetime, timedelta

import pytest

from flagsnap.snapshot import MANIFEST
from tests.cli.terminals import on_a_terminal
from tests.fix_deploys import Deploys, names, steps
from tests.fix_projects import TEXT, Node, Project, add_field, create_model, migration, remove_field, run_sql
from tests.integration import replays
from tests.integration.moments import FIRST, SECOND, Dated

INITIAL: Node = ("flags", "0001_initial")
COLOUR: Node = ("flags", "0002_colour")
LABEL: Node = ("flags", "0003_label")
ACCEPT = ("--on-loss", "accept")


@pytest.fixture
def dated(deploys: Deploys, project: Project) -> Dated:
    """A first deploy, with a table and rows; what is dated is long past."""
    dated = Dated(deploys)
    project.app("flags", {"0001_initial": migration(create_model("Flag", name=TEXT, size=TEXT), initial=True)})
    dated.deploy(FIRST)
    deploys.database.execute("INSERT INTO flags_flag (name, size) VALUES ('a', 'large'), ('b', 'small')")
    return dated


def colour(project: Project) -> None:
    """A release that adds one column and drops another."""
    added = [add_field("Flag", "colour"), remove_field("Flag", "size")]
    project.migration("flags", "0002_colour", *added, dependencies=[INITIAL])


def label(project: Project) -> None:
    """A release with one more column."""
    project.migration("flags", "0003_label", add_field("Flag", "label"), dependencies=[COLOUR])


def test_the_snapshot_of_that_set_is_gone_back_to(deploys: Deploys, project: Project, dated: Dated) -> None:
    """With its whole proof, its refill, and its fallback: the time is another name for it."""
    deploys.capture("v2")
    colour(project)
    deploys.deploy()
    deploys.database.execute("UPDATE flags_flag SET colour = 'red' WHERE name = 'a'")
    time = dated.newest()
    lines = dated.text(time)
    assert lines[0].startswith(f"unapply 1 migration, back to what was applied before {time} UTC: ")
    assert lines[1].startswith("recorded by snapshot v2, captured 20")
    plan = dated.plan(time)
    assert {each["route"] for each in plan["losses"]} >= {"unapply"}
    assert "restore" not in {each["route"] for each in plan["closed"]}
    ended = dated.rollback(time, "--json")
    deploys.assert_back("v2")
    assert deploys.database.rows("SELECT name, size FROM flags_flag ORDER BY 1") == [("a", "large"), ("b", "small")]
    assert (ended.json["verified"], ended.json["proven"]) == (True, ["migrations", "schema"])
    assert (ended.json["plan"]["to"], ended.json["plan"]["other_snapshot"]) == ("v2", None)
    assert datetime.fromisoformat(ended.json["plan"]["applied_before"]) == datetime.fromisoformat(f"{time}+00:00")
    assert ended.json["archive"].startswith("v2-archive-")
    again = dated.rollback(time)
    assert again.out.splitlines()[0].startswith(f"back to what was applied before {time} UTC: nothing had to be")
    assert dated.text(time)[0].startswith("nothing to do: the migrations and the schema are what was applied before")


def test_the_restore_is_open_with_a_snapshot(deploys: Deploys, project: Project, dated: Dated) -> None:
    deploys.capture("v2")
    colour(project)
    deploys.deploy()
    ended = dated.rollback(dated.newest(), "--strategy", "restore", *ACCEPT, "--json")
    assert (ended.json["route"], ended.json["verified"]) == ("restore", True)
    deploys.assert_back("v2")


def test_a_rehearsed_deploy_is_replayed(deploys: Deploys) -> None:
    replays.deployed(deploys)
    ((time,),) = deploys.database.rows("SELECT applied FROM django_migrations WHERE name = '0002_colours'")
    ended = Dated(deploys).rollback(str(time), *ACCEPT, *replays.NO_PROJECT, "--json")
    assert (ended.json["route"], ended.json["plan"]["to"], ended.json["verified"]) == ("replay", "v2", True)
    deploys.assert_back("v2")


def test_a_snapshot_of_another_set_is_named(deploys: Deploys, project: Project, dated: Dated) -> None:
    deploys.capture("v2")
    colour(project)
    deploys.deploy()
    between = datetime.now(UTC) - timedelta(microseconds=1)
    schema, applied = deploys.schema(), deploys.applied()
    label(project)
    deploys.deploy()
    lines = dated.text(between.isoformat(), *ACCEPT)
    assert lines[1].startswith("no snapshot recorded that state: ")
    assert lines[2].startswith("snapshot v2, captured 20")
    assert lines[2].endswith(", recorded another set: 1 migration applied after it")
    assert lines[3] == "  flagsnap rollback --to v2 goes there"
    said = dated.refused(between.isoformat(), "--strategy", "restore")
    assert said.error == "cannot roll back by restore: no snapshot recorded that state"
    ended = dated.rollback(between.isoformat(), *ACCEPT, "--json")
    assert ended.json["plan"]["to"] is None
    assert ended.json["plan"]["other_snapshot"] == {
        "deploy_id": "v2",
        "captured_at": deploys.snapshots.get("v2").captured_at.isoformat(),
        "added": 1,
        "gone": 0,
    }
    assert (ended.json["verified"], ended.json["proven"]) == (False, ["migrations"])
    assert (deploys.schema(), deploys.applied()) == (schema, applied)


def test_the_set_was_recorded_only_later(deploys: Deploys, project: Project, dated: Dated) -> None:
    """As before the next deploy: whoever captured then knows the state of that time too."""
    colour(project)
    dated.deploy(SECOND)
    deploys.capture("v3")
    label(project)
    deploys.deploy()
    plan = dated.plan("2024-05-08")
    assert (plan["to"], names(plan["extra"])) == ("v3", ["flags.0003_label"])
    plan = dated.plan(SECOND)
    assert (plan["to"], names(plan["extra"])) == (None, ["flags.0002_colour", "flags.0003_label"])


def test_a_snapshot_that_differs_by_bookkeeping_rows_is_of_that_set(
    deploys: Deploys, project: Project, dated: Dated
) -> None:
    """The row of a squashed migration was written after the capture, and before the time."""
    colour(project)
    deploys.capture("v2")
    model = create_model("Flag", name=TEXT, colour=TEXT)
    squashed = "0001_squashed_0002_colour"
    project.migration("flags", squashed, model, replaces=[INITIAL, COLOUR], initial=True)
    deploys.deploy()
    assert ("flags", squashed) in project.applied()
    time = datetime.now(UTC).isoformat()
    project.migration("flags", "0003_label", add_field("Flag", "label"), dependencies=[("flags", squashed)])
    deploys.deploy()
    plan = dated.plan(time)
    assert (plan["to"], steps(plan)) == ("v2", [(True, ["flags.0003_label"])])
    assert names(plan["bookkeeping"]) == [f"flags.{squashed}"]
    dated.rollback(time)
    deploys.assert_back("v2")
    without = deploys.flagsnap.within("plan", "--applied-before", time, "--json", FLAGSNAP_MANAGE="")
    assert without.json["plan"]["route"] is None, "nothing is applied since, so nobody need be asked"


def test_a_damaged_snapshot_is_gone_on_without(deploys: Deploys, project: Project, dated: Dated) -> None:
    deploys.capture("v2")
    deploys.flagsnap.place.put(f"v2/{MANIFEST}", b"{")
    colour(project)
    deploys.deploy()
    ended = dated.rollback(dated.newest(), *ACCEPT)
    assert "going on without snapshot v2: " in ended.err
    assert "proven: the applied migrations; the schema was not recorded, so it was not compared" in ended.out


def test_half_way_and_on(deploys: Deploys, project: Project, dated: Dated) -> None:
    """The target is what was applied before the time, however much of the rest is gone already."""
    deploys.capture("v2")
    fails = run_sql("SELECT 1", "SELECT 1 / (SELECT count(*) FROM flags_flag WHERE name = 'mended')")
    project.migration("flags", "0002_colour", add_field("Flag", "colour"), fails, dependencies=[INITIAL])
    project.migration("flags", "0003_label", add_field("Flag", "label"), dependencies=[COLOUR], atomic=False)
    deploys.deploy()
    ((time,),) = deploys.database.rows("SELECT applied FROM django_migrations WHERE name = '0002_colour'")
    ended = dated.rollback(str(time), *ACCEPT, code=7)
    assert "1 of 2 extra migrations are unapplied" in ended.err
    assert "the same command then goes on from there" in ended.err
    deploys.database.execute("INSERT INTO flags_flag (name, size, colour) VALUES ('mended', '', '')")
    dated.rollback(str(time), *ACCEPT)
    deploys.assert_back("v2")


def test_somebody_is_shown_the_time_and_asked(deploys: Deploys, project: Project, dated: Dated) -> None:
    colour(project)
    dated.deploy(SECOND)
    deploys.database.execute("UPDATE flags_flag SET colour = 'red'")
    arguments = ("rollback", "--applied-before", "2024-05-07T10:00+02:00")
    with deploys.untouched():
        ended = on_a_terminal(deploys.flagsnap, *arguments, answers={"accept or no?": "no\n"})
    assert ended.code == 130
    shown = ended.err.replace("\r\n", "\n")
    assert "back to what was applied before 2024-05-07 08:00:00 UTC: LOSES an unknown number of values" in shown
    ended = on_a_terminal(deploys.flagsnap, *arguments, answers={"accept or no?": "accept\n"})
    assert ended.code == 0, ended.err
    assert project.applied() == [INITIAL]
