"""`history` on real deploys: what was applied when, which capture was before it, and the way back that it names."""

import shlex
from datetime import datetime

import pytest

from tests.fix_cli import Flagsnap
from tests.fix_databases import Database
from tests.fix_deploys import Deploys, names, refusal
from tests.fix_projects import Project, add_field, create_model, migration
from tests.integration.captures import SCHEMA

THING = create_model("Thing")
FIRST = ("flags", "0001_initial")
SECOND = ("flags", "0002_colour")
SQUASHED = "0001_squashed_0002_colour"
ROW = "INSERT INTO django_migrations (app, name, applied) VALUES ('flags', '{}', '{}')"


def told(document: dict[str, list[dict[str, object]]]) -> list[tuple[object, object, list[str], list[str]]]:
    """The deploys of a document: the capture, whether that is certain, migrations and bookkeeping rows."""
    return [
        (each["deploy_id"], each["exact"], names(each["migrations"]), names(each["bookkeeping"]))  # type: ignore[arg-type]
        for each in document["deploys"]
    ]


def test_deploys_beside_their_captures(deploys: Deploys, project: Project) -> None:
    project.app("flags", {"0001_initial": migration(THING, initial=True)})
    deploys.capture("v1")
    project.migration("flags", "0002_colour", add_field("Thing", "colour"), dependencies=[FIRST])
    deploys.deploy()
    deploys.capture("v2")
    deploys.capture("v3")
    project.migration("flags", "0003_label", add_field("Thing", "label"), dependencies=[SECOND])
    replaced = [FIRST, SECOND]
    whole = create_model("Thing", colour='models.CharField(max_length=100, default="")')
    project.migration("flags", SQUASHED, whole, replaces=replaced, initial=True)
    deploys.deploy()
    document = deploys.flagsnap.within("history", "--json").json
    assert told(document) == [
        ("v3", True, ["flags.0003_label"], [f"flags.{SQUASHED}"]),
        ("v1", True, ["flags.0002_colour"], []),
        (None, False, ["flags.0001_initial"], []),
    ]
    assert (document["command"], document["ok"], document["bookkeeping_by"]) == ("history", True, "project")
    assert [each["deploy_id"] for each in document["captures"]] == ["v2"]
    first, last = (datetime.fromisoformat(document["deploys"][0][each]) for each in ("first", "last"))
    assert first == deploys.applied()["flags.0003_label"] < last == deploys.applied()[f"flags.{SQUASHED}"]
    assert document["way_back"] == "--to v3"
    assert (document["gone"], document["notes"], document["older"]) == (None, [], 0)

    text = deploys.flagsnap.within("history").out
    assert text.splitlines()[-1] == "back to before the newest deploy: flagsnap rollback --to v3"
    lines = text.splitlines()[1:]
    assert [line.split()[0] for line in lines[:3]] == ["v3", "v2", "v1"]
    assert "1 bookkeeping row" in text
    assert deploys.flagsnap.within("history", "--limit", "1").out.count("v1") == 0
    assert deploys.flagsnap.within("history", "--limit", "1", "--json").json["older"] == 3
    by_name = deploys.flagsnap.within("history", "--json", FLAGSNAP_MANAGE="").json
    assert (by_name["bookkeeping_by"], told(by_name)) == ("names", told(document))

    deploys.back(to="v3")
    document = deploys.flagsnap.within("history", "--json").json
    assert told(document)[0] == ("v1", True, ["flags.0002_colour"], [])
    assert {each["deploy_id"] for each in document["captures"]} == {"v2", "v3"}  # the rollback's archive is none


def test_what_was_unapplied_or_pruned_since_the_newest_capture(deploys: Deploys, project: Project) -> None:
    project.app("flags", {"0001_initial": migration(THING, initial=True)})
    project.migration("flags", "0002_colour", add_field("Thing", "colour"), dependencies=[FIRST])
    project.app("gone", {"0001_initial": migration(create_model("Gone"))})
    deploys.capture("v1")
    project.migrate("flags", "0001_initial")
    del project.apps["gone"]
    project.app("gone", {"0002_new": migration(create_model("Other"))})
    project.write()
    project.migrate("gone", "--fake")
    project.migrate("gone", "--prune")
    document = deploys.flagsnap.within("history", "--json").json
    assert document["gone"]["deploy_id"] == "v1"
    assert names(document["gone"]["unapplied"]) == ["flags.0002_colour"]
    assert names(document["gone"]["pruned"]) == ["gone.0001_initial"]
    assert told(document)[0] == ("v1", True, ["gone.0002_new"], [])
    text = deploys.flagsnap.within("history", FLAGSNAP_MANAGE="").out
    assert "recorded by v1 and unapplied or pruned since: flags.0002_colour, gone.0001_initial" in text


