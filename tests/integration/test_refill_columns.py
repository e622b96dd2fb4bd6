"""The refill of columns: values come back by primary key, into rows that are there."""

import pytest

from flagsnap.results import Refilled
from tests.fix_servers import ALL_MAJORS
from tests.integration.refills import Refills, item, refills

__all__ = ["refills"]


@pytest.mark.parametrize("server", ALL_MAJORS, indirect=True)
def test_a_column_comes_back_by_key(refills: Refills) -> None:
    refills.capture(
        "CREATE TABLE t (id int PRIMARY KEY, name text NOT NULL DEFAULT '', size int)",
        "INSERT INTO t SELECT n, 'name ' || n, n FROM generate_series(1, 1000) n",
    )
    refills.run(
        "ALTER TABLE t DROP COLUMN name",
        "DELETE FROM t WHERE id <= 10",
        "ALTER TABLE t ADD COLUMN name text NOT NULL DEFAULT ''",
        "INSERT INTO t VALUES (2000, 5, 'new')",
    )
    assert refills.refill(item("t", "name")) == [Refilled("public.t.name", 990, 0, 10)]
    assert refills.rows("SELECT count(*), count(*) FILTER (WHERE name = 'name ' || id) FROM t") == [(991, 990)]
    assert refills.rows("SELECT name FROM t WHERE id = 2000") == [("new",)]


def test_a_second_time_there_is_nothing_to_write(refills: Refills) -> None:
    refills.capture("CREATE TABLE t (id int PRIMARY KEY, name text)", "INSERT INTO t VALUES (1, 'a'), (2, NULL)")
    refills.run("UPDATE t SET name = NULL")
    assert refills.refill(item("t", "name")) == [Refilled("public.t.name", 1)]
    assert refills.refill(item("t", "name")) == [Refilled("public.t.name", 0)]


@pytest.mark.parametrize("server", ALL_MAJORS, indirect=True)
def test_all_kinds_of_types(refills: Refills) -> None:
    refills.run(
        "CREATE TYPE mood AS ENUM ('sad', 'ok', 'so''so')", "CREATE DOMAIN short AS text CHECK (length(VALUE) < 9)"
    )
    columns = {
        "a": "mood",
        "b": "mood[]",
        "c": "int[]",
        "d": "json",
        "e": "jsonb",
        "f": "bytea",
        "g": "tsvector",
        "h": "int4range",
        "i": "short",
        "j": "numeric(12,3)",
        "k": "timestamptz",
        "l": "text",
        "m": "double precision",
        "n": "inet",
        "o": "interval",
        "p": "varchar(12)[]",
        "q": "point",
        "r": "boolean",
    }
    refills.capture(
        f"CREATE TABLE t (id uuid PRIMARY KEY, {', '.join(f'{name} {kind}' for name, kind in columns.items())})",
        r"""INSERT INTO t VALUES ('00000000-0000-0000-0000-000000000001', 'so''so', '{sad,NULL,ok}', '{{1,2},{3,4}}',
        '{"a":  1, "a": 2}', '{"b": [1, null]}', '\x00ff5c2e0a', 'the quick fox', '[1,9)', 'a\b', 1.500,
        '2026-02-03 04:05:06.789+02', E'tab\t, line\n\\.\nback\\slash \\N', 'NaN', '::1/64', '-1 day +2:03:04.5',
        '{"{x","\\\\y"}', '(1,2.5)', true)""",
        "INSERT INTO t (id) VALUES ('00000000-0000-0000-0000-000000000002')",
    )
    before = refills.rows("SELECT t::text FROM t ORDER BY id")
    refills.run(
        *(f"ALTER TABLE t DROP COLUMN {name}" for name in columns),
        *(f"ALTER TABLE t ADD COLUMN {name} {kind}" for name, kind in columns.items()),
    )
    done = refills.refill(*(item("t", name) for name in columns))
    assert done == [Refilled(f"public.t.{name}", 1) for name in columns]
    assert refills.rows("SELECT t::text FROM t ORDER BY id") == before


