"""A standby: a drilled database that is kept, and from which the next rollback swaps instead of restoring."""

import signal
from pathlib import Path

import psycopg
import pytest

from tests.fix_cli import Flagsnap
from tests.fix_databases import Database
from tests.fix_servers import ALL_MAJORS
from tests.integration.captures import ended_afterwards
from tests.integration.sample_deploy import (
    DEPLOY,
    ROLLBACK,
    WRITE,
    HeldProgram,
    alter_manifest,
    deploy,
    is_recorded,
    retired,
    scratch,
)

KEEP = ("verify", "v2", "--level", "drill", "--keep")


def standbys(database: Database) -> list[str]:
    return [name for name in database.relatives() if "_flagsnap_standby_" in name]


def allows_connections(database: Database, name: str) -> bool:
    ((allowed,),) = database.rows(f"SELECT datallowconn FROM pg_database WHERE datname = '{name}'", "postgres")
    return bool(allowed)


@pytest.fixture
def kept(database: Database, flagsnap: Flagsnap) -> str:
    """The standby of the snapshot v2; the live database has gone on since."""
    deploy(database, flagsnap)
    (drilled,) = flagsnap.within(*KEEP, "--json").json["drills"]
    assert standbys(database) == [drilled["database"]]
    return str(drilled["database"])


@pytest.mark.parametrize("server", ALL_MAJORS, indirect=True)
def test_a_rollback_swaps_it_in(database: Database, flagsnap: Flagsnap, kept: str) -> None:
    assert not allows_connections(database, kept)
    captured = flagsnap.snapshots.get("v2").captured_at
    assert kept == f"{database.name}_flagsnap_standby_{captured:%Y%m%d%H%M%S%f}"
    database.execute(f"COMMENT ON DATABASE {database.name} IS 'was live'")
    plan = flagsnap.within("plan", "--to", "v2", "--strategy", "restore", COLUMNS="200").out
    assert f"restore  from the standby {kept}" in plan
    # Without clients nothing could be restored.
    done = flagsnap.within(*ROLLBACK, "--json", FLAGSNAP_PG_BIN="/nowhere").json
    assert (done["route"], done["standby"], done["verified"]) == ("restore", kept, True)
    assert is_recorded(database)
    assert (standbys(database), scratch(database), len(retired(database))) == ([], [], 1)
    flagsnap.within("verify", "--expect", "v2")
    flagsnap.within("undo")
    assert not is_recorded(database)


def test_the_text_names_it(database: Database, flagsnap: Flagsnap, kept: str) -> None:
    assert f"kept as {kept}" in flagsnap.within(*KEEP).out
    assert standbys(database) == [kept]
    said = flagsnap.within(*ROLLBACK).out
    assert "back to the state before deploy v2: took the standby in " in said
    assert f"it was swapped in from the standby {kept}, which a drill had restored and proven" in said


def test_a_live_database_that_is_gone(database: Database, flagsnap: Flagsnap, kept: str) -> None:
    database.drop()
    done = flagsnap.within("rollback", "--to", "v2", "--json").json
    assert (done["standby"], done["retired_database"]) == (kept, None)
    assert is_recorded(database)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ("UPDATE account SET balance = 0 WHERE id = 1", "table public.account was written to"),
        ("INSERT INTO account (name) VALUES ('more')", "table public.account was written to"),
        ("DELETE FROM account WHERE id = 1", "table public.account was written to"),
        ("CREATE TABLE by_hand (id int)", "table public.by_hand"),
        ("DELETE FROM django_migrations WHERE name = '0002_total'", "migration accounts.0002_total"),
        (
            "DELETE FROM account WHERE id = 1; SELECT pg_stat_force_next_flush(); SELECT pg_stat_reset()",
            "table public.account: 100 rows were recorded, there are 99",
        ),
    ],
)
def test_one_that_is_not_what_was_recorded_is_not_used(
    database: Database, flagsnap: Flagsnap, kept: str, change: str, told: str
) -> None:
    allow(database, kept, allowed=True)
    with psycopg.connect(database.server.url(kept), autocommit=True) as session:
        for statement in change.split("; "):
            session.execute(statement.encode())
    allow(database, kept, allowed=False)
    ended = flagsnap.within(*ROLLBACK, "--json")
    assert f"warning: the standby {kept} is not used: {told}" in ended.err
    assert ended.json["standby"] is None
    assert is_recorded(database)
    assert standbys(database) == [kept]
    assert not allows_connections(database, kept)


