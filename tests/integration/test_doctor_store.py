"""The doctor's lines about the store and the project, and what is said where one of them is not there."""

import shutil
import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest

from flagsnap.snapshot import DumpFile, Manifest
from tests.fix_cli import Flagsnap
from tests.fix_databases import Database
from tests.fix_deploys import Deploys
from tests.fix_projects import Project, add_field, create_model
from tests.fix_s3 import place
from tests.integration.captures import SCHEMA
from tests.integration.doctors import examined, line, reddens
from tests.unit.sample_manifests import sample_manifest

HUGE = 10**18


def of(database: Database, manifest: Manifest, **dump: object) -> Manifest:
    """A manifest as if it were of the test's database."""
    recorded = manifest.database
    changed = recorded.model_copy(
        update={"name": database.name, "system_identifier": None, "dump": recorded.dump.model_copy(update=dump)}
    )
    return manifest.model_copy(update={"databases": (changed,)})


@reddens("store")
def test_no_store(flagsnap: Flagsnap, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for store, found in (("", "no store was given"), (str(tmp_path / "file" / "store"), "failed: not a directory")):
        checks = examined(flagsnap, FLAGSNAP_STORE=store)
        assert checks["store"]["state"] == "failed"
        assert found in checks["store"]["found"]
        names = ("store rights", "snapshots", "newest snapshot", "store disk", "scratch disk")
        assert {checks[name]["state"] for name in names} == {"unchecked"}
        assert checks["connection"]["state"] == "ok"


@reddens("store rights")
@pytest.mark.local_store
@pytest.mark.skipif(sys.platform != "linux", reason="a folder that root may not write to: /proc")
def test_a_store_that_cannot_be_written_to(flagsnap: Flagsnap) -> None:
    checks = examined(flagsnap, FLAGSNAP_STORE="/proc/flagsnap")
    assert (checks["store"]["state"], checks["store rights"]["state"]) == ("ok", "failed")


@reddens("snapshots")
def test_a_snapshot_that_cannot_be_read(flagsnap: Flagsnap, database: Database) -> None:
    flagsnap.within("capture", "--deploy-id", "v1")
    assert line(flagsnap, "snapshots") == ("ok", "1 can be read")
    flagsnap.place.put("v1/manifest.json", flagsnap.place.get("v1/manifest.json")[:-9])
    checks = examined(flagsnap)
    assert checks["snapshots"]["state"] == "failed"
    assert "the manifest of v1 is damaged" in checks["snapshots"]["found"]
    assert checks["newest snapshot"]["state"] != "ok"


@reddens("newest snapshot")
def test_no_snapshot_of_this_database(flagsnap: Flagsnap, database: Database) -> None:
    assert line(flagsnap, "newest snapshot") == ("failed", "nothing was captured yet")
    flagsnap.place.put("2.265.0/manifest.json", sample_manifest().to_json())
    assert line(flagsnap, "newest snapshot") == ("failed", "2.265.0 is of the database flagsmith")
    there = of(database, sample_manifest(captured_at=datetime(2020, 1, 1, tzinfo=UTC)))
    elsewhere = there.database.model_copy(update={"system_identifier": "1"})
    moved = there.model_copy(update={"databases": (elsewhere,)})
    flagsnap.place.put("2.265.0/manifest.json", moved.to_json())
    assert line(flagsnap, "newest snapshot") == (
        "failed",
        f"2.265.0 is of the database {database.name} of another server",
    )
    flagsnap.within("capture", "--deploy-id", "v3")
    state, found = line(flagsnap, "newest snapshot")
    assert (state, found.startswith("v3, captured ")) == ("ok", True)


@reddens("store disk")
@pytest.mark.local_store
def test_a_full_disk(flagsnap: Flagsnap, database: Database) -> None:
    flagsnap.within("capture", "--deploy-id", "v1")
    assert line(flagsnap, "store disk")[0] == "ok"
    files = (DumpFile(path="dumps/default/1.dat", bytes=HUGE, sha256="ab" * 32),)
    shutil.rmtree(flagsnap.store / "v1")
    flagsnap.place.put("2.265.0/manifest.json", of(database, sample_manifest(), files=files).to_json())
    checks = examined(flagsnap)
    assert checks["store disk"]["state"] == "failed"
    assert checks["store disk"]["found"].startswith("1000000.0 TB needed, ")
    assert checks["scratch disk"]["state"] == "ok"


@reddens("scratch disk")
@pytest.mark.local_store
def test_too_little_scratch_space_for_what_a_bucket_holds(flagsnap: Flagsnap, database: Database) -> None:
    bucket = place("moto")
    files = (DumpFile(path="dumps/default/1.dat", bytes=HUGE, sha256="ab" * 32),)
    bucket.put("2.265.0/manifest.json", of(database, sample_manifest(), files=files).to_json())
    checks = examined(flagsnap, FLAGSNAP_STORE=bucket.url, **bucket.server.environment)
    assert checks["scratch disk"]["state"] == "failed"
    assert checks["scratch disk"]["mend"].startswith("point TMPDIR to a larger disk")
    assert (checks["store disk"]["state"], checks["store disk"]["found"]) == ("ok", "the store is a bucket")


@reddens("project")
def test_no_project_or_one_that_does_not_answer(flagsnap: Flagsnap) -> None:
    checks = examined(flagsnap)
    assert (checks["project"]["state"], "project code" in checks) == ("advice", False)
    for manage in ("false", "/nowhere/manage.py", "'"):
        checks = examined(flagsnap, FLAGSNAP_MANAGE=manage)
        assert [checks[name]["state"] for name in ("project", "project database", "project code")] == [
            "failed",
            "unchecked",
            "unchecked",
        ]


@reddens("project database", "project code")
def test_the_wrong_project(deploys: Deploys, project: Project, flagsnap: Flagsnap, database: Database) -> None:
    project.app("flags")
    project.migration("flags", "0001_initial", create_model("Flag"), initial=True)
    deploys.capture()
    project.migration("flags", "0002_colour", add_field("Flag", "colour"), dependencies=[("flags", "0001_initial")])
    deploys.deploy()
    checks = examined(flagsnap)
    assert [checks[name]["state"] for name in ("project", "project database", "project code")] == ["ok", "ok", "ok"]
    checks = examined(flagsnap, DATABASE_URL=database.server.url("postgres"))
    assert (checks["project database"]["state"], checks["project database"]["found"]) == (
        "failed",
        f"the project is connected to postgres, flagsnap to {database.name}",
    )
    project.remove("flags", "0002_colour")
    project.write()
    assert line(flagsnap, "project code") == ("failed", "it does not know flags.0002_colour")
    # What the newest capture has too is no deploy's, and stays where it is.
    database.execute("INSERT INTO django_migrations (app, name, applied) VALUES ('gone', '0001_x', now())")
    flagsnap.within("capture", "--deploy-id", "v3")
    state, found = line(flagsnap, "project code")
    assert state == "advice"
    assert found.endswith("flags.0002_colour, gone.0001_x, which the newest snapshot has too")


def test_the_store_is_looked_at_without_the_schema_of_anything(flagsnap: Flagsnap, database: Database) -> None:
    database.execute(SCHEMA)
    assert line(flagsnap, "store")[0] == "ok"
