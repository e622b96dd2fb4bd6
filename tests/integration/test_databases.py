"""Databases as a whole: their names, and what a role may do with them."""

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta

import psycopg
import pytest

from flagsnap.errors import ConnectionFailed, FlagsnapError
from flagsnap.postgres import databases, embedded
from flagsnap.postgres.connection import Address, Connection, connect, translated
from flagsnap.postgres.facts import read_properties
from flagsnap.snapshot import RoleSetting
from tests.fix_cli import Flagsnap
from tests.fix_databases import Database
from tests.fix_servers import ALL_MAJORS, PostgresServer
from tests.integration.sample_deploy import ROLLBACK, alter_manifest, deploy, is_recorded, said

NOON = datetime(2026, 11, 22, 12, tzinfo=UTC)


@pytest.fixture
def worker(database: Database) -> Iterator[Connection]:
    with connect(Address.parse(database.server.url()), "test") as connection:
        yield connection


def create(database: Database, name: str) -> str:
    Database(database.server, name).create()
    return name


@pytest.mark.parametrize("live", ["a", "x" * 25, "x" * 26, "x" * 63, "ä" * 31, "x" + "⚑" * 20, 'it\'s "mine"'])
@pytest.mark.parametrize("role", ["scratch", "retired"])
def test_names_fit_and_tell_live_databases_apart(live: str, role: databases.Role) -> None:
    name = databases.name_for(live, role, NOON)
    assert len(name.encode()) <= 63
    assert name.endswith(f"_flagsnap_{role}_20261122120000000000")
    assert name != databases.name_for(live[:-1] + "z", role, NOON)
    assert name.startswith(live) == (len(live.encode()) <= 25)


def test_list_is_newest_first_and_of_one_live_database(database: Database, worker: Connection) -> None:
    live = database.name
    moments = [NOON + timedelta(microseconds=n) for n in (3, 1, 2)]
    made = [create(database, databases.name_for(live, "retired", moment)) for moment in moments]
    create(database, databases.name_for(live, "scratch", NOON))
    create(database, databases.name_for(f"{live}_2", "retired", NOON))
    create(database, f"{made[0]}_copy")
    assert databases.list_of(worker, live, "retired") == (made[0], made[2], made[1])
    assert databases.list_of(worker, f"{live}_3", "retired") == ()


def test_drop_ends_sessions_and_minds_nothing(database: Database, worker: Connection) -> None:
    session = database.connect()
    databases.drop(worker, database.name)
    assert not databases.exists(worker, database.name)
    databases.drop(worker, database.name)
    with pytest.raises(psycopg.OperationalError):
        session.execute("SELECT 1")


@pytest.mark.parametrize(
    ("options", "may"), [("LOGIN", False), ("LOGIN CREATEDB", True), ("LOGIN SUPERUSER NOCREATEDB", True)]
)
def test_who_may_create_databases(options: str, may: bool, database: Database) -> None:
    url = database.server.url("postgres", database.role("some", options))
    with connect(Address.parse(url), "test") as connection:
        assert databases.can_create(connection) is may


@pytest.mark.parametrize("server", ALL_MAJORS, indirect=True)
def test_properties_survive_a_copy(database: Database, worker: Connection) -> None:
    reader = database.role("reader")
    values = ["public", '\'$user\', "Two ""words", public', "''", "'a,b', pg_catalog"]
    settings = [f"ALTER ROLE {reader} IN DATABASE {{0}} SET temp_tablespaces TO ''"]
    settings += [
        f"ALTER DATABASE {{0}} SET {name} TO {value}" for name, value in (("work_mem", "'3MB'"), ("a.b", "'x, \"y\"'"))
    ]
    database.execute("; ".join(settings).format(database.name))
    for number, value in enumerate(values):
        database.execute(f"ALTER DATABASE {database.name} SET search_path TO {value}")
        name = f"{database.name}_{number}"
        with connect(Address.parse(database.url), "test") as connection:
            properties = read_properties(connection)
        databases.create(worker, name, properties)
        assert databases.apply_properties(worker, name, properties) == ()
        with connect(Address.parse(database.server.url(name)), "test") as connection:
            assert read_properties(connection) == properties


