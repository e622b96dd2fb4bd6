"""A redirected project works on the scratch database, and says so where it cannot."""

from pathlib import Path

import pytest

from flagsnap.errors import UsageError
from tests.fix_databases import Database
from tests.fix_deploys import Deploys
from tests.fix_projects import add_field
from tests.integration.guarded import FIRST, Guarded


@pytest.fixture
def guarded(deploys: Deploys, tmp_path: Path) -> Guarded:
    """A project with a scratch database; `begin` it when its aliases are set."""
    return Guarded(deploys, tmp_path)


def columns(database: Database) -> set[str]:
    """The columns of the project's table."""
    query = "SELECT attname FROM pg_attribute WHERE attrelid = 'flags_flag'::regclass AND attnum > 0"
    return {name for (name,) in database.rows(query)}


def test_the_scratch_database_is_migrated_and_nothing_else(guarded: Guarded) -> None:
    guarded.begin()
    guarded.deploys.project.migration("flags", "0002_colour", add_field("Flag", "colour"), dependencies=[FIRST])
    guarded.deploys.project.write()
    guarded.migrate()
    assert columns(guarded.scratch) == {"id", "name", "colour"}
    assert columns(guarded.live) == {"id", "name"}
    assert guarded.bridge().describe([]).database == guarded.scratch.name


def test_what_the_project_opened_when_it_started_leads_nowhere(guarded: Guarded) -> None:
    guarded.begin()
    guarded.deploys.project.app(
        "opened",
        models=(
            "import threading, psycopg2, psycopg\n"
            "from psycopg import connect\n"
            "from psycopg2 import connect as connect2\n"
            "from django.conf import settings\n"
            "from django.db import connection\n"
            f"url = {guarded.live.url!r}\n"
            "early, early2 = psycopg.connect(url, autocommit=True), psycopg2.connect(url)\n"
            "connection.ensure_connection()\n"
            "def stay():\n"
            "    connection.ensure_connection()\n"
            "    started.set()\n"
            "    go.wait()\n"
            "    try:\n"
            "        with connection.cursor() as cursor:\n"
            "            cursor.execute('DELETE FROM flags_flag')\n"
            "            said.append('done')\n"
            "    except Exception as error:\n"
            "        said.append(type(error).__name__)\n"
            "said, started, go = [], threading.Event(), threading.Event()\n"
            "thread = threading.Thread(target=stay, daemon=True)\n"
            "thread.start()\n"
            "started.wait()\n"
        ),
    )
    said = guarded.attempts(
        driver="from opened.models import early\nearly.execute('DELETE FROM flags_flag')",
        old_driver="from opened.models import early2\nearly2.cursor().execute('DELETE FROM flags_flag')",
        function="from opened.models import connect, url\nconnect(url).close()",
        old_function="from opened.models import connect2, url\nconnect2(url).close()",
        django="return connection.settings_dict['NAME']",
        thread="from opened import models\nmodels.go.set()\nmodels.thread.join()\nreturn models.said",
    )
    assert said.pop("driver").startswith("OperationalError: ")
    assert said.pop("old_driver").startswith("OperationalError: ")
    assert said == {
        "function": "Confined: a rehearsal may only connect to the scratch database, and by psycopg.connect",
        "old_function": f"Confined: a rehearsal may not connect to the live database {guarded.live.name}",
        "django": f"done: {guarded.scratch.name}",
        "thread": "done: ['OperationalError']",
    }


