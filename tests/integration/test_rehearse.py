"""A rehearsal: the verdict and what it rests on, the gate, what stays behind, and what it does when it is disturbed.

That its verdict is what a real rollback shows is seen for every kind of migration in test_matrix.py.
"""

import signal
import subprocess
import time
from typing import Any

import pytest

from tests.fix_deploys import DEPLOY, Deploys
from tests.fix_projects import AUTH, CONTENT_TYPES, NUMBER, TEXT, Node, add_field, create_model, migration, run_sql
from tests.fix_servers import ALL_MAJORS

FIRST: Node = ("flags", "0001_initial")
FILL = "INSERT INTO flags_flag (name) SELECT 'flag ' || n FROM generate_series(1, 500) n"
UPDATE = "UPDATE flags_flag SET name = upper(name)"


@pytest.fixture
def captured(deploys: Deploys) -> Deploys:
    """A release with some rows, captured."""
    project = deploys.project
    project.app("flags", {"0001_initial": migration(create_model("Flag", name=TEXT))})
    deploys.deploy()
    deploys.database.execute(FILL)
    deploys.capture()
    return deploys


def release(deploys: Deploys, *operations: str, **attributes: Any) -> None:
    """Write the release that is to be deployed."""
    deploys.project.migration("flags", "0002_deploy", *operations, dependencies=[FIRST], **attributes)
    deploys.project.write()


def rehearse(deploys: Deploys, *options: str, code: int = 0, **environment: str) -> dict[str, Any]:
    """Rehearse; nothing of it stays in the live database or beside it."""
    with deploys.untouched():
        ended = deploys.flagsnap.within("rehearse", DEPLOY, "--json", *options, code=code, **environment)
    found: dict[str, Any] = ended.json
    return found


def told(deploys: Deploys, *options: str, code: int = 0) -> str:
    """What people read, with lines that are not folded."""
    return deploys.flagsnap.within("rehearse", DEPLOY, *options, code=code, COLUMNS="300").out


def asleep(deploys: Deploys) -> "subprocess.Popen[str]":
    """A rehearsal in the background, once its migration sleeps."""
    running = deploys.flagsnap.start("rehearse", DEPLOY)
    scratch = f"starts_with(datname, '{deploys.database.name}_flagsnap_scratch_')"
    sleeping = f"SELECT FROM pg_stat_activity WHERE {scratch} AND query LIKE 'SELECT pg_sleep%' AND state = 'active'"
    deadline = time.monotonic() + 60
    while not deploys.database.rows(sleeping):
        assert running.poll() is None, running.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.05)
    return running


@pytest.mark.parametrize("server", ALL_MAJORS, indirect=True)
def test_exact(captured: Deploys) -> None:
    release(captured, add_field("Flag", "colour"))
    found = rehearse(captured)
    rehearsal = found["rehearsal"]
    assert set(found) == {"schema", "command", "ok", "rehearsal", "accepted", "database", "seconds"}
    assert (found["ok"], found["accepted"], found["database"]) == (True, True, None)
    assert (rehearsal["verdict"], rehearsal["residue"], rehearsal["again"]) == ("exact", [], "")
    assert (rehearsal["replayable"], rehearsal["obstacles"], rehearsal["not_digested"]) == (True, [], [])
    (forward,) = rehearsal["forward"]
    assert forward["migration"] == {"app": "flags", "name": "0002_deploy"}
    assert forward["locks"][0]["table"] == "public.flags_flag"
    assert rehearsal["replay_seconds"] < rehearsal["back_seconds"]
    assert captured.database.relatives() == [captured.database.name]
    text = told(captured)
    assert "exact: the way back gives the recorded state again" in text
    assert "after the way back the deploy works again" in text
    assert "the deploy may go ahead" in text


@pytest.mark.parametrize("server", ALL_MAJORS, indirect=True)
def test_residue_is_refused_until_it_is_declared(captured: Deploys, tmp_path: Any) -> None:
    release(captured, run_sql(UPDATE, ""))
    rehearsal = rehearse(captured, code=4)["rehearsal"]
    assert (rehearsal["verdict"], rehearsal["reason"]) == ("residue", "500 rows of 1 table are not the recorded ones")
    (residue,) = rehearsal["residue"]
    assert {name: residue[name] for name in ("table", "added", "removed", "changed")} == {
        "table": "public.flags_flag",
        "added": 0,
        "removed": 0,
        "changed": 500,
    }
    assert residue["by"] == [{"app": "flags", "name": "0002_deploy"}]
    text = told(captured, code=4)
    assert "flags.0002_deploy has a reverse that does nothing and wrote 500 rows of public.flags_flag" in text
    assert "the deploy should not go ahead" in text
    config = tmp_path / "flagsnap.toml"
    for rows, code in ((499, 4), (500, 0)):
        config.write_text(f'[acceptable_residue]\n"public.flags_flag" = {rows}\n')
        assert rehearse(captured, "--config", str(config), code=code)["accepted"] is (code == 0)


