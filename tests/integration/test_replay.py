"""A rehearsed deploy goes back by replaying: with no project at all, exactly, and only where it was rehearsed."""

import json
import subprocess

import pytest

from tests.fix_deploys import DEPLOY, Deploys, names, steps
from tests.fix_projects import TEXT, Node, add_field, create_model, migration
from tests.integration.replays import (
    ACCEPT,
    NO_PROJECT,
    REPLAY,
    captured,
    deployed,
    next_release,
    rehearsed,
    script_of,
    stored,
)

FIVE_SEGMENTS = [
    (True, ["flags.0006_last", "flags.0005_gone", "flags.0004_more"]),
    (False, ["flags.0003_indexes"]),
    (False, ["flags.0003_indexes"]),
    (True, ["flags.0003_indexes", "flags.0002_colours"]),
]


def test_without_any_project(deploys: Deploys) -> None:
    rehearsal = deployed(deploys)
    assert rehearsal.verdict == "exact"
    ended = deploys.rollback("--json", *ACCEPT, *NO_PROJECT)
    deploys.assert_back()
    plan = ended.json["plan"]
    assert (ended.json["route"], steps(plan)) == ("replay", FIVE_SEGMENTS)
    assert {loss["route"] for loss in plan["losses"]} == {"replay", "restore"}
    assert ("replay", "column_dropped", "public.flags_one.colour", 1, "archived") in {
        (loss["route"], loss["kind"], loss["object"], loss["rows"], loss["remedy"]) for loss in plan["losses"]
    }
    assert ended.json["refilled"] == [
        {"object": "public.flags_five.gone", "rows": 1, "replaced": 0, "skipped": 0, "detail": ""}
    ]
    assert deploys.database.rows("SELECT gone FROM flags_five") == [("captured",)]
    assert deploys.database.rows("SELECT name FROM flags_two") == [("changed",)]
    archive = ended.json["archive"]
    deploys.deploy()
    deploys.flagsnap.within("refill", "--from", archive)
    assert deploys.database.rows("SELECT colour FROM flags_one") == [("red",)]


def test_the_texts(deploys: Deploys) -> None:
    deployed(deploys)
    plan = deploys.flagsnap.within("plan", "--to", DEPLOY).out
    assert "replay the reverse SQL of 5 migrations, back to the state before deploy v2" in plan
    assert "unapply is closed: the project was not asked: the replay needs none" in plan
    words = [line.split() for line in plan.splitlines()]
    assert ["replay", "flags.0003_indexes", "no", "transaction"] in words
    done = deploys.rollback(*ACCEPT, *NO_PROJECT).out
    assert "replayed 5 migrations in" in done
    assert "proven: the applied migrations and the schema equal what was recorded" in done


def test_the_project_is_not_asked(deploys: Deploys) -> None:
    deployed(deploys)
    marker = deploys.project.folder.parent / "asked"
    ended = deploys.flagsnap.within("plan", "--to", DEPLOY, "--json", FLAGSNAP_MANAGE=f"touch {marker}")
    assert (ended.json["plan"]["route"], marker.exists()) == ("replay", False)


def test_one_more_index(deploys: Deploys) -> None:
    """The live database is not quite the rehearsed one: replay says what it is, and the project does it."""
    deployed(deploys)
    deploys.database.execute("CREATE INDEX made_by_hand ON flags_one (name)")
    reason = "the schema is not the rehearsed one: index public.flags_one.made_by_hand was not recorded"
    refused = deploys.refused(*REPLAY)
    assert refused.error == f"cannot roll back by replay: {reason}"
    assert "--strategy unapply" in refused.hint
    ended = deploys.rollback("--json", *ACCEPT)
    plan = ended.json["plan"]
    assert plan["route"] == "unapply"
    assert {"route": "replay", "reason": reason, "hint": refused.hint} in plan["closed"]
    assert plan["kept"] == [{"kind": "index", "object": "public.flags_one.made_by_hand"}]
    deploys.database.execute("DROP INDEX made_by_hand")
    deploys.assert_back()


def test_other_migrations(deploys: Deploys) -> None:
    deployed(deploys)
    deploys.project.migration("flags", "0007_new", add_field("Six", "late"), dependencies=[("flags", "0006_last")])
    deploys.deploy()
    refused = deploys.refused(*REPLAY)
    assert refused.error == (
        "cannot roll back by replay: the applied migrations are not the rehearsed ones: flags.0007_new"
    )
    plan = deploys.back(*ACCEPT)
    assert plan["route"] == "unapply"


