"""`kill -9` of flagsnap at each statement of a replay: the segment is undone, and the same command finishes."""

import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace

import psycopg

from flagsnap.errors import ConnectionFailed
from flagsnap.postgres.connection import connect
from flagsnap.postgres.facts import read_current_state
from flagsnap.progress import Silent
from flagsnap.rollback.replay import Replaying
from flagsnap.rollback.run import opened
from flagsnap.rollback.situation import RollbackRequest, there
from flagsnap.target import Target
from tests.fix_deploys import Deploys
from tests.integration.replays import ACCEPT, NO_PROJECT, deployed

ALL = ["0001_initial", "0002_colours", "0003_indexes", "0004_more", "0005_gone", "0006_last"]
WAITS = """
    SELECT 1 FROM pg_stat_activity
    WHERE datname = current_database() AND application_name = 'flagsnap replay' AND wait_event_type = 'Lock'
"""
ROW = "ROW EXCLUSIVE"
"""What somebody has who has written to a table: nobody changes the table meanwhile, and all can look at it."""
# The table that is held, the lock, and the migrations that are applied when what waits for it is killed.
STATEMENTS = [
    ("flags_six", ROW, ALL),  # the first statement
    ("flags_five", ROW, ALL),
    ("flags_two", ROW, ALL),  # the last one of the segment
    ("django_migrations", "SHARE", ALL),  # its rows of django_migrations
    ("flags_four", ROW, ALL[:3]),  # CREATE INDEX CONCURRENTLY
    ("flags_three", ROW, ALL[:3]),  # DROP INDEX CONCURRENTLY
    ("flags_one", ROW, ALL[:3]),  # the last segment
]


@contextmanager
def held(deploys: Deploys, table: str, mode: str) -> Iterator["psycopg.Connection"]:
    """Hold a table in a transaction."""
    with deploys.database.connect() as connection:
        connection.execute("BEGIN")
        connection.execute(f"LOCK TABLE {table} IN {mode} MODE".encode())
        yield connection


@contextmanager
def started(deploys: Deploys) -> Iterator["subprocess.Popen[str]"]:
    """A rollback in the background, ended with the block."""
    running = deploys.flagsnap.start("rollback", "--to", "v2", "--lock-timeout", "60", *ACCEPT, *NO_PROJECT)
    try:
        yield running
    finally:
        running.kill()
        running.communicate(timeout=60)


def wait_until(condition: Callable[[], object], running: "subprocess.Popen[str]") -> None:
    """Wait for a condition while the rollback runs."""
    deadline = time.monotonic() + 60
    while not condition():
        assert running.poll() is None, running.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.02)


def state(deploys: Deploys) -> tuple[str, list[tuple[object, ...]]]:
    """The schema and some rows, without what flagsnap writes down of what it will owe."""
    with connect(deploys.address, "test") as connection:
        fingerprint = read_current_state(connection).catalog.fingerprint
    rows = "SELECT name, colour, gone FROM flags_one UNION ALL SELECT name, colour, gone FROM flags_two"
    return fingerprint, deploys.database.rows(rows)


def test_killed_at_each_statement(deploys: Deploys) -> None:
    deployed(deploys)
    before = state(deploys)
    for table, mode, left in STATEMENTS:
        with held(deploys, table, mode), started(deploys) as running:
            wait_until(lambda: deploys.database.rows(WAITS), running)
            running.send_signal(signal.SIGKILL)
            running.wait()
        assert deploys.names() == {f"flags.{name}" for name in left}, table
        assert left != ALL or state(deploys) == before, table
        plan = deploys.back(*ACCEPT)
        assert plan["route"] == "replay", table
        assert deploys.database.rows("SELECT gone FROM flags_five") == [("captured",)]
        deploys.deploy()
        deploys.database.execute("UPDATE flags_one SET colour = 'red'")
        before = state(deploys)


def test_interrupted_at_a_statement(deploys: Deploys) -> None:
    """SIGTERM is what a platform sends first."""
    deployed(deploys)
    before = state(deploys)
    with held(deploys, "flags_two", ROW), started(deploys) as running:
        wait_until(lambda: deploys.database.rows(WAITS), running)
        running.terminate()
        out, err = running.communicate(timeout=60)
        assert (running.returncode, out) == (130, "")
        assert "error: interrupted" in err
        assert deploys.database.rows(WAITS) == []
    assert state(deploys) == before
    deploys.rollback(*ACCEPT, *NO_PROJECT)
    deploys.assert_back()


def test_a_connection_that_is_ended_at_a_statement(deploys: Deploys) -> None:
    deployed(deploys)
    end = WAITS.replace("SELECT 1", "SELECT pg_terminate_backend(pid)")
    with deploys.untouched(), held(deploys, "flags_two", ROW), started(deploys) as running:
        wait_until(lambda: deploys.database.rows(end), running)
        _, err = running.communicate(timeout=60)
    assert running.returncode == 1
    assert "somebody ended flagsnap's session" in err
    deploys.rollback(*ACCEPT, *NO_PROJECT)
    deploys.assert_back()
    assert deploys.database.rows("SELECT gone FROM flags_five") == [("captured",)]


def test_a_statement_that_goes_on_without_its_flagsnap(deploys: Deploys) -> None:
    """PostgreSQL notices after a second that the client is gone; the next run waits for that."""
    deployed(deploys)
    with held(deploys, "flags_six", ROW), started(deploys) as running:
        wait_until(lambda: deploys.database.rows(WAITS), running)
        running.send_signal(signal.SIGKILL)
        running.wait()
        assert deploys.database.rows(WAITS)
        plan = deploys.plan(*ACCEPT)
        assert not deploys.database.rows(WAITS)
    assert plan["route"] == "replay"


def test_a_connection_that_is_lost_while_it_commits(deploys: Deploys) -> None:
    """Nobody was told that the segment is done: the rows of django_migrations tell."""
    rehearsal = deployed(deploys)
    request = RollbackRequest(
        address=deploys.address,
        snapshots=deploys.snapshots,
        target=Target.recorded_by(deploys.snapshots.get("v2")),
        project=None,
        strategy="auto",
        on_loss="accept",
        jobs=1,
        pg_bin=None,
        lock_timeout=5.0,
        rehearsal=rehearsal,
    )
    lost = ConnectionFailed("the connection is lost")
    with opened(request, Silent()) as rollback:
        plan, live = rollback.plan(), there(rollback.situation.live)
        with connect(deploys.address, "test") as worker:
            replaying = Replaying(request, plan, replace(live, worker=worker), Silent())
            worker.close()
            assert replaying.half_way(lost) is None
            gone = ", ".join(f"'{name}'" for name in ALL[3:])
            deploys.database.execute(f"DELETE FROM django_migrations WHERE name IN ({gone})")
            half_way = replaying.half_way(lost)
    assert str(half_way).startswith("stopped half-way: 3 of 5 migrations are replayed")
