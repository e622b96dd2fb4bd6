"""What the probe takes for reaching beyond a database, and for reading."""

import pytest

from flagsnap.bridge.probe.reach import beyond, only_reads


@pytest.mark.parametrize(
    "statement",
    [
        "SELECT * FROM dblink('dbname=live', 'SELECT 1') AS t(a int)",
        "select public.dblink_exec ('x', 'y')",
        "SELECT \"dblink_connect\"('x')",
        "DO $$ BEGIN PERFORM dblink_exec('x', 'y'); END $$",
        "DO $body$ BEGIN EXECUTE 'CREATE ROLE x'; END $body$",
        "CREATE SUBSCRIPTION s CONNECTION 'x' PUBLICATION p",
        "ALTER SERVER s OPTIONS (SET dbname 'live')",
        "CREATE SERVER s FOREIGN DATA WRAPPER postgres_fdw",
        "CREATE USER MAPPING FOR CURRENT_USER SERVER s",
        "COPY t TO PROGRAM 'cat'",
        "COPY (SELECT 1)\nTO '/tmp/file'",
        "COPY t FROM PROGRAM 'cat'",
        "CREATE DATABASE x",
        "/* first */ DROP -- then\n ROLE x",
        "ALTER USER x PASSWORD 'it''s'",
        "SELECT 1; DROP TABLESPACE x",
        "COMMENT ON DATABASE live IS 'x'",
        "SECURITY LABEL FOR x ON ROLE y IS 'z'",
        "GRANT CONNECT ON DATABASE live TO x",
        "GRANT admin TO x",
        "ALTER SYSTEM SET work_mem = '1MB'",
        "DROP OWNED BY x",
        "REASSIGN OWNED BY x TO y",
        "PREPARE TRANSACTION 'x'",
        "CREATE FUNCTION f() RETURNS void LANGUAGE plpython3u AS $$ import os $$",
        "SELECT pg_terminate_backend(1)",
        "SELECT pg_catalog.pg_cancel_backend(pid) FROM pg_stat_activity",
        "SELECT lo_export(1, '/tmp/file')",
        "SELECT pg_create_physical_replication_slot('x')",
        r"SELECT E'it\'s', pg_reload_conf()",
    ],
)
def test_statements_that_reach_beyond(statement: str) -> None:
    assert beyond(statement)


@pytest.mark.parametrize(
    "statement",
    [
        'ALTER TABLE "links" ADD COLUMN "dblink_id" integer NULL',
        'INSERT INTO "links" ("dblink", "text") VALUES (%s, \'create role x\')',
        "-- drop database x\nSELECT 1 /* copy t to program 'x' */",
        "CREATE EXTENSION dblink",
        'CREATE TABLE "user" ("group" text, "role" text)',
        'ALTER TABLE "accounts" DROP COLUMN "role" CASCADE',
        "DROP USER MAPPING FOR x SERVER y",
        "COMMENT ON COLUMN a.b IS 'on database x'",
        "GRANT SELECT ON TABLE a TO b",
        "ALTER DEFAULT PRIVILEGES IN SCHEMA a GRANT SELECT ON TABLES TO b",
        "COPY t FROM STDIN",
        "COPY t TO STDOUT",
        "CREATE INDEX CONCURRENTLY role ON comment (database)",
        "CREATE FUNCTION f() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RETURN NEW; END $$",
        "SELECT '/*', 1 FROM t WHERE a = '--'",
    ],
)
def test_statements_that_stay_within(statement: str) -> None:
    assert beyond(statement) is None


@pytest.mark.parametrize(
    "statement",
    [
        "SELECT a FROM b WHERE c = 'delete; drop'",
        " select 1 ;",
        "WITH w AS (SELECT 1) SELECT * FROM w",
        "EXPLAIN SELECT 1",
        "SHOW server_version",
        "SAVEPOINT s",
        "RELEASE SAVEPOINT s",
        "ROLLBACK TO SAVEPOINT s",
        "BEGIN",
        "COMMIT",
        "SET TIME ZONE 'UTC'",
        "SET search_path = app",
        "SELECT set_config('TimeZone', %s, false)",
        'PRAGMA table_info("notes")',
        "/* a */ -- b\nSELECT 1",
    ],
)
def test_statements_that_only_read(statement: str) -> None:
    assert only_reads(statement)


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE a SET b = 1",
        "-- SELECT\nDELETE FROM a",
        "SELECT 1; DELETE FROM a",
        "SELECT * INTO b FROM a",
        "WITH w AS (DELETE FROM a RETURNING b) SELECT b FROM w",
        "EXPLAIN ANALYZE DELETE FROM a",
        "SET default_transaction_read_only = off",
        "SET SESSION CHARACTERISTICS AS TRANSACTION READ WRITE",
        "SET TRANSACTION READ WRITE",
        "BEGIN READ WRITE",
        "START TRANSACTION READ WRITE",
        "SET SESSION AUTHORIZATION x",
        "SELECT set_config('default_transaction_read_only', 'off', false)",
        "SELECT set_config(%s, %s, false)",
        "PRAGMA query_only = 0",
        "PRAGMA query_only(0)",
        "CREATE TABLE a (b int)",
        "TRUNCATE a",
        "DO $$ BEGIN END $$",
        "CALL p()",
        "COPY a FROM STDIN",
        "VACUUM",
        "refresh materialized view a",
    ],
)
def test_statements_that_do_more_than_read(statement: str) -> None:
    assert not only_reads(statement)
