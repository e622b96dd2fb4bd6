"""A scratch database without rows: schema and applied migrations are the recorded ones, nothing else is there."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import psycopg
import pytest

from flagsnap.catalog import Catalog
from flagsnap.errors import DifferencesFound
from flagsnap.postgres import databases
from flagsnap.postgres.connection import Address, connect
from flagsnap.progress import Silent
from flagsnap.restoring.restore import Source, scratch_database
from flagsnap.snapshot import RecordedDatabase
from tests.fix_cli import Flagsnap
from tests.fix_databases import Database
from tests.integration.captures import SCHEMA, catalog_of
from tests.integration.refills import Refills
from tests.integration.sample_schemas import EVERYTHING

MORE = """
    CREATE SCHEMA tenant; CREATE TABLE tenant.django_migrations (id serial PRIMARY KEY, app text);
    INSERT INTO tenant.django_migrations (app) VALUES ('x');
    CREATE TABLE a_django_migrations_b (id int); INSERT INTO a_django_migrations_b VALUES (1);
    CREATE MATERIALIZED VIEW counted AS SELECT count(*) AS number FROM feature;
    SELECT lo_from_bytea(4711, 'a large object'); COMMENT ON LARGE OBJECT 4711 IS 'kept';
    GRANT SELECT ON LARGE OBJECT 4711 TO PUBLIC;
"""


class Told(Silent):
    """Keeps what it is told."""

    def __init__(self) -> None:
        self.notes: list[str] = []

    def note(self, text: str) -> None:
        self.notes.append(text)


@contextmanager
def scratch(of: Refills, source: Source, progress: Silent, **options: Any) -> Iterator[str]:
    """A scratch database from that source."""
    live = of.address
    with (
        databases.maintenance(live, "test") as worker,
        scratch_database(source, live, worker, progress, **options) as name,
    ):
        yield name


@pytest.fixture
def captured(flagsnap: Flagsnap, database: Database) -> Refills:
    made = Refills(database, flagsnap)
    made.capture(SCHEMA, MORE)
    return made


def test_no_rows_but_those_of_the_migrations(captured: Refills) -> None:
    database = captured.database
    told = Told()
    with scratch(captured, captured.source(), told, schema_only=True) as name:
        assert catalog_of(database, name).restorable() == catalog_of(database).restorable()
        journal = "SELECT * FROM django_migrations ORDER BY id"
        assert database.rows(journal, name) == database.rows(journal) != []
        assert database.rows("SELECT app FROM tenant.django_migrations", name) == [("x",)]
        for table in ("project", "feature", "state", "a_django_migrations_b"):
            assert database.rows(f"SELECT count(*) FROM {table}", name) == [(0,)]
        assert database.rows("SELECT number FROM counted", name) == [(0,)]
        assert database.rows("SELECT count(*) FROM pg_largeobject_metadata", name) == [(0,)]
        with psycopg.connect(database.server.url(name)) as connection:  # the next migration gets the next number
            connection.execute("INSERT INTO django_migrations (app, name) VALUES ('features', '0003_x')")
        assert database.rows("SELECT max(id) FROM django_migrations", name) == [(3,)]
    assert database.relatives() == [database.name]
    assert not any("TABLE DATA" in note for note in told.notes)


def test_only_the_files_that_are_needed_are_looked_at(captured: Refills) -> None:
    place = captured.flagsnap.place
    files = captured.flagsnap.files("v2/dumps/default/")
    largest = max(files, key=lambda key: 0 if key.endswith("toc.dat") else len(place.get(key)))
    place.delete(largest)
    with scratch(captured, captured.source(), Silent(), schema_only=True) as name:
        assert captured.database.rows("SELECT count(*) FROM django_migrations", name) == [(2,)]


def test_another_state_is_not_taken_for_the_recorded_one(captured: Refills) -> None:
    source = captured.source()
    manifest = source.manifest
    empty = Catalog(())
    for change in (
        {"migrations": manifest.database.migrations[:1]},
        {"catalog": empty.to_json(), "fingerprint": empty.fingerprint},
    ):
        recorded = RecordedDatabase.model_validate({**manifest.database.model_dump(), **change})
        other = replace(source, manifest=manifest.model_copy(update={"databases": (recorded,)}))
        with pytest.raises(DifferencesFound), scratch(captured, other, Silent(), schema_only=True):
            pass
    assert captured.database.relatives() == [captured.database.name]


def test_every_kind_of_object(flagsnap: Flagsnap, database: Database) -> None:
    made = Refills(database, flagsnap)
    made.capture(EVERYTHING)
    with scratch(made, made.source(), Silent(), schema_only=True) as name:
        assert catalog_of(database, name).restorable() == catalog_of(database).restorable()


def test_with_rows_it_is_as_ever(captured: Refills) -> None:
    with scratch(captured, captured.source(), Silent()) as name:
        assert captured.database.rows("SELECT count(*) FROM feature", name) == [(500,)]
        assert captured.database.rows("SELECT count(*) FROM pg_largeobject_metadata", name) == [(1,)]


def test_user_mappings_go(database: Database) -> None:
    user = database.role("one")
    database.execute(
        f"""
        CREATE FOREIGN DATA WRAPPER w; CREATE SERVER "the server" FOREIGN DATA WRAPPER w;
        CREATE USER MAPPING FOR PUBLIC SERVER "the server" OPTIONS (password 'x');
        CREATE USER MAPPING FOR {user} SERVER "the server"; CREATE USER MAPPING FOR CURRENT_USER SERVER "the server"
        """
    )
    with connect(Address.parse(database.server.url(database.name, user)), "test") as connection:
        refused = databases.drop_user_mappings(connection)
    assert "the user mapping of public for the server the server" in refused
    assert len(refused) == len(database.rows("SELECT FROM pg_user_mappings")) >= 2
    with connect(Address.parse(database.url), "test") as connection:
        assert databases.drop_user_mappings(connection) == ()
        assert databases.drop_user_mappings(connection) == ()
    assert database.rows("SELECT FROM pg_user_mappings") == []
