"""The bridge to projects that die, babble, fall silent, or are not there: never a traceback, never half a change."""

import shlex
import sys
from pathlib import Path

import pytest

from tests.fix_databases import Database
from tests.fix_deploys import Deploys
from tests.fix_projects import TEXT, Node, Project, add_field, create_model, migration, run_sql

FIRST: Node = ("flags", "0001_initial")
SECOND: Node = ("flags", "0002_colour")
MISBEHAVE = """
import atexit
import os
import signal
import sys
import time

manner = os.environ.get("MISBEHAVE", "")
if manner == "die":
    os.kill(os.getpid(), signal.SIGKILL)
if manner == "exit":
    os._exit(0)
if manner == "raise":
    raise RuntimeError("SECRET_SETTING is not set")
if manner == "sleep":
    time.sleep(60)
if manner == "stop stdin":
    os.close(0)
if manner == "babble":
    def babble():
        os.write(1, b"banner \\xff\\xfe\\x00 without an end")
        os.write(2, b"Traceback is what this is not \\xc3" + 300_000 * b"x")
        print("<flagsnap 0123456789abcdef>{}</flagsnap 0123456789abcdef>", end="", flush=True)
        print("warning", end="", file=sys.stderr, flush=True)
    babble()
    atexit.register(babble)
"""
REVERSE = """
import os, signal, sys, time

def back(apps, schema_editor):
    apps.get_model("flags", "Flag").objects.update(name="changed")
    manner = os.environ.get("REVERSE", "")
    if manner == "die":
        os.kill(os.getpid(), signal.SIGKILL)
    if manner == "exit":
        sys.exit(0)
    if manner == "stop":
        os.kill(os.getpid(), signal.SIGSTOP)
    if manner == "babble":
        print("half a line", end="")
        os.write(1, b"\\xff half a line")
    if manner == "replace stdout":
        sys.stdout = sys.stderr = open(os.devnull, "w")
    if manner == "work":
        time.sleep(6)
"""


@pytest.fixture
def ready(deploys: Deploys) -> Deploys:
    """An app with one recorded and two extra migrations, which behaves as the environment says."""
    project = deploys.project
    project.app("flags", {"0001_initial": migration(create_model("Flag", name=TEXT))}, models=MISBEHAVE)
    deploys.capture()
    project.migration("flags", "0002_colour", add_field("Flag", "colour"), dependencies=[FIRST])
    code = "migrations.RunPython(migrations.RunPython.noop, back)"
    project.migration("flags", "0003_code", code, dependencies=[SECOND], imports=REVERSE)
    deploys.deploy()
    deploys.database.execute("INSERT INTO flags_flag (name, colour) VALUES ('a', ''), ('b', 'red')")
    return deploys


def test_a_project_that_does_not_start(ready: Deploys) -> None:
    manners = {
        "die": "was killed by signal 9",
        "exit": "the project ended without an answer",
        "raise": "RuntimeError: SECRET_SETTING is not set",
        "stop stdin": "the project",
    }
    for manner, words in manners.items():
        said = ready.refused(code=1, MISBEHAVE=manner)
        assert words in said.error
        assert "check --manage" in said.hint
    said = ready.refused("--strategy", "unapply", "--silence", "1", code=1, MISBEHAVE="sleep")
    assert said.error == "the project said nothing for 1 seconds"
    assert "--silence" in said.hint
    plan = ready.flagsnap("plan", "--to", "v2", "--json", MISBEHAVE="raise").json["plan"]
    assert plan["route"] == "restore"
    assert manners["raise"] in plan["closed"][0]["reason"]


def test_a_project_that_babbles_on_both_streams(ready: Deploys) -> None:
    ready.flagsnap.environment |= {"MISBEHAVE": "babble", "REVERSE": "babble"}
    plan = ready.back()
    assert plan["route"] == "unapply"


@pytest.mark.parametrize(("manner", "words"), [("die", "was killed by signal 9"), ("exit", "SystemExit: 0")])
def test_a_project_that_dies_in_the_middle_of_a_segment(ready: Deploys, manner: str, words: str) -> None:
    said = ready.refused(code=1, REVERSE=manner)
    assert words in said.error
    ready.back()


def test_a_project_that_falls_silent_in_the_middle_of_a_segment(ready: Deploys) -> None:
    said = ready.refused("--strategy", "unapply", "--on-loss", "accept", "--silence", "3", code=1, REVERSE="stop")
    assert said.error == "the project said nothing for 3 seconds"
    query = (
        "SELECT application_name FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
    )
    assert ready.database.rows(query) == []
    ready.back()


@pytest.mark.parametrize("manner", ["work", "replace stdout"])
def test_a_project_at_work_is_not_silent(ready: Deploys, manner: str) -> None:
    """However long a reverse takes, and whatever it does to its own streams."""
    ready.flagsnap.environment |= {"REVERSE": manner}
    ready.back("--strategy", "unapply", "--on-loss", "accept", "--silence", "5")


def test_a_command_that_is_no_project(ready: Deploys) -> None:
    commands = [
        ("/no/such/program manage.py", 2, "cannot run /no/such/program"),
        ("python 'manage.py", 2, "--manage cannot be read: no closing quotation"),
        (" ", 2, "--manage is empty"),
        (f"{sys.executable} /no/such/manage.py", 1, "/no/such/manage.py"),
        (shlex.join([sys.executable, "-c", "raise SystemExit('no such service: flagsmith')"]), 1, "no such service"),
        ("true", 1, "the project ended without an answer"),
        ("echo", 1, "the project ended without an answer"),
    ]
    for manage, code, words in commands:
        said = ready.refused(code=code, FLAGSNAP_MANAGE=manage)
        assert words in said.error


def test_a_project_on_another_database(ready: Deploys, tmp_path: Path) -> None:
    other = Database(ready.database.server, f"{ready.database.name}_other")
    other.create()
    for options in (["--strategy", "unapply"], []):
        said = ready.refused(*options, DATABASE_URL=other.url)
        assert said.error == (
            f"the project is connected to the database {other.name}, flagsnap to {ready.database.name}"
        )
        assert "same database" in said.hint
    role = ready.database.role("app")
    url = ready.database.server.url(ready.database.name, role, "wr0ng")
    said = ready.refused(code=1, DATABASE_URL=url)
    assert "OperationalError" in said.error
    assert "wr0ng" not in said.error + said.hint
    sqlite = {"ENGINE": "django.db.backends.sqlite3", "NAME": str(tmp_path / "db.sqlite")}
    ready.project.install(DATABASES={"default": sqlite})
    ready.project.write()
    said = ready.refused()
    assert said.error == "the project's database is sqlite, not PostgreSQL"


def test_a_project_whose_migrations_do_not_fit_together(ready: Deploys, project: Project) -> None:
    project.migration("flags", "0004_lost", run_sql("SELECT 1", "SELECT 1"), dependencies=[("flags", "0003_gone")])
    project.write()
    said = ready.refused(code=1)
    assert "NodeNotFoundError" in said.error
