"""The doctor's lines about the role: each with a real role on a real server that may not do it."""

import psycopg
import pytest

from tests.fix_cli import Flagsnap
from tests.fix_databases import Database
from tests.integration.captures import SCHEMA
from tests.integration.doctors import as_role, examined, give_away, line, reddens

pytestmark = pytest.mark.local_store


@reddens("create databases", "database owner", "ownership", "reading", "restore points", "server disk")
def test_a_role_without_any_right(flagsnap: Flagsnap, database: Database) -> None:
    database.execute(SCHEMA)
    checks = examined(flagsnap, **as_role(database))
    role = f"{database.name}_app"
    assert checks["create databases"]["state"] == "failed"
    assert checks["create databases"]["found"] == (
        f"the role {role} may not create databases, and cannot restore --in-place: "
        "it may not create schemas in the database"
    )
    assert checks["create databases"]["mend"] == f"ALTER ROLE {role} CREATEDB"
    assert checks["database owner"]["found"].startswith(f"the role {role} may not rename the database of postgres, and")
    assert checks["database owner"]["state"] == checks["ownership"]["state"] == checks["reading"]["state"] == "failed"
    assert checks["ownership"]["found"].startswith(
        f"the role {role} does not own the table public.django_migrations and 3 more of postgres"
    )
    for name in ("database owner", "ownership"):
        assert "GRANT" not in checks[name]["mend"], "nobody should become a member of a superuser's role"
    assert "public.django_migrations, public.django_migrations_id_seq" in checks["reading"]["found"]
    assert checks["restore points"]["state"] == "advice"
    assert checks["server disk"]["state"] == "advice"
    assert "must be free for a restore; the server's disk cannot be seen from here" in checks["server disk"]["found"]
    assert [name for name, check in checks.items() if check["state"] == "unchecked"] == []


def test_what_mends_it_makes_it_well(flagsnap: Flagsnap, database: Database) -> None:
    """Every remedy that the lines name for roles, one after the other."""
    database.execute(SCHEMA)
    environment, role = as_role(database), f"{database.name}_app"
    owner = database.role("owner")
    give_away(database, owner)
    for name, remedy in (
        ("reading", f'GRANT pg_read_all_data TO "{role}"'),
        ("ownership", f'GRANT "{owner}" TO "{role}"'),
        ("create databases", f'ALTER ROLE "{role}" CREATEDB'),
        ("restore points", f'GRANT EXECUTE ON FUNCTION pg_create_restore_point(text) TO "{role}"'),
    ):
        before = examined(flagsnap, **environment)
        assert before[name]["mend"].replace('"', "").startswith(remedy.replace('"', "")), before[name]
        assert before[name]["state"] in {"failed", "advice"}
        database.execute(remedy)
        assert line(flagsnap, name, **environment)[0] == "ok"
    assert line(flagsnap, "database owner", **environment) == ("ok", f"the role {role} has the rights of {owner}")


def test_without_createdb_the_owner_can_still_restore_in_place(flagsnap: Flagsnap, database: Database) -> None:
    database.execute(SCHEMA)
    environment = as_role(database)
    give_away(database, f"{database.name}_app")
    state, found = line(flagsnap, "create databases", **environment)
    assert state == "advice"
    assert found.endswith("; a restore is possible --in-place only, a rehearsal not at all")
    with database.connect() as connection:
        connection.execute("SELECT lo_create(0)")
    state, found = line(flagsnap, "create databases", **environment)
    assert state == "failed"
    assert found.endswith("cannot restore --in-place: the database holds large objects, which cannot be moved aside")


def test_functions_types_and_schemas_have_owners_too(flagsnap: Flagsnap, database: Database) -> None:
    environment = as_role(database)
    give_away(database, f"{database.name}_app")
    database.execute("""
        CREATE TYPE colour AS ENUM ('red'); CREATE SCHEMA "Audit"; CREATE VIEW one AS SELECT 1;
        CREATE FUNCTION f(colour) RETURNS int LANGUAGE sql AS 'SELECT 1'; CREATE EXTENSION hstore
    """)
    state, found = line(flagsnap, "ownership", **environment)
    assert state == "failed"
    for each in (
        "the function f(colour) of postgres",
        'the schema "Audit"',
        "the type public.colour",
        "the view public",
    ):
        assert each in found


def test_a_large_object_takes_a_right_of_its_own(flagsnap: Flagsnap, database: Database) -> None:
    environment = as_role(database)
    with database.connect() as connection:
        row = connection.execute("SELECT lo_create(0)").fetchone()
    database.execute(f'GRANT pg_read_all_data TO "{database.name}_app"')
    assert row
    state, found = line(flagsnap, "reading", **environment)
    assert (state, found) == ("failed", f"the role {database.name}_app may not read large object {row[0]}")
    database.execute(f'GRANT SELECT ON LARGE OBJECT {row[0]} TO "{database.name}_app"')
    assert line(flagsnap, "reading", **environment)[0] == "ok"
    capture = flagsnap.within("capture", "--deploy-id", "v2", code=0, **environment)
    assert capture.out.startswith("captured v2")


@reddens("row security")
def test_row_security(flagsnap: Flagsnap, database: Database) -> None:
    """What it says is what pg_dump does."""
    database.execute("CREATE TABLE flag (id int PRIMARY KEY); ALTER TABLE flag ENABLE ROW LEVEL SECURITY")
    environment, role = as_role(database), f"{database.name}_app"
    database.execute(f'GRANT pg_read_all_data TO "{role}"')
    assert line(flagsnap, "row security", **environment) == (
        "failed",
        f"policies may hide rows of public.flag from the role {role}",
    )
    refused = flagsnap.within("capture", "--deploy-id", "v2", code=1, **environment)
    assert "row-level security" in refused.err
    give_away(database, role)
    assert line(flagsnap, "row security", **environment)[0] == "ok"
    database.execute("ALTER TABLE flag FORCE ROW LEVEL SECURITY")
    assert line(flagsnap, "row security", **environment)[0] == "failed"


@reddens("sessions")
def test_sessions_that_cannot_be_ended(flagsnap: Flagsnap, database: Database) -> None:
    environment = as_role(database)
    web = database.role("web")
    assert line(flagsnap, "sessions", **environment) == ("ok", "the role may end all that are there now (0)")
    with psycopg.connect(database.server.url(database.name, web), application_name="gunicorn"):
        state, found = line(flagsnap, "sessions", **environment)
        assert (state, found) == ("failed", f"the role {database.name}_app may not end those of {web} (gunicorn)")
        database.execute(f'GRANT pg_signal_backend TO "{database.name}_app"')
        assert line(flagsnap, "sessions", **environment)[0] == "ok"
        with psycopg.connect(database.url, application_name="by hand"):
            assert line(flagsnap, "sessions", **environment)[1].endswith("may not end those of postgres (by hand)")
