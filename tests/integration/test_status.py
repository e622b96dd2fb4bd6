"""`status` through a deploy, a rollback, and what may go wrong; it neither takes a lock nor waits for one."""

import threading
import time
from contextlib import suppress
from typing import Any

import psycopg
import pytest
from psycopg import errors as pg_errors

from flagsnap.loss.values import RefillItem
from flagsnap.postgres.connection import Address, connect
from flagsnap.postgres.locks import UNAPPLY_KEY, UNAPPLY_SESSION, drill_key_of, holding, key_of
from flagsnap.postgres.owed import remember
from tests.fix_cli import Flagsnap
from tests.fix_databases import Database
from tests.fix_servers import ALL_MAJORS
from tests.integration.captures import SCHEMA, held_up, wait_for
from tests.integration.doctors import as_role, give_away
from tests.unit.sample_manifests import sample_manifest

DEPLOYED = """
    INSERT INTO django_migrations (app, name) VALUES ('features', '0003_x'); CREATE TABLE x (id int PRIMARY KEY)
"""


def told(flagsnap: Flagsnap, *arguments: str, code: int = 0, **environment: str) -> dict[str, Any]:
    """What it tells, as JSON."""
    found = flagsnap.within("status", "--json", *arguments, code=code, **environment).json
    assert found["ok"] is (code == 0)
    return found


def step(flagsnap: Flagsnap, code: int = 0, **environment: str) -> str:
    found: str = told(flagsnap, code=code, **environment)["next"]["do"]
    return found


@pytest.mark.parametrize("server", ALL_MAJORS, indirect=True)
def test_on_every_major(flagsnap: Flagsnap, database: Database) -> None:
    database.execute(SCHEMA)
    flagsnap.within("capture", "--deploy-id", "v2")
    with connect(Address.parse(database.url), "lock") as run, holding(run, database.name):
        found = told(flagsnap)
    assert ([each["work"] for each in found["locks"]], found["same_schema"]) == (["run"], True)


def test_from_the_first_capture_to_the_way_back(flagsnap: Flagsnap, database: Database) -> None:
    database.execute(SCHEMA)
    assert step(flagsnap) == "flagsnap capture --deploy-id ID"
    flagsnap.within("capture", "--deploy-id", "v2")
    found = told(flagsnap)
    assert (found["next"]["do"], found["at"], found["before"]) == ("deploy", "v2", None)
    assert (found["extra"], found["missing"], found["same_schema"]) == ([], [], True)
    assert found["newest"]["deploy_id"] == "v2"
    assert step(flagsnap, FLAGSNAP_MANAGE="python manage.py") == "flagsnap rehearse v2"
    database.execute(DEPLOYED)
    found = told(flagsnap)
    assert (found["next"]["do"], found["at"], found["before"]) == ("flagsnap rollback --to v2", None, "v2")
    assert found["extra"] == [{"app": "features", "name": "0003_x"}]
    assert found["same_schema"] is False
    text = flagsnap.within("status").out.splitlines()
    assert text[0].endswith(": 1 migration more than captured before deploy v2")
    assert text[1] == "next: if deploy v2 went wrong, flagsnap rollback --to v2"
    flagsnap.within("capture", "--deploy-id", "v3")
    assert (told(flagsnap)["at"], told(flagsnap)["before"]) == ("v3", "v2")
    flagsnap.within("rollback", "--to", "v2", "--on-loss", "accept", "--strategy", "restore")
    found = told(flagsnap)
    assert (found["at"], found["before"], found["missing"]) == ("v2", "v3", [{"app": "features", "name": "0003_x"}])
    assert found["next"]["do"] == "flagsnap capture --deploy-id ID"
    [aside] = found["asides"]
    assert (aside["kind"], aside["name"] in database.relatives()) == ("retired", True)
    assert aside["bytes"] > 1_000_000
    text = flagsnap.within("status").out.splitlines()
    assert text[0].endswith(": 1 migration less than captured before deploy v3")
    assert text[1] == "next: flagsnap capture --deploy-id ID"