def test_composite_and_text_keys_and_quoted_names(refills: Refills) -> None:
    refills.run('CREATE SCHEMA "My Schema"')
    refills.capture(
        'CREATE TABLE "My Schema"."A ""b"" c" ("Key, one" text, two uuid, "the (value)" text,'
        ' PRIMARY KEY ("Key, one", two))',
        """INSERT INTO "My Schema"."A ""b"" c" SELECT 'k' || n % 3, gen_random_uuid(), 'v' || n
        FROM generate_series(1, 30) n""",
        'CREATE TABLE "My Schema"."A" (id int, "b"" c" int)',
    )
    name = '"My Schema"."A ""b"" c"'
    before = refills.rows(f"SELECT * FROM {name} ORDER BY 1, 2")
    refills.run(f'UPDATE {name} SET "the (value)" = NULL')
    wanted = item('A "b" c', "the (value)", key=("Key, one", "two"))
    wanted = type(wanted)("My Schema", wanted.table, wanted.columns, wanted.key)
    assert refills.refill(wanted) == [Refilled('My Schema.A "b" c.the (value)', 30)]
    assert refills.rows(f"SELECT * FROM {name} ORDER BY 1, 2") == before


def test_values_that_are_there_give_way_or_stay(refills: Refills) -> None:
    refills.capture(
        "CREATE TABLE t (id int PRIMARY KEY, a text, b int NOT NULL)",
        "INSERT INTO t SELECT n, 'a' || n, n FROM generate_series(1, 9) n",
    )
    refills.run(
        "UPDATE t SET a = CASE WHEN id > 6 THEN 'reverse' WHEN id > 3 THEN 'a' || id END",
        "ALTER TABLE t DROP b",
        # What Django does for a column with a default: nobody has written these zeros.
        "ALTER TABLE t ADD b int NOT NULL DEFAULT 0",
        "ALTER TABLE t ALTER b DROP DEFAULT",
        "UPDATE t SET b = 77 WHERE id = 1",
    )
    stays = refills.refill(item("t", "a", overwrite=False))
    assert [(each.rows, each.skipped, bool(each.detail)) for each in stays] == [(0, 9, True)]
    assert refills.refill(item("t", "a"), item("t", "b")) == [
        Refilled("public.t.a", 6, 3),
        Refilled("public.t.b", 9, 1),
    ]
    assert refills.rows("SELECT count(*) FROM t WHERE a = 'a' || id AND b = id") == [(9,)]


def test_a_column_that_holds_only_defaults_may_be_filled_without_overwriting(refills: Refills) -> None:
    refills.capture("CREATE TABLE t (id int PRIMARY KEY, a text)", "INSERT INTO t VALUES (1, 'x'), (2, 'y')")
    refills.run(
        "ALTER TABLE t DROP a", "ALTER TABLE t ADD a text DEFAULT 'it''s'", "ALTER TABLE t ALTER a DROP DEFAULT"
    )
    assert refills.refill(item("t", "a", overwrite=False)) == [Refilled("public.t.a", 2)]


def test_a_value_comes_back_where_the_live_one_is_what_a_cast_made_of_it(refills: Refills) -> None:
    refills.capture(
        "CREATE TABLE t (id int PRIMARY KEY, price numeric(8,2), name text)",
        "INSERT INTO t SELECT n, n + 0.25, 'n' || n FROM generate_series(1, 9) n",
    )
    refills.run(
        "ALTER TABLE t ALTER price TYPE int",
        "UPDATE t SET price = 1000 WHERE id = 9",
        "ALTER TABLE t ALTER price TYPE numeric(8,2)",
    )
    done = refills.refill(item("t", "price", through="integer"), item("t", "name", through="integer"))
    assert done[0] == Refilled("public.t.price", 8, 8, 1)
    assert (done[1].rows, "invalid input syntax" in done[1].detail) == (0, True)
    assert refills.rows("SELECT count(*) FROM t WHERE price = id + 0.25") == [(8,)]
    assert refills.rows("SELECT price::text FROM t WHERE id = 9") == [("1000.00",)]


