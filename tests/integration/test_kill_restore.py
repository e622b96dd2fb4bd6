"""flagsnap killed or interrupted during a capture or a restore: the database is whole, the same command goes on."""

import random
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg
import pytest

from tests.fix_cli import Flagsnap
from tests.fix_databases import Database
from tests.fix_servers import PostgresServer
from tests.integration.captures import drafts, in_store
from tests.integration.sample_deploy import (
    DEPLOY,
    IN_PLACE,
    RECORDED,
    ROLLBACK,
    WRITE,
    HeldProgram,
    deploy,
    is_recorded,
    retired,
    scratch,
    wait_until,
)

CAPTURE = ("capture", "--deploy-id", "v2")
LARGE = "CREATE TABLE large AS SELECT n, md5(n::text) FROM generate_series(1, 200000) n"
SCHEMAS = "SELECT nspname FROM pg_namespace WHERE starts_with(nspname, 'flagsnap_')"


@contextmanager
def running(flagsnap: Flagsnap, *arguments: str, **environment: str) -> Iterator["subprocess.Popen[str]"]:
    """A run in the background that is killed, if it is still there, at the end of the block, and waited for."""
    run = flagsnap.start(*arguments, **environment)
    try:
        yield run
    finally:
        run.kill()
        run.communicate()


def wait_for_line(run: "subprocess.Popen[str]", start: str) -> None:
    """Wait until flagsnap says on standard error that something is done."""
    assert run.stderr
    assert any(line.startswith(start) for line in run.stderr)


def sessions(database: Database) -> int:
    """How many sessions there are in a database and its relatives."""
    query = f"SELECT count(*) FROM pg_stat_activity WHERE starts_with(datname, '{database.name}')"
    ((number,),) = database.rows(query, "postgres")
    return int(number)


def snapshots(flagsnap: Flagsnap) -> list[str]:
    listed = flagsnap.within("list", "--json").json
    assert listed["damaged"] == []
    return [each["deploy_id"] for each in listed["snapshots"]]


def held(database: Database, folder: Path, program: str, argument: str) -> HeldProgram:
    return HeldProgram.make(folder / "held", database.server.bin_dir, program, argument)


def test_capture_killed_before_the_manifest(database: Database, flagsnap: Flagsnap, tmp_path: Path) -> None:
    database.execute(RECORDED)
    program = held(database, tmp_path, "pg_dump", "--format=directory")
    with running(flagsnap, *CAPTURE, FLAGSNAP_PG_BIN=str(program.folder)) as run:
        program.wait(run)
        (draft,) = drafts(flagsnap)
        assert draft.startswith("v2")
        wait_until(lambda: sum("/dumps/default/" in key for key in in_store(flagsnap)) > 1)
    program.go_on()
    assert snapshots(flagsnap) == []
    wait_until(lambda: sessions(database) == 0)
    assert "removed what an interrupted run had left of v2" in flagsnap.within(*CAPTURE).err
    assert snapshots(flagsnap) == ["v2"]
    assert drafts(flagsnap) == []
    flagsnap.within("verify", "v2", "--level", "files")


def test_capture_killed_at_any_moment(database: Database, flagsnap: Flagsnap) -> None:
    database.execute(RECORDED + LARGE)
    for _ in range(3):
        with running(flagsnap, *CAPTURE):
            wait_until(lambda: drafts(flagsnap) or snapshots(flagsnap))
            time.sleep(random.uniform(0, 0.4))
        assert snapshots(flagsnap) in ([], ["v2"])
        # A pg_dump whose flagsnap is gone finds its snapshot, or its standard error, gone, and ends.
        wait_until(lambda: sessions(database) == 0)
        assert database.rows("SELECT count(*) FROM large") == [(200_000,)]
    flagsnap.within(*CAPTURE)
    assert snapshots(flagsnap) == ["v2"]
    assert drafts(flagsnap) == []
    database.execute(DEPLOY + WRITE)
    flagsnap.within(*ROLLBACK)
    assert is_recorded(database)


def test_restore_killed_before_it_is_complete(database: Database, flagsnap: Flagsnap, tmp_path: Path) -> None:
    deploy(database, flagsnap)
    program = held(database, tmp_path, "pg_restore", "--use-list")
    with running(flagsnap, *ROLLBACK, FLAGSNAP_PG_BIN=str(program.folder)) as run:
        program.wait(run)
    (left,) = scratch(database)
    assert not is_recorded(database)
    ended = flagsnap.within(*ROLLBACK)
    program.go_on()
    assert f"dropped {left}, which an interrupted run had left" in ended.err
    assert is_recorded(database)
    assert (len(retired(database)), scratch(database)) == (1, [])


