"""The route `restore`: a snapshot in the place of the live database."""

import secrets
from collections.abc import Callable, Iterator

import pytest

from flagsnap.postgres import embedded
from tests.fix_cli import Flagsnap
from tests.fix_databases import Database
from tests.fix_servers import ALL_MAJORS, PostgresServer, bin_dir_of
from tests.integration.sample_deploy import (
    DEPLOY,
    RECORDED,
    ROLLBACK,
    WRITE,
    deploy,
    is_recorded,
    retired,
    said,
    scratch,
)


@pytest.mark.parametrize("server", ALL_MAJORS, indirect=True)
def test_rollback_verify_undo_and_again(database: Database, flagsnap: Flagsnap) -> None:
    deploy(database, flagsnap)
    flagsnap.within("verify", "--expect", "v2", code=3)
    done = flagsnap.within(*ROLLBACK, "--json").json
    assert (done["route"], done["verified"], done["differences"]) == ("restore", True, [])
    assert is_recorded(database)
    flagsnap.within("verify", "--expect", "v2")
    (kept,) = retired(database)
    assert done["retired_database"] == kept
    assert not is_recorded(database, kept)

    flagsnap.within("undo")
    assert not is_recorded(database)
    flagsnap.within("verify", "--expect", "v2", code=3)
    flagsnap.within(*ROLLBACK)
    assert is_recorded(database)
    flagsnap.within("verify", "--expect", "v2")
    assert (len(retired(database)), scratch(database)) == (2, [])


def test_without_consent_nothing_happens(database: Database, flagsnap: Flagsnap) -> None:
    deploy(database, flagsnap)
    error, hint = said(flagsnap.within("rollback", "--to", "v2", "--strategy", "restore", code=4))
    assert "public.account (1 row)" in error
    assert "--on-loss restore goes ahead" in hint
    assert database.relatives() == [database.name]
    assert not is_recorded(database)


def test_nothing_is_restored_over_the_recorded_state(database: Database, flagsnap: Flagsnap) -> None:
    database.execute(RECORDED)
    flagsnap.within("capture", "--deploy-id", "v2")
    done = flagsnap.within(*ROLLBACK, "--json").json
    assert (done["route"], done["retired_database"], done["verified"]) == (None, None, True)
    assert database.relatives() == [database.name]


def test_live_database_that_is_gone(database: Database, flagsnap: Flagsnap) -> None:
    database.execute(RECORDED)
    database.execute(f"COMMENT ON DATABASE {database.name} IS 'of the application'")
    flagsnap.within("capture", "--deploy-id", "v2")
    database.drop()
    done = flagsnap.within("rollback", "--to", "v2", "--json").json
    assert (done["route"], done["retired_database"], done["verified"]) == ("restore", None, True)
    assert database.relatives() == [database.name]
    assert is_recorded(database)
    flagsnap.within("verify", "--expect", "v2")
    comment = f"SELECT shobj_description(oid, 'pg_database') FROM pg_database WHERE datname = '{database.name}'"
    assert database.rows(comment) == [("of the application",)]
    database.execute(DEPLOY + WRITE)
    flagsnap.within(*ROLLBACK)
    assert is_recorded(database)


def test_live_database_that_is_gone_needs_the_right_server(
    database: Database, flagsnap: Flagsnap, own_server: Callable[..., embedded.Server]
) -> None:
    database.execute(RECORDED)
    flagsnap.within("capture", "--deploy-id", "v2")
    other = own_server()
    flagsnap.environment["FLAGSNAP_DATABASE_URL"] = other.url(database.name)
    error, hint = said(flagsnap.within("rollback", "--to", "v2", code=2))
    assert "of another server" in error
    assert "--moved" in hint
    flagsnap.within("rollback", "--to", "v2", "--moved")
    assert is_recorded(Database(PostgresServer(other.major, other.bin_dir, other.url()), database.name))


