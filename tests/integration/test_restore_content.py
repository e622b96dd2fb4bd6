"""What a restored database has beside its schema: the fingerprint says nothing of owners, grants, rows and the like."""

from collections.abc import Iterator

import pytest

from tests.fix_cli import Flagsnap
from tests.fix_databases import Database
from tests.fix_servers import ALL_MAJORS, DEFAULT_MAJOR, PostgresServer
from tests.integration.sample_deploy import DEPLOY, RECORDED, ROLLBACK, deploy, is_recorded
from tests.integration.sample_schemas import EVERYTHING

# {owner} owns most, {reader} and {writer} were granted something.
OF_OTHERS = """
    CREATE SCHEMA reports AUTHORIZATION {owner};
    GRANT USAGE ON SCHEMA reports TO {reader};
    CREATE TABLE reports.month (id int PRIMARY KEY, note text, secret text);
    INSERT INTO reports.month SELECT n, 'note ' || n FROM generate_series(1, 30) n;
    ALTER TABLE reports.month OWNER TO {owner};
    GRANT SELECT (id, note) ON reports.month TO {reader};
    GRANT INSERT ON reports.month TO {writer} WITH GRANT OPTION;
    REVOKE DELETE ON reports.month FROM {owner};
    ALTER TABLE reports.month ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
    CREATE POLICY few ON reports.month FOR SELECT TO {reader} USING (id < 10);
    ALTER DEFAULT PRIVILEGES FOR ROLE {owner} IN SCHEMA reports GRANT SELECT ON TABLES TO {reader};
    ALTER DEFAULT PRIVILEGES FOR ROLE {owner} REVOKE EXECUTE ON FUNCTIONS FROM PUBLIC;
    CREATE FUNCTION reports.secret() RETURNS int LANGUAGE sql SECURITY DEFINER AS 'SELECT 1';
    ALTER FUNCTION reports.secret OWNER TO {owner};
    REVOKE ALL ON FUNCTION reports.secret FROM PUBLIC;
    CREATE TYPE reports.mood AS ENUM ('good'); ALTER TYPE reports.mood OWNER TO {owner};
    CREATE SEQUENCE called START 5; SELECT nextval('called'), nextval('called');
    CREATE SEQUENCE uncalled START 7;
    CREATE SEQUENCE was_set; SELECT setval('was_set', 99, false); GRANT USAGE ON SEQUENCE was_set TO {writer};
    CREATE MATERIALIZED VIEW counted AS SELECT count(*) AS accounts FROM account;
    SELECT lo_from_bytea(4711, 'a large object'); ALTER LARGE OBJECT 4711 OWNER TO {owner};
    GRANT SELECT ON LARGE OBJECT 4711 TO {reader}; COMMENT ON LARGE OBJECT 4711 IS 'kept';
    COMMENT ON SCHEMA reports IS 'of the month';
    CREATE PUBLICATION changes FOR TABLE account (id, name);
    GRANT CREATE ON SCHEMA public TO {writer};
"""
OF_THE_DATABASE = """
    ALTER DATABASE "{name}" OWNER TO {owner};
    ALTER DATABASE "{name}" SET search_path TO public, reports, "Odd, ""schema";
    ALTER DATABASE "{name}" SET work_mem TO '7MB';
    ALTER DATABASE "{name}" SET flagsmith.mode TO 'it''s, "quoted"';
    ALTER DATABASE "{name}" SET default_transaction_isolation TO 'repeatable read';
    ALTER ROLE {reader} IN DATABASE "{name}" SET default_transaction_read_only TO on;
    ALTER ROLE {writer} IN DATABASE "{name}" SET search_path TO '';
    REVOKE ALL ON DATABASE "{name}" FROM PUBLIC;
    GRANT CONNECT ON DATABASE "{name}" TO {reader}, {writer};
    GRANT TEMPORARY ON DATABASE "{name}" TO {writer} WITH GRANT OPTION;
    ALTER DATABASE "{name}" CONNECTION LIMIT 57;
    COMMENT ON DATABASE "{name}" IS 'It''s the "live" one';
"""