def test_restore_killed_right_before_the_swap(database: Database, flagsnap: Flagsnap) -> None:
    deploy(database, flagsnap)
    with running(flagsnap, *ROLLBACK, "--verbose") as run:
        wait_for_line(run, "analyse:")
    assert not is_recorded(database)
    assert (len(retired(database)), len(scratch(database))) == (0, 1)
    flagsnap.within(*ROLLBACK)
    assert is_recorded(database)
    assert (len(retired(database)), scratch(database)) == (1, [])


def test_restore_killed_in_the_swap(database: Database, flagsnap: Flagsnap) -> None:
    """While the rename waits for the session of a superuser, whom the database's owner may not throw out."""
    role = database.role("owner", "LOGIN CREATEDB")
    database.execute(f"ALTER DATABASE {database.name} OWNER TO {role}")
    url = database.server.url("postgres", role)
    owned = Database(PostgresServer(database.server.major, database.server.bin_dir, url), database.name)
    flagsnap.environment["FLAGSNAP_DATABASE_URL"] = owned.url
    deploy(owned, flagsnap)
    session = database.connect()
    renaming = "SELECT FROM pg_stat_activity WHERE starts_with(query, 'ALTER DATABASE') AND query LIKE '%retired%'"
    with running(flagsnap, *ROLLBACK):
        wait_until(lambda: database.rows(f"{renaming} AND query LIKE '%{database.name}%'", "postgres"))
    session.close()
    wait_until(lambda: not database.rows(f"{renaming} AND query LIKE '%{database.name}%'", "postgres"))
    assert (len(retired(database)), len(scratch(database))) == (0, 1)
    assert not is_recorded(database)
    flagsnap.within(*ROLLBACK)
    assert is_recorded(database)
    assert (len(retired(database)), scratch(database)) == (1, [])


def test_restore_killed_right_after_the_swap(database: Database, flagsnap: Flagsnap) -> None:
    deploy(database, flagsnap)
    with running(flagsnap, *ROLLBACK, "--verbose") as run:
        wait_for_line(run, "swap:")
    assert is_recorded(database)
    assert (len(retired(database)), scratch(database)) == (1, [])
    again = flagsnap.within(*ROLLBACK, "--json").json
    assert (again["route"], again["verified"]) == (None, True)
    flagsnap.within("undo")
    assert not is_recorded(database)


def test_restore_killed_at_any_moment(database: Database, flagsnap: Flagsnap) -> None:
    deploy(database, flagsnap, LARGE)
    for _ in range(4):
        with running(flagsnap, *ROLLBACK):
            wait_until(lambda: scratch(database))
            time.sleep(random.uniform(0, 0.7))
        assert len(scratch(database)) <= 1
        if is_recorded(database):
            flagsnap.within("undo")
    flagsnap.within(*ROLLBACK)
    assert is_recorded(database)
    assert scratch(database) == []
    wait_until(lambda: sessions(database) == 0)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_capture_interrupted(number: signal.Signals, database: Database, flagsnap: Flagsnap, tmp_path: Path) -> None:
    database.execute(RECORDED)
    program = held(database, tmp_path, "pg_dump", "--format=directory")
    with running(flagsnap, *CAPTURE, FLAGSNAP_PG_BIN=str(program.folder)) as run:
        program.wait(run)
        run.send_signal(number)
        out, err = run.communicate(timeout=20)
    assert (run.returncode, out) == (130, "")
    assert "error: interrupted\n" in err
    assert (drafts(flagsnap), snapshots(flagsnap)) == ([], [])
    wait_until(lambda: sessions(database) == 0)
    flagsnap.within(*CAPTURE)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_restore_interrupted(number: signal.Signals, database: Database, flagsnap: Flagsnap, tmp_path: Path) -> None:
    deploy(database, flagsnap)
    program = held(database, tmp_path, "pg_restore", "--use-list")
    with running(flagsnap, *ROLLBACK, FLAGSNAP_PG_BIN=str(program.folder)) as run:
        program.wait(run)
        run.send_signal(number)
        out, err = run.communicate(timeout=20)
    assert (run.returncode, out) == (130, "")
    assert "error: interrupted\n" in err
    assert not is_recorded(database)
    assert database.relatives() == [database.name]
    wait_until(lambda: sessions(database) == 0)
    flagsnap.within(*ROLLBACK)
    assert is_recorded(database)


def test_restore_interrupted_at_any_moment(database: Database, flagsnap: Flagsnap) -> None:
    deploy(database, flagsnap, LARGE)
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGINT):
        with running(flagsnap, *ROLLBACK) as run:
            wait_until(lambda: scratch(database))
            time.sleep(random.uniform(0, 0.5))
            run.send_signal(number)
            _, err = run.communicate(timeout=20)
        # By the signal itself if it came when all was done and Python was leaving.
        assert run.returncode in {0, 130, -number}, err
        assert "Traceback" not in err
        assert scratch(database) == []
        if is_recorded(database):
            flagsnap.within("undo")
        else:
            assert run.returncode == 130