@pytest.mark.parametrize("server", [15, 16], indirect=True)
def test_newer_clients_than_the_server(database: Database, flagsnap: Flagsnap) -> None:
    flagsnap.environment["FLAGSNAP_PG_BIN"] = str(bin_dir_of(18))
    deploy(database, flagsnap)
    assert "pg_dump 18" in flagsnap.within("capture", "--deploy-id", "warned").err
    flagsnap.within(*ROLLBACK)
    assert is_recorded(database)
    flagsnap.within("verify", "--expect", "v2")


@pytest.mark.parametrize("server", [15, 16], indirect=True)
@pytest.mark.parametrize("jobs", ["1", "4"])
def test_errors_of_newer_clients_are_not_swallowed(jobs: str, database: Database, flagsnap: Flagsnap) -> None:
    flagsnap.environment["FLAGSNAP_PG_BIN"] = str(bin_dir_of(18))
    role = database.role("gone")
    deploy(database, flagsnap, f"CREATE TABLE of_role (id int); ALTER TABLE of_role OWNER TO {role}")
    database.execute(f"DROP OWNED BY {role}; DROP ROLE {role}")
    error, _ = said(flagsnap.within(*ROLLBACK, "--jobs", jobs, code=1))
    assert f'role "{role}" does not exist' in error
    assert not is_recorded(database)
    assert database.relatives() == [database.name]


ODD_NAMES = {
    "uppercase and spaces": "{} Flags Of Us",
    "quotes": '{} "it\'s"',
    "signs": "{} 100%=$HOME;--\\ #?&",
    "letters beyond ASCII": "{}_Fähnchen_⚑",
    "63 bytes": "{}" + "x" * 55,
    "63 bytes beyond ASCII": "{}_" + "ä" * 27,
}


@pytest.fixture
def short(server: PostgresServer) -> Iterator[Database]:
    """A database that is not there yet, with a name of 8 bytes, for others that begin with it."""
    unmade = Database(server, f"t_{secrets.token_hex(3)}")
    yield unmade
    unmade.close()


@pytest.mark.parametrize("pattern", ODD_NAMES.values(), ids=ODD_NAMES)
def test_names_of_live_databases(pattern: str, short: Database, flagsnap: Flagsnap) -> None:
    live = Database(short.server, pattern.format(short.name))
    live.create()
    flagsnap.environment["FLAGSNAP_DATABASE_URL"] = live.url
    deploy(live, flagsnap)
    kept = flagsnap.within(*ROLLBACK, "--json").json["retired_database"]
    assert is_recorded(live)
    assert not is_recorded(live, kept)
    assert set(short.relatives()) == {live.name, kept}
    flagsnap.within("undo")
    assert not is_recorded(live)
    flagsnap.within(*ROLLBACK, "--in-place")
    assert is_recorded(live)
    flagsnap.within("undo")
    assert not is_recorded(live)


def test_long_names_that_begin_alike_keep_apart(short: Database, flagsnap: Flagsnap) -> None:
    one, other = (Database(short.server, short.name.ljust(62, "x") + end) for end in "ab")
    for each in (one, other):
        each.create()
    flagsnap.environment["FLAGSNAP_DATABASE_URL"] = one.url
    deploy(one, flagsnap)
    flagsnap.within(*ROLLBACK)
    error, _ = said(flagsnap.within("undo", code=2, FLAGSNAP_DATABASE_URL=other.url))
    assert "nothing is retired" in error
    flagsnap.within("undo")
    assert not is_recorded(one)


@pytest.mark.parametrize("name", ["postgres", "template1"])
def test_application_in_a_database_of_the_servers_own(
    name: str, own_server: Callable[..., embedded.Server], flagsnap: Flagsnap
) -> None:
    server = own_server()
    live = Database(PostgresServer(server.major, server.bin_dir, server.url()), name)
    flagsnap.environment["FLAGSNAP_DATABASE_URL"] = live.url
    deploy(live, flagsnap)
    flagsnap.within(*ROLLBACK)
    assert is_recorded(live)
    flagsnap.within("undo")
    assert not is_recorded(live)