@pytest.fixture
def small(database: Database) -> Database:
    """Two migrations, applied a day apart."""
    database.execute(SCHEMA)
    return database


def test_without_a_capture_the_way_back_goes_by_time(flagsnap: Flagsnap, small: Database) -> None:
    small.execute(ROW.format("0003_a", "2026-01-05 10:00:00.000007+02"))
    small.execute(ROW.format("0004_b", "2026-01-05 08:09:00+00"))
    small.execute(ROW.format("0005_c", "2026-01-05 08:19:00.000001+00"))
    document = flagsnap.within("history", "--json").json
    assert [names(each["migrations"]) for each in document["deploys"]] == [
        ["flags.0005_c"],
        ["flags.0003_a", "flags.0004_b"],
        ["features.0002_tag"],
        ["features.0001_initial"],
    ]
    wider = flagsnap.within("history", "--gap", "11m", "--json").json
    assert len(wider["deploys"]) == 3
    last = flagsnap.within("history", "--gap", "11m").out.splitlines()[-1]
    *_, command = last.partition("flagsnap ")
    assert shlex.split(command) == ["plan", "--applied-before", "2026-01-05 08:00:00.000007 UTC"]
    assert len(flagsnap.within("history", "--gap", "2d", "--json").json["deploys"]) == 2
    assert "nothing before" in flagsnap.within("history", "--gap", "400d").out


def test_a_capture_that_recorded_another_set_is_about_right(flagsnap: Flagsnap, small: Database) -> None:
    flagsnap.within("capture", "--deploy-id", "v1")
    small.execute("UPDATE django_migrations SET name = '0002_renamed' WHERE name = '0002_tag'")
    small.execute("INSERT INTO django_migrations (app, name) VALUES ('flags', '0003_a')")
    document = flagsnap.within("history", "--json").json
    assert told(document)[0] == ("v1", False, ["flags.0003_a"], [])
    assert document["way_back"].startswith("--applied-before ")
    text = flagsnap.within("history").out
    assert "about v1" in text
    assert "recorded other migrations" in text


def test_what_cannot_be_read_is_said(flagsnap: Flagsnap, small: Database) -> None:
    flagsnap.within("capture", "--deploy-id", "v1")
    small.execute("INSERT INTO django_migrations (app, name) VALUES ('flags', '0003_a')")
    document = flagsnap.within("history", "--json", FLAGSNAP_STORE="").json
    assert document["notes"] == ["without the snapshots: no store was given"]
    assert "without the snapshots: " in flagsnap.within("history", FLAGSNAP_STORE="").out
    document = flagsnap.within("history", "--json", FLAGSNAP_STORE="ftp://x").json
    assert "ftp:// stores" in document["notes"][0]
    for manage in ("false", "no-such-program", '"'):
        document = flagsnap.within("history", "--json", FLAGSNAP_MANAGE=manage).json
        assert document["notes"][0].startswith("without the project: ")
        assert (document["bookkeeping_by"], document["deploys"][0]["deploy_id"]) == ("names", "v1")
    manifest = flagsnap.place.get("v1/manifest.json")
    flagsnap.place.put("v1/manifest.json", manifest[:-9])
    found = flagsnap.within("history").out
    assert "what is gone since the newest snapshot is not known" in found or "damaged: " in found


def test_no_rows_and_no_table(flagsnap: Flagsnap, small: Database) -> None:
    small.execute("DELETE FROM django_migrations")
    assert "django_migrations has no rows" in flagsnap.within("history").out
    small.execute("DROP TABLE django_migrations")
    assert "no table django_migrations" in flagsnap.within("history").out
    document = flagsnap.within("history", "--json", FLAGSNAP_MANAGE="false").json
    assert (document["deploys"], document["way_back"]) == ([], None)


def test_a_clock_that_was_set_back(flagsnap: Flagsnap, small: Database) -> None:
    small.execute(ROW.format("0003_a", "2025-06-01"))
    found = flagsnap.within("history", "--json").json
    assert found["set_back"] == 1
    assert "1 row with an earlier time than the row before" in flagsnap.within("history").out


def test_refusals(flagsnap: Flagsnap, small: Database) -> None:
    assert "not a duration" in refusal(flagsnap.within("history", "--gap", "soon", code=2)).error
    assert "--limit" in flagsnap.within("history", "--limit", "0", code=2).err
    gone = small.server.url(f"{small.name}_gone")
    assert "no connection" in refusal(flagsnap.within("history", "--database-url", gone, code=1)).error