def test_what_was_not_rehearsed(deploys: Deploys) -> None:
    captured(deploys)
    next_release(deploys)
    deploys.deploy()
    refused = deploys.refused(*REPLAY)
    assert refused.error == "cannot roll back by replay: deploy v2 was not rehearsed"
    assert refused.hint == "`flagsnap rehearse v2`, before the next deploy"
    plan = deploys.plan()
    assert (plan["route"], plan["closed"][0]["reason"]) == ("unapply", "deploy v2 was not rehearsed")
    assert "rehearsed" not in deploys.flagsnap.within("plan", "--to", DEPLOY).out
    assert deploys.refused(*REPLAY, "--in-place").hint == "leave out --in-place, or --strategy replay"


def test_what_cannot_be_replayed(deploys: Deploys) -> None:
    """Python on the way back may do something else on other rows."""
    captured(deploys)
    next_release(deploys)
    back = "def back(apps, schema_editor):\n    apps.get_model('flags', 'Six').objects.update(name='back')\n"
    deploys.project.migration(
        "flags",
        "0007_code",
        "migrations.RunPython(migrations.RunPython.noop, back)",
        dependencies=[("flags", "0006_last")],
        imports=back,
    )
    deploys.project.write()
    deploys.flagsnap.within("rehearse", DEPLOY, code=4)
    deploys.deploy()
    reason = "flags.0007_code: its reverse is Python, which may do something else on other rows"
    assert deploys.refused(*REPLAY).error == f"cannot roll back by replay: {reason}"
    assert "not to be replayed: " + reason in deploys.flagsnap.within("plan", "--to", DEPLOY, "--sql").out
    assert deploys.back(*ACCEPT)["route"] == "unapply"


def test_a_lock_that_cannot_be_had(deploys: Deploys) -> None:
    """That is no surprise: another route would wait for it as well."""
    deployed(deploys)
    with deploys.database.connect() as other:
        other.execute("BEGIN")
        other.execute("LOCK TABLE flags_six IN ROW EXCLUSIVE MODE")
        refused = deploys.refused("--lock-timeout", "0.3", *ACCEPT, code=1)
        other.execute("ROLLBACK")
    assert refused.error == ("a lock could not be had in time: canceling statement due to lock timeout")
    assert deploys.back(*ACCEPT)["route"] == "replay"


def test_a_lock_that_cannot_be_had_half_way(deploys: Deploys) -> None:
    deployed(deploys)
    with deploys.database.connect() as other:
        other.execute("BEGIN")
        other.execute("LOCK TABLE flags_one IN ROW EXCLUSIVE MODE")
        ended = deploys.rollback("--lock-timeout", "0.3", *ACCEPT, *NO_PROJECT, code=7)
        other.execute("ROLLBACK")
    assert "stopped half-way: 3 of 5 migrations are replayed and flags.0003_indexes in part; a lock" in ended.err
    assert "the same command then goes on from there" in ended.err
    plan = deploys.back(*ACCEPT)
    assert (plan["route"], steps(plan)) == ("replay", FIVE_SEGMENTS[3:])
    assert deploys.database.rows("SELECT gone FROM flags_five") == [("captured",)]


@pytest.mark.parametrize("damage", ["cut", "altered"])
def test_a_damaged_rehearsal(deploys: Deploys, damage: str) -> None:
    """It closes one way back, and no other."""
    deployed(deploys)
    place, key = deploys.flagsnap.place, f"{DEPLOY}/rehearsal.json"
    raw = place.get(key)
    place.put(key, raw[:100] if damage == "cut" else raw.replace(b"flags_six", b"flags_one"))
    assert "the rehearsal of v2 is damaged" in deploys.flagsnap.within("plan", "--to", DEPLOY, "--sql", code=5).err
    ended = deploys.rollback("--json", *ACCEPT)
    assert ended.json["route"] == "unapply"
    assert "going on without the rehearsal: the rehearsal of v2 is damaged" in ended.err
    deploys.assert_back()