def test_a_schema_that_somebody_altered(flagsnap: Flagsnap, database: Database) -> None:
    database.execute(SCHEMA)
    flagsnap.within("capture", "--deploy-id", "v2")
    database.execute("ALTER TABLE project ADD COLUMN by_hand int")
    assert step(flagsnap) == "flagsnap verify --expect v2"
    first = flagsnap.within("status").out.splitlines()[0]
    assert first.endswith(": the migrations, but not the schema, captured before deploy v2")


def test_a_database_that_is_gone(flagsnap: Flagsnap, database: Database) -> None:
    database.execute(SCHEMA)
    flagsnap.within("capture", "--deploy-id", "v2")
    database.rename(f"{database.name}_away")
    try:
        found = told(flagsnap)
        assert (found["database"]["presence"], found["next"]["do"]) == ("gone", "flagsnap rollback --to v2")
        assert flagsnap.within("status").out.splitlines()[0].endswith(": it is gone")
    finally:
        database.rename(database.name, now=f"{database.name}_away")


@pytest.mark.parametrize(
    ("environment", "problem", "do"),
    [
        ({"FLAGSNAP_DATABASE_URL": "postgresql://postgres@127.0.0.1:1/x"}, "the database: no connection", "doctor"),
        ({"FLAGSNAP_DATABASE_URL": ""}, "the database: no database URL was given", "doctor"),
        ({"FLAGSNAP_STORE": "/dev/null/store"}, "the store: ", "doctor"),
        ({"FLAGSNAP_STORE": ""}, "the store: no store was given", "doctor"),
    ],
)
def test_what_is_down_hides_nothing_else(
    flagsnap: Flagsnap, database: Database, environment: dict[str, str], problem: str, do: str
) -> None:
    database.execute(SCHEMA)
    flagsnap.within("capture", "--deploy-id", "v2")
    found = told(flagsnap, code=1, **environment)
    assert [each.startswith(problem) for each in found["problems"]] == [True]
    assert found["next"]["do"] == f"flagsnap {do}"
    if "FLAGSNAP_STORE" in environment:
        assert found["database"]["applied"] == 2
    else:
        assert found["newest"]["deploy_id"] == "v2"
    assert f"could not look at {problem}" in flagsnap.within("status", code=1, **environment).out


def test_snapshots_that_are_damaged_or_of_another_database(flagsnap: Flagsnap, database: Database) -> None:
    database.execute(SCHEMA)
    flagsnap.place.put("2.265.0/manifest.json", sample_manifest().to_json())
    found = told(flagsnap)
    assert (found["next"]["do"], found["extra"]) == ("flagsnap doctor", None)
    assert "it is of the database flagsmith" in flagsnap.within("status").out
    flagsnap.place.put("2.265.0/manifest.json", b"{")
    found = told(flagsnap)
    assert found["next"]["do"] == "flagsnap verify 2.265.0"
    assert [each["deploy_id"] for each in found["damaged"]] == ["2.265.0"]


def _sleep(connection: psycopg.Connection) -> None:
    with suppress(pg_errors.QueryCanceled):
        connection.execute("SELECT pg_sleep(30)")


def test_who_holds_the_locks(flagsnap: Flagsnap, database: Database) -> None:
    address, name = Address.parse(database.url), database.name
    with (
        connect(address, "lock") as run,
        connect(address.to("postgres"), "restore") as restore,
        connect(address.to("postgres"), "drill") as drill,
        psycopg.connect(database.url, application_name=UNAPPLY_SESSION) as unapply,
    ):
        with holding(drill, name, drill_key_of(name)):
            assert [(each["work"], each["application"]) for each in told(flagsnap)["locks"]] == [
                ("drill", "flagsnap drill")
            ]
            assert step(flagsnap) != "wait"
            with holding(run, name), holding(restore, name, key_of(name)):
                unapply.execute("SELECT pg_advisory_xact_lock(%s)", (UNAPPLY_KEY,))
                found = told(flagsnap)
        assert {each["work"] for each in found["locks"]} == {"drill", "run", "restore", "unapply"}
        assert found["next"]["do"] == "wait"
        by_work = {each["work"]: each for each in found["locks"]}
        assert by_work["run"]["pid"] == run.info.backend_pid
        assert by_work["run"]["since"].startswith("20")
        unapply.rollback()
        assert told(flagsnap)["locks"] == []
        # An unapply that is not atomic holds no lock.
        thread = threading.Thread(target=_sleep, args=(unapply,), daemon=True)
        thread.start()
        wait_for(lambda: told(flagsnap)["locks"])
        text = flagsnap.within("status").out
        assert f"next: wait; {UNAPPLY_SESSION} is at work (process id {unapply.info.backend_pid})" in text
        assert f"{UNAPPLY_SESSION} unapplies migrations" in text
        unapply.cancel()
        thread.join()