def allow(database: Database, name: str, *, allowed: bool) -> None:
    with psycopg.connect(database.server.url(), autocommit=True) as session:
        session.execute(f"ALTER DATABASE {name} WITH ALLOW_CONNECTIONS {allowed}".encode())


def test_lost_statistics_do_no_harm(database: Database, flagsnap: Flagsnap, kept: str) -> None:
    allow(database, kept, allowed=True)
    with psycopg.connect(database.server.url(kept), autocommit=True) as session:
        session.execute("SELECT pg_stat_reset()")
    assert flagsnap.within(*ROLLBACK, "--json").json["standby"] == kept


def test_another_snapshot_is_restored(database: Database, flagsnap: Flagsnap, kept: str) -> None:
    flagsnap.within("capture", "--deploy-id", "v3")
    database.execute("CREATE TABLE more (id int); INSERT INTO django_migrations (app, name) VALUES ('a', '0001')")
    to_v3 = ["v3" if word == "v2" else word for word in ROLLBACK]
    assert flagsnap.within(*to_v3, "--json").json["standby"] is None
    assert standbys(database) == [kept]
    # The next one that is kept takes its place.
    (drilled,) = flagsnap.within("verify", "--no-live", "--level", "drill", "--keep", "--json").json["drills"]
    assert standbys(database) == [drilled["database"]] != [kept]


def test_a_drill_that_fails_keeps_nothing(database: Database, flagsnap: Flagsnap, kept: str) -> None:
    recorded = flagsnap.snapshots.get("v2").database
    alter_manifest(flagsnap, migrations=recorded.migrations[:-1])
    flagsnap.within(*KEEP, code=3)
    assert standbys(database) == [kept]


def test_nothing_is_kept_while_a_rollback_is_at_work(database: Database, flagsnap: Flagsnap, tmp_path: Path) -> None:
    deploy(database, flagsnap)
    program = HeldProgram.make(tmp_path / "held", database.server.bin_dir, "pg_restore", "--use-list")
    with ended_afterwards(flagsnap.start(*ROLLBACK, FLAGSNAP_PG_BIN=str(program.folder))) as run:
        program.wait(run)
        found = flagsnap.within(*KEEP, "--json", code=1).json
        (check,) = (check for check in found["checks"] if not check["ok"])
        assert (check["name"], check["checked"]) == ("standby", False)
        assert "so the drilled database was not kept" in check["detail"]
        assert found["drills"][0]["database"] is None
        program.go_on()
        run.communicate(timeout=30)
    assert run.returncode == 0
    assert standbys(database) == []


def test_a_rollback_killed_between_its_steps(database: Database, flagsnap: Flagsnap, kept: str) -> None:
    """After the standby was opened and compared, before it is swapped in, or right after."""
    with ended_afterwards(flagsnap.start(*ROLLBACK, "--verbose")) as run:
        assert run.stderr
        assert any(line.startswith("compare the standby") for line in run.stderr)
        run.send_signal(signal.SIGKILL)
        run.communicate(timeout=30)
    if not is_recorded(database):
        assert standbys(database) == [kept]
        assert flagsnap.within(*ROLLBACK, "--json").json["standby"] == kept
    assert is_recorded(database)
    assert scratch(database) == []


@pytest.mark.parametrize(
    "arguments",
    [
        ("--level", "files", "--keep"),
        ("--level", "drill", "--keep", "--all"),
        ("--level", "drill", "--keep", "--drill-embedded"),
        ("--level", "drill", "--keep", "--drill-url", "postgresql://elsewhere/x"),
    ],
)
def test_what_cannot_be_kept(flagsnap: Flagsnap, arguments: tuple[str, ...]) -> None:
    assert "hint: " in flagsnap.within("verify", *arguments, code=2).err


def test_the_deploy_goes_on(database: Database, flagsnap: Flagsnap, kept: str) -> None:
    """A standby is in nobody's way: capture, deploy, and a rollback in place."""
    flagsnap.within(*ROLLBACK, "--in-place")
    assert is_recorded(database)
    assert standbys(database) == [kept]
    flagsnap.within("capture", "--deploy-id", "v4")
    database.execute(DEPLOY + WRITE)