ACL = "(SELECT array_agg(a::text ORDER BY a::text) FROM unnest({}) a)"
QUESTIONS = {
    "database": f"""
        SELECT pg_get_userbyid(datdba), pg_encoding_to_char(encoding), datcollate, datctype, datlocprovider,
            datconnlimit, {ACL.format("datacl")}, shobj_description(d.oid, 'pg_database'), spcname
        FROM pg_database d JOIN pg_tablespace t ON t.oid = dattablespace WHERE datname = current_database()
    """,
    "settings": """
        SELECT setrole::regrole::text, (SELECT array_agg(c ORDER BY c) FROM unnest(setconfig) c) FROM pg_db_role_setting
        WHERE setdatabase = (SELECT oid FROM pg_database WHERE datname = current_database()) ORDER BY 1
    """,
    "schemas": f"SELECT nspname, pg_get_userbyid(nspowner), {ACL.format('nspacl')}, obj_description(oid)"
    " FROM pg_namespace WHERE nspname !~ '^pg_' ORDER BY 1",
    "relations": f"""
        SELECT c.oid::regclass::text, relkind, pg_get_userbyid(relowner), {ACL.format("relacl")}, relrowsecurity,
            relforcerowsecurity FROM pg_class c JOIN pg_namespace n ON n.oid = relnamespace
        WHERE nspname !~ '^pg_' AND nspname <> 'information_schema' ORDER BY 1
    """,
    "columns": f"SELECT attrelid::regclass::text, attname, {ACL.format('attacl')} FROM pg_attribute"
    " WHERE attacl IS NOT NULL AND attrelid > 16383 ORDER BY 1, 2",
    "functions": f"SELECT oid::regprocedure::text, pg_get_userbyid(proowner), {ACL.format('proacl')} FROM pg_proc"
    " WHERE pronamespace IN ('public'::regnamespace, 'reports'::regnamespace) ORDER BY 1",
    "types": "SELECT typname, pg_get_userbyid(typowner) FROM pg_type"
    " WHERE typnamespace = 'reports'::regnamespace ORDER BY 1",
    "default privileges": f"SELECT pg_get_userbyid(defaclrole), defaclnamespace::regnamespace::text, defaclobjtype,"
    f" {ACL.format('defaclacl')} FROM pg_default_acl ORDER BY 1, 2, 3",
    "policies": "SELECT * FROM pg_policies ORDER BY schemaname, tablename, policyname",
    "sequences": "SELECT schemaname, sequencename, last_value FROM pg_sequences ORDER BY 1, 2",
    "uncalled sequences": "SELECT a.last_value, a.is_called, b.last_value, b.is_called FROM uncalled a, was_set b",
    "large objects": f"SELECT oid, lo_get(oid), pg_get_userbyid(lomowner), {ACL.format('lomacl')},"
    " obj_description(oid, 'pg_largeobject') FROM pg_largeobject_metadata",
    "extensions": "SELECT extname, extnamespace::regnamespace::text, extversion FROM pg_extension ORDER BY 1",
    "publications": "SELECT * FROM pg_publication_tables ORDER BY 1, 2, 3",
    "rows": "SELECT (SELECT jsonb_agg(to_jsonb(a) ORDER BY id) FROM account a),"
    " (SELECT jsonb_agg(to_jsonb(m) ORDER BY id) FROM reports.month m), (SELECT jsonb_agg(to_jsonb(t)) FROM counted t)",
}
SPOIL = """
    DELETE FROM account WHERE id > 50; ALTER TABLE account ADD closed boolean; REFRESH MATERIALIZED VIEW counted;
    CREATE SCHEMA audit; CREATE TABLE audit.entry (id int); CREATE VIEW public.extra AS SELECT 1 AS a;
    ALTER TABLE reports.month OWNER TO current_user, DISABLE ROW LEVEL SECURITY;
    GRANT ALL ON reports.month TO {reader}; REVOKE SELECT (id) ON reports.month FROM {reader};
    ALTER TYPE reports.mood OWNER TO {reader};
    ALTER DEFAULT PRIVILEGES FOR ROLE {owner} IN SCHEMA reports REVOKE SELECT ON TABLES FROM {reader};
    SELECT nextval('called'), nextval('uncalled'), nextval('was_set');
    SELECT lo_unlink(4711), lo_from_bytea(4712, 'another');
    ALTER DATABASE "{name}" RESET ALL; ALTER ROLE {reader} IN DATABASE "{name}" RESET ALL;
    GRANT ALL ON DATABASE "{name}" TO {reader}; ALTER DATABASE "{name}" CONNECTION LIMIT 3;
    COMMENT ON DATABASE "{name}" IS 'spoilt'; DROP PUBLICATION changes;
    INSERT INTO django_migrations (app, name) VALUES ('accounts', '0003_limits');
"""


