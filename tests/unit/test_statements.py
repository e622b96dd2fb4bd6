"""SQL of migrations: what each statement does to rows, and what of it is not understood."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flagsnap.loss.effects import (
    AddedColumn,
    CreatedTable,
    DroppedColumn,
    DroppedTable,
    Effect,
    RenamedColumn,
    RenamedTable,
)
from flagsnap.loss.statements import classify, effects_of, is_repeatable

# Each statement as verb, table, columns and condition, from the left as far as they say something.
CASES: dict[str, list[tuple[object, ...]]] = {
    # rows that go
    "DELETE FROM t": [("delete", ".t", (), "")],
    "delete from only T * where id > 3 ;": [("delete", ".t", (), "id > 3")],
    'DELETE FROM "My Schema"."T" AS x WHERE x.a = 1 AND "x".b = 2 RETURNING *': [
        ("delete", "My Schema.T", (), '"T".a = 1 AND "T".b = 2')
    ],
    'DELETE FROM "a""b" x WHERE x.id = 1': [("delete", '.a"b', (), '"a""b".id = 1')],
    "DELETE FROM t WHERE t.a = 'it''s; DELETE FROM u'": [("delete", ".t", (), "t.a = 'it''s; DELETE FROM u'")],
    r"DELETE FROM t WHERE a = 'C:\'; DELETE FROM u": [
        ("delete", ".t", (), r"a = 'C:\'"),
        ("delete", ".u", (), ""),
    ],
    r"DELETE FROM t WHERE a = E'\'; DELETE FROM u'": [("delete", ".t", (), r"a = E'\'; DELETE FROM u'")],
    "DELETE FROM t WHERE a = $$ x; ' $$ AND b = $q$ $$ $q$": [
        ("delete", ".t", (), "a = $$ x; ' $$ AND b = $q$ $$ $q$")
    ],
    "DELETE FROM t USING u WHERE t.id = u.id": [("delete", ".t", (), None)],
    "DELETE FROM t WHERE id = %s": [("delete", ".t", (), None)],
    "DELETE FROM t WHERE id = $1": [("delete", ".t", (), None)],
    "DELETE FROM t WHERE CURRENT OF c": [("delete", ".t", (), None)],
    "DELETE FROM t WHERE lower(name) IN ('a', 'b') AND position('x' in name) > 0": [
        ("delete", ".t", (), "lower(name) IN ('a', 'b') AND position('x' in name) > 0")
    ],
    "DELETE FROM t WHERE nextval('s') > 3": [("delete", ".t", (), None)],
    "DELETE FROM t WHERE our_own(id)": [("delete", ".t", (), None), ("unknown",)],
    "DELETE FROM t WHERE public.count(id)": [("delete", ".t", (), None), ("unknown",)],
    'DELETE FROM t WHERE "lower"(name) = 1': [("delete", ".t", (), None), ("unknown",)],
    "DELETE FROM t WHERE id IN (SELECT t_id FROM u)": [("delete", ".t", (), "id IN (SELECT t_id FROM u)")],
    "DELETE FROM t AS x WHERE EXISTS (SELECT 1 FROM t WHERE t.id < x.id)": [("delete", ".t", (), None)],
    "DELETE FROM t WHERE tags[1] = 'a' # 2": [("delete", ".t", (), "tags[1] = 'a' # 2")],
    "TRUNCATE t": [("truncate", ".t", (), "")],
    "TRUNCATE TABLE ONLY s.t, u * RESTART IDENTITY CASCADE": [("truncate", "s.t", (), ""), ("truncate", ".u", (), "")],
    # values that go
    "UPDATE t SET a = 1": [("update", ".t", ("a",), "")],
    'UPDATE s.t AS x SET a = x.b, "C d" = lower(x.e), (f, g) = (1, 2), h[1] = ARRAY[1, 2] WHERE x.a IS NULL': [
        ("update", "s.t", ("a", "C d", "f", "g", "h"), '"t".a IS NULL')
    ],
    "UPDATE t SET a = b IS DISTINCT FROM c WHERE d": [("update", ".t", ("a",), "d")],
    "UPDATE t SET a = extract(year FROM b), c = (SELECT d FROM e WHERE f)": [("update", ".t", ("a", "c"), "")],
    "UPDATE t SET a = u.a FROM u WHERE u.id = t.id": [("update", ".t", ("a",), None)],
    "INSERT INTO t (a) VALUES (1)": [("insert", ".t")],
    "INSERT INTO s.t SELECT * FROM u": [("insert", "s.t")],
    "INSERT INTO t (a, b) VALUES (1, 2) ON CONFLICT (a) DO NOTHING": [("insert", ".t")],
    "INSERT INTO t (a, b) VALUES (1, 2) ON CONFLICT (a) DO UPDATE SET b = excluded.b, c = 3 WHERE t.d": [
        ("insert", ".t"),
        ("update", ".t", ("b", "c"), None),
    ],
    # several in one
    "DELETE FROM a; ; -- nothing\nUPDATE b SET c = 1;": [("delete", ".a", (), ""), ("update", ".b", ("c",), "")],
    "/* a /* nested; */ comment */ DELETE /* x */ FROM -- y\n t -- DELETE FROM u": [("delete", ".t", (), "")],
    "WITH gone AS (DELETE FROM a WHERE x = 1 RETURNING *) INSERT INTO b SELECT * FROM gone": [
        ("delete", ".a", (), "x = 1"),
        ("insert", ".b"),
    ],
    "WITH s AS (SELECT 1), u AS (UPDATE t SET a = 1 WHERE id IN (SELECT * FROM s)) DELETE FROM v WHERE c": [
        ("update", ".t", ("a",), None),
        ("delete", ".v", (), "c"),
    ],
    "CREATE TABLE kept AS WITH gone AS (DELETE FROM t RETURNING *) SELECT * FROM gone": [
        ("schema",),
        ("delete", ".t", (), ""),
    ],
    "DO $$ BEGIN DELETE FROM t WHERE a = 'x'; UPDATE t SET b = 1; END $$": [
        ("delete", ".t", (), "a = 'x'"),
        ("update", ".t", ("b",), ""),
    ],
    "DO LANGUAGE plpgsql 'BEGIN DELETE FROM t WHERE a = ''x''; END'": [("delete", ".t", (), "a = 'x'")],
    "DO $$ BEGIN IF EXISTS (SELECT 1 FROM u) THEN DELETE FROM t; END IF; END $$": [("delete", ".t", (), None)],
    "DO $$DECLARE r record; BEGIN FOR r IN SELECT 1 LOOP TRUNCATE t; END LOOP; END$$": [("truncate", ".t", (), None)],
    "DO $$ DECLARE n int := our_own(); BEGIN DELETE FROM t; END $$": [("unknown",)],
    "DO $$ DECLARE n int; m int := 3; BEGIN DELETE FROM t WHERE a = n; END $$": [("delete", ".t", (), None)],
    # the catalogs tell
    "CREATE TABLE t (id int DEFAULT 1, u_id int REFERENCES u (id) ON DELETE CASCADE ON UPDATE SET NULL)": [("schema",)],
    "ALTER TABLE t ALTER COLUMN a TYPE integer USING a::integer": [("schema",)],
    "DROP INDEX CONCURRENTLY IF EXISTS i": [("schema",)],
    "COMMENT ON TABLE t IS 'DELETE FROM t'": [("schema",)],
    "CREATE TRIGGER g BEFORE DELETE OR UPDATE ON t EXECUTE FUNCTION f(); GRANT DELETE ON t TO r": [
        ("schema",),
        ("schema",),
    ],
    "CREATE FUNCTION f() RETURNS trigger AS $$ BEGIN DELETE FROM t; RETURN NEW; END $$ LANGUAGE plpgsql": [("schema",)],
    "CREATE FUNCTION f() RETURNS int BEGIN ATOMIC DELETE FROM t; SELECT CASE WHEN true THEN 1 END; END; TRUNCATE u": [
        ("schema",),
        ("truncate", ".u", (), ""),
    ],
    "DO $$ BEGIN IF NOT EXISTS (SELECT 1 FROM pg_type WHERE typname = 'x') THEN CREATE TYPE x AS ENUM ('a');"
    " END IF; EXCEPTION WHEN duplicate_object THEN NULL; END $$": [("schema",)],
    "SELECT a INTO t FROM u": [("schema",)],
    # nothing
    "": [],
    " ; -- DELETE FROM t": [],
    "SET CONSTRAINTS c IMMEDIATE; SET LOCAL statement_timeout = '5s'": [("harmless",), ("harmless",)],
    "SELECT setval(pg_get_serial_sequence('t', 'id'), coalesce(max(id), 1)) FROM t": [("harmless",)],
    "SELECT pg_catalog.set_config('x', 'y', true)": [("unknown",)],
    "SELECT pg_catalog.setval('s', 1), count(*) FILTER (WHERE a) FROM t WHERE b IN (1)": [("harmless",)],
    "BEGIN; LOCK TABLE t IN EXCLUSIVE MODE; ANALYZE t; COMMIT": [("harmless",)] * 4,
    "SELECT a FROM t, unnest(k) WITH ORDINALITY cols(a, b), pg_get_expr(c, d)": [("harmless",)],
    "SELECT 'DELETE FROM t', \"UPDATE\", $$TRUNCATE t$$ FROM t": [("harmless",)],
    # who knows
    "SELECT our_own()": [("unknown",)],
    'SELECT "count"(*)': [("unknown",)],
    "SELECT 1 FROM t FOR UPDATE": [("unknown",)],
    "CALL p()": [("unknown",)],
    "EXECUTE prepared": [("unknown",)],
    "MERGE INTO t USING u ON t.id = u.id WHEN MATCHED THEN DELETE": [("unknown",)],
    "COPY t FROM '/tmp/x'": [("unknown",)],
    "EXPLAIN ANALYZE DELETE FROM t": [("unknown",)],
    "SET LOCAL search_path = other": [("unknown",)],
    "DO $$ BEGIN EXECUTE 'DELETE FROM t'; END $$": [("unknown",)],
    "DO $$ BEGIN PERFORM our_own(); END $$": [("unknown",)],
    "DO $$ x = 1 $$ LANGUAGE plpython3u": [("unknown",)],
    "DELETE FROM a.b.c.d": [("unknown",)],
    "DELETE FROM t WHERE a = 'x": [("unknown",)],
    'DELETE FROM U&"t"': [("unknown",)],
    "WITH x AS (SELECT 1)": [("unknown",)],
    "INSERT INTO t WITH gone AS (DELETE FROM u RETURNING *) SELECT * FROM gone": [("unknown",)],
    "what is this": [("unknown",)],
    "UPDATE t SET a = our_own(b)": [("update", ".t", ("a",), ""), ("unknown",)],
    "UPDATE t SET a = 1 FROM (SELECT our_own()) AS x (b)": [("update", ".t", ("a",), None), ("unknown",)],
    "DELETE FROM t RETURNING our_own(a)": [("delete", ".t", (), ""), ("unknown",)],
    "INSERT INTO t (a) SELECT our_own()": [("insert", ".t"), ("unknown",)],
    "WITH x (a) AS (SELECT our_own()) DELETE FROM t": [("unknown",), ("delete", ".t", (), "")],
    "DROP SCHEMA s CASCADE;": [("unknown",)],
    "DROP TYPE IF EXISTS a, b CASCADE": [("unknown",)],
    "DROP OWNED BY somebody": [("unknown",)],
    # these take no rows along
    "DROP SCHEMA s; DROP FUNCTION f() CASCADE; DROP TYPE a RESTRICT": [("schema",)] * 3,
}


@pytest.mark.parametrize("sql", CASES)
def test_classify(sql: str) -> None:
    found = [(each.verb, each.table and ".".join(each.table), each.columns, each.condition) for each in classify(sql)]
    expected = [(*case, *(None, (), None)[len(case) - 1 :]) for case in CASES[sql]]
    assert found == expected


def test_each_part_has_its_text_without_comments() -> None:
    sql = "DELETE /* all */ FROM t ; WITH g AS (DELETE FROM u RETURNING *) INSERT INTO v TABLE g"
    assert [each.text for each in classify(sql)] == [
        "DELETE FROM t",
        "DELETE FROM u RETURNING *",
        "INSERT INTO v TABLE g",
    ]


@pytest.mark.parametrize(
    ("condition", "repeatable"),
    [
        ("", True),
        ("a = 1 AND lower(b) = 'now()'", True),
        ("at < now()", False),
        ("at < CURRENT_DATE", False),
        ("id IN (SELECT id FROM u)", False),
    ],
)
def test_conditions_that_mean_the_same_rows_of_a_copy(condition: str, repeatable: bool) -> None:
    assert is_repeatable(condition) is repeatable


@pytest.mark.parametrize(
    ("sql", "effects"),
    [
        ("CREATE TABLE t (id int)", [CreatedTable("t")]),
        ('CREATE UNLOGGED TABLE s."T x" AS SELECT 1', [CreatedTable("T x")]),
        ("CREATE TABLE IF NOT EXISTS t (id int); CREATE TEMP TABLE u (id int)", []),
        ("DROP TABLE IF EXISTS a, s.b CASCADE", [DroppedTable("a"), DroppedTable("b")]),
        ("ALTER TABLE IF EXISTS ONLY s.t RENAME TO u", [RenamedTable("t", "u")]),
        ("ALTER TABLE t RENAME COLUMN a TO b; ALTER TABLE t RENAME b TO C",
         [RenamedColumn("t", "a", "b"), RenamedColumn("t", "b", "c")]),
        ("ALTER TABLE t RENAME CONSTRAINT a TO b", []),
        ("ALTER TABLE t ADD COLUMN IF NOT EXISTS a numeric(3, 1) DEFAULT 1, ADD b int, DROP COLUMN c, DROP d CASCADE",
         [AddedColumn("t", "a", None), AddedColumn("t", "b", None), DroppedColumn("t", "c"), DroppedColumn("t", "d")]),
        ("ALTER TABLE t ADD CONSTRAINT c CHECK (a > 0), ADD PRIMARY KEY (id), DROP CONSTRAINT IF EXISTS d", []),
        ("ALTER TABLE t ALTER COLUMN a DROP NOT NULL, ALTER b SET DEFAULT 1, ADD UNIQUE (a)", []),
        ('ALTER TABLE t RENAME TO "constraint"', [RenamedTable("t", "constraint")]),
        ("ALTER INDEX i RENAME TO j; UPDATE t SET a = 1", []),
        ("DROP TABLE 'x; -- not SQL", []),
    ],
)  # fmt: skip
def test_effects_of_sql(sql: str, effects: list[Effect]) -> None:
    assert list(effects_of(sql)) == effects


_WORDS = """
SELECT DELETE UPDATE TRUNCATE MERGE DO EXECUTE CALL INSERT INTO FROM WHERE SET WITH AS BEGIN ATOMIC END CREATE TABLE
FUNCTION LOOP DECLARE IF THEN CASE t x "T" ( ) , ; = 1 * . ' '' " "" -- /* */ $$ $a$ E' # [ ] ` \\ % %s :x @y U&"
"""
WORDS = [*_WORDS.split(), "\n"]
CHANGING = re.compile(r"\b(DELETE|UPDATE|TRUNCATE|MERGE|DO|EXECUTE|CALL)\b", re.IGNORECASE)
QUOTED = [("'", "'"), ('"', '"'), ("$$", "$$"), ("$q$", "$q$"), ("/*", "*/"), ("--", "\n"), ("E'", "'")]


@given(st.lists(st.sampled_from(WORDS) | st.text(max_size=5)).map(" ".join) | st.text())
def test_garbage_raises_nothing(sql: str) -> None:
    list(effects_of(sql))
    classify(sql)


@given(
    st.lists(
        st.sampled_from([word for word in WORDS if word.isalnum() or word in "(),;=*."])
        | st.tuples(st.sampled_from(QUOTED), st.sampled_from(["x", "DELETE FROM t", ";", " a b "])).map(
            lambda each: each[0][0] + each[1] + each[0][1]
        )
    )
)
def test_what_changes_rows_is_never_harmless(pieces: list[str]) -> None:
    changes = any(CHANGING.fullmatch(piece) for piece in pieces)
    found = classify(" ".join(pieces))
    assert not changes or {each.verb for each in found} - {"harmless"}


@given(st.sampled_from(QUOTED), st.sampled_from([";", "DELETE FROM t", "SELECT", "(", "x"]))
def test_what_is_quoted_is_no_statement(quote: tuple[str, str], inside: str) -> None:
    text = quote[0] + inside + quote[1]
    (found,) = classify(f"SELECT 1, {text} FROM t" if quote[0] not in {"/*", "--"} else f"SELECT 1 {text}")
    assert found.verb == "harmless"
