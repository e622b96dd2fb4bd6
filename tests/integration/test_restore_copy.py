"""`restore ID --into NAME`: a copy beside the live database."""

import pytest

from tests.fix_cli import Flagsnap
from tests.fix_databases import Database
from tests.integration.sample_deploy import RECORDED, deploy, is_recorded, said


def test_copy_beside_the_live_database(database: Database, flagsnap: Flagsnap) -> None:
    deploy(database, flagsnap)
    session = database.connect()
    name = f'{database.name} "Copy"'
    done = flagsnap.within("restore", "v2", "--into", name, "--json").json
    assert (done["database"], done["verified"]) == (name, True)
    assert database.relatives() == [database.name, name]
    assert is_recorded(database, name)
    assert session.execute("SELECT count(*) FROM overdraft").fetchall() == [(1,)]
    said_text = flagsnap.within("restore", "latest", "--into", f"{database.name}_2").out
    assert f"restored and proven: {database.name}_2" in said_text


def test_copy_without_a_live_database(database: Database, flagsnap: Flagsnap) -> None:
    database.execute(RECORDED)
    flagsnap.within("capture", "--deploy-id", "v2")
    database.drop()
    flagsnap.within("restore", "v2", "--into", f"{database.name}_copy")
    assert database.relatives() == [f"{database.name}_copy"]
    assert is_recorded(database, f"{database.name}_copy")


def test_name_that_is_taken(database: Database, flagsnap: Flagsnap) -> None:
    database.execute(RECORDED)
    flagsnap.within("capture", "--deploy-id", "v2")
    other = Database(database.server, f"{database.name}_other")
    other.create()
    error, hint = said(flagsnap.within("restore", "v2", "--into", other.name, code=2))
    assert error == f"the database {other.name} exists"
    assert hint == "choose another name for --into"
    assert database.relatives() == [database.name, other.name]
    assert database.rows("SELECT FROM pg_class WHERE relname = 'account'", other.name) == []


@pytest.mark.parametrize("name", ["", "x" * 64, "ä" * 32])
def test_name_that_is_none(name: str, database: Database, flagsnap: Flagsnap) -> None:
    deploy(database, flagsnap)
    error, _ = said(flagsnap.within("restore", "v2", "--into", name, code=2))
    assert error == f"{name!r} cannot be the name of a copy: 1 to 63 bytes"


def test_name_of_the_live_database(database: Database, flagsnap: Flagsnap) -> None:
    deploy(database, flagsnap)
    for _ in range(2):
        error, _ = said(flagsnap.within("restore", "v2", "--into", database.name, code=2))
        assert error == f"{database.name!r} cannot be the name of a copy: it is the live database"
        if database.relatives():
            assert not is_recorded(database)
            database.drop()
    assert database.relatives() == []


def test_unknown_snapshot(database: Database, flagsnap: Flagsnap) -> None:
    deploy(database, flagsnap)
    said(flagsnap.within("restore", "v9", "--into", f"{database.name}_copy", code=5))
    assert database.relatives() == [database.name]


def test_role_without_createdb(database: Database, flagsnap: Flagsnap) -> None:
    deploy(database, flagsnap)
    url = database.server.url(database.name, database.role("app"))
    command = ("restore", "v2", "--into", f"{database.name}_copy")
    error, _ = said(flagsnap.within(*command, code=2, FLAGSNAP_DATABASE_URL=url))
    assert "may not create databases" in error
    assert database.relatives() == [database.name]