def test_the_sql_through_psql(deploys: Deploys) -> None:
    rehearsal = deployed(deploys)
    ended = deploys.flagsnap.within("plan", "--to", DEPLOY, "--sql", *NO_PROJECT, FLAGSNAP_DATABASE_URL="")
    told = deploys.flagsnap.within("plan", "--to", DEPLOY, "--sql", "--json").json
    assert told["sql"].rstrip("\n") == ended.out.rstrip("\n")
    for part in (part for segment in script_of(rehearsal).segments for part in segment.parts):
        assert f"-- {part.migration}" in ended.out
    file = deploys.project.folder.parent / "back.sql"
    file.write_text(ended.out)
    psql = [str(deploys.database.server.bin_dir / "psql"), deploys.database.url, "--quiet", "--file", str(file)]
    subprocess.run(psql, check=True)
    deploys.assert_back()


def test_the_sql_of_what_was_not_rehearsed(deploys: Deploys) -> None:
    captured(deploys)
    refused = deploys.flagsnap.within("plan", "--to", DEPLOY, "--sql", "--json", code=2)
    error = json.loads(refused.out)["error"]
    assert (error["message"], error["hint"]) == (
        "deploy v2 was not rehearsed",
        "`flagsnap rehearse v2` records its reverse SQL",
    )


def test_a_rehearsal_of_an_earlier_capture(deploys: Deploys) -> None:
    """A deploy id may be taken again after its snapshot was removed."""
    rehearsal = deployed(deploys)
    other = rehearsal.model_copy(update={"captured_at": rehearsal.rehearsed_at})
    deploys.snapshots.attach_rehearsal(other)
    assert deploys.refused(*REPLAY).error == "cannot roll back by replay: deploy v2 was not rehearsed"


def test_twice(deploys: Deploys) -> None:
    """What a rollback has left is what was rehearsed: the same deploy again, and back again."""
    deployed(deploys)
    deploys.rollback(*ACCEPT, *NO_PROJECT)
    deploys.deploy()
    assert deploys.back(*REPLAY)["route"] == "replay"
    assert stored(deploys).verdict == "exact"
    assert "nothing had to be unapplied" in deploys.rollback(*REPLAY, *NO_PROJECT).out


def test_bookkeeping_rows(deploys: Deploys) -> None:
    """The row of a squashed migration stands for nothing in the schema; it goes behind the script."""
    project, colour = deploys.project, add_field("Flag", "colour")
    first: Node = ("flags", "0001_initial")
    project.app("flags", {"0001_initial": migration(create_model("Flag", name=TEXT))})
    project.migration("flags", "0002_colour", colour, dependencies=[first])
    deploys.capture()
    project.migration(
        "flags", "0001_squashed", create_model("Flag", name=TEXT), colour, replaces=[first, ("flags", "0002_colour")]
    )
    project.migration("flags", "0003_more", add_field("Flag", "more"), dependencies=[("flags", "0002_colour")])
    project.write()
    rehearsed(deploys)
    deploys.deploy()
    assert "flags.0001_squashed" in deploys.names()
    plan = deploys.back(*REPLAY, *NO_PROJECT)
    assert (steps(plan), names(plan["bookkeeping"])) == ([(True, ["flags.0003_more"])], ["flags.0001_squashed"])
    # Killed behind the script, before that row has gone.
    deploys.database.execute(
        "INSERT INTO django_migrations (app, name, applied) VALUES ('flags', '0001_squashed', now())"
    )
    sql = deploys.flagsnap.within("plan", "--to", DEPLOY, "--sql").out
    assert "DELETE FROM django_migrations WHERE (app, name) IN (('flags', '0001_squashed'));" in sql
    plan = deploys.back(*REPLAY, *NO_PROJECT)
    assert (plan["route"], plan["steps"], names(plan["bookkeeping"])) == ("replay", [], ["flags.0001_squashed"])


def test_code_whose_rows_are_dropped(deploys: Deploys) -> None:
    """It is left out of the replay, so nobody has to agree to what it might do."""
    captured(deploys)
    back = "def back(apps, schema_editor):\n    apps.get_model('flags', 'One').objects.update(colour='back')\n"
    code = "migrations.RunPython(migrations.RunPython.noop, back)"
    deploys.project.migration(
        "flags",
        "0002_colour",
        add_field("One", "colour"),
        code,
        dependencies=[("flags", "0001_initial")],
        imports=back,
    )
    deploys.project.write()
    assert rehearsed(deploys).verdict == "exact"
    deploys.deploy()
    assert "reverse_runs_code" in {loss["kind"] for loss in deploys.plan("--strategy", "unapply")["losses"]}
    plan = deploys.back("--strategy", "auto")
    assert plan["route"] == "replay"
    assert "reverse_runs_code" not in {loss["kind"] for loss in plan["losses"]}