def test_nulls_come_back_where_the_live_value_is_the_one_that_they_were_given(refills: Refills) -> None:
    refills.capture(
        "CREATE TABLE t (id int PRIMARY KEY, born timestamptz)",
        "INSERT INTO t VALUES (1, NULL), (2, NULL), (3, '2024-01-01Z'), (4, NULL)",
    )
    refills.run(
        "UPDATE t SET born = '2020-01-01Z' WHERE born IS NULL",
        "UPDATE t SET born = '2022-02-02Z' WHERE id = 2",
        "INSERT INTO t VALUES (5, '2020-01-01Z')",
    )
    nulls = item("t", "born", condition="born IS NULL", nulls="'2020-01-01T00:00:00+00:00'")
    assert refills.refill(nulls) == [Refilled("public.t.born", 2, 2, 1)]
    assert refills.rows("SELECT id FROM t WHERE born IS NULL ORDER BY id") == [(1,), (4,)]


def test_a_condition_says_which_rows_are_meant(refills: Refills) -> None:
    refills.capture(
        "CREATE TABLE t (id int PRIMARY KEY, kind text, name text, size int)",
        "INSERT INTO t SELECT n, 'k' || n % 2, 'n' || n, n FROM generate_series(1, 9) n",
    )
    refills.run("UPDATE t SET name = 'gone', size = 0, kind = 'k1'")
    done = refills.refill(
        item("t", "name", condition="\"t\".kind = 'k0' AND name LIKE 'n%'"),
        item("t", "size"),
        item("t", "kind", condition="nonsense"),
    )
    assert [(each.object, each.rows) for each in done] == [
        ("public.t.name", 4),
        ("public.t.size", 9),
        ("public.t.kind", 0),
    ]
    assert "nonsense" in done[2].detail
    assert refills.rows("SELECT count(*) FROM t WHERE name = 'n' || id AND id % 2 = 0 AND kind = 'k1'") == [(4,)]


def test_references_come_back_only_to_what_is_there(refills: Refills) -> None:
    refills.capture(
        "CREATE TABLE parent (a int, b int, PRIMARY KEY (a, b))",
        "CREATE TABLE t (id int PRIMARY KEY, a int, b int, other int REFERENCES t, note text,"
        " FOREIGN KEY (a, b) REFERENCES parent ON DELETE SET NULL)",
        "INSERT INTO parent SELECT n, n FROM generate_series(1, 9) n",
        "INSERT INTO t SELECT n, n, n, nullif(n - 1, 0), 'n' || n FROM generate_series(1, 9) n",
    )
    refills.run(
        "UPDATE t SET a = NULL, b = NULL, other = NULL, note = NULL",
        "DELETE FROM parent WHERE a = 5",
        "DELETE FROM t WHERE id = 7",
    )
    done = refills.refill(*(item("t", name) for name in ("a", "b", "other", "note")))
    assert done == [
        Refilled("public.t.a", 7, 0, 2),
        Refilled("public.t.b", 7, 0, 2),
        Refilled("public.t.other", 6, 0, 2),
        Refilled("public.t.note", 8, 0, 1),
    ]
    assert refills.rows("SELECT id, a, b, other FROM t WHERE id IN (5, 8)") == [(5, None, None, 4), (8, 8, 8, None)]


def test_identity_columns_and_generated_ones(refills: Refills) -> None:
    refills.capture(
        "CREATE TABLE t (id int PRIMARY KEY, number int GENERATED ALWAYS AS IDENTITY,"
        " a int, twice int GENERATED ALWAYS AS (a * 2) STORED)",
        "INSERT INTO t (id, a) SELECT n, n FROM generate_series(1, 50) n",
        "DELETE FROM t WHERE id > 40",
    )
    refills.run(
        "ALTER TABLE t DROP number, DROP a CASCADE",
        "ALTER TABLE t ADD number int GENERATED ALWAYS AS IDENTITY (START WITH 5000), ADD a int",
        "ALTER TABLE t ADD twice int GENERATED ALWAYS AS (a * 2) STORED",
    )
    done = refills.refill(item("t", "number"), item("t", "a"), item("t", "twice"))
    assert [(each.rows, each.detail) for each in done] == [
        (40, ""),
        (40, ""),
        (0, "there is no column twice to write"),
    ]
    assert refills.rows("SELECT count(*) FROM t WHERE number = id AND twice = 2 * id") == [(40,)]
    assert refills.rows(
        "SELECT attidentity::text FROM pg_attribute WHERE attname = 'number' AND attrelid = 't'::regclass"
    ) == [("a",)]
    refills.run("INSERT INTO t (id) VALUES (99)")
    assert refills.rows("SELECT number FROM t WHERE id = 99") == [(5040,)]


