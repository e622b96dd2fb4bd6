"""Restores in place: within the live database, by a role that may not create another one."""

import re
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import psycopg
import pytest

from flagsnap.postgres import embedded
from tests.fix_cli import Flagsnap
from tests.fix_databases import Database
from tests.fix_servers import ALL_MAJORS, PostgresServer, bin_dir_of
from tests.integration.sample_deploy import (
    DEPLOY,
    IN_PLACE,
    RECORDED,
    ROLLBACK,
    WRITE,
    alter_manifest,
    is_recorded,
    said,
)

EXTENSIONS = "CREATE EXTENSION citext; CREATE EXTENSION hstore"
WITHOUT_EXTENSIONS = "CREATE DOMAIN citext AS text; CREATE DOMAIN hstore AS text"  # the wheel of 16 has none

OBJECTS = """
    CREATE SCHEMA billing; CREATE SCHEMA "Odd "" name";
    CREATE TYPE mood AS ENUM ('good', 'bad');
    CREATE TYPE pair AS (a int, b mood);
    CREATE DOMAIN short AS varchar(20) CHECK (length(VALUE) > 1);
    CREATE COLLATION plain FROM "C";
    CREATE SEQUENCE free START 40;
    SELECT nextval('free');
    CREATE TABLE person (
        id int GENERATED ALWAYS AS IDENTITY PRIMARY KEY, email citext UNIQUE, tags hstore, mood mood, short short,
        pair pair, plain text COLLATE plain, upper text GENERATED ALWAYS AS (upper(email::text)) STORED
    );
    INSERT INTO person (email, tags, mood, short, pair)
        SELECT 'P' || n || '@x', 'a=>1'::hstore, 'good', 'ab', '(1,bad)'::pair FROM generate_series(1, 20) n;
    CREATE TABLE billing.invoice (
        id serial, person_id int REFERENCES public.person, at date NOT NULL, PRIMARY KEY (id, at)
    ) PARTITION BY RANGE (at);
    CREATE TABLE billing.invoice_old PARTITION OF billing.invoice FOR VALUES FROM (MINVALUE) TO ('2020-01-01');
    CREATE TABLE billing.invoice_new PARTITION OF billing.invoice DEFAULT;
    INSERT INTO billing.invoice (person_id, at) VALUES (1, '2019-01-01'), (2, '2021-01-01');
    CREATE TABLE "Odd "" name"."T x" ("Id" serial PRIMARY KEY, "a b" mood);
    INSERT INTO "Odd "" name"."T x" ("a b") VALUES ('bad');
    CREATE VIEW happy AS SELECT p.id, p.email, i.at FROM person p JOIN billing.invoice i ON i.person_id = p.id;
    CREATE MATERIALIZED VIEW billing.counts AS SELECT mood, count(*) FROM person GROUP BY mood;
    CREATE INDEX ON billing.counts (mood);
    CREATE FUNCTION of_table(p person) RETURNS text LANGUAGE sql AS 'SELECT p.email::text';
    CREATE FUNCTION of_enum(m mood, s short[] DEFAULT '{}') RETURNS mood LANGUAGE sql BEGIN ATOMIC SELECT m; END;
    CREATE PROCEDURE billing.bill(INOUT a int) LANGUAGE plpgsql AS 'BEGIN a := a + 1; END';
    CREATE FUNCTION later(a mood, b mood) RETURNS mood LANGUAGE sql AS 'SELECT b';
    CREATE AGGREGATE last_of(mood) (sfunc = later, stype = mood);
    CREATE FUNCTION stamp() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN NEW.short := ''xx''; RETURN NEW; END';
    CREATE TRIGGER stamping BEFORE INSERT ON person FOR EACH ROW EXECUTE FUNCTION stamp();
    CREATE STATISTICS related (dependencies) ON id, short FROM person;
    ALTER TABLE person ENABLE ROW LEVEL SECURITY;
    CREATE POLICY everybody ON person USING (true);
    CREATE RULE stays AS ON DELETE TO total DO INSTEAD NOTHING;
    COMMENT ON TABLE person IS 'people';
"""
SPOIL = """
    DELETE FROM billing.invoice;
    DROP VIEW happy;
    ALTER TABLE person DROP tags, ADD age int;
    UPDATE person SET email = 'nobody' || id;
    SELECT nextval('free');
    ALTER TYPE mood ADD VALUE 'odd';
"""
CONTENT = """
    SELECT (SELECT jsonb_agg(to_jsonb(p) ORDER BY id) FROM person p), (SELECT jsonb_agg(to_jsonb(h)) FROM happy h),
        (SELECT jsonb_agg(to_jsonb(i) ORDER BY id) FROM billing.invoice i), (SELECT last_value FROM free),
        (SELECT jsonb_agg(to_jsonb(c)) FROM billing.counts c), (SELECT last_value FROM person_id_seq),
        (SELECT of_table(p) FROM person p WHERE id = 1), of_enum('bad'), (SELECT last_of(mood) FROM person)
"""