@pytest.mark.parametrize("server", [15, DEFAULT_MAJOR], indirect=True)
def test_everything_is_as_recorded(database: Database, flagsnap: Flagsnap) -> None:
    names = {"name": database.name, **{suffix: database.role(suffix) for suffix in ("owner", "reader", "writer")}}
    database.execute(RECORDED + OF_OTHERS.format(**names) + OF_THE_DATABASE.format(**names))
    database.execute("CREATE EXTENSION citext; CREATE EXTENSION hstore SCHEMA reports")
    recorded = answers(database)
    flagsnap.within("capture", "--deploy-id", "v2")
    database.execute(SPOIL.format(**names))
    spoilt = answers(database)
    unchanged = {"extensions", "functions", "policies"}
    assert {question for question in QUESTIONS if spoilt[question] == recorded[question]} == unchanged
    flagsnap.within(*ROLLBACK)
    restored = answers(database)
    for question, answer in recorded.items():
        assert restored[question] == answer, question
    flagsnap.within("undo")
    assert answers(database) == spoilt


def answers(database: Database) -> dict[str, list[tuple[object, ...]]]:
    # The database's settings would print names otherwise after the deploy than before it.
    with database.connect(options="-c search_path=public") as connection:
        return {question: connection.execute(query.encode()).fetchall() for question, query in QUESTIONS.items()}


def test_all_kinds_of_objects(database: Database, flagsnap: Flagsnap) -> None:
    database.execute("CREATE SCHEMA django; SET search_path = django;" + RECORDED + "RESET search_path;" + EVERYTHING)
    database.execute(f"ALTER DATABASE {database.name} SET search_path TO public, django")
    flagsnap.within("capture", "--deploy-id", "v2")
    database.execute(DEPLOY)
    flagsnap.within(*ROLLBACK)
    assert is_recorded(database)
    flagsnap.within("verify", "--expect", "v2")


def test_jobs_of_pg_restore_that_get_in_each_others_way(database: Database, flagsnap: Flagsnap) -> None:
    deadlock = """
        CREATE FUNCTION {name}(n int) RETURNS int IMMUTABLE LANGUAGE plpgsql AS $$ BEGIN
            IF current_setting('application_name') = 'flagsnap' THEN
                PERFORM pg_advisory_xact_lock({first}), pg_sleep(0.5);
                PERFORM pg_advisory_xact_lock({second});
            END IF;
            RETURN n;
        END $$;
        CREATE TABLE {name} AS SELECT 1 AS n; CREATE INDEX {name}_n ON {name} (public.{name}(n));
    """
    locks = deadlock.format(name="one", first=1, second=2) + deadlock.format(name="other", first=2, second=1)
    deploy(database, flagsnap, locks)
    assert "deadlocked; once more with a single one" in flagsnap.within(*ROLLBACK).err
    assert is_recorded(database)