def test_irreversible(captured: Deploys) -> None:
    release(captured, run_sql(UPDATE))
    rehearsal = rehearse(captured, code=4)["rehearsal"]
    assert rehearsal["verdict"] == "irreversible"
    assert "flags.0002_deploy" in rehearsal["reason"]
    assert rehearsal["advice"] == [
        "flags.0002_deploy cannot be reversed: give RunSQL a reverse, or count on --strategy restore"
    ]
    assert not rehearsal["replayable"]
    assert captured.database.relatives() == [captured.database.name]


def test_a_reverse_that_fails_is_no_way_back(captured: Deploys) -> None:
    release(captured, run_sql(UPDATE, "UPDATE nowhere SET name = lower(name)"))
    rehearsal = rehearse(captured, code=4)["rehearsal"]
    assert rehearsal["verdict"] == "irreversible"
    assert "nowhere" in rehearsal["reason"]


def test_a_reverse_that_leaves_another_schema_is_no_way_back(captured: Deploys) -> None:
    release(captured, run_sql("CREATE INDEX by_name ON flags_flag (name)", "SELECT 1"))
    rehearsal = rehearse(captured, code=4)["rehearsal"]
    assert rehearsal["verdict"] == "irreversible"
    assert "by_name" in "".join(rehearsal["differences"])


def test_a_deploy_that_fails_on_these_rows(captured: Deploys) -> None:
    captured.database.execute("INSERT INTO flags_flag (name) VALUES ('twice'), ('twice')")
    captured.flagsnap.within("capture", "--deploy-id", "twice")
    release(captured, 'migrations.AlterField("Flag", "name", models.CharField(max_length=100, unique=True))')
    ended = captured.flagsnap.within("rehearse", "twice", "--json", code=4).json["rehearsal"]
    assert ended["verdict"] == "fails"
    assert "flags.0002_deploy" in ended["reason"]
    assert captured.database.relatives() == [captured.database.name]
    # Without rows nobody can see it.
    assert captured.flagsnap.within("rehearse", "twice", "--schema-only", "--json").json["accepted"]


def test_a_second_deploy_that_fails(captured: Deploys) -> None:
    """What the way back leaves is in the way of the next deploy."""
    release(captured, run_sql("INSERT INTO flags_flag (id, name) VALUES (9999, 'x')", ""))
    found = rehearse(captured, code=4)
    assert found["rehearsal"]["verdict"] == "residue"
    assert found["rehearsal"]["again"].startswith("the second deploy, after the rollback, fails: ")
    assert not found["rehearsal"]["replayable"]
    captured.project.folder.parent.joinpath("own.toml").write_text('[acceptable_residue]\n"public.flags_flag" = true\n')
    own = str(captured.project.folder.parent / "own.toml")
    assert rehearse(captured, "--config", own, code=4)["accepted"] is False


def test_leftovers_and_tidy(deploys: Deploys) -> None:
    project = deploys.project
    project.install(CONTENT_TYPES, AUTH)
    project.app("flags", {"0001_initial": migration(create_model("Flag", name=TEXT))})
    deploys.capture()
    release(deploys, create_model("Segment", rank=NUMBER))
    rehearsal = rehearse(deploys, code=4)["rehearsal"]
    found = {each["table"]: each["added"] for each in rehearsal["residue"]}
    assert found == {"public.auth_permission": 4, "public.django_content_type": 1}
    assert all("--tidy removes them" in each for each in rehearsal["advice"])
    assert rehearse(deploys, "--tidy")["rehearsal"]["verdict"] == "exact"


def test_what_the_deploy_destroyed_is_refilled(captured: Deploys) -> None:
    release(captured, 'migrations.RemoveField("Flag", "name")')
    assert rehearse(captured)["rehearsal"]["verdict"] == "exact"


@pytest.mark.parametrize("server", ALL_MAJORS, indirect=True)
def test_what_the_deploy_blocks_and_writes(captured: Deploys) -> None:
    alter = 'migrations.AlterField("Flag", "name", models.TextField(default=""))'
    slow = run_sql("SELECT pg_sleep(0.3)", "")
    release(
        captured, run_sql("ALTER TABLE flags_flag ALTER name TYPE varchar(90)", ""), slow, alter, run_sql(UPDATE, "")
    )
    (forward,) = rehearse(captured, code=4)["rehearsal"]["forward"]
    (lock,) = [each for each in forward["locks"] if each["table"] == "public.flags_flag"]
    assert lock["mode"] == "AccessExclusiveLock"
    assert min(lock["seconds"], forward["seconds"]) >= 0.3
    assert forward["rows"] == {"public.flags_flag": 500}
    assert forward["rewritten"] == ["public.flags_flag"]


def test_kept_for_a_look(captured: Deploys) -> None:
    release(captured, run_sql(UPDATE, ""))
    kept = captured.flagsnap.within("rehearse", DEPLOY, "--keep", "--json", code=4).json["database"]
    assert kept.startswith(f"{captured.database.name}_flagsnap_rehearsed_")
    assert captured.database.rows("SELECT count(*) FROM flags_flag WHERE name LIKE 'FLAG%'", name=kept) == [(500,)]
    rehearse(captured, code=4)  # does not drop it
    assert captured.database.relatives() == [captured.database.name, kept]