@dataclass
class Owned:
    """A database that belongs to a role without CREATEDB, as which flagsnap connects too."""

    database: Database
    role: str

    @property
    def url(self) -> str:
        return self.database.server.url(self.database.name, self.role)

    def execute(self, statement: str) -> None:
        with psycopg.connect(self.url, autocommit=True) as connection:
            connection.execute(statement.encode())

    def rows(self, query: str) -> list[tuple[Any, ...]]:
        with psycopg.connect(self.url, autocommit=True) as connection:
            return connection.execute(query.encode()).fetchall()

    def schemas(self) -> list[str]:
        rows = self.rows("SELECT nspname FROM pg_namespace WHERE nspname !~ '^pg_' ORDER BY 1")
        return [name for (name,) in rows if name != "information_schema"]

    def retired(self) -> list[str]:
        """The schemas that keep what was in `public`, oldest first."""
        return [name for name in self.schemas() if re.fullmatch(r"flagsnap_retired_\d{20}", name)]

    def deploy(self, flagsnap: Flagsnap, extra: str = "") -> None:
        self.execute(RECORDED + extra)
        flagsnap.within("capture", "--deploy-id", "v2")
        self.execute(DEPLOY + WRITE)


def owned_by_app(database: Database, flagsnap: Flagsnap) -> Owned:
    role = database.role("app")
    database.execute(f"ALTER DATABASE {database.name} OWNER TO {role}")
    made = Owned(database, role)
    if database.rows("SELECT FROM pg_available_extensions WHERE name = 'citext'"):
        database.execute(EXTENSIONS)
    else:
        made.execute(WITHOUT_EXTENSIONS)
    flagsnap.environment["FLAGSNAP_DATABASE_URL"] = made.url
    return made


@pytest.fixture
def owned(database: Database, flagsnap: Flagsnap) -> Owned:
    return owned_by_app(database, flagsnap)


@pytest.mark.parametrize("server", ALL_MAJORS, indirect=True)
def test_brings_everything_back_beside_what_was_live(owned: Owned, flagsnap: Flagsnap) -> None:
    owned.deploy(flagsnap, OBJECTS)
    recorded = owned.rows(CONTENT)
    owned.execute(SPOIL)
    done = flagsnap.within(*IN_PLACE, "--json").json
    (kept,) = owned.retired()
    assert (done["retired_schema"], done["retired_database"], done["verified"]) == (kept, None, True)
    assert owned.database.relatives() == [owned.database.name]
    assert is_recorded(owned.database)
    assert owned.rows(CONTENT) == recorded
    assert flagsnap.within("verify", "--expect", "v2").err == ""
    # The rows written since are kept, and those of other schemas too.
    assert owned.rows(f"SELECT balance FROM {kept}.account WHERE name = 'late'") == [(7,)]
    assert owned.rows(f"SELECT email, age FROM {kept}.person WHERE id = 1") == [("nobody1", None)]
    assert owned.rows(f"SELECT count(*) FROM {kept}_billing.invoice") == [(0,)]
    assert owned.rows(f'SELECT "a b"::text FROM "{kept}_Odd "" name"."T x"') == [("bad",)]
    # The application goes on working, with its sequences and triggers.
    owned.execute("INSERT INTO person (email, tags) VALUES ('new@x', 'b=>2')")
    assert owned.rows("SELECT id, short FROM person WHERE lower(email::text) = 'new@x'") == [(21, "xx")]


def test_undo_brings_the_old_objects_back_and_again_the_restored(owned: Owned, flagsnap: Flagsnap) -> None:
    owned.deploy(flagsnap, OBJECTS)
    recorded = owned.rows(CONTENT)
    owned.execute(SPOIL)
    flagsnap.within(*IN_PLACE)
    undone = flagsnap.within("undo", "--json").json
    assert (undone["retired_schema"], undone["retired_database"]) == (*owned.retired(), None)
    assert not is_recorded(owned.database)
    assert owned.rows("SELECT email FROM person WHERE id = 1") == [("nobody1",)]
    owned.execute("INSERT INTO person (email, age, mood) VALUES ('new@x', 3, 'odd')")
    flagsnap.within("undo")
    assert is_recorded(owned.database)
    assert owned.rows(CONTENT) == recorded
    flagsnap.within("verify", "--expect", "v2")
    assert owned.schemas() == [
        'Odd " name',
        "billing",
        *owned.retired(),
        *(f"{owned.retired()[0]}_{name}" for name in ('Odd " name', "billing")),
        "public",
    ]


