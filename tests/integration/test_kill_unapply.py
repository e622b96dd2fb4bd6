"""`kill -9` of flagsnap while the project unapplies: the database is whole, and the same command again succeeds."""

import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from tests.fix_deploys import UNAPPLY, Deploys
from tests.fix_projects import TEXT, Node, add_field, create_model, migration, run_sql

FIRST: Node = ("flags", "0001_initial")
CONCURRENTLY = "from django.contrib.postgres.operations import AddIndexConcurrently\n"
INDEX = 'AddIndexConcurrently("Flag", models.Index(fields=["name"], name="by_name"))'
# The marker is read through a connection of its own: inside of a transaction nobody else would see it come.
SLEEP_IN_PYTHON = """
import os, pathlib, time

def back(apps, schema_editor):
    apps.get_model("flags", "Flag").objects.update(name="changed")
    marker = pathlib.Path(os.environ["MARKER"])
    if not marker.exists():
        marker.touch()
        time.sleep(30)
"""
SLEEP_IN_SQL = "SELECT pg_sleep(30) WHERE NOT EXISTS (SELECT FROM pg_tables WHERE tablename = 'awake')"


@pytest.fixture
def slow(deploys: Deploys) -> Callable[[str], None]:
    """Capture one migration and deploy more, of which the named one is slow to unapply."""
    deploys.flagsnap.environment["FLAGSNAP_MANAGE"] = deploys.project.manage_command

    def build(slow: str) -> None:
        project = deploys.project
        project.app("flags", {"0001_initial": migration(create_model("Flag", name=TEXT))})
        deploys.capture()
        code = "migrations.RunPython(migrations.RunPython.noop, back)"
        sleeps = {"python": code, "sql": run_sql("SELECT 1", SLEEP_IN_SQL)}
        first = [sleeps["sql"]] if slow == "sql in the last segment" else []
        middle = [sleeps["sql"]] if slow == "sql without a transaction" else []
        last = [sleeps[slow]] if slow in sleeps else []
        project.migration("flags", "0002_colour", add_field("Flag", "colour"), *first, dependencies=[FIRST])
        project.migration(
            "flags",
            "0003_index",
            INDEX,
            *middle,
            dependencies=[("flags", "0002_colour")],
            atomic=False,
            imports=CONCURRENTLY,
        )
        on: list[Node] = [("flags", "0003_index")]
        project.migration(
            "flags", "0004_label", *last, add_field("Flag", "label"), dependencies=on, imports=SLEEP_IN_PYTHON
        )
        deploys.deploy()
        deploys.database.execute("INSERT INTO flags_flag (name, colour, label) VALUES ('a', 'b', 'c')")

    return build


@contextmanager
def started(deploys: Deploys) -> Iterator["subprocess.Popen[str]"]:
    """A rollback in the background, ended with the block."""
    running = deploys.flagsnap.start("rollback", "--to", "v2", *UNAPPLY)
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
        time.sleep(0.05)


@pytest.mark.parametrize(
    ("moment", "left"),
    [
        ("python", ["0001_initial", "0002_colour", "0003_index", "0004_label"]),
        ("sql", ["0001_initial", "0002_colour", "0003_index", "0004_label"]),
        ("sql without a transaction", ["0001_initial", "0002_colour", "0003_index"]),
        ("sql in the last segment", ["0001_initial", "0002_colour"]),
    ],
)
def test_killed_during_a_reverse(deploys: Deploys, slow: Callable[[str], None], moment: str, left: list[str]) -> None:
    slow(moment)
    marker = deploys.project.folder.parent / "marker"
    deploys.flagsnap.environment["MARKER"] = str(marker)
    asleep = "SELECT 1 FROM pg_stat_activity WHERE datname = current_database() AND wait_event = 'PgSleep'"
    with started(deploys) as running:
        wait_until(lambda: marker.exists() if moment == "python" else deploys.database.rows(asleep), running)
        running.send_signal(signal.SIGKILL)
        running.wait()
    deploys.database.execute("CREATE TABLE awake ()")
    assert deploys.names() == {f"flags.{name}" for name in left}
    assert deploys.database.rows("SELECT name, colour FROM flags_flag") == [("a", "b")]
    began = time.monotonic()
    deploys.rollback()
    assert time.monotonic() - began < 25
    deploys.database.execute("DROP TABLE awake")
    deploys.assert_back()


@pytest.mark.parametrize("seconds", [0.5, 1.1, 1.7])
def test_killed_at_any_moment(deploys: Deploys, slow: Callable[[str], None], seconds: float) -> None:
    slow("never")
    deploys.database.execute("UPDATE flags_flag SET colour = '', label = ''")
    with started(deploys) as running:
        time.sleep(seconds)
        running.send_signal(signal.SIGKILL)
        running.wait()
    deploys.rollback()
    deploys.assert_back()


def test_interrupted_it_takes_the_project_along(deploys: Deploys, slow: Callable[[str], None]) -> None:
    """SIGTERM is what a platform sends first: flagsnap ends its child, and says what is left to do."""
    slow("sql")
    asleep = "SELECT 1 FROM pg_stat_activity WHERE datname = current_database() AND wait_event = 'PgSleep'"
    with deploys.untouched(), started(deploys) as running:
        wait_until(lambda: deploys.database.rows(asleep), running)
        running.terminate()
        out, err = running.communicate(timeout=60)
        assert (running.returncode, out) == (130, "")
        assert "error: interrupted" in err
        assert deploys.database.rows(asleep) == []
    deploys.database.execute("CREATE TABLE awake ()")
    deploys.rollback()
    deploys.database.execute("DROP TABLE awake")
    deploys.assert_back()