def test_other_databases_locks_are_not_this_ones(flagsnap: Flagsnap, database: Database) -> None:
    address = Address.parse(database.url)
    other = f"{database.name}_other"
    with (
        connect(address.to("postgres"), "other") as elsewhere,
        holding(elsewhere, other),
        holding(elsewhere, other, key_of(other)),
    ):
        assert told(flagsnap)["locks"] == []


def test_it_waits_for_nobody(flagsnap: Flagsnap, database: Database) -> None:
    """Not for a capture, which holds the lock, nor for a deploy that alters a table."""
    database.execute(SCHEMA)
    flagsnap.within("capture", "--deploy-id", "v1")
    with held_up(database, flagsnap, "--deploy-id", "v2") as capture:
        began = time.monotonic()
        found = told(flagsnap, code=1)
        assert time.monotonic() - began < 5
        assert found["next"]["do"] == "wait"
        assert {each["work"] for each in found["locks"]} >= {"run"}
        assert found["problems"][0].startswith("the schema: a lock could not be had in time")
        assert found["same_schema"] is None
        assert capture.let_go()[0] == 0


def test_migrations_that_are_locked(flagsnap: Flagsnap, database: Database) -> None:
    database.execute(SCHEMA)
    holder = database.connect()
    holder.execute("BEGIN; LOCK TABLE django_migrations IN ACCESS EXCLUSIVE MODE")
    found = told(flagsnap, code=1)
    assert found["problems"][0].startswith("the database: a lock could not be had in time")


def test_a_refill_that_is_owed(flagsnap: Flagsnap, database: Database) -> None:
    database.execute(SCHEMA)
    flagsnap.within("capture", "--deploy-id", "v2")
    with connect(Address.parse(database.url), "test") as connection:
        remember(connection, "v2", [RefillItem("public", "feature", ("name",), ("id",))])
    found = told(flagsnap)
    assert (found["next"]["do"], found["owed"]) == ("flagsnap refill --to v2", [{"deploy_id": "v2", "objects": 1}])
    assert found["same_schema"] is True, "flagsnap's own table is no part of the schema"


def test_what_an_ordinary_role_sees(flagsnap: Flagsnap, database: Database) -> None:
    """Sizes of databases it may not enter, and the times of others' sessions, are left out."""
    database.execute(SCHEMA)
    role = as_role(database)
    give_away(database, f"{database.name}_app")
    flagsnap.within("capture", "--deploy-id", "v2", code=0, **role)
    flagsnap.within("rollback", "--to", "v2", "--in-place", "--strategy", "restore", code=0, **role)
    with connect(Address.parse(database.url), "lock") as run, holding(run, database.name):
        found = told(flagsnap, code=0, **role)
    assert [(each["work"], each["application"], each["since"]) for each in found["locks"]] == [
        ("run", "flagsnap lock", None)
    ]
    database.execute("INSERT INTO django_migrations (app, name) VALUES ('features', '0003_x')")
    flagsnap.within(
        "rollback", "--to", "v2", "--in-place", "--strategy", "restore", "--on-loss", "accept", code=0, **role
    )
    assert [each["kind"] for each in told(flagsnap, code=0, **role)["asides"]] == ["retired schemas"]