def test_second_restore_in_place_and_later_captures(owned: Owned, flagsnap: Flagsnap) -> None:
    owned.deploy(flagsnap, OBJECTS)
    flagsnap.within(*IN_PLACE)
    flagsnap.within("capture", "--deploy-id", "again")
    toc = owned.database.server.bin_dir / "pg_restore"
    listed = subprocess.run(
        [toc, "--list", flagsnap.fetched("again") / "dumps/default"], capture_output=True, check=True
    )
    assert b"person" in listed.stdout
    assert b"flagsnap_retired" not in listed.stdout
    manifest = flagsnap.within("show", "again", "--json").json["manifest"]["databases"][0]
    assert {table["schema_name"] for table in manifest["tables"]} == {"public", "billing", 'Odd " name'}
    owned.execute(DEPLOY + WRITE)
    flagsnap.within(*IN_PLACE)
    assert is_recorded(owned.database)
    older, newer = owned.retired()
    assert owned.rows(f"SELECT count(*) FROM {older}.overdraft, {newer}.overdraft") == [(1,)]
    flagsnap.within("undo")
    assert not is_recorded(owned.database)
    assert older in owned.retired()


def test_schemas_made_and_dropped_since_the_capture(owned: Owned, flagsnap: Flagsnap) -> None:
    owned.deploy(flagsnap, OBJECTS)
    made = "CREATE SCHEMA audit; CREATE TABLE audit.entry AS SELECT 1 AS n"
    owned.execute(f'DROP SCHEMA billing CASCADE; DROP SCHEMA "Odd "" name" CASCADE; {made}')
    flagsnap.within(*IN_PLACE)
    (kept,) = owned.retired()
    assert owned.schemas() == ['Odd " name', "billing", kept, f"{kept}_audit", "public"]
    assert owned.rows(f"SELECT n FROM {kept}_audit.entry") == [(1,)]
    flagsnap.within("undo")
    (kept,) = owned.retired()
    assert owned.schemas() == ["audit", kept, f'{kept}_Odd " name', f"{kept}_billing", "public"]
    assert owned.rows("SELECT n FROM audit.entry") == [(1,)]
    flagsnap.within("undo")
    flagsnap.within("verify", "--expect", "v2")


def test_extension_made_since_the_capture_is_named(owned: Owned, flagsnap: Flagsnap) -> None:
    """What belongs to an extension is not the role's to move, and what is kept aside may need it."""
    owned.deploy(flagsnap)
    owned.execute("CREATE EXTENSION pg_trgm")
    ended = flagsnap.within(*IN_PLACE, code=3)
    assert "after the restore the database is not what was recorded: extension pg_trgm was not recorded\n" in ended.err
    assert f"{owned.retired()[0]} keeps what was live before; `flagsnap undo` brings it back" in ended.err
    assert is_recorded(owned.database)
    flagsnap.within("undo")
    assert not is_recorded(owned.database)


def test_owners_and_grants_are_the_recorded_ones(owned: Owned, flagsnap: Flagsnap) -> None:
    reader = owned.database.role("reader")
    owned.deploy(flagsnap, f"GRANT SELECT ON account TO {reader}; GRANT UPDATE (amount) ON total TO {reader}")
    owned.execute(f"REVOKE ALL ON account FROM {reader}; GRANT DELETE ON total TO {reader}")
    flagsnap.within(*IN_PLACE)
    rights = "has_table_privilege('{0}', 'account', 'SELECT'), has_table_privilege('{0}', 'total', 'DELETE')"
    assert owned.rows(
        f"SELECT {rights}, tableowner FROM pg_tables WHERE (schemaname, tablename) = ('public', 'total')".format(reader)
    ) == [(True, False, owned.role)]
    assert owned.rows(f"SELECT has_column_privilege('{reader}', 'total', 'amount', 'UPDATE')") == [(True,)]


def test_refusal_names_in_place_and_changes_nothing(owned: Owned, flagsnap: Flagsnap) -> None:
    owned.deploy(flagsnap)
    error, hint = said(flagsnap.within(*ROLLBACK, code=2))
    assert error == f"cannot roll back by restore: the role {owned.role} may not create databases"
    assert "--in-place" in hint
    assert_untouched(owned)


def test_broken_file(owned: Owned, flagsnap: Flagsnap) -> None:
    owned.deploy(flagsnap)
    flagsnap.place.put("v2/dumps/default/toc.dat", b"PGDMP")
    said(flagsnap.within(*IN_PLACE, code=5))
    assert_untouched(owned)