def test_what_a_role_may_not_set_is_told(database: Database) -> None:
    owner = database.role("owner", "LOGIN CREATEDB")
    with connect(Address.parse(database.url), "test") as connection:
        properties = read_properties(connection)
    wanted = tuple(
        RoleSetting(role=role, setting=setting, value=value)
        for role, setting, value in (
            (None, "log_statement", "all"),
            (None, "work_mem", "5MB"),
            ("postgres", "jit", "off"),
        )
    )
    properties = properties.model_copy(update={"settings": wanted, "owner": owner, "comment": "mine"})
    with connect(Address.parse(database.server.url("postgres", owner)), "test") as connection:
        name = f"{database.name}_2"
        databases.create(connection, name, properties)
        refused = databases.apply_properties(connection, name, properties)
    assert refused == ("the setting log_statement", "the setting jit")
    with connect(Address.parse(database.server.url(name)), "test") as connection:
        applied = read_properties(connection)
    assert (applied.comment, [each.setting for each in applied.settings]) == ("mine", ["work_mem"])


def test_restore_by_an_owner_who_is_no_superuser(database: Database, flagsnap: Flagsnap) -> None:
    role = database.role("owner", "LOGIN CREATEDB")
    database.execute(
        f"ALTER DATABASE {database.name} OWNER TO {role}; ALTER DATABASE {database.name} SET log_statement TO 'ddl';"
        " CREATE EXTENSION citext; COMMENT ON EXTENSION citext IS 'any case'; CREATE PUBLICATION changes FOR ALL TABLES"
        " WITH (publish = 'insert')"
    )
    url = database.server.url("postgres", role)
    owned = Database(PostgresServer(database.server.major, database.server.bin_dir, url), database.name)
    flagsnap.environment["FLAGSNAP_DATABASE_URL"] = owned.url
    deploy(owned, flagsnap, "CREATE TABLE person (id serial PRIMARY KEY, email citext)")
    ended = flagsnap.within(*ROLLBACK)
    assert is_recorded(database)
    assert "warning: this role may not set the setting log_statement of the database" in ended.err
    assert "COMMENT - EXTENSION citext" in ended.err
    assert "PUBLICATION - changes" in ended.err
    assert database.rows("SELECT pg_get_userbyid(datdba) FROM pg_database WHERE datname = current_database()") == [
        (role,)
    ]
    flagsnap.within("verify", "--expect", "v2")


def test_maintenance_is_another_database_that_lets_one_in(own_server: Callable[..., embedded.Server]) -> None:
    server = own_server()

    def chosen(database: str) -> str:
        with databases.maintenance(Address.parse(server.url(database)), "test") as connection:
            return connection.info.dbname

    assert (chosen("flagsmith"), chosen("template1"), chosen("postgres")) == ("postgres", "postgres", "template1")
    with psycopg.connect(server.url("template1"), autocommit=True) as connection:
        connection.execute("ALTER DATABASE postgres ALLOW_CONNECTIONS false")
    assert chosen("flagsmith") == "template1"
    with pytest.raises(ConnectionFailed, match="not currently accepting connections"):
        chosen("template1")


def test_swap_needs_no_sessions_to_end(database: Database, worker: Connection) -> None:
    address = Address.parse(database.url)
    databases.swap(address, worker, [(database.name, f"{database.name}_2")])
    assert database.relatives() == [f"{database.name}_2"]
    with pytest.raises(FlagsnapError, match="does not exist"), translated(address):
        databases.swap(address, worker, [(database.name, f"{database.name}_3")])


def test_unknown_collation_is_worded(database: Database, worker: Connection, flagsnap: Flagsnap) -> None:
    """A snapshot of a server whose operating system knew a locale that this one does not."""
    deploy(database, flagsnap)
    properties = alter_manifest(flagsnap).database.properties
    alter_manifest(flagsnap, properties=properties.model_copy(update={"collate": "xx_XX.utf8"}))
    error, _ = said(flagsnap.within(*ROLLBACK, code=1))
    assert 'invalid LC_COLLATE locale name: "xx_XX.utf8"' in error
    assert database.relatives() == [database.name]