def test_a_service_and_other_ways_to_name_the_live_database(
    guarded: Guarded, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An alias is the live database because its database says so."""
    file = tmp_path / "services"
    monkeypatch.setenv("PGSERVICEFILE", str(file))
    live = guarded.settings(guarded.live)
    file.write_text(
        f"[live]\nhost={live['HOST']}\nport={live['PORT']}\ndbname={live['NAME']}\n"
        f"user={live['USER']}\npassword={live['PASSWORD']}\n"
    )
    guarded.aliases |= {
        "service": {"ENGINE": live["ENGINE"], "NAME": "", "OPTIONS": {"service": "live"}},
        "by_option": {**live, "NAME": guarded.other.name, "OPTIONS": {"dbname": live["NAME"]}},
        "by_name": {**live, "HOST": "localhost", "CONN_MAX_AGE": None},
    }
    guarded.begin()
    names = ("service", "by_option", "by_name", "default")
    act = "with connections[{!r}].cursor() as cursor:\n    cursor.execute('SELECT name FROM flags_flag')\n"
    said = guarded.attempts(**{name: act.format(name) + "    return cursor.fetchone()[0]" for name in names})
    assert said == dict.fromkeys(names, "done: scratch")


def test_aliases_that_share_their_options(guarded: Guarded) -> None:
    """As those made from one another with `{**DATABASES["default"], ...}`: one may write, the other only read."""
    guarded.aliases["other"] = guarded.settings(guarded.other)
    guarded.deploys.project.app(
        "shares",
        models="from django.db import connections\n"
        "connections.settings['other']['OPTIONS'] = connections.settings['default']['OPTIONS']\n",
    )
    guarded.begin()
    said = guarded.attempts(
        write="with connection.cursor() as cursor:\n    cursor.execute('DELETE FROM flags_flag')",
        read="with connections['other'].cursor() as cursor:\n    cursor.execute('SHOW transaction_read_only')\n"
        "    return cursor.fetchone()[0]",
    )
    assert said == {"write": "done: None", "read": "done: on"}


def test_a_project_on_another_database_is_refused(guarded: Guarded) -> None:
    guarded.begin()
    for facts in ({"live_database": "prod"}, {"live_started": "1.5"}):
        with guarded.untouched(), pytest.raises(UsageError) as caught:
            guarded.bridge(**facts).describe([])
        expected = facts.get("live_database", guarded.live.name)
        assert str(caught.value) == (
            f"the project is connected to the database {guarded.live.name}, flagsnap to {expected}"
            + (" of another server" if "live_started" in facts else "")
        )


def test_a_database_that_only_has_the_scratch_databases_name_is_refused(guarded: Guarded) -> None:
    guarded.nonce = "somebody's own"
    guarded.begin()
    with guarded.untouched(), pytest.raises(UsageError, match=f"{guarded.scratch.name} is not the scratch database"):
        guarded.bridge().describe([])


def test_a_scratch_database_that_cannot_be_reached(guarded: Guarded) -> None:
    """As behind a pooler that does not know it."""
    guarded.begin()
    guarded.live.drop(guarded.scratch.name)
    with guarded.untouched(), pytest.raises(UsageError) as caught:
        guarded.bridge().describe([])
    assert str(caught.value).startswith(f"the scratch database {guarded.scratch.name} cannot be reached by the project")
    assert "direct address of the server" in caught.value.hint


def test_a_live_database_that_cannot_be_reached(guarded: Guarded) -> None:
    guarded.begin()
    guarded.aliases["default"]["PORT"] = "1"
    guarded.deploys.project.write()
    with pytest.raises(UsageError, match="the project's database cannot be reached: "):
        guarded.bridge().describe([])


def test_a_project_without_postgresql(guarded: Guarded, tmp_path: Path) -> None:
    guarded.begin()
    guarded.aliases["default"] = {"ENGINE": "django.db.backends.sqlite3", "NAME": str(tmp_path / "db.sqlite")}
    guarded.deploys.project.write()
    with pytest.raises(UsageError, match="the project's database is sqlite, not PostgreSQL"):
        guarded.bridge().describe([])


def test_the_way_to_a_foreign_server_is_refused(guarded: Guarded) -> None:
    guarded.begin()
    guarded.scratch.execute(
        "CREATE EXTENSION postgres_fdw; CREATE SERVER far FOREIGN DATA WRAPPER postgres_fdw;"
        " CREATE USER MAPPING FOR CURRENT_USER SERVER far"
    )
    with guarded.untouched(), pytest.raises(UsageError, match="could write through the foreign server far"):
        guarded.bridge().describe([])
    guarded.scratch.execute("DROP USER MAPPING FOR CURRENT_USER SERVER far")
    guarded.bridge().describe([])


def test_a_refused_migration_is_named(guarded: Guarded) -> None:
    guarded.begin()
    imports = "import subprocess\n\ndef code(apps, schema_editor):\n    subprocess.run(['true'])\n"
    project = guarded.deploys.project
    project.migration("flags", "0002_run", "migrations.RunPython(code)", dependencies=[FIRST], imports=imports)
    project.write()
    with pytest.raises(UsageError) as caught:
        guarded.migrate()
    said = "it cannot be rehearsed: flags.0002_run: a rehearsal may not start processes (subprocess.Popen)"
    assert str(caught.value) == said
