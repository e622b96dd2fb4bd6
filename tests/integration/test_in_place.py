"""Restores in place: by a role that may not create databases, within the live one."""

from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from tests.fix_cli import Flagsnap
from tests.fix_databases import Database
from tests.integration.deploys import DEPLOY, IN_PLACE, RECORDED, ROLLBACK, WRITE, alter_manifest, deploy, is_recorded, said

OBJECTS = """
    CREATE SCHEMA billing; CREATE SCHEMA "Odd "" name";
    CREATE TYPE mood AS ENUM ('good', 'bad');
    CREATE TYPE pair AS (a int, b mood);
    CREATE TYPE span AS RANGE (subtype = float8);
    CREATE DOMAIN short AS varchar(20) CHECK (length(VALUE) > 1);
    CREATE COLLATION plain FROM "C";
    CREATE SEQUENCE free START 40;
    SELECT nextval('free');
    CREATE TABLE person (
        id int GENERATED ALWAYS AS IDENTITY PRIMARY KEY, email citext UNIQUE, tags hstore, mood mood, short short,
        pair pair, span span, plain text COLLATE plain, upper text GENERATED ALWAYS AS (upper(email::text)) STORED
    );
    INSERT INTO person (email, tags, mood, short, pair, span)
        SELECT 'P' || n || '@x', 'a=>1'::hstore, 'good'::mood, 'ab', '(1,bad)'::pair, '[1,2]'::span FROM generate_series(1, 20) n;
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
    CREATE AGGREGATE worst(mood) (sfunc = of_last, stype = mood);
    CREATE FUNCTION stamp() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN NEW.short := ''xx''; RETURN NEW; END';
    CREATE TRIGGER stamping BEFORE INSERT ON person FOR EACH ROW EXECUTE FUNCTION stamp();
    CREATE STATISTICS related (dependencies) ON id, short FROM person;
    ALTER TABLE person ENABLE ROW LEVEL SECURITY;
    CREATE POLICY everybody ON person USING (true);
    CREATE RULE nothing AS ON DELETE TO total DO INSTEAD NOTHING;
    COMMENT ON TABLE person IS 'people';
""".replace("CREATE AGGREGATE", "CREATE FUNCTION of_last(a mood, b mood) RETURNS mood LANGUAGE sql AS 'SELECT b'; CREATE AGGREGATE")


@dataclass
class Owned:
    """A database that belongs to a role without CREATEDB, which is also the one flagsnap connects as."""

    database: Database
    role: str

    def execute(self, statement: str) -> None:
        with self.database.connect(user=self.role, password="secret") as connection:
            connection.execute(statement.encode())


@pytest.fixture
def owned(database: Database, flagsnap: Flagsnap) -> Owned:
    role = database.role("app")
    database.execute(f"ALTER DATABASE {database.name} OWNER TO {role}; CREATE EXTENSION citext; CREATE EXTENSION hstore")
    flagsnap.environment["FLAGSNAP_DATABASE_URL"] = database.server.url(database.name, role)
    return Owned(database, role)


def test_everything(owned: Owned, flagsnap: Flagsnap) -> None:
    owned.execute(RECORDED + OBJECTS)
    flagsnap.within("capture", "--deploy-id", "v2")
    owned.execute(DEPLOY + WRITE)
    print(flagsnap.within(*ROLLBACK, code=2))
    print(flagsnap.within(*IN_PLACE))
    assert is_recorded(owned.database)
    print(flagsnap.within("undo"))
    assert not is_recorded(owned.database)
    print(flagsnap.within("undo"))
    assert is_recorded(owned.database)