def test_in_place_killed(database: Database, flagsnap: Flagsnap, tmp_path: Path) -> None:
    deploy(database, flagsnap)
    program = held(database, tmp_path, "pg_restore", "--file=-")
    with running(flagsnap, *IN_PLACE, FLAGSNAP_PG_BIN=str(program.folder)) as run:
        program.wait(run)
        wait_until(lambda: sessions(database) > 2)
    program.go_on()
    assert not is_recorded(database)
    assert database.rows(SCHEMAS) == []
    wait_until(lambda: sessions(database) == 0)
    flagsnap.within(*IN_PLACE)
    assert is_recorded(database)


def test_in_place_killed_at_any_moment(database: Database, flagsnap: Flagsnap) -> None:
    deploy(database, flagsnap, LARGE)
    working = f"SELECT FROM pg_stat_activity WHERE datname = '{database.name}' AND application_name = 'flagsnap'"
    for _ in range(3):
        with running(flagsnap, *IN_PLACE):
            wait_until(lambda: database.rows(working, "postgres"))
            time.sleep(random.uniform(0, 0.4))
        wait_until(lambda: sessions(database) == 0)
        if is_recorded(database):
            flagsnap.within("undo")
        assert not is_recorded(database)
    flagsnap.within(*IN_PLACE)
    assert is_recorded(database)


def test_in_place_with_a_pg_restore_that_ends_badly(database: Database, flagsnap: Flagsnap, tmp_path: Path) -> None:
    deploy(database, flagsnap)
    program = held(database, tmp_path, "pg_restore", "--file=-")
    with running(flagsnap, *IN_PLACE, FLAGSNAP_PG_BIN=str(program.folder)) as run:
        program.wait(run)
        program.go_on(code=9)
        _, err = run.communicate(timeout=20)
    assert run.returncode == 1
    assert "error: the restore failed: pg_restore ended with exit code 9" in err
    assert not is_recorded(database)
    assert database.rows(SCHEMAS) == []


def test_in_place_interrupted(database: Database, flagsnap: Flagsnap, tmp_path: Path) -> None:
    deploy(database, flagsnap)
    program = held(database, tmp_path, "pg_restore", "--file=-")
    with running(flagsnap, *IN_PLACE, FLAGSNAP_PG_BIN=str(program.folder)) as run:
        program.wait(run)
        run.terminate()
        _, err = run.communicate(timeout=20)
    assert run.returncode == 130
    assert "error: interrupted\n" in err
    assert not is_recorded(database)
    assert database.rows(SCHEMAS) == []
    wait_until(lambda: sessions(database) == 0)


@pytest.mark.parametrize("command", [ROLLBACK, IN_PLACE], ids=["beside", "in place"])
def test_administrator_ends_the_session_of_the_restore(
    command: tuple[str, ...], database: Database, flagsnap: Flagsnap
) -> None:
    waits = """
        CREATE FUNCTION wait(n int) RETURNS int IMMUTABLE LANGUAGE plpgsql AS $$ BEGIN
            IF current_setting('application_name') = 'flagsnap' THEN PERFORM pg_sleep(30); END IF;
            RETURN n;
        END $$;
        CREATE TABLE one (n int); CREATE INDEX one_n ON one (public.wait(n)); INSERT INTO one VALUES (1);
    """
    deploy(database, flagsnap, waits)
    waiting = f"FROM pg_stat_activity WHERE starts_with(datname, '{database.name}') AND wait_event = 'PgSleep'"
    with running(flagsnap, *command) as run:
        wait_until(lambda: database.rows(f"SELECT {waiting}", "postgres"))
        database.rows(f"SELECT pg_terminate_backend(pid) {waiting}", "postgres")
        _, err = run.communicate(timeout=20)
    assert run.returncode == 1
    assert "error: the restore failed: " in err
    assert "terminating connection due to administrator command" in err
    assert not is_recorded(database)
    assert database.relatives() == [database.name]
    assert database.rows(SCHEMAS) == []


def test_no_other_run_meanwhile(database: Database, flagsnap: Flagsnap, tmp_path: Path) -> None:
    deploy(database, flagsnap)
    program = held(database, tmp_path, "pg_restore", "--use-list")
    with running(flagsnap, *ROLLBACK, FLAGSNAP_PG_BIN=str(program.folder)) as run:
        program.wait(run)
        (working,) = scratch(database)
        for command in (ROLLBACK, IN_PLACE, ("undo",), ("capture",), ("restore", "v2", "--into", database.name + "_c")):
            ended = flagsnap.within(*command, code=6)
            assert f"error: another flagsnap works on {database.name}\n" in ended.err
        assert scratch(database) == [working]
        program.go_on()
        run.communicate(timeout=20)
    assert run.returncode == 0
    assert is_recorded(database)
    with pytest.raises(psycopg.OperationalError):
        database.connect(working)