def test_no_migrations(captured: Deploys) -> None:
    rehearsal = rehearse(captured)["rehearsal"]
    assert (rehearsal["verdict"], rehearsal["forward"]) == ("exact", [])
    assert "there was nothing to migrate: if that is a surprise, --manage does not run the new code" in told(captured)


def test_a_snapshot_of_another_database(captured: Deploys) -> None:
    release(captured, add_field("Flag", "colour"))
    name, renamed = captured.database.name, f"{captured.database.name}_renamed"
    captured.database.rename(renamed)
    url = captured.database.server.url(renamed)
    captured.flagsnap.environment |= {"FLAGSNAP_DATABASE_URL": url, "DATABASE_URL": url}
    ended = captured.flagsnap.within("rehearse", DEPLOY, code=2)
    assert f"error: snapshot {DEPLOY} is of the database {name}, not of" in ended.err
    assert captured.flagsnap.within("rehearse", DEPLOY, "--moved", "--json").json["accepted"]
    captured.database.rename(name, renamed)


CACHE = """
from django.db import connection
from django.db.models.signals import post_migrate


def make_cache(sender, **_):
    with connection.cursor() as cursor:
        cursor.execute("CREATE TABLE IF NOT EXISTS cache (key text PRIMARY KEY)")


class Caching(Config):
    default = True

    def ready(self):
        post_migrate.connect(make_cache, sender=self)
"""


def test_what_no_migration_makes(captured: Deploys) -> None:
    """As Flagsmith's `migrate` makes tables for its cache: they stay, by either way back, and are named."""
    release(captured, add_field("Flag", "colour"))
    with (captured.project.folder / "flags" / "apps.py").open("a") as apps:
        apps.write(CACHE)
    found = rehearse(captured)["rehearsal"]
    assert (found["verdict"], found["replayable"]) == ("exact", True)
    captured.project.migrate()
    plan = captured.flagsnap.within("rollback", "--to", DEPLOY, "--json", FLAGSNAP_MANAGE="").json["plan"]
    assert (plan["route"], plan["kept"]) == ("replay", [{"kind": "table", "object": "public.cache"}])
    assert captured.database.rows("SELECT count(*) FROM cache") == [(0,)]


def test_no_time_to_compare(captured: Deploys) -> None:
    release(captured, run_sql(UPDATE, ""))
    found = rehearse(captured, "--digest-seconds", "0", code=4)
    assert found["rehearsal"]["not_digested"] == ["public.flags_flag"]
    assert "not compared, for want of time: public.flags_flag" in told(captured, "--digest-seconds", "0", code=4)


def test_killed(captured: Deploys) -> None:
    """The next run drops what a killed one left."""
    release(captured, run_sql("SELECT pg_sleep(60)", ""))
    running = asleep(captured)
    running.send_signal(signal.SIGKILL)
    running.communicate(timeout=60)
    assert len(captured.database.relatives()) == 2
    release(captured, add_field("Flag", "colour"))
    assert rehearse(captured)["rehearsal"]["verdict"] == "exact"
    assert captured.database.relatives() == [captured.database.name]


def test_what_reaches_out_cannot_be_rehearsed(captured: Deploys) -> None:
    """It is no verdict on the deploy; that nothing outside is touched is seen in test_guard_hostile.py."""
    source = (
        "import urllib.request\n\ndef code(apps, schema_editor):\n    urllib.request.urlopen('http://127.0.0.1:1')\n"
    )
    release(captured, "migrations.RunPython(code, code)", imports=source)
    with captured.untouched():
        err = captured.flagsnap.within("rehearse", DEPLOY, code=2).err
    assert "error: it cannot be rehearsed: flags.0002_deploy: " in err
    assert "a rehearsal may not use the network (socket.connect)" in err
    assert captured.database.relatives() == [captured.database.name]
    assert captured.snapshots.rehearsal(captured.snapshots.get(DEPLOY)) is None


def test_without_a_project(captured: Deploys) -> None:
    ended = captured.flagsnap.within("rehearse", DEPLOY, code=2, FLAGSNAP_MANAGE="")
    assert "no project was named" in ended.err


def test_a_project_that_does_not_start(captured: Deploys) -> None:
    """It says nothing about the migrations, so it is no verdict."""
    ended = captured.flagsnap.within("rehearse", DEPLOY, code=1, FLAGSNAP_MANAGE="false")
    assert ended.err.splitlines()[-2].startswith("error: the project")
    assert captured.database.relatives() == [captured.database.name]


def test_a_live_database_that_changes_meanwhile(captured: Deploys) -> None:
    """Somebody else does it here; a migration that found a way past the guard would be seen just so."""
    release(captured, run_sql("SELECT pg_sleep(3)", "SELECT 1"))
    running = asleep(captured)
    captured.database.execute("CREATE TABLE surprise ()")
    _, err = running.communicate(timeout=60)
    assert running.returncode == 3
    assert "the live database was changed during the rehearsal: table public.surprise" in err
    assert "rehearsal.json" not in "".join(captured.flagsnap.files(DEPLOY))