def test_what_has_no_place_is_told(refills: Refills) -> None:
    refills.capture("CREATE TABLE t (id int PRIMARY KEY, a text)", "CREATE TABLE gone (id int PRIMARY KEY, a text)")
    refills.run("DROP TABLE gone", "CREATE TABLE later (id int PRIMARY KEY, a int)")
    done = refills.refill(item("gone"), item("t", "b"), item("t", "a", key=()), item("later", "a"))
    assert [(each.object, each.rows, each.detail) for each in done] == [
        ("public.gone", 0, "there is no such table"),
        ("public.t.b", 0, "there is no column b to write"),
        ("public.t.a", 0, "the table has no key by which rows could find each other"),
        ("public.later.a", 0, "the snapshot has no such table"),
    ]


def test_triggers_and_rules_neither_run_nor_change(refills: Refills) -> None:
    refills.capture(
        "CREATE TABLE t (id int PRIMARY KEY, a text)",
        "CREATE TABLE log (what text)",
        "CREATE FUNCTION note() RETURNS trigger LANGUAGE plpgsql AS"
        " $$BEGIN INSERT INTO log VALUES (TG_NAME); NEW.a = 'spoiled'; RETURN NEW; END$$",
        *(
            f"CREATE TRIGGER {name} BEFORE INSERT OR UPDATE ON t FOR EACH ROW EXECUTE FUNCTION note()"
            for name in ('"Plain one"', "always", "replica", "never")
        ),
        "ALTER TABLE t ENABLE ALWAYS TRIGGER always",
        "ALTER TABLE t ENABLE REPLICA TRIGGER replica",
        "ALTER TABLE t DISABLE TRIGGER never",
        "CREATE RULE tell AS ON UPDATE TO t DO ALSO INSERT INTO log VALUES ('rule')",
        "ALTER TABLE t DISABLE TRIGGER USER",
        "INSERT INTO t VALUES (1, 'x'), (2, 'y')",
        'ALTER TABLE t ENABLE TRIGGER "Plain one", ENABLE ALWAYS TRIGGER always, ENABLE REPLICA TRIGGER replica',
    )
    before = refills.state()
    refills.run(
        "ALTER TABLE t DISABLE TRIGGER USER",
        "UPDATE t SET a = NULL",
        "TRUNCATE log",
        'ALTER TABLE t ENABLE TRIGGER "Plain one", ENABLE ALWAYS TRIGGER always, ENABLE REPLICA TRIGGER replica',
    )
    assert refills.refill(item("t", "a")) == [Refilled("public.t.a", 2)]
    assert refills.state() == before


def test_a_change_that_the_types_own_equality_hides(refills: Refills) -> None:
    refills.capture(
        "CREATE EXTENSION citext",
        "CREATE TABLE t (id citext PRIMARY KEY, name citext, size numeric, data jsonb)",
        "INSERT INTO t VALUES ('a', 'Name', 1.50, '{\"a\": 1.0}'), ('B', 'Same', 2, '2')",
    )
    refills.run("UPDATE t SET name = lower(name), size = 1.5, data = '{\"a\": 1.00}', id = upper(id) WHERE id = 'a'")
    done = refills.refill(*(item("t", name) for name in ("name", "size", "data")))
    assert [(each.rows, each.replaced) for each in done] == [(1, 1)] * 3
    assert refills.rows("SELECT t::text FROM t ORDER BY id")[0] == ('(A,Name,1.50,"{""a"": 1.0}")',)
