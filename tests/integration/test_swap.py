"""The swap: the replacement takes the place of the live database, with clients at work and with things in the way."""

from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import psycopg
import pytest

from flagsnap.errors import FlagsnapError
from flagsnap.postgres.connection import Address, connect, translated
from flagsnap.postgres.databases import swap
from tests.fix_cli import Flagsnap
from tests.fix_databases import Database
from tests.fix_servers import PostgresServer
from tests.integration.sample_deploy import (
    CONSISTENT,
    IN_PLACE,
    ROLLBACK,
    HeldProgram,
    clients,
    deploy,
    is_recorded,
    retired,
    said,
    scratch,
)


@pytest.mark.parametrize("server", [15, 18], indirect=True)
def test_clients_at_work(database: Database, flagsnap: Flagsnap) -> None:
    deploy(database, flagsnap)
    with clients(database) as seen:
        flagsnap(*ROLLBACK)
        rolled_back = seen.count
        flagsnap("undo")
    assert seen.wrong == []
    assert seen.gap < 1
    assert all(len(times) > 20 for times in seen.answers)
    assert 0 < rolled_back < seen.count
    # Whatever was written went to one of the two whole, before the swap or after it.
    assert database.rows(f"SELECT {CONSISTENT}") == [(True,)]
    (restored,) = retired(database)
    assert database.rows(f"SELECT {CONSISTENT}", restored) == [(True,)]
    assert database.rows("SELECT count(*) FROM django_migrations", restored) == [(2,)]


@pytest.fixture
def owned(database: Database, flagsnap: Flagsnap) -> Database:
    """The database seen as the role that owns it and may create others, as which flagsnap connects too."""
    role = database.role("owner", "LOGIN CREATEDB")
    database.execute(f"ALTER DATABASE {database.name} OWNER TO {role}")
    url = database.server.url("postgres", role)
    owned = Database(PostgresServer(database.server.major, database.server.bin_dir, url), database.name)
    flagsnap.environment["FLAGSNAP_DATABASE_URL"] = owned.url
    return owned


def test_role_that_is_no_superuser_ends_its_own_sessions(owned: Database, flagsnap: Flagsnap) -> None:
    deploy(owned, flagsnap)
    with psycopg.connect(owned.url) as session:
        flagsnap.within(*ROLLBACK)
        with pytest.raises(psycopg.OperationalError):
            session.execute("SELECT 1")
    assert is_recorded(owned)
    flagsnap.within("undo")
    assert not is_recorded(owned)


def test_sessions_that_cannot_be_ended(owned: Database, database: Database, flagsnap: Flagsnap) -> None:
    deploy(owned, flagsnap)
    session = database.connect(application_name="rdsadmin")
    error, hint = said(flagsnap.within(*ROLLBACK, code=1))
    assert error == f"sessions of {database.name} cannot be ended by this role: postgres (rdsadmin)"
    assert "--in-place" in hint
    assert session.execute("SELECT count(*) FROM overdraft").fetchall() == [(1,)]
    assert not is_recorded(database)
    assert database.relatives() == [database.name]
    flagsnap.within(*IN_PLACE)
    assert session.execute("SELECT to_regclass('overdraft')").fetchall() == [(None,)]
    flagsnap.within("undo")
    session.close()
    flagsnap.within(*ROLLBACK)
    assert is_recorded(database)


@pytest.fixture
def prepared(database: Database) -> Iterator[str]:
    """The name of a transaction to be prepared, which is not left there."""
    yield database.name
    with suppress(psycopg.errors.UndefinedObject):
        database.execute(f"ROLLBACK PREPARED '{database.name}'")


def test_prepared_transaction_in_the_way(prepared: str, database: Database, flagsnap: Flagsnap) -> None:
    deploy(database, flagsnap)
    session = database.connect()
    session.execute("BEGIN; DELETE FROM overdraft")
    session.execute(f"PREPARE TRANSACTION '{prepared}'".encode())
    error, hint = said(flagsnap.within(*ROLLBACK, code=1))
    assert error == f"a transaction is prepared in {database.name}, which keeps it from being replaced: {prepared}"
    assert "ROLLBACK PREPARED" in hint
    assert database.relatives() == [database.name]
    assert session.execute("SELECT count(*) FROM overdraft").fetchall() == [(1,)]
    session.execute(f"ROLLBACK PREPARED '{prepared}'".encode())
    flagsnap.within(*ROLLBACK)
    assert is_recorded(database)


def test_all_renames_or_none(database: Database) -> None:
    one, other, taken = (Database(database.server, f"{database.name}_{end}") for end in ("1", "2", "taken"))
    for each in (one, other, taken):
        each.create()
    session = one.connect()
    address = Address.parse(database.url)
    with connect(address.to("postgres"), "test") as worker:
        with pytest.raises(FlagsnapError, match="already exists"), translated(address):
            swap(address, worker, [(one.name, f"{database.name}_away"), (other.name, taken.name)])
        assert database.relatives() == [database.name, one.name, other.name, taken.name]
        swap(address, worker, [(one.name, f"{database.name}_away"), (other.name, one.name)])
    assert database.relatives() == [database.name, one.name, f"{database.name}_away", taken.name]
    with pytest.raises(psycopg.OperationalError):
        session.execute("SELECT 1")


def test_migrate_between_plan_and_swap_is_noticed(database: Database, flagsnap: Flagsnap, tmp_path: Path) -> None:
    deploy(database, flagsnap)
    held = HeldProgram.make(tmp_path / "bin", database.server.bin_dir, "pg_restore", "--use-list")
    run = flagsnap.start(*ROLLBACK, FLAGSNAP_PG_BIN=str(held.folder))
    held.wait(run)
    assert len(scratch(database)) == 1
    database.execute("INSERT INTO django_migrations (app, name) VALUES ('accounts', '0004_more')")
    held.go_on()
    _, err = run.communicate(timeout=60)
    assert run.returncode == 1
    assert "the applied migrations have changed since the plan was made" in err
    assert database.relatives() == [database.name]
    assert database.rows("SELECT count(*) FROM django_migrations") == [(4,)]
