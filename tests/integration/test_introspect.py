"""The catalog of a real database: each attribute in words, what it is independent of, and dumps that are restored."""

import gzip
import json
from pathlib import Path

import pytest

from flagsnap.catalog import Catalog, differences
from flagsnap.postgres.introspect import is_made_up, read_catalog
from flagsnap.postgres.introspect.fixed_form import fixed_form
from flagsnap.process import Command, run
from tests.fix_databases import Database
from tests.fix_servers import ALL_MAJORS
from tests.integration.sample_schemas import BASE, CHANGES, EQUAL, EVERYTHING

FLAGSMITH = Path(__file__).parents[3] / "shared" / "flagsmith"


def catalog_of(database: Database, name: str | None = None) -> Catalog:
    return read_catalog(database.connect(name))


def changes(database: Database, change: str) -> list[str]:
    connection = database.connect()
    before = read_catalog(connection)
    connection.execute(change.encode())
    return [str(difference) for difference in differences(before, read_catalog(connection))]


@pytest.mark.parametrize(("setup", "change", "sentences"), CHANGES, ids=[change for _, change, _ in CHANGES])
def test_a_change_gives_exactly_these_differences(
    database: Database, setup: str, change: str, sentences: list[str]
) -> None:
    database.execute(BASE + setup)
    assert changes(database, change) == sentences


@pytest.mark.parametrize(("one", "other"), EQUAL.values(), ids=EQUAL)
def test_a_schema_is_independent_of(database: Database, one: str, other: str) -> None:
    database.execute(one)
    first = catalog_of(database)
    database.drop()
    database.create()
    database.execute(other)
    assert differences(first, catalog_of(database)) == ()


def test_twins_are_counted(database: Database) -> None:
    database.execute("CREATE TABLE t (a int CHECK (a > 0), CHECK (a > 0))")
    assert changes(database, "ALTER TABLE t DROP CONSTRAINT t_a_check1") == [
        "constraint public.t (CHECK ((a > 0))) #2 is not there"
    ]


@pytest.mark.parametrize(
    "setting",
    ["TimeZone = 'Asia/Tokyo'", "DateStyle = 'German'", "IntervalStyle = 'iso_8601'", "search_path = s, public"],
)
def test_the_settings_of_a_session_make_no_difference(database: Database, setting: str) -> None:
    database.execute(
        "CREATE SCHEMA s; CREATE TABLE s.x (id serial PRIMARY KEY, at timestamptz DEFAULT '2020-01-01 00:00Z',"
        " d date CHECK (d > '2020-02-01'), i interval DEFAULT '1 day 2 hours'); CREATE VIEW s.v AS SELECT * FROM s.x;"
    )
    plain, odd = database.connect(), database.connect()
    odd.execute(f"SET {setting}".encode())
    assert differences(read_catalog(plain), read_catalog(odd)) == ()


def test_the_settings_are_as_before_afterwards(database: Database) -> None:
    connection = database.connect()
    question = "SELECT current_setting('search_path'), current_setting('TimeZone'), current_setting('jit')"
    connection.execute("SET search_path = public; SET TimeZone = 'Asia/Tokyo'")
    before = connection.execute(question).fetchone()
    read_catalog(connection)
    assert connection.execute(question).fetchone() == before
    with connection.transaction():
        connection.execute("SET LOCAL search_path = pg_catalog; SET LOCAL TimeZone = 'Europe/Rome'")
        inside = connection.execute(question).fetchone()
        read_catalog(connection)
        assert connection.execute(question).fetchone() == inside
    assert connection.execute(question).fetchone() == before


def test_a_snapshot_sees_the_catalog_of_its_own_moment(database: Database) -> None:
    database.execute("CREATE TABLE t (a int)")
    connection = database.connect()
    with connection.transaction():
        connection.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY")
        before = read_catalog(connection)
        database.execute("CREATE TABLE later (a int)")
        assert read_catalog(connection) == before
    assert read_catalog(connection) != before


def test_objects_of_a_session_are_left_out(database: Database) -> None:
    connection = database.connect()
    before = read_catalog(connection)
    connection.execute("CREATE TEMPORARY TABLE t (id serial PRIMARY KEY); CREATE TEMPORARY VIEW v AS SELECT 1")
    assert read_catalog(connection) == before


