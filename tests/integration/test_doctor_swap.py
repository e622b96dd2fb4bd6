"""The doctor's lines about what hangs on the live database, on a server that the tests may spoil."""

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from psycopg import sql

from flagsnap.postgres import embedded
from tests.fix_cli import Flagsnap
from tests.fix_databases import Database
from tests.fix_servers import DEFAULT_MAJOR, bin_dir_of
from tests.integration.doctors import as_role, examined, give_away, line, reddens

pytestmark = pytest.mark.local_store


@pytest.fixture(scope="module")
def logical() -> Iterator[embedded.Server]:
    """A server with logical replication; a database that has a slot or a subscription cannot simply be dropped."""
    folder = Path(tempfile.mkdtemp(prefix="flagsnap-server-"))
    folder.chmod(0o711)
    settings = {"wal_level": "logical", "max_prepared_transactions": "2"}
    with embedded.running(bin_dir_of(DEFAULT_MAJOR), folder / "server", settings) as server:
        yield server
    shutil.rmtree(folder)


@pytest.fixture
def spoilt(logical: embedded.Server, database: Database) -> dict[str, str]:
    """The environment of a database there, called as the test's own."""
    embedded.create_database(logical, database.name)
    return {"FLAGSNAP_DATABASE_URL": logical.url(database.name)}


def execute(environment: dict[str, str], *statements: str) -> None:
    with psycopg.connect(environment["FLAGSNAP_DATABASE_URL"], autocommit=True) as connection:
        for statement in statements:
            connection.execute(statement.encode())


@reddens("replication slots")
def test_a_logical_slot(flagsnap: Flagsnap, database: Database, spoilt: dict[str, str]) -> None:
    assert line(flagsnap, "replication slots", **spoilt)[0] == "ok"
    execute(spoilt, f"SELECT pg_create_logical_replication_slot('to_{database.name}', 'pgoutput')")
    state, found = line(flagsnap, "replication slots", **spoilt)
    assert (state, found) == ("advice", f"a restore would leave behind to_{database.name}")


@reddens("subscriptions")
def test_a_subscription(flagsnap: Flagsnap, spoilt: dict[str, str]) -> None:
    execute(spoilt, "CREATE SUBSCRIPTION elsewhere CONNECTION 'host=x' PUBLICATION p WITH (connect = false)")
    assert line(flagsnap, "subscriptions", **spoilt) == ("advice", "a restore would leave behind elsewhere")


@reddens("prepared transactions")
def test_a_prepared_transaction(flagsnap: Flagsnap, spoilt: dict[str, str]) -> None:
    execute(spoilt, "CREATE TABLE t (a int)", "BEGIN", "INSERT INTO t VALUES (1)", "PREPARE TRANSACTION 'half done'")
    assert line(flagsnap, "prepared transactions", **spoilt) == ("failed", "prepared and not ended: half done")
    execute(spoilt, "ROLLBACK PREPARED 'half done'")
    assert line(flagsnap, "prepared transactions", **spoilt)[0] == "ok"


@reddens("maintenance database")
def test_no_way_to_another_database(flagsnap: Flagsnap, logical: embedded.Server, spoilt: dict[str, str]) -> None:
    """Without it only a restore in place is left."""
    url = spoilt["FLAGSNAP_DATABASE_URL"]
    role = {"FLAGSNAP_DATABASE_URL": url.replace(f"postgres:{logical.password}", "shut_in:secret")}
    execute(
        spoilt,
        "CREATE ROLE shut_in LOGIN PASSWORD 'secret' CREATEDB",
        "REVOKE CONNECT ON DATABASE postgres, template1 FROM PUBLIC",
    )
    try:
        state, found = line(flagsnap, "maintenance database", **role)
        assert state == "failed"
        assert "permission denied for database" in found
        name = sql.Identifier(url.rpartition("/")[2]).as_string()
        execute(spoilt, f"ALTER DATABASE {name} OWNER TO shut_in")
        state, found = line(flagsnap, "maintenance database", **role)
        assert state == "advice"
        assert found.endswith("a restore is possible --in-place only, a rehearsal not at all")
    finally:
        execute(spoilt, "GRANT CONNECT ON DATABASE postgres, template1 TO PUBLIC")


@reddens("publications", "event triggers")
def test_what_only_a_superuser_restores(flagsnap: Flagsnap, database: Database) -> None:
    environment = as_role(database, options="LOGIN CREATEDB")
    database.execute("""
        CREATE TABLE t (a int PRIMARY KEY); CREATE PUBLICATION changes FOR TABLE t;
        CREATE FUNCTION f() RETURNS event_trigger LANGUAGE plpgsql AS 'BEGIN END';
        CREATE EVENT TRIGGER watch ON ddl_command_end EXECUTE FUNCTION f()
    """)
    give_away(database, f"{database.name}_app")
    checks = examined(flagsnap)
    assert checks["publications"]["state"] == checks["event triggers"]["state"] == "ok"
    checks = examined(flagsnap, **environment)
    assert (checks["publications"]["state"], checks["publications"]["found"]) == (
        "advice",
        "a restore would leave out changes",
    )
    assert (checks["event triggers"]["state"], checks["event triggers"]["found"]) == (
        "failed",
        "a restore would leave out watch, and not be proven",
    )


@reddens("extensions")
def test_extensions(flagsnap: Flagsnap, database: Database) -> None:
    environment = as_role(database)
    give_away(database, f"{database.name}_app")
    database.execute("CREATE EXTENSION hstore; CREATE EXTENSION citext VERSION '1.4'")
    state, found = line(flagsnap, "extensions", **environment)
    assert state == "advice", "hstore and citext are trusted: the owner may create them"
    assert found.startswith("a restored database would have citext 1.")
    assert found.endswith(" for 1.4")
    database.execute("ALTER EXTENSION citext UPDATE; CREATE EXTENSION amcheck")
    assert line(flagsnap, "extensions", **environment) == (
        "failed",
        f"the role {database.name}_app may not create amcheck",
    )
    assert line(flagsnap, "extensions") == ("ok", "the role may create amcheck, citext, hstore")


@reddens("background workers")
def test_a_worker_that_is_told_the_databases_name(flagsnap: Flagsnap, database: Database) -> None:
    assert line(flagsnap, "background workers")[0] == "ok"
    database.execute(f"ALTER DATABASE \"{database.name}\" SET cron.database_name = '{database.name}'")
    state, found = line(flagsnap, "background workers")
    assert (state, found) == ("advice", "bound to the database: pg_cron (cron.database_name)")