@pytest.mark.parametrize("server", ALL_MAJORS, indirect=True)
def test_planner_statistics_are_there(database: Database, flagsnap: Flagsnap) -> None:
    deploy(
        database,
        flagsnap,
        """
        CREATE TABLE event (id int, at date) PARTITION BY RANGE (at);
        CREATE TABLE event_old PARTITION OF event FOR VALUES FROM (MINVALUE) TO ('2020-01-01');
        CREATE TABLE event_new PARTITION OF event DEFAULT;
        INSERT INTO event SELECT n, '2019-12-01'::date + n FROM generate_series(1, 60) n;
        CREATE MATERIALIZED VIEW balances AS SELECT balance FROM account;
        CREATE STATISTICS related (dependencies) ON id, name FROM account;
        CREATE SCHEMA "Odd ""name"; CREATE TABLE "Odd ""name"."T x" AS SELECT 1 AS n;
        """,
    )
    flagsnap.within(*ROLLBACK)
    estimates = "SELECT relname, reltuples::int FROM pg_class WHERE relname IN ({}) ORDER BY 1"
    names = "'account', 'event', 'event_old', 'event_new', 'balances', 'T x'"
    assert database.rows(estimates.format(names)) == [
        ("T x", 1),
        ("account", 100),
        ("balances", 100),
        ("event", 60),
        ("event_new", 30),
        ("event_old", 30),
    ]
    assert database.rows(
        "SELECT tablename, attname, inherited FROM pg_stats WHERE schemaname = 'public'"
        " AND tablename NOT IN ('django_migrations', 'total') ORDER BY 1, 2"
    ) == [
        *(("account", column, False) for column in ("balance", "id", "name")),
        ("balances", "balance", False),
        ("event", "at", True),
        ("event", "id", True),
        *((table, column, False) for table in ("event_new", "event_old") for column in ("at", "id")),
    ]
    assert database.rows("SELECT statistics_name FROM pg_stats_ext") == [("related",)]


LOCALES = {
    "latin1": "ENCODING 'LATIN1' LOCALE 'C'",
    "icu": "ENCODING 'UTF8' LOCALE_PROVIDER icu ICU_LOCALE 'de-u-co-phonebk' LC_COLLATE 'C' LC_CTYPE 'C'",
    "icu with rules": "LOCALE_PROVIDER icu ICU_LOCALE 'und' ICU_RULES '&b < a' LC_COLLATE 'C' LC_CTYPE 'C'",
    "builtin": "ENCODING 'UTF8' LOCALE_PROVIDER builtin BUILTIN_LOCALE 'C.UTF-8' LC_COLLATE 'C' LC_CTYPE 'C'",
}


@pytest.mark.parametrize(
    ("server", "options"),
    [(15, "latin1"), (18, "latin1"), (15, "icu"), (17, "builtin"), (18, "builtin")],
    indirect=["server"],
)
def test_encoding_and_collation(options: str, database: Database, flagsnap: Flagsnap) -> None:
    database.drop()
    with database.connect("postgres") as connection:
        connection.execute(f"CREATE DATABASE {database.name} TEMPLATE template0 {LOCALES[options]}".encode())
    deploy(database, flagsnap, "INSERT INTO account (name) VALUES ('Fähnchen')")
    columns = (
        "encoding, datlocprovider, datcollate, datctype, to_jsonb(d) ->> 'datlocale', to_jsonb(d) ->> 'daticulocale'"
    )
    question = f"SELECT {columns}, to_jsonb(d) ->> 'daticurules' FROM pg_database d WHERE datname = current_database()"
    recorded = database.rows(question)
    done = flagsnap.within(*ROLLBACK, "--json").json
    assert database.rows(question) == recorded == database.rows(question, done["retired_database"])
    assert database.rows("SELECT count(*) FROM account WHERE name = 'Fähnchen'") == [(1,)]


@pytest.fixture
def tablespace(server: PostgresServer, database: Database) -> Iterator[str]:
    """A tablespace of the test's own; PostgreSQL's own tests make theirs within the data folder like this."""
    with database.connect("postgres") as connection:
        connection.execute("SET allow_in_place_tablespaces = on")
        connection.execute(f"CREATE TABLESPACE {database.name} LOCATION ''".encode())
    yield database.name
    database.close()
    with database.connect("postgres") as connection:
        connection.execute(f"DROP TABLESPACE {database.name}".encode())


def test_tablespace(tablespace: str, database: Database, flagsnap: Flagsnap) -> None:
    with database.connect("postgres") as connection:
        connection.execute(f"ALTER DATABASE {database.name} SET TABLESPACE {tablespace}".encode())
    deploy(database, flagsnap)
    flagsnap.within(*ROLLBACK)
    assert is_recorded(database)
    join = "pg_tablespace t JOIN pg_database d ON d.dattablespace = t.oid"
    assert database.rows(f"SELECT spcname FROM {join} WHERE datname = current_database()") == [(tablespace,)]