def test_made_up_names() -> None:
    made_up = (
        "t_pkey t_pkey1 t_n_key t_n_check t_n_fkey t_n_excl t_n_not_null12 "
        "features_feature_project_id_5a3e8a4b_fk_projects_project_id auth_user_username_6821ab7c_like "
        "axes_accessattempt_username_ip_address_user_agent_8ea22282_uniq app_t_col_0123abcd"
    )
    chosen = (
        "environment_environ_341dc9_idx unique_active_cohort_per_segment lowercase_feature_name t_n_idx t_0123abcd_x"
    )
    assert [name for name in made_up.split() if not is_made_up(name)] == []
    assert [name for name in chosen.split() if is_made_up(name)] == []


@pytest.mark.parametrize(
    "text",
    [
        "(NOT (a AND b) AND c)",
        "(a AND (b OR c))",
        "((a OR b) AND (c OR d))",
        "((a AND b) IS TRUE AND c)",
        "(a = ANY (b AND c) AND d)",
        "((a AND b) AND c OR d)",
        "(x = '((a AND b) AND c)  (ARRAY[1])::text[]'::text AND (\"y  AND z\" OR b))",
        "sum(a) OVER (ORDER BY b ROWS BETWEEN 1 PRECEDING AND CURRENT ROW)",
        "(ARRAY[a, b])::array_domain AND c",
        "(array_agg(a))::text[] AND c",
        "a AND b) AND c",
    ],
)
def test_what_would_mean_something_else_keeps_its_form(text: str) -> None:
    assert fixed_form(text) == text


def test_a_database_without_the_schema_public_can_be_restored(database: Database, tmp_path: Path) -> None:
    database.execute("DROP SCHEMA public; CREATE SCHEMA s; CREATE TABLE s.t (a int)")
    recorded = catalog_of(database)
    assert catalog_of(database, restored(database, database.name, f"{database.name}_1", tmp_path)) == recorded


@pytest.mark.parametrize("server", ALL_MAJORS, indirect=True)
def test_dump_and_restore_give_an_equal_fingerprint(database: Database, tmp_path: Path) -> None:
    database.execute(EVERYTHING)
    recorded = catalog_of(database)
    once = restored(database, database.name, f"{database.name}_1", tmp_path)
    twice = restored(database, once, f"{database.name}_2", tmp_path)
    for name in (once, twice):
        assert differences(recorded, catalog_of(database, name)) == ()
        assert catalog_of(database, name).fingerprint == recorded.fingerprint


@pytest.mark.parametrize("server", ALL_MAJORS, indirect=True)
def test_every_question_has_an_answer_in_everything(database: Database) -> None:
    database.execute(EVERYTHING)
    assert {item.identity.kind for item in catalog_of(database).objects} == {
        *("schema", "table", "column", "constraint", "domain constraint", "index", "sequence", "view"),
        *("materialized view", "function", "procedure", "aggregate", "trigger", "rule", "policy", "enum type"),
        *("domain", "composite type", "range type", "extension", "statistics", "event trigger", "collation"),
        "foreign server",
    }


def restored(database: Database, source: str, target: str, folder: Path) -> str:
    Database(database.server, target).create()
    dump = str(folder / target)
    programs = database.server.bin_dir
    run(Command((str(programs / "pg_dump"), "-Fc", "-f", dump, "-d", database.server.url(source))))
    run(Command((str(programs / "pg_restore"), "--exit-on-error", "-d", database.server.url(target), dump)))
    return target


@pytest.mark.skipif(not FLAGSMITH.exists(), reason="the data of a real Flagsmith is not part of this repository")
def test_flagsmith_is_the_same_after_its_recorded_reverse(database: Database, tmp_path: Path) -> None:
    load(database, "v2.240.0", tmp_path)
    recorded = catalog_of(database)
    again = restored(database, database.name, f"{database.name}_again", tmp_path)
    assert catalog_of(database, again).fingerprint == recorded.fingerprint
    database.drop()
    database.create()
    load(database, "v2.265.0", tmp_path)
    assert len(differences(recorded, catalog_of(database))) == 28
    reverse = json.loads((FLAGSMITH / "v2.265.0-to-v2.240.0-reverse-sql.json").read_text())
    for migration in reverse:
        for statement in migration["statements"]:
            database.execute(statement)
    assert differences(recorded, catalog_of(database)) == ()
    assert catalog_of(database).fingerprint == recorded.fingerprint


def load(database: Database, release: str, folder: Path) -> None:
    script = folder / f"{release}.sql"
    script.write_bytes(gzip.decompress((FLAGSMITH / f"{release}.sql.gz").read_bytes()))
    psql = str(database.server.bin_dir / "psql")
    run(Command((psql, "-X", "-q", "-v", "ON_ERROR_STOP=1", "-f", str(script), "-d", database.url)))