def test_rows_that_disagree(owned: Owned, flagsnap: Flagsnap) -> None:
    owned.deploy(flagsnap)
    manifest = alter_manifest(flagsnap)
    tables = [
        table.model_copy(update={"rows": table.rows + (table.table == "account")}) for table in manifest.database.tables
    ]
    alter_manifest(flagsnap, tables=tuple(tables))
    error, _ = said(flagsnap.within(*IN_PLACE, code=1))
    assert "table public.account does not have its 101 recorded rows" in error
    assert_untouched(owned)


def test_statistics_that_cannot_be_made_come_after_the_commit(owned: Owned, flagsnap: Flagsnap) -> None:
    owned.execute(RECORDED)
    owned.execute("""
        CREATE TABLE touchy (id int);
        INSERT INTO touchy SELECT generate_series(1, 10);
        CREATE FUNCTION touch(id int) RETURNS int IMMUTABLE LANGUAGE plpgsql AS $$
            BEGIN
                IF current_setting('application_name') = 'flagsnap analyze' THEN RAISE 'do not touch'; END IF;
                RETURN id;
            END $$;
        CREATE INDEX ON touchy (touch(id));
    """)
    flagsnap("capture", "--deploy-id", "v2")
    owned.execute(DEPLOY + WRITE)
    ended = flagsnap(*IN_PLACE, code=7)
    assert "the restore in place is done, but not its planner statistics: PostgreSQL refused: do not touch" in ended.err
    assert "hint: run ANALYZE in the database, then `flagsnap verify --expect v2`" in ended.err
    flagsnap("verify", "--expect", "v2")
    assert len(owned.retired()) == 1


def test_lock_that_is_not_to_be_had(owned: Owned, flagsnap: Flagsnap) -> None:
    owned.deploy(flagsnap)
    busy = owned.database.connect()
    with busy.transaction():
        busy.execute("SELECT FROM account")
        error, _ = said(flagsnap.within(*IN_PLACE, "--lock-timeout", "0.2", code=1))
    assert "lock timeout" in error
    assert_untouched(owned)


@pytest.mark.parametrize(
    ("made", "what"),
    [
        ("SELECT lo_from_bytea(0, 'x')", "large objects"),
        ("CREATE TYPE span AS RANGE (subtype = float8)", "the range type public.span"),
    ],
)
def test_what_cannot_be_kept_aside(made: str, what: str, owned: Owned, flagsnap: Flagsnap) -> None:
    owned.deploy(flagsnap, made)
    error, hint = said(flagsnap.within(*IN_PLACE, code=2))
    assert error == f"the database holds {what}, which cannot be kept aside in place"
    assert "CREATEDB" in hint
    assert_untouched(owned)


@pytest.mark.parametrize("server", [15, 16], indirect=True)
def test_needs_clients_that_the_server_understands(owned: Owned, flagsnap: Flagsnap) -> None:
    owned.deploy(flagsnap)
    error, hint = said(flagsnap.within(*IN_PLACE, code=2, FLAGSNAP_PG_BIN=str(bin_dir_of(18))))
    assert "needs its own psql and pg_restore" in error
    assert f"postgresql-client-{owned.database.server.major}" in hint
    assert_untouched(owned)


def test_live_database_that_is_gone(owned: Owned, flagsnap: Flagsnap) -> None:
    owned.deploy(flagsnap)
    owned.database.drop()
    _, hint = said(flagsnap.within(*IN_PLACE, code=2))
    assert "leave out --in-place" in hint
    owned.database.create()


def test_role_that_may_connect_to_its_own_database_only(
    own_server: Callable[..., embedded.Server], flagsnap: Flagsnap
) -> None:
    server = own_server()
    database = Database(PostgresServer(server.major, server.bin_dir, server.url()), "app")
    database.create()
    owned = owned_by_app(database, flagsnap)
    for name in ("postgres", "template1"):
        database.execute(f"REVOKE CONNECT ON DATABASE {name} FROM PUBLIC")
    owned.deploy(flagsnap)
    error, hint = said(flagsnap.within(*ROLLBACK, code=2))
    assert "needs a connection to the database postgres or template1" in error
    assert "--in-place" in hint
    flagsnap.within(*IN_PLACE)
    assert is_recorded(database)
    flagsnap.within("undo")
    assert not is_recorded(database)


def assert_untouched(owned: Owned) -> None:
    assert not is_recorded(owned.database)
    assert owned.schemas() == ["public"]
    assert owned.database.relatives() == [owned.database.name]
